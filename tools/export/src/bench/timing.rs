//! Times of one network in one runtime. The session lives for one call, so that no idle thread pool disturbs the next.

use std::time::Instant;

use repghost_backbone::{fill, Backbone, Eager, Tree};
use tch::{CModule, Kind, Tensor};

use super::plan::{RuntimeName, Variant};
use super::python::Python;
use super::stats::Runs;
use crate::error::ExportError;
use crate::onnx::ElementType;
use crate::parts::backbone::classifier;
use crate::runtime::onnxruntime::{Provider, Settings};
use crate::runtime::OnnxRuntime;
use crate::spec::{encode, BatchSize, ExportSpec};

/// Milliseconds of each timed run of `f`.
///
/// # Errors
/// What `f` says.
pub fn time(runs: Runs, mut f: impl FnMut() -> Result<(), ExportError>) -> Result<Vec<f64>, ExportError> {
    for _ in 0..runs.warm_up {
        f()?;
    }
    (0..runs.timed)
        .map(|_| {
            let start = Instant::now();
            f()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

/// A network's ONNX file with a fixed batch.
///
/// # Errors
/// A size that does not fit.
pub fn onnx(net: &Backbone, batch: i64, size: [i64; 2], precision: ElementType) -> Result<Vec<u8>, ExportError> {
    let spec = ExportSpec { precision, batch: BatchSize::Fixed(batch), size };
    Ok(encode(&classifier(net, &spec, &[])?))
}

/// Times a classifier.
///
/// # Errors
/// What the runtime says.
pub fn backbone(
    net: &Backbone,
    v: &Variant,
    size: [i64; 2],
    runs: Runs,
    python: Option<&Python>,
) -> Result<Vec<f64>, ExportError> {
    let _guard = tch::no_grad_guard();
    let shape = [v.batch, 3, size[0], size[1]];
    let image = fill::input("bench", &shape);
    match v.runtime {
        RuntimeName::Libtorch => {
            tch::set_num_threads(v.threads as i32);
            let ops = &mut Eager::eval();
            time(runs, || {
                let _ = net.classify(ops, &image);
                Ok(())
            })
        }
        RuntimeName::Torchscript => {
            tch::set_num_threads(v.threads as i32);
            let module = traced(net, &image)?;
            time(runs, || {
                let _ = module.forward_ts(std::slice::from_ref(&image))?;
                Ok(())
            })
        }
        RuntimeName::Onnxruntime => {
            let bytes = onnx(net, v.batch, size, ElementType::F32)?;
            // The only session alive may let its threads spin.
            let settings = Settings { threads: v.threads, provider: Provider::Cpu, spin: true };
            let mut session = OnnxRuntime::new(&bytes, settings)?;
            let pixels = Vec::<f32>::try_from(image.f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
            time(runs, || session.run_with(&shape, &pixels, |_, _, _| ()).map(|_| ()))
        }
        RuntimeName::Mnn | RuntimeName::Openvino => {
            let python = python.ok_or_else(|| ExportError::Arguments(format!("{} is not installed", v.runtime.name())))?;
            python.time(v.runtime, &onnx(net, v.batch, size, ElementType::F32)?, v.threads, runs)
        }
        RuntimeName::Tensorrt => Err(ExportError::Arguments("trtexec times its networks itself".into())),
    }
}

/// A network traced by libtorch; its weights become constants of the graph, which is what freezing makes of a module.
///
/// # Errors
/// What libtorch says.
pub fn traced(net: &Backbone, image: &Tensor) -> Result<CModule, ExportError> {
    // The tracer refuses constants that want a gradient.
    for entry in net.named_tensors() {
        let _ = entry.tensor.set_requires_grad(false);
    }
    let mut forward = |inputs: &[Tensor]| match inputs.first() {
        Some(image) => vec![net.classify(&mut Eager::eval(), image)],
        None => vec![],
    };
    let mut module = CModule::create_by_tracing("network", "forward", std::slice::from_ref(image), &mut forward)?;
    module.f_set_eval()?;
    Ok(module)
}
