//! Writes every kind of file that can be exported into a folder, for `make check-tensorrt`: parts, heads, precisions, static and dynamic batch.
//!
//! Usage: `export_kinds FOLDER`

use std::path::Path;

use repghost_backbone::synthetic::input;
use repghost_backbone::weights::Form;
use repghost_backbone::{BackboneConfig, FuseLevel, Tree};
use repghost_export::metadata::Metadata;
use repghost_export::model::{Model, Network};
use repghost_export::onnx::ElementType;
use repghost_export::onnx::Nms;
use repghost_export::spec::Part;
use repghost_export::spec::{encode, BatchSize, ExportSpec};
use repghost_export::{parts, synthetic};

const SIZE: [i64; 2] = [128, 160];
const CLASSES: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: export_kinds FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let _guard = tch::no_grad_guard();
    let config = BackboneConfig { width: 0.5, ..Default::default() };
    let pixels = input("gate", &[1, 3, SIZE[0], SIZE[1]]);
    let model = |network: Network| Model { network, classes: synthetic::classes(CLASSES), form: Form::Folded, cutoffs: vec![] };
    let mut backbone = synthetic::backbone(&config, CLASSES as i64)?;
    backbone.fuse(FuseLevel::All);
    let backbone = model(Network::Backbone(Box::new(backbone)));
    let mut heads = vec![];
    for head in repghost_heads::HeadConfig::NAMES {
        let mut detector = synthetic::detector(&mut synthetic::narrow(&config, head)?, CLASSES, &pixels)?;
        detector.fuse(FuseLevel::All);
        heads.push((head, model(Network::Detector(Box::new(detector)))));
    }
    for (precision, type_name) in [(ElementType::F32, "fp32"), (ElementType::F16, "fp16")] {
        for (batch, batch_name) in [(BatchSize::Fixed(1), "static"), (BatchSize::Dynamic, "dynamic")] {
            let spec = ExportSpec { precision, batch, size: SIZE };
            let write = |name: &str, model: &Model, part: Part| -> Result<(), Box<dyn std::error::Error>> {
                for file in parts::build(model, part, &spec, Nms::PLAIN, &Metadata(vec![]))?.files {
                    let path = folder.join(format!("{name}_{type_name}_{batch_name}{}.onnx", file.suffix));
                    std::fs::write(path, encode(&file.model))?;
                }
                Ok(())
            };
            write("backbone", &backbone, Part::Backbone)?;
            write("classifier", &backbone, Part::Classifier)?;
            for (head, detector) in &heads {
                write(&format!("{head}_raw"), detector, Part::Raw)?;
                write(&format!("{head}_detector"), detector, Part::Detector)?;
            }
        }
    }
    Ok(())
}
