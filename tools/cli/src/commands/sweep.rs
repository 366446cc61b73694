//! `sweep`: an ablation from its file to its table.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use repghost_kernels::device::Choice;
use repghost_train::sweep::{cost, plan, report, runner, Plan, RunOptions, Shard, SweepFolder};

use super::launch::Processes;
use super::sweep_progress::SweepProgress;
use crate::exit::Outcome;
use crate::interrupt;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  what would be run, and what it costs:  repghost-det sweep experiments/ablations/reparam.yaml --dry-run
  on built-in data, minutes a trial:     repghost-det sweep experiments/ablations/reparam.yaml setting=demo
  other seeds, shorter trials:           repghost-det sweep experiments/ablations/reparam.yaml setting=demo \\
                                           settings.demo.seeds=[0,1,2,3,4] set.train.epochs=4
  two of the rows:                       repghost-det sweep experiments/ablations/reparam.yaml 'only=[{branches: [BN, none]}]'
  four trials at a time:                 repghost-det sweep experiments/ablations/widths.yaml --jobs 4
  two processes for each trial:          repghost-det sweep experiments/ablations/widths.yaml --nproc 2
  on two cards, four at a time:          repghost-det sweep experiments/ablations/widths.yaml --devices 0,1 --jobs 4
  machine 2 of 4 (copy the folders
  together, then --table-only):          repghost-det sweep experiments/ablations/widths.yaml --shard 2/4 --run-dir runs/widths

The same command again goes on where it was: finished trials are kept, others go on from their last checkpoint.";

/// Arguments of `sweep`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The sweep file.
    file: PathBuf,

    /// `key=value` overrides of the sweep file: `setting=demo`, `seeds=[0,1]`, `set.train.epochs=3`, `only=[{width: 0.5x}]`.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,

    /// The sweep's folder. Without it: runs/sweeps/ and the file's name with the setting.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,

    /// List the trials with their cost and do nothing.
    #[arg(long)]
    dry_run: bool,

    /// Trials at the same time. Without it as many as devices are named, else one.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// Devices that trials are spread over: numbers of cards, or cpu. Without it: those of the experiments.
    #[arg(long, value_name = "DEVICE,…", value_delimiter = ',', value_parser = device)]
    devices: Vec<Choice>,

    /// Run the I-th of N parts.
    #[arg(long, default_value = "1/1", value_name = "I/N")]
    shard: Shard,

    /// Run failed trials again.
    #[arg(long)]
    retry_failed: bool,

    /// Run nothing; make table and pictures from what is there.
    #[arg(long, conflicts_with = "dry_run")]
    table_only: bool,

    /// Processes of each trial (`train --nproc`).
    #[arg(long, value_name = "N|auto", conflicts_with = "devices")]
    nproc: Option<Processes>,

    /// Do not time the backbones at the end.
    #[arg(long)]
    no_latency: bool,
}

/// A device by its name, a card by its number too.
fn device(text: &str) -> Result<Choice, String> {
    text.parse::<usize>().map(Choice::Cuda).or_else(|_| text.parse())
}

/// Runs `sweep`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    let plan = Plan::read(&args.file, &args.overrides)?;
    if args.dry_run {
        printable::print(&listing(&plan, args.shard)?)?;
        return Ok(Outcome::Done);
    }
    let folder = SweepFolder::open(&plan::sweep_dir(&args.file, &plan, args.run_dir.as_deref()))?;
    let mut outcome = Outcome::Done;
    if !args.table_only {
        // Already now, so that `report` finds a sweep that is running.
        report::write(&plan, &folder, false)?;
        outcome = train(&args, &plan, &folder, quiet)?;
    }
    if outcome != Outcome::Interrupted {
        let written = report::write(&plan, &folder, !args.no_latency)?;
        printable::print(&written.markdown)?;
        for file in written.files {
            tracing::info!("wrote {}", file.display());
        }
    }
    Ok(outcome)
}

fn train(args: &Args, plan: &Plan, folder: &SweepFolder, quiet: bool) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag("stopping: running trials save first");
    let options = RunOptions {
        program: runner::this_program()?,
        jobs: args.jobs.unwrap_or(args.devices.len()).max(1),
        devices: args.devices.clone(),
        shard: args.shard,
        retry_failed: args.retry_failed,
        processes: args.nproc.map(|n| n.to_string()),
    };
    let mut progress = SweepProgress::new(plan.shard(args.shard).count(), folder, quiet);
    let summary = runner::run(plan, folder, &options, &stop, |event| progress.show(event))?;
    progress.end(&summary, folder);
    Ok(match (stop.load(Ordering::Relaxed), summary.failed) {
        (true, _) => Outcome::Interrupted,
        (false, 0) => Outcome::Done,
        (false, _) => Outcome::Failed,
    })
}

fn listing(plan: &Plan, shard: Shard) -> anyhow::Result<String> {
    let setting = if plan.setting.is_empty() { String::new() } else { format!("setting {}, ", plan.setting) };
    let mut out = format!("{}\n{setting}metric {}\n\n", plan.title, plan.metric);
    let names = plan.shard(shard).map(|t| t.id.len()).max().unwrap_or(0).max(5);
    out += &format!(
        "{:<names$}  {:>6}  {:>6}  {:>14}  {:>22}\n",
        "trial", "epochs", "batch", "parameters, M", "multiply-adds 224, M"
    );
    let mut known = cost::Counted::default();
    for trial in plan.shard(shard) {
        let e = &trial.loaded.experiment;
        let cost = known.count(e)?;
        let (parameters, macs) = (cost.parameters as f64 / 1e6, cost.macs as f64 / 1e6);
        let epochs = e.train.steps.map_or(e.train.epochs.to_string(), |steps| format!("{steps} st"));
        let batch = e.train.batch_size;
        out += &format!("{:<names$}  {epochs:>6}  {batch:>6}  {parameters:>14.3}  {macs:>22.1}\n", trial.id);
    }
    out += &format!("\n{} trials\n", plan.shard(shard).count());
    Ok(out)
}
