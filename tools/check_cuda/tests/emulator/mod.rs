//! A stand-in for a card: the kernels' source, compiled by the C++ compiler that the build needs anyway, on tensors in ordinary memory.

use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock};

use repghost_kernels::cuda::{with_launcher, Argument, Entry, Grid, KernelError, Launcher, Scalar, Source};

type Run = unsafe extern "C" fn(*const c_uint, c_uint, *mut *mut c_void, c_int);

/// Runs kernels one after another on this thread.
pub struct Emulator {
    /// The threads of a block in the other order.
    pub backwards: bool,
}

impl Launcher for Emulator {
    unsafe fn launch(&self, entry: Entry, scalar: Scalar, grid: Grid, arguments: &[Argument]) -> Result<(), KernelError> {
        // The emulator's state is the process's.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let library = library(entry.source(), scalar);
        let run: Run =
            *unsafe { library.get::<Run>(format!("emulate_{}", entry.name()).as_bytes()) }.expect("an entry per kernel");
        let mut pointers: Vec<*mut c_void> = arguments.iter().map(Argument::pointer).collect();
        unsafe { run(grid.blocks.as_ptr(), grid.threads, pointers.as_mut_ptr(), c_int::from(self.backwards)) };
        Ok(())
    }
}

/// Calls `body` with the emulator in the place of the cards, twice: with the threads of a block in both orders.
pub fn emulated(body: impl Fn()) {
    for backwards in [false, true] {
        with_launcher(Rc::new(Emulator { backwards }), &body);
    }
}

fn library(source: Source, scalar: Scalar) -> &'static libloading::Library {
    static LIBRARIES: OnceLock<Mutex<HashMap<(Source, Scalar), &'static libloading::Library>>> = OnceLock::new();
    let mut libraries = LIBRARIES.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    libraries.entry((source, scalar)).or_insert_with(|| Box::leak(Box::new(compile(source, scalar))))
}

fn compile(source: Source, scalar: Scalar) -> libloading::Library {
    let folder = tempfile::tempdir().unwrap();
    let (text, library) = (folder.path().join("kernel.cpp"), folder.path().join("kernel.so"));
    let number = Scalar::ALL.iter().position(|s| *s == scalar).unwrap();
    let kernels: String = source.entries().iter().map(|entry| format!("KERNEL({})\n", entry.name())).collect();
    std::fs::write(&text, format!("#include \"emulator.h\"\n{}\n{kernels}", source.text())).unwrap();
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let done = Command::new(compiler)
        // Hidden: or else the loader takes a static of one element type's library for that of another.
        .args(["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden", "-w"])
        .arg(format!("-DSCALAR={number}"))
        .arg(format!("-I{}", PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/emulator").display()))
        .arg(&text)
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // SAFETY: it has no initialisation of its own.
    unsafe { libloading::Library::new(&library) }.unwrap()
}
