//! Nothing leaves unchecked: an exported file is run at once and compared with the model that it came from.
//!
//! | module | what is in it |
//! |---|---|
//! | [`inputs`] | random and real batches |
//! | [`run`] | which outputs are compared with what, for each part |
//! | [`detections`] | whether two lists of detections are the same |

pub mod detections;
pub mod inputs;
pub mod run;

pub use run::{Checked, Finding};

use crate::error::ExportError;
use crate::runtime::NamedOutput;

/// How far an output of the file is from the model's.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Output name.
    pub output: String,
    /// Largest absolute difference.
    pub absolute: f64,
    /// That, divided by the largest absolute value of the model's output (or 1 where that is smaller).
    pub relative: f64,
}

/// Compares outputs by name.
///
/// # Errors
/// An output that is missing or has another shape.
pub fn compare(expected: &[NamedOutput], found: &[NamedOutput]) -> Result<Vec<Difference>, ExportError> {
    expected
        .iter()
        .map(|e| {
            let failure = |message| ExportError::Runtime { runtime: "gate", message };
            let f = found.iter().find(|f| f.name == e.name).ok_or_else(|| failure(format!("output '{}' is missing", e.name)))?;
            if f.shape != e.shape {
                return Err(failure(format!("output '{}' has shape {:?}, expected {:?}", e.name, f.shape, e.shape)));
            }
            let mut absolute = 0f64;
            let mut scale = 1f64;
            for (a, b) in e.data.iter().zip(&f.data) {
                let d = f64::from(a - b).abs();
                // A NaN in one of them must not pass for no difference.
                absolute = if d.is_nan() { f64::INFINITY } else { absolute.max(d) };
                scale = scale.max(f64::from(a.abs()));
            }
            Ok(Difference { output: e.name.clone(), absolute, relative: absolute / scale })
        })
        .collect()
}

/// Passes where every relative difference is within `tolerance`.
///
/// # Errors
/// The output that differs most.
pub fn check(differences: &[Difference], tolerance: f64) -> Result<(), ExportError> {
    match differences.iter().filter(|d| d.relative > tolerance).max_by(|a, b| a.relative.total_cmp(&b.relative)) {
        None => Ok(()),
        Some(d) => Err(ExportError::Gate { output: d.output.clone(), difference: d.relative, tolerance }),
    }
}
