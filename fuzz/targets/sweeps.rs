//! Sweep files on one base.

#![no_main]

use libfuzzer_sys::fuzz_target;
use repghost_train::sweep::Plan;

fuzz_target!(|text: &str| {
    repghost_fuzz::file("base.yaml", b"data: {source: shapes}\n");
    let path = repghost_fuzz::file("sweep.yaml", text.as_bytes());
    match Plan::read(&path, &[]) {
        Ok(plan) => assert!(!plan.trials.is_empty()),
        Err(error) => repghost_fuzz::message(&error),
    }
});
