//! Which output of a head is which class.
//!
//! Outside, classes count from 0 without a background. Inside Faster and Mask R-CNN, output 0 is the background; dense detectors have none.
//! torchvision's published files of both kinds have 91 outputs, numbered by COCO's category ids, eleven of which (0 among them) are unused.

use crate::box_coder::Corners;
use crate::error::HeadError;
use crate::types::{HostDetections, Target};

/// COCO's category ids that are in use, in order.
const COCO_IDS: [i64; 80] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 31, 32, 33, 34, 35, 36, 37,
    38, 39, 40, 41, 42, 43, 44, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 67, 70, 72, 73,
    74, 75, 76, 77, 78, 79, 80, 81, 82, 84, 85, 86, 87, 88, 89, 90,
];
/// Outputs of a head that is numbered by COCO's ids.
const COCO_OUTPUTS: i64 = 91;
/// Output of the background, where there is one.
pub(crate) const BACKGROUND: i64 = 0;

/// The ground truth of one image as a head is trained on it.
#[derive(Clone, Debug)]
pub(crate) struct Objects<'a> {
    /// Corners in pixels.
    pub boxes: &'a [Corners],
    /// Output of each object's class.
    pub outputs: Vec<i64>,
}

/// Class index to output index, and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    outputs: Vec<i64>,
    classes: Vec<Option<i64>>,
}

impl LabelMap {
    /// `classes` classes behind a background; `coco_91` takes COCO's ids as output indices.
    ///
    /// # Errors
    /// No classes, or `coco_91` with another number than 80.
    pub fn with_background(classes: i64, coco_91: bool) -> Result<Self, HeadError> {
        Self::starting_at(1, classes, coco_91)
    }

    /// `classes` classes from output 0 on; `coco_91` takes COCO's ids as output indices.
    ///
    /// # Errors
    /// As [`LabelMap::with_background`].
    pub fn without_background(classes: i64, coco_91: bool) -> Result<Self, HeadError> {
        Self::starting_at(0, classes, coco_91)
    }

    fn starting_at(first: i64, classes: i64, coco_91: bool) -> Result<Self, HeadError> {
        if classes < 1 {
            return Err(HeadError::range("number of classes", classes, "positive"));
        }
        let outputs: Vec<i64> = match coco_91 {
            true if classes as usize != COCO_IDS.len() => {
                return Err(HeadError::range("model.head.coco_91", format!("set for {classes} classes, which"), "COCO's 80"));
            }
            true => COCO_IDS.to_vec(),
            false => (first..first + classes).collect(),
        };
        let mut back = vec![None; if coco_91 { COCO_OUTPUTS } else { first + classes } as usize];
        for (class, output) in outputs.iter().enumerate() {
            back[*output as usize] = Some(class as i64);
        }
        Ok(Self { outputs, classes: back })
    }

    /// Number of classes, without the background.
    pub fn classes(&self) -> i64 {
        self.outputs.len() as i64
    }

    /// Number of outputs, with the background where there is one.
    pub fn outputs(&self) -> i64 {
        self.classes.len() as i64
    }

    /// Output of a class.
    ///
    /// # Panics
    /// When there is no such class.
    pub fn output(&self, class: i64) -> i64 {
        assert!((0..self.classes()).contains(&class), "label {class} is no class of a detector with {} classes", self.classes());
        self.outputs[class as usize]
    }

    /// Class of each output, see [`LabelMap::class`].
    pub fn by_output(&self) -> &[Option<i64>] {
        &self.classes
    }

    /// Class of an output; none for the background and for unused ids.
    pub fn class(&self, output: usize) -> Option<i64> {
        self.classes.get(output).copied().flatten()
    }

    /// A target with outputs for labels.
    ///
    /// # Panics
    /// When boxes and labels differ in number, or a label is no class.
    pub(crate) fn objects<'a>(&self, target: &'a Target) -> Objects<'a> {
        assert_eq!(target.boxes.len(), target.labels.len(), "one label per box");
        Objects { boxes: &target.boxes, outputs: target.labels.iter().map(|l| self.output(*l)).collect() }
    }

    /// Turns labels that are outputs into classes. Unused COCO ids take part in suppression, as in torchvision, and are dropped here.
    pub(crate) fn classes_of(&self, found: HostDetections) -> HostDetections {
        let mut kept = HostDetections { masks: found.masks, ..HostDetections::default() };
        for ((b, score), output) in found.boxes.into_iter().zip(found.scores).zip(found.labels) {
            if let Some(class) = self.class(output as usize) {
                kept.boxes.push(b);
                kept.scores.push(score);
                kept.labels.push(class);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let three = LabelMap::with_background(3, false).unwrap();
        assert_eq!((three.outputs(), three.output(0), three.class(3), three.class(0)), (4, 1, Some(2), None));
        let coco = LabelMap::with_background(80, true).unwrap();
        // person, stop sign (id 13: 12 is not in use), toothbrush
        assert_eq!((coco.outputs(), coco.output(0), coco.output(11), coco.output(79)), (91, 1, 13, 90));
        assert_eq!((coco.class(13), coco.class(12), coco.class(90)), (Some(11), None, Some(79)));
        let dense = LabelMap::without_background(3, false).unwrap();
        assert_eq!((dense.outputs(), dense.output(2), dense.class(2), dense.class(3)), (3, 2, Some(2), None));
        let coco = LabelMap::without_background(80, true).unwrap();
        assert_eq!((coco.outputs(), coco.output(79), coco.class(0), coco.class(90)), (91, 90, None, Some(79)));
        assert!(LabelMap::with_background(3, true).is_err() && LabelMap::with_background(0, false).is_err());
    }

    /// Outputs 12 and 0 are unused ids: what was found for them is dropped.
    #[test]
    fn unused_outputs_are_dropped() {
        let coco = LabelMap::without_background(80, true).unwrap();
        let found = HostDetections {
            boxes: vec![[0.0; 4], [1.0; 4], [2.0; 4]],
            scores: vec![0.9, 0.8, 0.7],
            labels: vec![12, 90, 0],
            masks: None,
        };
        let kept = coco.classes_of(found);
        assert_eq!((kept.boxes, kept.scores, kept.labels), (vec![[1.0; 4]], vec![0.8], vec![79]));
    }
}
