//! Cards that add tensors.

use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use repghost_kernels::device::stream::{current_stream, on_card, Event};
use tch::{Device, Tensor};

use super::library::{data_type, Comm, Config, Nccl, State, UniqueId, SUM};

/// Between two questions.
const POLL: Duration = Duration::from_micros(50);
/// Between two looks at what other processes left.
const LOOK: Duration = Duration::from_millis(100);
/// How long the end in good order may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// What is done with a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collective {
    /// It becomes the sum over all processes.
    Sum,
    /// It becomes that of a process.
    From(usize),
}

/// A card among those that add tensors. What failed once fails at once from then on.
pub(crate) struct Communicator {
    nccl: Nccl,
    card: usize,
    timeout: Duration,
    /// As long as nothing failed.
    comm: Mutex<Result<Handle, String>>,
}

struct Handle(Comm);

// SAFETY: a communicator may be used from any thread; the lock keeps calls apart.
unsafe impl Send for Handle {}

/// A look at what others left while one waits; an error ends the wait.
pub(crate) type Look<'a> = &'a dyn Fn() -> Result<(), String>;

impl Communicator {
    /// Meets the other processes and adds a first number. `look` is called now and then meanwhile.
    ///
    /// # Errors
    /// One line; nothing is left behind then.
    pub fn start(
        nccl: Nccl,
        id: UniqueId,
        [rank, size]: [usize; 2],
        card: usize,
        timeout: Duration,
        look: Look,
    ) -> Result<Self, String> {
        let mut comm: Comm = std::ptr::null_mut();
        let mut config = Config::non_blocking();
        // SAFETY: the arguments live through the call.
        let code =
            on_card(card, || unsafe { (nccl.init)(&mut comm, size as c_int, id, rank as c_int, &mut config) }).map_err(line)?;
        let this = Self { nccl, card, timeout, comm: Mutex::new(Ok(Handle(comm))) };
        if let Err(error) = this.nccl.state(code) {
            // NCCL has freed what it made.
            *this.lock() = Err(error.clone());
            return Err(error);
        }
        this.guarded(|comm| this.settled(comm, look))?;
        let one = Tensor::from_slice(&[1f32]).to_device(Device::Cuda(card));
        this.queue(std::slice::from_ref(&one), Collective::Sum, look)?;
        this.wait(look)?;
        match one.double_value(&[0]) {
            sum if sum == size as f64 => Ok(this),
            sum => Err(format!("NCCL adds a one of each process to {sum}")),
        }
    }

    /// Whether NCCL takes such a tensor.
    pub fn takes(&self, tensor: &Tensor) -> bool {
        tensor.device() == Device::Cuda(self.card) && data_type(tensor.kind()).is_some()
    }

    /// Queues contiguous tensors that it takes on this thread's stream.
    ///
    /// # Errors
    /// What NCCL reports; the communicator is gone then.
    pub fn queue(&self, tensors: &[Tensor], what: Collective, look: Look) -> Result<(), String> {
        self.guarded(|comm| {
            let stream = current_stream(self.card).map_err(line)?;
            for tensor in tensors.iter().filter(|t| t.numel() > 0) {
                let kind = data_type(tensor.kind()).ok_or_else(|| format!("NCCL has no {:?}", tensor.kind()))?;
                let (data, n) = (tensor.data_ptr(), tensor.numel());
                // SAFETY: the tensor is contiguous, on this card, and stays until `wait` has returned.
                let code = on_card(self.card, || unsafe {
                    match what {
                        Collective::Sum => (self.nccl.all_reduce)(data, data, n, kind, SUM, comm, stream),
                        Collective::From(root) => (self.nccl.broadcast)(data, data, n, kind, root as c_int, comm, stream),
                    }
                });
                if self.nccl.state(code.map_err(line)?)? == State::InProgress {
                    self.settled(comm, look)?;
                }
            }
            Ok(())
        })
    }

    /// Waits until the card has done what was queued.
    ///
    /// # Errors
    /// What NCCL reports, what `look` finds, or the end of patience; the communicator is gone then, and the card goes on without it.
    pub fn wait(&self, look: Look) -> Result<(), String> {
        self.guarded(|comm| {
            let done = Event::mark(self.card).map_err(line)?;
            self.poll(look, || match self.asked(comm)? {
                State::Done => done.passed().map_err(line),
                State::InProgress => Ok(false),
            })
        })
    }

    /// Gives up: what hangs on the card ends.
    pub fn fail(&self, cause: &str) {
        let _ = self.guarded(|_| Err::<(), _>(cause.to_string()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Result<Handle, String>> {
        self.comm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Aborts the communicator where `f` fails.
    fn guarded<R>(&self, f: impl FnOnce(Comm) -> Result<R, String>) -> Result<R, String> {
        let mut state = self.lock();
        let comm = state.as_ref().map_err(Clone::clone)?.0;
        f(comm).inspect_err(|error| {
            *state = Err(error.clone());
            self.abort(comm);
        })
    }

    fn abort(&self, comm: Comm) {
        // SAFETY: the communicator is not used again.
        let _ = on_card(self.card, || unsafe { (self.nccl.abort)(comm) });
    }

    fn asked(&self, comm: Comm) -> Result<State, String> {
        let mut state = 0;
        // SAFETY: one number is written.
        self.nccl.state(unsafe { (self.nccl.async_error)(comm, &mut state) })?;
        self.nccl.state(state)
    }

    /// Waits until NCCL is done with a call.
    fn settled(&self, comm: Comm, look: Look) -> Result<(), String> {
        self.poll(look, || Ok(self.asked(comm)? == State::Done))
    }

    fn poll(&self, look: Look, mut done: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
        let start = Instant::now();
        let mut looked = start;
        while !done()? {
            if looked.elapsed() >= LOOK {
                look()?;
                looked = Instant::now();
            }
            if start.elapsed() >= self.timeout {
                return Err("NCCL: the wait is over".into());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        let Ok(Handle(comm)) = *self.lock() else { return };
        let start = Instant::now();
        // SAFETY: the communicator lives until it is destroyed or aborted below.
        let code = on_card(self.card, || unsafe { (self.nccl.finalize)(comm) });
        let mut state = code.map_err(line).and_then(|code| self.nccl.state(code));
        while state == Ok(State::InProgress) && start.elapsed() < FAREWELL {
            std::thread::sleep(POLL);
            state = self.asked(comm);
        }
        match state {
            // SAFETY: it is finalized, and not used again.
            Ok(State::Done) => drop(on_card(self.card, || unsafe { (self.nccl.destroy)(comm) })),
            _ => self.abort(comm),
        }
    }
}

fn line(error: impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}
