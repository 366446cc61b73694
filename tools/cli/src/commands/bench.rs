//! `bench`: what networks cost on this machine, in every runtime.

use repghost_export::bench::plan::{Baseline, Plan};
use repghost_export::bench::{concat_add, measure, report};
use repghost_export::runtime::list;

use crate::bad_input::bad_input;
use crate::commands::bench_args::Args;
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
  on the first card:                 repghost-det bench runs/mine --runtime libtorch --device cuda --output bench/
  which runtime and precision:       repghost-det bench runs/mine int8.onnx --matrix --output bench/
  concatenation against addition:    repghost-det bench concat-add --batch 1,8,32 --output bench/

Networks are classifiers with synthetic weights: latency does not depend on what was learned. Variants take turns in rounds, and one session is
alive at a time. MNN and OpenVINO run in the Python that REPGHOST_PYTHON names (or python3), where their packages are installed. trtexec is
taken from TRTEXEC or the PATH; without it the files and the command lines are written.";

/// The first word that is no plan.
const CONCAT_ADD: &str = "concat-add";

/// Runs `bench`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    if bench_detectors::are_detectors(&args.items) {
        return bench_detectors::run(&args, quiet);
    }
    if args.device.is_set() {
        return Err(bad_input("--device is for detectors; a plan's runtimes have devices of their own (tensorrt: the card)"));
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
        plan.runtimes = args.runtimes();
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
        false => args.runtimes(),
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
