//! Processes that add tensors.

use std::ffi::{c_char, c_int, c_long, CString};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::error::DistributedError;
use crate::nccl::{Collective, Communicator};
use crate::shim::{self, RawGroup};
use crate::world::World;

/// Bytes that are added together: DistributedDataParallel's buckets.
const BUCKET: usize = 25 << 20;
/// The store's key of the first failure.
const FAILURE: &str = "failure";

/// Processes that add tensors. All of them make the same calls in the same order. Copies are the same group.
#[derive(Clone)]
pub struct Group(Arc<Inner>);

struct Inner {
    raw: Mutex<Raw>,
    rank: usize,
    size: usize,
    local_rank: usize,
    timeout: Duration,
    /// Where NCCL adds the tensors of cards.
    cards: OnceLock<Communicator>,
}

struct Raw(*mut RawGroup);

// SAFETY: c10d's objects may be used from any thread; the lock keeps calls apart.
unsafe impl Send for Raw {}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: made by `connect`, freed once.
        unsafe { shim::repghost_group_free(self.0) }
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rank {} of {}", self.0.rank, self.0.size)
    }
}

impl Group {
    /// Meets the other processes of a world. No later call waits longer than `timeout`.
    ///
    /// # Errors
    /// [`DistributedError::Connect`] where they do not come in time.
    pub fn connect(world: &World, timeout: Duration) -> Result<Self, DistributedError> {
        let failed = |reason: String| DistributedError::Connect {
            rank: world.rank,
            size: world.size,
            address: world.address.clone(),
            port: world.port,
            seconds: timeout.as_secs(),
            reason,
        };
        let host = CString::new(world.address.as_str()).map_err(|e| failed(e.to_string()))?;
        let prefix = CString::new(format!("repghost-{}", world.attempt)).unwrap_or_default();
        let serves = world.rank == 0 && !world.agent_store;
        let mut raw = std::ptr::null_mut();
        // SAFETY: texts live through the call; `raw` takes the object.
        let error = unsafe {
            shim::check(shim::repghost_group_connect(
                host.as_ptr(),
                c_int::from(world.port),
                world.rank as c_int,
                world.size as c_int,
                c_int::from(serves),
                timeout.as_millis() as c_long,
                prefix.as_ptr(),
                &mut raw,
            ))
        };
        error.map_err(failed)?;
        let raw = Mutex::new(Raw(raw));
        Ok(Self(Arc::new(Inner {
            raw,
            rank: world.rank,
            size: world.size,
            local_rank: world.local_rank,
            timeout,
            cards: OnceLock::new(),
        })))
    }

    /// Number of this process.
    pub fn rank(&self) -> usize {
        self.0.rank
    }

    /// Processes.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Number of this process on its machine; 0 where the launcher does not number them.
    pub fn local_rank(&self) -> usize {
        self.0.local_rank
    }

    /// Whether this process is the one that writes and prints.
    pub fn is_first(&self) -> bool {
        self.0.rank == 0
    }

    /// The part of `0..n` that is this process's: contiguous, sizes differ by one at most, the first ones are the larger.
    pub fn range(&self, n: usize) -> std::ops::Range<usize> {
        let (each, more) = (n / self.size(), n % self.size());
        let start = |rank: usize| rank * each + rank.min(more);
        start(self.rank())..start(self.rank() + 1)
    }

    /// Replaces a tensor by the sum over all processes, in place.
    ///
    /// # Errors
    /// A process that failed, died or does not answer.
    pub fn all_reduce(&self, tensor: &Tensor) -> Result<(), DistributedError> {
        self.add(std::slice::from_ref(tensor))
    }

    fn add(&self, tensors: &[Tensor]) -> Result<(), DistributedError> {
        self.on_cards(tensors, Collective::Sum)?.iter().try_for_each(|tensor| {
            on_host(tensor, |host| self.call(|raw| unsafe { shim::repghost_group_all_reduce(raw, handle(host)) }))
        })
    }

    /// Sums of many tensors of one kind over all processes, added in buckets of 25 MB. The tensors themselves stay.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn sums(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>, DistributedError> {
        let (mut rest, mut buckets, mut flats) = (tensors, vec![], vec![]);
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |t: &&Tensor| {
                let first = bytes == 0;
                bytes += t.numel() * t.kind().elt_size_in_bytes();
                first || bytes <= BUCKET
            };
            let (bucket, others) = rest.split_at(rest.iter().take_while(fits).count());
            let flat: Vec<Tensor> = bucket.iter().map(|t| t.detach().reshape([-1])).collect();
            flats.push(Tensor::cat(&flat, 0));
            buckets.push(bucket);
            rest = others;
        }
        self.add(&flats)?;
        let mut sums = Vec::with_capacity(tensors.len());
        for (bucket, flat) in buckets.into_iter().zip(flats) {
            let mut start = 0;
            for tensor in bucket {
                let length = tensor.numel() as i64;
                sums.push(flat.narrow(0, start, length).view(tensor.size().as_slice()));
                start += length;
            }
        }
        Ok(sums)
    }

    /// Replaces tensors by those of `root`, in place.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn broadcast(&self, tensors: &[Tensor], root: usize) -> Result<(), DistributedError> {
        self.on_cards(tensors, Collective::From(root))?.iter().try_for_each(|tensor| {
            on_host(tensor, |host| self.call(|raw| unsafe { shim::repghost_group_broadcast(raw, handle(host), root as c_int) }))
        })
    }

    /// Replaces numbers by their sums over all processes.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn sum(&self, values: &mut [f64]) -> Result<(), DistributedError> {
        let tensor = Tensor::from_slice(values);
        self.all_reduce(&tensor)?;
        tensor.copy_data(values, values.len());
        Ok(())
    }

    /// A number of each process, by rank.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn each(&self, value: f64) -> Result<Vec<f64>, DistributedError> {
        let mut values = vec![0.0; self.size()];
        values[self.rank()] = value;
        self.sum(&mut values)?;
        Ok(values)
    }

    /// The bytes of each process, by rank, on all of them.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DistributedError> {
        let lengths: Vec<usize> = self.each(bytes.len() as f64)?.into_iter().map(|n| n as usize).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0).max(1);
        let mut padded = bytes.to_vec();
        padded.resize(longest, 0);
        let own = Tensor::from_slice(&padded);
        let all = Tensor::zeros([self.size() as i64, longest as i64], (Kind::Uint8, Device::Cpu));
        self.call(|raw| unsafe { shim::repghost_group_gather(raw, handle(&own), handle(&all)) })?;
        let mut row = vec![0u8; longest];
        Ok((0..self.size())
            .map(|rank| {
                all.get(rank as i64).copy_data(&mut row, longest);
                row[..lengths[rank]].to_vec()
            })
            .collect())
    }

    /// Checks that all processes have the same value of something.
    ///
    /// # Errors
    /// [`DistributedError::Differs`] on all of them where they have not.
    pub fn agree(&self, what: &str, value: &str) -> Result<(), DistributedError> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let all = self.gather(value.as_bytes())?;
        match all.iter().position(|other| *other != all[0]) {
            None => Ok(()),
            Some(rank) => {
                Err(DistributedError::Differs { what: what.to_string(), first: text(&all[0]), rank, other: text(&all[rank]) })
            }
        }
    }

    /// Waits for all processes.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn barrier(&self) -> Result<(), DistributedError> {
        self.sum(&mut [0.0])
    }

    /// Leaves the cause of this process's failure for the others, whose next call then fails with it. The first cause stays.
    pub fn fail(&self, cause: &str) {
        if self.left(FAILURE).is_none() {
            self.leave(FAILURE, &format!("{} {cause}", self.rank()));
        }
    }

    /// Leaves a text for the others; nothing where the store does not answer.
    pub(crate) fn leave(&self, key: &str, text: &str) {
        let (Ok(key), Ok(text)) = (CString::new(key), CString::new(text.replace('\0', " "))) else { return };
        let raw = self.0.raw.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the texts live through the call.
        let _ = unsafe { shim::check(shim::repghost_store_set(raw.0, key.as_ptr(), text.as_ptr())) };
    }

    /// What was left under a key.
    pub(crate) fn left(&self, key: &str) -> Option<String> {
        value(&self.0.raw.lock().unwrap_or_else(PoisonError::into_inner), key)
    }

    /// The first process that failed, and its cause.
    pub(crate) fn failure(&self) -> Option<(usize, String)> {
        let text = self.left(FAILURE)?;
        let (rank, cause) = text.split_once(' ')?;
        Some((rank.parse().ok()?, cause.to_string()))
    }

    /// The error of a wait for others that failed.
    pub(crate) fn lost(&self, reason: String) -> DistributedError {
        match self.failure() {
            Some((rank, cause)) => DistributedError::Peer { rank, cause },
            None => DistributedError::Lost { rank: self.rank(), seconds: self.0.timeout.as_secs(), reason },
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Where NCCL adds the tensors of cards.
    pub(crate) fn cards(&self) -> Option<&Communicator> {
        self.0.cards.get()
    }

    pub(crate) fn set_cards(&self, cards: Communicator) {
        let _ = self.0.cards.set(cards);
    }

    pub(crate) fn call(&self, f: impl FnOnce(*mut RawGroup) -> *mut c_char) -> Result<(), DistributedError> {
        // SAFETY: the shim's functions return null or a text of their own.
        let done = unsafe { shim::check(f(self.0.raw.lock().unwrap_or_else(PoisonError::into_inner).0)) };
        done.map_err(|reason| self.lost(reason))
    }
}

/// A value in the store, where it is there and the store still answers.
fn value(raw: &Raw, key: &str) -> Option<String> {
    let key = CString::new(key).ok()?;
    // SAFETY: the key lives through the call; the text comes from the shim.
    unsafe { shim::text(shim::repghost_store_value(raw.0, key.as_ptr())) }
}

pub(crate) fn handle(tensor: &Tensor) -> *mut C_tensor {
    tensor.as_ptr() as *mut C_tensor
}

/// Runs `f` on a tensor that gloo takes: contiguous, in main memory, without gradient; and copies what it left back.
fn on_host(tensor: &Tensor, f: impl FnOnce(&Tensor) -> Result<(), DistributedError>) -> Result<(), DistributedError> {
    let _off = tch::no_grad_guard();
    let own = tensor.detach();
    if own.device() == Device::Cpu && own.is_contiguous() {
        return f(&own);
    }
    let host = own.to_device(Device::Cpu).contiguous();
    f(&host)?;
    own.shallow_clone().copy_(&host);
    Ok(())
}
