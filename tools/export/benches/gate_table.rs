//! Parity of all backbones with all heads: `make gate`. Arguments choose backbones and heads by name; without them all are run.

use repghost_backbone::{registry, BackboneConfig};
use repghost_export::onnx::ElementType;
use repghost_export::parity::table::{gate_row, HEADER};
use repghost_heads::HeadConfig;

/// Those of `names` that are asked for; all where none is.
fn chosen(names: &[&'static str], asked: &[String]) -> Vec<&'static str> {
    let some: Vec<_> = names.iter().copied().filter(|name| asked.iter().any(|a| a == name)).collect();
    if some.is_empty() {
        names.to_vec()
    } else {
        some
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo passes `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let (backbones, heads) = (registry::names(), HeadConfig::NAMES);
    if let Some(unknown) = asked.iter().find(|a| !backbones.iter().chain(heads).any(|name| name == a)) {
        return Err(format!("{unknown} is no backbone and no head").into());
    }
    println!("{HEADER}");
    let mut failed = 0;
    for name in chosen(&backbones, &asked) {
        for head in chosen(heads, &asked) {
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
