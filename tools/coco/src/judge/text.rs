//! Judgements as lines for a terminal.

use super::comparison::{Change, Comparison, Verdict};
use super::diagnosis::{Diagnosis, Group};
use super::thresholds::{Chosen, Thresholds};

/// Classes, types and images that a line names at most.
const NAMED: usize = 3;

impl Diagnosis {
    /// Six lines: errors, confusion, calibration, sizes, classes, images.
    pub fn lines(&self) -> Vec<String> {
        vec![
            self.errors_line(),
            self.confusion_line(),
            self.calibration_line(),
            self.sizes_line(),
            self.classes_line(),
            self.worst_line(),
        ]
        .into_iter()
        .zip(["errors", "confusion", "calibration", "sizes", "classes", "images"])
        .map(|(text, name)| format!("{name:<12} {text}"))
        .collect()
    }

    fn errors_line(&self) -> String {
        let mut errors: Vec<_> = self.errors.iter().filter(|e| e.count > 0).collect();
        errors.sort_by(|a, b| b.ap50_gain.total_cmp(&a.ap50_gain));
        if errors.is_empty() {
            return "none".into();
        }
        let each: Vec<String> = errors.iter().map(|e| format!("{} {:+.3} ({})", e.name, e.ap50_gain, e.count)).collect();
        format!("AP50 is {:.3}; repairing all of a type would add: {}", self.ap50, each.join(", "))
    }

    fn confusion_line(&self) -> String {
        let (matched, mixed) = self.confusion.matched();
        let most = self.confusion.worst().map(|(truth, found, n)| format!("; most often {truth} was taken for {found} ({n})"));
        format!("{mixed} of {matched} objects in the right place got another class{}", most.unwrap_or_default())
    }

    fn calibration_line(&self) -> String {
        let Some(c) = &self.calibration else { return "no detections with scores from 0 to 1".into() };
        let promise = if c.excess >= 0.0 { "above" } else { "below" };
        format!(
            "calibration error {:.3} over {} detections; scores are {:.3} {promise} the share of hits on average",
            c.ece,
            c.detections,
            c.excess.abs()
        )
    }

    fn sizes_line(&self) -> String {
        let one = |g: &Group| match g.recall() {
            Some(recall) => format!("{} {:.3} of {}", g.name, recall, g.objects),
            None => format!("{} –", g.name),
        };
        format!("recall at score {:.2}: {}", self.score_threshold, self.sizes.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    fn classes_line(&self) -> String {
        let mut measured: Vec<(&Group, f64)> = self.classes.iter().filter_map(|g| Some((g, g.ap?))).collect();
        measured.sort_by(|a, b| a.1.total_cmp(&b.1));
        let one = |(g, ap): &(&Group, f64)| {
            let share = |v: Option<f64>| v.map_or("–".to_owned(), |v| format!("{v:.2}"));
            format!("{} (AP {ap:.3}, precision {}, recall {})", g.name, share(g.precision()), share(g.recall()))
        };
        match measured.as_slice() {
            [] => "no class has an object".into(),
            all => format!("weakest: {}", all.iter().take(NAMED).map(one).collect::<Vec<_>>().join(", ")),
        }
    }

    fn worst_line(&self) -> String {
        let one = |w: &super::diagnosis::WorstImage| {
            format!("{} (F1 {:.2}: {} found, {} missed, {} false alarms)", w.file_name, w.f1, w.found, w.missed, w.false_alarms)
        };
        match self.worst.as_slice() {
            [] => "none has an error".into(),
            all => format!("worst: {}", all.iter().take(NAMED).map(one).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Change {
    /// The verdict in words: `B is better by 0.046 (95 %: 0.011 to 0.081)`. `first` and `second` name the sides.
    pub fn sentence(&self, first: &str, second: &str) -> String {
        let (difference, low, high) = (self.difference, self.low, self.high);
        match self.verdict {
            Verdict::Better => format!("{second} is better than {first} by {difference:.4} (95 %: {low:.4} to {high:.4})"),
            Verdict::Worse => {
                format!("{second} is worse than {first} by {:.4} (95 %: {:.4} to {:.4})", -difference, -high, -low)
            }
            Verdict::CannotTell => {
                format!("{second} and {first} cannot be told apart: {difference:+.4} (95 %: {low:+.4} to {high:+.4})")
            }
            Verdict::Equal => format!("{second} and {first} are equal on every sample"),
        }
    }

    /// One word.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::CannotTell => "cannot tell",
            Verdict::Equal => "equal",
        }
    }
}

impl Comparison {
    /// The verdict, what it rests on, and a table.
    pub fn text(&self, first: &str, second: &str) -> String {
        let of = match self.iou_type {
            crate::metrics::IouType::Bbox => "boxes",
            crate::metrics::IouType::Segm => "masks",
        };
        let mut text = format!("AP of {of}: {}\n", self.ap().sentence(first, second));
        let seeds = match self.seed_noise {
            true => format!("; the noise of seeds is in the interval ({} and {} runs)", self.runs[0], self.runs[1]),
            false => "; one run each: the noise of seeds is not in the interval".into(),
        };
        text += &format!("{} images, {} bootstrap samples{seeds}\n\n", self.images, self.samples);
        let widest = self.overall.iter().chain(&self.classes).map(|c| c.name.chars().count()).max().unwrap_or(0).clamp(5, 30);
        text += &format!("{:<widest$}{:>9}{:>9}{:>10}{:>20}  verdict\n", "", "A", "B", "change", "95 %");
        for change in self.overall.iter().chain(&self.classes) {
            let interval = format!("{:+.4} to {:+.4}", change.low, change.high);
            text += &format!(
                "{:<widest$}{:>9.4}{:>9.4}{:>+10.4}{interval:>20}  {}\n",
                change.name,
                change.a,
                change.b,
                change.difference,
                change.word()
            );
        }
        if self.classes.len() > 1 {
            text += "Verdicts on classes are corrected for their number (Holm); intervals are of each class alone.\n";
        }
        text
    }
}

impl Thresholds {
    /// The thresholds with their intervals.
    pub fn text(&self) -> String {
        let one = |c: &Chosen| {
            format!(
                "{:.3} ({:.3} to {:.3})   precision {:.3}   recall {:.3}   F1 {:.3}",
                c.threshold, c.low, c.high, c.precision, c.recall, c.f1
            )
        };
        let widest = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).clamp(11, 30);
        let mut text = format!("thresholds for {} on {} images (95 %)\n", self.goal, self.images);
        text += &format!("{:<widest$}  {}\n", "all classes", one(&self.shared));
        for class in &self.classes {
            let shown = match (&class.chosen, &class.reason) {
                (Some(chosen), _) => one(chosen),
                (None, reason) => format!("as all: {}", reason.as_deref().unwrap_or("none was chosen")),
            };
            text += &format!("{:<widest$}  {shown}\n", class.name);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_in_words() {
        let change = |difference: f64, half: f64, verdict| Change {
            name: "AP".into(),
            a: 0.5,
            b: 0.5 + difference,
            difference,
            low: difference - half,
            high: difference + half,
            error: half / 2.0,
            p: 0.5,
            verdict,
        };
        let better = change(0.046, 0.035, Verdict::Better).sentence("A", "B");
        assert_eq!(better, "B is better than A by 0.0460 (95 %: 0.0110 to 0.0810)");
        let worse = change(-0.046, 0.035, Verdict::Worse).sentence("A", "B");
        assert_eq!(worse, "B is worse than A by 0.0460 (95 %: 0.0110 to 0.0810)");
        let unclear = change(0.01, 0.035, Verdict::CannotTell).sentence("A", "B");
        assert_eq!(unclear, "B and A cannot be told apart: +0.0100 (95 %: -0.0250 to +0.0450)");
    }
}
