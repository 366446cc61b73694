//! Names and shapes of a weight file's tensors, by which a network is recognised.

use std::collections::HashMap;

use crate::rounding::make_divisible;

/// Shapes by name, seen below a prefix.
#[derive(Clone, Copy, Debug)]
pub struct Shapes<'a> {
    shapes: &'a HashMap<&'a str, Vec<i64>>,
    prefix: &'a str,
}

impl<'a> Shapes<'a> {
    /// The names that start with `prefix`, which is not part of the names that other methods take.
    pub fn new(shapes: &'a HashMap<&'a str, Vec<i64>>, prefix: &'a str) -> Self {
        Self { shapes, prefix }
    }

    /// Shape of the first of `names` that is there.
    pub fn shape(&self, names: &[&str]) -> Option<&'a [i64]> {
        names.iter().find_map(|n| self.shapes.get(format!("{}{n}", self.prefix).as_str())).map(Vec::as_slice)
    }

    /// Output channels (the first dimension) of the first of `names` that is there.
    pub fn outputs(&self, names: &[&str]) -> Option<i64> {
        self.shape(names)?.first().copied()
    }

    /// Whether any name contains `part`.
    pub fn has(&self, part: &str) -> bool {
        self.shapes.keys().any(|n| n.strip_prefix(self.prefix).is_some_and(|n| n.contains(part)))
    }

    /// Number of blocks `start.0.`, `start.1.`, ….
    pub fn count(&self, start: &str) -> usize {
        (0..).take_while(|i| self.shapes.keys().any(|n| n.starts_with(&format!("{}{start}.{i}.", self.prefix)))).count()
    }
}

/// The channel multiplier at which every base count rounds to the channels found, given as pairs of base and found: a published one,
/// else the nearest in hundredths to the ratio of the widest.
pub fn width(channels: &[(f64, i64)], divisor: i64, published: &[f64]) -> Option<f64> {
    const STEPS: i32 = 20;
    let fits = |w: f64| w > 0.0 && channels.iter().all(|(base, c)| make_divisible(base * w, divisor) == *c);
    if let Some(w) = published.iter().find(|w| fits(**w)) {
        return Some(*w);
    }
    let (base, widest) = channels.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let hundredths = (widest as f64 / base * 100.0).round();
    (0..STEPS).flat_map(|d| [f64::from(d), f64::from(-d)]).map(|d| (hundredths + d) / 100.0).find(|w| fits(*w))
}
