//! From a float file to an int8 one: ranges from images, and times of both.

use repghost_coco::{RgbImage, Source};

use crate::error::ExportError;
use crate::letterbox::Letterbox;
use crate::onnx::proto;
use crate::onnx::quantize::{edges, observed, quantize, Ranges};
use crate::runtime::session::{Input, Runs};
use crate::runtime::{Data, Settings, REFERENCE};
use crate::spec::encode;

/// Parts of the names of layers that stay floats, with all that follows: the last ones of heads and classifiers.
pub const KEPT: [&str; 7] = ["cls_logits", "bbox_reg", "bbox_pred", "cls_score", "mask_fcn_logits", "classifier", "fc/"];
/// Runs that are timed for the comparison of speeds.
const TIMED: usize = 20;

/// A file with ranges from images.
#[derive(Debug)]
pub struct Calibrated {
    /// The quantized file.
    pub model: proto::Model,
    /// Images that the ranges come from.
    pub images: usize,
    /// Images of a single colour among them, such as black ones: they show no range.
    pub plain: usize,
}

/// Quantizes a float file of one image, after looking at `count` images of a source.
///
/// # Errors
/// Images that cannot be read; files that the runtime refuses.
pub fn calibrated(model: &proto::Model, source: &dyn Source, count: usize, size: [i64; 2]) -> Result<Calibrated, ExportError> {
    let wanted = edges(model, &KEPT);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut session = REFERENCE.open(&encode(&observed(model, &wanted)), Settings::threads(threads))?;
    let mut ranges = Ranges::default();
    let letterbox = Letterbox { size: size.map(|s| s as usize) };
    let input_name = model.graph.as_ref().and_then(|g| g.input.first()?.name.clone()).unwrap_or_default();
    let images = count.min(source.len());
    let mut plain = 0;
    for i in 0..images {
        let image = source.load(i)?.image;
        plain += usize::from(is_plain(&image));
        let mut pixels = vec![0.0; 3 * (size[0] * size[1]) as usize];
        letterbox.write(&image, &mut pixels);
        ranges.widen(&input_name, &pixels);
        let input = Input { shape: &[1, 3, size[0], size[1]], values: &pixels };
        session.run(&[input], &mut |name, _, data| {
            if let Data::Float(values) = data {
                ranges.widen(name, values);
            }
        })?;
    }
    Ok(Calibrated { model: quantize(model, &ranges, &KEPT), images, plain })
}

/// Whether all pixels are alike.
fn is_plain(image: &RgbImage) -> bool {
    let mut pixels = image.pixels();
    pixels.next().is_none_or(|first| pixels.all(|p| p == first))
}

/// Median milliseconds of a run of each file on one thread, both in turn.
///
/// # Errors
/// onnxruntime's own.
pub fn speeds(files: [&proto::Model; 2], shape: [i64; 4], pixels: &[f32]) -> Result<[f64; 2], ExportError> {
    let load = |m: &proto::Model| REFERENCE.open(&encode(m), Settings::threads(1));
    let mut sessions = [load(files[0])?, load(files[1])?];
    let mut times = [vec![], vec![]];
    let input = Input { shape: &shape, values: pixels };
    for _ in 0..TIMED {
        for (session, times) in sessions.iter_mut().zip(&mut times) {
            times.extend(session.time(&[input], Runs { warm_up: 0, timed: 1 })?);
        }
    }
    Ok(times.map(|t| crate::bench::stats::Stats::of(&t).map_or(f64::NAN, |s| s.median_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_a_single_colour_are_plain() {
        let mut image = RgbImage::new(3, 2);
        assert!(is_plain(&image) && is_plain(&RgbImage::new(0, 0)));
        image.get_pixel_mut(2, 1).0[1] = 1;
        assert!(!is_plain(&image));
    }
}
