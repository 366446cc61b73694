//! `analyze`: what networks cost, before anything is trained.

use repghost_backbone::BackboneConfig;
use repghost_train::analyze::{self, report, Options};

use super::config::{read, sources};
use crate::bad_input::bad_input;
use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a detector, part by part:      repghost-det analyze experiments/retinanet.yaml
  another backbone in it:        repghost-det analyze experiments/retinanet.yaml model.backbone.name=resnet50
  two experiments side by side:  repghost-det analyze experiments/retinanet.yaml experiments/mask_rcnn.yaml --size 800,1344
  backbones by name:             repghost-det analyze --backbone repghostnet --backbone ghostnet --width 1.3
  for a script:                  repghost-det analyze --backbone repvgg_a0 --format csv

Of one image. Multiply-adds are those of convolutions and fully connected layers. 'MiB written' sums the outputs of all
operations in single precision: about what training keeps; inference frees most of it on the way.";

/// Arguments of `analyze`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment files, each followed by the `key=value` overrides that apply to it.
    #[arg(value_name = "FILE|KEY=VALUE", required_unless_present = "backbone")]
    items: Vec<String>,

    /// A backbone with its classifier, by name; may be given several times.
    #[arg(long, value_name = "NAME")]
    backbone: Vec<String>,

    /// Channel multiplier of the backbones that --backbone names.
    #[arg(long, value_name = "W", requires = "backbone", default_value_t = 1.0)]
    width: f64,

    /// Height and width of the image. Without it: what the experiment evaluates on, or 224,224 for classifiers.
    #[arg(long, value_name = "H,W", value_delimiter = ',', num_args = 1)]
    size: Vec<i64>,

    /// Number of classes. Without it: the experiment's list, or 80 for detectors and 1000 for classifiers.
    #[arg(long, value_name = "N")]
    classes: Option<usize>,

    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

/// Runs `analyze`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let size = match args.size[..] {
        [] => None,
        [height, width] => Some([height, width]),
        _ => return Err(bad_input("--size: expected height and width, as in --size 800,1344")),
    };
    let options = Options { size, classes: args.classes };
    let mut all = vec![];
    for name in &args.backbone {
        let config = BackboneConfig { width: args.width, ..BackboneConfig::named(name) };
        all.push(analyze::backbone(&config, &options)?);
    }
    for source in sources(&args.items)? {
        all.push(analyze::experiment(&read(&source)?.experiment, &options)?);
    }
    let text = match args.format {
        Format::Table => report::table(&all),
        Format::Csv => report::csv(&all),
        Format::Json => report::json(&all)?,
    };
    printable::print(&text)?;
    Ok(Outcome::Done)
}
