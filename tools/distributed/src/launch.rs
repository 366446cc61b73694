//! Several processes of one program on this machine.

use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::DistributedError;

/// Time that processes get to end by themselves after one has failed or the user has stopped them.
const GRACE: Duration = Duration::from_secs(4);
/// Exit code of a program that an interrupt ended in good order, as shells have it.
const INTERRUPTED: i32 = 128 + libc::SIGINT;
const LOOK: Duration = Duration::from_millis(30);

/// A port that is free at the moment.
///
/// # Errors
/// The system's message.
pub fn free_port() -> Result<u16, DistributedError> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr());
    port.map(|a| a.port()).map_err(|e| DistributedError::Spawn(e.to_string()))
}

/// Processes of one world on this machine. All of them are gone when this is dropped.
pub struct Launch {
    children: Vec<Child>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// It did not end by itself after another one had failed, and was killed.
    pub killed: bool,
}

/// How the processes of a world ended, by rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endings {
    /// Each one's end.
    pub all: Vec<Ended>,
    /// The process that failed first, where one has.
    pub first: Option<usize>,
}

impl Launch {
    /// Starts `size` processes with torchrun's variables. `command` makes the command of a rank.
    ///
    /// # Errors
    /// A program that cannot be started; those that run already are stopped.
    pub fn start(size: usize, attempt: usize, mut command: impl FnMut(usize) -> Command) -> Result<Self, DistributedError> {
        let port = free_port()?;
        let mut launch = Self { children: vec![] };
        for rank in 0..size {
            let mut command = command(rank);
            for (name, value) in [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", size), ("LOCAL_WORLD_SIZE", size)] {
                command.env(name, value.to_string());
            }
            command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
            command.env("TORCHELASTIC_RESTART_COUNT", attempt.to_string()).env_remove("TORCHELASTIC_USE_AGENT_STORE");
            on_its_own(&mut command);
            launch.children.push(command.spawn().map_err(|e| DistributedError::Spawn(e.to_string()))?);
        }
        Ok(launch)
    }

    /// Waits until all have ended. After the first failure the others have four seconds to end by themselves. `stop` is passed on to them as an
    /// interrupt, once.
    ///
    /// # Errors
    /// The system's message where a process cannot be waited for.
    pub fn wait(&mut self, stop: &AtomicBool) -> Result<Endings, DistributedError> {
        let mut ended: Vec<Option<Ended>> = vec![None; self.children.len()];
        let (mut first, mut since, mut killing, mut passed_on) = (None, None::<Instant>, false, false);
        loop {
            for (rank, (child, end)) in self.children.iter_mut().zip(&mut ended).enumerate() {
                if end.is_some() {
                    continue;
                }
                let status = child.try_wait().map_err(|e| DistributedError::Spawn(e.to_string()))?;
                *end = status.map(|status| Ended { status, killed: killing });
                // Where the user stops them all, one may still save what the others need not.
                let in_good_order = |s: ExitStatus| s.success() || (passed_on && s.code() == Some(INTERRUPTED));
                if status.is_some_and(|s| !in_good_order(s)) {
                    first.get_or_insert(rank);
                    since.get_or_insert_with(Instant::now);
                }
            }
            if let Some(all) = ended.iter().copied().collect() {
                return Ok(Endings { all, first });
            }
            if stop.load(Ordering::Relaxed) && !passed_on {
                passed_on = true;
                self.signal(&ended, libc::SIGINT);
            }
            if since.is_some_and(|since| since.elapsed() > GRACE) && !killing {
                killing = true;
                self.signal(&ended, libc::SIGKILL);
            }
            sleep(LOOK);
        }
    }

    fn signal(&self, ended: &[Option<Ended>], signal: i32) {
        for (child, _) in self.children.iter().zip(ended).filter(|(_, end)| end.is_none()) {
            // SAFETY: a child that was not waited for keeps its number.
            unsafe { libc::kill(child.id() as i32, signal) };
        }
    }
}

/// A terminal's Ctrl-C goes to this process alone, which passes it on; and the child ends with this process, whatever ends that.
fn on_its_own(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: `prctl` and `signal` may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // A shell's background jobs ignore interrupts, and so would their children: what is passed on has to arrive.
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
