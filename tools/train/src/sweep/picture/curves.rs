//! Training curves of all trials in one picture, a colour per row.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{colour, range, Picture, FONT, TEXT, TITLE};
use crate::error::TrainError;
use crate::run::{metrics, Record};
use crate::sweep::folder::SweepFolder;
use crate::sweep::plan::Plan;

/// Share of the average that a step record replaces.
const SMOOTHING: f64 = 0.2;

pub(super) struct Line {
    row: usize,
    points: Vec<(f64, f64)>,
}

pub(super) struct Curves {
    title: String,
    rows: Vec<String>,
    pub lines: Vec<Line>,
}

impl Curves {
    /// Reads the losses of every trial that has some.
    pub fn read(plan: &Plan, folder: &SweepFolder) -> Result<Self, TrainError> {
        let mut lines = Vec::new();
        for trial in &plan.trials {
            let records = metrics::read(&folder.metrics_log(&trial.id))?;
            let mut average = None;
            let points = records.iter().filter_map(|record| match record {
                Record::Step(r) if r.loss.is_finite() => {
                    let smooth = average.map_or(r.loss, |a: f64| a + SMOOTHING * (r.loss - a));
                    average = Some(smooth);
                    Some((r.epoch, smooth))
                }
                _ => None,
            });
            let points: Vec<(f64, f64)> = points.collect();
            let row = plan.rows.iter().position(|r| *r == trial.row).unwrap_or(0);
            if points.len() > 1 {
                lines.push(Line { row, points });
            }
        }
        Ok(Self { title: plan.title.clone(), rows: plan.rows.clone(), lines })
    }
}

impl Picture for Curves {
    fn size(&self) -> (u32, u32) {
        (1000, 640)
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let all = || self.lines.iter().flat_map(|l| &l.points);
        let end = all().map(|p| p.0).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, TITLE))
            .margin(14)
            .x_label_area_size(58)
            .y_label_area_size(94)
            .build_cartesian_2d(0.0..end, range(all().map(|p| p.1)))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("epoch")
            .y_desc("training loss, smoothed")
            .label_style((FONT, TEXT))
            .draw()?;
        for (row, name) in self.rows.iter().enumerate() {
            for (i, line) in self.lines.iter().filter(|l| l.row == row).enumerate() {
                let series = chart.draw_series(LineSeries::new(line.points.iter().copied(), colour(row).stroke_width(2)))?;
                if i == 0 {
                    series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour(row).stroke_width(2)));
                }
            }
        }
        // Losses fall, so this corner is free.
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font((FONT, TEXT))
            .border_style(BLACK)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        Ok(())
    }
}
