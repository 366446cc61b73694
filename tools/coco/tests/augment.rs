//! Boxes and masks stay on their pixels, whatever is done to an image: a marker is painted, and looked for afterwards.

use image::{Rgb, RgbImage};
use rand::Rng;
use repghost_coco::augment::{
    sample_rng, AugmentConfig, IouCropConfig, PhotometricConfig, ResizeConfig, ScaleJitterConfig, ZoomOutConfig,
};
use repghost_coco::{InstanceMask, MaskShape, Sample, Segmentation};
use repghost_config::Check;

const MARKER: [u8; 3] = [255, 0, 0];

/// A gray image with one red rectangle at a drawn place, its box, and its outline as a mask.
fn marked(rng: &mut impl Rng) -> Sample {
    let (width, height) = (rng.random_range(60..200_u32), rng.random_range(60..200_u32));
    let (w, h) = (rng.random_range(16..width / 2), rng.random_range(16..height / 2));
    let (x, y) = (rng.random_range(0..width - w), rng.random_range(0..height - h));
    let inside = |px: u32, py: u32| (x..x + w).contains(&px) && (y..y + h).contains(&py);
    let image = RgbImage::from_fn(width, height, |px, py| Rgb(if inside(px, py) { MARKER } else { [90, 90, 90] }));
    let mask = InstanceMask { origin: [x as i32, y as i32], size: [h as usize, w as usize], bits: vec![1; (w * h) as usize] };
    let outline = MaskShape::owned(Segmentation::Rle(mask.to_rle(height, width))).unwrap();
    let mut sample = Sample { image, shapes: Some(vec![outline]), ..Sample::default() };
    sample.target.boxes = vec![[x as f32, y as f32, (x + w) as f32, (y + h) as f32]];
    sample.target.labels = vec![3];
    sample
}

fn is_marker(pixel: &Rgb<u8>) -> bool {
    pixel[0] > 172 && pixel[1] < 46
}

/// The box around the marker's pixels.
fn found(image: &RgbImage) -> Option<[f32; 4]> {
    let marked = image.enumerate_pixels().filter(|(_, _, p)| is_marker(p));
    marked.fold(None, |found, (x, y, _)| {
        let (x, y) = (x as f32, y as f32);
        let [a, b, c, d] = found.unwrap_or([x, y, x, y]);
        Some([a.min(x), b.min(y), c.max(x + 1.0), d.max(y + 1.0)])
    })
}

fn check(config: &AugmentConfig, name: &str) -> usize {
    config.check("augment").unwrap();
    let mut kept = 0;
    for index in 0..150 {
        let mut rng = sample_rng(5, 0, index);
        let out = config.apply(marked(&mut rng), &mut rng);
        let (width, height) = out.image.dimensions();
        let masks = out.target.masks.as_ref().unwrap();
        assert_eq!((out.target.boxes.len(), masks.len()), (out.target.labels.len(), out.target.boxes.len()));
        let (Some(b), Some(mask)) = (out.target.boxes.first(), masks.first()) else { continue };
        assert!(b[0] >= 0.0 && b[1] >= 0.0 && b[2] <= width as f32 && b[3] <= height as f32, "{name} {index}: {b:?}");
        if b[2] - b[0] < 6.0 || b[3] - b[1] < 6.0 {
            continue; // blurred away when shrunk
        }
        kept += 1;
        let marker = found(&out.image).unwrap_or_else(|| panic!("{name} {index}: no marker, box {b:?}"));
        for (edge, (wanted, seen)) in b.iter().zip(marker).enumerate() {
            // An antialiased edge may be drawn over the pixel on either side.
            assert!((wanted - seen).abs() <= 1.5, "{name} {index} edge {edge}: box {b:?}, marker {marker:?}");
        }
        let red = out.image.pixels().filter(|p| is_marker(p)).count() as f64;
        let overlap = out.image.enumerate_pixels().filter(|(x, y, p)| is_marker(p) && covers(mask, *x, *y)).count() as f64;
        let iou = overlap / (red + mask.area() as f64 - overlap);
        assert!(iou > 0.7, "{name} {index}: mask covers {overlap} of {red} red pixels, IoU {iou}");
    }
    kept
}

fn covers(mask: &InstanceMask, x: u32, y: u32) -> bool {
    let (column, row) = (i64::from(x) - i64::from(mask.origin[0]), i64::from(y) - i64::from(mask.origin[1]));
    let inside = (0..mask.size[1] as i64).contains(&column) && (0..mask.size[0] as i64).contains(&row);
    inside && mask.bits[row as usize * mask.size[1] + column as usize] == 1
}

fn only_resize(resize: ResizeConfig) -> AugmentConfig {
    AugmentConfig { resize, hflip: 0.0, ..AugmentConfig::default() }
}

#[test]
fn objects_stay_on_their_pixels() {
    let small = ResizeConfig::longest(128);
    let several = ResizeConfig { size: None, min_sizes: vec![64, 96, 128], max_size: 160, ..ResizeConfig::default() };
    let cases = [
        ("resize", only_resize(small.clone())),
        ("several sizes", only_resize(several)),
        ("flip", AugmentConfig { hflip: 1.0, ..only_resize(small.clone()) }),
        (
            "jitter",
            AugmentConfig {
                scale_jitter: Some(ScaleJitterConfig { size: 100, range: [0.5, 2.0] }),
                ..only_resize(small.clone())
            },
        ),
        ("crop", AugmentConfig { iou_crop: Some(IouCropConfig::default()), ..only_resize(small.clone()) }),
        (
            "zoom",
            AugmentConfig {
                zoom_out: Some(ZoomOutConfig { p: 1.0, ..ZoomOutConfig::default() }),
                ..only_resize(ResizeConfig::longest(400))
            },
        ),
        (
            "all",
            AugmentConfig {
                zoom_out: Some(ZoomOutConfig::default()),
                iou_crop: Some(IouCropConfig::default()),
                hflip: 0.5,
                ..only_resize(ResizeConfig::longest(200))
            },
        ),
    ];
    for (name, config) in cases {
        let kept = check(&config, name);
        assert!(kept > 90, "{name}: only {kept} of 150 markers could be checked");
    }
}

#[test]
fn what_a_crop_leaves_nothing_of_is_dropped_with_label_and_mask() {
    let config =
        AugmentConfig { scale_jitter: Some(ScaleJitterConfig { size: 30, range: [4.0, 4.0] }), ..AugmentConfig::default() };
    let mut dropped = 0;
    for index in 0..60 {
        let mut rng = sample_rng(1, 0, index);
        let out = config.apply(marked(&mut rng), &mut rng);
        let masks = out.target.masks.unwrap();
        assert_eq!(masks.len(), out.target.boxes.len());
        assert_eq!(out.target.labels.len(), out.target.boxes.len());
        assert!(masks.iter().all(|m| m.area() > 0));
        assert!(out.target.boxes.iter().all(|b| b[2] - b[0] >= 1.0 && b[3] - b[1] >= 1.0));
        assert!(out.image.width().max(out.image.height()) <= 30);
        dropped += usize::from(masks.is_empty());
    }
    assert!(dropped > 5, "{dropped}");
}

#[test]
fn an_iou_crop_keeps_an_object_that_overlaps_enough() {
    let config = IouCropConfig { min_ious: vec![0.3, 0.5], ..IouCropConfig::default() };
    let mut cropped = 0;
    for index in 0..200 {
        let mut rng = sample_rng(2, 1, index);
        let sample = marked(&mut rng);
        let [x1, y1, x2, y2] = sample.target.boxes[0];
        let Some(crop) = config.draw(sample.size(), &sample.target.boxes, &mut rng) else { continue };
        cropped += 1;
        let w = crop.window;
        let [left, top, right, bottom] = [w.x, w.y, w.x + w.width, w.y + w.height].map(|v| v as f32);
        let common = (x2.min(right) - x1.max(left)).max(0.0) * (y2.min(bottom) - y1.max(top)).max(0.0);
        let iou = common / ((x2 - x1) * (y2 - y1) + (right - left) * (bottom - top) - common);
        assert!(iou >= 0.3 - 1e-5, "{iou}");
        let aspect = (right - left) / (bottom - top);
        assert!((0.5..=2.0).contains(&aspect) && crop.keep == [true]);
    }
    assert!(cropped > 20, "{cropped}");
    // Without objects, or with the option that asks for the whole image, nothing is cut.
    let mut rng = sample_rng(0, 0, 0);
    assert_eq!(config.draw([50, 50], &[], &mut rng), None);
    let whole = IouCropConfig { min_ious: vec![1.0], ..config };
    assert_eq!(whole.draw([50, 50], &[[0.0, 0.0, 40.0, 40.0]], &mut rng), None);
}

#[test]
fn chances_are_as_configured_and_streams_are_independent() {
    let config = AugmentConfig { hflip: 0.5, ..only_resize(ResizeConfig::longest(64)) };
    let one = marked(&mut sample_rng(0, 0, 0));
    let flipped = |seed, epoch, index| {
        let out = config.apply(one.clone(), &mut sample_rng(seed, epoch, index));
        let same = only_resize(ResizeConfig::longest(64)).apply(one.clone(), &mut sample_rng(0, 0, 0));
        out.image != same.image
    };
    let series = |seed, epoch| (0..400).map(|i| flipped(seed, epoch, i)).collect::<Vec<_>>();
    let first = series(0, 0);
    let count = first.iter().filter(|f| **f).count();
    assert!((160..240).contains(&count), "{count} of 400"); // five standard deviations
    assert_eq!(first, series(0, 0));
    assert_ne!(first, series(0, 1));
    assert_ne!(first, series(1, 0));
}

#[test]
fn photometric_distortion_draws_from_its_ranges() {
    let config = PhotometricConfig::default();
    let drawn: Vec<_> = (0..1000).map(|i| config.draw(&mut sample_rng(0, 0, i))).collect();
    let share = |count: usize| count as f64 / 1000.0;
    let contrast: Vec<f32> = drawn.iter().filter_map(|d| d.contrast).collect();
    assert!((0.4..0.6).contains(&share(contrast.len())));
    assert!(contrast.iter().all(|c| (0.5..=1.5).contains(c)));
    assert!(contrast.iter().any(|c| *c < 0.6) && contrast.iter().any(|c| *c > 1.4));
    assert!(drawn.iter().filter_map(|d| d.hue).all(|h| (-0.05..=0.05).contains(&h)));
    assert!((0.4..0.6).contains(&share(drawn.iter().filter(|d| d.permutation.is_some()).count())));
    let never = PhotometricConfig { p: 0.0, ..config };
    let mut image = marked(&mut sample_rng(0, 0, 0)).image;
    let before = image.clone();
    never.draw(&mut sample_rng(0, 0, 1)).apply(&mut image);
    assert_eq!(image, before);
}

#[test]
fn values_out_of_range_are_named_by_their_key() {
    let default = AugmentConfig::default;
    let resize = |size, min_sizes, max_size| ResizeConfig { size, min_sizes, max_size, ..ResizeConfig::default() };
    let cases = [
        ("data.augment.hflip", AugmentConfig { hflip: 1.5, ..default() }),
        ("data.augment.hflip", AugmentConfig { hflip: f64::NAN, ..default() }),
        ("data.augment.resize.min_sizes", AugmentConfig { resize: resize(None, vec![], 10), ..default() }),
        ("data.augment.resize.min_sizes.0", AugmentConfig { resize: resize(None, vec![0], 10), ..default() }),
        ("data.augment.resize.size", AugmentConfig { resize: resize(Some(0), vec![1], 10), ..default() }),
        (
            "data.augment.scale_jitter.range",
            AugmentConfig { scale_jitter: Some(ScaleJitterConfig { range: [2.0, 1.0], ..Default::default() }), ..default() },
        ),
        (
            "data.augment.iou_crop.trials",
            AugmentConfig { iou_crop: Some(IouCropConfig { trials: 0, ..Default::default() }), ..default() },
        ),
        (
            "data.augment.zoom_out.max_ratio",
            AugmentConfig { zoom_out: Some(ZoomOutConfig { max_ratio: 0.5, ..Default::default() }), ..default() },
        ),
        (
            "data.augment.photometric.hue.0",
            AugmentConfig { photometric: Some(PhotometricConfig { hue: [-0.7, 0.0], ..Default::default() }), ..default() },
        ),
    ];
    for (key, config) in cases {
        let problems = config.check("data.augment").unwrap_err().0;
        assert_eq!(problems.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), [key]);
    }
    default().check("x").unwrap();
}
