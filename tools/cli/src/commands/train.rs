//! `train`: an experiment file to weights.

use std::path::PathBuf;
use std::time::Duration;

use repghost_distributed::Group;
use repghost_train::config::Loaded;
use repghost_train::run::RunFolder;
use repghost_train::train::{train, TrainOptions};
use repghost_train::trainer::RunOutcome;

use crate::bad_input::bad_input;
use crate::commands::device::DeviceArgs;
use crate::commands::launch::{self, LaunchArgs};
use crate::exit::Outcome;
use crate::interrupt;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  built-in data, nothing needed:   repghost-det train demo
  your own data:                   repghost-det train small data.train.images=DIR data.train.annotations=FILE \\
                                     data.val.images=DIR data.val.annotations=FILE --run-dir runs/mine
  a classifier, on crops:          repghost-det train small_classify data.train.images=DIR data.val.images=DIR
  continue after an interruption:  repghost-det train runs/mine --resume
  longer, from trained weights:    repghost-det train small … --init-weights runs/mine/weights/best.safetensors
  from ImageNet weights:           repghost-det train small model.backbone.width=1.3 … --init-backbone timm/repghostnet_130.in1k
  on the second card:              repghost-det train demo --device cuda:1
  two processes on this machine:   repghost-det train demo --nproc 2
  8 cards on each of 4 machines:   torchrun --no-python --nproc-per-node 8 --nnodes 4 … repghost-det train retinanet --run-dir DIR
  will it work, and how long?      repghost-det train demo --dry-run";

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file, or the name of a built-in experiment (`config --list`); with --resume a run folder too.
    #[arg(value_name = "FILE|RUN")]
    file: PathBuf,

    /// Values that replace the file's: `train.epochs=3`.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,

    /// Folder for everything the run writes. Without it: `run.dir`, or `runs/` and the file's name, numbered where that is taken.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,

    /// Continue the run in the folder from its newest good checkpoint.
    #[arg(long)]
    resume: bool,

    /// Build everything, run one batch, print shapes, parameters, memory and the time a run would take; write nothing.
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,

    /// Weights of a whole detector to start from (`init.detector`).
    #[arg(long, value_name = "FILE|NAME")]
    init_weights: Option<String>,

    /// Weights of the backbone to start from (`init.backbone`).
    #[arg(long, value_name = "FILE|NAME")]
    init_backbone: Option<String>,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    launch: LaunchArgs,

    /// Start again from the newest checkpoint, this many times at most, where a process fails or dies.
    #[arg(long, value_name = "K", default_value_t = 0, conflicts_with = "dry_run")]
    restarts: usize,
}

impl Args {
    /// A new run of an experiment.
    pub(super) fn new(file: &str, overrides: Vec<String>, run_dir: Option<PathBuf>, device: DeviceArgs) -> Self {
        let file = file.into();
        let launch = LaunchArgs::default();
        Self {
            file,
            overrides,
            run_dir,
            resume: false,
            dry_run: false,
            init_weights: None,
            init_backbone: None,
            device,
            launch,
            restarts: 0,
        }
    }
}

/// Runs `train`.
pub fn run(mut args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    args.overrides.extend(args.init_weights.map(|f| format!("init.detector={f}")));
    args.overrides.extend(args.init_backbone.map(|f| format!("init.backbone={f}")));
    args.overrides.extend(args.device.key_value());
    if args.file.is_dir() {
        let folder = args.file.clone();
        args.file = RunFolder::at(&folder).config();
        if !args.resume {
            return Err(bad_input(format!(
                "{}: is a folder; --resume continues the run in it, {} starts a new one",
                folder.display(),
                args.file.display()
            )));
        }
        if !args.file.is_file() {
            return Err(bad_input(format!("{}: no run to resume: there is no config.yaml in this folder", folder.display())));
        }
        args.run_dir.get_or_insert(folder);
    }
    let loaded = Loaded::read(&args.file, &args.overrides)?;
    if args.dry_run {
        print!("{}", repghost_train::dry_run::dry_run(&loaded)?);
        return Ok(Outcome::Done);
    }
    let world = launch::world()?;
    if world.is_none() {
        // The folder of a run that may start again has to be the same each time.
        let folder = match args.restarts > 0 && args.run_dir.is_none() && !args.resume {
            true => Some(repghost_train::train::new_folder(&loaded)?),
            false => None,
        };
        if let Some(outcome) = launch::run(&args.launch, args.restarts, folder.as_deref())? {
            return Ok(outcome);
        }
    }
    let stop = interrupt::flag("finishing this step and saving");
    let timeout = Duration::from_secs(loaded.experiment.train.distributed.timeout_s);
    let group = world.as_ref().map(|world| Group::connect(world, timeout)).transpose()?;
    // torchrun starts a run again without changing its arguments.
    let again = world.as_ref().is_some_and(|world| world.attempt > 0) && args.run_dir.is_some();
    let quiet = quiet || group.as_ref().is_some_and(|group| !group.is_first());
    let options = TrainOptions { run_dir: args.run_dir, resume: args.resume || again, quiet, stop, group };
    let outcome = train(&loaded, &options, |line| {
        if !quiet || line.starts_with("warning") {
            eprintln!("{line}");
        }
    })?;
    if !quiet {
        println!("{}", outcome.folder.root().display());
    }
    Ok(match outcome.end {
        RunOutcome::Finished => Outcome::Done,
        RunOutcome::Interrupted => {
            if !quiet {
                eprintln!("--resume continues the run");
            }
            Outcome::Interrupted
        }
    })
}
