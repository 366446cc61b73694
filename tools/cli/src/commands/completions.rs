//! `completions` and `man`: what shells and manual readers want of a command line.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use repghost_train::run::folder::write_text;
use repghost_train::TrainError;

use crate::exit::Outcome;
use crate::Cli;

/// Worked examples for `completions --help`.
pub const EXAMPLES: &str = "\
Examples:
  bash:  repghost-det completions bash > ~/.local/share/bash-completion/completions/repghost-det
  zsh:   repghost-det completions zsh > ~/.zfunc/_repghost-det
  fish:  repghost-det completions fish > ~/.config/fish/completions/repghost-det.fish";

/// Worked examples for `man --help`.
pub const MAN_EXAMPLES: &str = "\
Examples:
  repghost-det man --output ~/.local/share/man/man1 && man repghost-det-train";

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Folder for the pages, one a command.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// Runs `completions`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    io::stdout().write_all(&text)?;
    Ok(Outcome::Done)
}

/// Runs `man`.
pub fn man(args: ManArgs) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(&args.output).map_err(TrainError::io(&args.output))?;
    let mut command = Cli::command();
    command.build();
    let pages = pages(&command, command.get_name(), &args.output)?;
    writeln!(io::stdout(), "{pages} pages: {}", args.output.display())?;
    Ok(Outcome::Done)
}

/// Writes the page of a command and those of its subcommands, `help` aside.
fn pages(command: &clap::Command, name: &str, folder: &Path) -> anyhow::Result<usize> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    write_text(&folder.join(format!("{name}.1")), &String::from_utf8_lossy(&page))?;
    let mut count = 1;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        count += pages(sub, &format!("{name}-{}", sub.get_name()), folder)?;
    }
    Ok(count)
}
