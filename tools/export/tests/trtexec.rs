//! A benchmark by trtexec from the command line to the table, with a program in its place that prints and writes what TensorRT 10 and 11 do. (The
//! layout is that of their sources; figures are invented.)

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use repghost_export::bench::tensorrt::time;
use repghost_export::tensorrt::find::version;
use repghost_export::tensorrt::{Generation, TrtBench};

/// Refuses flags that its generation does not know, as trtexec does, and exports two runs and two layers.
const SCRIPT: &str = r#"#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec [TensorRT vVERSION] # $0 $*"
for a in "$@"; do
  case "$a" in
    REFUSED) echo "[11/24/2026-10:00:00] [E] Unknown option: $a"; echo "&&&& FAILED TensorRT.trtexec [TensorRT vVERSION] # $0"; exit 1;;
    --exportTimes=*) echo '[{"h2dMs":0,"computeMs":3.5,"d2hMs":0,"latencyMs":3.6},{"h2dMs":0,"computeMs":4.5,"d2hMs":0,"latencyMs":4.6}]' > "${a#*=}";;
    --exportProfile=*) echo '[{"count":100},{"name":"conv_stem/Conv","timeMs":100,"averageMs":1.0,"medianMs":1.0,"percentage":25.0},{"name":"blocks.0.0.ghost1/Add","timeMs":300,"averageMs":3.0,"percentage":75.0}]' > "${a#*=}";;
    --saveEngine=*) echo engine > "${a#*=}";;
  esac
done
cat <<'END'
[11/24/2026-10:00:00] [I] === Performance summary ===
[11/24/2026-10:00:00] [I] Throughput: 250.0 qps
[11/24/2026-10:00:00] [I] Latency: min = 3.6 ms, max = 4.6 ms, mean = 4.1 ms, median = 4.1 ms, percentile(90%) = 4.6 ms, percentile(95%) = 4.6 ms, percentile(99%) = 4.6 ms
[11/24/2026-10:00:00] [I] GPU Compute Time: min = 3.5 ms, max = 4.5 ms, mean = 4.0 ms, median = 4.0 ms, percentile(99%) = 4.5 ms
END
echo "&&&& PASSED TensorRT.trtexec [TensorRT vVERSION] # $0"
"#;

fn program(folder: &Path, version: &str, refused: &str) -> PathBuf {
    let path = folder.join(format!("trtexec_{version}"));
    std::fs::write(&path, SCRIPT.replace("VERSION", version).replace("REFUSED", refused)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn bench(folder: &Path, name: &str) -> TrtBench {
    let output = folder.join(name);
    std::fs::create_dir_all(&output).unwrap();
    TrtBench { onnx: folder.join("m.onnx"), output, batch: 32, input: [3, 224, 224], dynamic: false, fp16: true }
}

#[test]
fn both_generations_are_run_with_flags_that_they_know_and_everything_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    // TensorRT 11 refuses --fp16; TensorRT 10 has no flag that 11 would know and it not.
    for (number, major, refused) in
        [("101600", 10, "--noSuchFlag"), ("110400", 11, "--fp16 | --useCudaGraph | --noDataTransfers")]
    {
        let trtexec = program(folder.path(), number, refused);
        let found = version(&trtexec).unwrap();
        assert_eq!(found.major, major);
        let bench = bench(folder.path(), number);
        let timed = time(&trtexec, Generation::from(found), &bench).unwrap();
        assert_eq!(timed.times.compute_ms, [3.5, 4.5]);
        assert_eq!((timed.summary.throughput_qps, timed.summary.compute_mean_ms), (250.0, 4.0));
        assert_eq!((timed.profile.count, timed.profile.layers[1].percentage), (100, 75.0));
        for file in ["command.sh", "trtexec.log", "times.json", "profile.json", "model.plan"] {
            assert!(bench.output.join(file).is_file(), "{file}");
        }
        let command = std::fs::read_to_string(bench.output.join("command.sh")).unwrap();
        assert_eq!(command.contains("--fp16"), major == 10, "{command}");
    }
}

#[test]
fn a_refused_flag_is_told_in_trtexecs_words() {
    let folder = tempfile::tempdir().unwrap();
    let trtexec = program(folder.path(), "110400", "--fp16");
    // The wrong generation on purpose.
    let message = time(&trtexec, Generation::UpTo10, &bench(folder.path(), "x")).unwrap_err().to_string();
    assert_eq!(message, "trtexec: Unknown option: --fp16");
}
