//! What finds objects in images: libtorch here, onnxruntime and TensorRT in the export crate, all behind [`Engine`] and [`EnginePool`].

use repghost_coco::{Normalize, Sample};
use repghost_heads::HostDetections;

use crate::error::TrainError;
use crate::model::Class;

/// Images in one buffer, padded to one size.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// Normalised pixels `[N, 3, H, W]`.
    pub pixels: &'a [f32],
    /// N, 3, H, W.
    pub shape: [i64; 4],
    /// Height and width of each image within the padding.
    pub sizes: &'a [[i64; 2]],
}

/// A detector that one thread runs.
pub trait Engine {
    /// Detections of each image, best first, in pixels of the (resized) images.
    ///
    /// # Errors
    /// The runtime's.
    fn detect(&mut self, pictures: Pictures) -> Result<Vec<HostDetections>, TrainError>;
}

/// One image as an engine takes it.
pub struct Preprocessed {
    /// Normalised pixels `[3, H, W]`, zero in the padding on the right and below.
    pub pixels: Vec<f32>,
    /// H, W.
    pub padded: [i64; 2],
    /// Height and width of the image within the padding.
    pub size: [i64; 2],
}

/// Images are padded to multiples of this, the stride of the coarsest backbone level.
const MULTIPLE: usize = 32;

impl Preprocessed {
    /// Normalises an image that is resized, or that gets its size on the way (`pending`, as torchvision's style of resizing has it), and pads
    /// it to a multiple of 32.
    pub fn of(sample: &Sample) -> Self {
        let [width, height] = sample.size();
        let [padded_height, padded_width] = [height, width].map(|side| side.next_multiple_of(MULTIPLE));
        let mut pixels = vec![0.0; 3 * padded_height * padded_width];
        let normalize = Normalize::default();
        match sample.pending {
            None => normalize.write(&sample.image, &mut pixels, padded_height, padded_width),
            Some(to) => normalize.write_resized(&sample.image, to, &mut pixels, padded_height, padded_width),
        }
        Self { pixels, padded: [padded_height as i64, padded_width as i64], size: [height as i64, width as i64] }
    }
}

/// A detector in some runtime, with an engine for each of several threads.
pub trait EnginePool: Sync {
    /// Its classes, by label.
    fn classes(&self) -> &[Class];

    /// The most images that an engine takes at once.
    fn batch(&self) -> usize;

    /// Whether an engine takes no fewer images than [`EnginePool::batch`]; zeros fill a batch up then.
    fn batch_is_fixed(&self) -> bool;

    /// Threads that read images and run engines, on so many cores.
    fn threads(&self, cores: usize) -> usize {
        cores
    }

    /// Resizes, normalises and pads an image.
    fn preprocess(&self, sample: Sample) -> Preprocessed;

    /// An engine for inputs of a padded height and width, which may use so many threads.
    ///
    /// # Errors
    /// The runtime's.
    fn engine(&self, padded: [i64; 2], threads: usize) -> Result<Box<dyn Engine + '_>, TrainError>;
}

/// Engines that a thread keeps: the images of a data set have few padded sizes.
const KEPT: usize = 4;

/// The engines of one thread, by size of their input.
pub struct ThreadEngines<'a> {
    pool: &'a dyn EnginePool,
    threads: usize,
    kept: Vec<([i64; 2], Box<dyn Engine + 'a>)>,
}

impl<'a> ThreadEngines<'a> {
    /// None yet; each will use `threads` threads.
    pub fn new(pool: &'a dyn EnginePool, threads: usize) -> Self {
        Self { pool, threads, kept: vec![] }
    }

    /// The engine for inputs of a padded height and width. The least recently used one is dropped where there are too many.
    ///
    /// # Errors
    /// The runtime's.
    pub fn get(&mut self, padded: [i64; 2]) -> Result<&mut (dyn Engine + 'a), TrainError> {
        match self.kept.iter().position(|(size, _)| *size == padded) {
            Some(at) => self.kept[..=at].rotate_right(1),
            None => {
                let engine = self.pool.engine(padded, self.threads)?;
                self.kept.truncate(KEPT - 1);
                self.kept.insert(0, (padded, engine));
            }
        }
        Ok(self.kept[0].1.as_mut())
    }
}
