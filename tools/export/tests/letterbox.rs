//! Files with one size of input: means run over the image that is letterboxed into it, and nothing is found in its padding.

use repghost_backbone::layers::GroupNorm;
use repghost_backbone::region::{over_images, BEYOND};
use repghost_backbone::synthetic::input;
use repghost_backbone::{BackboneConfig, Eager, FuseLevel, Ops, Tree};
use repghost_export::engine::exported::ExportedDetector;
use repghost_export::metadata::Metadata;
use repghost_export::model::{Model, Network};
use repghost_export::onnx::{ElementType, Nms, OnnxWriter};
use repghost_export::parts;
use repghost_export::runtime::{onnxruntime, Settings, REFERENCE};
use repghost_export::spec::{encode, finish, BatchSize, ExportSpec, Part};
use repghost_export::synthetic;
use repghost_heads::Stage;
use repghost_testing::need;
use repghost_train::engine::Pictures;
use tch::Tensor;

const SIZE: [i64; 2] = [128, 192];
/// Heights and widths of the images in a batch; zeros fill a fixed batch up.
const IMAGES: [[i64; 2]; 4] = [[128, 192], [40, 192], [128, 70], [0, 0]];

/// Images at the top left of zeros `[N, 3, H, W]`.
fn letterboxed() -> Tensor {
    let all = input("letterbox", &[IMAGES.len() as i64, 3, SIZE[0], SIZE[1]]) * 2.0;
    let padded = all.zeros_like();
    for (i, [h, w]) in IMAGES.into_iter().enumerate() {
        let of = |t: &Tensor| t.narrow(0, i as i64, 1).narrow(2, 0, h).narrow(3, 0, w);
        of(&padded).copy_(&of(&all));
    }
    padded
}

fn values(t: &Tensor) -> Vec<f32> {
    Vec::try_from(t.reshape([-1])).unwrap()
}

/// Means, group norms and logits of maps of stride 1 to 64.
fn on_maps<O: Ops>(ops: &mut O, x: &O::Value, norm: &GroupNorm) -> Vec<(String, O::Value)> {
    let mut outputs = vec![];
    for stride in [1, 4, 32, 64] {
        let map = if stride == 1 { O::share(x) } else { ops.avg_pool2d(x, stride, stride) };
        outputs.push((format!("mean {stride}"), ops.mean_hw(&map)));
        outputs.push((format!("norm {stride}"), ops.group_norm(&map, norm)));
        outputs.push((format!("logits {stride}"), ops.flatten_logits(&map, 3)));
    }
    outputs
}

/// The graph is libtorch's with the images' sizes, which the graph has to see for itself.
#[test]
fn operations_leave_the_padding_out() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let (norm, pixels) = (GroupNorm::new(1, 3), letterboxed());
    let expected = tch::no_grad(|| over_images(SIZE, &IMAGES, || on_maps(&mut Eager::eval(), &pixels, &norm)));
    let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Dynamic, size: SIZE };
    let (mut ops, x): (OnnxWriter, _) = spec.begin_stage(&Stage::Image);
    let outputs = on_maps(&mut ops, &x, &norm);
    let file = encode(&finish(ops, &outputs, "maps", &[]));
    let shape = [IMAGES.len() as i64, 3, SIZE[0], SIZE[1]];
    let found = REFERENCE.open(&file, Settings::threads(1)).unwrap().outputs(&shape, &values(&pixels)).unwrap();
    assert_eq!(found.len(), expected.len());
    for ((name, expected), found) in expected.iter().zip(&found) {
        let expected = values(expected);
        let off = expected.iter().zip(&found.data).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
        assert!(off < 2e-5 && expected.len() == found.data.len(), "{name}: off by {off}");
    }
    // Of the second image a third is padding; without its size libtorch's mean is another one.
    let plain = tch::no_grad(|| on_maps(&mut Eager::eval(), &pixels, &norm));
    let second = |outputs: &[(String, Tensor)]| outputs[0].1.narrow(0, 1, 1);
    assert!((second(&plain) - second(&expected)).abs().max().double_value(&[]) > 1e-3);
    assert!(expected[2].1.min().double_value(&[]) < BEYOND / 2.0);
}

/// Of an image in a letterbox the file finds what libtorch finds in it alone, but for what lies at the padding.
#[test]
fn a_letterboxed_image_gives_what_it_gives_alone() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let _guard = tch::no_grad_guard();
    for head in repghost_heads::HeadConfig::NAMES {
        let mut e = synthetic::narrow(&BackboneConfig { width: 0.5, ..BackboneConfig::default() }, head).unwrap();
        let image = input("letterbox", &[1, 3, 128, 96]) * 2.0;
        let mut detector = synthetic::detector(&mut e, 3, &image).unwrap();
        detector.fuse(FuseLevel::All);
        let padded = image.constant_pad_nd([0, SIZE[1] - 96, 0, 0]);
        let raw = || detector.run_stage(&Stage::Image, &mut Eager::eval(), &padded);
        let outputs = over_images(SIZE, &[[128, 96]], raw);
        let logits = outputs.into_iter().find(|(name, _)| matches!(name.as_str(), "logits" | "objectness")).unwrap().1;
        // Half of the positions are the padding's: nothing is found there.
        let lowered = logits.lt(BEYOND / 2.0).to_kind(tch::Kind::Float).mean(tch::Kind::Float).double_value(&[]);
        assert!((0.45..=0.55).contains(&lowered), "{head}: {lowered}");
        let network = Network::Detector(Box::new(detector));
        let form = repghost_backbone::weights::Form::Folded;
        let model = Model { network, classes: synthetic::classes(3), form, cutoffs: vec![] };
        let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Fixed(1), size: SIZE };
        let built = parts::build(&model, Part::Detector, &spec, Nms::PLAIN, &Metadata(vec![])).unwrap();
        let mut engine = ExportedDetector::built(&built, None, &model.classes).unwrap().engine(1, REFERENCE).unwrap();
        let pixels = values(&padded);
        let shape = [1, 3, SIZE[0], SIZE[1]];
        let found = engine.detect(Pictures { pixels: &pixels, shape, sizes: &[SIZE] }).unwrap().remove(0);
        let centre = |b: &[f32; 4]| (b[0] + b[2]) / 2.0;
        assert!(found.len() > 3, "{head}: {} detections", found.len());
        let outside = found.boxes.iter().filter(|b| centre(b) > 128.0).count();
        assert_eq!(outside, 0, "{head}: of {} detections", found.len());
    }
}
