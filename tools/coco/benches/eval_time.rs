//! How long reading and evaluating take, without the start of the program: for a comparison with pycocotools side by side
//! (`tools/fixtures/coco_time.py` times the same steps there).
//!
//! `cargo bench -p repghost-coco --bench eval_time -- GT.json DT.json bbox|segm`, or `GT.json` alone to time reading.

use std::path::Path;
use std::time::Instant;

use repghost_coco::{evaluate, read_detections, Dataset, DatasetOptions, IouType};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let (Some(truth), detections) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: eval_time GT.json [DT.json bbox|segm]".into());
    };
    for segmentations in [false, true] {
        let start = Instant::now();
        let set = Dataset::load(Path::new(truth), &DatasetOptions { segmentations, ..Default::default() })?;
        let objects: usize = (0..set.len()).map(|index| set.annotations(index).len()).sum();
        println!(
            "read {} images, {objects} objects, outlines {segmentations}: {:.4} s",
            set.len(),
            start.elapsed().as_secs_f64()
        );
    }
    let Some(detections) = detections else { return Ok(()) };
    let iou_type = if arguments.get(2).is_some_and(|name| name == "segm") { IouType::Segm } else { IouType::Bbox };
    for _ in 0..3 {
        let start = Instant::now();
        let options = DatasetOptions { segmentations: iou_type == IouType::Segm, ..Default::default() };
        let set = Dataset::load(Path::new(truth), &options)?;
        let found = read_detections(Path::new(detections), &set)?;
        let read = start.elapsed();
        let evaluation = evaluate(&set, &found, iou_type)?;
        println!(
            "{} AP {:.6}: {:.4} s with reading, {:.4} s of it reading",
            iou_type.name(),
            evaluation.numbers.ap,
            start.elapsed().as_secs_f64(),
            read.as_secs_f64()
        );
    }
    Ok(())
}
