//! Several processes of one program on this machine.

use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::DistributedError;

/// Time that processes get to end by themselves after one has failed or the user has stopped them.
const GRACE: Duration = Duration::from_secs(4);
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

/// How the processes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The process that failed first; `None` where none has.
    pub failed: Option<(usize, ExitStatus)>,
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
            launch.children.push(command.spawn().map_err(|e| DistributedError::Spawn(e.to_string()))?);
        }
        Ok(launch)
    }

    /// Waits until all have ended. After the first failure the others have four seconds to end by themselves. When `stop` is raised the
    /// processes are expected to end: a terminal sends its Ctrl-C to all of them.
    ///
    /// # Errors
    /// The system's message where a process cannot be waited for.
    pub fn wait(&mut self, stop: &AtomicBool) -> Result<Ended, DistributedError> {
        let mut statuses: Vec<Option<ExitStatus>> = vec![None; self.children.len()];
        let mut failed = None;
        let mut since: Option<Instant> = None;
        let mut passed_on = false;
        loop {
            for (rank, (child, status)) in self.children.iter_mut().zip(&mut statuses).enumerate() {
                if status.is_some() {
                    continue;
                }
                *status = child.try_wait().map_err(|e| DistributedError::Spawn(e.to_string()))?;
                if let Some(status) = status.filter(|s| !s.success()) {
                    // A process that was killed is the cause; one that only lost the others comes a moment later.
                    failed.get_or_insert((rank, status));
                    since.get_or_insert_with(Instant::now);
                }
            }
            if statuses.iter().all(Option::is_some) {
                return Ok(Ended { failed });
            }
            if stop.load(Ordering::Relaxed) && !passed_on {
                passed_on = true;
                self.signal(&statuses, libc::SIGTERM);
            }
            if since.is_some_and(|since| since.elapsed() > GRACE) {
                self.signal(&statuses, libc::SIGKILL);
            }
            sleep(LOOK);
        }
    }

    fn signal(&self, statuses: &[Option<ExitStatus>], signal: i32) {
        for (child, _) in self.children.iter().zip(statuses).filter(|(_, status)| status.is_none()) {
            // SAFETY: a child that was not waited for keeps its number.
            unsafe { libc::kill(child.id() as i32, signal) };
        }
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
