//! Run-length encoded masks, as COCO writes them.
//!
//! A mask of height h and width w is read column by column; the runs alternate between background and object and begin with
//! background (possibly zero pixels of it). In files the runs are a list of numbers or a string that packs them
//! (`rleToString` of COCO's maskApi.c); in memory they are always numbers. The codec is hotcoco's.

use hotcoco::mask;
use serde::{Deserialize, Serialize};

/// A binary mask as runs down the columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "PackedRle", try_from = "PackedRle")]
pub struct Rle {
    /// Height and width.
    pub size: [u32; 2],
    /// Lengths of the runs: background, object, background, …; they sum to height times width.
    pub counts: Vec<u32>,
}

/// How detections files spell a mask.
#[derive(Serialize, Deserialize)]
struct PackedRle {
    size: [u32; 2],
    counts: String,
}

impl From<Rle> for PackedRle {
    fn from(rle: Rle) -> Self {
        PackedRle { size: rle.size, counts: rle.to_packed() }
    }
}

impl TryFrom<PackedRle> for Rle {
    type Error = String;
    fn try_from(packed: PackedRle) -> Result<Self, String> {
        Rle::from_packed(packed.size, &packed.counts)
    }
}

impl Rle {
    /// A mask without a pixel set.
    pub fn empty(height: u32, width: u32) -> Self {
        Rle { size: [height, width], counts: vec![height * width] }
    }

    /// Decodes the string form.
    ///
    /// # Errors
    /// A character outside the code, a negative run, runs that do not sum to height times width.
    pub fn from_packed(size: [u32; 2], packed: &str) -> Result<Self, String> {
        // The code uses the 64 characters from '0' to 'o'; the codec below would fold others onto them.
        if let Some(odd) = packed.chars().find(|c| !('0'..='o').contains(c)) {
            return Err(format!("its string holds {odd:?}, which no mask code uses"));
        }
        let rle = mask::rle_from_string(packed, size[0], size[1]).map_err(|error| error.to_string())?;
        Self::from_counts(size, rle.counts)
    }

    /// Takes a list of runs.
    ///
    /// # Errors
    /// Where the runs do not sum to height times width.
    pub fn from_counts(size: [u32; 2], counts: Vec<u32>) -> Result<Self, String> {
        let sum: u64 = counts.iter().map(|&run| u64::from(run)).sum();
        let pixels = u64::from(size[0]) * u64::from(size[1]);
        if sum != pixels {
            return Err(format!("its runs sum to {sum}, but {} x {} is {pixels}", size[0], size[1]));
        }
        Ok(Rle { size, counts })
    }

    /// The string form.
    pub fn to_packed(&self) -> String {
        mask::rle_to_string(&self.to_hotcoco())
    }

    /// Number of object pixels.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&run| u64::from(run)).sum()
    }

    /// The tight box x, y, width, height; zeros where the mask is empty.
    pub fn bbox(&self) -> [f64; 4] {
        mask::to_bbox(&self.to_hotcoco())
    }

    pub(crate) fn to_hotcoco(&self) -> hotcoco::types::Rle {
        hotcoco::types::Rle { h: self.size[0], w: self.size[1], counts: self.counts.clone() }
    }
}

impl From<hotcoco::types::Rle> for Rle {
    fn from(rle: hotcoco::types::Rle) -> Self {
        Rle { size: [rle.h, rle.w], counts: rle.counts }
    }
}

#[cfg(test)]
mod tests {
    use super::Rle;

    #[test]
    fn packs_as_pycocotools_does() {
        // From the pycocotools masks of the edge cases: 20 x 10 pixels at the top left of 120 x 160.
        let packed = "0:^30000000000000000000000000000000000000P]`0";
        let rle = Rle::from_packed([120, 160], packed).unwrap();
        assert_eq!((rle.area(), rle.bbox()), (200, [0.0, 0.0, 20.0, 10.0]));
        assert_eq!(rle.to_packed(), packed);
    }

    #[test]
    fn refuses_garbage() {
        assert!(Rle::from_packed([120, 160], "\u{7f}~~zz!!").unwrap_err().contains("no mask code"));
        assert!(Rle::from_packed([120, 160], "555").unwrap_err().contains("sum to"));
        assert!(Rle::from_packed([120, 160], "5M").unwrap_err().contains("negative"));
        assert!(Rle::from_counts([2, 2], vec![1, 2]).unwrap_err().contains("sum to 3"));
    }
}
