//! `weights list`, `weights fetch`, `weights where`: published weights by name.

use std::path::PathBuf;

use repghost_hub::table::{self, Entry};
use repghost_hub::{weights, Bar, Environment, Reference};
use serde_json::json;

use crate::bad_input::{bad_input, MarkBadInput};
use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `weights list --help`.
pub const LIST_EXAMPLES: &str = "\
Examples:
  all names:                       repghost-det weights list
  those with a word:               repghost-det weights list repghostnet
  for a script:                    repghost-det weights list --json

Any other file of the hub is hf:ORG/NAME/FILE or hf:ORG/NAME/FILE@REVISION; any other file of torchvision's server is torch:FILE.";

/// Worked examples for `weights fetch --help`.
pub const FETCH_EXAMPLES: &str = "\
Examples:
  before a machine goes offline:   repghost-det weights fetch timm/repghostnet_130.in1k
  a file of the hub:               repghost-det weights fetch hf:timm/resnet18.a1_in1k/model.safetensors
  through a mirror:                HF_ENDPOINT=https://MIRROR repghost-det weights fetch timm/repghostnet_130.in1k
  weights of a detector:           repghost-det predict experiments/torchvision/maskrcnn_resnet50_fpn.yaml \\
                                     --weights torchvision/maskrcnn_resnet50_fpn_coco photos/ --output out/

Files go to the caches that Python shares: HF_HUB_CACHE or HF_HOME/hub (default ~/.cache/huggingface/hub), and TORCH_HOME/hub/checkpoints
(default ~/.cache/torch). An interrupted fetch continues. Each file is compared with its publisher's checksum. HF_TOKEN opens gated
repositories, HF_HUB_OFFLINE=1 forbids to fetch, HTTPS_PROXY and NO_PROXY are heeded, SSL_CERT_FILE names a company's certificates.";

/// Worked examples for `weights where --help`.
pub const WHERE_EXAMPLES: &str = "\
Examples:
  a path for another program:      repghost-det weights where torchvision/resnet50

The file is compared with its checksum. Exit code 2 where the caches do not have it.";

/// The commands about published weights.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the published weights that are known by name, and which are on this machine.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Fetch published weights into the caches that Python shares, and print their paths.
    #[command(after_help = FETCH_EXAMPLES)]
    Fetch(FetchArgs),
    /// Print where published weights are on this machine.
    #[command(after_help = WHERE_EXAMPLES)]
    Where(WhereArgs),
}

/// Runs a command about published weights.
pub fn run(command: Command, quiet: bool) -> anyhow::Result<Outcome> {
    match command {
        Command::List(args) => list(args),
        Command::Fetch(args) => fetch(args, quiet),
        Command::Where(args) => place(args),
    }
}

/// Arguments of `weights list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only names that contain this.
    #[arg(value_name = "WORD")]
    word: Option<String>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `weights fetch`.
#[derive(Debug, clap::Args)]
pub struct FetchArgs {
    /// Names of `weights list`, hf:ORG/NAME/FILE, torch:FILE.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Arguments of `weights where`.
#[derive(Debug, clap::Args)]
pub struct WhereArgs {
    /// A name of `weights list`, hf:ORG/NAME/FILE, torch:FILE.
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs `weights list`.
fn list(args: ListArgs) -> anyhow::Result<Outcome> {
    let environment = Environment::from_variables();
    let word = args.word.unwrap_or_default().to_lowercase();
    let rows: Vec<&Entry> = table::entries().iter().filter(|entry| entry.name.to_lowercase().contains(&word)).collect();
    if rows.is_empty() {
        return Err(bad_input(format!("no published name contains '{word}'; `repghost-det weights list` has all")));
    }
    let place = |entry: &Entry| -> Option<PathBuf> {
        let reference = Reference::parse(&entry.name).ok()??;
        weights::find(&reference, &environment).map(|found| found.path)
    };
    let text = if args.json {
        let value = |entry: &&Entry| {
            json!({
                "name": entry.name, "kind": entry.kind.to_string(), "repository": entry.repository, "file": entry.file,
                "licence": entry.licence, "fits": entry.fits, "bytes": entry.bytes, "sha256": entry.sha256, "path": place(entry),
            })
        };
        serde_json::to_string_pretty(&rows.iter().map(value).collect::<Vec<_>>())? + "\n"
    } else {
        listing(&rows, place)
    };
    printable::print(&text)?;
    Ok(Outcome::Done)
}

fn listing(rows: &[&Entry], place: impl Fn(&Entry) -> Option<PathBuf>) -> String {
    let widest = |text: fn(&Entry) -> &str, least: &str| rows.iter().map(|e| text(e).len()).max().unwrap_or(0).max(least.len());
    let (name, licence) = (widest(|e| e.name.as_str(), "name"), widest(|e| e.licence.as_str(), "licence"));
    let mut text = format!("{:<name$}  {:<8}  {:<licence$}  {:<5}  fits\n", "name", "kind", "licence", "here");
    for entry in rows {
        let here = if place(entry).is_some() { "yes" } else { "-" };
        text += &format!("{:<name$}  {:<8}  {:<licence$}  {here:<5}  {}\n", entry.name, entry.kind, entry.licence, entry.fits);
    }
    text
}

/// Runs `weights fetch`.
fn fetch(args: FetchArgs, quiet: bool) -> anyhow::Result<Outcome> {
    // A wrong name is reported before anything is fetched.
    let references = args.names.iter().map(|name| reference(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let environment = Environment::from_variables();
    for reference in references {
        let found = weights::fetch(&reference, &environment, &mut Bar::new(quiet)).bad_input()?;
        tracing::info!("{reference}: {}, compared with its checksum", found.place);
        println!("{}", found.path.display());
    }
    Ok(Outcome::Done)
}

/// Runs `weights where`.
fn place(args: WhereArgs) -> anyhow::Result<Outcome> {
    let (reference, environment) = (reference(&args.name)?, Environment::from_variables());
    let Some(found) = weights::find(&reference, &environment) else {
        let looked = weights::looked(&reference, &environment);
        return Err(bad_input(format!(
            "{reference}: not in {}; `repghost-det weights fetch {reference}` puts it there",
            looked.display()
        )));
    };
    weights::verify(&reference, &found.path).bad_input()?;
    println!("{}", found.path.display());
    Ok(Outcome::Done)
}

fn reference(name: &str) -> anyhow::Result<Reference> {
    Reference::parse(name).bad_input()?.ok_or_else(|| {
        bad_input(format!(
            "{name}: is no published name; expected one of `repghost-det weights list`, hf:ORG/NAME/FILE or torch:FILE"
        ))
    })
}
