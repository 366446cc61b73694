//! Batches on their way to a device.
//!
//! On a card the pixels of the next batch are copied while the card works on this one: a thread of its own takes batches from the loader,
//! puts their pixels into pinned memory and starts the copy on a stream beside the work. On the CPU there is nothing to do.

use std::sync::mpsc::{sync_channel, Receiver};
use std::sync::Arc;
use std::thread::JoinHandle;

use repghost_coco::loader::Epoch;
use repghost_coco::{Batch, Pixels};
use repghost_kernels::device::memory::pinned_copy;
use repghost_kernels::device::stream::{CopyStream, Upload};
use tch::Device;

use crate::error::TrainError;

/// A batch. Where its pixels are on a card, those in `batch` are gone.
#[derive(Clone, Debug)]
pub struct DeviceBatch {
    /// Sizes and targets; the pixels on the CPU.
    pub batch: Batch,
    /// The pixels on a card, as bytes where `batch` has those.
    pub(crate) pixels: Option<Arc<Upload>>,
}

impl DeviceBatch {
    /// The batch with its pixels in main memory.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn on_host(&self) -> Result<Batch, TrainError> {
        let mut batch = self.batch.clone();
        if let Some(pixels) = &self.pixels {
            let values = pixels.tensor()?.to_device(Device::Cpu).reshape([-1]);
            batch.pixels = match batch.pixels {
                Pixels::Normalized(_) => Pixels::Normalized(Vec::try_from(values)?),
                Pixels::Bytes { normalize, .. } => Pixels::Bytes { values: Vec::try_from(values)?, normalize },
            };
        }
        Ok(batch)
    }
}

impl From<Batch> for DeviceBatch {
    fn from(batch: Batch) -> Self {
        Self { batch, pixels: None }
    }
}

/// The batches of an epoch, with their pixels on `device` or on the way there.
pub(crate) fn batches(epoch: Epoch, device: Device) -> Box<dyn Iterator<Item = Result<DeviceBatch, TrainError>>> {
    match device {
        Device::Cuda(card) => match Ahead::start(epoch, card) {
            Ok(ahead) => Box::new(ahead),
            Err(error) => Box::new(std::iter::once(Err(error))),
        },
        _ => Box::new(epoch.map(|batch| Ok(batch?.into()))),
    }
}

type Item = Result<DeviceBatch, TrainError>;

/// A thread that is one batch ahead.
struct Ahead {
    items: Option<Receiver<Item>>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    fn start(epoch: Epoch, card: usize) -> Result<Self, TrainError> {
        let stream = CopyStream::new(card)?;
        let (sender, items) = sync_channel(1);
        let work = move || {
            for batch in epoch {
                let item = batch.map_err(TrainError::from).and_then(|batch| uploaded(batch, &stream));
                if sender.send(item).is_err() {
                    return;
                }
            }
        };
        let thread =
            std::thread::Builder::new().name("upload".into()).spawn(work).map_err(TrainError::io("the upload thread"))?;
        Ok(Self { items: Some(items), thread: Some(thread) })
    }
}

fn uploaded(mut batch: Batch, stream: &CopyStream) -> Item {
    let layout = batch.layout().map(|d| d as i64);
    let host = match batch.pixels.take() {
        Pixels::Normalized(values) => pinned_copy(&values, &layout)?,
        Pixels::Bytes { values, .. } => pinned_copy(&values, &layout)?,
    };
    Ok(DeviceBatch { batch, pixels: Some(Arc::new(stream.upload(&host)?)) })
}

impl Iterator for Ahead {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let item = self.items.as_ref()?.recv().ok();
        if item.is_none() {
            // The thread has come to its end, or has panicked: that goes on here.
            self.items = None;
            if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                std::panic::resume_unwind(panic);
            }
        }
        item
    }
}

impl Drop for Ahead {
    /// Ends the loader's threads with this one, so that the processors are free.
    fn drop(&mut self) {
        self.items = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
