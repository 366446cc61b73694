//! Analyses as text: tables for people, CSV and JSON for scripts.

use std::fmt::Write as _;

use repghost_backbone::complexity::ModelCost;

use super::{Analysis, Row};

const MIB: f64 = 1024.0 * 1024.0;
const HEADER: [&str; 6] = ["parameters", "fused", "M mult-adds", "fused", "MiB written", "fused"];

/// One network: a table of its parts. Several: one line each, then the parts of each.
pub fn table(all: &[Analysis]) -> String {
    let mut text = String::new();
    if all.len() > 1 {
        let lines: Vec<(String, &Row)> = all.iter().map(|a| (title(a), &a.total)).collect();
        text += &aligned("network", &lines);
    }
    for analysis in all {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", title(analysis));
        let rows = analysis.parts.iter().chain([&analysis.total]);
        let lines: Vec<(String, &Row)> = rows.map(|row| (row.part.clone(), row)).collect();
        text += &aligned("part", &lines);
    }
    text
}

fn title(a: &Analysis) -> String {
    format!("{}, {} classes, {}x{}", a.name, a.classes, a.size[0], a.size[1])
}

fn aligned(first: &str, lines: &[(String, &Row)]) -> String {
    let widest = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(first.len());
    let line = |name: &str, cells: [String; 6]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
        format!("{name:<widest$}{cells}\n")
    };
    let mut text = line(first, HEADER.map(String::from));
    for (name, row) in lines {
        text += &line(name, cells(row));
    }
    text
}

fn cells(row: &Row) -> [String; 6] {
    let (u, f) = (&row.unfused, &row.fused);
    let millions = |macs: i64| format!("{:.2}", macs as f64 / 1e6);
    let mib = |bytes: i64| format!("{:.2}", bytes as f64 / MIB);
    [
        u.parameters.to_string(),
        f.parameters.to_string(),
        millions(u.macs),
        millions(f.macs),
        mib(u.activation_bytes),
        mib(f.activation_bytes),
    ]
}

/// One line a part and form, the total last.
pub fn csv(all: &[Analysis]) -> String {
    let mut text = String::from("network,classes,height,width,part,form,parameters,macs,activation_bytes\n");
    for a in all {
        for row in a.parts.iter().chain([&a.total]) {
            for (form, cost) in [("unfused", &row.unfused), ("fused", &row.fused)] {
                let ModelCost { parameters, macs, activation_bytes } = cost;
                let (name, part) = (quoted(&a.name), quoted(&row.part));
                let [height, width] = a.size;
                let _ =
                    writeln!(text, "{name},{},{height},{width},{part},{form},{parameters},{macs},{activation_bytes}", a.classes);
            }
        }
    }
    text
}

/// A CSV field (RFC 4180).
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.into(),
    }
}

/// A list of [`Analysis`].
///
/// # Errors
/// None is known.
pub fn json(all: &[Analysis]) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(all)? + "\n")
}
