//! Suppression as graph nodes against a greedy loop, on crowded random boxes.

use repghost_backbone::synthetic::uniform;
use repghost_export::onnx::graph::ElementType;
use repghost_export::onnx::{
    suppress::{suppress, Suppression, ROUNDS},
    OnnxWriter,
};
use repghost_export::runtime::{onnxruntime, Settings, REFERENCE};
use repghost_export::spec::{encode, finish};
use repghost_testing::need;

const M: usize = 200;
const CLASSES: usize = 3;

/// Corners within 65 px, sizes 15 to 45 px; scores sorted; labels by turns.
fn scene(trial: usize) -> (Vec<[f32; 4]>, Vec<f32>, Vec<f32>) {
    let u = uniform(&format!("scene {trial}"), M * 5);
    let unit = |i: usize| (u[i] + 1.0) / 2.0;
    let boxes = (0..M)
        .map(|i| {
            let [x, y, w, h] = [0, 1, 2, 3].map(|j| unit(i * 5 + j));
            [x * 20.0, y * 20.0, x * 20.0 + 15.0 + w * 30.0, y * 20.0 + 15.0 + h * 30.0]
        })
        .collect();
    let mut scores: Vec<f32> = (0..M).map(|i| unit(i * 5 + 4)).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    (boxes, scores, (0..M).map(|i| (i % CLASSES) as f32).collect())
}

fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let side = |d: usize| (a[d + 2].min(b[d + 2]) - a[d].max(b[d])).max(0.0);
    let area = |c: &[f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let inter = side(0) * side(1);
    inter / (area(a) + area(b) - inter)
}

#[test]
fn equals_greedy_suppression() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let mut ops = OnnxWriter::new(ElementType::F32);
    // One input row a box: corners, score, label.
    let rows = ops.graph.input("images", &[1, M as i64, 6], ElementType::F32);
    let boxes = ops.slice(&rows, 2, 0, 4);
    let [scores, labels] = [4, 5].map(|c| {
        let column = ops.slice(&rows, 2, c, c + 1);
        ops.reshape(&column, &[0, -1], vec![1, M as i64])
    });
    let kept = suppress(&mut ops, &boxes, &scores, Some(&labels), Suppression { iou: 0.5, score: 0.05, rounds: ROUNDS });
    let file = encode(&finish(ops, &[("kept".into(), kept)], "suppress", &[]));
    let mut runtime = REFERENCE.open(&file, Settings::threads(1)).unwrap();
    for trial in 0..20 {
        let (boxes, scores, labels) = scene(trial);
        let mut greedy = vec![0f32; M];
        for j in 0..M {
            let free = (0..j).all(|i| greedy[i] == 0.0 || labels[i] != labels[j] || iou(&boxes[i], &boxes[j]) <= 0.5);
            if scores[j] > 0.05 && free {
                greedy[j] = scores[j];
            }
        }
        let data: Vec<f32> = (0..M).flat_map(|i| boxes[i].into_iter().chain([scores[i], labels[i]])).collect();
        let found = runtime.outputs(&[1, M as i64, 6], &data).unwrap();
        assert_eq!(found[0].data, greedy, "trial {trial}");
        assert!(greedy.iter().filter(|s| **s > 0.0).count() < M / 2, "the scene is crowded");
    }
}
