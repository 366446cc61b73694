//! What is timed.

use std::path::Path;

use repghost_backbone::BackboneConfig;
use repghost_train::error::TrainError;
use serde::{Deserialize, Serialize};

use crate::error::ExportError;
use crate::runtime::{Runtime, RUNTIMES};

/// A network to time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Name in the tables.
    pub name: String,
    /// The network, with a classifier.
    pub backbone: BackboneConfig,
}

/// Trained form, or folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Branches and batch norms as they are trained.
    Unfused,
    /// Folded.
    Fused,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Unfused, Self::Fused];

    /// As the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unfused => "unfused",
            Self::Fused => "fused",
        }
    }
}

/// The baseline that times are compared with, at the same batch and number of threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Baseline {
    /// Name of a model; the first one by default.
    pub model: Option<String>,
    /// Form; by default each row's own.
    pub form: Option<Form>,
    /// Runtime; by default each row's own.
    pub runtime: Option<&'static Runtime>,
}

/// A benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Heading of report and picture.
    pub title: String,
    /// Networks.
    pub models: Vec<ModelSpec>,
    /// Forms of each.
    pub forms: Vec<Form>,
    /// Runtimes; those that are not installed are left out, with a note.
    pub runtimes: Vec<&'static Runtime>,
    /// Images per run.
    pub batch: Vec<i64>,
    /// Threads per run.
    pub threads: Vec<usize>,
    /// Height and width of the images.
    pub size: [i64; 2],
    /// Classes of the classifiers.
    pub classes: i64,
    /// Timed runs of each variant, over all rounds.
    pub runs: usize,
    /// Rounds: in each, every variant is set up, warmed up and timed, one after another.
    pub rounds: usize,
    /// Runs before the timed ones of each round.
    pub warm_up: usize,
    /// What times are compared with.
    pub baseline: Baseline,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            title: "latency".into(),
            models: vec![],
            forms: vec![Form::Unfused, Form::Fused],
            runtimes: RUNTIMES.to_vec(),
            batch: vec![1],
            threads: vec![1],
            size: [224, 224],
            classes: 1000,
            runs: 100,
            rounds: 5,
            warm_up: 3,
            baseline: Baseline::default(),
        }
    }
}

/// One thing that is timed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variant {
    /// Name of the model.
    pub model: String,
    /// Its form.
    pub form: Form,
    /// Its runtime.
    pub runtime: &'static Runtime,
    /// Images per run.
    pub batch: i64,
    /// Threads per run.
    pub threads: usize,
}

impl Plan {
    /// Reads a YAML file.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else; the message names the key.
    pub fn read(path: &Path) -> Result<Self, ExportError> {
        let tree = repghost_train::config::load::read_tree(path).map_err(TrainError::from)?;
        Ok(repghost_train::config::load::deserialize(&tree).map_err(TrainError::from)?)
    }

    /// Refuses what cannot be timed.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn check(&self) -> Result<(), ExportError> {
        let refuse = |key: &'static str, why: String| Err(ExportError::Plan { key, why });
        if self.models.is_empty() {
            return refuse("models", "there is nothing to time".into());
        }
        for (key, empty) in [
            ("forms", self.forms.is_empty()),
            ("runtimes", self.runtimes.is_empty()),
            ("batch", self.batch.is_empty()),
            ("threads", self.threads.is_empty()),
        ] {
            if empty {
                return refuse(key, "the list is empty".into());
            }
        }
        if self.batch.iter().any(|b| !(1..=4096).contains(b)) || self.threads.iter().any(|t| !(1..=1024).contains(t)) {
            return refuse("batch and threads", "expected numbers of at least 1".into());
        }
        if self.runs == 0 || self.rounds == 0 {
            return refuse("runs and rounds", "expected at least 1".into());
        }
        if let Some(model) = &self.baseline.model {
            let names: Vec<&str> = self.models.iter().map(|m| m.name.as_str()).collect();
            if !names.contains(&model.as_str()) {
                let hint = repghost_train::config::suggest::hint(model, &names);
                return refuse("baseline.model", format!("there is no model '{model}'{hint}"));
            }
        }
        for m in &self.models {
            m.backbone.check().map_err(TrainError::from)?;
        }
        Ok(())
    }

    /// Everything that is timed, sorted so that rows that belong together are neighbours.
    pub fn variants(&self) -> Vec<Variant> {
        let mut all = vec![];
        for batch in &self.batch {
            for threads in &self.threads {
                for runtime in &self.runtimes {
                    for model in &self.models {
                        for form in &self.forms {
                            all.push(Variant {
                                model: model.name.clone(),
                                form: *form,
                                runtime,
                                batch: *batch,
                                threads: *threads,
                            });
                        }
                    }
                }
            }
        }
        all
    }

    /// The variant that `v` is compared with.
    pub fn baseline_of(&self, v: &Variant) -> Variant {
        let first = self.models.first().map_or_else(String::new, |m| m.name.clone());
        Variant {
            model: self.baseline.model.clone().unwrap_or(first),
            form: self.baseline.form.unwrap_or(v.form),
            runtime: self.baseline.runtime.unwrap_or(v.runtime),
            ..v.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let model = |name: &str| ModelSpec { name: name.into(), backbone: BackboneConfig::named(name) };
        Plan {
            models: vec![model("repghostnet"), model("ghostnet")],
            runtimes: RUNTIMES[..2].to_vec(),
            batch: vec![1, 8],
            ..Plan::default()
        }
    }

    #[test]
    fn every_combination_once_and_its_baseline_among_them() {
        let mut p = plan();
        p.check().unwrap();
        let all = p.variants();
        assert_eq!(all.len(), 2 * 2 * 2 * 2);
        p.baseline = Baseline { model: Some("ghostnet".into()), form: Some(Form::Fused), runtime: None };
        for v in &all {
            let b = p.baseline_of(v);
            assert!(all.contains(&b) && b.batch == v.batch && b.runtime == v.runtime && b.model == "ghostnet");
        }
    }

    #[test]
    fn what_cannot_be_timed_is_refused_by_its_key() {
        let refused = |change: &dyn Fn(&mut Plan), key: &str| {
            let mut p = plan();
            change(&mut p);
            let message = p.check().unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        };
        refused(&|p| p.models.clear(), "models");
        refused(&|p| p.batch = vec![0], "batch");
        refused(&|p| p.runs = 0, "runs");
        refused(&|p| p.baseline.model = Some("ghostnot".into()), "did you mean ghostnet?");
        refused(&|p| p.models[0].backbone.name = "resnet5O".into(), "did you mean resnet50?");
    }
}
