//! RoIAlign and mask pasting against torchvision and pycocotools (`tools/fixtures/roi_align.py`).

use std::collections::HashMap;

use repghost_backbone::synthetic::{input, uniform};
use repghost_heads::rcnn::paste::paste_all;
use repghost_heads::roi_align::{roi_align, Backend, Roi, Sampling};
use tch::{Kind, Tensor};

const ROIS: [(usize, [f32; 4]); 10] = [
    (0, [4.0, 4.0, 30.0, 20.0]),
    (1, [0.0, 0.0, 44.0, 36.0]),
    (0, [-3.0, -3.0, 8.0, 8.0]),
    (1, [36.0, 28.0, 52.0, 41.0]),
    (0, [-30.0, 2.0, -10.0, 9.0]),
    (1, [10.0, 10.0, 10.5, 30.0]),
    (0, [12.0, 12.0, 12.0, 12.0]),
    (1, [3.9, 7.1, 4.3, 7.2]),
    (0, [20.0, 20.0, 10.0, 12.0]),
    (1, [43.9, 35.9, 44.0, 36.0]),
];

fn fixture() -> HashMap<String, Tensor> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/roi_align.safetensors");
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

fn assert_close(got: &Tensor, want: &Tensor, what: &str) {
    assert_eq!(got.size(), want.size(), "{what}");
    // Sums of up to some hundred terms in another order: a few roundings of the largest.
    let scale = want.abs().max().double_value(&[]).max(1.0);
    let worst = (got - want).abs().max().double_value(&[]);
    assert!(worst < 2e-6 * scale, "{what}: off by {worst} at a largest of {scale}");
}

#[test]
fn equals_torchvision_forward_and_backward() {
    let fixture = fixture();
    let rois: Vec<Roi> = ROIS.iter().map(|(image, bbox)| Roi { level: 0, image: *image, bbox: *bbox }).collect();
    for (aligned, ratio) in [(false, 2), (false, 0), (true, 2), (true, 0)] {
        for engine in [Backend::Auto, Backend::TensorOps] {
            let name = format!("aligned{}_ratio{ratio}", u8::from(aligned));
            let want = &fixture[&format!("{name}.pooled")];
            let sampling = Sampling { output: want.size()[2] as usize, ratio, aligned };
            let map = input("roi_align.features", &[2, 18, 9, 11]).set_requires_grad(true);
            let pooled = roi_align(&[&map], &[0.25], &rois, sampling, engine);
            assert_close(&pooled, want, &format!("{name} {engine:?}"));
            (&pooled * input("roi_align.gradient", &want.size())).sum(Kind::Float).backward();
            assert_close(&map.grad(), &fixture[&format!("{name}.gradient")], &format!("{name} {engine:?} gradient"));
        }
    }
}

/// Regions of two levels in mixed order land in their places, and each map gets the gradient of its own regions only.
#[test]
fn levels_keep_their_places() {
    let maps = [input("a", &[2, 18, 9, 11]).set_requires_grad(true), input("b", &[2, 18, 5, 6]).set_requires_grad(true)];
    let scales = [0.25, 0.125];
    let sampling = Sampling { output: 3, ratio: 2, aligned: false };
    let rois: Vec<Roi> =
        ROIS.iter().enumerate().map(|(i, (image, bbox))| Roi { level: i % 2, image: *image, bbox: *bbox }).collect();
    let together = roi_align(&[&maps[0], &maps[1]], &scales, &rois, sampling, Backend::Auto);
    for (i, roi) in rois.iter().enumerate() {
        let alone = Roi { level: 0, ..*roi };
        let one = roi_align(&[&maps[roi.level]], &[scales[roi.level]], &[alone], sampling, Backend::TensorOps);
        assert_close(&together.get(i as i64), &one.get(0), &format!("region {i}"));
    }
    together.narrow(0, 1, 1).sum(Kind::Float).backward();
    assert_eq!(maps[0].grad().abs().sum(Kind::Float).double_value(&[]), 0.0);
    // Weights of a bin sum to one, and the region lies within the map: 18 channels x 9 bins.
    let total = maps[1].grad().sum(Kind::Float).double_value(&[]);
    assert!((total - 162.0).abs() < 1e-3, "{total}");
}

/// Half precision goes in and comes out; sums are taken in single precision.
#[test]
fn keeps_the_kind() {
    let sampling = Sampling { output: 3, ratio: 2, aligned: false };
    let rois: Vec<Roi> = ROIS.iter().map(|(image, bbox)| Roi { level: 0, image: *image, bbox: *bbox }).collect();
    let full = input("a", &[2, 18, 9, 11]).to_kind(Kind::BFloat16).to_kind(Kind::Float);
    let want = roi_align(&[&full], &[0.25], &rois, sampling, Backend::Auto);
    for engine in [Backend::Auto, Backend::TensorOps] {
        let half = full.to_kind(Kind::BFloat16).set_requires_grad(true);
        let got = roi_align(&[&half], &[0.25], &rois, sampling, engine);
        assert_eq!(got.kind(), Kind::BFloat16);
        got.sum(Kind::Float).backward();
        assert_eq!(half.grad().kind(), Kind::BFloat16);
        // Eight bits of mantissa: half a unit in the last place is 1/512 of the value.
        let worst = ((got.to_kind(Kind::Float) - &want).abs() - want.abs() / 256.0).max().double_value(&[]);
        assert!(worst < 1e-6, "{engine:?}: off by {worst}");
    }
}

#[test]
fn no_regions_and_no_images() {
    for engine in [Backend::Auto, Backend::TensorOps] {
        let sampling = Sampling { output: 7, ratio: 2, aligned: false };
        let map = input("a", &[1, 18, 9, 11]).set_requires_grad(true);
        let none = roi_align(&[&map], &[0.25], &[], sampling, engine);
        assert_eq!(none.size(), [0, 18, 7, 7]);
        none.sum(Kind::Float).backward();
        assert_eq!(map.grad().abs().sum(Kind::Float).double_value(&[]), 0.0);
    }
}

/// Pixel for pixel what torchvision pastes and pycocotools encodes.
#[test]
fn pasted_masks_equal_torchvision() {
    #[derive(serde::Deserialize)]
    struct Record {
        areas: Vec<u64>,
        counts: Vec<Vec<u32>>,
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/paste.json");
    let want: Record = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (n, side, height, width) = (100, 28, 480usize, 640usize);
    let index = Tensor::from_slice(&(0..side).map(|i| i * 5 / side).collect::<Vec<i64>>());
    let coarse = input("paste.masks", &[n, 1, 5, 5]).index_select(2, &index).index_select(3, &index);
    let masks = (coarse * 0.4 + input("paste.noise", &[n, 1, side, side]) * 0.1 + 0.5).clamp(0.0, 1.0);
    let masks = Vec::<f32>::try_from(masks.reshape([-1])).unwrap();
    let u = uniform("paste.boxes", 400);
    let boxes: Vec<[f32; 4]> = u
        .chunks(4)
        .map(|u| {
            let (x, y) = ((u[0] * 0.49 + 0.5) * width as f32, (u[1] * 0.49 + 0.5) * height as f32);
            let (w, h) = ((u[2] + 1.02) * 75.0, (u[3] + 1.02) * 75.0);
            [x - w, y - h, x + w, y + h]
        })
        .collect();
    let got = paste_all(&masks, side as usize, &boxes, [height, width]);
    let differing: usize = got.iter().zip(&want.counts).filter(|(g, w)| g.counts != **w).count();
    for (g, area) in got.iter().zip(&want.areas) {
        assert_eq!(g.counts.iter().sum::<u32>() as usize, height * width);
        assert!(g.area().abs_diff(*area) <= 1 + area / 2000, "{} pixels, torchvision has {area}", g.area());
    }
    assert_eq!(differing, 0, "of {n} encodings");
}
