//! A network loaded by a runtime.

use std::time::Instant;

use crate::error::ExportError;

/// Elements of an output, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// 32-bit floats.
    Float(&'a [f32]),
    /// 64-bit integers.
    Int(&'a [i64]),
}

/// A float input: shape and elements, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Sizes.
    pub shape: &'a [i64],
    /// Elements.
    pub values: &'a [f32],
}

/// A named output: shape and elements as floats (integer outputs are converted).
#[derive(Clone, Debug, PartialEq)]
pub struct NamedOutput {
    /// Name in the file.
    pub name: String,
    /// Sizes.
    pub shape: Vec<i64>,
    /// Elements, row-major.
    pub data: Vec<f32>,
}

/// How a network is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Threads within a run.
    pub threads: usize,
    /// Whether threads spin while they wait. Faster for one session alone; idle pools of several would fight for the cores.
    pub spin: bool,
}

impl Settings {
    /// So many threads that do not spin.
    pub fn threads(threads: usize) -> Self {
        Self { threads, spin: false }
    }
}

/// How often a session runs when it is timed.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// Untimed runs first.
    pub warm_up: usize,
    /// Timed runs.
    pub timed: usize,
}

/// Receives an output: name, shape, elements.
pub type Take<'a> = &'a mut dyn FnMut(&str, &[i64], Data);

/// A loaded network.
pub trait Session {
    /// Runs the network on its inputs, in their order, and hands each output to `take`.
    ///
    /// # Errors
    /// The runtime's own.
    fn run(&mut self, inputs: &[Input], take: Take) -> Result<(), ExportError>;

    /// Milliseconds of each timed run. By default a clock around [`Session::run`].
    ///
    /// # Errors
    /// The runtime's own.
    fn time(&mut self, inputs: &[Input], runs: Runs) -> Result<Vec<f64>, ExportError> {
        clock(runs, || self.run(inputs, &mut |_, _, _| ()))
    }

    /// All outputs of a network that has one input.
    ///
    /// # Errors
    /// The runtime's own.
    fn outputs(&mut self, shape: &[i64], values: &[f32]) -> Result<Vec<NamedOutput>, ExportError> {
        let mut all = vec![];
        self.run(&[Input { shape, values }], &mut |name, shape, data| {
            let data = match data {
                Data::Float(v) => v.to_vec(),
                Data::Int(v) => v.iter().map(|v| *v as f32).collect(),
            };
            all.push(NamedOutput { name: name.into(), shape: shape.to_vec(), data });
        })?;
        Ok(all)
    }
}

/// Milliseconds of each timed run of `f`.
///
/// # Errors
/// The first of `f`.
pub fn clock(runs: Runs, mut f: impl FnMut() -> Result<(), ExportError>) -> Result<Vec<f64>, ExportError> {
    for _ in 0..runs.warm_up {
        f()?;
    }
    (0..runs.timed)
        .map(|_| {
            let start = Instant::now();
            f()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}
