//! The metric of every row as horizontal bars from zero, which leaves room for names.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{colour, width, Picture, FONT, TEXT, TITLE};
use crate::sweep::results::Results;

/// Height of a row in pixels.
const ROW: u32 = 48;
/// Half the height of a whisker's end.
const CAP: i32 = 6;

pub(super) struct Bars<'a> {
    pub results: &'a Results,
}

impl Bars<'_> {
    fn number(&self, i: usize) -> Option<String> {
        let row = &self.results.rows[i];
        row.mean.map(|mean| match row.deviation {
            Some(deviation) => format!("{mean:.3} ± {deviation:.3}"),
            None => format!("{mean:.3}"),
        })
    }
}

impl Picture for Bars<'_> {
    fn size(&self) -> (u32, u32) {
        (1000, 150 + ROW * self.results.rows.len() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let rows = &self.results.rows;
        let names = rows.iter().map(|r| width(&r.name)).max().unwrap_or(0) + 20;
        let high = |r: &crate::sweep::results::Row| {
            r.values().into_iter().chain(r.mean.map(|m| m + r.deviation.unwrap_or(0.0))).fold(0.0, f64::max)
        };
        let top = rows.iter().map(high).fold(1e-6, f64::max);
        // A third of the width is left for the numbers behind the bars.
        let mut chart = ChartBuilder::on(area)
            .caption(&self.results.title, (FONT, TITLE))
            .margin(14)
            .x_label_area_size(58)
            .y_label_area_size(names.min(420))
            .build_cartesian_2d(0.0..top * 1.35, (0..rows.len().saturating_sub(1).max(1)).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE)
            .x_desc(format!("{} ({} setting)", self.results.metric, self.results.setting))
            .label_style((FONT, TEXT))
            .y_labels(rows.len())
            .y_label_formatter(&|segment| match segment {
                // The axis grows upwards; the first row belongs on top.
                SegmentValue::CenterOf(i) if *i < rows.len() => rows[rows.len() - 1 - i].name.clone(),
                _ => String::new(),
            })
            .draw()?;
        for (i, row) in rows.iter().enumerate() {
            let Some(mean) = row.mean else { continue };
            let place = rows.len() - 1 - i;
            let mut bar = Rectangle::new(
                [(0.0, SegmentValue::Exact(place)), (mean, SegmentValue::Exact(place + 1))],
                colour(0).mix(0.75).filled(),
            );
            bar.set_margin(7, 7, 0, 0);
            chart.draw_series([bar])?;
            let at = SegmentValue::CenterOf(place);
            if let Some(deviation) = row.deviation {
                let ends = [mean - deviation, mean + deviation];
                chart.draw_series([PathElement::new(ends.map(|x| (x, at.clone())).to_vec(), BLACK.stroke_width(2))])?;
                chart.draw_series(ends.map(|x| {
                    EmptyElement::at((x, at.clone())) + PathElement::new(vec![(0, -CAP), (0, CAP)], BLACK.stroke_width(2))
                }))?;
            }
            let dots = row.values().into_iter().map(|v| Circle::new((v, at.clone()), 3, colour(1).filled()));
            chart.draw_series(dots)?;
            if let Some(text) = self.number(i) {
                let end = row.values().into_iter().chain([mean + row.deviation.unwrap_or(0.0)]).fold(mean, f64::max);
                let label = EmptyElement::at((end, at.clone())) + Text::new(text, (10, -(TEXT as i32) / 2), (FONT, TEXT));
                chart.draw_series([label])?;
            }
        }
        Ok(())
    }
}
