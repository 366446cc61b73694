//! What concatenation costs (the RepGhost paper's figures 1 and 2): the 32 sites of GhostNet 1.0x where a Ghost module joins its two halves, as
//! concatenation and as addition of the same two tensors.
//!
//! | module | what is measured |
//! |---|---|
//! | [`sites`] | which tensors meet where |
//! | [`operators`] | all sites one after another, nothing else: figure 1 |
//! | [`eager`] | each site within the running network, in libtorch, and the share of every operator: figure 2 |
//! | [`profile`] | the same in onnxruntime, from its profiler |
//! | [`report`] | tables and picture |
//!
//! An addition gives half as many channels as a concatenation, so the rest of the network could not go on from it. Within the network both are
//! therefore computed at each site and timed by themselves; what flows on is the concatenation.

pub mod eager;
pub mod operators;
pub mod profile;
pub mod report;
pub mod sites;

use std::sync::atomic::{AtomicBool, Ordering};

use repghost_backbone::{BackboneConfig, FuseLevel, Tree};
use serde::Serialize;

use super::measure::{installed, machine};
use super::plan::{Form, RuntimeName, Variant};
use super::python::Python;
use super::session::{self, Runs};
use super::stats::Stats;
use crate::error::ExportError;
use crate::sample;

/// Classes of the network.
const CLASSES: i64 = 1000;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Request {
    /// Width of GhostNet.
    pub width: f64,
    /// Runtimes.
    pub runtimes: Vec<RuntimeName>,
    /// Images a run.
    pub batch: Vec<i64>,
    /// Threads of a run.
    pub threads: Vec<usize>,
    /// Height and width of the images.
    pub size: [i64; 2],
    /// Timed runs of each thing.
    pub runs: usize,
    /// Rounds in which they take turns.
    pub rounds: usize,
}

/// One runtime at one batch and number of threads; milliseconds a run, medians.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Runtime.
    pub runtime: RuntimeName,
    /// Images a run.
    pub batch: i64,
    /// Threads.
    pub threads: usize,
    /// All sites as concatenation, alone.
    pub concat_ms: f64,
    /// All sites as addition, alone.
    pub add_ms: f64,
    /// The whole network.
    pub network_ms: f64,
    /// All sites as concatenation within the network, where the runtime tells.
    pub concat_within_ms: Option<f64>,
    /// All sites as addition within the network.
    pub add_within_ms: Option<f64>,
    /// Share of each kind of operator in the network's time, greatest first.
    pub shares: Vec<(String, f64)>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The network.
    pub network: String,
    /// Number of sites.
    pub sites: usize,
    /// The machine, in words.
    pub machine: String,
    /// Height and width of the images.
    pub size: [i64; 2],
    /// A row a runtime, batch and number of threads.
    pub rows: Vec<Row>,
    /// Lines for people.
    pub notes: Vec<String>,
}

/// Measures. `None` when `stop` was raised.
///
/// # Errors
/// What a runtime says.
pub fn run(r: &Request, stop: &AtomicBool, progress: &mut dyn FnMut(usize, usize)) -> Result<Option<Outcome>, ExportError> {
    let _guard = tch::no_grad_guard();
    let config = BackboneConfig { width: r.width, ..BackboneConfig::named("ghostnet") };
    let mut net = sample::backbone(&config, CLASSES)?;
    net.fuse(FuseLevel::All);
    let python = r.runtimes.iter().any(|r| matches!(r, RuntimeName::Mnn | RuntimeName::Openvino)).then(Python::find).flatten();
    let (runtimes, mut notes) = installed(&r.runtimes, python.as_ref());
    let total = runtimes.len() * r.batch.len() * r.threads.len();
    let (mut rows, mut count) = (vec![], 0);
    for batch in &r.batch {
        let sites = sites::of(&net, [*batch, 3, r.size[0], r.size[1]]);
        for threads in &r.threads {
            for runtime in runtimes.iter().copied() {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                progress(count, total);
                count += 1;
                if matches!(runtime, RuntimeName::Tensorrt | RuntimeName::Torchscript) {
                    notes.push(format!("{} is not measured site by site; `bench` times whole networks in it", runtime.name()));
                    continue;
                }
                let v = Variant { model: net.name.clone(), form: Form::Fused, runtime, batch: *batch, threads: *threads };
                rows.push(one(r, &net, &sites, &v, python.as_ref())?);
            }
        }
    }
    notes.dedup();
    let count = sites::of(&net, [1, 3, r.size[0], r.size[1]]).len();
    Ok(Some(Outcome { network: net.name.clone(), sites: count, machine: machine(), size: r.size, rows, notes }))
}

fn one(
    r: &Request,
    net: &repghost_backbone::Backbone,
    sites: &[sites::Site],
    v: &Variant,
    python: Option<&Python>,
) -> Result<Row, ExportError> {
    let (mut concat, mut add, mut network) = (vec![], vec![], vec![]);
    let rounds = r.rounds.clamp(1, r.runs.max(1));
    for round in 0..rounds {
        let timed = r.runs * (round + 1) / rounds - r.runs * round / rounds;
        let runs = Runs { warm_up: 2, timed };
        concat.extend(operators::time(sites, operators::Join::Concat, v, runs, python)?);
        add.extend(operators::time(sites, operators::Join::Add, v, runs, python)?);
        network.extend(session::backbone(net, v, r.size, runs, python)?);
    }
    let median = |times: &[f64]| Stats::of(times).map_or(f64::NAN, |s| s.median_ms);
    let runs = Runs { warm_up: 2, timed: r.runs };
    let within = match v.runtime {
        RuntimeName::Libtorch => Some(eager::within(net, v, r.size, runs)?),
        RuntimeName::Onnxruntime => Some(profile::within(net, v, r.size, runs)?),
        _ => None,
    };
    Ok(Row {
        runtime: v.runtime,
        batch: v.batch,
        threads: v.threads,
        concat_ms: median(&concat),
        add_ms: median(&add),
        network_ms: median(&network),
        concat_within_ms: within.as_ref().map(|w| w.concat_ms),
        add_within_ms: within.as_ref().map(|w| w.add_ms),
        shares: within.map_or_else(Vec::new, |w| w.shares),
    })
}

/// Times within a network.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// All sites as concatenation, milliseconds.
    pub concat_ms: f64,
    /// All sites as addition.
    pub add_ms: f64,
    /// Share of each kind of operator in the network's time, greatest first.
    pub shares: Vec<(String, f64)>,
}

/// Shares of sums of times, greatest first.
fn shares(sums: impl IntoIterator<Item = (String, f64)>) -> Vec<(String, f64)> {
    let mut all: Vec<(String, f64)> = sums.into_iter().collect();
    let total: f64 = all.iter().map(|(_, t)| t).sum();
    all.iter_mut().for_each(|(_, t)| *t /= total.max(f64::MIN_POSITIVE));
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}
