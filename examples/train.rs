//! Trains a small detector on built-in images: `cargo run --release -p repghost-examples --example train [RUN_FOLDER]`.

use repghost_examples::{output, quick_experiment};
use repghost_train::train::{train, TrainOptions};

fn main() -> anyhow::Result<()> {
    // An experiment file would be read by Loaded::read("experiments/demo.yaml".as_ref(), &[]).
    let experiment = quick_experiment(&["train.epochs=2"])?;
    let options = TrainOptions { run_dir: Some(output("train")), ..TrainOptions::default() };
    let outcome = train(&experiment, &options, |line| println!("{line}"))?;
    println!("{:?}, best {:?}", outcome.end, outcome.best);
    println!("weights: {}", outcome.folder.weights_file("best").display());
    Ok(())
}
