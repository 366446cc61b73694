//! Data parallelism within a process: replicas of the network on threads of their own, each with a shard of every batch.
//!
//! On a CPU the many small operations of a light network gain nothing from more threads *within* an operation: its threads wait for each
//! other most of the time. Two replicas of the network side by side do not (docs/training.md has figures: 61 images/s instead of 23). It is
//! what PyTorch's DistributedDataParallel does over processes, with its rules:
//!
//! - Parameters are the same storage in all replicas; gradients are averaged, each replica weighted with its images.
//! - Batch norms take their statistics from a replica's own images. Running statistics are those of the first replica, which the others start
//!   each step with.
//! - Random draws of a step (dropout, sampled anchors) are a replica's own, by the run's seed, the replica's number and the step.
//!
//! Sums are taken in the order of the replicas, so a run still repeats bit by bit.

use std::panic::resume_unwind;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread::JoinHandle;

use repghost_backbone::{dropout, Role};
use tch::Tensor;

use super::output::StepOutput;
use super::Task;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::optim::ParamSlot;
use crate::together::{Part, Together};

/// Forward and backward: of the whole batch here, or of its shards by the replicas.
pub(crate) fn forward_backward<T: Task>(
    task: &T,
    replicas: &mut Option<Replicas<T::Batch>>,
    params: &[ParamSlot],
    batch: T::Batch,
    [seed, step]: [u64; 2],
    scale: f64,
    together: Option<(&Together, Part)>,
) -> Result<StepOutput, TrainError> {
    if let Some((together, part)) = together {
        let parameters: Vec<&Tensor> = params.iter().map(|p| &p.tensor).collect();
        task.set_share(part.share);
        // The backward too: it sums over the processes where batch norms do.
        return together.on_share(part, || {
            let losses = together.weigh(task.losses(&batch)?, part)?;
            together.watch(params)?;
            StepOutput::new(losses, &parameters, scale)
        });
    }
    let Some(replicas) = replicas else {
        let parameters: Vec<&Tensor> = params.iter().map(|p| &p.tensor).collect();
        return StepOutput::new(task.losses(&batch)?, &parameters, scale);
    };
    let shards = task.split(batch, replicas.count()).into_iter().map(|shard| {
        let images = task.images(&shard).len();
        (shard, images)
    });
    replicas.run(shards.collect(), seed, step)
}

/// A shard of a batch.
struct Job<B> {
    batch: B,
    /// Of all images.
    weight: f64,
    seed: u64,
    step: u64,
}

struct Worker<B> {
    jobs: Option<Sender<Job<B>>>,
    outputs: Receiver<Result<StepOutput, TrainError>>,
    thread: Option<JoinHandle<()>>,
    /// The replica's buffers, which follow `Replicas::buffers`.
    buffers: Vec<Tensor>,
}

/// The replicas, each waiting on its thread.
pub struct Replicas<B> {
    workers: Vec<Worker<B>>,
    /// The task's own buffers, which the first replica shares.
    buffers: Vec<Tensor>,
}

impl<B: Send + 'static> Replicas<B> {
    /// As many as `train.replicas`, which share the threads; none where it is 1.
    ///
    /// # Errors
    /// A task that cannot be copied.
    pub fn from_config<T: Task<Batch = B>>(
        task: &T,
        params: &[ParamSlot],
        config: &TrainConfig,
    ) -> Result<Option<Self>, TrainError> {
        let count = config.replicas;
        // On a card every kernel would only be cut in two.
        let on_card = params.first().is_some_and(|p| p.tensor.device().is_cuda());
        if count < 2 || on_card {
            return Ok(None);
        }
        let threads = (tch::get_num_threads() / count as i32).max(1);
        Self::new(task, params, count, threads).map(Some)
    }

    /// Makes `count` replicas, each with `threads` threads within an operation.
    ///
    /// # Errors
    /// A task that cannot be copied.
    pub fn new<T: Task<Batch = B>>(task: &T, params: &[ParamSlot], count: usize, threads: i32) -> Result<Self, TrainError> {
        let buffers = task.network().named_tensors().into_iter().filter(|e| e.role == Role::Buffer).map(|e| e.tensor).collect();
        let workers = (0..count).map(|number| Worker::start(task, params, number, threads)).collect::<Result<_, _>>()?;
        Ok(Self { workers, buffers })
    }

    /// Number of replicas.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Losses and gradients of a batch that was cut into shards with so many images each.
    fn run(&mut self, shards: Vec<(B, usize)>, seed: u64, step: u64) -> Result<StepOutput, TrainError> {
        let images: usize = shards.iter().map(|(_, images)| images).sum();
        let count = shards.len();
        tch::no_grad(|| -> Result<(), TrainError> {
            for worker in &mut self.workers {
                for (copy, own) in worker.buffers.iter_mut().zip(&self.buffers) {
                    copy.f_copy_(own)?;
                }
            }
            Ok(())
        })?;
        for (number, (worker, (batch, shard))) in self.workers.iter().zip(shards).enumerate() {
            let seed = seed.wrapping_add(number as u64);
            // A thread that is gone has panicked; receiving its output raises the panic here.
            let job = Job { batch, weight: shard as f64 / images.max(1) as f64, seed, step };
            let _ = worker.jobs.as_ref().map(|jobs| jobs.send(job));
        }
        // All outputs are received before any error is returned: none may be left over for the next step.
        let outputs: Vec<_> = self.workers.iter_mut().take(count).map(Worker::output).collect();
        StepOutput::sum(outputs.into_iter().collect::<Result<_, TrainError>>()?)
    }
}

impl<B: Send + 'static> Worker<B> {
    fn start<T: Task<Batch = B>>(task: &T, params: &[ParamSlot], number: usize, threads: i32) -> Result<Self, TrainError> {
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
            // Shares the storage: the optimizer's updates reach every replica.
            copy.tensor.set_data(&own.tensor);
            let tensor = copy.tensor.f_set_requires_grad(trained)?;
            parameters.insert(copy.name, tensor);
        }
        let ordered: Option<Vec<Tensor>> = params.iter().map(|param| parameters.remove(&param.name)).collect();
        let Some(ordered) = ordered else {
            return Err(TrainError::setting("train.replicas", "the replicas of the network have other parameters"));
        };
        let (jobs, inbox) = channel::<Job<B>>();
        let (outbox, outputs) = channel();
        let work = move || {
            tch::set_num_threads(threads);
            let parameters: Vec<&Tensor> = ordered.iter().collect();
            let mut seeded = None;
            for Job { batch, weight, seed, step } in inbox {
                // Seed once per step: accumulated batches continue the same random stream.
                if seeded.replace([seed, step]) != Some([seed, step]) {
                    dropout::seed_step(seed, step);
                    replica.seed_step(seed, step);
                }
                let output =
                    replica.losses(&batch).and_then(|losses| StepOutput::new(losses, &parameters, 1.0)?.weighted(weight));
                if outbox.send(output).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("replica-{number}"))
            .spawn(work)
            .map_err(|e| TrainError::setting("train.replicas", format!("no thread could be started: {e}")))?;
        Ok(Self { jobs: Some(jobs), outputs, thread: Some(thread), buffers })
    }
}

impl<B> Worker<B> {
    fn output(&mut self) -> Result<StepOutput, TrainError> {
        match self.outputs.recv() {
            Ok(output) => output,
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
