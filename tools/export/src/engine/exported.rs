//! From files, or a model, to engines: one for each thread that is to run one.

use std::path::Path;
use std::sync::{Arc, Mutex};

use repghost_heads::Detector;
use repghost_train::detection::model::{self, Class};
use repghost_train::Experiment;

use super::detector::DetectorFile;
use super::mask_rcnn::RawMaskRcnn;
use super::retinanet::RawRetinaNet;
use super::Engine;
use crate::error::ExportError;
use crate::metadata::{self, Metadata};
use crate::onnx::proto;
use crate::parts::files::sibling;
use crate::parts::mask_rcnn::{BOXES, MASKS};
use crate::parts::Built;
use crate::runtime::{Runtime, Settings};
use crate::spec::encode;
use crate::spec::Part;

/// An exported detector, ready to be loaded by several threads.
pub struct ExportedDetector {
    files: Vec<Vec<u8>>,
    part: Part,
    detector: Option<Arc<Mutex<Detector>>>,
    /// Classes by label.
    pub classes: Vec<Class>,
    /// Images a run; none where any number goes.
    pub batch: Option<i64>,
    /// Height and width of the input; none where any multiple of 32 goes.
    pub size: Option<[i64; 2]>,
}

/// Sizes of the image input: batch, height, width, each none where it is dynamic.
fn input_sizes(file: &proto::Model) -> Option<[Option<i64>; 3]> {
    let input = file.graph.as_ref()?.input.first()?;
    let dims = &input.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?.dim;
    match dims.as_slice() {
        [n, _, h, w] => Some([n.dim_value, h.dim_value, w.dim_value]),
        _ => None,
    }
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
        let sizes = input_sizes(&main).ok_or_else(|| format("its input is no batch of images".into()))?;
        Ok(Self::new(files, part, detector, metadata.classes(), sizes))
    }

    /// From files in memory.
    pub fn built(built: &Built, part: Part, detector: Option<Detector>, classes: &[Class]) -> Self {
        let sizes = built.files.first().and_then(|f| input_sizes(&f.model)).unwrap_or([None; 3]);
        let files = built.files.iter().map(|f| encode(&f.model)).collect();
        Self::new(files, part, detector.map(|d| Arc::new(Mutex::new(d))), classes.to_vec(), sizes)
    }

    fn new(
        files: Vec<Vec<u8>>,
        part: Part,
        detector: Option<Arc<Mutex<Detector>>>,
        classes: Vec<Class>,
        [batch, height, width]: [Option<i64>; 3],
    ) -> Self {
        Self { files, part, detector, classes, batch, size: height.zip(width).map(|(h, w)| [h, w]) }
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
