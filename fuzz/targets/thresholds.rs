//! Files of score thresholds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use repghost_coco::judge::Thresholds;

fuzz_target!(|text: &str| {
    if let Ok(read) = Thresholds::parse(text) {
        assert!((0.0..=1.0).contains(&read.lowest()));
        let path = repghost_fuzz::folder().join("thresholds.json");
        read.write(&path).expect("a file");
        assert_eq!(Thresholds::read(&path).expect("what was written is read"), read);
    }
});
