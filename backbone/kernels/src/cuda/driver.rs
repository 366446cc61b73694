//! The CUDA driver: modules of machine code and their launch, in the context that libtorch uses (a card's primary one).

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint, c_void, CStr, CString};
use std::sync::{Mutex, OnceLock, PoisonError};

use libloading::Library;

use super::cache::{cached, folder, Key};
use super::nvrtc::{function, Nvrtc};
use super::source::{Entry, Scalar, Source};
use super::KernelError;
use crate::device::driver::driver;

const NAME: &str = "libcuda.so.1";

/// Blocks of a launch, and threads of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Along x, y and z.
    pub blocks: [u32; 3],
    /// Along x.
    pub threads: u32,
}

type Code = c_int;
type Context = *mut c_void;
type Module = *mut c_void;
type Function = *mut c_void;

/// A card's context and architecture.
#[derive(Clone)]
struct Card {
    /// [`Context`] as a number, which threads may share.
    context: usize,
    arch: String,
}

/// Loaded modules, or why there is none, by card, source and type of numbers.
type Modules = HashMap<(usize, Source, Scalar), Result<usize, KernelError>>;

/// The driver, with what was loaded through it.
pub(super) struct Driver {
    error_text: unsafe extern "C" fn(Code, *mut *const c_char) -> Code,
    init: unsafe extern "C" fn(c_uint) -> Code,
    retain: unsafe extern "C" fn(*mut Context, c_int) -> Code,
    push: unsafe extern "C" fn(Context) -> Code,
    pop: unsafe extern "C" fn(*mut Context) -> Code,
    load: unsafe extern "C" fn(*mut Module, *const c_void) -> Code,
    function: unsafe extern "C" fn(*mut Function, Module, *const c_char) -> Code,
    #[allow(clippy::type_complexity)]
    launch: unsafe extern "C" fn(
        Function,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        *mut c_void,
        *mut *mut c_void,
        *mut *mut c_void,
    ) -> Code,
    cards: Mutex<HashMap<usize, Result<Card, KernelError>>>,
    modules: Mutex<Modules>,
    functions: Mutex<HashMap<(usize, Entry, Scalar), usize>>,
    _library: Library,
}

impl Driver {
    /// The process's driver.
    pub fn get() -> Result<&'static Self, KernelError> {
        static DRIVER: OnceLock<Result<Driver, KernelError>> = OnceLock::new();
        DRIVER.get_or_init(Self::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Self, KernelError> {
        // SAFETY: the driver's library runs no code of ours when it is opened.
        let library = unsafe { Library::new(NAME) };
        let library = library.map_err(|error| KernelError::Missing { name: NAME, reason: error.to_string() })?;
        // SAFETY: the types are those of cuda.h, and the library lives as long as the functions.
        let driver = unsafe {
            Self {
                error_text: function(&library, NAME, "cuGetErrorString")?,
                init: function(&library, NAME, "cuInit")?,
                retain: function(&library, NAME, "cuDevicePrimaryCtxRetain")?,
                push: function(&library, NAME, "cuCtxPushCurrent_v2")?,
                pop: function(&library, NAME, "cuCtxPopCurrent_v2")?,
                load: function(&library, NAME, "cuModuleLoadData")?,
                function: function(&library, NAME, "cuModuleGetFunction")?,
                launch: function(&library, NAME, "cuLaunchKernel")?,
                cards: Mutex::default(),
                modules: Mutex::default(),
                functions: Mutex::default(),
                _library: library,
            }
        };
        // SAFETY: 0 is the only flag there is.
        driver.check("cuInit", unsafe { (driver.init)(0) })?;
        Ok(driver)
    }

    fn check(&self, call: &'static str, code: Code) -> Result<(), KernelError> {
        if code == 0 {
            return Ok(());
        }
        let mut text: *const c_char = std::ptr::null();
        // SAFETY: the driver's texts are static.
        let text = unsafe {
            (self.error_text)(code, &mut text);
            if text.is_null() {
                format!("error {code}")
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        };
        Err(KernelError::Driver { call, text })
    }

    fn card(&self, device: usize) -> Result<Card, KernelError> {
        let mut cards = self.cards.lock().unwrap_or_else(PoisonError::into_inner);
        cards.entry(device).or_insert_with(|| self.retain_card(device)).clone()
    }

    /// The primary context stays retained: libtorch holds it to the end of the process too.
    fn retain_card(&self, device: usize) -> Result<Card, KernelError> {
        let refused = |text: String| KernelError::Driver { call: "the driver's list of cards", text };
        let cards = driver().map_err(|error| refused(error.to_string()))?.cards;
        let [major, minor] = cards.get(device).ok_or_else(|| refused(format!("there is no card {device}")))?.capability;
        let mut context: Context = std::ptr::null_mut();
        // SAFETY: one pointer is written; the driver's devices are their numbers.
        self.check("cuDevicePrimaryCtxRetain", unsafe { (self.retain)(&mut context, device as c_int) })?;
        Ok(Card { context: context as usize, arch: format!("sm_{major}{minor}") })
    }

    /// Runs `body` with the card's context current on this thread.
    fn within<T>(&self, card: &Card, body: impl FnOnce() -> Result<T, KernelError>) -> Result<T, KernelError> {
        // SAFETY: the context is retained for good.
        self.check("cuCtxPushCurrent", unsafe { (self.push)(card.context as Context) })?;
        let result = body();
        let mut popped: Context = std::ptr::null_mut();
        // SAFETY: what was pushed above is on top.
        self.check("cuCtxPopCurrent", unsafe { (self.pop)(&mut popped) })?;
        result
    }

    fn module(&self, card: &Card, device: usize, source: Source, scalar: Scalar) -> Result<usize, KernelError> {
        let load = || {
            let nvrtc = Nvrtc::get()?;
            let arch = &card.arch;
            let options = source.options(scalar, arch);
            let key = Key { text: &source.text(), compiler: &nvrtc.version(), options: &options, arch };
            let code = cached(folder().as_deref(), &key, || nvrtc.compile(source, scalar, arch))?;
            let mut module: Module = std::ptr::null_mut();
            // SAFETY: the code is a whole ELF file, which carries its own length.
            self.check("cuModuleLoadData", unsafe { (self.load)(&mut module, code.as_ptr().cast()) })?;
            Ok(module as usize)
        };
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        modules.entry((device, source, scalar)).or_insert_with(load).clone()
    }

    fn function(&self, card: &Card, device: usize, entry: Entry, scalar: Scalar) -> Result<usize, KernelError> {
        if let Some(found) = self.functions.lock().unwrap_or_else(PoisonError::into_inner).get(&(device, entry, scalar)) {
            return Ok(*found);
        }
        let module = self.module(card, device, entry.source(), scalar)?;
        let name = CString::new(entry.name()).unwrap_or_default();
        let mut function: Function = std::ptr::null_mut();
        // SAFETY: the module stays loaded for good.
        let code = unsafe { (self.function)(&mut function, module as Module, name.as_ptr()) };
        self.check("cuModuleGetFunction", code)?;
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.insert((device, entry, scalar), function as usize);
        Ok(function as usize)
    }

    /// Queues a kernel on `stream` of card `device`.
    ///
    /// # Safety
    /// `arguments` are those of the kernel, and what they point to stays until the kernel has run.
    pub unsafe fn launch(
        &self,
        device: usize,
        stream: *mut c_void,
        entry: Entry,
        scalar: Scalar,
        grid: Grid,
        arguments: &mut [*mut c_void],
    ) -> Result<(), KernelError> {
        let card = self.card(device)?;
        self.within(&card, || {
            let function = self.function(&card, device, entry, scalar)? as Function;
            let [x, y, z] = grid.blocks;
            // SAFETY: see this function's contract.
            let code = unsafe {
                let no_extra = std::ptr::null_mut();
                (self.launch)(function, x, y, z, grid.threads, 1, 1, 0, stream, arguments.as_mut_ptr(), no_extra)
            };
            self.check("cuLaunchKernel", code)
        })
    }

    /// What a report should have: version of the compiler, architecture of the card.
    pub fn describe(&self, device: usize) -> Result<String, KernelError> {
        Ok(format!("NVRTC {}, {}", Nvrtc::get()?.version(), self.card(device)?.arch))
    }
}
