//! Times training steps (forward, backward, gradient clipping, SGD with momentum) on random images, in the protocol of
//! `tools/fixtures/step_bench.py`, which times torchvision's heads on timm's backbone:
//! `step_bench {retinanet|narrow|mask_rcnn|classify} [width 0.5] [size 320] [batch 4] [steps 5] [objects 7]`. `narrow` is the RetinaNet of
//! experiments/small.yaml, `classify` the backbone with its classifier of 1000 classes. `KERNELS=libtorch` in the environment leaves all
//! convolutions to libtorch. Prints the median and the process's peak memory.

use std::time::Instant;

use repghost_backbone::synthetic::uniform;
use repghost_backbone::{Backbone, BackboneConfig, Eager, Role, Tree};
use repghost_heads::anchors::AnchorConfig;
use repghost_heads::detector::HeadConfig;
use repghost_heads::fpn::FpnConfig;
use repghost_heads::losses::BoxLoss;
use repghost_heads::rcnn::MaskRcnnConfig;
use repghost_heads::retinanet::RetinaNetConfig;
use repghost_heads::{CroppedMask, Detector, ImageBatch, Target};
use repghost_kernels::cpu;
use tch::{Device, Kind, Tensor};

const LEARNING_RATE: f64 = 1e-3;
const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 1e-4;
const MAX_NORM: f64 = 10.0;
/// torchvision's 91 outputs are a background and 90 classes for Mask R-CNN, 91 classes for RetinaNet.
const OUTPUTS: i64 = 91;
const IMAGENET_CLASSES: i64 = 1000;

/// What is trained.
enum Network {
    Detector(Box<Detector>),
    Classifier(Box<Backbone>),
}

impl Network {
    fn new(model: &str, width: f64) -> Self {
        let backbone = BackboneConfig { width, dropout: Some(0.0), ..BackboneConfig::default() };
        let (head, channels, classes) = match model {
            "classify" => {
                let network = backbone.build_classifier(IMAGENET_CLASSES).expect("a width that there is");
                return Self::Classifier(Box::new(network));
            }
            "retinanet" => (HeadConfig::RetinaNet(RetinaNetConfig::default()), 256, OUTPUTS),
            "narrow" => (HeadConfig::RetinaNet(narrow()), 64, OUTPUTS),
            _ => (HeadConfig::MaskRcnn(MaskRcnnConfig::default()), 256, OUTPUTS - 1),
        };
        let body = backbone.build_features().expect("a width that there is");
        let fpn = FpnConfig { channels, ..FpnConfig::default() };
        Self::Detector(Box::new(head.build(body, &fpn, classes).expect("a head that there is")))
    }

    fn tree(&self) -> &dyn Tree {
        match self {
            Self::Detector(d) => d.as_ref(),
            Self::Classifier(b) => b.as_ref(),
        }
    }

    /// The sum of all losses.
    fn loss(&self, images: ImageBatch, targets: &[Target]) -> Tensor {
        match self {
            Self::Detector(d) => {
                let losses = d.losses(&mut Eager::train(), &images, targets);
                if std::env::var_os("SHOW_LOSSES").is_some() {
                    println!("{:?}", losses.iter().map(|(name, loss)| (name, loss.double_value(&[]))).collect::<Vec<_>>());
                }
                losses.total()
            }
            Self::Classifier(b) => {
                let labels = Tensor::arange(images.pixels.size()[0], (Kind::Int64, Device::Cpu));
                b.classify(&mut Eager::train(), &images.pixels).cross_entropy_for_logits(&labels)
            }
        }
    }
}

/// The head of experiments/small.yaml.
fn narrow() -> RetinaNetConfig {
    let anchors = AnchorConfig { octave_base_scale: 3.0, scales_per_octave: 2, ..AnchorConfig::default() };
    RetinaNetConfig { tower_depth: 2, group_norm: true, box_loss: BoxLoss::Giou, anchors, ..RetinaNetConfig::default() }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |i: usize, default: f64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let model = args.first().map_or("mask_rcnn", String::as_str);
    let (width, size, batch, steps) = (number(1, 0.5), number(2, 320.0) as i64, number(3, 4.0) as usize, number(4, 5.0) as usize);
    let objects = number(5, 7.0) as usize;
    tch::manual_seed(0);
    cpu::keep_memory();
    cpu::set_enabled(std::env::var_os("KERNELS").is_none_or(|kernels| kernels != "libtorch"));
    let network = Network::new(model, width);
    let parameters: Vec<Tensor> =
        network.tree().named_tensors().into_iter().filter(|e| e.role == Role::Parameter).map(|e| e.tensor).collect();
    println!("params {}", parameters.iter().map(Tensor::numel).sum::<usize>());
    let mut velocity: Vec<Option<Tensor>> = parameters.iter().map(|_| None).collect();
    let targets: Vec<Target> = (0..batch).map(|i| target(i, objects, size as f32, model == "mask_rcnn")).collect();
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..=steps {
        let pixels = Tensor::rand([batch as i64, 3, size, size], (Kind::Float, Device::Cpu));
        let images = ImageBatch { pixels, sizes: vec![[size, size]; batch] };
        let (start, cpu_start) = (Instant::now(), cpu_seconds());
        let loss = network.loss(images, &targets);
        for p in &parameters {
            p.shallow_clone().zero_grad();
        }
        loss.backward();
        tch::no_grad(|| update(&parameters, &mut velocity));
        times.push(start.elapsed().as_secs_f64());
        cpu.push(cpu_seconds() - cpu_start);
    }
    let ([median, min], [cpu, _]) = (middle(&times[1..]), middle(&cpu[1..]));
    let peak = peak_megabytes();
    println!("train {model} {width} {size} b{batch}: median {median:.3} s min {min:.3} cpu {cpu:.3} peak {peak} MB");
}

/// Median and minimum.
fn middle(values: &[f64]) -> [f64; 2] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [values[values.len() / 2], values[0]]
}

/// Processor time of this process, all threads, user and system: what can be compared on a machine with other work.
fn cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // utime and stime are the 12th and 13th field after the command's closing bracket.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

fn update(parameters: &[Tensor], velocity: &mut [Option<Tensor>]) {
    let norms: Vec<Tensor> = parameters.iter().map(Tensor::grad).filter(Tensor::defined).map(|g| g.norm()).collect();
    let norm = Tensor::stack(&norms, 0).norm().double_value(&[]);
    let clip = (MAX_NORM / (norm + 1e-6)).min(1.0);
    for (p, v) in parameters.iter().zip(velocity) {
        let grad = p.grad();
        if !grad.defined() {
            continue;
        }
        let step = grad * clip + p * WEIGHT_DECAY;
        let next = match v.take() {
            Some(mut v) => v.g_mul_scalar_(MOMENTUM).g_add_(&step),
            None => step,
        };
        let _ = p.shallow_clone().g_sub_(&(&next * LEARNING_RATE));
        *v = Some(next);
    }
}

/// Boxes of up to three tenths of the image, filled by their masks.
fn target(image: usize, objects: usize, size: f32, with_masks: bool) -> Target {
    let u = uniform(&format!("step_bench.{image}"), objects * 5);
    let boxes: Vec<[f32; 4]> = u
        .chunks(5)
        .map(|u| {
            let v: Vec<f32> = u.iter().map(|x| (x + 1.0) / 2.0).collect();
            let (x, y) = (v[0] * size * 0.6, v[1] * size * 0.6);
            [x, y, x + v[2] * size * 0.3 + 8.0, y + v[3] * size * 0.3 + 8.0]
        })
        .collect();
    let labels: Vec<i64> = u.chunks(5).map(|u| ((u[4] + 1.0) / 2.0 * 79.0) as i64).collect();
    let mask = |b: &[f32; 4]| {
        let [x1, y1, x2, y2] = b.map(|v| v as i64);
        let size = [(y2 - y1) as usize, (x2 - x1) as usize];
        CroppedMask { origin: [x1, y1], size, bits: vec![1; size[0] * size[1]] }
    };
    let masks = with_masks.then(|| boxes.iter().map(mask).collect());
    Target { masks, ..Target::new(&boxes, &labels) }
}

/// Peak resident memory of this process; 0 where the system does not tell.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
