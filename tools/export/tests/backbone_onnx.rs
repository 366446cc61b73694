//! RepGhostNet written as ONNX computes what the model computes, in onnxruntime.

use repghost_backbone::synthetic::{fill, input};
use repghost_backbone::{BackboneConfig, Eager, FuseLevel, Tree};
use repghost_export::onnx::ElementType;
use repghost_export::parity;
use repghost_export::parts::backbone::{classifier, features};
use repghost_export::runtime::{onnxruntime, NamedOutput, Settings, REFERENCE};
use repghost_export::spec::{encode, BatchSize, ExportSpec};
use repghost_testing::need;
use tch::Tensor;

fn named(name: &str, t: &Tensor) -> NamedOutput {
    NamedOutput { name: name.into(), shape: t.size(), data: Vec::try_from(t.reshape(-1)).unwrap() }
}

fn pixels(shape: &[i64]) -> (Tensor, Vec<f32>) {
    let t = input("image", shape);
    let data = Vec::try_from(t.reshape(-1)).unwrap();
    (t, data)
}

#[test]
fn unfused_fused_and_half_precision_agree_at_two_batch_sizes() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let _guard = tch::no_grad_guard();
    for (level, precision, tolerance) in [
        (None, ElementType::F32, 1e-4),
        (Some(FuseLevel::Branches), ElementType::F32, 1e-4),
        (Some(FuseLevel::All), ElementType::F32, 1e-4),
        (Some(FuseLevel::All), ElementType::F16, 2e-2),
    ] {
        let mut net = BackboneConfig { width: 0.5, ..Default::default() }.build_classifier(10).unwrap();
        fill(&net, "");
        if let Some(level) = level {
            net.fuse(level);
        }
        let spec = ExportSpec { precision, batch: BatchSize::Dynamic, size: [64, 96] };
        let file = encode(&classifier(&net, &spec, &[]).unwrap());
        let mut runtime = REFERENCE.open(&file, Settings::threads(2)).unwrap();
        for n in [1, 3] {
            let (image, data) = pixels(&[n, 3, 64, 96]);
            let expected = [named("logits", &net.classify(&mut Eager::eval(), &image))];
            let found = runtime.outputs(&[n, 3, 64, 96], &data).unwrap();
            let differences = parity::compare(&expected, &found).unwrap();
            parity::check_differences(&differences, tolerance).unwrap();
        }
        let file = encode(&features(&net, &spec, &[]).unwrap());
        let mut runtime = REFERENCE.open(&file, Settings::threads(2)).unwrap();
        let (image, data) = pixels(&[2, 3, 64, 96]);
        let features = net.features(&mut Eager::eval(), &image);
        let expected: Vec<_> = net.tap_names().iter().zip(&features).map(|(name, f)| named(name, f)).collect();
        let differences = parity::compare(&expected, &runtime.outputs(&[2, 3, 64, 96], &data).unwrap()).unwrap();
        assert_eq!(differences.len(), 4);
        parity::check_differences(&differences, tolerance).unwrap();
    }
}

#[test]
fn a_size_that_does_not_halve_evenly_is_refused() {
    let net = BackboneConfig { width: 0.5, ..Default::default() }.build_classifier(10).unwrap();
    let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Fixed(1), size: [60, 96] };
    let message = features(&net, &spec, &[]).unwrap_err().to_string();
    assert!(message.contains("60") && message.contains("32"), "{message}");
}

#[test]
fn the_gate_sees_a_difference_and_a_nan() {
    let a = NamedOutput { name: "x".into(), shape: vec![2], data: vec![1.0, 2.0] };
    let mut b = a.clone();
    assert!(
        parity::check_differences(&parity::compare(std::slice::from_ref(&a), std::slice::from_ref(&b)).unwrap(), 1e-6).is_ok()
    );
    b.data[1] = 2.1;
    assert!(
        parity::check_differences(&parity::compare(std::slice::from_ref(&a), std::slice::from_ref(&b)).unwrap(), 1e-2).is_err()
    );
    b.data[1] = f32::NAN;
    assert!(parity::check_differences(&parity::compare(&[a], &[b]).unwrap(), 1e9).is_err());
}
