//! The stream of batches: the same for any number of threads, resumable, and it ends when its consumer goes.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use repghost_coco::augment::{IouCropConfig, PhotometricConfig, ResizeStyle, ZoomOutConfig};
use repghost_coco::shapes::ShapesConfig;
use repghost_coco::{
    AugmentConfig, Batch, CocoSource, DataError, Dataset, DatasetOptions, DecodeConfig, Loader, LoaderConfig, Normalize,
    OnUnreadableImage, Pixels, ResizeConfig, Sample, ShapesSource, Source,
};

/// Gray images of different shapes; every read is counted, some fail.
struct Gray {
    count: usize,
    reads: AtomicUsize,
    broken: Vec<usize>,
    delay: Duration,
}

impl Gray {
    fn new(count: usize) -> Self {
        Self { count, reads: AtomicUsize::new(0), broken: Vec::new(), delay: Duration::ZERO }
    }
}

impl Source for Gray {
    fn len(&self) -> usize {
        self.count
    }

    fn aspect(&self, index: usize) -> f64 {
        if index.is_multiple_of(3) {
            0.5
        } else {
            2.0
        }
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.delay);
        if self.broken.contains(&index) {
            return Err(DataError::Image { path: format!("{index}.jpg").into(), reason: "broken".into() });
        }
        let (width, height) = if index.is_multiple_of(3) { (20, 40) } else { (40, 20) };
        let mut sample = Sample { image: RgbImage::from_pixel(width, height, Rgb([index as u8; 3])), ..Sample::default() };
        sample.target.image_id = index as i64;
        Ok(sample)
    }
}

fn plain(batch_size: usize, workers: usize) -> LoaderConfig {
    LoaderConfig {
        batch_size,
        workers,
        augment: AugmentConfig { resize: ResizeConfig::longest(40), hflip: 0.0, ..AugmentConfig::default() },
        ..LoaderConfig::default()
    }
}

fn everything() -> AugmentConfig {
    AugmentConfig {
        resize: ResizeConfig { size: None, min_sizes: vec![64, 80, 96], max_size: 128, ..ResizeConfig::default() },
        photometric: Some(PhotometricConfig::default()),
        iou_crop: Some(IouCropConfig::default()),
        zoom_out: Some(ZoomOutConfig::default()),
        ..AugmentConfig::default()
    }
}

fn shapes(count: usize) -> Arc<dyn Source> {
    Arc::new(ShapesSource { config: ShapesConfig::default(), seed: 3, first: 0, count, masks: true })
}

fn batches(loader: &Loader, epoch: usize, skip: usize) -> Vec<Batch> {
    loader.epoch(epoch, skip).map(Result::unwrap).collect()
}

fn values(batch: &Batch) -> &[f32] {
    batch.pixels.normalized().unwrap()
}

fn assert_same(a: &[Batch], b: &[Batch]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!((a.index, a.shape, &a.sizes), (b.index, b.shape, &b.sizes));
        let (x, y) = (values(a), values(b));
        assert!(x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits()) && x.len() == y.len(), "pixels of batch {}", a.index);
        for (a, b) in a.targets.iter().zip(&b.targets) {
            assert_eq!((a.image_id, &a.boxes, &a.labels, &a.masks), (b.image_id, &b.boxes, &b.labels, &b.masks));
        }
    }
}

#[test]
fn any_number_of_workers_gives_the_same_bits() {
    let with = |workers, cache_mb| {
        let config =
            LoaderConfig { batch_size: 3, workers, cache_mb, seed: 11, augment: everything(), ..LoaderConfig::default() };
        Loader::new(shapes(20), config).unwrap()
    };
    for epoch in [0, 1] {
        let expected = batches(&with(0, 0), epoch, 0);
        assert_eq!(expected.len(), 6);
        assert!(expected.iter().any(|b| b.targets.iter().any(|t| !t.boxes.is_empty())));
        for workers in [1, 2, 3, 9] {
            assert_same(&expected, &batches(&with(workers, 0), epoch, 0));
        }
        assert_same(&expected, &batches(&with(2, 64), epoch, 0));
        assert_same(&expected[4..], &batches(&with(2, 0), epoch, 4));
        assert!(batches(&with(2, 0), epoch, 99).is_empty());
    }
    let pixels = |epoch| batches(&with(0, 0), epoch, 0).into_iter().map(|b| b.pixels).collect::<Vec<_>>();
    assert_ne!(pixels(0), pixels(1));
}

#[test]
fn a_cache_reads_each_file_once_and_changes_nothing() {
    for augment in [plain(4, 0).augment, everything()] {
        let source = Arc::new(Gray::new(12));
        let config = LoaderConfig { augment, cache_mb: 8, ..plain(4, 2) };
        let cached = Loader::new(source.clone(), config.clone()).unwrap();
        let fresh = Loader::new(Arc::new(Gray::new(12)), LoaderConfig { cache_mb: 0, ..config }).unwrap();
        for epoch in 0..3 {
            assert_same(&batches(&fresh, epoch, 0), &batches(&cached, epoch, 0));
        }
        assert_eq!(source.reads.load(Ordering::SeqCst), 12);
    }
}

/// Bytes are those that would have been normalised; a transform on normalised pixels, and a resize to fractions, leave no bytes.
#[test]
fn bytes_are_the_same_pixels() {
    let config = LoaderConfig { augment: everything(), ..plain(4, 2) };
    let new = |config: &LoaderConfig| Loader::new(Arc::new(Gray::new(12)), config.clone()).unwrap();
    for (floats, bytes) in batches(&new(&config), 1, 0).iter().zip(batches(&new(&config).with_bytes().unwrap(), 1, 0)) {
        assert_eq!((floats.shape, &floats.sizes), (bytes.shape, &bytes.sizes));
        let Pixels::Bytes { values: found, normalize } = &bytes.pixels else { panic!("no bytes") };
        let (scale, offset) = normalize.scale_and_offset();
        let [_, _, height, width] = bytes.shape;
        for (at, value) in values(floats).iter().enumerate() {
            let (image, channel, y, x) = (at / (3 * height * width), at / (height * width) % 3, at / width % height, at % width);
            let byte = found[((image * height + y) * width + x) * 3 + channel];
            let inside = y < bytes.sizes[image][0] && x < bytes.sizes[image][1];
            let wanted = if inside { f32::from(byte) * scale[channel] + offset[channel] } else { 0.0 };
            assert_eq!(*value, wanted, "image {image}, channel {channel}, row {y}, column {x}");
        }
    }
    let fractions = ResizeConfig { style: ResizeStyle::Torchvision, ..ResizeConfig::longest(30) };
    let config = LoaderConfig { augment: AugmentConfig { resize: fractions, ..Default::default() }, ..plain(4, 0) };
    assert!(batches(&new(&config).with_bytes().unwrap(), 0, 0)[0].pixels.normalized().is_some());
}

#[test]
fn batches_are_padded_with_zeros_to_the_multiple() {
    let config =
        LoaderConfig { shuffle: false, group_by_aspect: false, normalize: Normalize::UNIT, pad_multiple: 16, ..plain(2, 0) };
    let loader = Loader::new(Arc::new(Gray::new(2)), config).unwrap();
    let batch = batches(&loader, 0, 0).remove(0);
    assert_eq!(batch.shape, [2, 3, 48, 48]);
    assert_eq!(batch.sizes, [[40, 20], [20, 40]]);
    for (n, [height, width]) in batch.sizes.iter().enumerate() {
        for (at, &value) in values(&batch)[n * 3 * 48 * 48..(n + 1) * 3 * 48 * 48].iter().enumerate() {
            let (y, x) = (at / 48 % 48, at % 48);
            let wanted = if y < *height && x < *width { n as f32 / 255.0 } else { 0.0 };
            assert!((value - wanted).abs() < 1e-7, "image {n} row {y} column {x}: {value}");
        }
    }
}

#[test]
fn groups_hold_one_shape_and_evaluation_keeps_the_order() {
    let loader = Loader::new(Arc::new(Gray::new(24)), plain(4, 2)).unwrap();
    assert_eq!(loader.batches_per_epoch(), 6);
    for batch in batches(&loader, 0, 0) {
        assert!(batch.sizes.iter().all(|s| *s == batch.sizes[0]), "{:?}", batch.sizes);
    }
    let config = LoaderConfig { augment: everything(), ..plain(5, 2) }.evaluation();
    let loader = Loader::new(Arc::new(Gray::new(13)), config).unwrap();
    assert_eq!(loader.batches_per_epoch(), 3);
    let ids: Vec<i64> = batches(&loader, 0, 0).iter().flat_map(|b| &b.targets).map(|t| t.image_id).collect();
    assert_eq!(ids, (0..13).collect::<Vec<_>>());
    assert_same(&batches(&loader, 0, 0), &batches(&loader, 7, 0));
}

#[test]
fn an_unreadable_image_is_an_error_in_its_place_or_is_left_out() {
    let broken = || Arc::new(Gray { broken: vec![5, 8, 9], ..Gray::new(12) });
    for workers in [0, 2] {
        let strict = Loader::new(broken(), plain(2, workers).evaluation()).unwrap();
        let found: Vec<_> = strict.epoch(0, 0).collect();
        let failed: Vec<usize> = (0..6).filter(|&i| found[i].is_err()).collect();
        assert_eq!(failed, [2, 4]);
        assert!(found[2].as_ref().unwrap_err().to_string().contains("5.jpg"));

        let config = LoaderConfig { on_unreadable_image: OnUnreadableImage::Skip, ..plain(2, workers).evaluation() };
        let lenient = Loader::new(broken(), config).unwrap();
        let found = batches(&lenient, 0, 0);
        let ids: Vec<i64> = found.iter().flat_map(|b| &b.targets).map(|t| t.image_id).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 6, 7, 10, 11]);
        assert_eq!(found.iter().map(|b| b.index).collect::<Vec<_>>(), [0, 1, 2, 3, 5]);
        let messages = lenient.unreadable();
        assert_eq!(messages.len(), 3);
        assert!(messages.iter().any(|m| m.contains("9.jpg")));
    }
}

#[test]
fn dropping_an_epoch_stops_its_threads() {
    let source = Arc::new(Gray { delay: Duration::from_millis(2), ..Gray::new(2000) });
    let loader = Loader::new(source.clone(), plain(4, 3)).unwrap();
    let start = Instant::now();
    let mut epoch = loader.epoch(0, 0);
    epoch.next().unwrap().unwrap();
    assert!(epoch.waited() > Duration::from_millis(2));
    drop(epoch);
    let reads = source.reads.load(Ordering::SeqCst);
    // Each of 3 workers has at most two batches in its queue, one in its hands, and those of the batch taken.
    assert!(reads <= 3 * 4 * 4, "{reads} reads");
    assert!(start.elapsed() < Duration::from_secs(2));
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(source.reads.load(Ordering::SeqCst), reads, "threads go on reading");
    assert_eq!(Arc::strong_count(&source), 2, "the loader's and ours");
}

#[test]
fn a_panic_in_a_source_is_an_error_not_a_hang() {
    struct Bomb;
    impl Source for Bomb {
        fn len(&self) -> usize {
            4
        }
        fn aspect(&self, _: usize) -> f64 {
            1.0
        }
        fn load(&self, _: usize) -> Result<Sample, DataError> {
            panic!("a test's panic")
        }
    }
    let loader = Loader::new(Arc::new(Bomb), plain(2, 1)).unwrap();
    let found: Vec<_> = loader.epoch(0, 0).collect();
    assert!(matches!(found[0], Err(DataError::WorkerLost { worker: 0, batch: 0 })));
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let refused = |config: LoaderConfig| match Loader::new(Arc::new(Gray::new(3)), config) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("accepted"),
    };
    assert!(refused(plain(0, 0)).starts_with("batch_size: found 0, expected a whole number from 1 to 4096"));
    assert!(refused(plain(4, 0)).contains("no batch of 4 can be made of 3 images"));
    assert!(refused(LoaderConfig { pad_multiple: 0, ..plain(1, 0) }).starts_with("pad_multiple"));
    let flat = Normalize { std: [1.0, 0.0, 1.0], ..Normalize::default() };
    assert!(refused(LoaderConfig { normalize: flat, ..plain(1, 0) }).starts_with("normalize.std"));
    assert!(refused(LoaderConfig { augment: AugmentConfig { hflip: 2.0, ..AugmentConfig::default() }, ..plain(1, 0) })
        .starts_with("augment.hflip"));
}

#[test]
fn real_files_come_through_with_boxes_and_masks() {
    for (set, masks) in [("bccd", false), ("nuclei", true), ("coco_orig_ccby", true)] {
        let Some(root) = common::shared(set) else { continue };
        let dataset = Dataset::load(&root.join("annotations/instances_val.json"), &DatasetOptions::default()).unwrap();
        let objects: usize = (0..dataset.len()).map(|i| dataset.training_objects(i).count()).sum();
        let images = dataset.len();
        let source = CocoSource::new(Arc::new(dataset), root.join("val"), DecodeConfig::default(), masks);
        let config = LoaderConfig {
            augment: AugmentConfig { resize: ResizeConfig::longest(160), ..AugmentConfig::default() },
            ..plain(8, 2)
        };
        let loader = Loader::new(Arc::new(source), config.evaluation()).unwrap();
        let (mut seen, mut found) = (0, 0);
        for batch in batches(&loader, 0, 0) {
            assert_eq!(batch.shape[2] % 32, 0);
            assert!(values(&batch).iter().all(|v| v.is_finite()));
            for (target, [height, width]) in batch.targets.iter().zip(&batch.sizes) {
                seen += 1;
                found += target.boxes.len();
                assert_eq!(target.masks.as_ref().map(Vec::len), masks.then_some(target.boxes.len()));
                assert!(target.boxes.iter().all(|b| b[2] <= *width as f32 + 1e-3 && b[3] <= *height as f32 + 1e-3));
            }
        }
        assert_eq!((seen, found), (images, objects), "{set}");
    }
}
