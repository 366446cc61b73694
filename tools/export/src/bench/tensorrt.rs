//! TensorRT by trtexec, as the RepGhost paper's figure 8 has it: batch 32, the mean of 100 runs.
//!
//! Files, command lines, logs, engines and exported times stay in the folder. Without trtexec the files and the command lines of both generations
//! are written, to be run where there is a GPU.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use repghost_backbone::Backbone;

use super::plan::{Form, Plan, Variant};
use super::report::write_bytes;
use super::stats::Row;
use super::timing::onnx;
use crate::error::ExportError;
use crate::onnx::ElementType;
use crate::runtime::list::TENSORRT;
use crate::tensorrt::find::{version, WHERE_IT_COMES_FROM};
use crate::tensorrt::{find_trtexec, Generation, Profile, Summary, Times, TrtBench};

/// Rows and notes.
#[derive(Debug, Default)]
pub struct Found {
    /// Times.
    pub rows: Vec<Row>,
    /// Lines to print.
    pub notes: Vec<String>,
}

/// A network in one precision and batch.
struct Job {
    variant: Variant,
    bench: TrtBench,
}

/// Times the plan's networks in trtexec, in single and in half precision, or writes how to.
///
/// # Errors
/// trtexec's own.
pub fn run(plan: &Plan, networks: &HashMap<(String, Form), Backbone>, folder: &Path) -> Result<Found, ExportError> {
    let root = folder.join("tensorrt");
    let jobs = jobs(plan, networks, &root)?;
    let mut found = Found::default();
    let Some(trtexec) = find_trtexec() else {
        for (generation, name) in [(Generation::UpTo10, "up_to_10"), (Generation::From11, "from_11")] {
            let lines: String = jobs.iter().map(|j| j.bench.shell("trtexec", generation) + "\n").collect();
            let path = root.join(format!("commands_{name}.sh"));
            write_bytes(&path, format!("#!/bin/sh\nset -e\n{lines}").as_bytes())?;
            found.notes.push(format!("no trtexec here: {} holds the command lines", path.display()));
        }
        found.notes.push(WHERE_IT_COMES_FROM.into());
        return Ok(found);
    };
    let version = version(&trtexec)?;
    let generation = Generation::from(version);
    for job in jobs {
        let Timed { times, summary, profile } = time(&trtexec, generation, &job.bench)?;
        let latency = if times.compute_ms.iter().any(|t| *t > 0.0) { &times.compute_ms } else { &times.latency_ms };
        let slowest = profile.layers.iter().max_by(|a, b| a.percentage.total_cmp(&b.percentage));
        let slowest = slowest.map_or_else(String::new, |l| format!("; slowest layer {} ({:.1} %)", l.name, l.percentage));
        let queries = summary.throughput_qps;
        let name = &job.variant.model;
        found.notes.push(format!("{name}: {queries:.1} batches/s by trtexec {version}{slowest}"));
        found.rows.extend(Row::new(job.variant.clone(), latency));
    }
    Ok(found)
}

fn jobs(plan: &Plan, networks: &HashMap<(String, Form), Backbone>, root: &Path) -> Result<Vec<Job>, ExportError> {
    let mut jobs = vec![];
    for batch in &plan.batch {
        for model in &plan.models {
            for form in &plan.forms {
                let Some(net) = networks.get(&(model.name.clone(), *form)) else { continue };
                for (precision, suffix) in [(ElementType::F32, "fp32"), (ElementType::F16, "fp16")] {
                    let name = format!("{} {} b{batch} {suffix}", model.name, form.name()).replace([' ', '/'], "_");
                    let output = root.join(name);
                    std::fs::create_dir_all(&output).map_err(ExportError::io(&output))?;
                    let file = output.join("model.onnx");
                    std::fs::write(&file, onnx(net, *batch, plan.size, precision)?).map_err(ExportError::io(&file))?;
                    let variant = Variant {
                        model: format!("{} {suffix}", model.name),
                        form: *form,
                        runtime: TENSORRT,
                        batch: *batch,
                        threads: plan.threads.first().copied().unwrap_or(1),
                    };
                    let fp16 = precision == ElementType::F16;
                    let input = [3, plan.size[0], plan.size[1]];
                    let bench = TrtBench { onnx: file, output, batch: *batch, input, dynamic: false, fp16 };
                    jobs.push(Job { variant, bench });
                }
            }
        }
    }
    Ok(jobs)
}

/// What one run of trtexec gave.
#[derive(Debug)]
pub struct Timed {
    /// Of each timed run.
    pub times: Times,
    /// What it printed.
    pub summary: Summary,
    /// By layer.
    pub profile: Profile,
}

/// Runs trtexec once; the command and what it printed stay beside engine, times and profile.
///
/// # Errors
/// It cannot be started, fails, or exports no times.
pub fn time(trtexec: &Path, generation: Generation, bench: &TrtBench) -> Result<Timed, ExportError> {
    let keep = |name: &str| -> PathBuf { bench.output.join(name) };
    write_bytes(&keep("command.sh"), (bench.shell(&trtexec.display().to_string(), generation) + "\n").as_bytes())?;
    let out = Command::new(trtexec).args(bench.arguments(generation)).output().map_err(ExportError::io(trtexec))?;
    let stdout = String::from_utf8_lossy(&out.stdout);
    write_bytes(&keep("trtexec.log"), &[&out.stdout[..], &out.stderr].concat())?;
    let summary = Summary::parse(&stdout)?;
    let read = |path: PathBuf| std::fs::read_to_string(&path).map_err(ExportError::io(&path));
    Ok(Timed { times: Times::parse(&read(bench.times())?)?, summary, profile: Profile::parse(&read(bench.profile())?)? })
}
