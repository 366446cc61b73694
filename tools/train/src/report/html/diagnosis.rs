//! Where a run is wrong: error types, confusion, calibration, sizes; and how runs compare.

use maud::{html, Markup};
use repghost_coco::judge::diagnosis::{Calibration, Confusion, Diagnosis, Group};
use repghost_coco::judge::Change;

use super::table::{heads, table, Cell, NOTHING};
use crate::report::source::RunData;
use crate::report::view::View;

/// Classes of a confusion matrix that are shown: those with the most errors.
const CONFUSED: usize = 12;
/// Side of the calibration picture, and its margin.
const SIDE: f64 = 240.0;
const MARGIN: f64 = 30.0;

/// The section.
pub fn body(runs: &[RunData], views: &[View]) -> Markup {
    let several = views.iter().map(|v| v.runs.len()).sum::<usize>() > 1;
    html! {
        @for view in views {
            (compared(runs, view))
            @for run in &view.runs { @for diagnosis in &run.diagnoses {
                @if several || run.diagnoses.len() > 1 {
                    h3 { (runs.get(run.run).map_or("", |r| r.name.as_str())) ", " (kind(diagnosis)) }
                }
                (one(diagnosis))
            } }
        }
        p.hint {
            "Error types are TIDE's (Bolya et al. 2020): what AP50 would win if all errors of a type were repaired. Confusion and sizes are counted "
            "at the score threshold with the best F1; a detection counts as a hit from an IoU of 0.5 on."
        }
    }
}

fn kind(d: &Diagnosis) -> &'static str {
    match d.iou_type {
        repghost_coco::IouType::Bbox => "boxes",
        repghost_coco::IouType::Segm => "masks",
    }
}

fn one(d: &Diagnosis) -> Markup {
    let errors = d
        .errors
        .iter()
        .map(|e| vec![Cell::text(&e.name), Cell::number(Some(e.count as f64), 0), Cell::bar(Some(e.ap50_gain.max(0.0)))]);
    let group = |g: &Group| {
        let count = |n: usize| Cell::number(Some(n as f64), 0);
        vec![Cell::text(&g.name), count(g.objects), count(g.found), count(g.false_alarms), Cell::bar(g.recall()), Cell::bar(g.ap)]
    };
    let columns = heads(["size", "objects", "found", "false alarms", "recall", "AP"]);
    html! {
        (table("Errors by type", &heads(["type", "errors", "AP50 to win"]), errors.collect()))
        (table(&format!("Objects by size, at score {:.2}", d.score_threshold), &columns, d.sizes.iter().map(group).collect()))
        (confusion(&d.confusion))
        @match &d.calibration {
            Some(c) => (calibration(c)),
            None => p.hint { "There are no scores between 0 and 1 to calibrate." },
        }
    }
}

/// The classes with the most errors against each other, and the background.
fn confusion(c: &Confusion) -> Markup {
    let n = c.classes.len();
    let errors = |k: usize| {
        let row: u64 = (0..=n).filter(|d| *d != k).map(|d| c.counts[k][d]).sum();
        let column: u64 = (0..=n).filter(|t| *t != k).map(|t| c.counts[t][k]).sum();
        row + column
    };
    let mut shown: Vec<usize> = (0..n).collect();
    shown.sort_by_key(|k| std::cmp::Reverse(errors(*k)));
    shown.truncate(CONFUSED);
    shown.sort_unstable();
    let left = n - shown.len();
    shown.push(n);
    let name = |k: usize| c.classes.get(k).map_or("background", String::as_str);
    let mut columns = heads(["truth \\ detected"]);
    columns.extend(shown.iter().map(|k| name(*k).to_owned()));
    let row = |&t: &usize| {
        let total: u64 = c.counts[t].iter().sum();
        let cell = |&d: &usize| {
            let count = c.counts[t][d];
            let share = 100.0 * count as f64 / total.max(1) as f64;
            let hue = if t == d { "var(--good)" } else { "var(--bad)" };
            let style = format!("background:color-mix(in srgb, {hue} {:.0}%, transparent)", share * 0.6);
            Cell::html(html! { span.heat style=(style) { (count) } })
        };
        [Cell::text(name(t))].into_iter().chain(shown.iter().map(cell)).collect()
    };
    html! {
        (table("Confusion: counts, shaded by their share of the row", &columns, shown.iter().map(row).collect()))
        @if left > 0 { p.hint { (left) " classes with fewer errors are left out; metrics.json of a diagnosed evaluation has them." } }
    }
}

/// Precision over score, bin by bin.
fn calibration(c: &Calibration) -> Markup {
    let place = |x: f64, y: f64| (MARGIN + x * SIDE, MARGIN / 2.0 + (1.0 - y) * SIDE);
    let (zero, one) = (place(0.0, 0.0), place(1.0, 1.0));
    let alt = format!("Share of hits over score; calibration error {:.3}", c.ece);
    let size = SIDE + 1.6 * MARGIN;
    html! {
        figure.card.calibration {
            svg.reliability viewBox={ "0 0 " (size) " " (size) } role="img" aria-label=(alt) {
                @for bin in &c.bins {
                    @let (x, y) = place(bin.low, bin.precision);
                    rect x=(x + 1.0) y=(y) width=((bin.high - bin.low) * SIDE - 2.0) height=(zero.1 - y) fill="var(--c0)" fill-opacity="0.55" {
                        title { (format!("scores {:.1} to {:.1}: mean {:.3}, share of hits {:.3}, {} detections", bin.low, bin.high, bin.score, bin.precision, bin.count)) }
                    }
                }
                line x1=(zero.0) y1=(zero.1) x2=(one.0) y2=(one.1) stroke="var(--dim)" stroke-dasharray="4 4" {}
                line x1=(zero.0) y1=(zero.1) x2=(one.0) y2=(zero.1) stroke="var(--dim)" {}
                line x1=(zero.0) y1=(zero.1) x2=(zero.0) y2=(one.1) stroke="var(--dim)" {}
                @for (v, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
                    @let (x, y) = place(v, v);
                    text x=(x) y=(zero.1 + 14.0) text-anchor="middle" { (text) }
                    text x=(zero.0 - 5.0) y=(y + 4.0) text-anchor="end" { (text) }
                }
            }
            figcaption {
                "Calibration: share of hits over score, in ten bins; on the dashed line scores are probabilities. Expected calibration error "
                (format!("{:.3}", c.ece)) ", largest of a bin " (format!("{:.3}", c.mce)) ", " (c.detections) " detections."
            }
        }
    }
}

/// Each run of a view against its first.
fn compared(runs: &[RunData], view: &View) -> Markup {
    let name = |i: usize| runs.get(i).map_or("", |r| r.name.as_str());
    let Some(first) = view.runs.first().filter(|_| view.runs.iter().any(|r| r.against_first.is_some())) else { return html! {} };
    let row = |(run, c): (&crate::report::view::RunView, &Change)| {
        vec![
            Cell::text(name(run.run)),
            Cell::number(Some(c.b), 4),
            Cell::shown(Some(c.difference), format!("{:+.4}", c.difference)),
            Cell::text(format!("{:+.4} to {:+.4}", c.low, c.high)),
            Cell::text(c.word()),
        ]
    };
    let rows = view.runs.iter().filter_map(|r| Some((r, r.against_first.as_ref()?))).map(row).collect();
    let columns = heads(["run", "AP", "change", "95 %", "verdict"]);
    let ap = first.evaluations.last().map_or(NOTHING.to_string(), |e| format!("{:.4}", e.numbers.ap));
    html! {
        (table(&format!("Against {} (AP {ap})", name(first.run)), &columns, rows))
        p.hint { "Paired bootstrap over the validation images; the noise of seeds is not in these intervals." }
    }
}
