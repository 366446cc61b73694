//! The CUDA source compiles for the cards that people have. Needs NVRTC, which works without a card: beside a pip torch, in `CUDA_HOME`, or
//! where `tools/setup/nvrtc.sh` puts it.

use std::path::Path;
use std::sync::Once;

use repghost_kernels::cuda::{KernelError, Nvrtc, Source};

/// Turing (T4), Ampere (A100), Hopper (H100).
const ARCHS: [&str; 3] = ["sm_75", "sm_80", "sm_90"];
/// Machine code is an ELF file.
const MAGIC: &[u8] = b"\x7fELF";

/// NVRTC from wherever it is.
fn nvrtc() -> Result<&'static Nvrtc, KernelError> {
    static FETCHED: Once = Once::new();
    FETCHED.call_once(|| {
        let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.deps/nvrtc");
        if std::env::var_os("CUDA_HOME").is_none() && fetched.exists() {
            std::env::set_var("CUDA_HOME", fetched);
        }
    });
    Nvrtc::get()
}

#[test]
fn every_kernel_compiles() {
    let nvrtc = match nvrtc() {
        Ok(nvrtc) => nvrtc,
        Err(error) => {
            assert!(std::env::var_os("REPGHOST_EXPECT").is_none_or(|v| !v.to_string_lossy().contains("nvrtc")), "{error}");
            println!("skipped: {error}");
            return;
        }
    };
    for (source, arch) in Source::ALL.into_iter().flat_map(|source| ARCHS.map(|arch| (source, arch))) {
        for scalar in source.scalars() {
            let code = nvrtc.compile(source, *scalar, arch).unwrap_or_else(|error| panic!("{scalar:?}: {error}"));
            assert!(code.starts_with(MAGIC), "{} for {arch} is no machine code", source.file());
            // The kernels are found in it by their names.
            for entry in source.entries() {
                let name = entry.name();
                assert!(code.windows(name.len()).any(|w| w == name.as_bytes()), "{} has no {}", source.file(), entry.name());
            }
        }
    }
    println!("compiled for {} by NVRTC {}", ARCHS.join(", "), nvrtc.version());
}

#[test]
fn an_unknown_card_is_an_error_in_one_line() {
    let Ok(nvrtc) = nvrtc() else { return };
    let source = Source::Nms;
    let error = nvrtc.compile(source, source.scalars()[0], "sm_10").unwrap_err();
    assert!(matches!(error, KernelError::Compile { .. }), "{error:?}");
    assert!(!error.to_string().contains('\n') && error.to_string().contains("nms.cu"), "{error}");
}
