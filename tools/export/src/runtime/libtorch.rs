//! A backbone in libtorch: operation by operation as in training, or traced by libtorch into TorchScript.

use repghost_backbone::{Backbone, Eager, Tree};
use repghost_kernels::cpu::with_libtorch_alone;
use tch::{CModule, Kind, Tensor};

use super::session::{clock, Data, Input, Runs, Session, Settings, Take};
use crate::error::ExportError;

type Forward<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor, ExportError> + 'a>;

struct Libtorch<'a> {
    forward: Forward<'a>,
    threads: i32,
}

/// A backbone with classifier, operation by operation.
///
/// # Errors
/// None.
pub fn eager<'a>(net: &'a Backbone, _: &Tensor, settings: Settings) -> Result<Box<dyn Session + 'a>, ExportError> {
    let forward: Forward = Box::new(|image| Ok(net.classify(&mut Eager::eval(), image)));
    Ok(Box::new(Libtorch { forward, threads: settings.threads as i32 }))
}

/// A backbone with classifier, traced on `image`; its weights become constants of the graph, which is what freezing makes of a module.
///
/// # Errors
/// libtorch's own.
pub fn traced<'a>(net: &'a Backbone, image: &Tensor, settings: Settings) -> Result<Box<dyn Session + 'a>, ExportError> {
    // The tracer refuses constants that want a gradient.
    for entry in net.named_tensors() {
        let _ = entry.tensor.set_requires_grad(false);
    }
    let mut forward = |inputs: &[Tensor]| match inputs.first() {
        Some(image) => vec![net.classify(&mut Eager::eval(), image)],
        None => vec![],
    };
    let trace = || CModule::create_by_tracing("network", "forward", std::slice::from_ref(image), &mut forward);
    let mut module = with_libtorch_alone(trace)?;
    module.f_set_eval()?;
    let forward: Forward = Box::new(move |image| Ok(module.forward_ts(std::slice::from_ref(image))?));
    Ok(Box::new(Libtorch { forward, threads: settings.threads as i32 }))
}

fn image(inputs: &[Input]) -> Result<Tensor, ExportError> {
    let input = inputs.first().ok_or_else(|| ExportError::Runtime { runtime: "libtorch", message: "no input".into() })?;
    Ok(Tensor::f_from_slice(input.values)?.f_view(input.shape)?)
}

impl Session for Libtorch<'_> {
    fn run(&mut self, inputs: &[Input], take: Take) -> Result<(), ExportError> {
        let _guard = tch::no_grad_guard();
        tch::set_num_threads(self.threads);
        let logits = (self.forward)(&image(inputs)?)?;
        let values = Vec::<f32>::try_from(logits.f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
        take("logits", &logits.size(), Data::Float(&values));
        Ok(())
    }

    /// Without the copies of input and output.
    fn time(&mut self, inputs: &[Input], runs: Runs) -> Result<Vec<f64>, ExportError> {
        let _guard = tch::no_grad_guard();
        tch::set_num_threads(self.threads);
        let image = image(inputs)?;
        clock(runs, || (self.forward)(&image).map(drop))
    }
}
