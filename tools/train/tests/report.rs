//! Reports of runs whose detections are made from the ground truth, so that every number on the page is known.

use std::path::{Path, PathBuf};

use repghost_coco::{shapes, write_detections, Detection};
use repghost_train::config::data_paths::Split;
use repghost_train::config::Loaded;
use repghost_train::detection::data;
use repghost_train::report::{self, Page, Request};
use repghost_train::run::metrics::MetricsLog;
use repghost_train::run::{EvalRecord, Record, Sink, StepRecord};

const EXPERIMENT: &str = "
data:
  source: shapes
  shapes: {val_images: 8, picture: {size: [64, 96], empty_every: 0}}
model:
  head: {name: HEAD}
";

/// Images that a spoiled run finds nothing in but a wrong box.
const SPOILED: [usize; 2] = [3, 6];

/// A run folder as training leaves it. In images of `spoiled` one far-off box of a low score takes the place of everything.
fn run(dir: &Path, name: &str, head: &str, overrides: &[&str], spoiled: &[usize]) -> PathBuf {
    let folder = dir.join(name);
    std::fs::create_dir(&folder).unwrap();
    let file = dir.join("experiment.yaml");
    std::fs::write(&file, EXPERIMENT.replace("HEAD", head)).unwrap();
    let loaded = Loaded::read(&file, &overrides.iter().map(|o| o.to_string()).collect::<Vec<_>>()).unwrap();
    loaded.write(&folder.join("config.yaml")).unwrap();
    let truth = data::open(&loaded.experiment, Split::Val, None).unwrap().dataset;
    let mut detections = Vec::new();
    for (i, image) in truth.images.iter().enumerate() {
        let found = |category_id, bbox, score, segmentation| Detection {
            image_id: image.id,
            file_name: None,
            category_id,
            bbox: Some(bbox),
            score,
            segmentation,
        };
        if spoiled.contains(&i) {
            detections.push(found(truth.annotations(i)[0].category_id, [0.0, 0.0, 2.0, 2.0], 0.25, None));
            continue;
        }
        for t in truth.annotations(i) {
            let mask = t.segmentation.to_rle(image.height, image.width).unwrap();
            detections.push(found(t.category_id, t.bbox, 0.755, mask));
        }
    }
    write_detections(&folder.join("detections.json"), &detections).unwrap();
    let mut log = MetricsLog::append(&folder.join("metrics.jsonl")).unwrap();
    for step in 1..=20u64 {
        log.write(&Record::Step(StepRecord {
            step,
            epoch: step as f64 / 10.0,
            loss: 2.0 / step as f64,
            lr: 0.1,
            ..Default::default()
        }))
        .unwrap();
    }
    let metrics = vec![("bbox/AP".to_string(), 0.4375)];
    log.write(&Record::Eval(EvalRecord { step: 20, epoch: 2, metrics, headline: 0.4375, best: true, ..Default::default() }))
        .unwrap();
    folder
}

fn page(folders: &[PathBuf], images: usize) -> Page {
    report::make(&Request { folders: folders.to_vec(), images }, &mut |_| ()).unwrap()
}

/// What the page's script is given.
fn data_of(page: &Page) -> serde_json::Value {
    let start = r#"<script id="data" type="application/json">"#;
    let text = page.html.split(start).nth(1).expect("the page has data").split("</script>").next().unwrap();
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_run_is_shown_with_its_worst_images_first_and_the_numbers_of_its_detections() {
    let dir = tempfile::tempdir().unwrap();
    let folder = run(dir.path(), "mine", "retinanet", &[], &SPOILED);
    let page = page(&[folder], 6);
    assert!(page.notes.is_empty(), "{:?}", page.notes);
    let data = data_of(&page);
    let view = &data["views"][0];
    let objects = view["objects"].as_u64().unwrap();
    let truth = |i: usize| view["images"][i]["truth"].as_array().unwrap().len() as u64;
    // Above 0.25 nothing is wrong; 0.75 is the last hundredth that keeps what was found.
    assert_eq!(view["runs"][0]["threshold"], 0.75);
    let missed = truth(0) + truth(1);
    let counts = |hundredth: usize| view["runs"][0]["counts"][hundredth].clone();
    assert_eq!(counts(25), serde_json::json!([objects - missed, 2]));
    assert_eq!(counts(75), serde_json::json!([objects - missed, 0]));
    assert_eq!(counts(76), serde_json::json!([0, 0]));
    let images = view["images"].as_array().unwrap();
    let worst: Vec<bool> = images.iter().map(|i| i["worst"].as_bool().unwrap()).collect();
    assert_eq!(worst, [true, true, false, false, false, false], "two images have errors, and four of the other six are shown");
    let mut names: Vec<&str> = images[..2].iter().map(|i| i["name"].as_str().unwrap()).collect();
    names.sort();
    let expected = SPOILED.map(|i| shapes::file_name(shapes::FIRST_VAL + i as u64));
    assert_eq!(names, expected);
    assert_eq!(images[0]["found"][0][0]["h"], -1, "the far-off box is a false alarm");
    assert_eq!((images[2]["found"][0][0]["h"].as_i64(), images[2]["found"][0][0]["s"].as_f64()), (Some(0), Some(0.755)));
    assert!(images.iter().all(|i| i["truth"][0]["m"].is_null()), "no run predicts masks, so none are shown");
    assert_eq!(images[0]["size"], serde_json::json!([96, 64]));
    assert!(images[0]["source"].as_str().unwrap().starts_with("data:image/jpeg;base64,"));
    assert_eq!(data["charts"][0]["title"], "Training loss");
    assert_eq!(data["charts"][0]["quantities"][0]["lines"][0]["points"].as_array().unwrap().len(), 20);
    for part in ["<title>mine</title>", "0.438", "Content-Security-Policy", "data.shapes.val_images"] {
        assert!(page.html.contains(part), "{part} is missing");
    }
}

#[test]
fn perfect_detections_have_perfect_numbers_and_masks_are_in_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let page = page(&[run(dir.path(), "perfect", "mask_rcnn", &[], &[])], 4);
    let data = data_of(&page);
    let image = &data["views"][0]["images"][0];
    assert_eq!(image["worst"], false, "nothing is wrong anywhere");
    let (truth, found) = (&image["truth"][0]["m"], &image["found"][0][0]["m"]);
    assert!(truth.as_array().is_some_and(|runs| !runs.is_empty() && runs.len() % 3 == 0), "{truth}");
    // Runs of the same outline; detections of one score keep their order.
    assert_eq!(truth, found);
    for (what, count) in [("Boxes", 3), ("Masks", 3)] {
        let table = page
            .html
            .split(&format!("{what}: average precision by class</caption>"))
            .nth(1)
            .expect("a table")
            .split("</table>")
            .next();
        let row = table.unwrap().split("<tr>").nth(2).unwrap();
        assert_eq!(row.matches("--share:100.0%").count(), count, "{what}: {row}");
    }
    assert!(page.html.contains("No image has an error."));
}

#[test]
fn runs_on_the_same_images_share_a_view_and_differences_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let a = run(dir.path(), "a<b", "retinanet", &[], &SPOILED);
    let b = run(dir.path(), "b", "retinanet", &["train.optimizer.lr=0.5"], &[]);
    let other = run(dir.path(), "other", "retinanet", &["data.shapes.seed=9"], &[]);
    let page = page(&[a.clone(), b, other], 2);
    let data = data_of(&page);
    let runs = |view: usize| data["views"][view]["runs"].as_array().unwrap().iter().map(|r| r["run"].clone()).collect::<Vec<_>>();
    assert_eq!((runs(0), runs(1)), (vec![0.into(), 1.into()], vec![2.into()]));
    assert_eq!(data["views"][0]["images"][0]["found"].as_array().unwrap().len(), 2);
    assert!(page.html.contains("a&lt;b") && !page.html.contains("a<b"), "names are escaped");
    let table = page.html.split("What differs</caption>").nth(1).unwrap().split("</table>").next().unwrap();
    for part in ["train.optimizer.lr", "<td>0.5</td>", "data.shapes.seed"] {
        assert!(table.contains(part), "{part} is missing: {table}");
    }
    assert_eq!(table.matches("<tr>").count(), 3, "a head and two keys: {table}");
    // The same folder twice: names are folders then.
    let twice = report::make(&Request { folders: vec![a.clone(), a], images: 0 }, &mut |_| ()).unwrap();
    assert_eq!(data_of(&twice)["views"][0]["images"], serde_json::json!([]));
}

#[test]
fn what_is_not_there_is_said_and_the_rest_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let folder = run(dir.path(), "run", "retinanet", &[], &[]);
    let text = std::fs::read_to_string(folder.join("config.yaml")).unwrap();
    std::fs::write(folder.join("config.yaml"), text.replace("source: shapes", "source: coco")).unwrap();
    let page = page(&[folder], 6);
    assert_eq!(page.notes.len(), 1);
    assert!(page.notes[0].starts_with("run: predictions are left out: data.val."), "{:?}", page.notes);
    assert!(page.html.contains("data.val.annotations") && page.html.contains("Training loss"));
    assert_eq!(data_of(&page)["views"], serde_json::json!([]));
}

/// The run noted other numbers than its detections have on the data of today.
#[test]
fn data_that_has_changed_since_the_run_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = run(dir.path(), "run", "retinanet", &[], &[]);
    let noted = |ap: f64| std::fs::write(folder.join("metrics.json"), format!("{{\"bbox\": {{\"AP\": {ap}}}}}")).unwrap();
    noted(0.25);
    let notes = page(std::slice::from_ref(&folder), 0).notes;
    assert!(
        notes.len() == 1 && notes[0].starts_with("run: bbox/AP was 0.250 when the run measured it and is 1.000"),
        "{notes:?}"
    );
    noted(1.0);
    assert!(page(std::slice::from_ref(&folder), 0).notes.is_empty());
}

/// Nothing in the page points outside of it (what its script does is `.ci/report_check.py`'s matter).
#[test]
fn the_page_refers_to_nothing_outside() {
    let dir = tempfile::tempdir().unwrap();
    let page = page(&[run(dir.path(), "run", "retinanet", &[], &[])], 2);
    let without_name = page.html.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "<link", "@import", "url("] {
        assert!(!without_name.contains(word), "{word}");
    }
    for attribute in ["src=\"", "href=\""] {
        for value in page.html.split(attribute).skip(1) {
            assert!(value.starts_with('#') || value.starts_with("data:"), "{attribute}{}", &value[..40.min(value.len())]);
        }
    }
}
