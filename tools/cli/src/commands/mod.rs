//! One file a command: its arguments as plain data, and a `run` that hands them to the crates below.
//!
//! To add a command: a file here with `pub struct Args` (derive `clap::Args`) and `pub fn run(args: Args) -> anyhow::Result<Outcome>`,
//! a variant below with worked examples in `after_help`, and a line in [`run`].

pub mod analyze;
pub mod bench;
mod bench_args;
mod bench_detectors;
pub mod compare;
pub mod completions;
pub mod config;
mod counter;
pub mod data;
pub mod demo;
mod device;
pub mod doctor;
pub mod eval;
mod eval_files;
pub mod export;
pub mod features;
pub mod fuse;
pub mod launch;
mod model_args;
pub mod predict;
pub mod report;
mod runtime;
pub mod sweep;
mod sweep_progress;
pub mod train;
pub mod weights;

use clap::Subcommand;

use crate::exit::Outcome;

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Count parameters, multiply-adds and activation memory of networks, part by part, unfused and fused.
    #[command(after_help = analyze::EXAMPLES)]
    Analyze(analyze::Args),
    /// Measure the latency of networks in every runtime that is installed, unfused and fused.
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench_args::Args),
    /// Compare two detectors: better, worse, or not to be told apart, with intervals; a gate for CI.
    #[command(after_help = compare::EXAMPLES)]
    Compare(compare::Args),
    /// Print completions for a shell.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Args),
    /// Write manual pages, one a command.
    #[command(after_help = completions::MAN_EXAMPLES)]
    Man(completions::ManArgs),
    /// Show what an experiment file resolves to and which file set each value, or how two differ.
    #[command(after_help = config::EXAMPLES)]
    Config(config::Args),
    /// Check a data set, print its statistics, draw samples, cut objects out, or write the built-in one.
    #[command(after_help = data::EXAMPLES)]
    Data(data::Args),
    /// Evaluate: the COCO metrics of a detector or of detections, the accuracy of a classifier.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Args),
    /// Export a model to ONNX or TorchScript, checked in onnxruntime against the model.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Args),
    /// List, fetch and find published weights by name; inspect weight files, or convert them to safetensors.
    #[command(after_help = weights::EXAMPLES)]
    Weights(weights::Args),
    /// Run an ablation: one experiment varied along axes and seeds, to a table and pictures.
    #[command(after_help = sweep::EXAMPLES)]
    Sweep(sweep::Args),
    /// Write a self-contained page about runs and sweeps: curves, tables, predictions beside ground truth, worst images.
    #[command(after_help = report::EXAMPLES)]
    Report(report::Args),
    /// Print versions, libraries and devices: what was found, what was not, and where.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Args),
    /// Train a small detector on built-in images: nothing else is needed.
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::Args),
    /// Train a detector, or a classifier.
    #[command(after_help = train::EXAMPLES)]
    Train(train::Args),
    /// Detect objects in image files, or classify them.
    #[command(after_help = predict::EXAMPLES)]
    Predict(predict::Args),
    /// Write the feature maps of image files as safetensors.
    #[command(after_help = features::EXAMPLES)]
    Features(features::Args),
    /// Fuse branches and batch norms of trained weights for inference.
    #[command(after_help = fuse::EXAMPLES)]
    Fuse(fuse::Args),
}

/// Runs a command that needs no network; none for the others, which need libtorch. Nothing here may refer to it.
pub fn run_light(command: Command, quiet: bool) -> Option<anyhow::Result<Outcome>> {
    match command {
        Command::Completions(args) => Some(completions::run(args)),
        Command::Man(args) => Some(completions::man(args)),
        Command::Config(args) => Some(config::run(args)),
        Command::Data(args) => data::run_light(args, quiet).break_value(),
        Command::Weights(args) => weights::run_light(args, quiet),
        Command::Eval(args) if !args.has_network() => Some(eval::compare_files(&args)),
        _ => None,
    }
}

/// Runs a command.
pub fn run(command: Command, quiet: bool) -> anyhow::Result<Outcome> {
    match command {
        Command::Analyze(args) => analyze::run(args),
        Command::Bench(args) => bench::run(args, quiet),
        Command::Compare(args) => compare::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => completions::man(args),
        Command::Config(args) => config::run(args),
        Command::Data(args) => data::run(args, quiet),
        Command::Eval(args) => eval::run(args, quiet),
        Command::Export(args) => export::run(args),
        Command::Weights(args) => weights::run(args, quiet),
        Command::Sweep(args) => sweep::run(args, quiet),
        Command::Report(args) => report::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Demo(args) => demo::run(args, quiet),
        Command::Train(args) => train::run(args, quiet),
        Command::Predict(args) => predict::run(args, quiet),
        Command::Features(args) => features::run(args),
        Command::Fuse(args) => fuse::run(args),
    }
}
