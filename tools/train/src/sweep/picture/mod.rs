//! A sweep's pictures, as PNG for reading and SVG for printing.
//!
//! | file | what is in it |
//! |---|---|
//! | `bars` | the metric of every row, seeds as dots, deviation as whiskers |
//! | `macs`, `latency` | the metric against what a row costs, with the frontier (the RepGhost paper's figure 1) |
//! | `curves` | training loss over epochs, a line a trial |

mod bars;
mod curves;
mod frontier;

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::folder::SweepFolder;
use super::plan::Plan;
use super::results::Results;
use super::table::millions;
use crate::error::TrainError;
use crate::plots::canvas;
use crate::plots::style::{colour, use_font, FONT};
use crate::run::folder::write_text;

/// Text heights in pixels of a picture that is 1000 wide: on a page of text (16 cm) that is 9 points.
const TITLE: u32 = 25;
const TEXT: u32 = 20;

/// Something that draws itself on any backend.
trait Picture {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    /// Draws on a white area.
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>>;
}

/// Writes every picture that the results give.
///
/// # Errors
/// [`TrainError::Drawing`], and the disk's.
pub fn write_all(plan: &Plan, folder: &SweepFolder, results: &Results) -> Result<Vec<PathBuf>, TrainError> {
    let mut files = Vec::new();
    let root = folder.root();
    if results.rows.iter().any(|r| r.mean.is_some()) {
        files.extend(save(&bars::Bars { results }, root, "bars")?);
        let macs = frontier::Frontier::new(results, "multiply-adds at 224x224 (millions)", |c| Some(millions(c.macs)));
        let latency =
            frontier::Frontier::new(results, "latency of one 224x224 image on one thread, fused (ms)", |c| c.fused_latency_ms);
        for (picture, name) in [(macs, "macs"), (latency, "latency")] {
            if picture.points.len() > 1 {
                files.extend(save(&picture, root, name)?);
            }
        }
    }
    let curves = curves::Curves::read(plan, folder)?;
    if !curves.lines.is_empty() {
        files.extend(save(&curves, root, "curves")?);
    }
    Ok(files)
}

fn save(picture: &impl Picture, folder: &Path, name: &str) -> Result<[PathBuf; 2], TrainError> {
    use_font();
    let (png, svg) = (folder.join(format!("{name}.png")), folder.join(format!("{name}.svg")));
    let fail = |path: &Path, reason: String| TrainError::Drawing { path: path.into(), reason };
    canvas::write(&png, picture.size(), |backend| on(backend, picture))?;
    let mut text = String::new();
    on(SVGBackend::with_string(&mut text, picture.size()), picture).map_err(|reason| fail(&svg, reason))?;
    write_text(&svg, &text)?;
    Ok([png, svg])
}

fn on<DB: DrawingBackend>(backend: DB, picture: &impl Picture) -> Result<(), String> {
    let area = backend.into_drawing_area();
    let draw = || {
        area.fill(&WHITE)?;
        picture.draw(&area)?;
        area.present()
    };
    draw().map_err(|e| e.to_string())
}

/// A range that holds all values with some air, and is never empty.
fn range(values: impl IntoIterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if !(low.is_finite() && high.is_finite()) {
        return 0.0..1.0;
    }
    let air = ((high - low) * 0.08).max(high.abs() * 0.01).max(1e-6);
    low - air..high + air
}

/// Width of a text in the pictures' font.
fn width(text: &str) -> u32 {
    repghost_coco::draw::text_width(text, TEXT as f32).ceil() as u32
}
