//! Arguments of `bench`, of networks and of detectors.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use repghost_backbone::BackboneConfig;
use repghost_export::bench::plan::{Form, ModelSpec};
use repghost_export::runtime::Runtime;

use crate::commands::device::DeviceArgs;
use crate::commands::runtime::{self, RuntimeName};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A plan (YAML), or `concat-add`: GhostNet's 32 joins as concatenation and as addition; or detectors: run folders, weights, files that
    /// `export` wrote, and `key=value` overrides.
    #[arg(value_name = "PLAN.yaml|concat-add|RUN|WEIGHTS|FILE.onnx")]
    pub(super) items: Vec<String>,

    /// Of detectors: measure AP too, and time weights in each precision and form: AP, latency and size in one table and picture.
    #[arg(long, requires = "items")]
    pub(super) matrix: bool,

    /// Of detectors: folder of images to time on; without it the validation data of the first one.
    #[arg(long, value_name = "DIR", requires = "items")]
    pub(super) images: Option<PathBuf>,

    #[command(flatten)]
    pub(super) device: DeviceArgs,

    /// A network, by name and width; may be given several times. In place of the plan's.
    #[arg(long, value_name = "NAME[:WIDTH]", value_parser = model)]
    pub(super) model: Vec<ModelSpec>,

    /// Forms: unfused, fused.
    #[arg(long, value_name = "FORM,…", value_delimiter = ',', value_parser = one_of(&Form::ALL, Form::name))]
    pub(super) form: Vec<Form>,

    /// Runtimes.
    #[arg(long, value_name = "RUNTIME,…", value_delimiter = ',', value_parser = runtime::parser_of_all())]
    pub(super) runtime: Vec<RuntimeName>,

    /// Images per run.
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub(super) batch: Vec<i64>,

    /// Threads per run.
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub(super) threads: Vec<usize>,

    /// Height and width of the images.
    #[arg(long, value_name = "H,W", value_delimiter = ',', num_args = 1)]
    pub(super) size: Vec<i64>,

    /// Timed runs of each variant.
    #[arg(long, value_name = "N")]
    pub(super) runs: Option<usize>,

    /// Rounds that they are shared out over.
    #[arg(long, value_name = "N")]
    pub(super) rounds: Option<usize>,

    /// Name of the model that speed-ups are against; the first by default.
    #[arg(long, value_name = "MODEL")]
    pub(super) baseline: Option<String>,

    /// Width of GhostNet, for concat-add.
    #[arg(long, value_name = "W", default_value_t = 1.0)]
    pub(super) width: f64,

    /// Folder for tables (Markdown, CSV, JSON), picture, and trtexec's files.
    #[arg(long, value_name = "DIR", default_value = "bench")]
    pub(super) output: PathBuf,
}

impl Args {
    /// The runtimes of `--runtime`.
    pub(super) fn runtimes(&self) -> Vec<&'static Runtime> {
        self.runtime.iter().map(|name| name.runtime()).collect()
    }
}

/// One of some values, by the name that tables have for it.
fn one_of<T: Copy + Send + Sync + 'static>(all: &'static [T], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T> {
    let find = move |text: String| all.iter().copied().find(|v| name(*v) == text).ok_or("no such value");
    PossibleValuesParser::new(all.iter().map(|v| name(*v))).try_map(find)
}

fn model(text: &str) -> Result<ModelSpec, String> {
    let (name, width) = match text.split_once(':') {
        Some((name, width)) => (name, width.parse().map_err(|_| format!("'{width}' is no width"))?),
        None => (text, 1.0),
    };
    let backbone = BackboneConfig { width, ..BackboneConfig::named(name) };
    backbone.check().map_err(|e| e.to_string())?;
    Ok(ModelSpec { name: text.replace(':', " "), backbone })
}
