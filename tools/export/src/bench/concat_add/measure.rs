//! All sites in all runtimes, in turn.

use std::sync::atomic::{AtomicBool, Ordering};

use repghost_backbone::{Backbone, BackboneConfig, FuseLevel, Tree};

use super::super::measure::installed;
use super::super::outcome::machine;
use super::super::plan::{Form, Variant};
use super::super::stats::Stats;
use super::super::timing;
use super::outcome::{Outcome, Row};
use super::within::Within;
use super::{eager, operators, profile, sites};
use crate::error::ExportError;
use crate::runtime::session::Runs;
use crate::runtime::Runtime;
use crate::synthetic;

/// Runtimes that run whole networks only: a traced one has its joins optimised away, and trtexec times itself.
const WHOLE: [&str; 2] = ["torchscript", "tensorrt"];
/// How the joins are timed within a network.
type TimeWithin = fn(&Backbone, &Variant, [i64; 2], Runs) -> Result<Within, ExportError>;
/// Runtimes that can time their joins within a network.
const WITHIN: [(&str, TimeWithin); 2] = [("libtorch", eager::within), ("onnxruntime", profile::within)];
/// Classes of the network.
const CLASSES: i64 = 1000;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Request {
    /// Width of GhostNet.
    pub width: f64,
    /// Runtimes.
    pub runtimes: Vec<&'static Runtime>,
    /// Images per run.
    pub batch: Vec<i64>,
    /// Threads per run.
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
/// The runtime's own.
pub fn run(r: &Request, stop: &AtomicBool, progress: &mut dyn FnMut(usize, usize)) -> Result<Option<Outcome>, ExportError> {
    let _guard = tch::no_grad_guard();
    let config = BackboneConfig { width: r.width, ..BackboneConfig::named("ghostnet") };
    let mut net = synthetic::backbone(&config, CLASSES)?;
    net.fuse(FuseLevel::All);
    let (wanted, whole): (Vec<_>, Vec<_>) = r.runtimes.iter().partition(|r| !WHOLE.contains(&r.name));
    let (runtimes, mut notes) = installed(&wanted);
    let whole = whole.iter().map(|r| format!("{} is not measured site by site; `bench` times whole networks in it", r.name));
    notes.extend(whole);
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
                let v = Variant { model: net.name.clone(), form: Form::Fused, runtime, batch: *batch, threads: *threads };
                rows.push(one(r, &net, &sites, &v)?);
            }
        }
    }
    let count = sites::of(&net, [1, 3, r.size[0], r.size[1]]).len();
    Ok(Some(Outcome { network: net.name.clone(), sites: count, machine: machine(), size: r.size, rows, notes }))
}

fn one(r: &Request, net: &Backbone, sites: &[sites::Site], v: &Variant) -> Result<Row, ExportError> {
    let (mut concat, mut add, mut network) = (vec![], vec![], vec![]);
    let rounds = r.rounds.clamp(1, r.runs.max(1));
    for round in 0..rounds {
        let timed = r.runs * (round + 1) / rounds - r.runs * round / rounds;
        let runs = Runs { warm_up: 2, timed };
        concat.extend(operators::time(sites, operators::Join::Concat, v, runs)?);
        add.extend(operators::time(sites, operators::Join::Add, v, runs)?);
        network.extend(timing::backbone(net, v, r.size, runs)?);
    }
    let median = |times: &[f64]| Stats::of(times).map_or(f64::NAN, |s| s.median_ms);
    let runs = Runs { warm_up: 2, timed: r.runs };
    let within =
        WITHIN.iter().find(|(name, _)| *name == v.runtime.name).map(|(_, within)| within(net, v, r.size, runs)).transpose()?;
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
