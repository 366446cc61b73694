//! TorchScript files: libtorch's reader loads them, their parameters carry the state dict's names, and they compute what the model computes at
//! other sizes and batches than the gate's too. (Python's `torch.jit.load` reads the same archive: `tools/fixtures/torchscript.py` checks it.)

use std::io::Cursor;

use repghost_backbone::{BackboneConfig, FuseLevel, Tree};
use repghost_export::model::{Model, Network};
use repghost_export::parity::inputs::Input;
use repghost_export::spec::Part;
use repghost_export::synthetic;
use repghost_export::torchscript::parts::{build, check};
use tch::{CModule, IValue};

fn input(shape: [i64; 4]) -> Input {
    let pixels = Vec::try_from(repghost_backbone::synthetic::input("image", &shape).reshape(-1)).unwrap();
    Input { name: format!("{shape:?}"), pixels, shape, sizes: vec![[shape[2], shape[3]]; shape[0] as usize] }
}

fn model(network: Network) -> Model {
    Model { network, classes: synthetic::classes(3), form: repghost_backbone::weights::Form::Folded, cutoffs: vec![] }
}

#[test]
fn parameters_keep_their_names_and_outputs_agree() {
    let _guard = tch::no_grad_guard();
    for (name, fuse) in [("repghostnet", false), ("repghostnet", true), ("mobilenet_v3_small", true), ("ghostnetv2", false)] {
        let mut net = synthetic::backbone(&BackboneConfig { width: 0.5, ..BackboneConfig::named(name) }, 7).unwrap();
        if fuse {
            net.fuse(FuseLevel::All);
        }
        let mut names: Vec<String> = net.named_tensors().into_iter().map(|e| e.name).collect();
        names.retain(|n| !n.ends_with("num_batches_tracked"));
        let model = model(Network::Backbone(Box::new(net)));
        let files = build(&model, Part::Classifier).unwrap();
        let checked = check(&model, Part::Classifier, &files, &[input([2, 3, 64, 96]), input([1, 3, 96, 64])]).unwrap();
        assert_eq!(checked.comparisons.len(), 2);
        let module = CModule::load_data(&mut Cursor::new(&files[0].bytes)).unwrap();
        let mut found: Vec<String> = module.named_parameters().unwrap().into_iter().map(|(n, _)| n).collect();
        // libtorch lists parameters; running statistics are buffers.
        names.retain(|n| !n.contains("running_"));
        names.sort();
        found.sort();
        assert_eq!(found, names);
    }
}

#[test]
fn detectors_have_a_file_per_stage() {
    let _guard = tch::no_grad_guard();
    let config = BackboneConfig { width: 0.5, ..Default::default() };
    for (head, count) in [("retinanet", 1), ("fcos", 1), ("faster_rcnn", 2), ("mask_rcnn", 3)] {
        let pixels = repghost_backbone::synthetic::input("gate", &[1, 3, 64, 96]);
        let detector = synthetic::detector(&mut synthetic::narrow(&config, head).unwrap(), 3, &pixels).unwrap();
        let model = model(Network::Detector(Box::new(detector)));
        let files = build(&model, Part::Raw).unwrap();
        assert_eq!(files.len(), count);
        let checked = check(&model, Part::Raw, &files, &[input([2, 3, 96, 64])]).unwrap();
        assert!(checked.worst() < 1e-5, "{checked:?}");
        assert!(build(&model, Part::Detector).unwrap_err().to_string().contains("take part raw"));
        let first = CModule::load_data(&mut Cursor::new(&files[0].bytes)).unwrap();
        let out = first.forward_is(&[IValue::Tensor(pixels)]).unwrap();
        assert!(matches!(out, IValue::Tuple(ref all) if all.len() == files[0].outputs.len()));
    }
}
