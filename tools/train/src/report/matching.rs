//! Which detections hit an object.
//!
//! The rule is COCO's at one IoU threshold: best score first, each detection takes the object of its class with the highest box IoU that
//! is still free; one that only fits a crowd region counts neither way. Because scores decide the order, leaving out all detections below
//! some score does not change the verdict of the others: one matching serves every position of the page's slider.

use std::collections::HashMap;

use repghost_coco::{Annotation, Detection};

/// Overlap from which a box counts as found.
pub const IOU: f64 = 0.5;

/// What became of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It hit the object of this index.
    Hit(usize),
    /// Nothing of its class is there, or another detection had it already.
    FalseAlarm,
    /// It lies in a crowd region.
    Ignored,
}

/// Judges the detections of one image, which are sorted by falling score.
pub fn judge(truth: &[Annotation], found: &[&Detection]) -> Vec<Verdict> {
    let mut taken = vec![false; truth.len()];
    let mut verdicts = Vec::with_capacity(found.len());
    for detection in found {
        let bbox = box_of(detection);
        let same = |t: &&Annotation| t.category_id == detection.category_id;
        let fits = |(i, t): (usize, &Annotation)| {
            let free = same(&t) && !t.iscrowd && !taken[i];
            free.then(|| (i, iou(t.bbox, bbox))).filter(|(_, overlap)| *overlap >= IOU)
        };
        let best = truth.iter().enumerate().filter_map(fits).max_by(|a, b| a.1.total_cmp(&b.1));
        verdicts.push(match best {
            Some((i, _)) => {
                taken[i] = true;
                Verdict::Hit(i)
            }
            None if truth.iter().filter(same).any(|t| t.iscrowd && share_inside(bbox, t.bbox) >= IOU) => Verdict::Ignored,
            None => Verdict::FalseAlarm,
        });
    }
    verdicts
}

/// The box of a detection; that of its mask where it has no other.
pub fn box_of(detection: &Detection) -> [f64; 4] {
    detection.bbox.or_else(|| detection.segmentation.as_ref().map(|m| m.bbox())).unwrap_or_default()
}

fn intersection([ax, ay, aw, ah]: [f64; 4], [bx, by, bw, bh]: [f64; 4]) -> f64 {
    let width = (ax + aw).min(bx + bw) - ax.max(bx);
    let height = (ay + ah).min(by + bh) - ay.max(by);
    width.max(0.0) * height.max(0.0)
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let both = intersection(a, b);
    let union = a[2] * a[3] + b[2] * b[3] - both;
    if union > 0.0 {
        both / union
    } else {
        0.0
    }
}

/// Share of `a` that lies inside of `b`, which is how COCO compares with crowds.
fn share_inside(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = a[2] * a[3];
    if area > 0.0 {
        intersection(a, b) / area
    } else {
        0.0
    }
}

/// The judged detections of images.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Score and whether it hit; ignored ones are not here.
    pub scored: Vec<(f64, bool)>,
    /// Objects to be found, crowds left out.
    pub objects: usize,
}

/// Found, false alarms, missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects that were found.
    pub found: usize,
    /// Detections that hit nothing.
    pub false_alarms: usize,
    /// Objects that were not found.
    pub missed: usize,
}

impl Counts {
    /// Harmonic mean of precision and recall; 1 where there is nothing to find and nothing was found.
    pub fn f1(&self) -> f64 {
        match 2 * self.found + self.false_alarms + self.missed {
            0 => 1.0,
            all => 2.0 * self.found as f64 / all as f64,
        }
    }
}

impl Tally {
    /// Adds an image.
    pub fn add(&mut self, truth: &[Annotation], found: &[&Detection], verdicts: &[Verdict]) {
        self.objects += truth.iter().filter(|t| !t.iscrowd).count();
        let judged = found.iter().zip(verdicts).filter(|(_, v)| **v != Verdict::Ignored);
        self.scored.extend(judged.map(|(d, v)| (d.score, matches!(v, Verdict::Hit(_)))));
    }

    /// Counts with everything below `threshold` left out.
    pub fn counts(&self, threshold: f64) -> Counts {
        let shown = || self.scored.iter().filter(|(score, _)| *score >= threshold);
        let found = shown().filter(|(_, hit)| *hit).count();
        Counts { found, false_alarms: shown().count() - found, missed: self.objects.saturating_sub(found) }
    }

    /// The threshold, in hundredths, with the best F1; the highest of several, as it shows the least.
    pub fn best_threshold(&self) -> f64 {
        let hundredths = (1..100).map(|i| f64::from(i) / 100.0);
        hundredths.max_by(|a, b| self.counts(*a).f1().total_cmp(&self.counts(*b).f1())).unwrap_or(0.5)
    }
}

/// Detections by image, each list by falling score.
pub fn by_image(detections: &[Detection]) -> HashMap<i64, Vec<&Detection>> {
    let mut images: HashMap<i64, Vec<&Detection>> = HashMap::new();
    for detection in detections {
        images.entry(detection.image_id).or_default().push(detection);
    }
    images.values_mut().for_each(|list| list.sort_by(|a, b| b.score.total_cmp(&a.score)));
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(category_id: i64, bbox: [f64; 4], iscrowd: bool) -> Annotation {
        Annotation { category_id, bbox, iscrowd, ..Default::default() }
    }

    fn detection(category_id: i64, bbox: [f64; 4], score: f64) -> Detection {
        Detection { image_id: 1, file_name: None, category_id, bbox: Some(bbox), score, segmentation: None }
    }

    #[test]
    fn best_scores_take_the_best_free_object_of_their_class() {
        let truth = [
            object(1, [0.0, 0.0, 10.0, 10.0], false),
            object(1, [20.0, 0.0, 10.0, 10.0], false),
            object(2, [0.0, 50.0, 100.0, 50.0], true),
        ];
        let all = [
            detection(1, [1.0, 0.0, 10.0, 10.0], 0.9),   // IoU 9/11 with the first
            detection(1, [0.0, 0.0, 10.0, 10.0], 0.8),   // the first is taken
            detection(2, [20.0, 0.0, 10.0, 10.0], 0.7),  // another class
            detection(1, [24.0, 0.0, 10.0, 10.0], 0.6),  // IoU 6/14: below a half
            detection(2, [10.0, 60.0, 10.0, 10.0], 0.5), // inside of the crowd
            detection(1, [22.0, 0.0, 10.0, 10.0], 0.4),  // IoU 8/12 with the second
        ];
        let found: Vec<&Detection> = all.iter().collect();
        let verdicts = judge(&truth, &found);
        use Verdict::*;
        assert_eq!(verdicts, [Hit(0), FalseAlarm, FalseAlarm, FalseAlarm, Ignored, Hit(1)]);
        // Without the lower scores the others' verdicts are the same.
        assert_eq!(judge(&truth, &found[..4]), verdicts[..4]);
        let mut tally = Tally::default();
        tally.add(&truth, &found, &verdicts);
        assert_eq!(tally.objects, 2);
        assert_eq!(tally.counts(0.0), Counts { found: 2, false_alarms: 3, missed: 0 });
        assert_eq!(tally.counts(0.85), Counts { found: 1, false_alarms: 0, missed: 1 });
        assert_eq!(tally.counts(0.95).f1(), 0.0);
        // F1: 2/3 with the best alone (above 0.8), 4/7 with all; so the highest threshold that keeps the best.
        assert_eq!(tally.best_threshold(), 0.9);
    }

    #[test]
    fn nothing_to_find_and_nothing_found_is_perfect() {
        assert_eq!(Counts::default().f1(), 1.0);
        assert_eq!(judge(&[], &[]), []);
        assert_eq!(iou([0.0; 4], [0.0; 4]), 0.0);
    }
}
