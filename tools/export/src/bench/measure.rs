//! Rounds in which all variants take turns. Machines drift: what is compared has to be timed in one sitting, again and again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use repghost_backbone::{Backbone, FuseLevel, Tree};

use super::outcome::{machine, Outcome};
use super::plan::{Form, Plan, RuntimeName, Variant};
use super::python::Python;
use super::stats::{Row, Runs};
use super::tensorrt;
use super::timing;
use crate::error::ExportError;
use crate::runtime::onnxruntime;
use crate::synthetic;

/// Which of the runtimes are there; notes about the others.
pub fn installed(wanted: &[RuntimeName], python: Option<&Python>) -> (Vec<RuntimeName>, Vec<String>) {
    let mut notes = vec![];
    let there = |r: &RuntimeName| {
        let missing = match r {
            RuntimeName::Onnxruntime if onnxruntime::find().is_none() => Some("run `make setup`".to_string()),
            RuntimeName::Mnn | RuntimeName::Openvino if !python.is_some_and(|p| p.has(*r)) => {
                let package = if *r == RuntimeName::Mnn { "mnn" } else { "openvino" };
                Some(format!("pip install {package}, or name a Python that has it in {}", super::python::VARIABLE))
            }
            _ => None,
        };
        if let Some(how) = &missing {
            notes.push(format!("{} is not installed and was left out: {how}", r.name()));
        }
        missing.is_none()
    };
    let found = wanted.iter().copied().filter(there).collect();
    (found, notes)
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

/// Runs a plan; TensorRT's files go below `folder`. `None` when `stop` was raised. `progress` is told of timed sessions, and how many there are.
///
/// # Errors
/// What a runtime says.
pub fn run(
    plan: &Plan,
    folder: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Outcome>, ExportError> {
    plan.check()?;
    let _guard = tch::no_grad_guard();
    let wants_python = plan.runtimes.iter().any(|r| matches!(r, RuntimeName::Mnn | RuntimeName::Openvino));
    let python = if wants_python { Python::find() } else { None };
    let (runtimes, mut notes) = installed(&plan.runtimes, python.as_ref());
    let networks = networks(plan)?;
    let here = Plan { runtimes: runtimes.into_iter().filter(|r| *r != RuntimeName::Tensorrt).collect(), ..plan.clone() };
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
            times[i].extend(timing::backbone(net, v, plan.size, runs, python.as_ref())?);
            progress(round * variants.len() + k + 1, total);
        }
    }
    let mut rows: Vec<Row> = variants.into_iter().zip(&times).filter_map(|(v, t)| Row::new(v, t)).collect();
    if plan.runtimes.contains(&RuntimeName::Tensorrt) {
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
