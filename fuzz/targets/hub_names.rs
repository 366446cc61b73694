//! Names of published weights.

#![no_main]

use libfuzzer_sys::fuzz_target;
use repghost_hub::Reference;

fuzz_target!(|text: &str| {
    match Reference::parse(text) {
        Ok(Some(reference)) => assert_eq!(reference.to_string(), text),
        Ok(None) => {}
        Err(error) => repghost_fuzz::message(&error),
    }
});
