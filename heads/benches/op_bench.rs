//! Times RoIAlign in four forms, and mask pasting: `op_bench [runs]`. `tools/fixtures/op_bench.py` times torchvision on the same
//! shapes; `docs/roi_align.md` has the figures.

use std::time::Instant;

use repghost_backbone::synthetic::uniform;
use repghost_heads::rcnn::paste::paste_all;
use repghost_heads::roi_align::taps::AxisTaps;
use repghost_heads::roi_align::{roi_align, Backend, Roi, Sampling};
use tch::{Device, Kind, Tensor};

const SCALE: f64 = 0.25;
const SIDE: usize = 80;
const CHANNELS: i64 = 256;

fn main() {
    let runs = std::env::args().filter(|a| a != "--bench").nth(1).and_then(|a| a.parse().ok()).unwrap_or(7);
    let rois: Vec<Roi> = uniform("op_bench.rois", 512 * 4)
        .chunks(4)
        .map(|u| {
            let v: Vec<f32> = u.iter().map(|x| (x + 1.0) / 2.0).collect();
            let (x, y) = (v[0] * 200.0, v[1] * 200.0);
            Roi { level: 0, image: 0, bbox: [x, y, x + v[2] * 100.0 + 4.0, y + v[3] * 100.0 + 4.0] }
        })
        .collect();
    let map = Tensor::rand([1, CHANNELS, SIDE as i64, SIDE as i64], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    for output in [7, 14] {
        let sampling = Sampling { output, ratio: 2, aligned: false };
        let kernel = || roi_align(&[&map], &[SCALE], &rois, sampling, Backend::Auto);
        let bag = || roi_align(&[&map], &[SCALE], &rois, sampling, Backend::TensorOps);
        let dense = || dense_matmul(&map, &rois, sampling);
        let grid = || grid_sample(&map, &rois, sampling);
        let want = tch::no_grad(kernel);
        let ways: [(&str, &dyn Fn() -> Tensor); 4] =
            [("kernel", &kernel), ("embedding_bag", &bag), ("dense matmul", &dense), ("grid_sample", &grid)];
        for (name, way) in ways {
            let off = (tch::no_grad(way) - &want).abs().max().double_value(&[]);
            let forward = median(runs, || drop(way()));
            let both = median(runs, || way().sum(Kind::Float).backward());
            println!("roi_align 512x256x{output}x{output} {name}: fwd {forward:.1} ms fwd+bwd {both:.1} ms (off by {off:.1e})");
        }
    }
    let masks = Vec::<f32>::try_from(Tensor::rand([100 * 784], (Kind::Float, Device::Cpu))).expect("floats");
    let boxes: Vec<[f32; 4]> = uniform("op_bench.boxes", 400)
        .chunks(4)
        .map(|u| {
            let v: Vec<f32> = u.iter().map(|x| (x + 1.0) / 2.0).collect();
            [v[0] * 300.0, v[1] * 300.0, v[0] * 300.0 + v[2] * 200.0 + 4.0, v[1] * 300.0 + v[3] * 200.0 + 4.0]
        })
        .collect();
    println!("paste + RLE 100 masks 640x480: {:.2} ms", median(runs, || drop(paste_all(&masks, 28, &boxes, [480, 640]))));
}

fn median(runs: usize, mut f: impl FnMut()) -> f64 {
    f();
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

/// The separable form with dense matrices: `Ay F Ax^T` for all regions in two products.
fn dense_matmul(map: &Tensor, rois: &[Roi], sampling: Sampling) -> Tensor {
    let axis = |lo: usize| {
        let mut rows = vec![0.0f32; rois.len() * sampling.output * SIDE];
        for (r, roi) in rois.iter().enumerate() {
            let taps = AxisTaps::new(sampling, roi.bbox[lo], roi.bbox[lo + 2], SCALE as f32, SIDE);
            for b in 0..sampling.output {
                let (index, weight) = taps.bin(b);
                for (i, w) in index.iter().zip(weight) {
                    rows[(r * sampling.output + b) * SIDE + *i as usize] = *w;
                }
            }
        }
        Tensor::from_slice(&rows).view([rois.len() as i64, sampling.output as i64, SIDE as i64])
    };
    let (k, p, side) = (rois.len() as i64, sampling.output as i64, SIDE as i64);
    let (ax, ay) = (axis(0), axis(1));
    let columns = map.view([CHANNELS * side, side]).matmul(&ax.view([k * p, side]).tr());
    let columns = columns.view([CHANNELS, side, k, p]).permute([2, 1, 0, 3]).reshape([k, side, CHANNELS * p]);
    ay.bmm(&columns).view([k, p, CHANNELS, p]).permute([0, 2, 1, 3]).contiguous()
}

/// Bilinear samples by `grid_sampler_2d`, averaged over each bin.
fn grid_sample(map: &Tensor, rois: &[Roi], sampling: Sampling) -> Tensor {
    let (p, ratio) = (sampling.output, sampling.ratio);
    let n = p * ratio;
    let mut grid = Vec::with_capacity(rois.len() * n * n * 2);
    for roi in rois {
        let at = |d: usize, i: usize| {
            let start = roi.bbox[d] * SCALE as f32;
            let bin = (roi.bbox[d + 2] * SCALE as f32 - start).max(1.0) / n as f32;
            // grid_sample's coordinates run from -1 to 1 between the outer edges of the border pixels.
            (2.0 * (start + (i as f32 + 0.5) * bin) + 1.0) / SIDE as f32 - 1.0
        };
        for y in 0..n {
            for x in 0..n {
                grid.extend([at(0, x), at(1, y)]);
            }
        }
    }
    let (k, n, p, ratio) = (rois.len() as i64, n as i64, p as i64, ratio as i64);
    let grid = Tensor::from_slice(&grid).view([1, k * n, n, 2]);
    const BILINEAR: i64 = 0;
    const BORDER: i64 = 1;
    let samples = map.grid_sampler_2d(&grid, BILINEAR, BORDER, false);
    let bins = samples.view([CHANNELS, k, p, ratio, p, ratio]).mean_dim(&[3i64, 5][..], false, None::<Kind>);
    bins.permute([1, 0, 2, 3]).contiguous()
}
