//! The sweep file's keys.
//!
//! ```yaml
//! title: Branches of the RepGhost module
//! setting: imagenet                     # `setting=demo` on the command line runs it on built-in data
//! settings:
//!   imagenet: {base: ../imagenet/repghostnet_0.5x.yaml, metric: top1}
//!   demo: {base: ../demo.yaml, metric: bbox.AP, seeds: [0, 1, 2], set: {train.epochs: 10}}
//! axes:
//!   branches:
//!     bn: {model.backbone.branches: [bn]}
//!     none: {model.backbone.branches: []}
//! seeds: [0]
//! exclude: []
//! ```
//!
//! A sweep that has only one base needs no settings, and an axis that varies one key is that key with a list:
//!
//! ```yaml
//! base: demo
//! metric: bbox.AP
//! axes: {train.optimizer.lr: [0.005, 0.01, 0.02]}
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::axis::Axes;
use super::filter::Filter;
use super::overrides::{Named, OverrideMap};
use crate::config::load::{deserialize, read_tree_of_overrides};
use crate::config::overrides::Override;
use crate::config::ConfigError;

/// A base experiment that a sweep can be run on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// The experiment file, relative to the sweep file.
    pub base: PathBuf,
    /// The metric that the table shows: `top1`, `bbox.AP`, `segm.AP50`, …
    pub metric: String,
    /// Seeds, where they differ from the sweep's.
    #[serde(default)]
    pub seeds: Option<Vec<u64>>,
    /// Overrides for every trial, after the axes'.
    #[serde(default)]
    pub set: OverrideMap,
}

/// A figure that somebody published for a row. It stands in a column of its own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The row: value names joined by `, `.
    pub row: String,
    /// The figure.
    pub value: f64,
    /// What it measures: `ImageNet top-1, %`.
    pub metric: String,
    /// Where it was published.
    pub source: String,
}

/// A sweep file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// What is asked, for the table's head.
    #[serde(default)]
    pub title: String,
    /// A note for readers of the table.
    #[serde(default)]
    pub note: String,
    /// The name of the setting to run; not needed where there is only one.
    #[serde(default)]
    pub setting: Option<String>,
    /// The settings to choose from.
    #[serde(default)]
    pub settings: Named<Setting>,
    /// Without settings: the experiment file, relative to the sweep file, or a built-in experiment.
    #[serde(default)]
    pub base: Option<PathBuf>,
    /// Without settings: the metric that the table shows.
    #[serde(default)]
    pub metric: Option<String>,
    /// Axis name to value name to overrides. The first axis varies slowest; the first row is what others are compared with.
    pub axes: Axes,
    /// Overrides for every trial; they come last, after the axes' and the setting's.
    #[serde(default)]
    pub set: OverrideMap,
    /// Seeds (`train.seed`) of each row.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Run only combinations that fit one of these.
    #[serde(default)]
    pub only: Vec<Filter>,
    /// Leave out combinations that fit one of these.
    #[serde(default)]
    pub exclude: Vec<Filter>,
    /// Known figures.
    #[serde(default)]
    pub published: Vec<Published>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

impl SweepFile {
    /// Reads a sweep file (`_base_` works here too) and applies `key=value` overrides to it: `setting=demo`, `seeds=[0, 1]`,
    /// `set.train.epochs=3`, `only=[{width: 0.5x}]`.
    ///
    /// # Errors
    /// As for experiments.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut tree = read_tree_of_overrides(path)?;
        for argument in overrides {
            Override::parse(argument)?.apply(&mut tree)?;
        }
        let mut file: Self = deserialize(&tree)?;
        file.fill_setting()?;
        file.check(&Arc::from(path.display().to_string()))?;
        Ok(file)
    }

    /// A sweep with `base` and `metric` has one setting without a name; of a single setting the name need not be written.
    fn fill_setting(&mut self) -> Result<(), ConfigError> {
        let missing = |key: &str, expected: &str| Err(ConfigError::Missing { key: key.into(), expected: expected.into() });
        match (self.base.take(), self.metric.take(), self.settings.0.as_slice()) {
            (Some(base), Some(metric), []) => {
                self.settings.0.push((String::new(), Setting { base, metric, seeds: None, set: OverrideMap::default() }));
                self.setting = Some(String::new());
            }
            (None, _, []) => return missing("base", "an experiment file (or settings to choose from)"),
            (Some(_), None, []) => return missing("metric", "what the table shows, as bbox.AP or top1"),
            (None, None, [(only, _)]) if self.setting.is_none() => self.setting = Some(only.clone()),
            (None, None, _) if self.setting.is_none() => return missing("setting", "the name of one of the settings"),
            (None, None, _) => {}
            _ => return missing("settings", "either settings, or base and metric, not both"),
        }
        Ok(())
    }

    /// The name of the chosen setting; empty for a sweep without settings.
    pub fn setting_name(&self) -> &str {
        self.setting.as_deref().unwrap_or_default()
    }

    /// The chosen setting.
    pub fn chosen(&self) -> Option<&Setting> {
        self.settings.get(self.setting_name())
    }

    /// The seeds of the chosen setting, else the sweep's.
    pub fn chosen_seeds(&self) -> &[u64] {
        self.chosen().and_then(|s| s.seeds.as_deref()).unwrap_or(&self.seeds)
    }

    fn check(&self, path: &Arc<str>) -> Result<(), ConfigError> {
        let fail = |key: String, found: String, expected: String| {
            let origin = crate::config::Origin::File(path.clone());
            Err(ConfigError::Value { key, found, expected, origin })
        };
        let list = |names: Vec<&str>| format!("one of {}", names.join(", "));
        if self.chosen().is_none() {
            return fail("setting".into(), format!("'{}'", self.setting_name()), list(self.settings.names().collect()));
        }
        for (axis, values) in &self.axes.0 .0 {
            if values.0.is_empty() {
                return fail(format!("axes.{axis}"), "no values".into(), "at least one".into());
            }
        }
        let seeds = self.chosen_seeds();
        if seeds.is_empty() || seeds.iter().enumerate().any(|(i, s)| seeds[..i].contains(s)) {
            return fail("seeds".into(), format!("{seeds:?}"), "at least one seed, each once".into());
        }
        for (key, filters) in [("only", &self.only), ("exclude", &self.exclude)] {
            for (axis, names) in filters.iter().flatten() {
                let Some(values) = self.axes.0.get(axis) else {
                    return fail(
                        format!("{key}.{axis}"),
                        "an axis that is not there".into(),
                        list(self.axes.0.names().collect()),
                    );
                };
                if let Some(name) = names.list().iter().find(|n| values.get(n).is_none()) {
                    return fail(format!("{key}.{axis}"), format!("'{name}'"), list(values.names().collect()));
                }
            }
        }
        Ok(())
    }
}
