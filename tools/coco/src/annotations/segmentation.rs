//! The outline of an object: polygons, a run-length mask, or nothing.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

use super::problem::Problem;
use super::raw::Scalar;
use super::rle::Rle;

/// Coordinates that a polygon needs at least: three corners.
pub const MIN_POLYGON_NUMBERS: usize = 6;

/// The shape of an annotation's object.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Segmentation {
    /// Nothing: only the box is known (or the segmentations were not asked for).
    #[default]
    None,
    /// Closed outlines x, y, x, y, … in pixels, each filled, all of one object.
    Polygons(Vec<Vec<f64>>),
    /// A mask of the whole image.
    Rle(Rle),
}

impl Segmentation {
    /// Whether there is no shape.
    pub fn is_none(&self) -> bool {
        matches!(self, Segmentation::None)
    }

    /// The mask as pycocotools makes it, on an image of this size; `None` where there is no shape.
    ///
    /// # Errors
    /// Where the image has more than 2^32 pixels.
    pub fn to_rle(&self, height: u32, width: u32) -> Result<Option<Rle>, String> {
        match self {
            Segmentation::None => Ok(None),
            Segmentation::Rle(rle) => Ok(Some(rle.clone())),
            Segmentation::Polygons(polygons) => {
                hotcoco::mask::fr_polys(polygons, height, width).map(|rle| Some(rle.into())).map_err(|error| error.to_string())
            }
        }
    }

    /// Reads the JSON text of a `segmentation`. Polygons that cannot be filled are left out and named; a broken mask gives
    /// [`Segmentation::None`] and is named.
    pub(crate) fn from_json(text: &str, image_size: Option<[u32; 2]>, problems: &mut Vec<Problem>) -> Self {
        match serde_json::from_str::<RawSegmentation>(text) {
            Ok(RawSegmentation::Nothing) => Segmentation::None,
            Ok(RawSegmentation::Polygons(polygons)) => fillable(polygons, problems),
            Ok(RawSegmentation::Flat) => {
                problems.push(Problem::PolygonNotNested);
                Segmentation::None
            }
            Ok(RawSegmentation::Mask { size, counts }) => match mask(size, counts, image_size) {
                Ok(rle) => Segmentation::Rle(rle),
                Err(problem) => {
                    problems.push(problem);
                    Segmentation::None
                }
            },
            Ok(RawSegmentation::Other(what)) => {
                problems.push(Problem::SegmentationType { what: what.to_owned() });
                Segmentation::None
            }
            Err(error) => {
                problems.push(Problem::SegmentationType { what: error.to_string() });
                Segmentation::None
            }
        }
    }
}

fn fillable(polygons: Vec<Vec<f64>>, problems: &mut Vec<Problem>) -> Segmentation {
    let total = polygons.len();
    let mut bad = None;
    let good: Vec<_> = polygons
        .into_iter()
        .filter(|polygon| {
            let good = polygon.len() >= MIN_POLYGON_NUMBERS && polygon.len() % 2 == 0 && polygon.iter().all(|v| v.is_finite());
            if !good {
                bad.get_or_insert(polygon.len());
            }
            good
        })
        .collect();
    if let Some(numbers) = bad {
        problems.push(Problem::PolygonNumbers { numbers, bad: total - good.len(), total });
    }
    if good.is_empty() {
        Segmentation::None
    } else {
        Segmentation::Polygons(good)
    }
}

fn mask(size: Option<[f64; 2]>, counts: RawCounts, image_size: Option<[u32; 2]>) -> Result<Rle, Problem> {
    let size = size
        .filter(|size| size.iter().all(|&v| v >= 1.0 && v.fract() == 0.0 && v <= f64::from(u32::MAX)))
        .map(|[h, w]| [h as u32, w as u32])
        .ok_or_else(|| Problem::RleBroken { reason: "its size is not [height, width]".to_owned() })?;
    if let Some(expected) = image_size.filter(|&expected| expected != size) {
        return Err(Problem::RleSize { found: size, expected });
    }
    let rle = match counts {
        RawCounts::Missing => Err("it has no counts".to_owned()),
        RawCounts::Packed(text) => Rle::from_packed(size, &text),
        RawCounts::List(values) => values
            .iter()
            .map(|&run| {
                if run < 0.0 {
                    Err(format!("it holds the negative run {run}"))
                } else if run.fract() != 0.0 || run > f64::from(u32::MAX) {
                    Err(format!("it holds the run {run}, no whole number"))
                } else {
                    Ok(run as u32)
                }
            })
            .collect::<Result<Vec<u32>, _>>()
            .and_then(|counts| Rle::from_counts(size, counts)),
    };
    rle.map_err(|reason| Problem::RleBroken { reason })
}

enum RawSegmentation {
    Nothing,
    Polygons(Vec<Vec<f64>>),
    /// One list of numbers where a list of polygons belongs.
    Flat,
    Mask {
        size: Option<[f64; 2]>,
        counts: RawCounts,
    },
    Other(&'static str),
}

enum RawCounts {
    Missing,
    Packed(String),
    List(Vec<f64>),
}

impl<'de> Deserialize<'de> for RawSegmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = RawSegmentation;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of polygons or an object with size and counts")
    }
    fn visit_unit<E>(self) -> Result<RawSegmentation, E> {
        Ok(RawSegmentation::Nothing)
    }
    fn visit_str<E>(self, _: &str) -> Result<RawSegmentation, E> {
        Ok(RawSegmentation::Other("a text"))
    }
    fn visit_bool<E>(self, _: bool) -> Result<RawSegmentation, E> {
        Ok(RawSegmentation::Other("a flag"))
    }
    fn visit_f64<E>(self, _: f64) -> Result<RawSegmentation, E> {
        Ok(RawSegmentation::Other("a number"))
    }
    fn visit_i64<E>(self, _: i64) -> Result<RawSegmentation, E> {
        Ok(RawSegmentation::Other("a number"))
    }
    fn visit_u64<E>(self, _: u64) -> Result<RawSegmentation, E> {
        Ok(RawSegmentation::Other("a number"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawSegmentation, A::Error> {
        let (mut polygons, mut flat) = (Vec::new(), false);
        while let Some(element) = seq.next_element::<Numbers>()? {
            match element.0 {
                Some(numbers) => polygons.push(numbers),
                None => flat = true,
            }
        }
        Ok(match (flat, polygons.is_empty()) {
            (true, _) => RawSegmentation::Flat,
            (false, true) => RawSegmentation::Nothing,
            (false, false) => RawSegmentation::Polygons(polygons),
        })
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawSegmentation, A::Error> {
        let (mut size, mut counts) = (None, RawCounts::Missing);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "size" => size = map.next_value::<Numbers>()?.0.and_then(|numbers| <[f64; 2]>::try_from(numbers).ok()),
                "counts" => counts = map.next_value::<Runs>()?.0,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(RawSegmentation::Mask { size, counts })
    }
}

/// A list of numbers (NaN for what is none), or `None` for anything else.
struct Numbers(Option<Vec<f64>>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Runs::deserialize(deserializer).map(|runs| match runs.0 {
            RawCounts::List(values) => Numbers(Some(values)),
            _ => Numbers(None),
        })
    }
}

/// The `counts` of a mask.
struct Runs(RawCounts);

impl<'de> Deserialize<'de> for Runs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RunsVisitor)
    }
}

struct RunsVisitor;

impl<'de> Visitor<'de> for RunsVisitor {
    type Value = Runs;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of numbers or a text")
    }
    fn visit_str<E>(self, text: &str) -> Result<Runs, E> {
        Ok(Runs(RawCounts::Packed(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Runs, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element::<Scalar>()? {
            values.push(value.number().unwrap_or(f64::NAN));
        }
        values.shrink_to_fit();
        Ok(Runs(RawCounts::List(values)))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Runs, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Runs(RawCounts::Missing))
    }
    fn visit_unit<E>(self) -> Result<Runs, E> {
        Ok(Runs(RawCounts::Missing))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Runs, E> {
        Ok(Runs(RawCounts::Missing))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Runs, E> {
        Ok(Runs(RawCounts::Missing))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Runs, E> {
        Ok(Runs(RawCounts::Missing))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Runs, E> {
        Ok(Runs(RawCounts::Missing))
    }
}
