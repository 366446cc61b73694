//! Non-maximum suppression: of boxes that overlap much, only the best stays.
//!
//! Greedy, in the order of scores: a box is kept unless it overlaps a kept one by more than the threshold. Batched NMS does so for
//! each class on its own. (Some implementations shift each class far away and run one NMS, which rounds coordinates; here each
//! class simply has its own list of kept boxes.) Walking in the order of scores gives the result sorted, and allows to stop as soon
//! as enough boxes are kept.

use std::collections::HashMap;

use crate::box_coder::Corners;
use crate::boxes::area;

/// Indices of the kept boxes, best first. Boxes with equal scores keep their order.
///
/// # Panics
/// When the slices differ in length.
pub fn nms(boxes: &[Corners], scores: &[f32], threshold: f32) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "one score per box");
    let mut kept = Kept::default();
    by_score(scores).into_iter().filter(|&i| kept.offer(boxes[i], threshold)).collect()
}

/// [`nms`] within each class, over all classes at once; stops when `limit` boxes are kept.
///
/// `classes` may be any numbers: class indices, pyramid levels.
///
/// # Panics
/// When the slices differ in length.
pub fn batched_nms(boxes: &[Corners], scores: &[f32], classes: &[i64], threshold: f32, limit: usize) -> Vec<usize> {
    assert!(boxes.len() == scores.len() && boxes.len() == classes.len(), "one score and one class per box");
    let mut kept: HashMap<i64, Kept> = HashMap::new();
    by_score(scores).into_iter().filter(|&i| kept.entry(classes[i]).or_default().offer(boxes[i], threshold)).take(limit).collect()
}

/// Indices in the order of falling scores, stable.
fn by_score(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}

/// Boxes are compared with this many kept ones at a time.
const LANES: usize = 8;

/// A group of kept boxes by columns; unused lanes hold an empty box.
#[derive(Clone, Copy)]
struct Lanes {
    x1: [f32; LANES],
    y1: [f32; LANES],
    x2: [f32; LANES],
    y2: [f32; LANES],
    area: [f32; LANES],
}

#[derive(Default)]
struct Kept {
    groups: Vec<Lanes>,
    len: usize,
}

impl Kept {
    /// Keeps `b` and returns true, unless a kept box overlaps it by more than `threshold`.
    fn offer(&mut self, b: Corners, threshold: f32) -> bool {
        let area = area(b);
        for g in &self.groups {
            let mut hit = false;
            for l in 0..LANES {
                let w = (g.x2[l].min(b[2]) - g.x1[l].max(b[0])).max(0.0);
                let h = (g.y2[l].min(b[3]) - g.y1[l].max(b[1])).max(0.0);
                let inter = w * h;
                hit |= inter / (g.area[l] + area - inter) > threshold;
            }
            if hit {
                return false;
            }
        }
        let lane = self.len % LANES;
        if lane == 0 {
            let nothing = [f32::INFINITY; LANES];
            self.groups.push(Lanes { x1: nothing, y1: nothing, x2: [0.0; LANES], y2: [0.0; LANES], area: [1.0; LANES] });
        }
        if let Some(g) = self.groups.last_mut() {
            (g.x1[lane], g.y1[lane], g.x2[lane], g.y2[lane], g.area[lane]) = (b[0], b[1], b[2], b[3], area);
        }
        self.len += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::iou;

    /// The second box overlaps the first by 90/110, the third overlaps the first by 1/3 and the second by 40/160.
    #[test]
    fn worse_boxes_that_overlap_more_than_the_threshold_go() {
        let boxes = [[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [-5.0, 0.0, 5.0, 10.0]];
        assert_eq!(nms(&boxes, &[0.9, 0.8, 0.7], 0.5), [0, 2]);
        assert_eq!(nms(&boxes, &[0.7, 0.8, 0.9], 0.5), [2, 1]);
        assert_eq!(nms(&boxes, &[0.9, 0.8, 0.7], 0.9), [0, 1, 2]);
        assert_eq!(nms(&boxes, &[0.9, 0.8, 0.7], 0.3), [0]);
        assert!(nms(&[], &[], 0.5).is_empty());
    }

    /// Exactly at the threshold a box stays: only *more* suppresses.
    #[test]
    fn the_threshold_itself_does_not_suppress() {
        let boxes = [[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]];
        assert_eq!(nms(&boxes, &[0.9, 0.8], 0.5), [0, 1]);
    }

    #[test]
    fn classes_do_not_suppress_each_other() {
        let boxes = [[0.0, 0.0, 10.0, 10.0]; 3];
        assert_eq!(batched_nms(&boxes, &[0.7, 0.8, 0.9], &[5, -1, 5], 0.5, 100), [2, 1]);
        assert_eq!(batched_nms(&boxes, &[0.7, 0.8, 0.9], &[0, 1, 2], 0.5, 2), [2, 1]);
    }

    #[test]
    fn equals_the_definition_on_many_boxes() {
        let u = repghost_backbone::synthetic::uniform("nms", 4 * 700);
        let boxes: Vec<Corners> = u
            .chunks_exact(4)
            .map(|c| [c[0] * 50.0, c[1] * 50.0, c[0] * 50.0 + 9.0, c[1] * 50.0 + 5.0 + 9.0 * c[2].abs()])
            .collect();
        let scores: Vec<f32> = u.chunks_exact(4).map(|c| c[3]).collect();
        let classes: Vec<i64> = (0..700).map(|i| i % 3).collect();
        let mut expected: Vec<usize> = Vec::new();
        for i in by_score(&scores) {
            if expected.iter().all(|&k| classes[k] != classes[i] || iou(boxes[k], boxes[i]) <= 0.4) {
                expected.push(i);
            }
        }
        let all = batched_nms(&boxes, &scores, &classes, 0.4, usize::MAX);
        assert_eq!(all, expected);
        assert!(all.len() > 100 && all.len() < 690, "{}", all.len());
    }

    #[test]
    #[should_panic(expected = "one score per box")]
    fn a_score_too_few_is_refused() {
        nms(&[[0.0, 0.0, 1.0, 1.0]; 2], &[0.5], 0.5);
    }
}
