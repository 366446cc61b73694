//! Checks of the way through an NVIDIA card: the same numbers as on the CPU, and how fast.
//!
//! `make check-cuda` packs this program with the scripts beside it and runs all parts on a machine with a card (`run.py` there has the list
//! of parts). Every comparison takes the device as an argument, so that tests run them without a card: the kernels' source is then
//! compiled for the CPU (`tests/emulator`).

pub mod fixtures;
pub mod ops;
pub mod oracle;
pub mod reference;
pub mod report;
pub mod setup;
pub mod speed;
pub mod step;
