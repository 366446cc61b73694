//! Runs the trials of a plan as child processes of the same program.
//!
//! A process a trial, because libtorch's state is global (generator, threads, caches) and because a crash, a full memory or a panic
//! must end one trial only. The runner itself starts, watches and notes; all results are in the trials' run folders.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use repghost_kernels::device::Choice;

use super::folder::{Status, SweepFolder, TrialState};
use super::plan::{Plan, Shard, Trial};
use super::watch;
use crate::error::{RunFolderProblem, TrainError};
use crate::runtime::host;

/// How often children are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How often their metrics are read.
const WATCH: Duration = Duration::from_secs(1);
/// Exit code of a run that was stopped in good order.
const INTERRUPTED: i32 = 130;

/// How a sweep is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The program whose `train` command trains a trial: this one.
    pub program: PathBuf,
    /// Trials at the same time.
    pub jobs: usize,
    /// Devices that trials are spread over, each to the one with the fewest. Empty: those of their experiments.
    pub devices: Vec<Choice>,
    /// Which trials are this machine's.
    pub shard: Shard,
    /// Run trials again that failed before.
    pub retry_failed: bool,
    /// Processes of each trial, as `train --nproc` takes them.
    pub processes: Option<String>,
}

/// What happens, for whoever shows it.
#[derive(Debug)]
pub enum Event<'a> {
    /// A trial was done before.
    Known(&'a Trial, Status),
    /// A process was started; the flag is set where it goes on from a checkpoint.
    Started(&'a Trial, bool),
    /// Share of its epochs that is done.
    Progress(&'a Trial, f64),
    /// The process has ended; the text is why, where it failed.
    Ended(&'a Trial, Status, Option<String>),
}

/// How a sweep ended: numbers of trials of this shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Done, now or before.
    pub done: usize,
    /// Failed, now or before.
    pub failed: usize,
    /// Neither: interrupted, or never started.
    pub left: usize,
}

struct Job<'a> {
    trial: &'a Trial,
    device: Option<Choice>,
    child: Child,
    started: Instant,
    state: TrialState,
}

/// Runs what is left of a shard. `stop` ends it in good order: running trials save and end.
///
/// # Errors
/// The disk's; a trial that was started with another experiment; a program that cannot be started. A failed trial is no error.
pub fn run(
    plan: &Plan,
    folder: &SweepFolder,
    options: &RunOptions,
    stop: &AtomicBool,
    mut notify: impl FnMut(Event),
) -> Result<Summary, TrainError> {
    let mut summary = Summary::default();
    let mut queue: VecDeque<&Trial> = VecDeque::new();
    for trial in plan.shard(options.shard) {
        folder.prepare(trial)?;
        match folder.state(&trial.id)?.map(|s| s.status) {
            Some(Status::Done) => {
                summary.done += 1;
                notify(Event::Known(trial, Status::Done));
            }
            Some(Status::Failed) if !options.retry_failed => {
                summary.failed += 1;
                notify(Event::Known(trial, Status::Failed));
            }
            _ => queue.push_back(trial),
        }
    }
    let mut running: Vec<Job> = Vec::new();
    let result = drive(&mut queue, &mut running, folder, options, stop, &mut summary, &mut notify);
    // Whatever went wrong, no child is left behind.
    for job in &mut running {
        interrupt(&mut job.child);
        let _ = job.child.wait();
    }
    summary.left = plan.shard(options.shard).count() - summary.done - summary.failed;
    result.map(|()| summary)
}

fn drive<'a>(
    queue: &mut VecDeque<&'a Trial>,
    running: &mut Vec<Job<'a>>,
    folder: &SweepFolder,
    options: &RunOptions,
    stop: &AtomicBool,
    summary: &mut Summary,
    notify: &mut impl FnMut(Event),
) -> Result<(), TrainError> {
    let mut told_to_stop = false;
    let mut watched = Instant::now();
    loop {
        if stop.load(Ordering::Relaxed) {
            queue.clear();
            if !std::mem::replace(&mut told_to_stop, true) {
                running.iter_mut().for_each(|job| interrupt(&mut job.child));
            }
        }
        while running.len() < options.jobs.max(1) {
            let Some(trial) = queue.pop_front() else { break };
            let resumed = folder.started(&trial.id);
            let device = least_busy(&options.devices, running.iter().filter_map(|job| job.device));
            running.push(start(trial, folder, options, resumed, device)?);
            notify(Event::Started(trial, resumed));
        }
        if running.is_empty() {
            return Ok(());
        }
        std::thread::sleep(POLL);
        let mut i = 0;
        while i < running.len() {
            match running[i].child.try_wait().map_err(TrainError::io(&options.program))? {
                None => i += 1,
                Some(exit) => {
                    let mut job = running.swap_remove(i);
                    let status = finish(&mut job, exit.code(), told_to_stop, folder)?;
                    match status {
                        Status::Done => summary.done += 1,
                        Status::Failed => summary.failed += 1,
                        Status::Interrupted | Status::Running => {}
                    }
                    notify(Event::Ended(job.trial, status, job.state.reason));
                }
            }
        }
        if watched.elapsed() >= WATCH {
            watched = Instant::now();
            for job in running.iter() {
                let length = &job.trial.loaded.experiment.train;
                if let Some((epoch, step)) = watch::last_position(&folder.metrics_log(&job.trial.id)) {
                    let done = match length.steps {
                        Some(steps) => step as f64 / steps.max(1) as f64,
                        None => epoch / length.epochs.max(1) as f64,
                    };
                    notify(Event::Progress(job.trial, done.min(1.0)));
                }
            }
        }
    }
}

/// The device with the fewest trials; of equals the first.
fn least_busy(devices: &[Choice], busy: impl Iterator<Item = Choice>) -> Option<Choice> {
    let busy: Vec<Choice> = busy.collect();
    devices.iter().copied().min_by_key(|device| busy.iter().filter(|b| *b == device).count())
}

fn start<'a>(
    trial: &'a Trial,
    folder: &SweepFolder,
    options: &RunOptions,
    resumed: bool,
    device: Option<Choice>,
) -> Result<Job<'a>, TrainError> {
    let before = folder.state(&trial.id)?;
    if let Some(pid) = before.as_ref().filter(|s| s.status == Status::Running && s.host == host()).and_then(|s| s.pid) {
        if watch::trains(pid, &folder.run(&trial.id)) {
            return Err(TrainError::RunFolder { path: folder.run(&trial.id), problem: RunFolderProblem::TrialRuns { pid } });
        }
    }
    let mut state = before.unwrap_or(TrialState {
        status: Status::Running,
        attempts: 0,
        seconds: 0.0,
        pid: None,
        host: host(),
        reason: None,
    });
    let log_path = folder.log(&trial.id);
    let log = OpenOptions::new().create(true).append(true).open(&log_path).map_err(TrainError::io(&log_path))?;
    let mut command = Command::new(&options.program);
    command.arg("train").arg(folder.experiment(&trial.id)).arg("--run-dir").arg(folder.run(&trial.id));
    if resumed {
        command.arg("--resume");
    }
    if let Some(device) = device {
        command.arg("--device").arg(device.to_string());
    }
    if let Some(processes) = &options.processes {
        command.arg("--nproc").arg(processes);
    }
    if std::env::var_os("OMP_NUM_THREADS").is_none() && options.jobs > 1 {
        let processes = options.processes.as_ref().and_then(|n| n.parse().ok()).unwrap_or(1);
        command.env("OMP_NUM_THREADS", threads_each(options.jobs.saturating_mul(processes)).to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    own_group(&mut command);
    let child = command.spawn().map_err(TrainError::io(&options.program))?;
    state = TrialState {
        status: Status::Running,
        attempts: state.attempts + 1,
        pid: Some(child.id()),
        host: host(),
        reason: None,
        ..state
    };
    let mut job = Job { trial, device, child, started: Instant::now(), state };
    if let Err(e) = folder.set_state(&trial.id, &job.state) {
        interrupt(&mut job.child);
        let _ = job.child.wait();
        return Err(e);
    }
    Ok(job)
}

/// Notes how a process ended. One that `stopped` asked to end may have been ended by the signal itself, before it listened.
fn finish(job: &mut Job, code: Option<i32>, stopped: bool, folder: &SweepFolder) -> Result<Status, TrainError> {
    let status = match code {
        Some(0) => Status::Done,
        Some(INTERRUPTED) => Status::Interrupted,
        None if stopped => Status::Interrupted,
        _ => Status::Failed,
    };
    job.state.status = status;
    job.state.pid = None;
    job.state.seconds += job.started.elapsed().as_secs_f64();
    job.state.reason = (status == Status::Failed).then(|| {
        let ended = code.map_or("ended by a signal".to_string(), |c| format!("exit code {c}"));
        watch::last_error(&folder.log(&job.trial.id)).unwrap_or(ended)
    });
    folder.set_state(&job.trial.id, &job.state)?;
    Ok(status)
}

/// Processors shared between jobs, at least one each.
fn threads_each(jobs: usize) -> usize {
    (std::thread::available_parallelism().map_or(1, usize::from) / jobs.max(1)).max(1)
}

/// A child has a process group of its own, so that Ctrl-C on a terminal reaches it once, through [`interrupt`].
fn own_group(command: &mut Command) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    #[cfg(not(unix))]
    let _ = command;
}

/// Asks a child to save and end, as Ctrl-C does (SIGTERM, because background jobs of a shell ignore SIGINT); where that cannot be asked, ends it (it goes on from its last checkpoint).
fn interrupt(child: &mut Child) {
    let asked = cfg!(unix)
        && Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
    if !asked {
        let _ = child.kill();
    }
}

/// The program that runs now, which is what trials are run with.
///
/// # Errors
/// Where the system does not notify.
pub fn this_program() -> Result<PathBuf, TrainError> {
    std::env::current_exe().map_err(TrainError::io(Path::new("the running program")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_go_where_the_fewest_are() {
        let (first, second) = (Choice::Cuda(0), Choice::Cuda(1));
        let next = |busy: &[Choice]| least_busy(&[first, second], busy.iter().copied());
        assert_eq!(next(&[]), Some(first));
        assert_eq!(next(&[first]), Some(second));
        assert_eq!(next(&[first, second]), Some(first));
        assert_eq!(next(&[second, second, first]), Some(first));
        assert_eq!(least_busy(&[], [first].into_iter()), None);
    }
}
