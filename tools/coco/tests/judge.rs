//! Error types, confusion and calibration against other tools (`fixtures/judge.json`, made by `tools/fixtures/judge.py`); thresholds
//! against brute force; damaged labels found again; false alarms of the comparison counted.

mod world;

use repghost_coco::judge::{choose, compare, diagnose, suspects, thresholds, CompareOptions, Goal, Suspicion, Verdict};
use repghost_coco::{evaluate, read_detections, Dataset, DatasetOptions, Detection, IouType, Numbers};
use serde_json::Value;
use world::{damage, Detector, World};

fn cases() -> Vec<(Value, Dataset, Vec<Detection>)> {
    let cases: Value = serde_json::from_str(include_str!("fixtures/judge.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (truth, found) = (folder.path().join("gt.json"), folder.path().join("dt.json"));
    let read = |case: &Value| {
        std::fs::write(&truth, case["gt"].to_string()).unwrap();
        std::fs::write(&found, case["dt"].to_string()).unwrap();
        let truth = Dataset::load(&truth, &DatasetOptions::default()).unwrap();
        let detections = read_detections(&found, &truth).unwrap();
        (case.clone(), truth, detections)
    };
    cases.as_array().unwrap().iter().map(read).collect()
}

#[test]
fn error_types_are_those_of_tidecv() {
    let names = [
        ("classification", "Cls"),
        ("localization", "Loc"),
        ("both", "Both"),
        ("duplicate", "Dupe"),
        ("background", "Bkg"),
        ("missed", "Miss"),
    ];
    for (case, truth, detections) in cases() {
        let diagnosis = diagnose(&truth, &detections, IouType::Bbox, None).unwrap();
        let tide = &case["tide"];
        assert!((diagnosis.ap50 - tide["ap50"].as_f64().unwrap()).abs() < 1e-9, "{} {tide}", diagnosis.ap50);
        for (error, (ours, theirs)) in diagnosis.errors.iter().zip(names) {
            assert_eq!(error.name, ours);
            assert_eq!(error.count, tide["count"][theirs].as_u64().unwrap(), "{ours}");
            let gain = tide["gain"][theirs].as_f64().unwrap();
            assert!((error.ap50_gain - gain).abs() < 1e-9, "{ours}: {} but tidecv gives {gain}", error.ap50_gain);
        }
    }
}

#[test]
fn confusion_is_that_of_supervision() {
    let mut compared = 0;
    for (case, truth, detections) in cases() {
        let Some(expected) = case["confusion"].as_array() else { continue };
        let diagnosis = diagnose(&truth, &detections, IouType::Bbox, Some(0.4)).unwrap();
        let counts = serde_json::to_value(&diagnosis.confusion.counts).unwrap();
        assert_eq!(counts.as_array().unwrap(), expected);
        let n = diagnosis.confusion.classes.len();
        let (matched, mixed) = diagnosis.confusion.matched();
        let sum = |same: bool| -> u64 {
            let cells = (0..n).flat_map(|t| (0..n).map(move |d| (t, d))).filter(|(t, d)| !same || t != d);
            cells.map(|(t, d)| expected[t][d].as_u64().unwrap()).sum()
        };
        assert_eq!((matched, mixed), (sum(false), sum(true)));
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn calibration_is_that_of_the_python_package() {
    for (case, truth, detections) in cases() {
        let calibration = diagnose(&truth, &detections, IouType::Bbox, None).unwrap().calibration.unwrap();
        for (ours, name) in [(calibration.ece, "ece"), (calibration.mce, "mce")] {
            let theirs = case["calibration"][name].as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-9, "{name}: {ours} and {theirs}");
        }
        // By its definition: the bins' mean distance, weighted.
        let n = calibration.detections as f64;
        let ece: f64 = calibration.bins.iter().map(|b| (b.score - b.precision).abs() * b.count as f64 / n).sum();
        assert!((ece - calibration.ece).abs() < 1e-9 && calibration.detections == detections.len());
    }
}

/// Counts of sizes, classes and images are three ways to add up the same objects and false alarms.
#[test]
fn groups_add_up() {
    for (_, truth, detections) in cases() {
        let d = diagnose(&truth, &detections, IouType::Bbox, Some(0.5)).unwrap();
        let counts = thresholds::measure(&truth, &detections, IouType::Bbox, 0.5).unwrap();
        for groups in [&d.sizes, &d.classes] {
            let sum = |f: fn(&repghost_coco::judge::diagnosis::Group) -> usize| groups.iter().map(f).sum::<usize>() as u64;
            assert_eq!(
                [sum(|g| g.objects), sum(|g| g.found), sum(|g| g.false_alarms)],
                [counts.objects, counts.found, counts.wrong]
            );
        }
        let worst = d.worst.first().unwrap();
        assert!(worst.missed + worst.false_alarms > 0 && d.worst.windows(2).all(|w| w[0].f1 <= w[1].f1));
    }
}

#[test]
fn nothing_detected_is_diagnosed_as_missed() {
    let (_, truth, _) = cases().remove(0);
    let d = diagnose(&truth, &[], IouType::Bbox, None).unwrap();
    let missed = d.errors.iter().find(|e| e.name == "missed").unwrap();
    let objects: usize = d.classes.iter().map(|c| c.objects).sum();
    assert_eq!((missed.count as usize, d.ap50, d.calibration), (objects, 0.0, None));
}

/// Every cut between two scores is tried; none is better than the chosen one.
#[test]
fn chosen_thresholds_are_those_of_brute_force() {
    for (_, truth, detections) in cases() {
        let at = |t: f64| thresholds::measure(&truth, &detections, IouType::Bbox, t).unwrap();
        let scores: Vec<f64> = detections.iter().map(|d| d.score).collect();
        let chosen = choose(&truth, &detections, IouType::Bbox, Goal::F1, false).unwrap().shared;
        let best = scores.iter().map(|&s| at(s).f1()).fold(0.0, f64::max);
        assert!((chosen.f1 - best).abs() < 1e-12 && (at(chosen.threshold).f1() - best).abs() < 1e-12);
        assert!(chosen.low <= chosen.threshold && chosen.threshold <= chosen.high, "{chosen:?}");
        let precise = scores.iter().filter(|&&s| at(s).precision() >= 0.7).map(|&s| at(s).recall()).fold(0.0, f64::max);
        let chosen = choose(&truth, &detections, IouType::Bbox, Goal::Precision(0.7), false).unwrap().shared;
        assert!(chosen.precision >= 0.7 && (chosen.recall - precise).abs() < 1e-12, "{chosen:?}, brute force {precise}");
        let highest = scores.iter().copied().filter(|&s| at(s).recall() >= 0.3).fold(0.0, f64::max);
        let chosen = choose(&truth, &detections, IouType::Bbox, Goal::Recall(0.3), false).unwrap().shared;
        assert!(chosen.recall >= 0.3 && at(highest) == at(chosen.threshold) && chosen.threshold < highest, "{chosen:?}");
        // Halfway between two scores: none lies within rounding of it.
        assert!(scores.iter().all(|s| (s - chosen.threshold).abs() > 1e-6));
    }
}

#[test]
fn goals_out_of_reach_and_classes_with_few_objects_are_named() {
    let (_, truth, detections) = cases().remove(0);
    let refused = choose(&truth, &detections, IouType::Bbox, Goal::Recall(0.99), false).unwrap_err().to_string();
    assert!(refused.contains("no threshold reaches a recall of 0.99; the highest is 0."), "{refused}");
    let (_, truth, detections) = cases().remove(1);
    let few: Vec<_> = choose(&truth, &detections, IouType::Bbox, Goal::F1, true).unwrap().classes;
    assert!(few[0].chosen.is_some());
    let world = World::new(7, 3);
    let chosen = choose(&world.truth(), &world.detect(1, &Detector::default()), IouType::Bbox, Goal::F1, true).unwrap();
    let rare = chosen.classes.iter().find(|c| c.chosen.is_none()).expect("three images have fewer than ten of some class");
    assert_eq!(rare.reason.as_deref(), Some(format!("cannot be told from {} objects", rare.objects).as_str()));
    assert_eq!(chosen.of(&rare.name), chosen.shared.threshold);
    for bad in ["precision=0", "recall=1.1", "f2", "recall"] {
        assert!(bad.parse::<Goal>().unwrap_err().contains("expected f1, precision=0.95"));
    }
    assert_eq!("recall=0.9".parse::<Goal>(), Ok(Goal::Recall(0.9)));
}

#[test]
fn thresholds_survive_json_and_bad_ones_do_not() {
    let world = World::new(3, 40);
    let chosen = choose(&world.truth(), &world.detect(2, &Detector::default()), IouType::Bbox, Goal::F1, true).unwrap();
    let text = serde_json::to_string(&chosen).unwrap();
    assert_eq!(thresholds::Thresholds::parse(&text).unwrap(), chosen);
    assert!(chosen.lowest() <= chosen.shared.threshold);
    let bad = text.replacen(&format!("\"threshold\":{}", chosen.shared.threshold), "\"threshold\":7", 1);
    assert!(thresholds::Thresholds::parse(&bad).unwrap_err().contains("threshold 7 is not between 0 and 1"));
}

/// 5 % of the labels each get another class, a shifted box, or are dropped; a detector that was trained on true ones is the witness.
#[test]
fn damaged_labels_are_found_again() {
    let world = World::new(11, 120);
    let (damaged, marks) = damage(&world, 0.05, 5);
    let truth = damaged.truth();
    let detections = world.detect(3, &Detector::default());
    let found = suspects(&truth, &detections, 0.5).unwrap();
    assert!(found.windows(2).all(|w| w[0].score >= w[1].score));
    let k = marks.len();
    let right = found.iter().take(k).filter(|s| marks.iter().any(|m| m.is(s))).count();
    let chance = k as f64 / world.objects() as f64;
    let precision = right as f64 / k as f64;
    println!("precision at {k}: {precision:.2}, by chance {chance:.2}");
    assert!(precision > 0.6 && precision > 4.0 * chance, "precision at {k} is {precision:.2}, by chance {chance:.2}");
    for kind in [Suspicion::Missing, Suspicion::WrongClass, Suspicion::BadlyPlaced] {
        let (all, hit) = marks
            .iter()
            .filter(|m| m.suspicion == kind)
            .fold((0, 0), |(all, hit), m| (all + 1, hit + usize::from(found.iter().any(|s| m.is(s)))));
        assert!(all > 10 && hit * 2 > all, "{kind:?}: {hit} of {all}");
    }
    // Nothing that was not damaged is listed as another class of what it is.
    assert!(found.iter().filter(|s| s.suspicion == Suspicion::WrongClass).all(|s| s.labelled.as_ref() != Some(&s.detected)));
    assert!(suspects(&world.truth(), &[], 0.5).unwrap().is_empty());
}

#[test]
fn a_detector_equals_itself_and_a_better_one_is_better() {
    let world = World::new(21, 80);
    let truth = world.truth();
    let a = world.detect(1, &Detector::default());
    let options = CompareOptions { samples: 300, ..CompareOptions::default() };
    let same = compare(&truth, &[&a], &[&a], &options).unwrap();
    assert_eq!((same.ap().verdict, same.ap().low, same.ap().high), (Verdict::Equal, 0.0, 0.0));
    assert!(same.classes.iter().all(|c| c.verdict == Verdict::Equal) && !same.seed_noise);
    let b = world.detect(2, &Detector { miss: 0.35, ..Detector::default() });
    let worse = compare(&truth, &[&a], &[&b], &options).unwrap();
    assert_eq!(worse.ap().verdict, Verdict::Worse, "{:?}", worse.ap());
    let numbers = [&a, &b].map(|d| evaluate(&truth, d, IouType::Bbox).unwrap().numbers);
    for (change, of) in worse.overall.iter().zip([|n: &Numbers| n.ap, |n: &Numbers| n.ap50, |n: &Numbers| n.ap75]) {
        assert!((change.a - of(&numbers[0])).abs() < 1e-12 && (change.b - of(&numbers[1])).abs() < 1e-12, "{change:?}");
    }
    let back = compare(&truth, &[&b], &[&a], &options).unwrap();
    assert!((back.ap().difference + worse.ap().difference).abs() < 1e-12 && back.ap().verdict == Verdict::Better);
}

/// Pairs of detectors of the same quality: a test at 5 % may call 5 of 100 pairs different.
#[test]
fn null_pairs_raise_as_many_false_alarms_as_promised() {
    const PAIRS: u64 = 200;
    let options = CompareOptions { samples: 200, ..CompareOptions::default() };
    let alarms = (0..PAIRS)
        .filter(|pair| {
            let world = World::new(1000 + pair, 40);
            let [a, b] = [0, 1].map(|side| world.detect(10_000 + 2 * pair + side, &Detector::default()));
            let change = compare(&world.truth(), &[&a], &[&b], &options).unwrap().ap().clone();
            matches!(change.verdict, Verdict::Better | Verdict::Worse)
        })
        .count();
    let rate = alarms as f64 / PAIRS as f64;
    println!("{alarms} of {PAIRS} null pairs are called different");
    assert!((rate - 0.05).abs() <= 0.03, "{alarms} of {PAIRS}");
}

/// With several runs per side, runs that differ among themselves hide a difference that images alone would confirm.
#[test]
fn seeds_that_differ_widen_the_interval() {
    let world = World::new(31, 80);
    let truth = world.truth();
    let run = |seed, miss| world.detect(seed, &Detector { miss, ..Detector::default() });
    let (a, b) = ([run(1, 0.1), run(2, 0.3), run(3, 0.2)], [run(4, 0.12), run(5, 0.17), run(6, 0.05)]);
    let options = CompareOptions { samples: 200, ..CompareOptions::default() };
    let (a, b): (Vec<&[Detection]>, Vec<&[Detection]>) =
        (a.iter().map(Vec::as_slice).collect(), b.iter().map(Vec::as_slice).collect());
    let all = compare(&truth, &a, &b, &options).unwrap();
    let one = compare(&truth, &a[..1], &b[..1], &options).unwrap();
    assert!(all.seed_noise && !one.seed_noise && all.runs == [3, 3]);
    let width = |c: &repghost_coco::judge::Change| c.high - c.low;
    assert!(width(all.ap()) > width(one.ap()), "{:?} {:?}", all.ap(), one.ap());
    assert!(compare(&truth, &a, &[], &options).is_err());
}
