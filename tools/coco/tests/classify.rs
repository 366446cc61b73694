//! A folder a class, through the training and the evaluation recipe.

use std::path::Path;
use std::sync::Arc;

use image::{Rgb, RgbImage};
use repghost_coco::classify::{Classes, ClassifyConfig, Evaluation, ImageFolder, RandAugmentConfig, Training};
use repghost_coco::{Loader, LoaderConfig, Normalize, Source};
use repghost_config::Check;

/// Three classes, whose images have their class' gray.
fn set(root: &Path) {
    for (class, gray, count) in [("bird", 40_u8, 3), ("cat", 120, 4), ("dog", 200, 2)] {
        std::fs::create_dir_all(root.join(class)).unwrap();
        for number in 0..count {
            let image = RgbImage::from_pixel(60 + 10 * number, 50, Rgb([gray; 3]));
            image.save(root.join(class).join(format!("{number}.png"))).unwrap();
        }
    }
    std::fs::write(root.join("README.txt"), "no class").unwrap();
    std::fs::write(root.join("cat/notes.txt"), "no image").unwrap();
}

fn config(batch_size: usize, workers: usize) -> LoaderConfig {
    LoaderConfig { batch_size, workers, group_by_aspect: false, normalize: Normalize::UNIT, ..LoaderConfig::default() }
}

#[test]
fn classes_are_subfolders_and_labels_go_with_their_images() {
    let folder = tempfile::tempdir().unwrap();
    set(folder.path());
    let source = ImageFolder::open(folder.path(), Classes::All, Default::default()).unwrap();
    assert_eq!(source.classes(), ["bird", "cat", "dog"]);
    assert_eq!(source.len(), 9);
    let recipe = ClassifyConfig { size: 32, ..ClassifyConfig::default() };
    let loader = Loader::with_transform(Arc::new(source), config(4, 2).evaluation(), Arc::new(Evaluation(recipe))).unwrap();
    let batches: Vec<_> = loader.epoch(0, 0).map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|b| b.shape[0]).collect::<Vec<_>>(), [4, 4, 1]);
    for batch in &batches {
        for (target, pixels) in batch.targets.iter().zip(batch.pixels.normalized().unwrap().chunks_exact(3 * 32 * 32)) {
            let gray = [40.0, 120.0, 200.0][target.labels[0] as usize] / 255.0;
            assert!(pixels.iter().all(|v| (v - gray).abs() < 0.005), "{:?}", target.labels);
        }
    }
}

#[test]
fn training_is_the_same_for_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    set(folder.path());
    let source = Arc::new(ImageFolder::open(folder.path(), Classes::All, Default::default()).unwrap());
    for rand_augment in [None, Some(RandAugmentConfig { p: 1.0, layers: 4, ..RandAugmentConfig::default() })] {
        let recipe = ClassifyConfig { size: 32, random_erasing: 0.9, rand_augment, ..ClassifyConfig::default() };
        recipe.check("classify").unwrap();
        let stream = |workers, epoch| {
            let loader = Loader::with_transform(source.clone(), config(3, workers), Arc::new(Training(recipe.clone()))).unwrap();
            loader.epoch(epoch, 0).map(|b| b.unwrap().pixels.normalized().unwrap().to_vec()).collect::<Vec<_>>()
        };
        let first = stream(0, 0);
        assert_eq!(first.len(), 3);
        assert!(first.iter().flatten().all(|v| v.is_finite()));
        assert_eq!(first, stream(3, 0));
        assert_ne!(first, stream(0, 1));
    }
}

#[test]
fn a_validation_folder_is_numbered_as_its_training_folder() {
    let folder = tempfile::tempdir().unwrap();
    set(folder.path());
    let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let open = |classes: &[&str]| ImageFolder::open(folder.path(), Classes::Exactly(&names(classes)), Default::default());
    let source = open(&["ant", "dog", "cat", "bird"]).unwrap();
    assert_eq!(source.load(0).unwrap().target.labels, [1]);
    assert!(open(&["bird", "cat"])
        .unwrap_err()
        .to_string()
        .contains(r#"has the subfolder "dog", which is none of the 2 classes"#));
    let empty = tempfile::tempdir().unwrap();
    let error = ImageFolder::open(empty.path(), Classes::All, Default::default()).unwrap_err().to_string();
    assert!(error.contains("holds no images"), "{error}");
    let missing = ImageFolder::open(&empty.path().join("nowhere"), Classes::All, Default::default()).unwrap_err().to_string();
    assert!(missing.contains("nowhere"), "{missing}");
}
