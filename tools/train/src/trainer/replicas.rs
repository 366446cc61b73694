//! Data parallelism within a process: copies of the network on threads of their own, each with a share of every batch.
//!
//! On a CPU the many small operations of a light network gain nothing from more threads *within* an operation: its threads wait for each
//! other most of the time. Two copies of the network side by side do not (docs/training.md has figures: 61 images/s instead of 23). It is
//! what PyTorch's DistributedDataParallel does over processes, with its rules:
//!
//! - Parameters are the same storage in all copies; gradients are averaged, each copy weighted with its images.
//! - Batch norms take their statistics from a copy's own images. Running statistics are those of the first copy, which the others start
//!   each step with.
//! - Random draws of a step (dropout, sampled anchors) are a copy's own, by the run's seed, the copy's number and the step.
//!
//! Sums are taken in the order of the copies, so a run still repeats bit by bit.

use std::panic::resume_unwind;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread::JoinHandle;

use repghost_backbone::{dropout, Role, Tree};
use repghost_heads::Losses;
use tch::{Kind, Tensor};

use super::Task;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::optim::{Gradients, ParamSlot};

/// A copy of a task's network that a thread of its own can run.
pub trait Replica<B>: Send {
    /// The network: the same names and shapes as the task's.
    fn network(&self) -> &dyn Tree;

    /// See [`Task::seed_step`].
    fn seed_step(&self, seed: u64, step: u64) {
        let _ = (seed, step);
    }

    /// See [`Task::losses`].
    ///
    /// # Errors
    /// When libtorch fails.
    fn losses(&self, batch: &B) -> Result<Losses, TrainError>;
}

/// What a batch, or a share of one, gave.
pub(crate) struct Answer {
    /// Each loss by name.
    pub losses: Vec<(&'static str, f64)>,
    /// Of their sum.
    pub gradients: Gradients,
}

impl Answer {
    /// Reads the losses and differentiates their sum by `parameters`.
    pub fn of(losses: Losses, parameters: &[&Tensor]) -> Result<Self, TrainError> {
        if losses.is_empty() {
            return Err(TrainError::NothingToTrain);
        }
        let total = losses.f_total()?;
        let scalars: Vec<Tensor> = losses.iter().map(|(_, loss)| loss.detach()).collect();
        let values = Vec::<f64>::try_from(Tensor::f_stack(&scalars, 0)?.f_to_kind(Kind::Double)?)?;
        let losses: Vec<_> = losses.iter().map(|(name, _)| name).zip(values).collect();
        // The backward of a loss that is not finite tells nothing more.
        let finite = losses.iter().all(|(_, v)| v.is_finite());
        let gradients = if finite { Gradients::by(&total, parameters)? } else { Gradients(vec![]) };
        Ok(Self { losses, gradients })
    }

    /// What counts `weight` in a mean.
    fn weighted(self, weight: f64) -> Result<Self, TrainError> {
        let losses = self.losses.into_iter().map(|(name, v)| (name, v * weight)).collect();
        Ok(Self { losses, gradients: self.gradients.scaled(weight)? })
    }

    /// The sum, in order.
    fn sum(parts: Vec<Self>) -> Result<Self, TrainError> {
        let mut sum: Option<Self> = None;
        for Answer { losses, gradients } in parts {
            sum = Some(match sum {
                None => Answer { losses, gradients },
                Some(mut sum) => {
                    sum.losses.iter_mut().zip(losses).for_each(|((_, total), (_, v))| *total += v);
                    Answer { losses: sum.losses, gradients: sum.gradients.plus(gradients)? }
                }
            });
        }
        sum.ok_or(TrainError::NothingToTrain)
    }
}

/// Forward and backward: of the whole batch here, or of its shares by the copies.
pub(crate) fn answer<T: Task>(
    task: &T,
    replicas: &mut Option<Replicas<T::Batch>>,
    slots: &[ParamSlot],
    batch: T::Batch,
    [seed, step]: [u64; 2],
) -> Result<Answer, TrainError> {
    let Some(replicas) = replicas else {
        let parameters: Vec<&Tensor> = slots.iter().map(|s| &s.tensor).collect();
        return Answer::of(task.losses(&batch)?, &parameters);
    };
    let shares = task.split(batch, replicas.count()).into_iter().map(|share| {
        let images = task.images(&share).len();
        (share, images)
    });
    replicas.run(shares.collect(), seed, step)
}

/// A share of a batch.
struct Job<B> {
    batch: B,
    /// Of all images.
    weight: f64,
    seed: u64,
    step: u64,
}

struct Worker<B> {
    jobs: Option<Sender<Job<B>>>,
    answers: Receiver<Result<Answer, TrainError>>,
    thread: Option<JoinHandle<()>>,
    /// The copy's buffers, which follow `Replicas::buffers`.
    buffers: Vec<Tensor>,
}

/// The copies, each waiting on its thread.
pub struct Replicas<B> {
    workers: Vec<Worker<B>>,
    /// The task's own buffers, which the first copy shares.
    buffers: Vec<Tensor>,
}

impl<B: Send + 'static> Replicas<B> {
    /// As many as `train.replicas` says, which share the threads; none where it says one.
    ///
    /// # Errors
    /// A task that cannot be copied.
    pub fn wanted<T: Task<Batch = B>>(task: &T, slots: &[ParamSlot], config: &TrainConfig) -> Result<Option<Self>, TrainError> {
        let count = config.replicas;
        if count < 2 {
            return Ok(None);
        }
        let threads = (tch::get_num_threads() / count as i32).max(1);
        Self::new(task, slots, count, threads).map(Some)
    }

    /// Makes `count` copies, each with `threads` threads within an operation.
    ///
    /// # Errors
    /// A task that cannot be copied.
    pub fn new<T: Task<Batch = B>>(task: &T, slots: &[ParamSlot], count: usize, threads: i32) -> Result<Self, TrainError> {
        let buffers = task.network().named_tensors().into_iter().filter(|e| e.role == Role::Buffer).map(|e| e.tensor).collect();
        let workers = (0..count).map(|number| Worker::start(task, slots, number, threads)).collect::<Result<_, _>>()?;
        Ok(Self { workers, buffers })
    }

    /// Copies.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Losses and gradients of a batch that was cut into shares with so many images each.
    fn run(&mut self, shares: Vec<(B, usize)>, seed: u64, step: u64) -> Result<Answer, TrainError> {
        let images: usize = shares.iter().map(|(_, images)| images).sum();
        let count = shares.len();
        tch::no_grad(|| -> Result<(), TrainError> {
            for worker in &mut self.workers {
                for (copy, own) in worker.buffers.iter_mut().zip(&self.buffers) {
                    copy.f_copy_(own)?;
                }
            }
            Ok(())
        })?;
        for (number, (worker, (batch, share))) in self.workers.iter().zip(shares).enumerate() {
            let seed = seed.wrapping_add(number as u64);
            // A thread that is gone has panicked, which the answer will tell.
            let job = Job { batch, weight: share as f64 / images.max(1) as f64, seed, step };
            let _ = worker.jobs.as_ref().map(|jobs| jobs.send(job));
        }
        // All answers are taken before any error is told: none may be left over for the next step.
        let answers: Vec<_> = self.workers.iter_mut().take(count).map(Worker::answer).collect();
        Answer::sum(answers.into_iter().collect::<Result<_, TrainError>>()?)
    }
}

impl<B: Send + 'static> Worker<B> {
    fn start<T: Task<Batch = B>>(task: &T, slots: &[ParamSlot], number: usize, threads: i32) -> Result<Self, TrainError> {
        let replica = task.replica()?;
        let mut buffers = vec![];
        let mut parameters = std::collections::HashMap::new();
        let pairs = replica.network().named_tensors().into_iter().zip(task.network().named_tensors());
        for (mut copy, own) in pairs {
            if own.role == Role::Buffer && number > 0 {
                buffers.push(copy.tensor);
                continue;
            }
            let trained = own.role == Role::Parameter && own.tensor.requires_grad();
            // Shares the storage: the optimizer's updates reach every copy.
            copy.tensor.set_data(&own.tensor);
            let tensor = copy.tensor.f_set_requires_grad(trained)?;
            parameters.insert(copy.name, tensor);
        }
        let ordered: Option<Vec<Tensor>> = slots.iter().map(|slot| parameters.remove(&slot.name)).collect();
        let Some(ordered) = ordered else {
            return Err(TrainError::Config("train.replicas: the copies of the network have other parameters".into()));
        };
        let (jobs, inbox) = channel::<Job<B>>();
        let (outbox, answers) = channel();
        let work = move || {
            tch::set_num_threads(threads);
            let parameters: Vec<&Tensor> = ordered.iter().collect();
            let mut seeded = None;
            for Job { batch, weight, seed, step } in inbox {
                // Further batches of a step (`train.accumulate`) draw on.
                if seeded.replace([seed, step]) != Some([seed, step]) {
                    dropout::seed_step(seed, step);
                    replica.seed_step(seed, step);
                }
                let answer = replica.losses(&batch).and_then(|losses| Answer::of(losses, &parameters)?.weighted(weight));
                if outbox.send(answer).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("replica-{number}"))
            .spawn(work)
            .map_err(|e| TrainError::Config(format!("train.replicas: no thread could be started: {e}")))?;
        Ok(Self { jobs: Some(jobs), answers, thread: Some(thread), buffers })
    }
}

impl<B> Worker<B> {
    fn answer(&mut self) -> Result<Answer, TrainError> {
        match self.answers.recv() {
            Ok(answer) => answer,
            // The thread has panicked: go on as if it had been this one.
            Err(_) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => resume_unwind(panic),
                _ => Err(TrainError::NothingToTrain),
            },
        }
    }
}

impl<B> Drop for Worker<B> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
