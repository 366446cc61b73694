//! Repeat-factor sampling: images with rare classes come more often (Gupta, Dollár and Girshick, "LVIS", 2019).

use repghost_config::Check;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::annotations::Dataset;

/// The keys below `data.repeat_factor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RepeatFactorConfig {
    /// Share of images t: a class that a share f < t of the images holds is repeated sqrt(t / f) times per epoch. An image is repeated as
    /// often as its rarest class. LVIS takes 0.001; a small set needs more, such as 0.1.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1.0))]
    pub threshold: f64,
}

impl Default for RepeatFactorConfig {
    fn default() -> Self {
        Self { threshold: 0.001 }
    }
}

impl Check for RepeatFactorConfig {}

/// How often each image comes per epoch, 1 or more.
#[derive(Clone, Debug, PartialEq)]
pub struct RepeatFactors {
    /// By image.
    pub images: Vec<f64>,
    /// Classes that are repeated, with their factors, the rarest first.
    pub classes: Vec<(String, f64)>,
}

/// The factors of a set. Crowds and boxes without area count as little as in training.
pub fn repeat_factors(dataset: &Dataset, config: &RepeatFactorConfig) -> RepeatFactors {
    let labels: Vec<Vec<i64>> = (0..dataset.len())
        .map(|index| {
            let mut labels: Vec<i64> = dataset.training_objects(index).map(|(object, _)| object.label).collect();
            labels.sort_unstable();
            labels.dedup();
            labels
        })
        .collect();
    let factor = |label: i64| {
        let images = labels.iter().filter(|held| held.contains(&label)).count();
        let share = images as f64 / dataset.len().max(1) as f64;
        (config.threshold / share.max(f64::MIN_POSITIVE)).sqrt().max(1.0)
    };
    let with_images = |label: i64| labels.iter().any(|held| held.contains(&label));
    let of_class: Vec<(i64, String, f64)> = dataset
        .classes
        .iter()
        .filter(|class| with_images(class.label))
        .map(|class| (class.label, class.name.clone(), factor(class.label)))
        .collect();
    let find = |label: &i64| of_class.iter().find(|(l, ..)| l == label).map_or(1.0, |(.., factor)| *factor);
    let images = labels.iter().map(|held| held.iter().map(find).fold(1.0, f64::max)).collect();
    let mut classes: Vec<(String, f64)> = of_class.iter().filter(|(.., f)| *f > 1.0).map(|(_, n, f)| (n.clone(), *f)).collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    RepeatFactors { images, classes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::{Annotation, ClassList, ImageRecord, LabelMode, SampleAnnotations};

    /// 16 images, all with class 0, four with class 1, one with class 2. At t = 0.64: sqrt(0.64 / 0.25) = 1.6 and sqrt(0.64 / 0.0625) = 3.2.
    #[test]
    fn factors_are_those_of_the_rarest_class() {
        let object = |label: i64| Annotation { label, bbox: [1.0, 1.0, 5.0, 5.0], ..Annotation::default() };
        let samples = (0..16).map(|i| {
            let mut annotations = vec![object(0), object(0)];
            annotations.extend((i < 4).then(|| object(1)));
            annotations.extend((i == 3).then(|| object(2)));
            let image = ImageRecord { id: i, file_name: format!("{i}"), height: 20, width: 20 };
            SampleAnnotations { image, annotations }
        });
        let names = ["all", "four", "one", "none"].map(String::from);
        let classes = ClassList::new((1..).zip(names), LabelMode::Contiguous).unwrap();
        let factors = repeat_factors(&Dataset::from_samples(samples.collect(), classes), &RepeatFactorConfig { threshold: 0.64 });
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(factors.images[..3].iter().all(|f| near(*f, 1.6)) && near(factors.images[3], 3.2), "{:?}", factors.images);
        assert!(factors.images[4..].iter().all(|f| *f == 1.0));
        let classes: Vec<&str> = factors.classes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(classes, ["one", "four"], "a class without an image is not repeated");
    }
}
