//! Means over the images alone, where they are padded to one size.
//!
//! Squeeze-and-excitation and group norm average over maps. In a batch of images of several sizes, or in a letterbox, they would average over
//! padding too, and what is found in an image would depend on the others. Within [`over_images`] the reader [`Eager`](crate::eager::Eager) leaves
//! the padding out, beyond the next multiple of 32 (an image alone is padded to that), and in inference nothing is found in it. Maps beside the
//! padding still see it through their convolutions.

use std::cell::RefCell;
use std::collections::HashMap;

use tch::Tensor;

/// Padding counts from the next multiple of this on.
pub const BLOCK: i64 = 32;

/// What is added to logits of positions beyond the images: a probability below 1e-11 whatever the network makes of the padding.
pub const BEYOND: f64 = -30.0;

/// Images in a batch.
struct Region {
    /// Height and width of the padded input.
    input: [i64; 2],
    /// Height and width of each image, up to the next multiple of 32.
    sizes: Vec<[i64; 2]>,
    /// Weights `[N, h * w, 1]` of the positions of maps `[h, w]`.
    weights: HashMap<[i64; 2], Tensor>,
}

thread_local! {
    static REGION: RefCell<Option<Region>> = const { RefCell::new(None) };
}

/// Puts back what was there, however the work ends.
struct Restore(Option<Region>);

impl Drop for Restore {
    fn drop(&mut self) {
        let before = self.0.take();
        REGION.with(|region| *region.borrow_mut() = before);
    }
}

/// Runs `work`, in which this thread's maps of a batch are averaged over its images: `input` is the height and width of the padded batch,
/// `sizes` are those of the images within it, at its top left.
pub fn over_images<R>(input: [i64; 2], sizes: &[[i64; 2]], work: impl FnOnce() -> R) -> R {
    let up = |side: i64, limit: i64| ((side.max(1) + BLOCK - 1) / BLOCK * BLOCK).min(limit);
    let sizes: Vec<[i64; 2]> = sizes.iter().map(|[h, w]| [up(*h, input[0]), up(*w, input[1])]).collect();
    let partial = sizes.iter().any(|size| *size != input);
    let region = partial.then(|| Region { input, sizes, weights: HashMap::new() });
    let _restore = Restore(REGION.with(|held| held.replace(region)));
    work()
}

/// Pixels of the input's side for a step on the map's side. Levels beyond stride 32 are halved rounding up.
pub fn map_stride(input: i64, map: i64) -> i64 {
    let map = map.max(1);
    let step = (input + map - 1) / map;
    match input % map {
        0 if step <= BLOCK => step,
        _ => step.unsigned_abs().next_power_of_two() as i64,
    }
}

impl Region {
    /// Equal weights on the positions of a map that each image takes, 0 elsewhere; they add up to 1.
    fn weights(&self, map: [i64; 2]) -> Tensor {
        let mut all = Vec::with_capacity(self.sizes.len() * (map[0] * map[1]) as usize);
        for size in &self.sizes {
            let [rows, columns] =
                [0, 1].map(|axis| (0..map[axis]).filter(|i| i * map_stride(self.input[axis], map[axis]) < size[axis]).count());
            let weight = 1.0 / (rows * columns).max(1) as f32;
            let within = |row: usize, column: usize| if row < rows && column < columns { weight } else { 0.0 };
            all.extend((0..map[0] as usize).flat_map(|row| (0..map[1] as usize).map(move |column| within(row, column))));
        }
        Tensor::from_slice(&all).view([self.sizes.len() as i64, map[0] * map[1], 1])
    }
}

/// Weights `[N, h * w, 1]` for a map `x [N, C, h, w]`. `None` where the whole map counts, and for maps that are not the images' (pooled regions).
fn weights(x: &Tensor) -> Option<Tensor> {
    let size = x.size();
    let [n, _, h, w] = size[..] else { return None };
    REGION.with(|held| {
        let mut held = held.borrow_mut();
        let region = held.as_mut().filter(|region| region.sizes.len() as i64 == n)?;
        if !region.weights.contains_key(&[h, w]) {
            let weights = region.weights([h, w]);
            region.weights.insert([h, w], weights);
        }
        Some(region.weights.get(&[h, w])?.to_device(x.device()).to_kind(x.kind()))
    })
}

/// Means over the images of `x [N, C, h, w]`: `[N, C, 1]`.
pub(crate) fn mean(x: &Tensor) -> Option<Tensor> {
    Some(x.flatten(2, -1).matmul(&weights(x)?))
}

/// 0 on the positions of a map `x [N, C, h, w]` that its images take, [`BEYOND`] elsewhere: `[N, 1, h, w]`.
pub(crate) fn beyond(x: &Tensor) -> Option<Tensor> {
    let size = x.size();
    let outside = weights(x)?.sign().view([size[0], 1, size[2], size[3]]) - 1.0;
    Some(outside * -BEYOND)
}

/// Group norm of `x [N, C, h, w]` without weight and bias, by means and variances over the images.
pub(crate) fn group_norm(x: &Tensor, groups: i64, eps: f64) -> Option<Tensor> {
    let size = x.size();
    let (n, c) = (size[0], size[1]);
    // Of each group, for each of its channels: [N, C, 1, 1].
    let of_groups = |x: &Tensor| {
        let means = mean(x)?.view([n, groups, c / groups]).mean_dim(&[2i64][..], true, None::<tch::Kind>);
        Some(means.expand([n, groups, c / groups], false).reshape([n, c, 1, 1]))
    };
    let centred = x - of_groups(x)?;
    let variance = of_groups(&centred.square())?;
    Some(centred * (variance + eps).rsqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eager::Eager;
    use crate::layers::GroupNorm;
    use crate::ops::Ops;
    use crate::synthetic::input;

    #[test]
    fn strides_of_levels() {
        assert_eq!([320, 40, 20, 10].map(|map| map_stride(320, map)), [1, 8, 16, 32]);
        // P6 and P7 of 10 rows at stride 32.
        assert_eq!([5, 3, 2].map(|map| map_stride(320, map)), [64, 128, 256]);
        assert_eq!([(96, 2), (96, 1), (32, 1), (96, 32)].map(|(side, map)| map_stride(side, map)), [64, 128, 32, 3]);
    }

    fn largest(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    /// At each stride a mean over an image in a batch is the mean over the image alone, and a gradient reaches the image only.
    #[test]
    fn padding_is_left_out() {
        let (batch, sizes) = ([96, 128], [[96, 64], [40, 120], [96, 128]]);
        let norm = GroupNorm::new(2, 4);
        for stride in [4, 8, 16, 32, 64] {
            let map = batch.map(|side| (side + stride - 1) / stride);
            let x = input("map", &[3, 4, map[0], map[1]]).set_requires_grad(true);
            let (means, normed) =
                over_images(batch, &sizes, || (Eager::train().mean_hw(&x), Eager::train().group_norm(&x, &norm)));
            for (i, [h, w]) in sizes.into_iter().enumerate() {
                let [h, w] = [h, w].map(|side| ((side + 31) / 32 * 32 + stride - 1) / stride);
                let alone = x.narrow(0, i as i64, 1).narrow(2, 0, h).narrow(3, 0, w);
                let expected = Eager::train().mean_hw(&alone);
                assert!(largest(&means.narrow(0, i as i64, 1), &expected) < 1e-6, "mean, stride {stride}, image {i}");
                let of_image = normed.narrow(0, i as i64, 1).narrow(2, 0, h).narrow(3, 0, w);
                let expected = Eager::train().group_norm(&alone, &norm);
                assert!(largest(&of_image, &expected) < 1e-5, "group norm, stride {stride}, image {i}");
            }
            means.sum(tch::Kind::Float).backward();
            let outside = x.grad().narrow(0, 0, 1).narrow(3, (64 + stride - 1) / stride, map[1] - (64 + stride - 1) / stride);
            assert_eq!(outside.abs().max().double_value(&[]), 0.0);
        }
    }

    #[test]
    fn nothing_is_found_in_the_padding() {
        let x = input("map", &[1, 6, 4, 4]);
        let within = |mut ops: Eager| over_images([128, 128], &[[128, 40]], || ops.flatten_logits(&x, 2));
        let lowered = (within(Eager::eval()) - Eager::eval().flatten_logits(&x, 2)).view([4, 4, 6]);
        assert_eq!(lowered.narrow(1, 0, 2).abs().max().double_value(&[]), 0.0, "64 of 128 columns are the image's");
        assert!((lowered.narrow(1, 2, 2) - BEYOND).abs().max().double_value(&[]) < 1e-5);
        assert_eq!(largest(&within(Eager::train()), &Eager::train().flatten_logits(&x, 2)), 0.0, "background in training");
    }

    #[test]
    fn whole_images_and_pooled_regions_take_the_usual_way() {
        let x = input("map", &[2, 4, 8, 8]);
        let usual = Eager::eval().mean_hw(&x);
        let within = |sizes: &[[i64; 2]]| over_images([32, 64], sizes, || Eager::eval().mean_hw(&x));
        assert_eq!(
            largest(&within(&[[20, 40], [32, 64]]), &usual),
            0.0,
            "both take the whole input, up to the next multiple of 32"
        );
        assert_eq!(largest(&within(&[[32, 32]; 5]), &usual), 0.0, "two maps are not those of five images");
        assert!(largest(&within(&[[32, 32]; 2]), &usual) > 1e-3);
        assert_eq!(largest(&Eager::eval().mean_hw(&x), &usual), 0.0, "afterwards all is as before");
    }
}
