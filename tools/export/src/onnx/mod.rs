//! Writing ONNX files: the messages, a graph builder, and the reader that turns a forward into nodes.

pub mod classes;
pub mod graph;
pub mod mask_rcnn;
pub mod ops;
pub mod plain;
pub mod proto;
pub mod quantize;
pub mod retinanet;
pub mod suppress;

pub use graph::{Edge, Element, GraphBuilder, Setting};
pub use ops::Onnx;
