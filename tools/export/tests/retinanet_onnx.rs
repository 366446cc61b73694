//! RetinaNet as a file gives the model's detections, in onnxruntime: raw outputs decoded on the host, and both ways of suppression in
//! the graph, at two batch sizes.

use repghost_backbone::synthetic::{fill, input};
use repghost_backbone::{BackboneConfig, Eager, FuseLevel, Tree};
use repghost_export::onnx::ElementType;
use repghost_export::onnx::Nms;
use repghost_export::parity;
use repghost_export::parts::detector::{detector, networks};
use repghost_export::runtime::{onnxruntime, NamedOutput, Settings, REFERENCE};
use repghost_export::spec::{encode, BatchSize, ExportSpec};
use repghost_heads::{Detector, FpnConfig, HeadConfig, HostDetections, ImageBatch, PostprocessConfig, RetinaNetConfig, Stage};
use repghost_testing::need;
use tch::{Kind, Tensor};

const SIZE: [i64; 2] = [128, 160];

fn net() -> Detector {
    let _guard = tch::no_grad_guard();
    let body = BackboneConfig { width: 0.5, ..Default::default() }.build_features().unwrap();
    let fpn = FpnConfig { channels: 32, ..Default::default() };
    let head = RetinaNetConfig { tower_depth: 2, ..Default::default() };
    let mut net = HeadConfig::RetinaNet(head).build(body, &fpn, 3).unwrap();
    fill(&net, "");
    // The rule's weights let activations grow to thousands; a trained network's last layers give numbers around one.
    for mut entry in net.named_tensors() {
        let scale = match entry.name.rsplit_once('.').map(|(path, _)| path.ends_with("bbox_reg")) {
            Some(true) => 1e-4,
            _ if entry.name.ends_with("cls_logits.weight") => 1e-3,
            _ => continue,
        };
        let _ = entry.tensor.g_mul_scalar_(scale);
    }
    net.fuse(FuseLevel::All);
    // Weights by rule give scores around one half: a threshold that leaves some hundred candidates.
    net.set_postprocess(PostprocessConfig { score_threshold: 0.6, max_detections: 50, ..Default::default() });
    net
}

fn images(n: i64) -> (ImageBatch, Vec<f32>) {
    let pixels = input("image", &[n, 3, SIZE[0], SIZE[1]]);
    let data = Vec::try_from(pixels.reshape(-1)).unwrap();
    (ImageBatch { pixels, sizes: vec![SIZE; n as usize] }, data)
}

fn floats(t: &Tensor) -> Vec<f32> {
    Vec::try_from(t.to_kind(Kind::Float).reshape(-1)).unwrap()
}

fn by_name<'a>(outputs: &'a [NamedOutput], name: &str) -> &'a NamedOutput {
    outputs.iter().find(|o| o.name == name).unwrap()
}

fn assert_same(expected: &HostDetections, boxes: &[f32], scores: &[f32], labels: &[f32]) {
    let n = expected.len();
    assert!(n > 10, "only {n} detections: nothing is compared");
    assert!(scores[n..].iter().all(|s| *s == 0.0), "more detections than expected");
    for (e, f) in expected.scores.iter().zip(scores) {
        assert!((e - f).abs() < 1e-5, "score {e} against {f}");
    }
    for (e, f) in expected.boxes.as_flattened().iter().zip(boxes) {
        assert!((e - f).abs() < 1e-2, "coordinate {e} against {f}");
    }
    assert_eq!(expected.labels.iter().map(|l| *l as f32).collect::<Vec<_>>(), labels[..n]);
}

#[test]
fn raw_outputs_and_detections_agree() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let _guard = tch::no_grad_guard();
    let net = net();
    let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Dynamic, size: SIZE };
    let built = networks(&net, &spec, &[], &[]).unwrap();
    let (file, sidecar) = (&built.files[0].model, built.sidecar.as_ref().unwrap());
    let mut raw_file = REFERENCE.open(&encode(file), Settings::threads(2)).unwrap();
    let mut plain = REFERENCE.open(&encode(&detector(&net, &spec, Nms::PLAIN, &[], &[]).unwrap()), Settings::threads(2)).unwrap();
    let mut standard =
        REFERENCE.open(&encode(&detector(&net, &spec, Nms::Onnx, &[], &[]).unwrap()), Settings::threads(2)).unwrap();
    assert_eq!(sidecar.anchors.len(), sidecar.anchors_per_level.iter().sum::<usize>());
    for n in [1, 2] {
        let (batch, data) = images(n);
        let shape = [n, 3, SIZE[0], SIZE[1]];
        let out = net.run_stage(&Stage::Image, &mut Eager::eval(), &batch.pixels);
        let output = |(name, t): &(String, Tensor)| NamedOutput { name: name.clone(), shape: t.size(), data: floats(t) };
        let expected: Vec<NamedOutput> = out.iter().map(output).collect();
        assert_eq!(expected[0].shape[1] as usize, sidecar.anchors.len());
        let differences = parity::compare(&expected, &raw_file.outputs(&shape, &data).unwrap()).unwrap();
        println!("{differences:?}");
        parity::check_differences(&differences, 1e-4).unwrap();

        let detections = net.detect(&batch);
        let found = plain.outputs(&shape, &data).unwrap();
        let d = by_name(&found, "scores").shape[1] as usize;
        for (i, expected) in detections.iter().enumerate() {
            let part = |name: &str, width: usize| &by_name(&found, name).data[i * d * width..(i + 1) * d * width];
            assert_same(expected, part("boxes", 4), part("scores", 1), part("labels", 1));
        }

        let found = standard.outputs(&shape, &data).unwrap();
        let image = &by_name(&found, "image_indices").data;
        for (i, expected) in detections.iter().enumerate() {
            let rows: Vec<usize> = (0..image.len()).filter(|r| image[*r] == i as f32).collect();
            let pick = |name: &str, width: usize| -> Vec<f32> {
                rows.iter().flat_map(|r| by_name(&found, name).data[r * width..(r + 1) * width].to_vec()).collect()
            };
            assert_same(expected, &pick("boxes", 4), &pick("scores", 1), &pick("labels", 1));
        }
    }
}
