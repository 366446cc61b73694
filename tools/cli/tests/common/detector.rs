//! A folder with a detector that finds something without having been trained.

use repghost_backbone::synthetic::input;
use repghost_backbone::weights::{self, StateDict};
use repghost_coco::{ShapesSource, Source};
use repghost_export::synthetic;
use repghost_train::config::{Loaded, Split};
use repghost_train::detection::{data, model};

use super::Folder;

/// A small RetinaNet's head.
pub const RETINANET: &str = "{name: retinanet, tower_depth: 1}";
/// A small Mask R-CNN's.
pub const MASK_RCNN: &str = "{name: mask_rcnn, rpn: {pre_nms_top_n_test: 100, post_nms_top_n_test: 50}, box_head: {fcs: [32]}, \
                             mask_head: {convs: [16], deconv: 16}}";

/// An experiment with a head.
pub fn experiment(head: &str) -> String {
    format!(
        "data: {{source: shapes, shapes: {{train_images: 2, val_images: 6}}, augment: {{resize: {{size: 96}}}}}}\n\
         model:\n  backbone: {{name: repghostnet, width: 0.5}}\n  fpn: {{channels: 16}}\n  head: {head}\n\
         eval: {{max_detections: 30}}\n"
    )
}

/// A folder with an experiment `a.yaml`, weights `w.safetensors` that find something, and an image; and the threshold that belongs to them.
pub fn folder(head: &str) -> (Folder, String) {
    let folder = Folder::new(&[("a.yaml", &experiment(head))]);
    let mut e = Loaded::read(&folder.path().join("a.yaml"), &[]).unwrap().experiment;
    let val = data::open(&e, Split::Val, None).unwrap();
    let classes = model::classes_of(&val.dataset);
    let pixels = input("gate", &[1, 3, 96, 96]);
    let detector = synthetic::detector(&mut e, classes.len(), &pixels).unwrap();
    let mut state = StateDict::of(&detector, "");
    state.metadata = repghost_train::model::metadata("detector", "", &classes);
    weights::write(folder.path().join("w.safetensors"), &state).unwrap();
    let source = ShapesSource { seed: 0, first: 0, count: 1, config: Default::default(), masks: false };
    source.load(0).unwrap().image.save(folder.path().join("a.png")).unwrap();
    (folder, format!("eval.score_threshold={}", e.eval.score_threshold))
}
