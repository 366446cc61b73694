//! From a task and an experiment to a trainer, at the beginning or from a checkpoint.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use super::hooks::{Average, Checkpoints, Evaluate, Hook, Rate, Timer, Write, Writers};
use super::{plan, Plan, Replicas, Run, StepReport, Task};
use crate::checkpoint::{self, Checkpoint, Progress};
use crate::config::TrainConfig;
use crate::ema::Ema;
use crate::error::TrainError;
use crate::optim::NamedTensors;
use crate::run::progress::Progress as Display;
use crate::run::{metrics, EvalRecord, Record, RunFolder, StepRecord};

/// A run and what happens around its steps.
pub struct Trainer<T: Task> {
    /// What is worked on.
    pub run: Run<T>,
    pub(super) hooks: Vec<Box<dyn Hook<T>>>,
}

/// How a run starts.
pub struct Start {
    /// Its folder.
    pub folder: RunFolder,
    /// Hash of the resolved experiment.
    pub config_hash: String,
    /// The checkpoint to go on from.
    pub resume: Option<Checkpoint>,
    /// Set when the user wants to stop.
    pub stop: Arc<AtomicBool>,
    /// Print warnings and errors only.
    pub quiet: bool,
}

impl<T: Task> Trainer<T> {
    /// Puts a run together. The task's network holds its initial weights, and its frozen parameters are frozen already.
    ///
    /// # Errors
    /// No data, nothing to train, a checkpoint that does not fit the network.
    pub fn new(task: T, config: &TrainConfig, start: Start) -> Result<Self, TrainError> {
        let plan = Plan::new(config, task.batches_per_epoch())?;
        let slots = plan::grouping(config).slots(task.network().named_tensors());
        if slots.is_empty() {
            return Err(TrainError::NothingToTrain);
        }
        let replicas = Replicas::wanted(&task, &slots, config)?;
        let ema = config.ema.as_ref().map(|e| Ema::new(task.network().named_tensors(), e.decay, e.warmup));
        let mut run = Run {
            optimizer: plan::optimizer(config),
            ema,
            clip_grad_norm: config.clip_grad_norm,
            lr: plan.lr(0),
            progress: Progress {
                format: checkpoint::FORMAT,
                step: 0,
                epoch: 0,
                batch: 0,
                seed: config.seed,
                ema_updates: 0,
                best: None,
                seconds: 0.0,
                config_hash: start.config_hash,
            },
            report: StepReport::default(),
            latest: StepRecord::default(),
            outbox: vec![],
            notes: vec![],
            writers: None,
            stop: start.stop,
            display: Rc::new(RefCell::new(Display::new(0, 1, 0, true))),
            folder: start.folder,
            replicas,
            task,
            slots,
            plan,
        };
        if let Some(checkpoint) = start.resume {
            restore(&mut run, checkpoint)?;
        }
        let records = metrics::rewind(&run.folder.metrics_log(), run.progress.step)?;
        let evaluated = |r: &Record| matches!(r, Record::Eval(e) if e.step == run.progress.step);
        let known = records.iter().any(evaluated);
        // The best may have been found after the checkpoint was written, which is before its evaluation.
        if let Some(best) = best(&records) {
            run.progress.best = Some(best);
        }
        run.writers = Some(Writers::new(&run.folder, &records)?);
        let present = checkpoint::folder::steps(&run.folder.checkpoints())?;
        let (total, per_epoch) = (run.plan.stop_at, run.plan.steps_per_epoch);
        run.display = Rc::new(RefCell::new(Display::new(total, per_epoch, run.progress.step, start.quiet)));
        let hooks: Vec<Box<dyn Hook<T>>> = vec![
            Box::new(Timer::new(config.log_every)),
            Box::new(Rate),
            Box::new(Average),
            Box::new(Checkpoints::new(&config.checkpoint, present)),
            Box::new(Evaluate::new(config.eval_every, known)),
            Box::new(Write),
        ];
        Ok(Self { run, hooks })
    }
}

/// The best evaluation on record.
fn best(records: &[Record]) -> Option<checkpoint::Best> {
    let mut evaluations = records.iter().filter_map(|r| match r {
        Record::Eval(EvalRecord { step, headline, best: true, .. }) => Some(checkpoint::Best { step: *step, value: *headline }),
        _ => None,
    });
    evaluations.next_back()
}

/// Brings a run to where the checkpoint was written.
fn restore<T: Task>(run: &mut Run<T>, checkpoint: Checkpoint) -> Result<(), TrainError> {
    let progress = checkpoint.progress;
    if progress.seed != run.progress.seed {
        run.notes.push(format!("train.seed is {} as in the checkpoint, not {}", progress.seed, run.progress.seed));
    }
    if progress.config_hash != run.progress.config_hash {
        run.notes.push("the experiment differs from the one that the checkpoint was written with".into());
    }
    copy_weights(run.task.network(), &checkpoint.model)?;
    run.optimizer.load_state(&run.slots, &checkpoint.optimizer)?;
    match &mut run.ema {
        Some(ema) if checkpoint.ema.is_empty() => {
            *ema = Ema::new(run.task.network().named_tensors(), ema.decay(), ema.warm_up());
            run.notes.push("the checkpoint has no average of weights: it starts here".into());
        }
        Some(ema) => ema.load_state(&checkpoint.ema, progress.ema_updates)?,
        None => {}
    }
    run.notes.push(format!("going on after step {} (epoch {}, batch {})", progress.step, progress.epoch + 1, progress.batch));
    run.progress = Progress { config_hash: run.progress.config_hash.clone(), ..progress };
    Ok(())
}

/// Copies all tensors of a checkpoint into the network: the same names, shapes and kinds, or nothing.
fn copy_weights(network: &dyn repghost_backbone::Tree, saved: &NamedTensors) -> Result<(), TrainError> {
    let entries = network.named_tensors();
    let wrong = |what: String| Err(TrainError::Config(format!("the checkpoint does not fit the experiment's model: {what}")));
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
