//! `data fetch`: public data sets by name.

use std::path::PathBuf;

use repghost_hub::sets::{self, Done};
use repghost_hub::{Bar, Environment};

use crate::bad_input::{bad_input, MarkBadInput};
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  all of it (20 GB):               repghost-det data fetch coco2017 --output data/coco
  to evaluate only (1 GB):         repghost-det data fetch coco2017 --only annotations,val --output data/coco
  from a mirror:                   repghost-det data fetch coco2017 --output data/coco --from https://MIRROR/coco

Each archive is continued where an earlier try ended, compared with its published size and SHA-256, unpacked and removed; while it is
unpacked the disk has it twice. What is there already is passed over. Then `export COCO=data/coco`, or leave COCO unset: the recipes
look into data/coco.";

/// Arguments of `data fetch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the set: coco2017.
    #[arg(value_name = "SET")]
    set: String,

    /// Folder to put it into.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Parts to fetch, separated by commas: annotations, val, train. Without it all.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<String>,

    /// Address to fetch from in place of the publisher's.
    #[arg(long, value_name = "URL")]
    from: Option<String>,

    /// Keep the archives after they were unpacked.
    #[arg(long)]
    keep_archives: bool,
}

/// Runs `data fetch`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    let mut sets = sets::sets();
    let names: Vec<&str> = sets.iter().map(|set| set.name).collect();
    let Some(at) = names.iter().position(|name| *name == args.set) else {
        return Err(bad_input(format!("{}: no data set is known by this name; expected {}", args.set, names.join(", "))));
    };
    let set = &mut sets[at];
    let parts: Vec<&str> = set.parts.iter().map(|part| part.name).collect();
    if let Some(wrong) = args.only.iter().find(|name| !parts.contains(&name.as_str())) {
        return Err(bad_input(format!("--only {wrong}: {} has no such part; it has {}", set.name, parts.join(", "))));
    }
    set.base = args.from.unwrap_or(std::mem::take(&mut set.base));
    tracing::info!("{}", set.about);
    let environment = Environment::from_variables();
    let done = sets::fetch(set, &args.only, &args.output, args.keep_archives, &environment, &mut Bar::new(quiet)).bad_input()?;
    for part in done {
        match part {
            Done::Present(folder) => println!("{} (was there)", folder.display()),
            Done::Unpacked(folder) => println!("{}", folder.display()),
        }
    }
    tracing::info!("for the built-in experiments: export {}={}", set.variable, args.output.display());
    Ok(Outcome::Done)
}
