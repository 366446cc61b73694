//! Optimizers, clipping and schedules against numbers of torch 2.11 and timm (`tools/fixtures/optimizers.py`).

use repghost_backbone::{Entry, Role};
use repghost_train::optim::{AdamW, Gradients, Grouping, ParamSlot, Sgd, UpdateRule};
use repghost_train::schedule::{scaled_lr, Decay, Schedule, WarmUp};
use serde_json::Value;
use tch::Tensor;

const SHAPES: [(&str, &[i64]); 3] = [("w", &[2, 3]), ("b", &[4]), ("rare", &[2, 2])];

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/optimizers.json")).unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn slots() -> Vec<ParamSlot> {
    let entries = SHAPES.iter().map(|(name, shape)| {
        let n = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..n).map(|k| (0.5 * (k as f64).cos()) as f32).collect();
        let tensor = Tensor::from_slice(&values).view(*shape).set_requires_grad(true);
        Entry { name: name.to_string(), tensor, role: Role::Parameter }
    });
    Grouping { weight_decay: 0.05, decay_1d: false, lr_factors: vec![] }.slots(entries.collect())
}

fn gradients(step: usize) -> Gradients {
    let gradient = |(name, shape): &(&str, &[i64])| {
        let n = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..n).map(|k| (step as f64 + 1.0 + 0.7 * k as f64).sin() as f32).collect();
        (*name != "rare" || step % 2 == 1).then(|| Tensor::from_slice(&values).view(*shape))
    };
    Gradients(SHAPES.iter().map(gradient).collect())
}

/// Runs all steps; after half of them the state goes through `state` and `load_state` into a new optimizer.
fn compare<R: UpdateRule>(key: &str, make: impl Fn() -> R) {
    let fixture = fixture();
    let lrs = numbers(&fixture["lr"]);
    let trace = fixture[key].as_array().unwrap();
    let mut slots = slots();
    let mut optimizer = make();
    for (t, expected) in trace.iter().enumerate() {
        if t == trace.len() / 2 {
            let state = optimizer.state(&slots);
            optimizer = make();
            optimizer.load_state(&slots, &state).unwrap();
        }
        optimizer.step(&mut slots, &gradients(t), lrs[t]).unwrap();
        for slot in &slots {
            let found = Vec::<f32>::try_from(slot.tensor.detach().reshape([-1])).unwrap();
            for (k, (a, b)) in found.iter().zip(numbers(&expected[&slot.name])).enumerate() {
                assert!((f64::from(*a) - b).abs() < 1e-6, "{key}: {}[{k}] after step {t} is {a}, torch has {b}", slot.name);
            }
        }
    }
}

#[test]
fn sgd_equals_torch() {
    compare("plain", || Sgd::new(0.0, false));
    compare("sgd", || Sgd::new(0.9, false));
    compare("nesterov", || Sgd::new(0.9, true));
}

#[test]
fn adamw_equals_torch() {
    compare("adamw", || AdamW::new(0.9, 0.99, 1e-8));
}

#[test]
fn state_of_another_optimizer_or_model_is_refused() {
    let mut slots = slots();
    let mut adamw = AdamW::new(0.9, 0.99, 1e-8);
    adamw.step(&mut slots, &gradients(1), 0.1).unwrap();
    let state = adamw.state(&slots);
    assert_eq!(state.len(), 9, "three tensors a parameter");
    let err = Sgd::new(0.9, false).load_state(&slots, &state).unwrap_err();
    assert!(err.to_string().contains("'exp_avg.b' belongs to no trained parameter"), "{err}");
    slots[0].tensor = Tensor::from_slice(&[0f32; 3]);
    let err = AdamW::new(0.9, 0.99, 1e-8).load_state(&slots, &state).unwrap_err();
    assert!(err.to_string().contains("exp_avg of w has shape [2, 3], the parameter [3]"), "{err}");
}

#[test]
fn clipping_equals_torch() {
    let clip = &fixture()["clip"];
    let grads = || {
        let second = Tensor::from_slice(&[0.5f32, 2.0, -6.0, 0.25]).view([2, 2]);
        Gradients(vec![Some(Tensor::from_slice(&[3f32, -4.0, 1.0])), None, Some(second)])
    };
    let (clipped, norm) = grads().clipped(2.5).unwrap();
    assert!((norm - clip["norm"].as_f64().unwrap()).abs() < 1e-5);
    for (g, expected) in clipped.0.iter().flatten().zip(clip["grads"].as_array().unwrap()) {
        let found = Vec::<f32>::try_from(g.reshape([-1])).unwrap();
        for (a, b) in found.iter().zip(numbers(expected)) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{a} against {b}");
        }
    }
    let (untouched, _) = grads().clipped(100.0).unwrap();
    assert_eq!(Vec::<f32>::try_from(untouched.0[0].as_ref().unwrap()).unwrap(), [3.0, -4.0, 1.0]);
}

#[test]
fn clipping_survives_no_gradients_and_reports_what_is_not_finite() {
    assert_eq!(Gradients(vec![None]).clipped(1.0).unwrap().1, 0.0);
    let (left, norm) = Gradients(vec![Some(Tensor::from_slice(&[f32::INFINITY, 1.0]))]).clipped(1.0).unwrap();
    assert!(norm.is_infinite());
    assert_eq!(Vec::<f32>::try_from(left.0[0].as_ref().unwrap()).unwrap(), [f32::INFINITY, 1.0]);
}

#[test]
fn accumulated_gradients_are_sums() {
    let slots = slots();
    let loss = |f: f64| slots[0].tensor.sum(tch::Kind::Float) * f;
    let sum = Gradients::of(&loss(1.0), &slots).unwrap().plus(Gradients::of(&loss(2.0), &slots).unwrap()).unwrap();
    assert_eq!(Vec::<f32>::try_from(sum.0[0].as_ref().unwrap().reshape([-1])).unwrap(), [3.0; 6]);
    assert!(sum.0[1].is_none(), "a parameter outside the loss has no gradient");
}

fn equal(schedule: &Schedule, base: f64, stride: u64, expected: &[f64]) {
    for (t, lr) in expected.iter().enumerate() {
        let found = base * schedule.factor(t as u64 * stride);
        assert!((found - lr).abs() < 1e-12 + 1e-9 * lr, "step {t}: {found} against {lr}");
    }
}

#[test]
fn schedules_equal_torch() {
    let fixture = fixture();
    let none = WarmUp { steps: 0, start: 1.0 };
    let base = Schedule { warm_up: none, decay: Decay::Constant, total_steps: 24, stride: 1 };
    let multistep = Decay::MultiStep { milestones: vec![16, 22], gamma: 0.1 };
    let warm = Schedule { warm_up: WarmUp { steps: 8, start: 0.001 }, decay: multistep, ..base.clone() };
    equal(&warm, 1.0, 1, &numbers(&fixture["warmup_multistep"]));
    equal(&Schedule { decay: Decay::Cosine { floor: 0.01 }, ..base.clone() }, 1.0, 1, &numbers(&fixture["cosine"]));
    let one_cycle = Decay::OneCycle { rise: 0.2, div: 25.0, floor: 1.0 / 25.0 / 1e4 };
    equal(&Schedule { decay: one_cycle, total_steps: 25, ..base }, 1.0, 1, &numbers(&fixture["one_cycle"]));
}

/// The paper's ImageNet recipe, stepped per epoch of 7 steps.
#[test]
fn cosine_per_epoch_equals_timm() {
    let expected = numbers(&fixture()["timm_epochs"]);
    assert!(
        (expected[1] - 0.12008).abs() < 1e-5 && (expected[299] - 2.645e-5).abs() < 1e-8,
        "the rates of facts/repghost.md 3.1"
    );
    let warm_up = WarmUp { steps: 35, start: 1e-4 / 0.6 };
    let schedule = Schedule { warm_up, decay: Decay::Cosine { floor: 1e-5 / 0.6 }, total_steps: 2100, stride: 7 };
    equal(&schedule, 0.6, 7, &expected);
    assert_eq!(schedule.factor(13), schedule.factor(7), "within an epoch the rate stays");
}

#[test]
fn one_step_runs_have_a_finite_rate() {
    for total in 0..4 {
        let decay = Decay::OneCycle { rise: 0.3, div: 25.0, floor: 1.0 / 25.0 / 1e4 };
        let s = Schedule { warm_up: WarmUp { steps: 0, start: 1.0 }, decay, total_steps: total, stride: 1 };
        assert!((0..4).all(|t| s.factor(t).is_finite()));
    }
}

#[test]
fn the_rate_follows_the_batch() {
    assert_eq!(scaled_lr(0.01, 8, Some(16)), 0.005);
    assert_eq!(scaled_lr(0.01, 8, None), 0.01);
}
