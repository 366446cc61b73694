//! The scripts of the check, as far as they run without a card.

use std::path::Path;
use std::process::Command;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The counting library compiles without CUDA's headers, passes calls on, and writes what it counted.
#[test]
fn calls_are_counted_and_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(
        at("runtime.c"),
        "int cudaStreamSynchronize(void *s) { return s ? 7 : 0; }\n\
         int cudaMemcpyAsync(void *t, const void *f, unsigned long n, int k, void *s) { return (int)n; }\n",
    )
    .unwrap();
    std::fs::write(
        at("program.c"),
        "int cudaStreamSynchronize(void *); int cudaMemcpyAsync(void *, const void *, unsigned long, int, void *);\n\
         int main(void) { int a = cudaStreamSynchronize((void *)1); int b = cudaMemcpyAsync(0, 0, 5, 1, 0); \
         cudaMemcpyAsync(0, 0, 0, 2, 0); cudaMemcpyAsync(0, 0, 0, 2, 0); return a == 7 && b == 5 ? 0 : 1; }\n",
    )
    .unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compile = |arguments: &[&str]| {
        let done = Command::new(&compiler).args(arguments).current_dir(dir.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let source = folder().join("count.c");
    compile(&["-shared", "-fPIC", "-Wall", "-Werror", "-o", "libcount.so", source.to_str().unwrap(), "-ldl"]);
    compile(&["-shared", "-fPIC", "-o", "libruntime.so", "runtime.c"]);
    compile(&["-o", "program", "program.c", "-L.", "-lruntime", "-Wl,-rpath,."]);
    let status = Command::new(at("program"))
        .current_dir(dir.path())
        .env("LD_PRELOAD", at("libcount.so"))
        .env("COUNT_OUT", at("counts.json"))
        .status()
        .unwrap();
    assert!(status.success(), "the calls did not arrive: {status}");
    let counts: serde_json::Value = serde_json::from_slice(&std::fs::read(at("counts.json")).unwrap()).unwrap();
    for (key, want) in [("stream_waits", 1), ("to_device", 1), ("from_device", 2), ("launches", 0)] {
        assert_eq!(counts[key], want, "{key} of {counts}");
    }
}

/// A step and torchvision's numbers, on the CPU: what these parts compare on a card, and that they can fail.
#[test]
fn comparisons_hold_on_the_cpu() {
    use repghost_check_cuda::{fixtures, step};
    use tch::Device;

    for row in fixtures::all(Device::Cpu).unwrap().iter().chain(&step::compare("retinanet", Device::Cpu).unwrap()) {
        assert!(row.passes(), "{}: {:.2e} is above {:.0e}", row.name, row.error, row.limit);
    }
}

/// The sums by kernel of a trace: what queued them, how long, and how much of the time the card was busy.
#[test]
fn kernels_of_a_trace_are_summed() {
    let dir = tempfile::tempdir().unwrap();
    let op = |id: u32, name: &str| serde_json::json!({"cat": "cpu_op", "name": name, "args": {"External id": id, "Input Dims": [[2, 3]]}});
    let kernel = |id: u32, at: u32, dur: u32| serde_json::json!({"cat": "kernel", "name": "k", "ts": at, "dur": dur, "args": {"External id": id}});
    let events = [op(1, "add"), op(2, "mul"), kernel(1, 1000, 500), kernel(2, 2000, 3000), kernel(1, 6000, 1500)];
    let trace = dir.path().join("trace.json");
    std::fs::write(&trace, serde_json::json!({ "traceEvents": events }).to_string()).unwrap();
    let code = "import json, pathlib, run, sys; print(json.dumps(run.table(pathlib.Path(sys.argv[1]))))";
    let done = Command::new("python3").args(["-B", "-c", code]).arg(&trace).env("PYTHONPATH", folder()).output().unwrap();
    let table: serde_json::Value =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&done.stderr)));
    // From 1 to 7.5 ms, with 5 ms of kernels.
    let want = serde_json::json!({"milliseconds": 6.5, "busy": 5.0, "launches": 3,
        "rows": [["mul", "[[2, 3]]", "k", 1, 3.0], ["add", "[[2, 3]]", "k", 2, 2.0]]});
    assert_eq!(table, want);
}
