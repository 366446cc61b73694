//! What only many records together show: boxes as corners, category ids one lower, more objects than AP counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::problem::Problem;
use super::record::ReadAnnotation;

/// Fewer boxes than this prove nothing.
const FEW: usize = 5;
/// Pixels beyond the border that rounding does not explain.
const BEYOND: f64 = 2.0;
/// COCO's AP counts so many detections of a class in an image.
pub const COUNTED: usize = 100;

/// Boxes that read as x1, y1, x2, y2 all lie within their images, while as x, y, width, height some don't. `boxes` are those of a file, with
/// the `[height, width]` of their images.
pub(crate) fn corners(boxes: impl Iterator<Item = ([f64; 4], [u32; 2])>) -> Option<Problem> {
    let (mut total, mut beyond) = (0, 0);
    for ([a, b, c, d], [height, width]) in boxes {
        let (width, height) = (f64::from(width) + BEYOND, f64::from(height) + BEYOND);
        if c <= a || d <= b || c > width || d > height {
            return None;
        }
        total += 1;
        beyond += usize::from(a + c > width || b + d > height);
    }
    (total >= FEW && beyond * 10 >= total).then_some(Problem::LooksLikeCorners { beyond, total })
}

/// Category ids of annotations that are unknown, and each one lower than one of the file's.
pub(crate) fn one_lower(read: &[ReadAnnotation], known: &HashSet<i64>) -> Option<Problem> {
    let used: BTreeSet<i64> = read.iter().filter_map(|annotation| annotation.category_id).collect();
    let (first, last) = (*used.first()?, *used.last()?);
    let lower = known.iter().min().is_some_and(|least| first + 1 == *least) && used.iter().all(|id| known.contains(&(id + 1)));
    lower.then_some(Problem::IdsOneLower { first, last })
}

/// The image with the most objects of a class, where those are more than AP counts, and how many such images there are. `objects` are image
/// and category of each object that is no crowd.
pub(crate) fn dense(objects: impl Iterator<Item = (i64, i64)>) -> Option<Problem> {
    let mut counts: HashMap<(i64, i64), usize> = HashMap::new();
    objects.for_each(|cell| *counts.entry(cell).or_default() += 1);
    let mut images: BTreeMap<i64, usize> = BTreeMap::new();
    for ((image, _), count) in counts.into_iter().filter(|(_, count)| *count > COUNTED) {
        let most = images.entry(image).or_default();
        *most = count.max(*most);
    }
    // Of equals the first id.
    let (&image, &most) = images.iter().rev().max_by_key(|(_, most)| **most)?;
    Some(Problem::Dense { images: images.len(), most, image })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_told_from_sizes() {
        let size = [100, 100];
        let as_corners = [[10.0, 10.0, 50.0, 50.0], [60.0, 40.0, 99.0, 90.0], [5.0, 5.0, 20.0, 20.0]];
        let boxes = || as_corners.iter().cycle().take(6).map(|b| (*b, size));
        assert_eq!(corners(boxes()), Some(Problem::LooksLikeCorners { beyond: 2, total: 6 }));
        assert_eq!(corners(boxes().take(4)), None, "too few");
        // One box that has no meaning as corners.
        assert_eq!(corners(boxes().chain([([60.0, 60.0, 30.0, 30.0], size)])), None);
        // All within the image both ways: sizes, as the format has it.
        assert_eq!(corners(boxes().map(|_| ([10.0, 10.0, 20.0, 20.0], size))), None);
    }

    #[test]
    fn more_objects_than_ap_counts_are_counted() {
        let many = |image: i64, category: i64, count: usize| std::iter::repeat_n((image, category), count);
        let few = || many(1, 1, 100).chain(many(1, 2, 100));
        assert_eq!(dense(few()), None);
        let found = |images, most, image| Some(Problem::Dense { images, most, image });
        assert_eq!(dense(few().chain(many(3, 1, 101))), found(1, 101, 3));
        assert_eq!(dense(many(5, 1, 120).chain(many(4, 1, 120)).chain(many(3, 1, 101))), found(3, 120, 4));
    }
}
