//! Writes every kind of file that can be exported into a folder, for `make check-tensorrt`: parts, precisions, static and dynamic batch.
//!
//! Usage: `export_kinds FOLDER`

use std::path::Path;

use repghost_backbone::{fill, BackboneConfig, FuseLevel, Tree};
use repghost_export::parts::retinanet::{detector, raw};
use repghost_export::export::{backbone, classifier, encode, BatchSize, ExportSpec};
use repghost_export::onnx::retinanet::Nms;
use repghost_export::onnx::{proto, Element};
use repghost_heads::{FpnConfig, RetinaNet, RetinaNetConfig};

const SIZE: [i64; 2] = [128, 160];
const CLASSES: i64 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: export_kinds FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let config = BackboneConfig { width: 0.5, ..Default::default() };
    let fpn = FpnConfig { channels: 32, ..Default::default() };
    let head = RetinaNetConfig { tower_depth: 2, ..Default::default() };
    let mut net = config.build(CLASSES)?;
    let mut retinanet = RetinaNet::new(config.build(CLASSES)?, &fpn, &head, CLASSES)?;
    fill::fill(&net, "");
    fill::fill(&retinanet, "");
    net.fuse(FuseLevel::All);
    retinanet.fuse(FuseLevel::All);
    for (precision, type_name) in [(Element::F32, "fp32"), (Element::F16, "fp16")] {
        for (batch, batch_name) in [(BatchSize::Fixed(1), "static"), (BatchSize::Dynamic, "dynamic")] {
            let spec = ExportSpec { precision, batch, size: SIZE };
            let write = |part: &str, model: proto::Model| {
                std::fs::write(folder.join(format!("{part}_{type_name}_{batch_name}.onnx")), encode(&model))
            };
            write("backbone", backbone(&net, &spec, &[])?)?;
            write("classifier", classifier(&net, &spec, &[])?)?;
            write("retinanet_raw", raw(&retinanet, &spec, &[], &[])?.files.remove(0).model)?;
            write("retinanet_detector", detector(&retinanet, &spec, Nms::Plain, &[])?)?;
        }
    }
    Ok(())
}
