//! A small task: a convolution with batch norm, dropout and a linear layer learn which quadrant of a noise image is bright.
#![allow(dead_code)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use repghost_backbone::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use repghost_backbone::{Activation, Collector, Eager, Module, Ops, Tree};
use repghost_heads::Losses;
use repghost_train::config::{EmaConfig, OptimizerName, TrainConfig};
use repghost_train::error::TrainError;
use repghost_train::run::RunFolder;
use repghost_train::trainer::{Batches, EvalContext, Evaluation, Replica, Task, Trainer, TrainerOptions};
use tch::{Kind, Tensor};

/// Torch's generator is global: tests that draw from it take turns.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

pub const BATCHES: usize = 4;
const BATCH: i64 = 6;
const SIZE: i64 = 8;

pub struct Net {
    conv: ConvBn,
    linear: Linear,
}

impl Net {
    pub fn new() -> Self {
        tch::manual_seed(3);
        let conv = Conv2d::new(3, 8, Conv2dConfig::same(3).stride(2));
        Self {
            conv: ConvBn::new(["conv", "bn"], conv, BatchNormConfig::default(), Activation::Relu),
            linear: Linear::new(128, 4),
        }
    }

    fn forward(&self, ops: &mut Eager, x: &Tensor) -> Tensor {
        let y = self.conv.forward(ops, x);
        let y = ops.flatten(&y);
        let y = ops.dropout(&y, 0.3);
        ops.linear(&y, &self.linear)
    }
}

impl Tree for Net {
    fn visit(&self, v: &mut Collector) {
        v.child("conv", &self.conv);
        v.child("linear", &self.linear);
    }
}

pub struct Quadrants {
    pub net: Net,
    /// Without batch statistics and dropout, so that the loss of a batch is the mean over its images.
    pub plain: bool,
    /// Multiplies the loss from this epoch on: NaN to break it.
    pub poison: Option<(usize, f64)>,
    /// Accuracies that evaluations pretend to measure, by epoch.
    pub script: Vec<f64>,
    /// Seconds that a batch takes to come.
    pub slow: f64,
    /// Raised when so many batches were handed out, as Ctrl-C would.
    pub stop_after: Option<usize>,
    pub stop: Arc<AtomicBool>,
    /// Batches handed out so far.
    pub handed: Arc<std::sync::atomic::AtomicUsize>,
    /// Times that copies were told a step's seed.
    pub seeds: Arc<AtomicUsize>,
}

pub struct Batch {
    epoch: usize,
    index: usize,
    pixels: Tensor,
    labels: Tensor,
}

/// Noise from the position only, without torch's generator.
fn batch(epoch: usize, index: usize) -> Batch {
    let name = format!("{epoch} {index}");
    let pixels = repghost_backbone::synthetic::input(&name, &[BATCH, 3, SIZE, SIZE]);
    let labels: Vec<i64> = (0..BATCH).map(|i| (i + index as i64 + epoch as i64) % 4).collect();
    for (i, label) in labels.iter().enumerate() {
        let quadrant = pixels.get(i as i64).narrow(1, label / 2 * SIZE / 2, SIZE / 2).narrow(2, label % 2 * SIZE / 2, SIZE / 2);
        let _ = quadrant.shallow_clone().g_add_scalar_(1.0);
    }
    Batch { epoch, index, pixels, labels: Tensor::from_slice(&labels) }
}

impl Quadrants {
    pub fn new() -> Self {
        Self {
            net: Net::new(),
            plain: false,
            poison: None,
            script: vec![],
            slow: 0.0,
            stop_after: None,
            stop: Default::default(),
            handed: Default::default(),
            seeds: Default::default(),
        }
    }
}

impl Task for Quadrants {
    type Batch = Batch;

    fn network(&self) -> &dyn Tree {
        &self.net
    }

    fn batches_per_epoch(&self) -> usize {
        BATCHES
    }

    fn batches(&self, epoch: usize, skip: usize) -> Result<Batches<Batch>, TrainError> {
        let (handed, stop, stop_after) = (self.handed.clone(), self.stop.clone(), self.stop_after);
        let slow = std::time::Duration::from_secs_f64(self.slow);
        Ok(Box::new((skip..BATCHES).map(move |i| {
            std::thread::sleep(slow);
            if Some(handed.fetch_add(1, Ordering::Relaxed) + 1) == stop_after {
                stop.store(true, Ordering::Relaxed);
            }
            Ok(batch(epoch, i))
        })))
    }

    fn losses(&self, b: &Batch) -> Result<Losses, TrainError> {
        let mut loss = classification(&self.net, self.plain, b);
        if let Some((_, factor)) = self.poison.filter(|(epoch, _)| b.epoch >= *epoch) {
            loss *= factor;
        }
        Ok([("classification", loss), ("decay", self.net.linear.weight.square().mean(Kind::Float))].into())
    }

    fn replica(&self) -> Result<Box<dyn Replica<Batch>>, TrainError> {
        Ok(Box::new(Copy { net: Net::new(), plain: self.plain, seeds: self.seeds.clone() }))
    }

    fn split(&self, b: Batch, parts: usize) -> Vec<Batch> {
        let cut = |t: &Tensor| t.chunk(parts as i64, 0);
        let pairs = cut(&b.pixels).into_iter().zip(cut(&b.labels));
        pairs.map(|(pixels, labels)| Batch { pixels, labels, ..b }).collect()
    }

    fn images(&self, b: &Batch) -> Vec<String> {
        (0..b.pixels.size()[0]).map(|i| format!("{}-{}-{i}", b.epoch, b.index)).collect()
    }

    fn evaluate(&self, context: &mut EvalContext) -> Result<Evaluation, TrainError> {
        let epoch = context.step as usize / BATCHES;
        if let Some(&value) = epoch.checked_sub(1).and_then(|e| self.script.get(e)) {
            return Ok(Evaluation::Done { metrics: vec![("accuracy".into(), value)], headline: value });
        }
        let b = batch(1000, 0);
        let logits = tch::no_grad(|| self.net.forward(&mut Eager::eval(), &b.pixels));
        let accuracy = f64::try_from(logits.accuracy_for_logits(&b.labels))?;
        Ok(Evaluation::Done { metrics: vec![("accuracy".into(), accuracy)], headline: accuracy })
    }
}

fn classification(net: &Net, plain: bool, b: &Batch) -> Tensor {
    net.forward(&mut Eager { train: !plain }, &b.pixels).cross_entropy_for_logits(&b.labels)
}

struct Copy {
    net: Net,
    plain: bool,
    seeds: Arc<AtomicUsize>,
}

impl Replica<Batch> for Copy {
    fn network(&self) -> &dyn Tree {
        &self.net
    }

    fn seed_step(&self, _: u64, _: u64) {
        self.seeds.fetch_add(1, Ordering::Relaxed);
    }

    fn losses(&self, b: &Batch) -> Result<Losses, TrainError> {
        let loss = classification(&self.net, self.plain, b);
        Ok([("classification", loss), ("decay", self.net.linear.weight.square().mean(Kind::Float))].into())
    }
}

/// Three epochs of AdamW with everything switched on.
pub fn config() -> TrainConfig {
    let mut c =
        TrainConfig { epochs: 3, batch_size: BATCH as usize, clip_grad_norm: Some(1.0), log_every: 1, ..Default::default() };
    c.optimizer.name = OptimizerName::Adamw;
    c.optimizer.lr = 0.01;
    c.ema = Some(EmaConfig::default());
    c.checkpoint.keep_last = 100;
    c
}

pub fn start(folder: RunFolder, stop: Arc<AtomicBool>) -> TrainerOptions {
    let resume = repghost_train::checkpoint::folder::newest(&folder.checkpoints(), |_| ()).unwrap();
    TrainerOptions { config_hash: "test".into(), resume, stop, ..TrainerOptions::new(folder) }
}

pub fn trainer(dir: &Path, task: Quadrants, config: &TrainConfig) -> Trainer<Quadrants> {
    let folder = RunFolder::create(dir).or_else(|_| RunFolder::open(dir)).unwrap();
    let stop = task.stop.clone();
    Trainer::new(task, config, start(folder, stop)).unwrap()
}

/// All floats of a network, as bits.
pub fn bits(tree: &dyn Tree) -> Vec<(String, Vec<u64>)> {
    let of = |t: &Tensor| Vec::<f64>::try_from(t.detach().to_kind(Kind::Double).reshape([-1])).unwrap();
    tree.named_tensors().into_iter().map(|e| (e.name, of(&e.tensor).into_iter().map(f64::to_bits).collect())).collect()
}
