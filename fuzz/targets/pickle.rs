//! Pickles as data: no depth, cycle or length does harm.

#![no_main]

use libfuzzer_sys::fuzz_target;
use repghost_backbone::weights::pickle;

fuzz_target!(|bytes: &[u8]| {
    match pickle::parse(bytes) {
        Ok(parsed) => {
            assert!(parsed.length <= bytes.len());
            let _ = (parsed.entries(parsed.root), parsed.values().count());
        }
        Err(error) => repghost_fuzz::message(&error),
    }
});
