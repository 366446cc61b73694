//! The kernels' source, compiled for the CPU, against their definitions.

mod emulator;

use emulator::emulated;
use repghost_check_cuda::ops::{all, Scale};
use tch::Device;

#[test]
fn kernels_equal_their_definitions() {
    emulated(|| {
        for row in all(Device::Cpu, Scale::Small) {
            println!("{}: {:.2e} (limit {:.0e})", row.name, row.error, row.limit);
            assert!(row.passes(), "{}: {:.2e} is above {:.0e}", row.name, row.error, row.limit);
        }
    });
}
