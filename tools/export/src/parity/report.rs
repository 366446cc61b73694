//! Differences between a file's outputs and the model's.

use super::detections::Agreement;
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
pub fn check_differences(differences: &[Difference], tolerance: f64) -> Result<(), ExportError> {
    match differences.iter().filter(|d| d.relative > tolerance).max_by(|a, b| a.relative.total_cmp(&b.relative)) {
        None => Ok(()),
        Some(d) => Err(ExportError::Parity { output: d.output.clone(), difference: d.relative, tolerance }),
    }
}

/// One comparison.
#[derive(Clone, Debug)]
pub enum Comparison {
    /// Of an output.
    Output {
        /// What the file was run on.
        input: String,
        /// How far it is off.
        difference: Difference,
    },
    /// Of detections.
    Detections {
        /// What the file was run on.
        input: String,
        /// How well they agree.
        agreement: Agreement,
    },
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output { input, difference: d } => {
                write!(
                    f,
                    "{input:<28} {:<12} largest difference {:.1e} ({:.1e} of the largest value)",
                    d.output, d.absolute, d.relative
                )
            }
            Self::Detections { input, agreement: a } => write!(
                f,
                "{input:<28} {:<12} {} of {} agree; scores within {:.1e}, corners within {:.1e} px, masks within {:.1e}",
                "detections",
                a.total - a.missing,
                a.total,
                a.score,
                a.corner,
                a.mask
            ),
        }
    }
}

/// All comparisons of an export.
#[derive(Clone, Debug, Default)]
pub struct ParityReport {
    /// In order.
    pub comparisons: Vec<Comparison>,
}

impl ParityReport {
    /// Largest relative difference of an output.
    pub fn worst(&self) -> f64 {
        let outputs = self.comparisons.iter().filter_map(|f| match f {
            Comparison::Output { difference, .. } => Some(difference.relative),
            Comparison::Detections { .. } => None,
        });
        outputs.fold(0.0, f64::max)
    }

    /// Detections compared, and those without a partner.
    pub fn detections(&self) -> Agreement {
        let all = self.comparisons.iter().filter_map(|f| match f {
            Comparison::Detections { agreement, .. } => Some(*agreement),
            Comparison::Output { .. } => None,
        });
        all.fold(Agreement::default(), Agreement::and)
    }

    /// Passes where every output is within `tolerance` of the model's.
    ///
    /// # Errors
    /// The output that differs most.
    pub fn within(&self, tolerance: f64) -> Result<(), ExportError> {
        let outputs = self.comparisons.iter().filter_map(|f| match f {
            Comparison::Output { difference, .. } => Some(difference.clone()),
            Comparison::Detections { .. } => None,
        });
        check_differences(&outputs.collect::<Vec<_>>(), tolerance)
    }

    /// Adds the comparisons of a case, under its name.
    pub fn append(&mut self, case: &str, other: Self) {
        self.comparisons.extend(other.comparisons.into_iter().map(|mut comparison| {
            let (Comparison::Output { input, .. } | Comparison::Detections { input, .. }) = &mut comparison;
            *input = format!("{case}, {input}");
            comparison
        }));
    }

    /// Adds the outputs of one run.
    pub fn add(&mut self, input: &str, differences: Vec<Difference>) {
        let finding = |difference| Comparison::Output { input: input.into(), difference };
        self.comparisons.extend(differences.into_iter().map(finding));
    }
}
