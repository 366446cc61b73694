//! Which anchor is assigned to which object.
//!
//! Each anchor takes the object that it overlaps most. From an IoU of `high` on it is foreground, below `low` background, and
//! between the two it is left out of the loss. An object that no anchor reaches would not be trained on, so each object also claims
//! the anchors (all that tie) which overlap it most, however little (*low-quality matches*; Ren et al. 2015, section 3.1.2).
//! Such an anchor still takes *its own* best object, which need not be the one that claimed it: that is how torchvision and
//! detectron2 do it.
//!
//! The work is plain Rust in two passes over the anchors. Neither pass keeps the matrix of all IoUs; the second computes them anew,
//! which costs less than to store them. One departure from torchvision: an object that overlaps no anchor at all claims none
//! (there, it claims every anchor that has an IoU of 0 with it, which is nearly all).

use rayon::prelude::*;

use crate::box_coder::Corners;

/// What an anchor was matched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Index of an object.
    Object(u32),
    /// No object: all classes are absent at this anchor.
    Background,
    /// Too close to call: no loss.
    Ignored,
}

/// Thresholds of the assignment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher {
    /// From this IoU on an anchor is foreground.
    pub high: f32,
    /// Below this IoU it is background.
    pub low: f32,
    /// Whether each object claims its best anchors.
    pub low_quality: bool,
}

/// Anchors are handled in blocks of this many, so that a block's columns stay in the first-level cache.
const BLOCK: usize = 1024;

impl Matcher {
    /// One [`Match`] per anchor. Objects may be none: all is background then.
    pub fn assign(&self, objects: &[Corners], anchors: &[Corners]) -> Vec<Match> {
        if objects.is_empty() {
            return vec![Match::Background; anchors.len()];
        }
        let blocks: Vec<Best> = anchors.par_chunks(BLOCK).map(|block| Best::find(objects, block)).collect();
        let claims: Vec<f32> = match self.low_quality {
            true => (0..objects.len()).map(|o| blocks.iter().map(|b| b.claims[o]).fold(0.0, f32::max)).collect(),
            false => Vec::new(),
        };
        let matches: Vec<Vec<Match>> = anchors
            .par_chunks(BLOCK)
            .zip(&blocks)
            .map(|(anchors, best)| {
                let mut matches: Vec<Match> =
                    best.iou.iter().zip(&best.object).map(|(iou, object)| self.judge(*iou, *object)).collect();
                let mut columns = None;
                for (o, &claim) in claims.iter().enumerate().filter(|(o, claim)| **claim > 0.0 && best.claims[*o] == **claim) {
                    let columns = columns.get_or_insert_with(|| Columns::new(anchors));
                    let mut iou = [0.0; BLOCK];
                    columns.ious(objects[o], &mut iou);
                    for (i, _) in iou[..anchors.len()].iter().enumerate().filter(|(_, iou)| **iou == claim) {
                        matches[i] = Match::Object(best.object[i]);
                    }
                }
                matches
            })
            .collect();
        matches.concat()
    }

    fn judge(&self, iou: f32, object: u32) -> Match {
        if iou >= self.high {
            Match::Object(object)
        } else if iou >= self.low {
            Match::Ignored
        } else {
            Match::Background
        }
    }
}

/// The first pass over a block: each anchor's best object, each object's best IoU.
struct Best {
    iou: Vec<f32>,
    object: Vec<u32>,
    claims: Vec<f32>,
}

impl Best {
    fn find(objects: &[Corners], anchors: &[Corners]) -> Self {
        let n = anchors.len();
        let columns = Columns::new(anchors);
        let mut best = Self { iou: vec![-1.0; n], object: vec![0; n], claims: Vec::with_capacity(objects.len()) };
        let mut iou = [0.0; BLOCK];
        for (o, &object) in objects.iter().enumerate() {
            columns.ious(object, &mut iou);
            let iou = &iou[..n];
            best.claims.push(iou.iter().copied().fold(0.0, f32::max));
            // Strictly greater: of equals the first object wins, as in torch.max.
            for ((best, index), &iou) in best.iou.iter_mut().zip(&mut best.object).zip(iou) {
                let better = iou > *best;
                *index = if better { o as u32 } else { *index };
                *best = if better { iou } else { *best };
            }
        }
        best
    }
}

/// A block of anchors by columns, which compilers vectorise.
struct Columns {
    n: usize,
    corners: [[f32; BLOCK]; 4],
    area: [f32; BLOCK],
}

impl Columns {
    fn new(anchors: &[Corners]) -> Self {
        let mut columns = Self { n: anchors.len(), corners: [[0.0; BLOCK]; 4], area: [0.0; BLOCK] };
        for (i, a) in anchors.iter().enumerate() {
            for (column, value) in columns.corners.iter_mut().zip(a) {
                column[i] = *value;
            }
            columns.area[i] = crate::boxes::area(*a);
        }
        columns
    }

    /// IoU of `object` with each anchor. Both passes call this, so that equal pairs give equal bits.
    fn ious(&self, object: Corners, out: &mut [f32; BLOCK]) {
        let [x1, y1, x2, y2] = &self.corners;
        let area = crate::boxes::area(object);
        for i in 0..self.n {
            let w = (object[2].min(x2[i]) - object[0].max(x1[i])).max(0.0);
            let h = (object[3].min(y2[i]) - object[1].max(y1[i])).max(0.0);
            let inter = w * h;
            out[i] = inter / (area + self.area[i] - inter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Match::*;
    use super::*;

    const RETINA: Matcher = Matcher { high: 0.5, low: 0.4, low_quality: true };

    /// Anchors are 10 x 10 squares on a line; the object is one of them shifted by d, so IoU = (10 - d) / (10 + d).
    fn square(x: f32) -> Corners {
        [x, 0.0, x + 10.0, 10.0]
    }

    /// IoU 8/12, 5.5/14.5, 4.5/15.5 against one object: foreground, background, background; 4/10 exactly is ignored.
    #[test]
    fn thresholds() {
        let strict = Matcher { low_quality: false, ..RETINA };
        let object = [0.0, 0.0, 10.0, 10.0];
        let anchors = [square(2.0), square(4.5), [0.0, 0.0, 10.0, 4.0], [0.0, 0.0, 10.0, 5.0], square(50.0)];
        assert_eq!(strict.assign(&[object], &anchors), [Object(0), Background, Ignored, Object(0), Background]);
    }

    /// The object overlaps both anchors by IoU 3/17 only; both tie and both are claimed.
    #[test]
    fn each_object_claims_its_best_anchors() {
        let anchors = [square(-7.0), square(7.0), square(30.0)];
        assert_eq!(RETINA.assign(&[square(0.0)], &anchors), [Object(0), Object(0), Background]);
        let strict = Matcher { low_quality: false, ..RETINA };
        assert_eq!(strict.assign(&[square(0.0)], &anchors), [Background; 3]);
    }

    /// Object 1 is best served by anchor 0 (IoU 4/16), but anchor 0 is even better for object 0: it stays with object 0.
    #[test]
    fn a_claimed_anchor_keeps_its_own_best_object() {
        let objects = [square(1.0), square(6.0)];
        assert_eq!(RETINA.assign(&objects, &[square(0.0), square(40.0)]), [Object(0), Background]);
    }

    #[test]
    fn nothing_to_match() {
        assert_eq!(RETINA.assign(&[], &[square(0.0)]), [Background]);
        assert_eq!(RETINA.assign(&[square(0.0)], &[]), []);
        assert_eq!(
            RETINA.assign(&[square(100.0)], &[square(0.0), square(5.0)]),
            [Background; 2],
            "an object out of reach claims none"
        );
    }

    /// The blocked passes against the definition, over several blocks.
    #[test]
    fn blocks_do_not_show() {
        let u = repghost_backbone::synthetic::uniform("matcher", 4 * (3 * BLOCK + 5));
        let all: Vec<Corners> = u
            .chunks_exact(4)
            .map(|c| [c[0] * 50.0, c[1] * 50.0, c[0] * 50.0 + 5.0 + 20.0 * c[2].abs(), c[1] * 50.0 + 5.0 + 20.0 * c[3].abs()])
            .collect();
        let (objects, anchors) = all.split_at(17);
        let iou = |o: usize, a: usize| crate::boxes::iou(objects[o], anchors[a]);
        let mut expected: Vec<Match> = Vec::new();
        let best = |a: usize| (0..objects.len()).rev().max_by(|x, y| iou(*x, a).total_cmp(&iou(*y, a))).unwrap();
        for a in 0..anchors.len() {
            expected.push(RETINA.judge(iou(best(a), a), best(a) as u32));
        }
        for o in 0..objects.len() {
            let top = (0..anchors.len()).map(|a| iou(o, a)).fold(0.0, f32::max);
            (0..anchors.len()).filter(|a| iou(o, *a) == top).for_each(|a| expected[a] = Object(best(a) as u32));
        }
        assert_eq!(RETINA.assign(objects, anchors), expected);
    }
}
