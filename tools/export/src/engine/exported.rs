//! From files, or a model, to engines: one for each thread that is to run one.

use std::path::Path;

use repghost_heads::{Decoder, Stage};
use repghost_train::detection::model::{self, Class};
use repghost_train::engine::Engine;
use repghost_train::Experiment;

use super::detector::DetectorFile;
use super::input::ImageInput;
use super::raw::RawFiles;
use crate::error::ExportError;
use crate::metadata::{self, Metadata};
use crate::parts::files::sibling;
use crate::parts::Built;
use crate::runtime::{Runtime, Settings};
use crate::spec::{encode, Part};

/// An exported detector, ready to be loaded by several threads.
pub struct ExportedDetector {
    /// One per stage of raw files; a detector file is one.
    files: Vec<Vec<u8>>,
    /// Outputs of raw files to detections.
    decoder: Option<Decoder>,
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
        let format = |why: String| ExportError::Format { path: path.into(), why };
        let bytes = metadata::read(path)?;
        let main = metadata::decode(path, &bytes)?;
        let metadata = Metadata::of(&main);
        let part = metadata.part().map_err(format)?;
        let input = ImageInput::of(&main).map_err(format)?;
        let mut files = vec![bytes];
        let decoder = match part {
            Part::Detector => None,
            Part::Raw => {
                let mut own = metadata.experiment().map_err(format)?;
                own.eval = e.eval.clone();
                let decoder = model::decoder(&own, metadata.classes().len())?;
                for stage in decoder.stages().iter().skip(1) {
                    files.push(metadata::read(&sibling(path, stage.suffix(), "onnx"))?);
                }
                Some(decoder)
            }
            other => return Err(format(format!("it holds a {}, which finds no objects", other.name()))),
        };
        Ok(Self { files, decoder, classes: metadata.classes(), input })
    }

    /// Size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len() as u64).sum()
    }

    /// From files in memory: raw ones with their decoder, or a detector file.
    ///
    /// # Errors
    /// A main file whose input is no image batch.
    pub fn built(built: &Built, decoder: Option<Decoder>, classes: &[Class]) -> Result<Self, ExportError> {
        let main = built.files.first().map(|f| &f.model);
        let input = main.ok_or_else(|| "there is no file".into()).and_then(ImageInput::of).map_err(ExportError::Arguments)?;
        let files = built.files.iter().map(|f| encode(&f.model)).collect();
        Ok(Self { files, decoder, classes: classes.to_vec(), input })
    }

    /// Loads the files for one thread; each run uses `threads` threads.
    ///
    /// # Errors
    /// A runtime that is not there, files that it refuses.
    pub fn engine(&self, threads: usize, runtime: &Runtime) -> Result<Box<dyn Engine>, ExportError> {
        let mut files = self.files.iter().map(|f| runtime.open(f, Settings::threads(threads)));
        let first = files.next().unwrap_or_else(|| Err(ExportError::Arguments("there is no file".into())))?;
        let Some(decoder) = self.decoder.clone() else { return Ok(Box::new(DetectorFile { file: first })) };
        let suffixes = decoder.stages().into_iter().skip(1).map(|stage: Stage| stage.suffix());
        let others = suffixes.zip(files).map(|(suffix, file)| Ok((suffix, file?))).collect::<Result<_, ExportError>>()?;
        Ok(Box::new(RawFiles { first, others, decoder }))
    }
}
