//! What is shown of each run: worst images, classes, configuration, environment.

use maud::{html, Markup};
use repghost_coco::metrics::ClassNumbers;
use repghost_coco::Evaluation;
use serde_json::Value;

use super::table::{heads, table, Cell, NOTHING};
use crate::config::diff::diff;
use crate::config::node::{Node, Origin};
use crate::config::{Experiment, Loaded};
use crate::report::source::RunData;
use crate::report::view::{RunView, View};

fn name(runs: &[RunData], view: &RunView) -> String {
    runs.get(view.run).map_or(String::new(), |r| r.name.clone())
}

/// The images with the lowest F1, with buttons that show them.
pub fn worst(runs: &[RunData], views: &[View]) -> Markup {
    let one = |(v, view): (usize, &View)| {
        let mut columns = heads(["image", "objects"]);
        match view.runs.as_slice() {
            [_] => columns.extend(heads(["found", "missed", "false alarms", "F1"])),
            several => columns.extend(several.iter().map(|r| format!("F1, {}", name(runs, r)))),
        }
        let row = |(i, image): (usize, &crate::report::view::ImageView)| {
            let objects = image.counts.first().map_or(0, |c| c.found + c.missed);
            let count = |n: usize| Cell::number(Some(n as f64), 0);
            let button = html! { button.link type="button" data-show=(v) data-image=(i) { (image.name) } };
            let mut cells = vec![Cell::html(button), count(objects)];
            match image.counts.as_slice() {
                [c] => cells.extend([count(c.found), count(c.missed), count(c.false_alarms), Cell::bar(Some(c.f1()))]),
                several => cells.extend(several.iter().map(|c| Cell::bar(Some(c.f1())))),
            }
            cells
        };
        let rows: Vec<_> = view.images.iter().enumerate().filter(|(_, i)| i.worst).map(row).collect();
        let thresholds: Vec<String> = view.runs.iter().map(|r| format!("{:.2}", r.threshold)).collect();
        html! {
            @if rows.is_empty() { p { "No image has an error." } } @else { (table("Images with the lowest F1", &columns, rows)) }
            p.hint {
                "F1 is the harmonic mean of precision and recall of boxes at an IoU of 0.5, at the score threshold that is best over the "
                "whole validation set (" (thresholds.join(", ")) "). A name shows the image above."
            }
        }
    };
    html! { @for part in views.iter().enumerate().map(one) { (part) } }
}

/// Average precision by class.
pub fn classes(runs: &[RunData], views: &[View]) -> Markup {
    let mut tables = Vec::new();
    for view in views {
        for (kind, what) in [("bbox", "Boxes"), ("segm", "Masks")] {
            let with: Vec<(&RunView, &Evaluation)> =
                view.runs.iter().filter_map(|r| Some((r, r.evaluations.iter().find(|e| e.iou_type.name() == kind)?))).collect();
            if let Some((_, first)) = with.first() {
                tables.push(by_class(runs, &with, first, what));
            }
        }
    }
    html! { @for t in tables { (t) } }
}

fn by_class(runs: &[RunData], with: &[(&RunView, &Evaluation)], first: &Evaluation, what: &str) -> Markup {
    let mut columns = heads(["class", "objects"]);
    match with {
        [_] => columns.extend(heads(["AP", "AP50", "AR100"])),
        several => columns.extend(several.iter().map(|(r, _)| format!("AP, {}", name(runs, r)))),
    }
    let row = |class: &ClassNumbers| {
        let mut cells = vec![Cell::text(&class.name), Cell::number(Some(class.objects as f64), 0)];
        let of = |e: &Evaluation| e.classes.iter().find(|c| c.category_id == class.category_id).and_then(|c| c.ap);
        match with {
            [_] => cells.extend([Cell::bar(class.ap), Cell::bar(class.ap50), Cell::bar(class.ar100)]),
            several => cells.extend(several.iter().map(|(_, e)| Cell::bar(of(e)))),
        }
        cells
    };
    table(&format!("{what}: average precision by class"), &columns, first.classes.iter().map(row).collect())
}

/// Configurations of the runs: what differs, then everything.
pub fn configuration(runs: &[RunData]) -> Markup {
    let shown: Vec<&RunData> = runs.iter().filter(|r| r.detailed).collect();
    html! {
        @match shown.as_slice() {
            [] => p { "No run has been started yet." },
            [one] => (against_defaults(one)),
            several => (differences(several)),
        }
        @for run in &shown {
            details { summary { "Everything: " (run.name) } pre tabindex="0" { (run.config_text) } }
        }
    }
}

fn against_defaults(run: &RunData) -> Markup {
    let value = serde_yaml::to_value(Experiment::default()).unwrap_or_default();
    let default = Node::from_value(value, &Origin::Default).unwrap_or_else(|_| Node::empty(Origin::Default));
    let text = |side: &Option<(String, String)>| side.as_ref().map_or(NOTHING.to_string(), |(value, _)| value.clone());
    let row =
        |d: crate::config::diff::Difference| vec![Cell::text(&d.key), Cell::text(text(&d.right)), Cell::text(text(&d.left))];
    let rows = diff(&default, &run.loaded.resolved).into_iter().map(row).collect();
    table("What is not as by default", &heads(["key", "value", "default"]), rows)
}

fn differences(runs: &[&RunData]) -> Markup {
    let [first, others @ ..] = runs else { return html! {} };
    let mut keys: Vec<String> = Vec::new();
    for other in others {
        for d in diff(&first.loaded.resolved, &other.loaded.resolved) {
            // Seeds and folders differ by nature.
            if !keys.contains(&d.key) && d.key != "run.dir" {
                keys.push(d.key);
            }
        }
    }
    if keys.is_empty() {
        return html! { p { "All runs have the same configuration." } };
    }
    let value = |loaded: &Loaded, key: &str| loaded.resolved.at(key).map_or(NOTHING.to_string(), Node::inline);
    let mut columns = heads(["key"]);
    columns.extend(runs.iter().map(|r| r.name.clone()));
    let row = |key: &String| {
        let values = runs.iter().map(|r| Cell::text(value(&r.loaded, key)));
        [Cell::text(key)].into_iter().chain(values).collect()
    };
    table("What differs", &columns, keys.iter().map(row).collect())
}

/// Versions, devices, command lines.
pub fn environment(runs: &[RunData]) -> Markup {
    let shown: Vec<&RunData> = runs.iter().filter(|r| r.detailed && !r.environment.is_null()).collect();
    let flat: Vec<Vec<(String, String)>> = shown.iter().map(|r| flattened(&r.environment)).collect();
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in flat.iter().flatten() {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let value =
        |list: &[(String, String)], key: &str| list.iter().find(|(k, _)| k == key).map_or(NOTHING.into(), |(_, v)| v.clone());
    // Where all runs agree, one column shows it.
    let (same, different): (Vec<&str>, Vec<&str>) =
        keys.into_iter().partition(|key| flat.iter().all(|list| value(list, key) == value(&flat[0], key)));
    let common = same.iter().map(|key| vec![Cell::text(key), Cell::text(value(&flat[0], key))]).collect();
    let mut columns = heads(["key"]);
    columns.extend(shown.iter().map(|r| r.name.clone()));
    let row = |key: &&str| [Cell::text(key)].into_iter().chain(flat.iter().map(|list| Cell::text(value(list, key)))).collect();
    html! {
        @if shown.is_empty() { p { "No run has noted its environment." } } @else {
            (table(if shown.len() > 1 { "The same for all runs" } else { "Environment" }, &heads(["key", "value"]), common))
            @if !different.is_empty() { (table("What differs", &columns, different.iter().map(row).collect())) }
        }
    }
}

/// Values by dotted key; the search for libraries is left out, the command is one line.
fn flattened(environment: &Value) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let inner = environment.get("environment").unwrap_or(&Value::Null);
    for (key, value) in inner.as_object().into_iter().flatten() {
        match value {
            Value::Object(search) => {
                let part = |name: &str| search.get(name).and_then(Value::as_str).unwrap_or(NOTHING).to_string();
                out.push((key.clone(), format!("{} ({})", part("version"), part("found"))));
            }
            Value::Null => {}
            Value::String(text) => out.push((key.replace('_', " "), text.clone())),
            other => out.push((key.replace('_', " "), other.to_string())),
        }
    }
    if let Some(folder) = environment.get("directory").and_then(Value::as_str) {
        out.push(("directory".into(), folder.into()));
    }
    if let Some(words) = environment.get("command").and_then(Value::as_array) {
        let quoted = |w: &str| if w.contains([' ', '*', '$']) { format!("'{w}'") } else { w.to_string() };
        out.push(("command".into(), words.iter().filter_map(Value::as_str).map(quoted).collect::<Vec<_>>().join(" ")));
    }
    out
}
