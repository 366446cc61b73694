//! What is in a data set: counts, sizes, shapes, by class.

use serde::Serialize;

use crate::annotations::Dataset;

/// COCO's border between small and medium objects, in pixels of area.
pub const SMALL_AREA: f64 = 32.0 * 32.0;
/// COCO's border between medium and large objects, in pixels of area.
pub const LARGE_AREA: f64 = 96.0 * 96.0;

/// Smallest, middle and largest of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// A tenth lies below.
    pub p10: f64,
    /// The middle one.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// A tenth lies above.
    pub p90: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// `None` for no values.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get((share * (values.len() - 1) as f64).round() as usize).copied();
        let (min, max) = (*values.first()?, *values.last()?);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Spread { min, p10: at(0.1)?, median: at(0.5)?, mean, p90: at(0.9)?, max })
    }
}

/// Objects by COCO's sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Area below 32 x 32.
    pub small: usize,
    /// In between.
    pub medium: usize,
    /// Area above 96 x 96.
    pub large: usize,
}

impl Sizes {
    fn add(&mut self, area: f64) {
        // As pycocotools draws the borders, except that an object is counted once.
        if area < SMALL_AREA {
            self.small += 1;
        } else if area < LARGE_AREA {
            self.medium += 1;
        } else {
            self.large += 1;
        }
    }
}

/// The objects of one class, crowds left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassStats {
    /// The class's id in the file.
    pub category_id: i64,
    /// Its name.
    pub name: String,
    /// Objects.
    pub objects: usize,
    /// Images with at least one of them.
    pub images: usize,
    /// Crowd regions.
    pub crowds: usize,
    /// By size.
    pub sizes: Sizes,
}

/// What is in a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Images.
    pub images: usize,
    /// Images without an object.
    pub empty_images: usize,
    /// Objects, crowds left out.
    pub objects: usize,
    /// Crowd regions.
    pub crowds: usize,
    /// Objects with an outline.
    pub with_mask: usize,
    /// Boxes without area inside their image, which training skips.
    pub without_area: usize,
    /// By size.
    pub sizes: Sizes,
    /// Objects an image.
    pub objects_per_image: Option<Spread>,
    /// Width over height of the boxes.
    pub aspect_ratio: Option<Spread>,
    /// Square root of the boxes' areas, in pixels: what anchors must match.
    pub box_size: Option<Spread>,
    /// Widths of the images.
    pub image_width: Option<Spread>,
    /// Heights of the images.
    pub image_height: Option<Spread>,
    /// By class, in order of the labels.
    pub classes: Vec<ClassStats>,
}

/// Counts.
pub fn stats(dataset: &Dataset) -> Stats {
    let class = |class: &crate::annotations::Class| ClassStats {
        category_id: class.category_id,
        name: class.name.clone(),
        objects: 0,
        images: 0,
        crowds: 0,
        sizes: Sizes::default(),
    };
    let mut classes: Vec<ClassStats> = dataset.classes.iter().map(class).collect();
    let place: std::collections::HashMap<i64, usize> =
        classes.iter().enumerate().map(|(place, class)| (class.category_id, place)).collect();
    let mut last_image = vec![usize::MAX; classes.len()];
    let (mut sizes, mut with_mask, mut empty) = (Sizes::default(), 0, 0);
    let (mut counts, mut ratios, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..dataset.len() {
        let mut count = 0;
        for object in dataset.annotations(index) {
            let Some((class, last)) =
                place.get(&object.category_id).and_then(|&place| classes.get_mut(place).zip(last_image.get_mut(place)))
            else {
                continue;
            };
            if object.iscrowd {
                class.crowds += 1;
                continue;
            }
            count += 1;
            class.objects += 1;
            class.images += usize::from(std::mem::replace(last, index) != index);
            class.sizes.add(object.area);
            sizes.add(object.area);
            with_mask += usize::from(!object.segmentation.is_none());
            let [_, _, width, height] = object.bbox;
            if width > 0.0 && height > 0.0 {
                ratios.push(width / height);
                lengths.push((width * height).sqrt());
            }
        }
        empty += usize::from(count == 0);
        counts.push(count as f64);
    }
    let sides = |side: fn(&crate::annotations::ImageRecord) -> u32| {
        Spread::of(dataset.images.iter().map(|image| f64::from(side(image))).collect())
    };
    Stats {
        images: dataset.len(),
        empty_images: empty,
        objects: classes.iter().map(|class| class.objects).sum(),
        crowds: classes.iter().map(|class| class.crowds).sum(),
        with_mask,
        without_area: dataset.report.without_area,
        sizes,
        objects_per_image: Spread::of(counts),
        aspect_ratio: Spread::of(ratios),
        box_size: Spread::of(lengths),
        image_width: sides(|image| image.width),
        image_height: sides(|image| image.height),
        classes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_by_rank() {
        let spread = Spread::of((0..=10).rev().map(f64::from).collect()).unwrap();
        assert_eq!((spread.min, spread.p10, spread.median, spread.p90, spread.max), (0.0, 1.0, 5.0, 9.0, 10.0));
        assert_eq!(spread.mean, 5.0);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
