//! Whether two runtimes find the same objects.
//!
//! Lists are not compared row by row: where two scores differ in their last digit, their order may change. Each detection of the model is
//! paired with the nearest detection of its class in the file's list.

use repghost_heads::HostDetections;

use crate::error::ExportError;
use crate::onnx::ElementType;

/// How far apart a pair may be.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Of scores.
    pub score: f32,
    /// Of corners, in pixels.
    pub corner: f32,
    /// Of mask probabilities, on average over the mask.
    pub mask: f32,
    /// Share of detections that may have no partner: at the border of a threshold a last digit decides.
    pub missing: f64,
}

impl Tolerance {
    /// For files of a precision.
    pub fn of(precision: ElementType) -> Self {
        match precision {
            ElementType::F16 => Self { score: 1e-2, corner: 1.0, mask: 2e-2, missing: 0.02 },
            _ => Self { score: 1e-3, corner: 0.1, mask: 1e-3, missing: 0.02 },
        }
    }
}

/// What the comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Detections of the model.
    pub total: usize,
    /// Those without a partner.
    pub missing: usize,
    /// Largest difference of scores, of pairs.
    pub score: f32,
    /// Largest difference of corners in pixels, of pairs.
    pub corner: f32,
    /// Largest mean difference of a mask's probabilities, of pairs.
    pub mask: f32,
}

impl Agreement {
    /// Sums up two.
    pub fn and(self, o: Self) -> Self {
        Self {
            total: self.total + o.total,
            missing: self.missing + o.missing,
            score: self.score.max(o.score),
            corner: self.corner.max(o.corner),
            mask: self.mask.max(o.mask),
        }
    }

    /// Passes where no more are missing than allowed.
    ///
    /// # Errors
    /// How many are.
    pub fn check(&self, tolerance: &Tolerance) -> Result<(), ExportError> {
        if self.missing as f64 > tolerance.missing * self.total as f64 {
            return Err(ExportError::ParityDetections { missing: self.missing, total: self.total });
        }
        Ok(())
    }
}

fn mask_distance(a: &HostDetections, i: usize, b: &HostDetections, j: usize) -> f32 {
    let (Some(ma), Some(mb)) = (&a.masks, &b.masks) else { return 0.0 };
    let (side_a, side_b) = (ma.len() / a.scores.len().max(1), mb.len() / b.scores.len().max(1));
    if side_a != side_b || side_a == 0 {
        return f32::INFINITY;
    }
    let pairs = ma[i * side_a..(i + 1) * side_a].iter().zip(&mb[j * side_b..(j + 1) * side_b]);
    pairs.map(|(x, y)| (x - y).abs()).sum::<f32>() / side_a as f32
}

/// Pairs the detections of one image. Extra detections of the file count as missing ones do: the lists have one length or one of them misses
/// something.
pub fn compare(model: &HostDetections, file: &HostDetections, tolerance: &Tolerance) -> Agreement {
    let mut free = vec![true; file.boxes.len()];
    let mut result = Agreement { total: model.boxes.len(), ..Agreement::default() };
    for (i, b) in model.boxes.iter().enumerate() {
        let distance = |j: usize| (0..4).map(|k| (b[k] - file.boxes[j][k]).abs()).fold(0.0, f32::max);
        let score = |j: usize| (model.scores[i] - file.scores[j]).abs();
        let fits = |j: &usize| {
            free[*j] && file.labels[*j] == model.labels[i] && distance(*j) <= tolerance.corner && score(*j) <= tolerance.score
        };
        let best = (0..file.boxes.len()).filter(fits).min_by(|x, y| distance(*x).total_cmp(&distance(*y)));
        match best {
            Some(j) if mask_distance(model, i, file, j) <= tolerance.mask => {
                result.score = result.score.max(score(j));
                result.corner = result.corner.max(distance(j));
                result.mask = result.mask.max(mask_distance(model, i, file, j));
                free[j] = false;
            }
            _ => result.missing += 1,
        }
    }
    let paired = result.total - result.missing;
    result.missing = result.missing.max(file.boxes.len() - paired);
    result.total = result.total.max(file.boxes.len());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> HostDetections {
        HostDetections {
            boxes: vec![[0.0, 0.0, 9.0, 9.0], [0.0, 1.0, 9.0, 9.0]],
            scores: vec![0.9, 0.8999],
            labels: vec![1, 2],
            masks: Some(vec![0.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]),
        }
    }

    #[test]
    fn order_does_not_matter_but_everything_else_does() {
        let t = Tolerance::of(ElementType::F32);
        let a = two();
        let swapped = HostDetections {
            boxes: vec![a.boxes[1], a.boxes[0]],
            scores: vec![a.scores[1], a.scores[0]],
            labels: vec![2, 1],
            masks: Some(vec![0.5, 0.5, 0.5, 0.5, 0.0, 1.0, 1.0, 1.0]),
        };
        assert_eq!(compare(&a, &swapped, &t), Agreement { total: 2, ..Agreement::default() });
        let change = |f: &dyn Fn(&mut HostDetections)| {
            let mut b = two();
            f(&mut b);
            compare(&a, &b, &t).missing
        };
        assert_eq!(change(&|b| b.labels[0] = 2), 1);
        assert_eq!(change(&|b| b.boxes[0][2] = 10.0), 1);
        assert_eq!(change(&|b| b.scores[1] = 0.8), 1);
        assert_eq!(change(&|b| b.masks.as_mut().unwrap()[0] = 1.0), 1);
        // One more than the model found.
        let mut more = two();
        more.boxes.push([5.0; 4]);
        more.scores.push(0.7);
        more.labels.push(0);
        more.masks.as_mut().unwrap().extend([0.0; 4]);
        let agreement = compare(&a, &more, &t);
        assert_eq!((agreement.missing, agreement.total), (1, 3));
        assert!(agreement.check(&t).is_err());
    }
}
