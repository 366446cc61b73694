//! Files that go all the way to detections.

use repghost_heads::HostDetections;

use super::{output, Engine, Pictures};
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

impl Engine for DetectorFile {
    fn detect(&mut self, p: Pictures) -> Result<Vec<HostDetections>, ExportError> {
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
