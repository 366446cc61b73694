//! Whole weight files of every container (safetensors, zip, legacy), and run checkpoints: what is read is written and read again as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use repghost_backbone::weights;
use repghost_train::checkpoint;

fuzz_target!(|bytes: &[u8]| {
    let path = repghost_fuzz::file("w.bin", bytes);
    match weights::read(&path) {
        Ok(state) => {
            let copy = repghost_fuzz::folder().join("copy.safetensors");
            if weights::write(&copy, &state).is_ok() {
                let again = weights::read(&copy).expect("what was written is read");
                assert_eq!(again.tensors.len(), state.tensors.len());
            }
        }
        Err(error) => repghost_fuzz::message(&error),
    }
    if let Err(error) = checkpoint::file::read(&path) {
        repghost_fuzz::message(&error);
    }
});
