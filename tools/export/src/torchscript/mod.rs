//! TorchScript: a fourth reader of the one forward, which writes the program that `torch.jit.load` reads.
//!
//! libtorch's own tracer makes weights constants of the graph: a module without parameters, without names. Here the archive is
//! written by us: source code, and a tree of modules whose parameters carry the names of the state dict. So `named_parameters()` gives in Python
//! what `weights inspect` shows here, and the module can be moved to another device, frozen, or trained on.
//!
//! | module | what is in it |
//! |---|---|
//! | [`writer`] | operations as lines of code |
//! | [`archive`] | modules, parameters and code as a zip of source and pickle |
//! | [`parts`] | which part of a model becomes a file |

pub mod archive;
pub mod parts;
pub mod writer;

pub use writer::TorchScriptWriter;
