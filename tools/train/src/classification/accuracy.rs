//! Top-1 and top-5 accuracy, in all and by class.
//!
//! A set whose classes are of very different sizes is half known by its largest class alone, so that the mean over classes stands
//! beside the share of images.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::infer::ImageScores;
use crate::error::TrainError;
use crate::run::folder::write_json;

/// Guesses that count for the second number.
const GUESSES: usize = 5;
/// Probabilities below count as this in the loss.
const LEAST: f32 = 1e-12;

/// How often the classifier was right. Shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Images measured.
    pub images: usize,
    /// Share whose most probable class is the true one.
    pub top1: f64,
    /// Share whose true class is among the five most probable.
    pub top5: f64,
    /// Mean over the classes of their top-1 shares; classes without an image do not count.
    pub mean_class_top1: f64,
    /// Mean cross-entropy, without label smoothing.
    pub loss: f64,
    /// Each class, in the order of the labels.
    pub classes: Vec<ClassAccuracy>,
}

/// How often one class was predicted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassAccuracy {
    /// Its name.
    pub name: String,
    /// Images of it.
    pub images: usize,
    /// Share of these that were recognised; none where there are none.
    pub top1: Option<f64>,
    /// The class that its other images were most often taken for, and how often.
    pub taken_for: Option<(String, usize)>,
}

impl Accuracy {
    /// Counts. Images without a label are left out.
    pub fn of(scored: &[ImageScores], names: &[String]) -> Self {
        let mut confusion = vec![vec![0usize; names.len()]; names.len()];
        let (mut images, mut among, mut loss) = (0usize, 0usize, 0.0);
        for s in scored {
            let Some(label) = s.label.filter(|l| *l < names.len().min(s.probabilities.len())) else { continue };
            let top = s.top(GUESSES);
            images += 1;
            among += usize::from(top.contains(&label));
            loss -= f64::from(s.probabilities[label].max(LEAST).ln());
            if let Some(cell) = top.first().and_then(|guess| confusion[label].get_mut(*guess)) {
                *cell += 1;
            }
        }
        let share = |part: usize, of: usize| if of == 0 { f64::NAN } else { part as f64 / of as f64 };
        let classes: Vec<ClassAccuracy> = confusion.iter().enumerate().map(|(i, row)| class(i, row, names)).collect();
        let known: Vec<f64> = classes.iter().filter_map(|c| c.top1).collect();
        Self {
            images,
            top1: share((0..names.len()).map(|i| confusion[i][i]).sum(), images),
            top5: share(among, images),
            mean_class_top1: known.iter().sum::<f64>() / known.len() as f64,
            loss: loss / images as f64,
            classes,
        }
    }

    /// Numbers by name, as records have them.
    pub fn named(&self) -> [(&'static str, f64); 4] {
        [("top1", self.top1), ("top5", self.top5), ("mean_class_top1", self.mean_class_top1), ("loss", self.loss)]
    }

    /// Writes `metrics.json` into a folder.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        std::fs::create_dir_all(folder).map_err(TrainError::io(folder))?;
        write_json(&folder.join("metrics.json"), self)
    }

    /// A table of the classes.
    pub fn class_table(&self) -> String {
        let widest = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).clamp(5, 40);
        let mut text = format!("{:<widest$}{:>9}{:>9}  most often taken for\n", "class", "images", "top-1");
        for c in &self.classes {
            let top1 = c.top1.map_or("-".into(), |v| format!("{v:.4}"));
            let taken = c.taken_for.as_ref().map_or(String::new(), |(name, n)| format!("{name} ({n})"));
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{:<widest$}{:>9}{top1:>9}  {taken}", c.name, c.images);
        }
        text
    }

    /// One line.
    pub fn summary(&self) -> String {
        format!(
            "{} images: top-1 {:.4}, top-5 {:.4}, mean over classes {:.4}, loss {:.4}",
            self.images, self.top1, self.top5, self.mean_class_top1, self.loss
        )
    }
}

/// Row `label` of the confusion matrix.
fn class(label: usize, row: &[usize], names: &[String]) -> ClassAccuracy {
    let images: usize = row.iter().sum();
    let others = row.iter().enumerate().filter(|(guess, count)| *guess != label && **count > 0);
    let taken_for = others.max_by_key(|(guess, count)| (**count, usize::MAX - guess));
    ClassAccuracy {
        name: names[label].clone(),
        images,
        top1: (images > 0).then(|| row[label] as f64 / images as f64),
        taken_for: taken_for.map(|(guess, count)| (names[guess].clone(), *count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(label: usize, probabilities: &[f32]) -> ImageScores {
        ImageScores { image_id: 0, file_name: String::new(), label: Some(label), probabilities: probabilities.to_vec() }
    }

    /// Seven classes; three images of class 0 (right; second guess; seventh guess) and one of class 6 (a tie: the first counts).
    #[test]
    fn counted_by_hand() {
        let names: Vec<String> = (0..7).map(|i| format!("c{i}")).collect();
        let scored = [
            scored(0, &[0.7, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05]),
            scored(0, &[0.3, 0.4, 0.1, 0.05, 0.05, 0.05, 0.05]),
            scored(0, &[0.01, 0.4, 0.2, 0.1, 0.1, 0.1, 0.09]),
            scored(6, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]),
        ];
        let a = Accuracy::of(&scored, &names);
        assert_eq!((a.images, a.top1, a.top5), (4, 0.25, 0.75));
        assert!((a.mean_class_top1 - (1.0 / 3.0 + 0.0) / 2.0).abs() < 1e-12);
        let loss = -(0.7f64.ln() + 0.3f64.ln() + 0.01f64.ln() + 0.5f64.ln()) / 4.0;
        assert!((a.loss - loss).abs() < 1e-6, "{} {loss}", a.loss);
        assert_eq!(a.classes[0].taken_for, Some(("c1".into(), 2)));
        assert_eq!((a.classes[3].images, a.classes[3].top1), (0, None));
        assert!(a.class_table().lines().nth(1).unwrap().contains("0.3333  c1 (2)"), "{}", a.class_table());
        assert!(Accuracy::of(&[], &names).top1.is_nan());
    }
}
