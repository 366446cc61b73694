//! Folders to runs and sweeps.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::Loaded;
use crate::error::{RunFolderProblem, TrainError};
use crate::run::{metrics, EvalRecord, Record, RunFolder};
use crate::sweep::results::{refresh, Results};
use crate::sweep::SweepFolder;

/// Bytes of a JSON or YAML file of a run at most.
const MAX_BYTES: u64 = 256 << 20;

/// A run as the report sees it.
#[derive(Clone, Debug)]
pub struct RunData {
    /// Display name, unique within the report.
    pub name: String,
    /// Its folder.
    pub folder: RunFolder,
    /// Its experiment.
    pub loaded: Loaded,
    /// `config.yaml` as it stands there, with who set each value.
    pub config_text: String,
    /// Its records.
    pub records: Vec<Record>,
    /// `environment.json`; null where there is none.
    pub environment: Value,
    /// Number of its colour: seeds of one row share theirs.
    pub colour: usize,
    /// Whether its detections, configuration and environment are shown; of a sweep's row the first seed stands for all.
    pub detailed: bool,
}

/// A sweep as the report sees it.
#[derive(Clone, Debug)]
pub struct SweepData {
    /// Its folder.
    pub root: PathBuf,
    /// Its results, as they are now.
    pub results: Results,
}

/// All that a report shows.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Runs, trials of sweeps included.
    pub runs: Vec<RunData>,
    /// Sweeps.
    pub sweeps: Vec<SweepData>,
}

impl RunData {
    /// The last evaluation.
    pub fn last_evaluation(&self) -> Option<&EvalRecord> {
        self.records.iter().rev().find_map(|r| match r {
            Record::Eval(e) => Some(e),
            _ => None,
        })
    }

    /// Name of the metric that decides what is best.
    pub fn headline(&self) -> Option<&str> {
        let e = self.last_evaluation()?;
        // Masks come last and decide where there are some.
        e.metrics.iter().rev().find(|(_, v)| *v == e.headline).map(|(name, _)| name.as_str())
    }

    /// Seconds of training and evaluation that are on record.
    pub fn seconds(&self) -> f64 {
        let of = |r: &Record| match r {
            Record::Epoch(e) => e.seconds,
            Record::Eval(e) => e.seconds,
            Record::Step(_) => 0.0,
        };
        self.records.iter().map(of).sum()
    }
}

/// Reads all folders.
///
/// # Errors
/// See [`super::make`].
pub fn read(folders: &[PathBuf]) -> Result<Sources, TrainError> {
    let mut sources = Sources::default();
    let mut colours = 0;
    for folder in folders {
        if folder.join("trials").is_dir() {
            read_sweep(folder, &mut sources, &mut colours)?;
        } else if folder.join("config.yaml").is_file() {
            let name = folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
            sources.runs.push(read_run(folder, name, colours, true)?);
            colours += 1;
        } else {
            let problem = match folder.is_dir() {
                true => RunFolderProblem::NeitherRunNorSweep,
                false => RunFolderProblem::Missing,
            };
            return Err(TrainError::RunFolder { path: folder.clone(), problem });
        }
    }
    tell_apart(&mut sources.runs);
    Ok(sources)
}

fn read_run(root: &Path, name: String, colour: usize, detailed: bool) -> Result<RunData, TrainError> {
    let folder = RunFolder::at(root);
    let config = folder.config();
    Ok(RunData {
        loaded: Loaded::read(&config, &[])?,
        config_text: repghost_files::read_text_bounded(&config, MAX_BYTES).map_err(TrainError::io(&config))?,
        records: metrics::read(&folder.metrics_log())?,
        environment: read_json(&folder.environment()).unwrap_or_default(),
        name,
        folder,
        colour,
        detailed,
    })
}

fn read_sweep(root: &Path, sources: &mut Sources, colours: &mut usize) -> Result<(), TrainError> {
    let folder = SweepFolder::at(root);
    let table = root.join(SweepFolder::TABLE);
    let results: Option<Results> = read_json(&table);
    let Some(mut results) = results else {
        let problem = RunFolderProblem::NoTable { table: SweepFolder::TABLE };
        return Err(TrainError::RunFolder { path: root.into(), problem });
    };
    refresh(&mut results, &folder)?;
    for row in &results.rows {
        let mut detailed = true;
        for trial in row.trials.iter().filter(|t| folder.run(&t.id).join("config.yaml").is_file()) {
            let name = match row.trials.len() {
                1 => row.name.clone(),
                _ => format!("{}, seed {}", row.name, trial.seed),
            };
            sources.runs.push(read_run(&folder.run(&trial.id), name, *colours, detailed)?);
            detailed = false;
        }
        *colours += 1;
    }
    sources.sweeps.push(SweepData { root: root.into(), results });
    Ok(())
}

/// Runs of one name get their folders' paths.
fn tell_apart(runs: &mut [RunData]) {
    let names: Vec<String> = runs.iter().map(|r| r.name.clone()).collect();
    for run in runs {
        if names.iter().filter(|n| **n == run.name).count() > 1 {
            run.name = run.folder.root().display().to_string();
        }
    }
}

/// A JSON file; `None` where it is not there or is something else.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    repghost_files::read_text_bounded(path, MAX_BYTES).ok().and_then(|text| serde_json::from_str(&text).ok())
}
