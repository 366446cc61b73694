//! CONFIG, overrides, images and `--weights`: the arguments of every command that runs a trained network.

use std::path::{Path, PathBuf};

use repghost_export::engine_pool::EXTENSION;
use repghost_export::metadata::experiment_of;
use repghost_train::config::published::published;
use repghost_train::config::{built_in, overrides, Loaded};
use repghost_train::model::read_experiment;
use repghost_train::run::RunFolder;
use repghost_train::WeightsFile;

use crate::bad_input::{bad_input, MarkBadInput};
use crate::commands::device::DeviceArgs;

/// Arguments of the commands that run a trained network on images.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// Experiment file or run folder, `key=value` overrides, images and folders of images (for `predict` videos and streams too). CONFIG may be left out where the weights file
    /// describes its network, as those of a run and exported files do.
    #[arg(value_name = "CONFIG|KEY=VALUE|IMAGE|DIR", required = true)]
    items: Vec<String>,

    /// Weights of a detector, classifier or backbone (in any form), a checkpoint, or a published name (`weights list`). Without it: the best
    /// of the run folder CONFIG.
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<PathBuf>,
}

/// A network and images for it.
pub struct ModelInput {
    /// Its experiment.
    pub loaded: Loaded,
    /// Its weights.
    pub weights: PathBuf,
    /// Files and folders.
    pub images: Vec<PathBuf>,
}

impl ModelArgs {
    /// Sorts the arguments and reads the experiment.
    pub fn read(self, device: &DeviceArgs) -> anyhow::Result<ModelInput> {
        let items = device.added_to(&self.items);
        let (overrides, paths): (Vec<String>, Vec<String>) = items.into_iter().partition(|item| is_override(item));
        let mut paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
        let config = match paths.first() {
            Some(first) if is_experiment(first) || self.weights.is_none() => Some(paths.remove(0)),
            _ => None,
        };
        let weights = match (self.weights, &config) {
            (Some(weights), _) => published(&weights).bad_input()?.unwrap_or(weights),
            (None, Some(config)) => best_weights(config)?,
            (None, None) => return Err(bad_input("expected an experiment file or a run folder")),
        };
        let loaded = match &config {
            Some(config) => read_experiment(config, &overrides)?,
            None if weights.extension().is_some_and(|x| x == EXTENSION) => experiment_of(&weights, &overrides)?,
            None => WeightsFile::read(&weights)?.experiment(&overrides)?,
        };
        Ok(ModelInput { loaded, weights, images: paths })
    }
}

/// True for `key=value`; a file of such a name (`a=b.jpg`) is a file.
pub fn is_override(item: &str) -> bool {
    overrides::is_override(item) && !Path::new(item).exists()
}

/// The experiment that a list of arguments names: one file or run folder, and overrides behind it.
pub fn experiment(items: &[String]) -> anyhow::Result<Loaded> {
    let (config, overrides) = config_and_overrides(items)?;
    Ok(read_experiment(&config, &overrides)?)
}

/// The best weights of the run folder that a list of arguments names.
pub fn best_of(items: &[String]) -> anyhow::Result<PathBuf> {
    best_weights(&config_and_overrides(items)?.0)
}

fn config_and_overrides(items: &[String]) -> anyhow::Result<(PathBuf, Vec<String>)> {
    let (overrides, files): (Vec<_>, Vec<_>) = items.iter().cloned().partition(|item| is_override(item));
    match files.as_slice() {
        [file] => Ok((PathBuf::from(file), overrides)),
        files => Err(bad_input(format!("expected one experiment file or run folder, found {}", files.len()))),
    }
}

fn is_experiment(path: &Path) -> bool {
    let is_file = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    // A name of the built-in list, where no file or folder has it.
    let is_built_in = !path.exists() && built_in::find(path).is_some();
    is_file || is_built_in || RunFolder::at(path).config().is_file()
}

/// The best weights of a run folder, or its last ones where none was measured yet.
fn best_weights(config: &Path) -> anyhow::Result<PathBuf> {
    let folder = RunFolder::at(config);
    if !folder.config().is_file() {
        return Err(bad_input(format!("{}: is no run folder, so --weights FILE has to name the weights", config.display())));
    }
    let found = ["best", "last"].map(|name| folder.weights_file(name)).into_iter().find(|file| file.is_file());
    found.ok_or_else(|| bad_input(format!("{}: holds no weights yet; --weights FILE names some", folder.weights().display())))
}
