//! Every runtime that takes files gives onnxruntime's outputs, and times. Needs the runtime: OpenVINO and MNN are in the Python that
//! `REPGHOST_PYTHON` names.

use repghost_backbone::{BackboneConfig, FuseLevel, Tree};
use repghost_export::onnx::ElementType;
use repghost_export::parity::{check_differences, compare};
use repghost_export::parts::backbone::classifier;
use repghost_export::runtime::list::{of_files, Takes};
use repghost_export::runtime::session::{Input, Runs};
use repghost_export::runtime::{onnxruntime, Session, Settings, REFERENCE, RUNTIMES};
use repghost_export::spec::{encode, BatchSize, ExportSpec};
use repghost_export::synthetic;
use repghost_testing::need;
use tch::Tensor;

const SHAPE: [i64; 4] = [2, 3, 64, 96];

#[test]
fn all_runtimes_agree() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let _guard = tch::no_grad_guard();
    let mut net = synthetic::backbone(&BackboneConfig { width: 0.5, ..BackboneConfig::default() }, 7).unwrap();
    net.fuse(FuseLevel::All);
    let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Fixed(2), size: [64, 96] };
    let file = encode(&classifier(&net, &spec, &[]).unwrap());
    let pixels: Vec<f32> = (0..SHAPE.iter().product::<i64>()).map(|i| ((i * 37 % 255) as f32 / 127.0) - 1.0).collect();
    let mut reference = REFERENCE.open(&file, Settings::threads(1)).unwrap();
    let expected = reference.outputs(&SHAPE, &pixels).unwrap();
    assert_eq!((expected[0].name.as_str(), &expected[0].shape[..]), ("logits", &[2, 7][..]));
    let agree = |name: &str, session: &mut dyn Session| {
        let found = session.outputs(&SHAPE, &pixels).unwrap();
        check_differences(&compare(&expected, &found).unwrap(), 1e-4).unwrap_or_else(|e| panic!("{name}: {e}"));
        let times = session.time(&[Input { shape: &SHAPE, values: &pixels }], Runs { warm_up: 1, timed: 2 }).unwrap();
        assert!(times.len() == 2 && times.iter().all(|t| *t > 0.0), "{name}: {times:?}");
        // A session answers again after it was timed.
        assert_eq!(session.outputs(&SHAPE, &pixels).unwrap(), found, "{name}");
    };
    let image = Tensor::from_slice(&pixels).view(SHAPE);
    for runtime in RUNTIMES {
        let Some(()) = need(runtime.name, (runtime.check)().ok(), "see docs/export.md, runtimes") else { continue };
        match runtime.takes {
            Takes::File(open) => agree(runtime.name, open(&file, Settings::threads(1)).unwrap().as_mut()),
            Takes::Network(open) => agree(runtime.name, open(&net, &image, Settings::threads(1)).unwrap().as_mut()),
        }
    }
}

#[test]
fn a_file_that_is_none_is_refused_in_one_line() {
    for runtime in of_files().filter(|r| (r.check)().is_ok()) {
        let error =
            runtime.open(b"no file", Settings::threads(1)).and_then(|mut s| s.outputs(&SHAPE, &[0.0; 36864])).unwrap_err();
        let message = error.to_string();
        assert_eq!(message.lines().count(), 1, "{}: {message}", runtime.name);
    }
}
