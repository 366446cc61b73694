//! `bench`: what networks cost on this machine, in every runtime.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use repghost_backbone::BackboneConfig;
use repghost_export::bench::plan::{Baseline, Form, ModelSpec, Plan};
use repghost_export::bench::{concat_add, measure, report};
use repghost_export::runtime::{list, Runtime, RUNTIMES};

use crate::bad_input::bad_input;
use crate::commands::bench_detectors;
use crate::commands::counter::Counter;
use crate::commands::export::height_and_width;
use crate::exit::Outcome;
use crate::interrupt;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  two networks, all runtimes:        repghost-det bench --model repghostnet:0.5 --model ghostnet:0.5 --output bench/
  the paper's latency columns:       repghost-det bench experiments/bench/paper.yaml --output bench/
  the same in minutes on a CPU:      repghost-det bench experiments/bench/paper.yaml --runtime onnxruntime --batch 1 --runs 20 --rounds 2
  TensorRT, batch 32, 100 runs:      repghost-det bench experiments/bench/paper.yaml --runtime tensorrt --output bench/
  a detector, end to end:            repghost-det bench runs/mine --output bench/
  which runtime and precision:       repghost-det bench runs/mine int8.onnx --matrix --output bench/
  concatenation against addition:    repghost-det bench concat-add --batch 1,8,32 --output bench/

Networks are classifiers with synthetic weights: latency does not depend on what was learned. Variants take turns in rounds, and one session is
alive at a time. MNN and OpenVINO run in the Python that REPGHOST_PYTHON names (or python3), where their packages are installed. trtexec is
taken from TRTEXEC or the PATH; without it the files and the command lines are written.";

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

    /// A network, by name and width; may be given several times. In place of the plan's.
    #[arg(long, value_name = "NAME[:WIDTH]", value_parser = model)]
    model: Vec<ModelSpec>,

    /// Forms: unfused, fused.
    #[arg(long, value_name = "FORM,…", value_delimiter = ',', value_parser = one_of(&Form::ALL, Form::name))]
    form: Vec<Form>,

    /// Runtimes.
    #[arg(long, value_name = "RUNTIME,…", value_delimiter = ',', value_parser = one_of(RUNTIMES, |r| r.name))]
    pub(super) runtime: Vec<&'static Runtime>,

    /// Images per run.
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    batch: Vec<i64>,

    /// Threads per run.
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub(super) threads: Vec<usize>,

    /// Height and width of the images.
    #[arg(long, value_name = "H,W", value_delimiter = ',', num_args = 1)]
    size: Vec<i64>,

    /// Timed runs of each variant.
    #[arg(long, value_name = "N")]
    pub(super) runs: Option<usize>,

    /// Rounds that they are shared out over.
    #[arg(long, value_name = "N")]
    pub(super) rounds: Option<usize>,

    /// Name of the model that speed-ups are against; the first by default.
    #[arg(long, value_name = "MODEL")]
    baseline: Option<String>,

    /// Width of GhostNet, for concat-add.
    #[arg(long, value_name = "W", default_value_t = 1.0)]
    width: f64,

    /// Folder for tables (Markdown, CSV, JSON), picture, and trtexec's files.
    #[arg(long, value_name = "DIR", default_value = "bench")]
    pub(super) output: PathBuf,
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

/// The first word that is no plan.
const CONCAT_ADD: &str = "concat-add";

/// Runs `bench`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    if bench_detectors::are_detectors(&args.items) {
        return bench_detectors::run(&args, quiet);
    }
    if args.matrix || args.images.is_some() {
        return Err(bad_input("--matrix and --images are for detectors: name a run folder, weights or an exported file"));
    }
    let mut plan = match args.items.as_slice() {
        [] => Plan::default(),
        [word] if word == CONCAT_ADD => return joins(&args, quiet),
        [path] => Plan::read(std::path::Path::new(path))?,
        more => return Err(bad_input(format!("expected one PLAN.yaml or detectors, found {}", more.join(", ")))),
    };
    if !args.runtime.is_empty() {
        plan.runtimes = args.runtime.clone();
    }
    if !args.model.is_empty() {
        plan.models = args.model.clone();
        plan.baseline = Baseline::default();
    }
    if !args.form.is_empty() {
        plan.forms = args.form.clone();
    }
    if !args.batch.is_empty() {
        plan.batch = args.batch.clone();
    }
    if !args.threads.is_empty() {
        plan.threads = args.threads.clone();
    }
    if !args.size.is_empty() {
        plan.size = height_and_width(&args.size)?;
    }
    plan.runs = args.runs.unwrap_or(plan.runs);
    plan.rounds = args.rounds.unwrap_or(plan.rounds);
    if args.baseline.is_some() {
        plan.baseline.model = args.baseline.clone();
    }
    if plan.models.is_empty() {
        return Err(bad_input("there is nothing to time: name a PLAN.yaml, or --model NAME[:WIDTH]"));
    }
    let stop = interrupt::flag("stopping");
    let mut shown = Counter::new("timing", quiet);
    let outcome = measure::run(&plan, &args.output, &stop, &mut |done, total| shown.update(done, total))?;
    shown.clear();
    let Some(outcome) = outcome else { return Ok(Outcome::Interrupted) };
    report::write(&outcome, &args.output)?;
    printable::print(&report::markdown(&outcome))?;
    Ok(Outcome::Done)
}

fn joins(args: &Args, quiet: bool) -> anyhow::Result<Outcome> {
    if !args.model.is_empty() || !args.form.is_empty() || args.baseline.is_some() {
        return Err(bad_input("concat-add is about GhostNet: it takes no --model, --form or --baseline"));
    }
    let list = |given: &[usize], default: usize| if given.is_empty() { vec![default] } else { given.to_vec() };
    let runtimes = match args.runtime.is_empty() {
        true => ["libtorch", "onnxruntime", "mnn", "openvino"].into_iter().filter_map(list::by_name).collect(),
        false => args.runtime.clone(),
    };
    let request = concat_add::Request {
        width: args.width,
        runtimes,
        batch: if args.batch.is_empty() { vec![1] } else { args.batch.clone() },
        threads: list(&args.threads, 1),
        size: if args.size.is_empty() { [224, 224] } else { height_and_width(&args.size)? },
        runs: args.runs.unwrap_or(50).max(1),
        rounds: args.rounds.unwrap_or(5).max(1),
    };
    if request.batch.iter().any(|b| *b < 1) || request.threads.contains(&0) {
        return Err(bad_input("--batch and --threads: expected numbers of at least 1"));
    }
    let stop = interrupt::flag("stopping");
    let mut shown = Counter::new("timing", quiet);
    let outcome = concat_add::run(&request, &stop, &mut |done, total| shown.update(done, total))?;
    shown.clear();
    let Some(outcome) = outcome else { return Ok(Outcome::Interrupted) };
    concat_add::report::write(&outcome, &args.output)?;
    printable::print(&concat_add::report::markdown(&outcome))?;
    Ok(Outcome::Done)
}
