//! Rounds in which all variants take turns. Machines drift: what is compared has to be timed in one sitting, again and again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use repghost_backbone::{Backbone, FuseLevel, Tree};
use serde::Serialize;

use super::plan::{Form, Plan, RuntimeName, Variant};
use super::python::Python;
use super::session::{self, Runs};
use super::stats::Stats;
use super::tensorrt;
use crate::error::ExportError;
use crate::runtime::onnxruntime;
use crate::sample;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was timed.
    #[serde(flatten)]
    pub variant: Variant,
    /// Its times.
    #[serde(flatten)]
    pub stats: Stats,
    /// Images a second, from the median.
    pub images_per_second: f64,
    /// The baseline's median divided by this one: above 1 is faster.
    pub speed_up: Option<f64>,
}

/// What came of a benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Heading.
    pub title: String,
    /// Height and width of the images.
    pub size: [i64; 2],
    /// The machine, in words.
    pub machine: String,
    /// Rows in the order of the plan.
    pub rows: Vec<Row>,
    /// Lines for people: what was left out and why, where commands lie.
    pub notes: Vec<String>,
}

/// The processor's name and count.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split(':').nth(1)).map_or("processor", str::trim);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} processors, {}", std::env::consts::ARCH)
}

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
            let mut net = sample::backbone(&model.backbone, plan.classes)?;
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
            times[i].extend(session::backbone(net, v, plan.size, runs, python.as_ref())?);
            progress(round * variants.len() + k + 1, total);
        }
    }
    let mut rows: Vec<Row> = variants.into_iter().zip(&times).filter_map(|(v, t)| row(v, Stats::of(t)?)).collect();
    if plan.runtimes.contains(&RuntimeName::Tensorrt) {
        let found = tensorrt::run(plan, &networks, folder)?;
        rows.extend(found.rows);
        notes.extend(found.notes);
    }
    compare(plan, &mut rows);
    Ok(Some(Outcome { title: plan.title.clone(), size: plan.size, machine: machine(), rows, notes }))
}

/// A row without its comparison.
pub fn row(variant: Variant, stats: Stats) -> Option<Row> {
    let images_per_second = variant.batch as f64 / stats.median_ms * 1e3;
    Some(Row { variant, stats, images_per_second, speed_up: None })
}

fn compare(plan: &Plan, rows: &mut [Row]) {
    let medians: Vec<(Variant, f64)> = rows.iter().map(|r| (r.variant.clone(), r.stats.median_ms)).collect();
    for row in rows {
        let base = plan.baseline_of(&row.variant);
        let found = medians.iter().find(|(v, _)| *v == base).map(|(_, m)| *m);
        row.speed_up = found.map(|m| m / row.stats.median_ms);
    }
}
