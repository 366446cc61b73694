//! Times a RetinaNet step by parts: `retinanet_bench [runs]` (0.5x, 64 channels, 320 px, batch 8, 15 objects per image).
//! `tools/fixtures/retinanet_bench.py` times torchvision on the same shapes.

use std::time::Instant;

use repghost_backbone::synthetic::uniform;
use repghost_backbone::{BackboneConfig, Eager, Tree};
use repghost_heads::losses::{ClassTarget, Focal};
use repghost_heads::matcher::Matcher;
use repghost_heads::model::DetectorModel;
use repghost_heads::nms::batched_nms;
use repghost_heads::retinanet::RetinaNetConfig;
use repghost_heads::{FpnConfig, ImageBatch, RetinaNet, Target};
use tch::{Device, Kind, Tensor};

const BATCH: i64 = 8;
const SIDE: i64 = 320;

fn main() {
    let runs = std::env::args().filter(|a| a != "--bench").nth(1).and_then(|a| a.parse().ok()).unwrap_or(7);
    let body = BackboneConfig { width: 0.5, ..Default::default() }.build_features().expect("0.5x exists");
    let fpn = FpnConfig { channels: 64, ..Default::default() };
    let net = RetinaNet::new(body, &fpn, &RetinaNetConfig::default(), 3).expect("a detector");
    let images = ImageBatch {
        pixels: Tensor::rand([BATCH, 3, SIDE, SIDE], (Kind::Float, Device::Cpu)),
        sizes: vec![[SIDE, SIDE]; BATCH as usize],
    };
    let targets: Vec<Target> = (0..BATCH)
        .map(|i| {
            let u = uniform(&format!("target {i}"), 60);
            let boxes: Vec<[f32; 4]> = u.chunks(4).map(|u| boxed(u, 200.0, 100.0)).collect();
            Target::new(&boxes, &[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
        })
        .collect();

    let ops = &mut Eager::train();
    let padded = [SIDE, SIDE];
    time(runs, "body forward", || drop(net.backbone.body.features(ops, &images.pixels)));
    let features = net.backbone.body.features(ops, &images.pixels);
    time(runs, "fpn forward", || drop(net.backbone.fpn.forward(ops, &features)));
    let pyramid = net.backbone.fpn.forward(ops, &features);
    time(runs, "head forward", || drop(net.head.forward(ops, &pyramid)));
    let raw = net.head.forward(ops, &pyramid);
    time(runs, "targets and losses", || drop(net.losses_of(&raw, padded, &targets)));
    if std::env::args().filter(|a| a != "--bench").nth(2).as_deref() == Some("y") {
        for _ in 0..300 {
            drop(net.losses_of(&raw, padded, &targets));
        }
        return;
    }
    let anchors = net.anchors(padded);
    let matcher = Matcher { high: 0.5, low: 0.4, low_quality: true };
    let objects = &targets[0].boxes;
    time(runs, "matching, one image", || drop(matcher.assign(objects, &anchors.boxes)));
    let background = vec![vec![ClassTarget::Background; anchors.boxes.len()]; BATCH as usize];
    let focal = Focal { alpha: 0.25, gamma: 2.0 };
    time(runs, "focal loss with gradient", || drop(focal.loss(&raw.logits, &background, &[1.0; BATCH as usize])));
    let logits = raw.logits.detach();
    time(runs, "focal loss without gradient", || drop(focal.loss(&logits, &background, &[1.0; BATCH as usize])));
    if std::env::args().filter(|a| a != "--bench").nth(2).is_some() {
        return;
    }
    time(runs, "whole step without optimizer", || {
        net.named_tensors().iter_mut().for_each(|e| e.tensor.zero_grad());
        let losses = net.losses(&mut Eager::train(), &images, &targets);
        losses.total().backward();
    });
    time(runs, "detect", || drop(net.detect(&images)));
    let scores = repghost_heads::retinanet::RawOutputs {
        logits: Tensor::randn(raw.logits.size(), (Kind::Float, Device::Cpu)),
        deltas: raw.deltas.detach(),
    };
    time(runs, "post-processing alone, all scores above the threshold", || {
        drop(net.decoder.decode(&scores, padded, &images.sizes))
    });

    let u = uniform("nms bench", 16_000);
    let boxes: Vec<[f32; 4]> = u.chunks(4).map(|u| boxed(u, 300.0, 60.0)).collect();
    let scores = uniform("nms scores", 4000);
    let classes: Vec<i64> = (0..4000).map(|i| i % 80).collect();
    time(runs, "nms of 4000 boxes in 80 classes", || drop(batched_nms(&boxes, &scores, &classes, 0.5, usize::MAX)));
    time(runs, "nms of 4000 boxes in one class", || drop(batched_nms(&boxes, &scores, &[0; 4000], 0.5, usize::MAX)));
}

fn boxed(u: &[f32], place: f32, size: f32) -> [f32; 4] {
    let v: Vec<f32> = u.iter().map(|u| (u + 1.0) / 2.0).collect();
    let (x, y) = (v[0] * place, v[1] * place);
    [x, y, x + 4.0 + v[2] * size, y + 4.0 + v[3] * size]
}

fn time(runs: usize, what: &str, mut f: impl FnMut()) {
    f();
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{what}: median {:.2} ms, min {:.2} ms", times[runs / 2], times[0]);
}
