//! The metric against a cost, and which rows no other row beats at their cost or less.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{colour, range, width, Picture, FONT, TEXT, TITLE};
use crate::sweep::cost::RowCost;
use crate::sweep::results::Results;

const CAP: i32 = 5;

/// A row in the picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub name: String,
    pub cost: f64,
    pub mean: f64,
    pub deviation: Option<f64>,
}

pub(super) struct Frontier {
    title: String,
    metric: String,
    axis: &'static str,
    pub points: Vec<Point>,
}

impl Frontier {
    pub fn new(results: &Results, axis: &'static str, cost: impl Fn(&RowCost) -> Option<f64>) -> Self {
        let points = results.rows.iter().filter_map(|row| {
            let cost = row.cost.as_ref().and_then(&cost)?;
            Some(Point { name: row.name.clone(), cost, mean: row.mean?, deviation: row.deviation })
        });
        Self { title: results.title.clone(), metric: results.metric.clone(), axis, points: points.collect() }
    }
}

/// The points that none beats: from cheap to dear, each better than all cheaper ones.
fn undominated(points: &[Point]) -> Vec<&Point> {
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.mean.total_cmp(&a.mean)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|p| {
        let better = p.mean > best;
        best = best.max(p.mean);
        better
    });
    sorted
}

impl Picture for Frontier {
    fn size(&self) -> (u32, u32) {
        (1000, 640)
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let x = range(self.points.iter().map(|p| p.cost));
        let y = range(self.points.iter().flat_map(|p| {
            let d = p.deviation.unwrap_or(0.0);
            [p.mean - d, p.mean + d]
        }));
        let middle = (x.start + x.end) / 2.0;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, TITLE))
            .margin(14)
            .x_label_area_size(58)
            .y_label_area_size(94)
            .build_cartesian_2d(x, y)?;
        chart.configure_mesh().light_line_style(WHITE).x_desc(self.axis).y_desc(&self.metric).label_style((FONT, TEXT)).draw()?;
        let frontier = undominated(&self.points);
        chart
            .draw_series(LineSeries::new(frontier.iter().map(|p| (p.cost, p.mean)), colour(0).stroke_width(2)))?
            .label("frontier: no cheaper row is better")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], colour(0).stroke_width(2)));
        let mut taken: Vec<[i32; 4]> = Vec::new();
        for point in &self.points {
            let at = (point.cost, point.mean);
            if let Some(deviation) = point.deviation {
                let ends = [point.mean - deviation, point.mean + deviation];
                chart.draw_series([PathElement::new(ends.map(|y| (point.cost, y)).to_vec(), BLACK.stroke_width(1))])?;
                chart.draw_series(ends.map(|y| {
                    EmptyElement::at((point.cost, y)) + PathElement::new(vec![(-CAP, 0), (CAP, 0)], BLACK.stroke_width(1))
                }))?;
            }
            let on_frontier = frontier.contains(&point);
            let fill = if on_frontier { colour(0).filled() } else { colour(1).filled() };
            chart.draw_series([Circle::new(at, 5, fill)])?;
            let offset = free_place(chart.backend_coord(&at), &point.name, point.cost > middle, &mut taken);
            chart.draw_series([EmptyElement::at(at) + Text::new(point.name.clone(), offset, (FONT, TEXT))])?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .label_font((FONT, TEXT))
            .border_style(BLACK)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        Ok(())
    }
}

/// Where a name goes, relative to its point: beside it (towards the middle of the picture), moved down until it covers no other name.
fn free_place(at: (i32, i32), name: &str, to_the_left: bool, taken: &mut Vec<[i32; 4]>) -> (i32, i32) {
    let (w, h) = (width(name) as i32, TEXT as i32);
    let dx = if to_the_left { -w - 10 } else { 10 };
    let mut dy = -h - 4;
    let boxed = |dy: i32| [at.0 + dx, at.1 + dy, at.0 + dx + w, at.1 + dy + h];
    let overlaps = |a: [i32; 4], b: &[i32; 4]| a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
    while taken.iter().any(|t| overlaps(boxed(dy), t)) {
        dy += h + 2;
    }
    taken.push(boxed(dy));
    (dx, dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(cost: f64, mean: f64) -> Point {
        Point { name: format!("{cost}"), cost, mean, deviation: None }
    }

    #[test]
    fn the_frontier_holds_what_nothing_cheaper_beats() {
        let points = [point(3.0, 0.5), point(1.0, 0.2), point(2.0, 0.6), point(1.0, 0.3), point(4.0, 0.6), point(5.0, 0.7)];
        let names: Vec<(f64, f64)> = undominated(&points).iter().map(|p| (p.cost, p.mean)).collect();
        assert_eq!(names, [(1.0, 0.3), (2.0, 0.6), (5.0, 0.7)]);
    }

    #[test]
    fn names_do_not_cover_each_other() {
        let mut taken = Vec::new();
        let first = free_place((100, 100), "a name", false, &mut taken);
        let second = free_place((102, 101), "a name", false, &mut taken);
        assert_eq!(first.1, -(TEXT as i32) - 4);
        assert!(second.1 + 101 >= first.1 + 100 + TEXT as i32);
    }
}
