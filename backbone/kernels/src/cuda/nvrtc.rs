//! NVIDIA's run-time compiler: CUDA source to machine code, without a card, a driver or a toolkit.

use std::ffi::{c_char, c_int, c_void, CString};
use std::path::Path;
use std::sync::OnceLock;

use libloading::os::unix;
use libloading::Library;

use super::source::{Scalar, Source};
use super::KernelError;
use crate::device::libraries;

/// The folder of pip's packages that has the library.
const PACKAGE: &str = "cu13";
/// The library's name for CUDA 13, with which libtorch 2.11 comes.
const NAME: &str = "libnvrtc.so.13";
/// What the compiler opens by name itself, and finds only if it is open already.
const BUILTINS: &str = "libnvrtc-builtins.so.";
/// Lines of a compiler's report that are passed on.
const REPORT_LINES: usize = 4;

type Program = *mut c_void;

/// The compiler.
pub struct Nvrtc {
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int,
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    log: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    cubin_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    cubin: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    _library: Library,
}

impl Nvrtc {
    /// The process's compiler, opened at first use: beside libtorch, in `CUDA_HOME`, or where the system finds it.
    ///
    /// # Errors
    /// When it isn't there.
    pub fn get() -> Result<&'static Self, KernelError> {
        static NVRTC: OnceLock<Result<Nvrtc, KernelError>> = OnceLock::new();
        NVRTC.get_or_init(Self::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Self, KernelError> {
        libraries::candidates(PACKAGE, NAME).iter().filter_map(|path| path.parent()).for_each(keep_builtins_open);
        let missing = |reason: String| KernelError::Missing { name: NAME, reason };
        let library = libraries::open(PACKAGE, NAME).map_err(missing)?;
        // SAFETY: the types are those of nvrtc.h, and the library lives as long as the functions.
        unsafe {
            Ok(Self {
                version: function(&library, NAME, "nvrtcVersion")?,
                create: function(&library, NAME, "nvrtcCreateProgram")?,
                compile: function(&library, NAME, "nvrtcCompileProgram")?,
                log_size: function(&library, NAME, "nvrtcGetProgramLogSize")?,
                log: function(&library, NAME, "nvrtcGetProgramLog")?,
                cubin_size: function(&library, NAME, "nvrtcGetCUBINSize")?,
                cubin: function(&library, NAME, "nvrtcGetCUBIN")?,
                destroy: function(&library, NAME, "nvrtcDestroyProgram")?,
                _library: library,
            })
        }
    }

    /// Its version, as `13.0`.
    pub fn version(&self) -> String {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: two integers are written.
        unsafe { (self.version)(&mut major, &mut minor) };
        format!("{major}.{minor}")
    }

    /// Machine code of `source` for `arch` (as `sm_90`).
    ///
    /// # Errors
    /// What the compiler reports.
    pub fn compile(&self, source: Source, scalar: Scalar, arch: &str) -> Result<Vec<u8>, KernelError> {
        let failed = |log: String| {
            let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).take(REPORT_LINES).collect();
            KernelError::Compile { source_name: source.file(), arch: arch.to_owned(), log: lines.join(" | ") }
        };
        let no_nul = |text: String| CString::new(text).map_err(|_| failed("a NUL in the text".to_owned()));
        let (text, name) = (no_nul(source.text())?, no_nul(source.file().to_owned())?);
        let options = source.options(scalar, arch).into_iter().map(no_nul).collect::<Result<Vec<_>, _>>()?;
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program: Program = std::ptr::null_mut();
        // SAFETY: all strings end in NUL and live through the calls; buffers have the size that the library asks for.
        unsafe {
            if (self.create)(&mut program, text.as_ptr(), name.as_ptr(), 0, std::ptr::null(), std::ptr::null()) != 0 {
                return Err(failed("the compiler takes no program".to_owned()));
            }
            let code = (self.compile)(program, options.len() as c_int, options.as_ptr());
            let result = if code == 0 {
                Ok(self.bytes(program, self.cubin_size, self.cubin))
            } else {
                Err(failed(String::from_utf8_lossy(&self.bytes(program, self.log_size, self.log)).replace('\0', "")))
            };
            (self.destroy)(&mut program);
            result
        }
    }

    /// # Safety
    /// `program` is one of this library's.
    unsafe fn bytes(
        &self,
        program: Program,
        size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
        read: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    ) -> Vec<u8> {
        let mut n = 0;
        unsafe { size(program, &mut n) };
        let mut bytes = vec![0u8; n];
        unsafe { read(program, bytes.as_mut_ptr().cast()) };
        bytes
    }
}

/// The compiler opens its built-in functions by name alone, and finds them if they are open already.
fn keep_builtins_open(folder: &Path) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let is_builtins = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(BUILTINS));
    if let Some(path) = files.into_iter().find(|path| is_builtins(path)) {
        // SAFETY: NVIDIA's libraries run no code of ours when they are opened.
        if let Ok(library) = unsafe { unix::Library::open(Some(path), unix::RTLD_NOW | unix::RTLD_GLOBAL) } {
            std::mem::forget(library);
        }
    }
}

/// The function `name` of an open library.
///
/// # Safety
/// `F` is its type, and the result isn't used after the library is dropped.
pub(super) unsafe fn function<F: Copy>(library: &Library, file: &'static str, name: &'static str) -> Result<F, KernelError> {
    let found = unsafe { library.get::<F>(name.as_bytes()) };
    found.map(|symbol| *symbol).map_err(|_| KernelError::Function { library: file, function: name })
}
