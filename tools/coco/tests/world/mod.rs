//! A made-up world: images with objects of three classes, and detectors of chosen quality that look at it.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use repghost_coco::judge::suspects::overlap;
use repghost_coco::judge::{Suspect, Suspicion};
use repghost_coco::{Dataset, DatasetOptions, Detection};

const SIDE: f64 = 400.0;
const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

/// An object: image, class, box.
#[derive(Clone, Debug)]
pub struct Object {
    pub id: i64,
    pub image: i64,
    pub class: i64,
    pub bbox: [f64; 4],
}

#[derive(Clone, Debug)]
pub struct World {
    images: i64,
    objects: Vec<Object>,
}

/// Quality of a detector.
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    /// Share of objects that it misses.
    pub miss: f64,
    /// Standard shift of boxes, as a share of their size.
    pub shift: f64,
    /// False alarms per image, with low scores.
    pub alarms: f64,
}

impl Default for Detector {
    fn default() -> Self {
        Self { miss: 0.12, shift: 0.05, alarms: 1.0 }
    }
}

impl World {
    /// Images with one to six objects on a grid of nine cells.
    pub fn new(seed: u64, images: i64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut objects = Vec::new();
        for image in 1..=images {
            let mut cells: Vec<usize> = (0..9).collect();
            cells.shuffle(&mut random);
            for cell in cells.into_iter().take(random.random_range(1..=6)) {
                let side = || 30.0..90.0;
                let (w, h) = (random.random_range(side()), random.random_range(side()));
                let (x, y) = (133.0 * (cell % 3) as f64 + 10.0, 133.0 * (cell / 3) as f64 + 10.0);
                let class = random.random_range(1..=3);
                objects.push(Object { id: objects.len() as i64 + 1, image, class, bbox: [x, y, w, h] });
            }
        }
        Self { images, objects }
    }

    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    pub fn truth(&self) -> Dataset {
        let json = serde_json::json!({
            "images": (1..=self.images).map(|i| serde_json::json!({"id": i, "file_name": format!("{i}.png"), "width": SIDE as u32, "height": SIDE as u32})).collect::<Vec<_>>(),
            "annotations": self.objects.iter().map(|o| serde_json::json!({"id": o.id, "image_id": o.image, "category_id": o.class, "bbox": o.bbox, "area": o.bbox[2] * o.bbox[3], "iscrowd": 0})).collect::<Vec<_>>(),
            "categories": CLASSES.iter().zip(1..).map(|(name, id)| serde_json::json!({"id": id, "name": name})).collect::<Vec<_>>(),
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json.to_string()).unwrap();
        Dataset::load(file.path(), &DatasetOptions::default()).unwrap()
    }

    /// What a detector finds. Hits have high scores, false alarms and wrong classes lower ones.
    pub fn detect(&self, seed: u64, detector: &Detector) -> Vec<Detection> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let detection = |image_id, category_id, bbox, score| Detection {
            image_id,
            file_name: None,
            category_id,
            bbox: Some(bbox),
            score,
            segmentation: None,
        };
        let mut found = Vec::new();
        for object in &self.objects {
            let [x, y, w, h] = object.bbox;
            let mut shift = |side: f64| side * detector.shift * random.random_range(-2.0..2.0);
            let bbox = [x + shift(w), y + shift(h), w, h];
            let (missed, mixed) = (random.random_bool(detector.miss), random.random_bool(0.04));
            let class = if mixed { object.class % 3 + 1 } else { object.class };
            let score = if mixed { random.random_range(0.1..0.6) } else { random.random_range(0.4..1.0) };
            if !missed {
                found.push(detection(object.image, class, bbox, score));
            }
        }
        for image in 1..=self.images {
            while random.random_bool(detector.alarms / (1.0 + detector.alarms)) {
                let place = [random.random_range(0.0..300.0), random.random_range(0.0..300.0), 50.0, 50.0];
                found.push(detection(image, random.random_range(1..=3), place, random.random_range(0.05..0.6)));
            }
        }
        found
    }
}

/// A label that was damaged.
pub struct Mark {
    pub suspicion: Suspicion,
    object: Object,
}

impl Mark {
    /// Whether a suspect is this label. (A box that was moved far leaves its place unlabelled, which is a finding of it too.)
    pub fn is(&self, suspect: &Suspect) -> bool {
        let here = suspect.image_id == self.object.image && overlap(suspect.detected_box, self.object.bbox) >= 0.5;
        match self.suspicion {
            Suspicion::Missing => here && suspect.annotation_id.is_none(),
            Suspicion::WrongClass => suspect.annotation_id == Some(self.object.id) && suspect.suspicion == Suspicion::WrongClass,
            Suspicion::BadlyPlaced => suspect.annotation_id == Some(self.object.id) || (here && suspect.annotation_id.is_none()),
        }
    }
}

/// Damages a share of the labels in each of three ways.
pub fn damage(world: &World, share: f64, seed: u64) -> (World, Vec<Mark>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..world.objects.len()).collect();
    order.shuffle(&mut random);
    let each = (world.objects.len() as f64 * share) as usize;
    let mut damaged = world.clone();
    let mut marks = Vec::new();
    let kinds = [Suspicion::Missing, Suspicion::WrongClass, Suspicion::BadlyPlaced];
    for (n, &i) in order.iter().take(3 * each).enumerate() {
        let suspicion = kinds[n % 3];
        marks.push(Mark { suspicion, object: world.objects[i].clone() });
        let object = &mut damaged.objects[i];
        match suspicion {
            Suspicion::Missing => object.id = 0,
            Suspicion::WrongClass => object.class = object.class % 3 + 1,
            Suspicion::BadlyPlaced => object.bbox[0] += 0.6 * object.bbox[2],
        }
    }
    damaged.objects.retain(|object| object.id != 0);
    (damaged, marks)
}
