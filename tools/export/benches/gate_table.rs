//! Parity of all backbones with all heads: `make gate`.

use repghost_backbone::{registry, BackboneConfig};
use repghost_export::onnx::ElementType;
use repghost_export::parity::table::{gate_row, HEADER};
use repghost_heads::HeadConfig;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{HEADER}");
    let mut failed = 0;
    for name in registry::names() {
        for head in HeadConfig::NAMES {
            for precision in [ElementType::F32, ElementType::F16] {
                match gate_row(&BackboneConfig::named(name), head, precision) {
                    Ok(row) => println!("{row}"),
                    Err(e) => {
                        failed += 1;
                        println!("| {name} {head} {precision:?} | FAILED: {e} | | |");
                    }
                }
            }
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(format!("{n} networks failed").into()),
    }
}
