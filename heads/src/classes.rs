//! Which output of the head is which class.
//!
//! Outside, classes count from 0 without a background. Inside Mask R-CNN, output 0 is the background; RetinaNet has none. torchvision's
//! published files of both have 91 outputs, numbered by COCO's category ids, eleven of which (0 among them) are in no use.

use crate::error::HeadError;

/// COCO's category ids that are in use, in order.
const COCO_IDS: [i64; 80] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 31, 32, 33, 34, 35, 36, 37,
    38, 39, 40, 41, 42, 43, 44, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 67, 70, 72, 73,
    74, 75, 76, 77, 78, 79, 80, 81, 82, 84, 85, 86, 87, 88, 89, 90,
];
/// Outputs of a head that is numbered so.
const COCO_OUTPUTS: i64 = 91;
/// Background.
pub(crate) const BACKGROUND: i64 = 0;

/// Class index outside to output index inside, and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassLayout {
    outputs: Vec<i64>,
    classes: Vec<Option<i64>>,
}

impl ClassLayout {
    /// A layout for `classes` classes behind a background; `coco_91` takes COCO's ids as output indices.
    ///
    /// # Errors
    /// No classes, or `coco_91` with another number than 80.
    pub fn new(classes: i64, coco_91: bool) -> Result<Self, HeadError> {
        Self::starting_at(1, classes, coco_91)
    }

    /// A layout without a background: outputs are classes, or with `coco_91` COCO's ids.
    ///
    /// # Errors
    /// As [`ClassLayout::new`].
    pub fn dense(classes: i64, coco_91: bool) -> Result<Self, HeadError> {
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

    /// Class of each output, see [`ClassLayout::class`].
    pub fn by_output(&self) -> &[Option<i64>] {
        &self.classes
    }

    /// Class of an output; none for the background and for ids that are not in use.
    pub fn class(&self, output: usize) -> Option<i64> {
        self.classes.get(output).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let plain = ClassLayout::new(3, false).unwrap();
        assert_eq!((plain.outputs(), plain.output(0), plain.class(3), plain.class(0)), (4, 1, Some(2), None));
        let coco = ClassLayout::new(80, true).unwrap();
        // person, stop sign (id 13: 12 is not in use), toothbrush
        assert_eq!((coco.outputs(), coco.output(0), coco.output(11), coco.output(79)), (91, 1, 13, 90));
        assert_eq!((coco.class(13), coco.class(12), coco.class(90)), (Some(11), None, Some(79)));
        let dense = ClassLayout::dense(3, false).unwrap();
        assert_eq!((dense.outputs(), dense.output(2), dense.class(2), dense.class(3)), (3, 2, Some(2), None));
        let coco = ClassLayout::dense(80, true).unwrap();
        assert_eq!((coco.outputs(), coco.output(79), coco.class(0), coco.class(90)), (91, 90, None, Some(79)));
        assert!(ClassLayout::new(3, true).is_err() && ClassLayout::new(0, false).is_err());
    }
}
