//! The Python programs of docs/export.md read raw files and find what the exporter's own engine finds. Needs a Python with onnxruntime, numpy
//! and Pillow (`REPGHOST_PYTHON`, or python3).

use std::path::{Path, PathBuf};
use std::process::Command;

use repghost_backbone::synthetic::input;
use repghost_backbone::weights::Form;
use repghost_backbone::{BackboneConfig, FuseLevel, Tree};
use repghost_coco::{ShapesSource, Source};
use repghost_export::engine::exported::ExportedDetector;
use repghost_export::engine_pool::ExportedPool;
use repghost_export::metadata::Metadata;
use repghost_export::model::{Model, Network};
use repghost_export::onnx::{ElementType, Nms};
use repghost_export::runtime::onnxruntime;
use repghost_export::spec::{BatchSize, ExportSpec, Part};
use repghost_export::{parts, synthetic};
use repghost_testing::need;
use repghost_train::engine::{EnginePool, Pictures};

const SIZE: [i64; 2] = [96, 96];
const CLASSES: usize = 3;

fn python() -> Option<PathBuf> {
    let program = std::env::var_os("REPGHOST_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let out = Command::new(&program).args(["-c", "import onnxruntime, numpy, PIL"]).output().ok()?;
    out.status.success().then_some(program)
}

/// The blocks of a document that begin with `# NAME.py`, as files.
fn write_programs(folder: &Path) -> Vec<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/export.md");
    let text = std::fs::read_to_string(document).unwrap();
    let blocks = text.split("```python\n").skip(1).map(|b| b.split("```").next().unwrap());
    let mut names = vec![];
    for block in blocks {
        let name = block.lines().next().unwrap().trim_start_matches("# ").to_string();
        std::fs::write(folder.join(&name), block).unwrap();
        names.push(name);
    }
    names
}

#[test]
fn programs_of_the_documentation_find_what_the_engine_finds() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let Some(python) = need("python", python(), "pip install onnxruntime numpy pillow, or set REPGHOST_PYTHON") else { return };
    let _guard = tch::no_grad_guard();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(write_programs(folder.path()), ["raw.py", "retinanet.py", "mask_rcnn.py"]);
    let sample = ShapesSource { seed: 3, first: 0, count: 1, config: Default::default(), masks: false }.load(0).unwrap();
    let photo = folder.path().join("photo.png");
    let image =
        repghost_coco::resize::resize(&sample.image, SIZE[1] as usize, SIZE[0] as usize, repghost_coco::resize::Filter::Bilinear);
    image.save(&photo).unwrap();
    for head in ["retinanet", "mask_rcnn"] {
        let mut e = synthetic::narrow(&BackboneConfig { width: 0.5, ..BackboneConfig::default() }, head).unwrap();
        let pixels = input("gate", &[1, 3, SIZE[0], SIZE[1]]) * 2.0;
        let mut detector = synthetic::detector(&mut e, CLASSES, &pixels).unwrap();
        detector.fuse(FuseLevel::All);
        let network = Network::Detector(Box::new(detector));
        let model = Model { network, classes: synthetic::classes(CLASSES), form: Form::Folded, cutoffs: vec![] };
        let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Fixed(1), size: SIZE };
        let built = parts::build(&model, Part::Raw, &spec, Nms::PLAIN, &Metadata(vec![])).unwrap();
        built.write(&folder.path().join(format!("{head}_raw.onnx"))).unwrap();

        let opened = ExportedDetector::built(&built, model.network.decoder(), &model.classes).unwrap();
        let pool = ExportedPool::opened(opened);
        let mut slot = vec![0.0; 3 * (SIZE[0] * SIZE[1]) as usize];
        repghost_coco::Normalize::default().write(&image, &mut slot, SIZE[0] as usize, SIZE[1] as usize);
        let pictures = Pictures { pixels: &slot, shape: [1, 3, SIZE[0], SIZE[1]], sizes: &[SIZE] };
        let expected = pool.engine(SIZE, 1).unwrap().detect(pictures).unwrap().remove(0);
        assert!(expected.scores.len() > 10, "only {} detections", expected.scores.len());

        let out = Command::new(&python)
            .current_dir(folder.path())
            .args([&format!("{head}.py"), &format!("{head}_raw"), "photo.png"])
            .env("OMP_NUM_THREADS", "1")
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        let found: Vec<(&str, Vec<f32>)> = text
            .lines()
            .map(|line| {
                // Names of classes hold a space: "class 1".
                let (name, rest) = line.split_at(line.match_indices(' ').nth(1).unwrap().0);
                (name, rest.split_whitespace().map(|v| v.parse().unwrap()).collect())
            })
            .collect();
        assert_eq!(found.len(), expected.scores.len(), "{head}:\n{text}");
        // Nearly equal scores may come in another order: each detection has its own partner.
        let side = expected.masks.as_ref().map_or(0, |m| m.len() / expected.scores.len());
        let mut free = vec![true; found.len()];
        for (i, b) in expected.boxes.iter().enumerate() {
            let mask = expected.masks.as_ref().map(|m| m[i * side..(i + 1) * side].iter().sum::<f32>() / side as f32);
            let partner = (0..found.len()).find(|j| {
                let (name, v) = &found[*j];
                free[*j]
                    && *name == model.classes[expected.labels[i] as usize].name
                    && (v[0] - expected.scores[i]).abs() < 1e-3
                    && (0..4).all(|k| (v[1 + k] - b[k]).abs() < 0.05)
                    && mask.is_none_or(|m| (v[5] - m).abs() < 1e-3)
            });
            free[partner.unwrap_or_else(|| panic!("{head}: detection {i} {b:?} is missing in\n{text}"))] = false;
        }
    }
}
