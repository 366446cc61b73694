//! All sites in all runtimes, in turn.

use std::sync::atomic::{AtomicBool, Ordering};

use repghost_backbone::{Backbone, BackboneConfig, FuseLevel, Tree};

use super::super::measure::installed;
use super::super::outcome::machine;
use super::super::plan::{Form, RuntimeName, Variant};
use super::super::python::Python;
use super::super::stats::{Runs, Stats};
use super::super::timing;
use super::outcome::{Outcome, Row};
use super::{eager, operators, profile, sites};
use crate::error::ExportError;
use crate::synthetic;

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

/// Measures. `None` when `stop` was raised.
///
/// # Errors
/// What a runtime says.
pub fn run(r: &Request, stop: &AtomicBool, progress: &mut dyn FnMut(usize, usize)) -> Result<Option<Outcome>, ExportError> {
    let _guard = tch::no_grad_guard();
    let config = BackboneConfig { width: r.width, ..BackboneConfig::named("ghostnet") };
    let mut net = synthetic::backbone(&config, CLASSES)?;
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

fn one(r: &Request, net: &Backbone, sites: &[sites::Site], v: &Variant, python: Option<&Python>) -> Result<Row, ExportError> {
    let (mut concat, mut add, mut network) = (vec![], vec![], vec![]);
    let rounds = r.rounds.clamp(1, r.runs.max(1));
    for round in 0..rounds {
        let timed = r.runs * (round + 1) / rounds - r.runs * round / rounds;
        let runs = Runs { warm_up: 2, timed };
        concat.extend(operators::time(sites, operators::Join::Concat, v, runs, python)?);
        add.extend(operators::time(sites, operators::Join::Add, v, runs, python)?);
        network.extend(timing::backbone(net, v, r.size, runs, python)?);
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
