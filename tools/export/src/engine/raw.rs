//! A detector's networks as files; what lies between and after them is the code that evaluates the model itself.

use repghost_heads::{Decoder, HostDetections, Outputs};
use repghost_train::engine::{Engine, Pictures};
use repghost_train::TrainError;
use tch::{Kind, Tensor};

use crate::error::ExportError;
use crate::runtime::session::Input;
use crate::runtime::{Data, Session};

/// The files of a detector's stages.
pub struct RawFiles {
    /// The file that reads images.
    pub first: Box<dyn Session + Send>,
    /// Those that read regions, with the suffix of their stage.
    pub others: Vec<(&'static str, Box<dyn Session + Send>)>,
    /// Outputs to detections.
    pub decoder: Decoder,
}

fn run(file: &mut dyn Session, shape: &[i64], values: &[f32]) -> Result<Outputs<Tensor>, ExportError> {
    let mut outputs = vec![];
    file.run(&[Input { shape, values }], &mut |name, shape, data| {
        let flat = match data {
            Data::Float(v) => Tensor::from_slice(v),
            Data::Int(v) => Tensor::from_slice(v),
        };
        outputs.push((name.to_string(), flat.view(shape)));
    })?;
    Ok(outputs)
}

impl RawFiles {
    fn run(&mut self, p: Pictures) -> Result<Vec<HostDetections>, ExportError> {
        let first = run(self.first.as_mut(), &p.shape, p.pixels)?;
        let others = &mut self.others;
        self.decoder.finish(first, [p.shape[2], p.shape[3]], p.sizes, |stage, regions| {
            let file = others.iter_mut().find(|(suffix, _)| *suffix == stage.suffix()).map(|(_, file)| file);
            let file =
                file.ok_or_else(|| ExportError::Arguments(format!("the file with suffix {} is missing", stage.suffix())))?;
            let values = Vec::<f32>::try_from(regions.pooled.f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
            run(file.as_mut(), &regions.pooled.size(), &values)
        })
    }
}

impl Engine for RawFiles {
    fn detect(&mut self, pictures: Pictures) -> Result<Vec<HostDetections>, TrainError> {
        Ok(self.run(pictures)?)
    }
}
