//! A sweep file to a list of trials.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::file::{Published, SweepFile};
use super::filter;
use crate::config::load::read_base;
use crate::config::node::Origin;
use crate::config::overrides::Override;
use crate::config::{ConfigError, Loaded};

/// One experiment of a sweep.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Name of its folder; depends only on value names and seed, so that a sweep that grew finds its old trials.
    pub id: String,
    /// Its row in the table: value names joined by `, `.
    pub row: String,
    /// Axis and value names.
    pub values: Vec<(String, String)>,
    /// Its seed.
    pub seed: u64,
    /// The experiment, resolved and checked.
    pub loaded: Loaded,
}

/// All that a sweep will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Title of the sweep.
    pub title: String,
    /// A note for readers of the table.
    pub note: String,
    /// Name of the setting.
    pub setting: String,
    /// The metric to compare by.
    pub metric: String,
    /// Rows of the table, in order.
    pub rows: Vec<String>,
    /// Trials, row by row, then by seed.
    pub trials: Vec<Trial>,
    /// Known figures, of rows in this plan.
    pub published: Vec<Published>,
}

impl Plan {
    /// Reads a sweep file and resolves every trial.
    ///
    /// # Errors
    /// What is wrong with the sweep file, its base, or the first trial whose experiment does not resolve.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let file = SweepFile::read(path, overrides)?;
        let origin: Arc<str> = path.display().to_string().into();
        let Some(setting) = file.chosen() else { return Err(no_trials(&origin)) };
        let (base_path, base) = read_base(path, &setting.base)?;
        let combinations: Vec<Vec<(String, String)>> =
            combine(&file).into_iter().filter(|values| filter::keeps(&file.only, &file.exclude, values)).collect();
        let all_rows: Vec<String> = combine(&file).iter().map(|v| row_label(v)).collect();
        check_published(&file.published, &all_rows, &origin)?;
        let mut trials = Vec::new();
        for values in &combinations {
            for seed in file.chosen_seeds() {
                let mut tree = base.clone();
                for (axis, name) in values {
                    if let Some(overrides) = file.axes.0.get(axis).and_then(|a| a.get(name)) {
                        overrides.apply(&mut tree, &origin)?;
                    }
                }
                setting.set.apply(&mut tree, &origin)?;
                file.set.apply(&mut tree, &origin)?;
                Override::from_value("train.seed", (*seed).into(), Origin::File(origin.clone()))?.apply(&mut tree)?;
                let id = trial_id(values, *seed);
                let loaded = Loaded::from_tree(tree, &base_path)
                    .map_err(|e| ConfigError::Trial { trial: id.clone(), source: Box::new(e) })?;
                trials.push(Trial { id, row: row_label(values), values: values.clone(), seed: *seed, loaded });
            }
        }
        check_ids(&trials, &origin)?;
        check_rows(&trials, &origin)?;
        if trials.is_empty() {
            return Err(no_trials(&origin));
        }
        let rows: Vec<String> = combinations.iter().map(|v| row_label(v)).collect();
        Ok(Self {
            title: file.title.clone(),
            note: file.note.clone(),
            setting: file.setting_name().to_string(),
            metric: setting.metric.clone(),
            published: file.published.into_iter().filter(|p| rows.contains(&p.row)).collect(),
            rows,
            trials,
        })
    }

    /// The trials of one shard: every `count`-th, so that seeds and rows are spread evenly.
    pub fn shard(&self, shard: Shard) -> impl Iterator<Item = &Trial> {
        self.trials.iter().skip(shard.index - 1).step_by(shard.count)
    }
}

/// `I/N`: the I-th of N machines, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub index: usize,
    /// How many.
    pub count: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 1, count: 1 }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no shard; expected I/N with I from 1 to N, as in 2/4");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let (index, count) = (index.parse().map_err(|_| wrong())?, count.parse().map_err(|_| wrong())?);
        if (1..=count).contains(&index) {
            Ok(Self { index, count })
        } else {
            Err(wrong())
        }
    }
}

/// Every combination of one value per axis; the first axis varies slowest.
fn combine(file: &SweepFile) -> Vec<Vec<(String, String)>> {
    file.axes.0 .0.iter().fold(vec![Vec::new()], |combinations, (axis, values)| {
        combinations
            .iter()
            .flat_map(|done| {
                values.names().map(move |name| {
                    let mut next: Vec<(String, String)> = done.clone();
                    next.push((axis.clone(), name.to_string()));
                    next
                })
            })
            .collect()
    })
}

fn row_label(values: &[(String, String)]) -> String {
    match values {
        [] => "base".into(),
        values => values.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// `0.5x, without` and seed 1 to `0.5x-without-seed1`: letters, digits and `._` stay, runs of anything else become one `_`.
fn trial_id(values: &[(String, String)], seed: u64) -> String {
    let mut id = String::new();
    for (_, name) in values {
        let words: Vec<&str> =
            name.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').filter(|w| !w.is_empty()).collect();
        id.push_str(&words.join("_").to_ascii_lowercase());
        id.push('-');
    }
    format!("{id}seed{seed}")
}

fn check_ids(trials: &[Trial], origin: &Arc<str>) -> Result<(), ConfigError> {
    for (i, trial) in trials.iter().enumerate() {
        if let Some(other) = trials[..i].iter().find(|t| t.id == trial.id) {
            return Err(ConfigError::Value {
                key: "axes".into(),
                found: format!("'{}' and '{}', which would share the folder {}", other.row, trial.row, trial.id),
                expected: "names that differ in letters or digits".into(),
                origin: Origin::File(origin.clone()),
            });
        }
    }
    Ok(())
}

/// Overrides of the setting or of the command line may undo what an axis varies; the table would then compare a row with itself.
fn check_rows(trials: &[Trial], origin: &Arc<str>) -> Result<(), ConfigError> {
    for (i, trial) in trials.iter().enumerate() {
        let same = |other: &&Trial| other.seed == trial.seed && other.loaded.experiment == trial.loaded.experiment;
        if let Some(other) = trials[..i].iter().find(same) {
            return Err(ConfigError::Value {
                key: "axes".into(),
                found: format!("rows '{}' and '{}', which are the same experiment", other.row, trial.row),
                expected: "values that differ (an override may have undone them)".into(),
                origin: Origin::File(origin.clone()),
            });
        }
    }
    Ok(())
}

fn check_published(published: &[Published], rows: &[String], origin: &Arc<str>) -> Result<(), ConfigError> {
    match published.iter().find(|p| !rows.contains(&p.row)) {
        None => Ok(()),
        Some(p) => Err(ConfigError::Value {
            key: "published.row".into(),
            found: format!("'{}'", p.row),
            expected: format!("one of the rows: {}", rows.join("; ")),
            origin: Origin::File(origin.clone()),
        }),
    }
}

fn no_trials(origin: &Arc<str>) -> ConfigError {
    ConfigError::Value {
        key: "axes".into(),
        found: "no trial".into(),
        expected: "at least one that `only` and `exclude` leave".into(),
        origin: Origin::File(origin.clone()),
    }
}

/// The folder of a sweep: `--run-dir`, else `runs/` and the file's name, with the setting behind it.
pub fn sweep_dir(path: &Path, plan: &Plan, argument: Option<&Path>) -> PathBuf {
    match argument {
        Some(dir) => dir.to_path_buf(),
        None => {
            let name = path.file_stem().unwrap_or("sweep".as_ref()).to_string_lossy();
            let setting = if plan.setting.is_empty() { String::new() } else { format!("-{}", plan.setting) };
            Path::new("runs/sweeps").join(format!("{name}{setting}"))
        }
    }
}
