//! Plots as PNG: lines in panels (`run::curves` draws a run with them), precision over recall, bars. Lines differ in colour and name.

mod bars;
pub(crate) mod canvas;
mod precision_recall;
pub mod style;

use std::path::Path;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

pub use bars::{bars, Bar, BarPanel};
pub use precision_recall::precision_recall;

use crate::error::TrainError;
use style::{use_font, COLOURS, FONT};

const CAPTION: u32 = 20;
const LABEL: u32 = 14;

/// A named line.
pub(crate) struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// What a panel shows.
pub(crate) struct Panel<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub lines: Vec<Line>,
    /// Range of the upright axis; `None` fits the lines.
    pub y_range: Option<(f64, f64)>,
    /// The upright axis is logarithmic.
    pub log: bool,
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;
type Chart<'a, Y> = ChartContext<'a, BitMapBackend<'a>, Cartesian2d<RangedCoordf64, Y>>;
type Failure = DrawingAreaErrorKind<<BitMapBackend<'static> as DrawingBackend>::ErrorType>;

/// Draws panels beside each other into a PNG file.
pub(crate) fn panels(path: &Path, panels: &[Panel]) -> Result<(), TrainError> {
    const SIZE: (u32, u32) = (560, 400);
    use_font();
    let width = SIZE.0 * panels.len().max(1) as u32;
    canvas::write(path, (width, SIZE.1), |backend| -> Result<(), Failure> {
        let root = backend.into_drawing_area();
        root.fill(&WHITE)?;
        for (area, panel) in root.split_evenly((1, panels.len().max(1))).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        root.present()
    })
}

fn draw_panel(area: &Area, panel: &Panel) -> Result<(), Failure> {
    let points = || panel.lines.iter().flat_map(|l| l.points.iter().copied());
    let x_end = points().map(|p| p.0).fold(f64::MIN_POSITIVE, f64::max);
    let (low, high) = panel.y_range.unwrap_or_else(|| fit(points().map(|p| p.1), panel.log));
    let mut builder = ChartBuilder::on(area);
    builder.caption(panel.title, (FONT, CAPTION)).margin(12).x_label_area_size(38).y_label_area_size(62);
    if panel.log {
        draw_lines(builder.build_cartesian_2d(0.0..x_end, (low..high).log_scale())?, panel, &|v| format!("{v:.0e}"))
    } else {
        draw_lines(builder.build_cartesian_2d(0.0..x_end, low..high)?, panel, &short)
    }
}

fn draw_lines<Y>(mut chart: Chart<Y>, panel: &Panel, label: &dyn Fn(&f64) -> String) -> Result<(), Failure>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(panel.x)
        .label_style((FONT, LABEL))
        .light_line_style(WHITE)
        .x_label_formatter(&short)
        .y_label_formatter(&label)
        .draw()?;
    for (line, colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
            .label(line.name.clone())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    if panel.lines.is_empty() {
        return Ok(());
    }
    chart.configure_series_labels().label_font((FONT, LABEL)).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()
}

/// A number without needless digits.
fn short(v: &f64) -> String {
    format!("{v:.4}").trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A range that holds all values, with air.
fn fit(values: impl Iterator<Item = f64>, log: bool) -> (f64, f64) {
    let (low, high) =
        values.filter(|v| v.is_finite() && (!log || *v > 0.0)).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return if log { (0.1, 1.0) } else { (0.0, 1.0) };
    }
    match log {
        true => (low / 1.3, high * 1.3),
        false => ((low.min(0.0)) * 1.05, (high * 1.05).max(low + 1e-9)),
    }
}
