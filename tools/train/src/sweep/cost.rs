//! What a row's backbone costs: parameters, multiply-adds, latency, before and after fusing.
//!
//! Papers count at 224x224; so does the table. A detector's backbone is counted without classifier.

use std::time::Instant;

use repghost_backbone::cost::Cost;
use repghost_backbone::{Backbone, Eager, FuseLevel, Tree};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::config::{BackboneConfig, Experiment, Task};
use crate::error::TrainError;

/// Height and width of the image that is counted.
pub const SIZE: i64 = 224;
/// Classes of the classifier: ImageNet's.
const CLASSES: i64 = 1000;
/// Forwards that are not timed, and that are.
const WARM_UP: usize = 5;
const TIMED: usize = 30;

/// Complexity and latency of a backbone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowCost {
    /// Learned elements in training form.
    pub parameters: i64,
    /// Learned elements after everything is folded.
    pub fused_parameters: i64,
    /// Multiply-adds of convolutions and fully connected layers.
    pub macs: i64,
    /// Median milliseconds of one image on one thread, in training form (in inference mode).
    pub latency_ms: Option<f64>,
    /// The same after everything is folded.
    pub fused_latency_ms: Option<f64>,
}

/// Counts what an experiment's backbone has and does.
///
/// # Errors
/// A backbone that cannot be built.
pub fn of_experiment(experiment: &Experiment) -> Result<RowCost, TrainError> {
    let [training, fused] = forms(experiment)?;
    let mut cost = Cost::default();
    forward(&training, &mut cost, &vec![1, 3, SIZE, SIZE]);
    Ok(RowCost {
        parameters: training.parameter_count(),
        fused_parameters: fused.parameter_count(),
        macs: cost.macs(),
        ..Default::default()
    })
}

/// Counts that were made: trials that differ in other things than the backbone share one.
#[derive(Debug, Default)]
pub struct Counted(Vec<(BackboneConfig, Task, RowCost)>);

impl Counted {
    /// As [`of_experiment`], once for each distinct backbone.
    ///
    /// # Errors
    /// As [`of_experiment`].
    pub fn count(&mut self, experiment: &Experiment) -> Result<RowCost, TrainError> {
        let (backbone, task) = (&experiment.model.backbone, experiment.task);
        if let Some((_, _, cost)) = self.0.iter().find(|(b, t, _)| b == backbone && *t == task) {
            return Ok(*cost);
        }
        let cost = of_experiment(experiment)?;
        self.0.push((backbone.clone(), task, cost));
        Ok(cost)
    }

    /// Number of distinct networks.
    pub fn distinct(&self) -> usize {
        self.0.len()
    }
}

/// Times the backbones of several experiments on one thread of this machine's CPU: median milliseconds per image, in training form and
/// fused. All take turns, so that whatever else the machine does meets all of them alike. (More threads would wait for each other: one
/// image is too little work for them.)
///
/// # Errors
/// A backbone that cannot be built.
pub fn latencies(experiments: &[&Experiment]) -> Result<Vec<[f64; 2]>, TrainError> {
    let networks = experiments.iter().map(|e| forms(e)).collect::<Result<Vec<_>, _>>()?;
    let mut times: Vec<[Vec<f64>; 2]> = networks.iter().map(|_| Default::default()).collect();
    let _guard = tch::no_grad_guard();
    let image = Tensor::zeros([1, 3, SIZE, SIZE], (Kind::Float, Device::Cpu));
    let threads = tch::get_num_threads();
    tch::set_num_threads(1);
    for run in 0..WARM_UP + TIMED {
        for (forms, times) in networks.iter().zip(&mut times) {
            for (form, times) in forms.iter().zip(times) {
                let start = Instant::now();
                forward(form, &mut Eager::eval(), &image);
                if run >= WARM_UP {
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
    }
    tch::set_num_threads(threads);
    Ok(times.into_iter().map(|both| both.map(median)).collect())
}

/// The backbone in training form and with everything folded.
fn forms(experiment: &Experiment) -> Result<[Backbone; 2], TrainError> {
    let build = || -> Result<Backbone, TrainError> {
        let mut backbone = experiment.model.backbone.build_classifier(CLASSES)?;
        if experiment.task == Task::Detection {
            backbone.drop_classifier();
        }
        Ok(backbone)
    };
    let mut fused = build()?;
    fused.fuse(FuseLevel::All);
    Ok([build()?, fused])
}

fn forward<O: repghost_backbone::Ops>(backbone: &Backbone, ops: &mut O, image: &O::Value) {
    if backbone.has_classifier() {
        backbone.classify(ops, image);
    } else {
        backbone.features(ops, image);
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts are those of timm's model, counted with hooks (facts of the project, section 1.9).
    #[test]
    fn the_price_of_repghostnet_half() {
        let mut experiment = Experiment::default();
        experiment.model.backbone.width = 0.5;
        let row = of_experiment(&experiment).unwrap();
        assert_eq!((row.parameters, row.fused_parameters), (377_928, 367_396));
        assert_eq!((row.macs as f64 / 1e4).round() / 100.0, 39.54);
        assert_eq!(row.latency_ms, None);
        experiment.task = Task::Classification;
        let row = of_experiment(&experiment).unwrap();
        assert_eq!((row.parameters, row.fused_parameters), (2_313_968, 2_302_956));
        assert_eq!((row.macs as f64 / 1e4).round() / 100.0, 43.31);
        let mut counted = Counted::default();
        for seed in 0..5 {
            experiment.train.seed = seed;
            assert_eq!(counted.count(&experiment).unwrap(), row);
        }
        assert_eq!(counted.distinct(), 1);
        let times = latencies(&[&experiment, &Experiment::default()]).unwrap();
        assert!(times.len() == 2 && times.iter().flatten().all(|ms| *ms > 0.0), "{times:?}");
    }
}
