//! `torch.save`'s zip around a fuzzed pickle and fuzzed storages: bytes alone would be refused at the zip's door.

#![no_main]

use std::io::{Cursor, Write};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use repghost_backbone::weights;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    deflated: bool,
    pickle: &'a [u8],
    storages: Vec<&'a [u8]>,
    byte_order: Option<&'a [u8]>,
}

fuzz_target!(|input: Input| {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let method = if input.deflated { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    let options = SimpleFileOptions::default().compression_method(method);
    let mut add = |name: String, bytes: &[u8]| {
        zip.start_file(name, options).expect("a new name");
        zip.write_all(bytes).expect("memory");
    };
    add("archive/data.pkl".into(), input.pickle);
    for (key, bytes) in input.storages.iter().take(8).enumerate() {
        add(format!("archive/data/{key}"), bytes);
    }
    if let Some(order) = input.byte_order {
        add("archive/byteorder".into(), order);
    }
    let bytes = zip.finish().expect("memory").into_inner();
    if let Err(error) = weights::read(repghost_fuzz::file("a.pth", &bytes)) {
        repghost_fuzz::message(&error);
    }
});
