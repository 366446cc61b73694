//! `--nproc`: several processes of a command on this machine, which work together.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use repghost_distributed::{Ended, Endings, Group, Launch, World};

use crate::bad_input::bad_input;
use crate::exit::{self, Outcome};
use crate::interrupt;
use crate::launched::{launched, VARIABLE};

/// How many processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processes {
    /// One per card, or one.
    Auto,
    /// So many.
    Number(usize),
}

impl std::str::FromStr for Processes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(n) if (1..=1024).contains(&n) => Ok(Self::Number(n)),
            _ => Err("expected a number from 1 to 1024, or auto".into()),
        }
    }
}

impl std::fmt::Display for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Number(n) => n.fmt(f),
        }
    }
}

/// Options of commands that several processes can share.
#[derive(Debug, Default, clap::Args)]
pub struct LaunchArgs {
    /// Start this many processes on this machine, which share the work; auto: one per card. torchrun and srun start them on many machines.
    #[arg(long, value_name = "N|auto")]
    pub nproc: Option<Processes>,
}

/// This process's place, where a launcher started it: ours, torchrun or srun. Each has a card of its own.
///
/// # Errors
/// Variables of a launcher that make no sense.
pub fn world() -> anyhow::Result<Option<World>> {
    let world = World::from_environment().map_err(bad_input)?;
    if let Some(world) = &world {
        let given = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let card = own_card(given.as_deref(), installed_cards(), world.local_rank);
        // SAFETY: before any thread of ours or libtorch's reads the environment.
        unsafe { std::env::set_var("CUDA_VISIBLE_DEVICES", card) };
    }
    Ok(world)
}

/// Cards of this machine, by the files that the driver makes.
fn installed_cards() -> usize {
    let is_card =
        |name: &str| name.strip_prefix("nvidia").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let files = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    files.filter(|file| file.file_name().to_str().is_some_and(is_card)).count()
}

/// The card of a process among those that it may use (SLURM lists all of a node for each of its tasks). Where there are more processes than cards
/// they share them.
fn own_card(given: Option<&str>, installed: usize, local_rank: usize) -> String {
    match given {
        Some(list) if !list.trim().is_empty() => {
            let cards: Vec<&str> = list.split(',').map(str::trim).collect();
            cards[local_rank % cards.len()].to_string()
        }
        Some(list) => list.to_string(),
        None if installed == 0 => local_rank.to_string(),
        None => (local_rank % installed).to_string(),
    }
}

/// What a command does after it was asked for several processes.
pub enum Joined {
    /// Others did the work.
    Ended(Outcome),
    /// This process does it: its part, where it is one of several.
    Here(Option<Group>),
}

/// Starts several processes where `--nproc` asks for them, or meets the others where a launcher started this one.
///
/// # Errors
/// Processes that cannot be started, that failed, or that do not meet within `timeout_s`.
pub fn join(args: &LaunchArgs, timeout_s: u64) -> anyhow::Result<Joined> {
    if let Some(world) = world()? {
        let group = Group::connect(&world, Duration::from_secs(timeout_s))?;
        group.agree("the version", env!("CARGO_PKG_VERSION"))?;
        return Ok(Joined::Here(Some(group)));
    }
    Ok(run(args, 0, None)?.map_or(Joined::Here(None), Joined::Ended))
}

/// Does a process's part. Where it fails the others learn why and end.
///
/// # Errors
/// Those of `work`.
pub fn part<R>(group: Option<&Group>, work: impl FnOnce() -> anyhow::Result<R>) -> anyhow::Result<R> {
    work().inspect_err(|error| {
        if let Some(group) = group {
            group.fail(&exit::message(error, false));
        }
    })
}

/// Runs this very command in several processes; again where they fail and `restarts` are left, with `more` arguments. `None` where one process
/// is enough: this one.
///
/// # Errors
/// Processes that cannot be started, or that failed.
pub fn run(args: &LaunchArgs, restarts: usize, run_dir: Option<&Path>) -> anyhow::Result<Option<Outcome>> {
    let size = match args.nproc {
        Some(_) if launched() => return Ok(None),
        None | Some(Processes::Number(1)) if restarts == 0 => return Ok(None),
        None => 1,
        Some(Processes::Number(n)) => n,
        Some(Processes::Auto) => repghost_kernels::device::choice::count().unwrap_or(0).max(1),
    };
    if size == 1 && restarts == 0 {
        return Ok(None);
    }
    let program = std::env::current_exe().context("where this program is")?;
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    let stop = interrupt::flag("stopping all processes");
    let threads = std::thread::available_parallelism().map_or(1, usize::from) / size;
    for attempt in 0.. {
        let command = |rank: usize| {
            let mut command = Command::new(&program);
            command.args(&given).env(VARIABLE, "1");
            if attempt > 0 && !given.iter().any(|arg| arg == "--resume") {
                command.arg("--resume");
            }
            if let Some(folder) = run_dir {
                command.arg("--run-dir").arg(folder);
            }
            if std::env::var_os("OMP_NUM_THREADS").is_none() {
                command.env("OMP_NUM_THREADS", threads.max(1).to_string());
            }
            if rank > 0 {
                command.stdout(std::process::Stdio::null());
            }
            command
        };
        let ended = Launch::start(size, attempt, command)?.wait(&stop)?;
        let code = ended.all[0].status.code();
        let interrupted = ended.all.iter().all(|e| e.status.code() == Some(exit::INTERRUPTED.into()));
        match cause(&ended) {
            _ if interrupted => return Ok(Some(Outcome::Interrupted)),
            None if ended.first.is_none() => return Ok(Some(Outcome::Done)),
            _ if code == Some(exit::BAD_INPUT.into()) => return Ok(Some(Outcome::BadInput)),
            cause => {
                if let Some(cause) = &cause {
                    eprintln!("error: {cause}");
                }
                if attempt >= restarts {
                    return Ok(Some(Outcome::Failed));
                }
                eprintln!("restart {} of {restarts} from the newest checkpoint", attempt + 1);
            }
        }
    }
    Ok(None)
}

/// What happened where no process could print it itself.
fn cause(ended: &Endings) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    let lost = |code: Option<i32>| code == Some(exit::LOST.into());
    let signalled = ended.all.iter().enumerate().find_map(|(rank, e)| e.status.signal().filter(|_| !e.killed).map(|s| (rank, s)));
    if let Some((rank, signal)) = signalled {
        return Some(format!("rank {rank} was ended by signal {signal}; all processes were stopped"));
    }
    let hung = ended.all.iter().position(|e| e.killed);
    match (ended.first, hung) {
        (Some(first), Some(hung)) if lost(ended.all[first].status.code()) => {
            Some(format!("rank {hung} did not answer within train.distributed.timeout_s; all processes were stopped"))
        }
        (Some(first), None) if lost(ended.all[first].status.code()) => {
            Some(format!("rank {first} lost the others; all processes were stopped"))
        }
        // The first process, which prints what the others report to it, could not.
        (Some(_), _) if ended.all[0].killed || ended.all[0].status.success() || lost(ended.all[0].status.code()) => {
            let failed = |e: &Ended| !e.killed && !e.status.success() && !lost(e.status.code());
            let rank = ended.all.iter().position(failed).unwrap_or(0);
            Some(format!("rank {rank} failed ({}); all processes were stopped", ended.all[rank].status))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::own_card;

    #[test]
    fn each_process_has_a_card() {
        let of = |given: Option<&str>, installed| [0, 1, 2].map(|rank| own_card(given, installed, rank));
        assert_eq!(of(None, 8), ["0", "1", "2"]);
        assert_eq!(of(None, 1), ["0", "0", "0"]);
        assert_eq!(of(None, 0), ["0", "1", "2"]);
        assert_eq!(of(Some("4, 5"), 8), ["4", "5", "4"]);
        assert_eq!(of(Some("GPU-a"), 8), ["GPU-a"; 3]);
        assert_eq!(of(Some(""), 8), [""; 3]);
    }
}
