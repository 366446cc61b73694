//! From a task and an experiment to a run, at the beginning or from a checkpoint.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use super::output::StepReport;
use super::replicas::Replicas;
use super::resume;
use super::run::Run;
use super::selection::Selection;
use super::{Plan, Task};
use crate::checkpoint::{self, Checkpoint, Progress, RecordSums};
use crate::config::{Precision, TrainConfig};
use crate::ema::Ema;
use crate::error::TrainError;
use crate::optim::{LossScale, NamedTensors, ParamSlot, UpdateRule};
use crate::run::progress::Progress as Display;
use crate::run::{metrics, EvalRecord, Record, RunFolder, StepRecord, Writers};
use crate::together::Together;

/// What a trainer needs besides its task and `train` settings.
#[derive(Debug)]
pub struct TrainerOptions {
    /// Folder of the run.
    pub folder: RunFolder,
    /// Hash of the resolved experiment.
    pub config_hash: String,
    /// The checkpoint to resume from.
    pub resume: Option<Checkpoint>,
    /// Set when the user wants to stop.
    pub stop: Arc<AtomicBool>,
    /// Print warnings and errors only.
    pub quiet: bool,
    /// The processes that train together, where there are several.
    pub together: Option<Together>,
    /// The records of a run that is resumed, where they are not in `folder`: all processes but the first write nothing there.
    pub records: Option<PathBuf>,
}

impl TrainerOptions {
    /// A new run in a folder, quiet, that nobody stops.
    pub fn new(folder: RunFolder) -> Self {
        Self {
            folder,
            config_hash: String::new(),
            resume: None,
            stop: Arc::default(),
            quiet: true,
            together: None,
            records: None,
        }
    }
}

/// A run, and what its hooks start with.
pub(super) struct Started<T: Task> {
    pub run: Run<T>,
    /// The evaluation of the step that the run starts from is on record.
    pub evaluated: bool,
    /// Steps whose checkpoints are in the folder.
    pub checkpoints: Vec<u64>,
    /// The evaluations so far.
    pub selection: Selection,
}

/// Puts a run together.
pub(super) fn start<T: Task>(task: T, config: &TrainConfig, options: TrainerOptions) -> Result<Started<T>, TrainError> {
    let TrainerOptions { folder, config_hash, resume, stop, quiet, together, records } = options;
    let plan = Plan::new(config, task.batches_per_epoch())?;
    let params = config.optimizer.grouping().slots(task.network().named_tensors());
    if params.is_empty() {
        return Err(TrainError::NothingToTrain);
    }
    // The processes are the replicas.
    let replicas = if together.is_none() { Replicas::from_config(&task, &params, config)? } else { None };
    let mut state = State {
        optimizer: config.optimizer.build(),
        ema: config.ema.as_ref().map(|e| Ema::new(task.network().named_tensors(), e.decay, e.warmup)),
        progress: Progress {
            format: checkpoint::FORMAT,
            step: 0,
            epoch: 0,
            batch: 0,
            seed: config.seed,
            ema_updates: 0,
            best: None,
            seconds: 0.0,
            config_hash,
            layout: Some(plan.layout(task.images_per_epoch())),
            schedule_shift: 0,
            time_end: None,
            sums: RecordSums::default(),
            loss_scale: (config.precision == Precision::Fp16).then(LossScale::default),
        },
        plan,
        messages: vec![],
    };
    let resumed = resume.is_some();
    if let Some(checkpoint) = resume {
        state.restore(&task, &params, checkpoint, config.max_minutes.is_some())?;
    }
    let records = match &records {
        Some(log) => metrics::read(log)?.into_iter().filter(|r| r.step() <= state.progress.step).collect(),
        None => metrics::rewind(&folder.metrics_log(), state.progress.step)?,
    };
    let evaluations: Vec<&EvalRecord> =
        records.iter().filter_map(|r| if let Record::Eval(e) = r { Some(e) } else { None }).collect();
    let mut selection = Selection::new(&config.best, config.stop.as_ref());
    for evaluation in &evaluations {
        // The best may have been found after the checkpoint was written, which is before its evaluation.
        let observed = selection.replay([*evaluation].into_iter());
        if let Some(value) = observed.as_ref().and_then(|o| o.best).filter(|_| evaluation.best) {
            state.progress.best = Some(checkpoint::Best { step: evaluation.step, value });
        }
        if let Some(reason) = observed.and_then(|o| o.stop).filter(|_| evaluation.step == state.progress.step) {
            state.plan.stop_at = state.progress.step;
            state.messages.push(format!("{reason}; a larger train.stop.patience continues the run"));
        }
    }
    if resumed {
        state.messages.push(state.where_it_continues());
    }
    let evaluated = evaluations.iter().any(|e| e.step == state.progress.step);
    let State { optimizer, ema, progress, plan, messages } = state;
    let display = Display::new(plan.stop_at, plan.steps_per_epoch, progress.step, quiet);
    let run = Run {
        optimizer,
        ema,
        clip_grad_norm: config.clip_grad_norm,
        lr: plan.lr(progress.step),
        report: StepReport::default(),
        latest: StepRecord::default(),
        pending_records: vec![],
        messages,
        writers: Writers::new(&folder, &records)?,
        stop,
        stops: false,
        together,
        display: Rc::new(RefCell::new(display)),
        task,
        replicas,
        params,
        plan,
        progress,
        folder,
    };
    let checkpoints = checkpoint::folder::steps(&run.folder.checkpoints())?;
    Ok(Started { run, evaluated, checkpoints, selection })
}

/// The part of a run that a checkpoint holds.
struct State {
    optimizer: Box<dyn UpdateRule>,
    ema: Option<Ema>,
    progress: Progress,
    plan: Plan,
    messages: Vec<String>,
}

impl State {
    /// Takes the state of a checkpoint.
    fn restore<T: Task>(
        &mut self,
        task: &T,
        params: &[ParamSlot],
        checkpoint: Checkpoint,
        time_is_limited: bool,
    ) -> Result<(), TrainError> {
        let saved = checkpoint.progress;
        if saved.seed != self.progress.seed {
            self.messages.push(format!("train.seed is {} as in the checkpoint, not {}", saved.seed, self.progress.seed));
        }
        copy_weights(task.network(), &checkpoint.model)?;
        self.optimizer.load_state(params, &checkpoint.optimizer)?;
        match &mut self.ema {
            Some(ema) if checkpoint.ema.is_empty() => {
                *ema = Ema::new(task.network().named_tensors(), ema.decay(), ema.warm_up());
                self.messages.push("the checkpoint has no average of weights: it starts here".into());
            }
            Some(ema) => ema.load_state(&checkpoint.ema, saved.ema_updates)?,
            None => {}
        }
        let now = self.plan.layout(task.images_per_epoch());
        let position = resume::position(&saved, &self.plan, &now);
        let time_end = saved.time_end.filter(|_| time_is_limited);
        self.plan = self.plan.shifted(position.schedule_shift).ending(time_end);
        self.messages.extend(position.note);
        self.progress = Progress {
            epoch: position.epoch,
            batch: position.batch,
            schedule_shift: position.schedule_shift,
            layout: Some(now),
            time_end,
            // Sums over other batches are not those of this epoch.
            sums: if position.batch == saved.batch { saved.sums.clone() } else { RecordSums::default() },
            loss_scale: self.progress.loss_scale.map(|fresh| saved.loss_scale.unwrap_or(fresh)),
            config_hash: std::mem::take(&mut self.progress.config_hash),
            ..saved
        };
        Ok(())
    }

    fn where_it_continues(&self) -> String {
        let Progress { step, epoch, batch, .. } = self.progress;
        if step < self.plan.stop_at {
            return format!("resuming after step {step} (epoch {}, batch {batch})", epoch + 1);
        }
        if self.plan.stop_at < self.plan.stop_at_without_limit() {
            return match self.progress.time_end.is_some_and(|end| step >= end) {
                true => "the run is finished: its time was up; a larger train.max_minutes continues it".into(),
                false => "the run is finished".into(),
            };
        }
        match epoch >= self.plan.epochs {
            true => {
                format!("the run is finished: {epoch} epochs, {step} steps; a larger train.epochs (or train.steps) continues it")
            }
            false => format!("the run is finished: train.max_steps stops it at step {step}"),
        }
    }
}

/// Copies all tensors of a checkpoint into the network: the same names, shapes and kinds, or nothing.
fn copy_weights(network: &dyn repghost_backbone::Tree, saved: &NamedTensors) -> Result<(), TrainError> {
    let entries = network.named_tensors();
    let wrong = |problem: String| Err(TrainError::CheckpointMismatch { problem });
    if let Some(name) = saved.keys().find(|name| !entries.iter().any(|e| e.name == **name)) {
        return wrong(format!("the model has no {name}"));
    }
    for e in &entries {
        match saved.get(&e.name) {
            None => return wrong(format!("{} is missing", e.name)),
            Some(t) if t.size() != e.tensor.size() || t.kind() != e.tensor.kind() => {
                let (found, expected) = (t.size(), e.tensor.size());
                return wrong(format!(
                    "{} is {:?} {found:?}, the model has {:?} {expected:?}",
                    e.name,
                    t.kind(),
                    e.tensor.kind()
                ));
            }
            Some(_) => {}
        }
    }
    let _guard = tch::no_grad_guard();
    for mut e in entries {
        e.tensor.f_copy_(&saved[&e.name])?;
    }
    Ok(())
}
