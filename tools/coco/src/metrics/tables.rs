//! The evaluator's tables, read at the places that count.

use hotcoco::COCOeval;

use super::{Curve, RECALL_POINTS};

/// The evaluator's tables at all sizes and at most a hundred detections.
pub(super) struct Tables<'a> {
    accumulated: Option<&'a hotcoco::AccumulatedEval>,
    pub ious: usize,
    classes: usize,
    area: usize,
    limit: usize,
}

impl<'a> Tables<'a> {
    pub fn new(evaluator: &'a COCOeval) -> Self {
        let accumulated = evaluator.accumulated();
        let shape = accumulated.map(|a| a.shape);
        Tables {
            accumulated,
            ious: shape.map_or(0, |shape| shape.t),
            classes: shape.map_or(0, |shape| shape.k),
            area: evaluator.params.all_area_idx(),
            limit: evaluator.params.max_det_idx(),
        }
    }

    /// Precision at the recall points; -1 where the class has no object.
    pub fn precision(&self, iou: usize, class: usize) -> impl Iterator<Item = f64> + '_ {
        let points = self.accumulated.map_or(0, |a| a.shape.r);
        (0..points).map(move |point| {
            let at = |a: &hotcoco::AccumulatedEval| {
                a.precision.get(a.precision_idx(iou, point, class, self.area, self.limit)).copied()
            };
            self.accumulated.and_then(at).unwrap_or(-1.0)
        })
    }

    pub fn recall(&self, iou: usize, class: usize) -> f64 {
        let at = |a: &hotcoco::AccumulatedEval| a.recall.get(a.recall_idx(iou, class, self.area, self.limit)).copied();
        self.accumulated.and_then(at).unwrap_or(-1.0)
    }

    pub fn curves(&self) -> Vec<Curve> {
        // Thresholds 0.50 and 0.75 are the first and the sixth of ten.
        let wanted = [(Some(0.5), 0..1), (Some(0.75), 5..6), (None, 0..self.ious)];
        let curve = |(iou, range): (Option<f64>, std::ops::Range<usize>)| {
            let mut sum = vec![0.0; RECALL_POINTS];
            let mut count = 0;
            for (t, class) in range.flat_map(|t| (0..self.classes).map(move |class| (t, class))) {
                let values: Vec<f64> = self.precision(t, class).collect();
                if values.len() == RECALL_POINTS && values.iter().all(|&p| p > -1.0) {
                    count += 1;
                    sum.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
                }
            }
            (count > 0).then(|| Curve { iou, precision: sum.iter().map(|sum| sum / f64::from(count)).collect() })
        };
        wanted.into_iter().filter_map(curve).collect()
    }
}
