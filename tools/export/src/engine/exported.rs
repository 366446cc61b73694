//! From files, or a model, to engines: one for each thread that is to run one.

use std::path::Path;
use std::sync::{Arc, Mutex};

use repghost_heads::Detector;
use repghost_train::detection::model::{self, Class};
use repghost_train::Experiment;

use super::detector::DetectorFile;
use super::input::ImageInput;
use super::mask_rcnn::RawMaskRcnn;
use super::retinanet::RawRetinaNet;
use super::Engine;
use crate::error::ExportError;
use crate::metadata::{self, Metadata};
use crate::parts::files::sibling;
use crate::parts::mask_rcnn::{BOXES, MASKS};
use crate::parts::Built;
use crate::runtime::{Runtime, Settings};
use crate::spec::{encode, Part};

/// An exported detector, ready to be loaded by several threads.
pub struct ExportedDetector {
    files: Vec<Vec<u8>>,
    part: Part,
    detector: Option<Arc<Mutex<Detector>>>,
    /// Classes by label.
    pub classes: Vec<Class>,
    /// Sizes of the image input.
    pub input: ImageInput,
}

impl ExportedDetector {
    /// Reads what `export` wrote. Post-processing of raw outputs is that of `e`; the model is that of the file.
    ///
    /// # Errors
    /// Files that are missing, no detectors, or not ours.
    pub fn file(path: &Path, e: &Experiment) -> Result<Self, ExportError> {
        let read = |path: &Path| std::fs::read(path).map_err(ExportError::io(path));
        let format = |why: String| ExportError::Format { path: path.into(), why };
        let bytes = read(path)?;
        let main = metadata::decode(path, &bytes)?;
        let metadata = Metadata::of(&main);
        let part = metadata.part().map_err(format)?;
        let input = ImageInput::of(&main).map_err(format)?;
        let mut files = vec![bytes];
        let mut detector = None;
        match part {
            Part::Detector => {}
            Part::Raw => {
                let mut own = metadata.experiment().map_err(format)?;
                own.eval = e.eval.clone();
                let built = model::build(&own, metadata.classes().len())?;
                if matches!(built, Detector::MaskRcnn(_)) {
                    files.push(read(&sibling(path, BOXES, "onnx"))?);
                    files.push(read(&sibling(path, MASKS, "onnx"))?);
                }
                detector = Some(Arc::new(Mutex::new(built)));
            }
            other => return Err(format(format!("it holds a {}, which finds no objects", other.name()))),
        }
        Ok(Self { files, part, detector, classes: metadata.classes(), input })
    }

    /// From files in memory.
    ///
    /// # Errors
    /// A main file whose input is no image batch.
    pub fn built(built: &Built, part: Part, detector: Option<Detector>, classes: &[Class]) -> Result<Self, ExportError> {
        let main = built.files.first().map(|f| &f.model);
        let input = main.ok_or_else(|| "there is no file".into()).and_then(ImageInput::of).map_err(ExportError::Arguments)?;
        let files = built.files.iter().map(|f| encode(&f.model)).collect();
        let detector = detector.map(|d| Arc::new(Mutex::new(d)));
        Ok(Self { files, part, detector, classes: classes.to_vec(), input })
    }

    /// Loads the files for one thread; each run uses `threads` threads.
    ///
    /// # Errors
    /// A runtime that is not there, files that it refuses.
    pub fn engine(&self, threads: usize, runtime: &Runtime) -> Result<Box<dyn Engine>, ExportError> {
        let mut files = self.files.iter().map(|f| runtime.open(f, Settings::threads(threads)));
        let mut next = || files.next().unwrap_or_else(|| Err(ExportError::Arguments("a file is missing".into())));
        let file = next()?;
        match (&self.detector, self.part) {
            (Some(detector), Part::Raw) if self.files.len() > 1 => {
                let (boxes, masks) = (next()?, next()?);
                Ok(Box::new(RawMaskRcnn { stage_one: file, boxes, masks, detector: detector.clone() }))
            }
            (Some(detector), Part::Raw) => Ok(Box::new(RawRetinaNet { file, detector: detector.clone() })),
            _ => Ok(Box::new(DetectorFile { file })),
        }
    }
}
