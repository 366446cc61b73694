//! Each kernel against its definition in double precision, and against the code that serves on the CPU.

use repghost_backbone::synthetic::{input, uniform};
use repghost_heads::matcher::{Match, Matcher};
use repghost_heads::nms::batched_nms;
use repghost_kernels::cpu::Normed;
use repghost_kernels::cuda::batch_norm::{self, Statistics};
use repghost_kernels::cuda::layout::channels_last;
use repghost_kernels::cuda::roi_align::{Region, Sampling};
use repghost_kernels::cuda::{depthwise, focal, matcher, nms, normalize, roi_align};
use tch::{Device, Kind, Tensor};

use crate::reference;
use crate::report::{differing, elementwise, relative, worst, Row};

/// How large the cases are: a card takes the sizes of training, the emulation small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// For the emulation.
    Small,
    /// For a card.
    Full,
}

/// Limits: of sums in single precision, and of what is rounded to a half type at the end.
const SINGLE: f64 = 1e-5;

fn rounding(kind: Kind) -> f64 {
    match kind {
        Kind::Half => 1.0 / 1024.0,
        Kind::BFloat16 => 1.0 / 128.0,
        _ => SINGLE,
    }
}

const KINDS: [Kind; 3] = [Kind::Float, Kind::Half, Kind::BFloat16];

/// All kernels on `device`.
pub fn all(device: Device, scale: Scale) -> Vec<Row> {
    vec![
        worst("roi_align", roi_align_rows(device, scale)),
        worst("focal_loss", focal_rows(device, scale)),
        worst("matcher", matcher_rows(device, scale)),
        worst("nms", nms_rows(device, scale)),
        worst("normalize", normalize_rows(device)),
        worst("depthwise", depthwise_rows(device, scale)),
        worst("batch_norm", batch_norm_rows(device, scale)),
    ]
}

fn missing(name: &str) -> Row {
    Row::new(format!("{name} did not run"), f64::INFINITY, 0.0)
}

/// `n` regions of a batch: most within the image, some beyond it, some without area, one of them not a number.
fn regions(name: &str, n: usize, levels: usize, images: usize, side: f32) -> Vec<Region> {
    let u = uniform(name, n * 6);
    let region = |(i, u): (usize, &[f32])| {
        let [x, y] = [u[0], u[1]].map(|u| (u * 0.6 + 0.5) * side);
        let [w, h] = [u[2], u[3]].map(|u| (u + 0.98) * side * 0.3);
        let bbox = if i % 19 == 7 { [x, f32::NAN, x + w, y + h] } else { [x, y, x + w, y + h] };
        let pick = |u: f32, n: usize| (((u + 1.0) * 0.5 * n as f32) as usize).min(n - 1);
        Region { level: pick(u[4], levels), image: pick(u[5], images), bbox }
    };
    u.chunks(6).enumerate().map(region).collect()
}

fn roi_align_rows(device: Device, scale: Scale) -> Vec<Row> {
    let counts: &[usize] = if scale == Scale::Small { &[0, 1, 23] } else { &[0, 1, 37, 600] };
    let channels: &[i64] = if scale == Scale::Small { &[1, 24] } else { &[1, 18, 72] };
    let mut rows = Vec::new();
    for (case, (&count, &channels)) in counts.iter().flat_map(|n| channels.iter().map(move |c| (n, c))).enumerate() {
        let sides = [[37, 41], [19, 21], [10, 11], [5, 6]];
        let levels = 1 + case % sides.len();
        let scales: Vec<f32> = (0..levels).map(|l| 0.25 / (1 << l) as f32).collect();
        let (aligned, ratio) = ((case % 2) as i32, if case % 3 == 0 { 0 } else { 2 });
        let sampling = Sampling { bins: [7, 14, 3][case % 3], ratio, aligned };
        let regions = regions(&format!("check.regions.{case}"), count, levels, 2, 150.0);
        for (kind, last) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let name = format!("{count} regions, {channels} channels, {levels} levels, {kind:?}, last {last}, {sampling:?}");
            let maps: Vec<Tensor> = sides[..levels]
                .iter()
                .enumerate()
                .map(|(l, [h, w])| input(&format!("check.map.{case}.{l}"), &[2, channels, *h, *w]).to_kind(kind))
                .collect();
            let on_device = |map: &Tensor| {
                let map = if last { channels_last(map) } else { map.shallow_clone() };
                map.to_device(device).set_requires_grad(true)
            };
            let held: Vec<Tensor> = maps.iter().map(on_device).collect();
            let Some(pooled) = roi_align::pool(&held.iter().collect::<Vec<_>>(), &scales, &regions, sampling) else {
                return vec![missing("roi_align")];
            };
            let exact: Vec<Tensor> = maps.iter().map(|m| m.to_kind(Kind::Double)).collect();
            let want = reference::roi_align(&exact, &scales, &regions, sampling);
            rows.push(Row::new(name.clone(), relative(&pooled, &want), rounding(kind)));
            // The operation is linear: its gradient is checked by the scalar products <pool(m), g> and <m, gradient(g)>, and
            // element by element in `oracle`.
            let g = input(&format!("check.gradient.{case}"), &pooled.size()).to_kind(kind);
            (&pooled * g.to_device(device)).sum(Kind::Float).backward();
            let dot = |a: &Tensor, b: &Tensor| {
                let [a, b] = [a, b].map(|t| t.to_device(Device::Cpu).to_kind(Kind::Double));
                ((&a * &b).sum(Kind::Double).double_value(&[]), (a * b).abs().sum(Kind::Double).double_value(&[]))
            };
            let (left, size) = dot(&want, &g);
            let right: f64 = held.iter().zip(&maps).map(|(h, m)| dot(&h.grad(), m).0).sum();
            rows.push(Row::new(format!("{name}: gradient"), (left - right).abs() / size.max(1e-6), rounding(kind)));
        }
    }
    rows
}

fn focal_rows(device: Device, scale: Scale) -> Vec<Row> {
    let anchors = if scale == Scale::Small { 150 } else { 20_000 };
    let mut rows = Vec::new();
    for (case, (outputs, gamma)) in [(1, 2.0), (7, 2.0), (80, 2.0), (5, 1.5)].into_iter().enumerate() {
        for kind in KINDS {
            let name = format!("{outputs} outputs, gamma {gamma}, {kind:?}");
            let logits = (input(&format!("check.logits.{case}"), &[2, anchors, outputs]) * 9.0 - 3.0).to_kind(kind);
            let classes: Vec<i32> = uniform(&format!("check.classes.{case}"), 2 * anchors as usize)
                .iter()
                .map(|u| {
                    if *u < 0.8 {
                        -1
                    } else if *u < 0.85 {
                        -2
                    } else {
                        ((u - 0.85) / 0.15 * outputs as f32) as i32
                    }
                })
                .collect();
            let scales = [0.125f32, 0.01];
            let held = logits.to_device(device).set_requires_grad(true);
            let on_device = |t: Tensor| t.to_device(device);
            let classes_held = on_device(Tensor::from_slice(&classes).view([2, anchors]));
            let Some(loss) =
                focal::loss(&held, &classes_held, &on_device(Tensor::from_slice(&scales)), focal::Focal { alpha: 0.25, gamma })
            else {
                return vec![missing("focal_loss")];
            };
            (&loss * 3.0).backward();
            let (want, gradient) = reference::focal_loss(&logits, &classes, &scales, 0.25, gamma);
            rows.push(Row::new(name.clone(), (loss.double_value(&[]) - want).abs() / want, SINGLE));
            // Single precision loses digits where p^gamma is tiny, but no more than a few of its last bits.
            rows.push(Row::new(
                format!("{name}: gradient"),
                elementwise(&held.grad(), &(gradient * 3.0)),
                rounding(kind) + SINGLE,
            ));
        }
    }
    rows
}

/// Boxes of all sizes within `side` pixels.
fn boxes(name: &str, n: usize, side: f32) -> Vec<[f32; 4]> {
    let u = uniform(name, 4 * n);
    u.chunks(4)
        .map(|u| {
            let [x, y] = [u[0], u[1]].map(|u| (u * 0.5 + 0.5) * side);
            let [w, h] = [u[2], u[3]].map(|u| 2.0 + (u + 1.0) * (u + 1.0) * 0.1 * side);
            [x, y, x + w, y + h]
        })
        .collect()
}

fn matcher_rows(device: Device, scale: Scale) -> Vec<Row> {
    let anchors = boxes("check.anchors", if scale == Scale::Small { 700 } else { 200_000 }, 900.0);
    let table = Tensor::from_slice(anchors.as_flattened()).view([-1, 4]).to_device(device);
    let mut rows = Vec::new();
    for (case, counts) in [vec![3, 0, 70], vec![0, 0], vec![1], vec![]].into_iter().enumerate() {
        let objects: Vec<Vec<[f32; 4]>> =
            counts.iter().enumerate().map(|(i, n)| boxes(&format!("check.objects.{case}.{i}"), *n, 900.0)).collect();
        for low_quality in [true, false] {
            let cpu = Matcher { high: 0.5, low: 0.4, low_quality };
            let number = |m: &Match| match m {
                Match::Object(o) => *o as i32,
                Match::Background => -1,
                Match::Ignored => -2,
            };
            let want: Vec<i32> =
                objects.iter().flat_map(|o| cpu.assign(o, &anchors).iter().map(number).collect::<Vec<_>>()).collect();
            let rule = matcher::Rule { high: 0.5, low: 0.4, low_quality };
            let Some(got) = matcher::assign(&table, &matcher::Objects::upload(&objects, device), rule) else {
                return vec![missing("matcher")];
            };
            let want = Tensor::from_slice(&want).view([objects.len() as i64, anchors.len() as i64]);
            rows.push(Row::new(format!("{counts:?} objects, low quality {low_quality}"), differing(&got, &want), 0.0));
        }
    }
    rows
}

fn nms_rows(device: Device, scale: Scale) -> Vec<Row> {
    let large = if scale == Scale::Small { 150 } else { 3000 };
    let mut rows = Vec::new();
    for (case, sizes) in [vec![large, 1, 0, 65], vec![64, 128], vec![0], vec![]].into_iter().enumerate() {
        let n: usize = sizes.iter().sum();
        let all = boxes(&format!("check.nms.{case}"), n, 300.0);
        let classes: Vec<i32> = (0..n as i32).map(|i| i % 3).collect();
        let table = Tensor::from_slice(all.as_flattened()).view([-1, 4]).to_device(device);
        let kinds = Tensor::from_slice(&classes).to_device(device);
        for (threshold, limit, with_classes) in [(0.5, usize::MAX, true), (0.3, usize::MAX, false), (0.7, 20, true)] {
            let mut want = vec![0u8; n];
            let mut start = 0;
            for size in &sizes {
                // Scores fall within a group, as the boxes lie.
                let scores: Vec<f32> = (0..*size).map(|i| 1.0 - i as f32 / *size as f32).collect();
                let of: Vec<i64> =
                    classes[start..start + size].iter().map(|c| if with_classes { i64::from(*c) } else { 0 }).collect();
                for kept in batched_nms(&all[start..start + size], &scores, &of, threshold, limit) {
                    want[start + kept] = 1;
                }
                start += size;
            }
            let Some(got) = nms::keep(&table, with_classes.then_some(&kinds), &sizes, threshold, limit) else {
                return vec![missing("nms")];
            };
            rows.push(Row::new(
                format!("{sizes:?}, threshold {threshold}, limit {limit}"),
                differing(&got, &Tensor::from_slice(&want)),
                0.0,
            ));
        }
    }
    rows
}

fn normalize_rows(device: Device) -> Vec<Row> {
    let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let norm =
        normalize::Norm { scale: deviation.map(|d: f32| 1.0 / (255.0 * d)), offset: [0, 1, 2].map(|c| -mean[c] / deviation[c]) };
    let (height, width) = (37i64, 52i64);
    let bytes: Vec<u8> =
        uniform("check.pixels", (2 * 3 * height * width) as usize).iter().map(|u| ((u + 1.0) * 127.9) as u8).collect();
    let pixels = Tensor::from_slice(&bytes).view([2, 3, height, width]);
    let sizes = [[30, 52], [37, 11]];
    let column = |values: [f32; 3]| Tensor::from_slice(&values.map(f64::from)).view([1, 3, 1, 1]);
    let want = (pixels.to_kind(Kind::Double) / 255.0 - column(mean)) / column(deviation);
    for (i, [h, w]) in sizes.iter().enumerate() {
        let image = want.get(i as i64);
        let _ = image.narrow(1, *h, height - h).zero_();
        let _ = image.narrow(2, *w, width - w).zero_();
    }
    let mut rows = Vec::new();
    for (kind, last) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        // Pixels as decoders leave them: colours of a pixel side by side.
        let held = channels_last(&pixels).to_device(device);
        let Some(got) = normalize::normalize(&held, &sizes, norm, kind, last) else {
            return vec![missing("normalize")];
        };
        rows.push(Row::new(format!("{kind:?}, last {last}"), relative(&got, &want), rounding(kind)));
    }
    rows
}

fn depthwise_rows(device: Device, scale: Scale) -> Vec<Row> {
    let sizes: &[[i64; 4]] = if scale == Scale::Small {
        &[[2, 3, 5, 7], [1, 2, 37, 41]]
    } else {
        &[[2, 3, 5, 7], [3, 24, 83, 150], [2, 16, 400, 672], [1, 300, 13, 21]]
    };
    let mut rows = Vec::new();
    for (size, (side, stride)) in sizes.iter().flat_map(|size| [(3, 1), (3, 2), (5, 1), (5, 2)].map(|window| (size, window))) {
        for kind in KINDS {
            let name = format!("{size:?}, {side} pixels, stride {stride}, {kind:?}");
            let x = input(&format!("check.depthwise.{size:?}"), size).to_kind(kind);
            let weight = input(&format!("check.filters.{side}"), &[size[1], 1, side, side]);
            let [held, filters] = [&x, &weight].map(|t| t.to_device(device).copy().set_requires_grad(true));
            let [exact, exact_filters] = [&x, &weight].map(|t| t.to_kind(Kind::Double).set_requires_grad(true));
            let bias = input("check.depthwise.bias", &[size[1]]);
            let shift = bias.to_device(device).copy().set_requires_grad(true);
            let exact_shift = bias.to_kind(Kind::Double).set_requires_grad(true);
            let Some(got) = depthwise::conv2d(&held, &filters, Some(&shift), stride, side / 2) else {
                return vec![missing("depthwise")];
            };
            let padding = [side / 2; 2];
            let want = exact.conv2d(&exact_filters, Some(&exact_shift), [stride; 2], padding, [1, 1], size[1]);
            rows.push(Row::new(name.clone(), relative(&got, &want), rounding(kind)));
            let incoming = input("check.depthwise.incoming", &want.size()).to_kind(kind);
            (&got * incoming.to_device(device)).sum(Kind::Float).backward();
            (&want * incoming.to_kind(Kind::Double)).sum(Kind::Double).backward();
            rows.push(Row::new(format!("{name}: gradient"), relative(&held.grad(), &exact.grad()), rounding(kind)));
            // Sums over all pixels in single precision, of parts that differ in sign.
            let error = relative(&filters.grad(), &exact_filters.grad());
            rows.push(Row::new(format!("{name}: gradient of the filters"), error, 10.0 * SINGLE));
            let error = relative(&shift.grad(), &exact_shift.grad());
            rows.push(Row::new(format!("{name}: gradient of the bias"), error, 10.0 * SINGLE));
        }
    }
    rows
}

fn batch_norm_rows(device: Device, scale: Scale) -> Vec<Row> {
    let sizes: &[[i64; 4]] = if scale == Scale::Small {
        &[[2, 3, 5, 7], [3, 2, 36, 40], [24, 5, 1, 1]]
    } else {
        &[[2, 3, 5, 7], [3, 24, 83, 150], [3, 12, 400, 672], [2, 960, 13, 21], [64, 5, 1, 1]]
    };
    let mut rows = Vec::new();
    let cases = sizes.iter().flat_map(|size| [1, 2].map(|parts| (size, parts)));
    let modes = [(Statistics::Batch, true), (Statistics::Batch, false), (Statistics::Running, true)];
    for ((size, parts), (statistics, relu)) in cases.flat_map(|case| modes.map(|mode| (case, mode))) {
        for kind in KINDS {
            let name = format!("{parts} of {size:?}, {statistics:?}, relu {relu}, {kind:?}");
            let values = |what: &str, k: usize, size: &[i64], scale: f64, shift: f64| {
                input(&format!("check.norm.{what}.{k}"), size) * scale + shift
            };
            // A mean far from zero: the variance must not drown in it.
            let maps: Vec<Tensor> = (0..parts).map(|k| values("map", k, size, 0.5, 4.0 * k as f64 - 1.0).to_kind(kind)).collect();
            let one = &size[1..2];
            let constants: Vec<[Tensor; 4]> = (0..parts)
                .map(|k| {
                    [("weight", 1.0, 0.1), ("bias", 0.3, 0.0), ("mean", 0.2, 4.0 * k as f64 - 1.0), ("var", 0.2, 0.5)]
                        .map(|(what, scale, shift)| values(what, k, one, scale, shift))
                })
                .collect();
            let leaf = |t: &Tensor, device, kind| t.to_device(device).to_kind(kind).copy();
            let trained = |t: &Tensor, device, kind| leaf(t, device, kind).set_requires_grad(true);
            let held: Vec<Tensor> = maps.iter().map(|x| trained(x, device, kind)).collect();
            let of = |device, kind| -> Vec<[Tensor; 4]> {
                let four = |[w, b, m, v]: &[Tensor; 4]| {
                    [trained(w, device, kind), trained(b, device, kind), leaf(m, device, kind), leaf(v, device, kind)]
                };
                constants.iter().map(four).collect()
            };
            let ours = of(device, Kind::Float);
            let normed: Vec<Normed> = held
                .iter()
                .zip(&ours)
                .map(|(x, [weight, bias, mean, var])| Normed { x, weight, bias, running: [mean, var], momentum: 0.1, eps: 1e-5 })
                .collect();
            let Some(got) = batch_norm::sum(&normed, statistics, relu) else {
                return vec![missing("batch_norm")];
            };
            let exact: Vec<Tensor> = maps.iter().map(|x| trained(x, Device::Cpu, Kind::Double)).collect();
            let theirs = of(Device::Cpu, Kind::Double);
            let norm = |(x, [w, b, m, v]): (&Tensor, &[Tensor; 4])| {
                x.batch_norm(Some(w), Some(b), Some(m), Some(v), statistics == Statistics::Batch, 0.1, 1e-5, false)
            };
            let sum = exact.iter().zip(&theirs).map(norm).reduce(|a, b| a + b).expect("a part");
            let want = if relu { sum.relu() } else { sum };
            rows.push(Row::new(name.clone(), relative(&got, &want), rounding(kind)));
            let incoming = input("check.norm.incoming", size).to_kind(kind);
            // A mask may differ where the sum is nearly zero: no gradient is sent there.
            let clear = want.detach().abs().gt(1e-4).to_kind(Kind::Double);
            let incoming = (incoming.to_kind(Kind::Double) * if relu { clear } else { clear.ones_like() }).to_kind(kind);
            (&got * incoming.to_device(device)).sum(Kind::Float).backward();
            (&want * incoming.to_kind(Kind::Double)).sum(Kind::Double).backward();
            for k in 0..parts {
                let error = |a: &Tensor, b: &Tensor| relative(&a.grad(), &b.grad());
                rows.push(Row::new(format!("{name}: gradient {k}"), error(&held[k], &exact[k]), rounding(kind)));
                for (i, what) in ["weight", "bias"].into_iter().enumerate() {
                    rows.push(Row::new(
                        format!("{name}: gradient of {what} {k}"),
                        error(&ours[k][i], &theirs[k][i]),
                        10.0 * SINGLE,
                    ));
                }
                for (i, what) in ["mean", "variance"].into_iter().enumerate() {
                    rows.push(Row::new(
                        format!("{name}: running {what} {k}"),
                        relative(&ours[k][2 + i], &theirs[k][2 + i]),
                        SINGLE,
                    ));
                }
            }
        }
    }
    rows
}
