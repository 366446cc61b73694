//! Detects objects in an image with trained weights: `cargo run --release -p repghost-examples --example detect WEIGHTS [IMAGE]`.
//!
//! WEIGHTS may be what the example `train` wrote (`runs/examples/train/weights/best.safetensors`). Without IMAGE a built-in one is used.

use std::path::PathBuf;

use anyhow::Context;
use repghost_coco::shapes::{ShapesConfig, ShapesSource};
use repghost_coco::{RgbImage, Source};
use repghost_train::Predictor;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let weights = arguments.next().context("usage: detect WEIGHTS [IMAGE]")?;
    let image = match arguments.next() {
        Some(path) => image::open(&path).with_context(|| path.display().to_string())?.to_rgb8(),
        None => built_in()?,
    };
    // Experiment and classes come from the file.
    let predictor = Predictor::open(weights)?;
    println!("classes: {}", predictor.classes().iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "));
    let objects = predictor.detect(&image)?;
    for object in objects.iter().take(5) {
        let [x, y, width, height] = object.bbox;
        println!("{} {:.2} at x {x:.0}, y {y:.0}, {width:.0} x {height:.0} pixels", object.class, object.score);
    }
    println!("{} objects", objects.len());
    Ok(())
}

fn built_in() -> anyhow::Result<RgbImage> {
    let config = ShapesConfig { size: [64, 64], ..ShapesConfig::default() };
    Ok(ShapesSource { seed: 1, first: 0, count: 1, config, masks: false }.load(0)?.image)
}
