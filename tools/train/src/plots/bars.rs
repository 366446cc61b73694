//! Horizontal bars from zero, in panels below each other: names at the left, numbers behind the bars.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{colour, use_font, FONT};
use super::{canvas, Failure, CAPTION, LABEL};
use crate::error::TrainError;

/// Width of a picture.
const WIDTH: i32 = 1100;
/// Height of a bar with the gap behind it.
const ROW: i32 = 24;
/// Height of a bar.
const BAR: i32 = 17;
/// Above a panel's bars: title and legend.
const HEAD: i32 = 64;
/// Below them: what the numbers are.
const FOOT: i32 = 36;
const MARGIN: i32 = 16;
/// Room for the number behind the longest bar.
const NUMBER: i32 = 110;

/// A bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Name at the left.
    pub label: String,
    /// Length.
    pub value: f64,
    /// What stands behind it.
    pub text: String,
    /// Which entry of the legend it belongs to.
    pub colour: usize,
}

/// Bars that share an axis.
#[derive(Clone, Debug)]
pub struct BarPanel {
    /// Heading.
    pub title: String,
    /// What the numbers are.
    pub axis: String,
    /// What the colours mean.
    pub legend: Vec<String>,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

fn width(text: &str) -> i32 {
    repghost_coco::draw::text_width(text, LABEL as f32).ceil() as i32
}

/// Draws panels below each other into a PNG file.
///
/// # Errors
/// The disk's.
pub fn bars(path: &Path, panels: &[BarPanel]) -> Result<(), TrainError> {
    use_font();
    let height: i32 = panels.iter().map(|p| HEAD + FOOT + ROW * p.bars.len() as i32).sum();
    canvas::write(path, (WIDTH as u32, height.max(1) as u32), |backend| -> Result<(), Failure> {
        let root = backend.into_drawing_area();
        root.fill(&WHITE)?;
        let mut top = 0;
        for panel in panels {
            draw_panel(&root, panel, top)?;
            top += HEAD + FOOT + ROW * panel.bars.len() as i32;
        }
        root.present()
    })
}

fn draw_panel(root: &super::Area, panel: &BarPanel, top: i32) -> Result<(), Failure> {
    let small = |h: HPos| TextStyle::from((FONT, LABEL).into_font()).pos(Pos::new(h, VPos::Center));
    let title = TextStyle::from((FONT, CAPTION).into_font());
    root.draw(&Text::new(panel.title.clone(), (MARGIN, top + MARGIN), title))?;
    let mut x = MARGIN;
    for (i, name) in panel.legend.iter().enumerate() {
        let y = top + HEAD - 14;
        root.draw(&Rectangle::new([(x, y - 6), (x + 12, y + 6)], colour(i).filled()))?;
        root.draw(&Text::new(name.clone(), (x + 18, y), small(HPos::Left)))?;
        x += 18 + width(name) + 22;
    }
    let names = panel.bars.iter().map(|b| width(&b.label)).max().unwrap_or(0).min(WIDTH / 2);
    let left = MARGIN + names + 10;
    let longest = panel.bars.iter().map(|b| b.value).filter(|v| v.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(WIDTH - left - NUMBER);
    for (i, bar) in panel.bars.iter().enumerate() {
        let y = top + HEAD + ROW * i as i32;
        let middle = y + BAR / 2;
        let end = left + (bar.value.max(0.0) / longest * room).round() as i32;
        root.draw(&Text::new(bar.label.clone(), (left - 8, middle), small(HPos::Right)))?;
        root.draw(&Rectangle::new([(left, y), (end.max(left + 1), y + BAR)], colour(bar.colour).filled()))?;
        root.draw(&Text::new(bar.text.clone(), (end + 6, middle), small(HPos::Left)))?;
    }
    let bottom = top + HEAD + ROW * panel.bars.len() as i32;
    root.draw(&PathElement::new([(left, top + HEAD - 2), (left, bottom)], BLACK.mix(0.6)))?;
    root.draw(&Text::new(panel.axis.clone(), (left, bottom + 12), small(HPos::Left)))
}
