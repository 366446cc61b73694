//! From a source to a stream of batches.
//!
//! Workers are threads. Worker w of W makes the batches w, w + W, w + 2W, … and puts them into a bounded queue of its own; the
//! consumer takes from the queues in turn. So batches arrive in order, memory is bounded, and since each sample draws from its
//! own random stream, the stream of batches is the same, bit for bit, for any number of workers.

mod cache;
mod config;
mod epoch;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub use config::{LoaderConfig, OnUnreadableImage};
pub use epoch::Epoch;

use self::cache::Cache;
use repghost_config::Check;

use crate::buffers::give_back;
use crate::error::DataError;
use crate::pixels::{self, Pixels};
use crate::sample::Sample;
use crate::sampler::Sampler;
use crate::source::Source;
use crate::stream::{pixel_rng, sample_rng};
use crate::transform::Transform;
use crate::types::Batch;

/// Batches of a source, epoch by epoch.
pub struct Loader {
    shared: Arc<Shared>,
    sampler: Sampler,
}

/// What the threads share.
struct Shared {
    source: Arc<dyn Source>,
    transform: Arc<dyn Transform>,
    config: LoaderConfig,
    cache: Option<Cache>,
    unreadable: Mutex<Unreadable>,
    share: Option<Share>,
    /// Batches have bytes.
    bytes: bool,
}

/// The part of every batch that one of several processes takes: contiguous, sizes differ by one image at most, the first ones are the larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Number of the process.
    pub rank: usize,
    /// Processes.
    pub size: usize,
}

impl Share {
    /// The part of `0..n`.
    pub fn range(self, n: usize) -> Range<usize> {
        let size = self.size.max(1);
        let start = |rank: usize| rank * (n / size) + rank.min(n % size);
        start(self.rank)..start(self.rank + 1)
    }
}

/// Images that were skipped, each once.
#[derive(Default)]
struct Unreadable {
    messages: Vec<String>,
    reported: usize,
}

impl Loader {
    /// A loader over a source that augments by `config.augment`.
    ///
    /// # Errors
    /// [`DataError::Config`] where a value is out of range or no batch would come out.
    pub fn new(source: Arc<dyn Source>, config: LoaderConfig) -> Result<Self, DataError> {
        let transform = Arc::new(config.augment.clone());
        Self::with_transform(source, config, transform)
    }

    /// A loader with a transform in place of `config.augment`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_transform(
        source: Arc<dyn Source>,
        config: LoaderConfig,
        transform: Arc<dyn Transform>,
    ) -> Result<Self, DataError> {
        config.check("")?;
        let wide = match config.group_by_aspect {
            true => (0..source.len()).map(|i| source.aspect(i) >= 1.0).collect(),
            false => Vec::new(),
        };
        let LoaderConfig { batch_size, shuffle, seed, drop_last, .. } = config;
        let shards = if config.shard_window.is_some() { source.shards() } else { Vec::new() };
        let window = config.shard_window.unwrap_or(0);
        let sampler = Sampler { batch_size, shuffle, seed, drop_last, wide, shards, window, repeats: Vec::new() };
        if sampler.batches_per_epoch(source.len()) == 0 {
            let reason =
                format!("no batch of {batch_size} can be made of {} images; lower it or set drop_last: false", source.len());
            return Err(DataError::config("batch_size", reason));
        }
        let cache = (config.cache_mb > 0).then(|| Cache::new(config.cache_mb << 20));
        Ok(Self {
            shared: Arc::new(Shared {
                source,
                transform,
                config,
                cache,
                unreadable: Mutex::default(),
                share: None,
                bytes: false,
            }),
            sampler,
        })
    }

    /// The same with images repeated: for each how often it comes per epoch on average, 1 or more.
    ///
    /// # Errors
    /// Another number of factors than of images, or a factor below 1.
    pub fn with_repeats(mut self, repeats: Vec<f64>) -> Result<Self, DataError> {
        if repeats.len() != self.len() || repeats.iter().any(|r| !(1.0..f64::INFINITY).contains(r)) {
            let reason = format!("{} factors of 1 or more are expected, one per image, found {}", self.len(), repeats.len());
            return Err(DataError::config("repeats", reason));
        }
        self.sampler.repeats = repeats;
        Ok(self)
    }

    /// The same with one share of every batch alone. A share without images brings one of another's, as a placeholder.
    ///
    /// # Errors
    /// A loader that is running; a rank that is not below the number of processes.
    pub fn with_share(self, share: Share) -> Result<Self, DataError> {
        if share.rank >= share.size {
            return Err(DataError::config("share", format!("there is no process {} of {}", share.rank, share.size)));
        }
        self.changed("share", |shared| shared.share = Some(share))
    }

    /// The same with bytes in place of normalised pixels (a quarter of the memory), for a device that normalises them. Where the transform
    /// works on normalised pixels, nothing changes.
    ///
    /// # Errors
    /// A loader that is running.
    pub fn with_bytes(self) -> Result<Self, DataError> {
        self.changed("bytes", |shared| shared.bytes = shared.transform.leaves_bytes())
    }

    fn changed(mut self, what: &str, change: impl FnOnce(&mut Shared)) -> Result<Self, DataError> {
        let shared = Arc::get_mut(&mut self.shared);
        change(shared.ok_or_else(|| DataError::config(what, "the loader is running".to_string()))?);
        Ok(self)
    }

    /// Number of images that every epoch brings: [`Loader::len`], and the copies of repeated images.
    pub fn images_per_epoch(&self) -> usize {
        self.sampler.images_per_epoch(self.len())
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.shared.source.len()
    }

    /// Whether there are no images (a loader that was made has some).
    pub fn is_empty(&self) -> bool {
        self.shared.source.is_empty()
    }

    /// Number of batches in every epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.sampler.batches_per_epoch(self.len())
    }

    /// The batches of an epoch from number `skip` on, as a run that resumes in the middle of an epoch needs them.
    ///
    /// Each item is a batch, or the error of an image in it. A batch all of whose images were unreadable is passed over
    /// where `on_unreadable_image` is `skip`.
    pub fn epoch(&self, epoch: usize, skip: usize) -> Epoch {
        let mut batches = self.sampler.batches(self.len(), epoch);
        batches.drain(..skip.min(batches.len()));
        Epoch::start(self.shared.clone(), epoch, skip, batches)
    }

    /// Numbers of the samples in the order in which an epoch brings them: indices of the source, larger by multiples of [`Loader::len`] for
    /// copies of repeated images.
    pub fn order(&self, epoch: usize) -> Vec<usize> {
        self.sampler.batches(self.len(), epoch).concat()
    }

    /// One sample as it is in an epoch, before normalisation: what a contact sheet shows.
    ///
    /// # Errors
    /// As the source.
    pub fn sample(&self, epoch: usize, index: usize) -> Result<Sample, DataError> {
        self.shared.sample(epoch, index)
    }

    /// A line about the unreadable images that were skipped since the last call, where there are any.
    pub fn new_unreadable(&self) -> Vec<String> {
        /// Images named in the line at most.
        const SHOWN: usize = 3;
        let Ok(mut list) = self.shared.unreadable.lock() else { return Vec::new() };
        let new = list.messages.get(list.reported..).unwrap_or_default();
        if new.is_empty() {
            return Vec::new();
        }
        let more = if new.len() > SHOWN { "; …" } else { "" };
        let first = new.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
        let line = format!("{} images could not be read and are skipped ({first}{more})", new.len());
        list.reported = list.messages.len();
        vec![line]
    }

    /// Messages of the unreadable images that were skipped so far.
    pub fn unreadable(&self) -> Vec<String> {
        self.shared.unreadable.lock().map(|list| list.messages.clone()).unwrap_or_default()
    }
}

impl Shared {
    /// One batch; `None` if the consumer has gone or no image was readable.
    fn batch(&self, epoch: usize, number: usize, indices: &[usize], stop: &AtomicBool) -> Result<Option<Batch>, DataError> {
        let own = self.share.map_or(0..indices.len(), |share| share.range(indices.len()));
        let Some(samples) = self.samples(epoch, &indices[own], stop)? else { return Ok(None) };
        if samples.is_empty() && self.share.is_some() {
            // Every process makes the same steps: one without images takes the first that can be read.
            for index in indices {
                let Some(samples) = self.samples(epoch, std::slice::from_ref(index), stop)? else { return Ok(None) };
                if !samples.is_empty() {
                    return Ok(Some(Batch { placeholder: true, ..self.collate(samples, epoch, number) }));
                }
            }
        }
        Ok((!samples.is_empty()).then(|| self.collate(samples, epoch, number)))
    }

    /// Samples of some images; `None` if the consumer has gone.
    fn samples(&self, epoch: usize, indices: &[usize], stop: &AtomicBool) -> Result<Option<Vec<(usize, Sample)>>, DataError> {
        let mut samples = Vec::with_capacity(indices.len());
        for &index in indices {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            match self.sample(epoch, index) {
                Ok(sample) => samples.push((index, sample)),
                Err(error) if error.is_unreadable_image() && self.config.on_unreadable_image == OnUnreadableImage::Skip => {
                    self.note_unreadable(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(samples))
    }

    /// `number` is an index of the source; a copy's is larger by a multiple of the source's length and has draws of its own.
    fn sample(&self, epoch: usize, number: usize) -> Result<Sample, DataError> {
        let mut rng = sample_rng(self.config.seed, epoch, number);
        Ok(self.transform.draw(self.prepared(number % self.source.len().max(1))?, &mut rng))
    }

    fn prepared(&self, index: usize) -> Result<Sample, DataError> {
        let load = || Ok(self.transform.prepare(self.source.load(index)?));
        let Some(cache) = &self.cache else { return load() };
        if let Some(sample) = cache.get(index) {
            return Ok(sample);
        }
        let sample = load()?;
        cache.put(index, &sample);
        Ok(sample)
    }

    fn note_unreadable(&self, message: String) {
        if let Ok(mut list) = self.unreadable.lock() {
            if !list.messages.contains(&message) {
                list.messages.push(message);
            }
        }
    }

    /// Puts samples into one padded buffer.
    fn collate(&self, samples: Vec<(usize, Sample)>, epoch: usize, number: usize) -> Batch {
        let size = |sample: &Sample| {
            let [width, height] = sample.size();
            [height, width]
        };
        let sizes: Vec<[usize; 2]> = samples.iter().map(|(_, sample)| size(sample)).collect();
        let padded =
            |axis: usize| sizes.iter().map(|s| s[axis]).max().unwrap_or(1_usize).next_multiple_of(self.config.pad_multiple);
        let (height, width) = (padded(0), padded(1));
        let shape = [samples.len(), 3, height, width];
        let values = shape.iter().product();
        let normalize = self.config.normalize;
        let pixels = if self.bytes {
            let mut values = vec![0; values];
            for ((_, sample), slot) in samples.iter().zip(values.chunks_exact_mut(3 * height * width)) {
                pixels::copy(&sample.image, slot, width);
            }
            Pixels::Bytes { values, normalize }
        } else {
            let mut values = vec![0.0; values];
            for ((index, sample), slot) in samples.iter().zip(values.chunks_exact_mut(3 * height * width)) {
                match sample.pending {
                    None => normalize.write(&sample.image, slot, height, width),
                    Some(to) => normalize.write_resized(&sample.image, to, slot, height, width),
                }
                if size(sample) == [height, width] {
                    self.transform.on_normalized(slot, height, width, &mut pixel_rng(self.config.seed, epoch, *index));
                }
            }
            Pixels::Normalized(values)
        };
        let used = |(_, sample): (usize, Sample)| {
            give_back(sample.image);
            sample.target
        };
        let targets = samples.into_iter().map(used).collect();
        Batch { index: number, pixels, shape, sizes, targets, placeholder: false }
    }
}
