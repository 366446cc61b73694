//! NVIDIA's own library and its header, where this machine has them: opened as the program does it, or at `REPGHOST_NCCL`.

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use repghost_distributed::{free_port, numbers_of_the_header, Card, Engine, Group, Nccl, World};
use repghost_kernels::device::{driver::driver, libraries};

/// NCCL, and where it was looked for.
fn real() -> Option<(Nccl, Vec<PathBuf>)> {
    let given = std::env::var_os("REPGHOST_NCCL").map(PathBuf::from);
    let opened = match &given {
        Some(path) => Nccl::open_at(path),
        None => Nccl::open(),
    };
    match opened {
        Ok(nccl) => Some((nccl, given.map_or_else(|| libraries::candidates("nccl", "libnccl.so.2"), |path| vec![path]))),
        Err(error) => {
            assert!(std::env::var_os("REPGHOST_EXPECT").is_none_or(|v| !v.to_string_lossy().contains("nccl")), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

/// All symbols are there, and what needs no card works: NCCL makes an id. Without a card the communicator is refused in one line.
#[test]
fn the_library_answers() {
    let Some((nccl, _)) = real() else { return };
    println!("NCCL {}", nccl.version());
    assert!(nccl.version().starts_with("2."));
    if driver().is_ok() {
        println!("skipped: the rest is for machines without a driver");
        return;
    }
    repghost_sim_device::install(1);
    let port = free_port().unwrap();
    let world = World { rank: 0, size: 1, local_rank: 0, address: "127.0.0.1".into(), port, agent_store: false, attempt: 0 };
    let group = Group::connect(&world, Duration::from_secs(20)).unwrap();
    let Engine::Gloo(reason) = group.use_nccl(Ok((Card { number: 0, identity: "a".into() }, nccl))).unwrap() else {
        panic!("NCCL works without a card")
    };
    assert!(reason.starts_with("it does not start on rank 0 (NCCL: unhandled cuda error"), "{reason}");
}

/// The compiler compares layout and numbers with NCCL's own header, where it lies beside the library.
#[test]
fn layout_and_numbers_are_the_headers() {
    let Some((_, near)) = real() else { return };
    let Some(header) = near.iter().filter_map(|l| Some(l.parent()?.join("../include"))).find(|f| f.join("nccl.h").exists())
    else {
        println!("skipped: no nccl.h beside the library");
        return;
    };
    let folder = std::env::temp_dir().join(format!("repghost-nccl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // All that the header takes from CUDA is one type.
    std::fs::write(folder.join("cuda_runtime.h"), "typedef struct CUstream_st *cudaStream_t;\n").unwrap();
    std::fs::write(folder.join("cuda_fp16.h"), "").unwrap();
    let numbers = numbers_of_the_header();
    assert_eq!(numbers.len(), 19);
    let checks: String =
        numbers.iter().map(|(name, value)| format!("_Static_assert({name} == {value}u, \"{name}\");\n")).collect();
    // Versions before 2.19 have no name for the number.
    let magic = "#ifndef NCCL_API_MAGIC\n#define NCCL_API_MAGIC 0xcafebeef\n#endif\n";
    std::fs::write(folder.join("check.c"), format!("#include <stddef.h>\n#include <nccl.h>\n{magic}{checks}")).unwrap();
    let done = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-std=c11", "-w", "-fsyntax-only", "check.c", "-I.", "-I"])
        .arg(header)
        .current_dir(&folder)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    println!("{} numbers compared", numbers.len());
}
