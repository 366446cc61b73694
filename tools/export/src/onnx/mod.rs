//! Writing ONNX files: the messages, a graph builder, and the reader that turns a forward into nodes.

pub mod classes;
pub mod dense;
pub mod graph;
pub mod plain;
pub mod proto;
pub mod quantize;
pub mod rcnn;
pub mod region;
pub mod suppress;
pub mod writer;

pub use graph::{Attribute, Edge, ElementType, GraphBuilder, DYNAMIC};
pub use suppress::Nms;
pub use writer::OnnxWriter;
