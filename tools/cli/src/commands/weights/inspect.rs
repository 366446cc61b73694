//! `weights inspect`: what is in a weight file.

use std::fmt::Write as _;
use std::path::PathBuf;

use repghost_backbone::weights::Inspection;
use serde_json::json;

use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  all tensors:         repghost-det weights inspect model.safetensors
  what it is, shortly: repghost-det weights inspect model.safetensors --summary
  for a script:        repghost-det weights inspect model.safetensors --json";

/// Arguments of `weights inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Weight file: safetensors, or what torch.save writes.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Leave the list of tensors out, and shorten the metadata.
    #[arg(long, conflicts_with = "json")]
    summary: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `weights inspect`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let (container, state) = super::read(&args.file)?;
    let found = Inspection::of(container, state);
    let text = if args.json { serde_json::to_string_pretty(&as_json(&found))? + "\n" } else { as_text(&found, !args.summary) };
    printable::print(&text)?;
    Ok(Outcome::Done)
}

fn as_text(found: &Inspection, list: bool) -> String {
    let mut text = String::new();
    let container = match &found.chosen {
        Some(chosen) => format!("{}, {chosen} of a training checkpoint", found.container),
        None => found.container.to_string(),
    };
    let network = found.guess.as_ref().map_or("not known".into(), |g| match g.prefix.as_str() {
        "" => g.to_string(),
        prefix => format!("{g}, below {prefix}"),
    });
    let rows = [
        ("file", container),
        ("network", network),
        ("form", found.form.to_string()),
        ("tensors", found.tensors.len().to_string()),
        ("elements", found.elements().to_string()),
    ];
    for (name, value) in rows {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name:<10}{value}");
    }
    for (key, value) in &found.metadata {
        let _ = writeln!(text, "{:<10}{key} = {}", "metadata", if list { value.clone() } else { brief(value) });
    }
    if !found.foreign.is_empty() {
        let _ = writeln!(text, "{:<10}{} (named in the file, not executed)", "foreign", found.foreign.join(", "));
    }
    if list {
        let widest = found.tensors.iter().map(|t| t.name.len()).max().unwrap_or(0);
        text.push('\n');
        for t in &found.tensors {
            let _ = writeln!(text, "{:<widest$}  {:<8} {:?}", t.name, format!("{:?}", t.kind), t.shape);
        }
    }
    text
}

/// A value of the metadata in a line: that of an experiment has a hundred.
fn brief(value: &str) -> String {
    /// Characters shown.
    const SHOWN: usize = 60;
    let first: String = value.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    match value.lines().count() {
        0 | 1 if first.len() == value.len() => first,
        0 | 1 => format!("{first}… ({} characters)", value.chars().count()),
        lines => format!("{first} … ({lines} lines)"),
    }
}

fn as_json(found: &Inspection) -> serde_json::Value {
    let guess = found.guess.as_ref();
    json!({
        "container": found.container.to_string(),
        "chosen": found.chosen,
        "family": guess.map(|g| &g.network),
        "width": guess.and_then(|g| g.width),
        "head": guess.and_then(|g| g.head.as_ref()),
        "prefix": guess.map(|g| &g.prefix),
        "form": found.form.to_string(),
        "elements": found.elements(),
        "metadata": found.metadata,
        "foreign": found.foreign,
        "notes": found.notes,
        "tensors": found.tensors.iter().map(|t| json!({
            "name": t.name, "kind": format!("{:?}", t.kind), "shape": t.shape,
        })).collect::<Vec<_>>(),
    })
}
