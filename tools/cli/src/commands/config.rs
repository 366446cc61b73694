//! `config`: what an experiment file resolves to.

use std::path::{Path, PathBuf};

use repghost_train::config::{built_in, diff, explain, overrides, Loaded};

use crate::bad_input::bad_input;
use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  all values and who set them:        repghost-det config experiments/retinanet.yaml
  with overrides:                     repghost-det config experiments/demo.yaml train.optimizer.lr=0.02 train.schedule.milestones.0=6
  only what some file sets:           repghost-det config experiments/demo.yaml --set-only
  the difference of two experiments:  repghost-det config experiments/retinanet.yaml experiments/demo.yaml
  the built-in experiments:           repghost-det config --list
  what a key means, or all below it:  repghost-det config --explain train.schedule
  all keys with their defaults:       repghost-det config --defaults model.head.name=mask_rcnn
  for editors that complete keys:     repghost-det config --schema > experiment.schema.json
  is it valid? (exit code 0 or 2):    repghost-det config my.yaml > /dev/null";

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One experiment file or built-in name (or two to compare) and `key=value` overrides, which apply to the file before them.
    #[arg(value_name = "FILE|KEY=VALUE", required_unless_present_any = ["defaults", "explain", "schema", "list"])]
    items: Vec<String>,

    /// Show only values that somebody set, not the defaults.
    #[arg(long)]
    set_only: bool,

    /// Leave the origin comments out.
    #[arg(long)]
    plain: bool,

    /// Print every key with its default, or the value that KEY=VALUE gives it; keys below null and of other heads as comments.
    #[arg(long, conflicts_with = "set_only")]
    defaults: bool,

    /// Explain a key, or all below it, or all: type, default, range, unit and meaning.
    #[arg(long, value_name = "KEY", num_args = 0..=1, conflicts_with_all = ["items", "set_only", "plain", "defaults"])]
    explain: Option<Option<String>>,

    /// With --explain: all keys as Markdown (docs/keys.md).
    #[arg(long, requires = "explain")]
    markdown: bool,

    /// Print the JSON schema of experiment files.
    #[arg(long, conflicts_with_all = ["items", "set_only", "plain", "defaults", "explain"])]
    schema: bool,

    /// List the built-in experiments and sweeps.
    #[arg(long, conflicts_with_all = ["items", "set_only", "plain", "defaults", "explain", "schema"])]
    list: bool,
}

/// A file and the overrides behind it.
pub(super) struct Source {
    file: PathBuf,
    overrides: Vec<String>,
}

/// Runs `config`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let text = if args.list {
        listing()
    } else if args.schema {
        format!("{:#}\n", explain::file_schema())
    } else if let Some(key) = &args.explain {
        match args.markdown {
            true => explain::markdown(),
            false => explain::text(key.as_deref())?,
        }
    } else if args.defaults {
        match args.items.iter().find(|item| !overrides::is_override(item)) {
            Some(file) => return Err(bad_input(format!("--defaults takes KEY=VALUE only, found {file}"))),
            None => Loaded::defaults(&args.items)?.to_yaml_with_hidden(),
        }
    } else {
        match sources(&args.items)?.as_slice() {
            [one] => show(&read(one)?, &args),
            [a, b] => compare(&read(a)?, &read(b)?),
            more => return Err(bad_input(format!("config takes one file, or two to compare; found {}", more.len()))),
        }
    };
    printable::print(&text)?;
    Ok(Outcome::Done)
}

/// Arguments as files, each with the overrides behind it.
pub(super) fn sources(items: &[String]) -> anyhow::Result<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    for item in items {
        if overrides::is_override(item) {
            match sources.last_mut() {
                Some(source) => source.overrides.push(item.clone()),
                None => return Err(bad_input(format!("'{item}' stands before any experiment file; expected FILE {item}"))),
            }
        } else {
            sources.push(Source { file: item.into(), overrides: Vec::new() });
        }
    }
    Ok(sources)
}

/// Reads a file with its overrides.
pub(super) fn read(source: &Source) -> anyhow::Result<Loaded> {
    Ok(Loaded::read(Path::new(&source.file), &source.overrides)?)
}

/// Names and what they are, one per line.
fn listing() -> String {
    let all = built_in::list();
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    all.iter().map(|(name, comment)| format!("{name:<width$}  {comment}\n")).collect()
}

fn show(loaded: &Loaded, args: &Args) -> String {
    match args.set_only {
        true => loaded.to_yaml_set_only(!args.plain),
        false => loaded.to_yaml(!args.plain),
    }
}

fn compare(a: &Loaded, b: &Loaded) -> String {
    let differences = diff::diff(&a.resolved, &b.resolved);
    if differences.is_empty() {
        return "no difference\n".into();
    }
    format!("- {}\n+ {}\n\n{}", a.path.display(), b.path.display(), diff::to_text(&differences))
}
