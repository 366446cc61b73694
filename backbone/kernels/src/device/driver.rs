//! Cards, by NVIDIA's driver alone: it can be asked before, and without, libtorch's CUDA half.

use std::ffi::{c_char, c_int, c_uint, CStr};
use std::sync::OnceLock;

use libloading::{Library, Symbol};

/// Major and minor compute capability, in the driver's list of attributes.
const CAPABILITY: [c_int; 2] = [75, 76];

/// A card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Name, such as "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Memory in bytes.
    pub memory: u64,
    /// Compute capability: `[9, 0]` is sm_90.
    pub capability: [i32; 2],
    /// Its number among all cards there are, as 32 hexadecimal digits; of a MIG part, the part's.
    pub uuid: String,
}

/// What the driver reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// The newest CUDA version it runs, such as 13000.
    pub cuda: i64,
    /// The cards that this process may use (`CUDA_VISIBLE_DEVICES` counts).
    pub cards: Vec<Card>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDriver {
    /// No driver is installed.
    #[error("no NVIDIA driver was found (libcuda.so.1)")]
    Missing,
    /// It refuses.
    #[error("the NVIDIA driver answers: {0}")]
    Refused(String),
}

/// Asks the driver, once.
///
/// # Errors
/// No driver, or one that does not start.
pub fn driver() -> Result<Driver, NoDriver> {
    static ASKED: OnceLock<Result<Driver, NoDriver>> = OnceLock::new();
    ASKED.get_or_init(ask).clone()
}

fn ask() -> Result<Driver, NoDriver> {
    // SAFETY: the driver's library runs no code of ours when it is opened; the signatures below are cuda.h's.
    let library = unsafe { Library::new("libcuda.so.1") }.map_err(|_| NoDriver::Missing)?;
    let answer = unsafe { questions(&library) };
    // Unloading a driver while libtorch uses it would be a mistake; it costs nothing to keep.
    std::mem::forget(library);
    answer
}

/// # Safety
/// `library` is NVIDIA's driver.
unsafe fn questions(library: &Library) -> Result<Driver, NoDriver> {
    type Function<'a, F> = Result<Symbol<'a, F>, NoDriver>;
    unsafe fn function<'a, F>(library: &'a Library, name: &str) -> Function<'a, F> {
        unsafe { library.get(name.as_bytes()) }.map_err(|e| NoDriver::Refused(e.to_string()))
    }
    unsafe {
        let init: Symbol<unsafe extern "C" fn(c_uint) -> c_int> = function(library, "cuInit")?;
        let version: Symbol<unsafe extern "C" fn(*mut c_int) -> c_int> = function(library, "cuDriverGetVersion")?;
        let count: Symbol<unsafe extern "C" fn(*mut c_int) -> c_int> = function(library, "cuDeviceGetCount")?;
        let name: Symbol<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int> = function(library, "cuDeviceGetName")?;
        let memory: Symbol<unsafe extern "C" fn(*mut usize, c_int) -> c_int> = function(library, "cuDeviceTotalMem_v2")?;
        let attribute: Symbol<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int> =
            function(library, "cuDeviceGetAttribute")?;
        type Uuid<'a> = Symbol<'a, unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int>;
        // The second form tells MIG parts apart; drivers before 11.4 have the first alone.
        let uuid: Uuid = function(library, "cuDeviceGetUuid_v2").or_else(|_| function(library, "cuDeviceGetUuid"))?;
        let message: Symbol<unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int> = function(library, "cuGetErrorString")?;
        let check = |code: c_int| match code {
            0 => Ok(()),
            code => {
                let mut said = std::ptr::null();
                message(code, &mut said);
                let said = if said.is_null() { "no message".into() } else { CStr::from_ptr(said).to_string_lossy() };
                Err(NoDriver::Refused(format!("{said} (code {code})")))
            }
        };
        let (mut cuda, mut cards) = (0, 0);
        check(version(&mut cuda))?;
        let started = init(0);
        /// CUDA_ERROR_NO_DEVICE: a driver, but no card that this process may use.
        const NO_DEVICE: c_int = 100;
        if started == NO_DEVICE {
            return Ok(Driver { cuda: cuda.into(), cards: vec![] });
        }
        check(started)?;
        check(count(&mut cards))?;
        let card = |device: c_int| {
            let mut text = [0 as c_char; 256];
            let (mut bytes, mut capability) = (0usize, [0; 2]);
            check(name(text.as_mut_ptr(), text.len() as c_int, device))?;
            check(memory(&mut bytes, device))?;
            for (value, which) in capability.iter_mut().zip(CAPABILITY) {
                check(attribute(value, which, device))?;
            }
            let mut id = [0u8; 16];
            check(uuid(&mut id, device))?;
            let uuid = id.iter().map(|byte| format!("{byte:02x}")).collect();
            let name = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
            Ok(Card { name, memory: bytes as u64, capability, uuid })
        };
        Ok(Driver { cuda: cuda.into(), cards: (0..cards).map(card).collect::<Result<_, NoDriver>>()? })
    }
}

impl std::fmt::Display for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let [major, minor] = self.capability;
        let gib = self.memory as f64 / f64::from(1 << 30);
        write!(f, "{}, {gib:.1} GiB, compute capability {major}.{minor}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_in_words() {
        let card = Card { name: "NVIDIA T4".into(), memory: 15 << 30, capability: [7, 5], uuid: String::new() };
        assert_eq!(card.to_string(), "NVIDIA T4, 15.0 GiB, compute capability 7.5");
    }

    /// With or without a card: an answer, and the same one again.
    #[test]
    fn asking_never_fails_hard() {
        assert_eq!(driver(), driver());
    }
}
