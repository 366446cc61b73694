//! Checks that need more than one key, or the meaning of one.

use super::error::ConfigError;
use super::node::Node;
use super::schema::{Experiment, HeadConfig, OptimizerName, ScheduleName, Task};

/// Collects what is wrong.
struct Checker<'a> {
    tree: &'a Node,
    problems: Vec<ConfigError>,
}

impl Checker<'_> {
    /// Notes a problem unless `ok`.
    fn check(&mut self, ok: bool, key: &str, found: impl ToString, expected: &str) {
        if !ok {
            self.problems.push(ConfigError::Value {
                key: key.into(),
                found: found.to_string(),
                expected: expected.into(),
                origin: self.tree.origin_of(key),
            });
        }
    }

    fn positive(&mut self, key: &str, value: f64) {
        self.check(value.is_finite() && value > 0.0, key, value, "a number above 0");
    }

    fn not_negative(&mut self, key: &str, value: f64) {
        self.check(value.is_finite() && value >= 0.0, key, value, "a number, 0 or more");
    }

    fn share(&mut self, key: &str, value: f64) {
        self.check((0.0..=1.0).contains(&value), key, value, "a number from 0 to 1");
    }

    fn share_below_one(&mut self, key: &str, value: f64) {
        self.check((0.0..1.0).contains(&value), key, value, "a number from 0 to below 1");
    }

    fn at_least_one(&mut self, key: &str, value: usize) {
        self.check(value >= 1, key, value, "a whole number, 1 or more");
    }
}

/// Checks an experiment; `tree` tells who set what.
///
/// # Errors
/// All problems at once, one line each.
pub fn check(experiment: &Experiment, tree: &Node) -> Result<(), ConfigError> {
    let mut c = Checker { tree, problems: Vec::new() };
    check_model(&mut c, experiment);
    check_data(&mut c, experiment);
    check_train(&mut c, experiment);
    check_schedule(&mut c, experiment);
    check_eval(&mut c, experiment);
    match c.problems.len() {
        0 => Ok(()),
        1 => Err(c.problems.remove(0)),
        _ => Err(ConfigError::Several(c.problems)),
    }
}

fn check_model(c: &mut Checker, e: &Experiment) {
    let classifier = matches!(e.model.head, HeadConfig::Classifier(_));
    let detectors = repghost_heads::HeadConfig::NAMES.join(" or ");
    let expected = match e.task {
        Task::Detection => format!("{detectors}, as task is detection (or task: classification)"),
        Task::Classification => "classifier, as task is classification (or task: detection)".into(),
    };
    c.check(classifier == (e.task == Task::Classification), "model.head.name", e.model.head.name(), &expected);
    if let Err(error) = e.model.backbone.check() {
        c.check(false, &format!("model.backbone.{}", error.key), error.found, &error.expected);
    }
}

fn check_data(c: &mut Checker, e: &Experiment) {
    let smoothing = if let HeadConfig::Classifier(head) = &e.model.head { head.label_smoothing } else { 0.0 };
    c.share_below_one("model.head.label_smoothing", smoothing);
    if let Some(classes) = &e.data.classes {
        c.check(!classes.is_empty(), "data.classes", "an empty list", "at least one name, or null for all classes");
        for (i, name) in classes.iter().enumerate() {
            c.check(!classes[..i].contains(name), "data.classes", format!("'{name}' twice"), "each name once");
        }
    }
}

fn check_train(c: &mut Checker, e: &Experiment) {
    let t = &e.train;
    c.at_least_one("train.epochs", t.epochs);
    c.at_least_one("train.batch_size", t.batch_size);
    c.at_least_one("train.accumulate", t.accumulate);
    c.check((1..=t.batch_size.max(1)).contains(&t.replicas), "train.replicas", t.replicas, "from 1 to train.batch_size");
    c.at_least_one("train.log_every", t.log_every);
    c.at_least_one("train.checkpoint.keep_last", t.checkpoint.keep_last);
    if let Some(base) = t.base_batch_size {
        c.at_least_one("train.base_batch_size", base);
    }
    if let Some(norm) = t.clip_grad_norm {
        c.positive("train.clip_grad_norm", norm);
    }
    if let Some(ema) = &t.ema {
        c.share_below_one("train.ema.decay", ema.decay);
    }
    c.check(
        t.batch_norm.frozen_stages <= 4,
        "train.batch_norm.frozen_stages",
        t.batch_norm.frozen_stages,
        "from 0 to 4 (C2 to C5)",
    );
    let loaded = e.init.backbone.is_some() || e.init.detector.is_some();
    c.check(
        t.batch_norm.frozen_stages == 0 || loaded,
        "train.batch_norm.frozen_stages",
        format!("{} without weights", t.batch_norm.frozen_stages),
        "init.backbone or init.detector to be set: frozen layers keep what they start with, and that would be noise",
    );
    c.check(
        !t.batch_norm.use_running_stats || loaded,
        "train.batch_norm.use_running_stats",
        "true without weights",
        "init.backbone or init.detector to be set: a new network has no statistics to use",
    );
    let o = &t.optimizer;
    c.positive("train.optimizer.lr", o.lr);
    c.not_negative("train.optimizer.weight_decay", o.weight_decay);
    c.share_below_one("train.optimizer.momentum", o.momentum);
    c.positive("train.optimizer.eps", o.eps);
    for (i, beta) in o.betas.iter().enumerate() {
        c.share_below_one(&format!("train.optimizer.betas.{i}"), *beta);
    }
    c.check(
        !o.nesterov || (o.name == OptimizerName::Sgd && o.momentum > 0.0),
        "train.optimizer.nesterov",
        true,
        "false, unless train.optimizer.name is sgd and momentum above 0",
    );
}

fn check_schedule(c: &mut Checker, e: &Experiment) {
    let s = &e.train.schedule;
    c.check(
        s.warmup_steps.is_none() || s.warmup_epochs.is_none(),
        "train.schedule.warmup_epochs",
        "a value beside warmup_steps",
        "only one of the two (set the other to null)",
    );
    if let Some(epochs) = s.warmup_epochs {
        c.not_negative("train.schedule.warmup_epochs", epochs);
    }
    c.share("train.schedule.warmup_factor", s.warmup_factor);
    c.share("train.schedule.pct_start", s.pct_start);
    c.check(s.div_factor >= 1.0, "train.schedule.div_factor", s.div_factor, "a number, 1 or more");
    c.not_negative("train.schedule.min_lr", s.min_lr);
    c.check(
        s.min_lr <= e.train.optimizer.lr,
        "train.schedule.min_lr",
        s.min_lr,
        &format!("at most train.optimizer.lr ({})", e.train.optimizer.lr),
    );
    if s.name == ScheduleName::MultiStep {
        c.positive("train.schedule.gamma", s.gamma);
        let rising = s.milestones.windows(2).all(|w| w[0] < w[1]) && s.milestones.iter().all(|m| *m >= 0.0);
        c.check(rising, "train.schedule.milestones", format!("{:?}", s.milestones), "epochs in rising order");
    }
}

fn check_eval(c: &mut Checker, e: &Experiment) {
    c.share("eval.score_threshold", e.eval.score_threshold);
    c.share("eval.nms_threshold", e.eval.nms_threshold);
    c.at_least_one("eval.pre_nms_top_k", e.eval.pre_nms_top_k);
    c.at_least_one("eval.max_detections", e.eval.max_detections);
    c.at_least_one("eval.batch_size", e.eval.batch_size);
}
