//! The library: its functions with nccl.h's types.

use std::ffi::{c_char, c_int, c_uint, c_void, CStr};
use std::path::Path;

use libloading::Library;
use repghost_kernels::device::libraries;
use tch::Kind;

/// `ncclSuccess`.
const SUCCESS: c_int = 0;
/// `ncclSum`.
pub(super) const SUM: c_int = 0;
/// `ncclInProgress`.
const IN_PROGRESS: c_int = 7;
/// `NCCL_API_MAGIC`.
const MAGIC: c_uint = 0xcafe_beef;
/// `NCCL_VERSION(2, 14, 0)`, the first with a configuration. Later ones take its layout and their own defaults for what came later.
const LAYOUT: c_uint = 21_400;

pub(super) type Comm = *mut c_void;
pub(super) type Stream = *mut c_void;

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct UniqueId(pub [u8; 128]);

/// `ncclConfig_t` as NCCL 2.14 has it.
#[repr(C)]
pub(super) struct Config {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
    /// To the end of the layout.
    _pad: c_int,
}

impl Config {
    /// Calls come back at once, and how they went is asked for.
    pub fn non_blocking() -> Self {
        Self { size: size_of::<Self>(), magic: MAGIC, version: LAYOUT, blocking: 0, _pad: 0 }
    }
}

/// An answer of NCCL's that is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Done,
    InProgress,
}

/// NCCL.
pub struct Nccl {
    version: String,
    error_string: unsafe extern "C" fn(c_int) -> *const c_char,
    unique_id: unsafe extern "C" fn(*mut UniqueId) -> c_int,
    pub(super) init: unsafe extern "C" fn(*mut Comm, c_int, UniqueId, c_int, *mut Config) -> c_int,
    #[allow(clippy::type_complexity)]
    pub(super) all_reduce: unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, Stream) -> c_int,
    #[allow(clippy::type_complexity)]
    pub(super) broadcast: unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, Stream) -> c_int,
    pub(super) async_error: unsafe extern "C" fn(Comm, *mut c_int) -> c_int,
    pub(super) finalize: unsafe extern "C" fn(Comm) -> c_int,
    pub(super) destroy: unsafe extern "C" fn(Comm) -> c_int,
    pub(super) abort: unsafe extern "C" fn(Comm) -> c_int,
    _library: Library,
}

impl std::fmt::Debug for Nccl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NCCL {}", self.version)
    }
}

impl Nccl {
    /// Beside a pip torch, in `CUDA_HOME`, or where the system finds it.
    ///
    /// # Errors
    /// One line where it cannot be opened, or is older than 2.14.
    pub fn open() -> Result<Self, String> {
        Self::of(libraries::open_nccl()?)
    }

    /// At a path.
    ///
    /// # Errors
    /// As [`Nccl::open`].
    pub fn open_at(path: &Path) -> Result<Self, String> {
        // SAFETY: NVIDIA's libraries run no code of ours when they are opened.
        Self::of(unsafe { Library::new(path) }.map_err(|e| format!("{} cannot be opened: {e}", path.display()))?)
    }

    fn of(library: Library) -> Result<Self, String> {
        /// # Safety
        /// `F` is the function's type in nccl.h.
        unsafe fn function<F: Copy>(library: &Library, name: &str) -> Result<F, String> {
            unsafe { library.get::<F>(name.as_bytes()) }
                .map(|f| *f)
                .map_err(|_| format!("it has no {name}; NCCL 2.14 or newer has"))
        }
        let version = libraries::version_of_nccl(&library)?;
        // SAFETY: the types are those of nccl.h, and the library lives as long as the functions.
        unsafe {
            Ok(Self {
                version,
                error_string: function(&library, "ncclGetErrorString")?,
                unique_id: function(&library, "ncclGetUniqueId")?,
                init: function(&library, "ncclCommInitRankConfig")?,
                all_reduce: function(&library, "ncclAllReduce")?,
                broadcast: function(&library, "ncclBroadcast")?,
                async_error: function(&library, "ncclCommGetAsyncError")?,
                finalize: function(&library, "ncclCommFinalize")?,
                destroy: function(&library, "ncclCommDestroy")?,
                abort: function(&library, "ncclCommAbort")?,
                _library: library,
            })
        }
    }

    /// Its version, as "2.28.9".
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What processes meet by: made by one of them, and given to the others.
    ///
    /// # Errors
    /// What NCCL answers, as where the machine has no network interface.
    pub(crate) fn unique_id(&self) -> Result<UniqueId, String> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: 128 bytes are written.
        self.state(unsafe { (self.unique_id)(&mut id) })?;
        Ok(id)
    }

    /// An answer, or its text.
    pub(super) fn state(&self, code: c_int) -> Result<State, String> {
        match code {
            SUCCESS => Ok(State::Done),
            IN_PROGRESS => Ok(State::InProgress),
            // SAFETY: NCCL's texts are static.
            code => match unsafe { (self.error_string)(code) } {
                text if text.is_null() => Err(format!("NCCL answers {code}")),
                text => Err(format!("NCCL: {}", unsafe { CStr::from_ptr(text) }.to_string_lossy())),
            },
        }
    }
}

/// `ncclDataType_t`; `None` where NCCL has no such numbers.
pub(super) fn data_type(kind: Kind) -> Option<c_int> {
    Some(match kind {
        Kind::Int8 => 0,
        Kind::Uint8 => 1,
        Kind::Int => 2,
        Kind::Int64 => 4,
        Kind::Half => 6,
        Kind::Float => 7,
        Kind::Double => 8,
        Kind::BFloat16 => 9,
        _ => return None,
    })
}

/// Names of nccl.h and the numbers that stand for them here, for a test that has the header.
#[doc(hidden)]
pub fn numbers_of_the_header() -> Vec<(&'static str, usize)> {
    let kinds = [
        ("ncclInt8", Kind::Int8),
        ("ncclUint8", Kind::Uint8),
        ("ncclInt32", Kind::Int),
        ("ncclInt64", Kind::Int64),
        ("ncclFloat16", Kind::Half),
        ("ncclFloat32", Kind::Float),
        ("ncclFloat64", Kind::Double),
        ("ncclBfloat16", Kind::BFloat16),
    ];
    let mut all: Vec<_> = kinds.into_iter().filter_map(|(name, kind)| Some((name, data_type(kind)? as usize))).collect();
    all.extend([
        ("ncclSum", SUM as usize),
        ("ncclSuccess", SUCCESS as usize),
        ("ncclInProgress", IN_PROGRESS as usize),
        ("NCCL_API_MAGIC", MAGIC as usize),
        ("NCCL_VERSION(2, 14, 0)", LAYOUT as usize),
        ("sizeof(ncclUniqueId)", size_of::<UniqueId>()),
        ("offsetof(ncclConfig_t, size)", std::mem::offset_of!(Config, size)),
        ("offsetof(ncclConfig_t, magic)", std::mem::offset_of!(Config, magic)),
        ("offsetof(ncclConfig_t, version)", std::mem::offset_of!(Config, version)),
        ("offsetof(ncclConfig_t, blocking)", std::mem::offset_of!(Config, blocking)),
        // One field behind `blocking` is covered besides, which libraries since 2.17 replace for this version.
        ("offsetof(ncclConfig_t, minCTAs)", size_of::<Config>()),
    ]);
    all
}
