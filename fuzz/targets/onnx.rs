//! Exported files: metadata and the sizes of the image input.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use repghost_export::engine::input::ImageInput;
use repghost_export::metadata::{self, Metadata};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = metadata::decode(Path::new("a.onnx"), bytes) else { return };
    let read = Metadata::of(&file);
    let _ = (read.part(), read.classes(), read.experiment(), read.thresholds(), read.precision(), read.fused());
    match ImageInput::of(&file) {
        Ok(input) => assert!(input.size.iter().all(|side| (1..=16_384).contains(side))),
        Err(text) => assert_eq!(text.lines().count(), 1, "{text}"),
    }
});
