//! Channel counts at a width.

/// Rounds a channel count to a multiple of `divisor`, never losing more than a tenth (the rule of the MobileNet papers' code).
pub fn make_divisible(v: f64, divisor: i64) -> i64 {
    let rounded = ((v + divisor as f64 / 2.0) as i64 / divisor * divisor).max(divisor);
    if (rounded as f64) < 0.9 * v {
        rounded + divisor
    } else {
        rounded
    }
}
