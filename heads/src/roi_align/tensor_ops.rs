//! RoIAlign as one tensor operation, for devices that the kernel does not run on.
//!
//! Each output bin is a weighted sum of a few pixels, which is what `embedding_bag` computes: the table is the maps of all levels
//! in `[pixel, channel]` order, a bag is a bin, and `per_sample_weights` are the bilinear weights. libtorch has forward and
//! backward of it on every device, and the taps are those of the kernel, so both agree to rounding.

use tch::{Kind, Tensor};

use super::kernel::Group;
use crate::host::upload;

/// `embedding_bag`'s code for a sum.
const SUM: i64 = 0;

/// Pools every region of `groups`: `[rois, C, bins, bins]`, zeros where a region has no group.
pub(crate) fn forward(maps: &[&Tensor], groups: &[Group], rois: usize, bins: usize) -> Tensor {
    let device = maps[0].device();
    let channels = maps[0].size()[1];
    let mut base = Vec::with_capacity(maps.len());
    let mut total = 0;
    for map in maps {
        base.push(total);
        let s = map.size();
        total += s[0] * s[2] * s[3];
    }
    let mut by_roi: Vec<Option<(&Group, usize)>> = vec![None; rois];
    for group in groups {
        for (i, (position, _)) in group.rois.iter().enumerate() {
            by_roi[*position] = Some((group, i));
        }
    }
    let (mut index, mut weight, mut offsets) = (Vec::<i64>::new(), Vec::<f32>::new(), Vec::<i64>::new());
    for entry in by_roi {
        let Some((group, i)) = entry else {
            offsets.extend(std::iter::repeat_n(index.len() as i64, bins * bins));
            continue;
        };
        let taps = &group.rois[i].1;
        let size = maps[group.level].size();
        let origin = base[group.level] + group.image as i64 * size[2] * size[3];
        for ph in 0..bins as u32 {
            for pw in 0..bins {
                offsets.push(index.len() as i64);
                let (xs, wx) = taps.x.bin(pw);
                for (y, _, wy) in taps.rows.iter().filter(|r| r.1 == ph) {
                    index.extend(xs.iter().map(|x| origin + i64::from(*y) * size[3] + i64::from(*x)));
                    weight.extend(wx.iter().map(|w| w * wy));
                }
            }
        }
    }
    // Sums of half-precision values are taken in single precision.
    let pixels = |m: &&Tensor| m.permute([0, 2, 3, 1]).reshape([-1, channels]).to_kind(Kind::Float);
    let table = Tensor::cat(&maps.iter().map(pixels).collect::<Vec<_>>(), 0);
    let weight = upload(&Tensor::from_slice(&weight), device);
    let (index, offsets) = (upload(&Tensor::from_slice(&index), device), upload(&Tensor::from_slice(&offsets), device));
    let (bags, ..) = Tensor::embedding_bag(&table, &index, &offsets, false, SUM, false, Some(weight), false);
    let side = bins as i64;
    bags.view([rois as i64, side, side, channels]).permute([0, 3, 1, 2]).contiguous().to_kind(maps[0].kind())
}
