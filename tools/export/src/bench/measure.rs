//! Rounds in which all variants take turns. Machines drift: what is compared has to be timed in one sitting, again and again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use repghost_backbone::{Backbone, FuseLevel, Tree};

use super::outcome::{machine, Outcome};
use super::plan::{Form, Plan, Variant};
use super::stats::Row;
use super::tensorrt;
use super::timing;
use crate::error::ExportError;
use crate::runtime::list::TENSORRT;
use crate::runtime::session::Runs;
use crate::runtime::Runtime;
use crate::synthetic;

/// Which of the runtimes are there; notes about the others.
pub fn installed(wanted: &[&'static Runtime]) -> (Vec<&'static Runtime>, Vec<String>) {
    let mut notes = vec![];
    let mut there = vec![];
    for runtime in wanted {
        match (runtime.check)() {
            Ok(()) => there.push(*runtime),
            Err(e) => notes.push(format!("{} is not installed and was left out: {}", runtime.name, e.cause())),
        }
    }
    (there, notes)
}

/// The networks of a plan, in every form.
fn networks(plan: &Plan) -> Result<HashMap<(String, Form), Backbone>, ExportError> {
    let mut all = HashMap::new();
    for model in &plan.models {
        for form in &plan.forms {
            let mut net = synthetic::backbone(&model.backbone, plan.classes)?;
            if *form == Form::Fused {
                net.fuse(FuseLevel::All);
            }
            all.insert((model.name.clone(), *form), net);
        }
    }
    Ok(all)
}

/// Runs a plan; TensorRT's files go below `folder`. `None` when `stop` was raised. `progress` gets the number of timed sessions, and of all.
///
/// # Errors
/// The runtime's own.
pub fn run(
    plan: &Plan,
    folder: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Outcome>, ExportError> {
    plan.check()?;
    let _guard = tch::no_grad_guard();
    let (trtexec, in_process): (Vec<_>, Vec<_>) = plan.runtimes.iter().partition(|r| **r == TENSORRT);
    let (runtimes, mut notes) = installed(&in_process);
    let networks = networks(plan)?;
    let here = Plan { runtimes, ..plan.clone() };
    let variants = here.variants();
    let mut times: Vec<Vec<f64>> = vec![vec![]; variants.len()];
    let rounds = plan.rounds.min(plan.runs);
    let total = rounds * variants.len();
    for round in 0..rounds {
        // Runs are shared out evenly, and every round starts with another variant.
        let timed = plan.runs * (round + 1) / rounds - plan.runs * round / rounds;
        for k in 0..variants.len() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let i = (k + round) % variants.len();
            let v = &variants[i];
            let Some(net) = networks.get(&(v.model.clone(), v.form)) else { continue };
            let runs = Runs { warm_up: plan.warm_up, timed };
            times[i].extend(timing::backbone(net, v, plan.size, runs)?);
            progress(round * variants.len() + k + 1, total);
        }
    }
    let mut rows: Vec<Row> = variants.into_iter().zip(&times).filter_map(|(v, t)| Row::new(v, t)).collect();
    if !trtexec.is_empty() {
        let found = tensorrt::run(plan, &networks, folder)?;
        rows.extend(found.rows);
        notes.extend(found.notes);
    }
    compare(plan, &mut rows);
    Ok(Some(Outcome { title: plan.title.clone(), size: plan.size, machine: machine(), rows, notes }))
}

fn compare(plan: &Plan, rows: &mut [Row]) {
    let medians: Vec<(Variant, f64)> = rows.iter().map(|r| (r.variant.clone(), r.stats.median_ms)).collect();
    for row in rows {
        let base = plan.baseline_of(&row.variant);
        let found = medians.iter().find(|(v, _)| *v == base).map(|(_, m)| *m);
        row.speed_up = found.map(|m| m / row.stats.median_ms);
    }
}
