//! Files that go all the way to detections.

use repghost_heads::HostDetections;
use repghost_train::engine::{Engine, Pictures};
use repghost_train::TrainError;

use super::output;
use crate::error::ExportError;
use crate::runtime::session::Input;
use crate::runtime::{Data, Session};

/// A detector file, of any head and way of suppression.
pub struct DetectorFile {
    /// The loaded file.
    pub file: Box<dyn Session + Send>,
}

/// Elements of an output.
enum Values {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

impl Values {
    fn floats(&self) -> &[f32] {
        match self {
            Self::Floats(v) => v,
            Self::Ints(_) => &[],
        }
    }

    fn ints(&self) -> &[i64] {
        match self {
            Self::Floats(_) => &[],
            Self::Ints(v) => v,
        }
    }
}

impl DetectorFile {
    fn run(&mut self, p: Pictures) -> Result<Vec<HostDetections>, ExportError> {
        let mut outputs = vec![];
        self.file.run(&[Input { shape: &p.shape, values: p.pixels }], &mut |name, _, data| {
            let values = match data {
                Data::Float(v) => Values::Floats(v.to_vec()),
                Data::Int(v) => Values::Ints(v.to_vec()),
            };
            outputs.push((name.to_string(), values));
        })?;
        let boxes = output(&outputs, "boxes")?.floats();
        let scores = output(&outputs, "scores")?.floats();
        let labels = output(&outputs, "labels")?.ints();
        let masks = outputs.iter().find(|(n, _)| n == "masks").map(|(_, v)| v.floats());
        let images = outputs.iter().find(|(n, _)| n == "image_indices").map(|(_, v)| v.ints());
        let n = p.sizes.len();
        let mut all = vec![HostDetections { masks: masks.map(|_| vec![]), ..HostDetections::default() }; n];
        let per_image = scores.len() / n.max(1);
        let side = masks.map_or(0, |m| m.len() / scores.len().max(1));
        for (row, ((b, score), label)) in boxes.chunks_exact(4).zip(scores).zip(labels).enumerate() {
            // Rows of score zero fill up a fixed number of detections.
            if *score <= 0.0 {
                continue;
            }
            let image = match images {
                Some(images) => images.get(row).map_or(0, |i| *i as usize),
                None => row / per_image.max(1),
            };
            let Some((plain, size)) = all.get_mut(image).zip(p.sizes.get(image)) else { continue };
            // The file cuts boxes to its input, which is larger than the image where that was padded.
            let [h, w] = size.map(|s| s as f32);
            plain.boxes.push([b[0].min(w), b[1].min(h), b[2].min(w), b[3].min(h)]);
            plain.scores.push(*score);
            plain.labels.push(*label);
            if let (Some(to), Some(from)) = (&mut plain.masks, masks) {
                to.extend_from_slice(&from[row * side..(row + 1) * side]);
            }
        }
        Ok(all)
    }
}

impl Engine for DetectorFile {
    fn detect(&mut self, pictures: Pictures) -> Result<Vec<HostDetections>, TrainError> {
        Ok(self.run(pictures)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::session::Take;

    /// Returns the same outputs whatever it is run on.
    struct Canned(Vec<(&'static str, Vec<f32>, Vec<i64>)>);

    impl Session for Canned {
        fn run(&mut self, _: &[Input], take: Take) -> Result<(), ExportError> {
            for (name, floats, ints) in &self.0 {
                match ints.is_empty() {
                    true => take(name, &[], Data::Float(floats)),
                    false => take(name, &[], Data::Int(ints)),
                }
            }
            Ok(())
        }
    }

    fn detect(outputs: Vec<(&'static str, Vec<f32>, Vec<i64>)>) -> Result<Vec<HostDetections>, ExportError> {
        let sizes = [[20, 30], [32, 32]];
        let pictures = Pictures { pixels: &[], shape: [2, 3, 32, 32], sizes: &sizes };
        DetectorFile { file: Box::new(Canned(outputs)) }.run(pictures)
    }

    /// A fixed number of rows per image: those of score zero are none, and boxes end where the image ends within its padding.
    #[test]
    fn rows_of_score_zero_are_no_detections_and_padding_is_cut_off() {
        let boxes = [[1.0, 2.0, 32.0, 32.0], [9.0; 4], [9.0; 4], [3.0, 4.0, 32.0, 31.0]].concat();
        let outputs = vec![
            ("boxes", boxes, vec![]),
            ("scores", vec![0.9, 0.0, 0.0, 0.8], vec![]),
            ("labels", vec![], vec![5, 1, 1, 6]),
            ("masks", (0..16).map(|v| v as f32).collect(), vec![]),
        ];
        let found = detect(outputs).unwrap();
        assert_eq!((&found[0].boxes[..], &found[0].labels[..]), (&[[1.0, 2.0, 30.0, 20.0]][..], &[5][..]));
        assert_eq!((&found[1].boxes[..], &found[1].labels[..]), (&[[3.0, 4.0, 32.0, 31.0]][..], &[6][..]));
        assert_eq!(found[0].masks.as_deref(), Some(&[0.0, 1.0, 2.0, 3.0][..]));
        assert_eq!(found[1].masks.as_deref(), Some(&[12.0, 13.0, 14.0, 15.0][..]));
    }

    #[test]
    fn one_list_for_all_images_names_the_image_of_each_row() {
        let rows = |images: Vec<i64>| {
            let n = images.len();
            vec![
                ("boxes", vec![1.0; 4 * n], vec![]),
                ("scores", vec![0.5; n], vec![]),
                ("labels", vec![], vec![0; n]),
                ("image_indices", vec![], images),
            ]
        };
        let found = detect(rows(vec![1, 0, 1])).unwrap();
        assert_eq!(found.iter().map(|f| f.scores.len()).collect::<Vec<_>>(), [1, 2]);
        // An image that was not given is no place for a detection.
        let found = detect(rows(vec![7, -1, 1])).unwrap();
        assert_eq!(found.iter().map(|f| f.scores.len()).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn nothing_found_is_an_empty_list_and_a_missing_output_is_named() {
        let empty = vec![("boxes", vec![], vec![]), ("scores", vec![], vec![]), ("labels", vec![], vec![])];
        let found = detect(empty).unwrap();
        assert!(found.len() == 2 && found.iter().all(|f| f.boxes.is_empty()));
        let message = detect(vec![("boxes", vec![], vec![])]).unwrap_err().to_string();
        assert!(message.contains("'scores' is missing"), "{message}");
    }
}
