//! Student's t distribution (Student 1908): what a standard error from few values is worth.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Half width of the 95 % interval in standard errors. 1.96 for many degrees of freedom, 4.30 for two.
pub(super) fn half_width(freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975))
}

/// Chance of a difference at least that large where there is none.
pub(super) fn two_sided(difference: f64, error: f64, freedom: f64) -> f64 {
    if difference == 0.0 {
        return 1.0;
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |t| 2.0 * t.cdf(-(difference / error).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the usual table (NIST handbook, 1.3.6.7.2).
    #[test]
    fn the_table() {
        for (freedom, expected) in [(2.0, 4.303), (4.0, 2.776), (30.0, 2.042), (100.0, 1.984)] {
            assert!((half_width(freedom) - expected).abs() < 6e-4, "{freedom}: {}", half_width(freedom));
            assert!((two_sided(-expected, 1.0, freedom) - 0.05).abs() < 1e-4);
        }
        assert_eq!(two_sided(0.0, 0.0, 5.0), 1.0);
        assert_eq!(two_sided(0.1, 0.0, 5.0), 0.0);
    }
}
