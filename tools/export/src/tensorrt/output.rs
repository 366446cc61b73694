//! What trtexec printed and exported, as numbers. A *query* is a whole batch.

use serde::Deserialize;

use crate::error::ExportError;

/// Per-run times of `--exportTimes`, in milliseconds a query. The best source: raw, and free of any locale.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// GPU compute time of each timed run.
    pub compute_ms: Vec<f64>,
    /// Latency of each timed run, transfers included where there are any.
    pub latency_ms: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimeRow {
    compute_ms: f64,
    latency_ms: f64,
}

impl Times {
    /// Reads the exported array.
    ///
    /// # Errors
    /// Text that is no such array, or an empty one.
    pub fn parse(text: &str) -> Result<Self, ExportError> {
        let rows: Vec<TimeRow> = serde_json::from_str(text).map_err(|e| bad(&format!("--exportTimes: {e}")))?;
        if rows.is_empty() {
            return Err(bad("--exportTimes: no timed run"));
        }
        Ok(Self {
            compute_ms: rows.iter().map(|r| r.compute_ms).collect(),
            latency_ms: rows.iter().map(|r| r.latency_ms).collect(),
        })
    }
}

/// Time of one layer, from `--exportProfile`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerTime {
    /// Name; made of the names of the file's nodes.
    pub name: String,
    /// Milliseconds a query, mean.
    pub average_ms: f64,
    /// Milliseconds a query, median; absent in old versions.
    #[serde(default)]
    pub median_ms: Option<f64>,
    /// Share of the whole in percent.
    pub percentage: f64,
}

/// Per-layer times.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Profiled runs.
    pub count: u64,
    /// Layers in order of execution.
    pub layers: Vec<LayerTime>,
}

impl Profile {
    /// Reads the exported array: a count, then one entry a layer.
    ///
    /// # Errors
    /// Text that is no such array.
    pub fn parse(text: &str) -> Result<Self, ExportError> {
        #[derive(Deserialize)]
        struct Count {
            count: u64,
        }
        let failure = |e: serde_json::Error| bad(&format!("--exportProfile: {e}"));
        let entries: Vec<serde_json::Value> = serde_json::from_str(text).map_err(failure)?;
        let (first, rest) = entries.split_first().ok_or_else(|| bad("--exportProfile: empty"))?;
        let count = Count::deserialize(first).map_err(failure)?.count;
        let layers = rest.iter().map(LayerTime::deserialize).collect::<Result<_, _>>().map_err(failure)?;
        Ok(Self { count, layers })
    }
}

/// The summary on standard output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Queries a second.
    pub throughput_qps: f64,
    /// GPU compute time of a query, mean, in milliseconds.
    pub compute_mean_ms: f64,
    /// Latency of a query, mean, in milliseconds.
    pub latency_mean_ms: f64,
    /// Latency of a query, 95th percentile, in milliseconds; TensorRT 8 printed the 99th only.
    pub latency_p95_ms: Option<f64>,
}

impl Summary {
    /// Reads what trtexec printed.
    ///
    /// # Errors
    /// trtexec's own error line where it failed; a missing summary otherwise.
    pub fn parse(stdout: &str) -> Result<Self, ExportError> {
        if !stdout.contains("&&&& PASSED") {
            let line = stdout.lines().find(|l| l.contains("[E]")).map_or("did not pass and gave no reason", |l| strip(l));
            return Err(bad(line));
        }
        let field = |line: &str, key: &str| {
            let text = stdout.lines().map(strip).find(|l| l.starts_with(line))?;
            let value = text.split(&format!("{key} = ")).nth(1)?;
            value.split_whitespace().next()?.trim_end_matches(',').parse().ok()
        };
        let throughput = stdout
            .lines()
            .map(strip)
            .find_map(|l| l.strip_prefix("Throughput: "))
            .and_then(|v| v.split_whitespace().next()?.parse().ok());
        match (throughput, field("GPU Compute Time:", "mean"), field("Latency:", "mean")) {
            (Some(throughput_qps), Some(compute_mean_ms), Some(latency_mean_ms)) => Ok(Self {
                throughput_qps,
                compute_mean_ms,
                latency_mean_ms,
                latency_p95_ms: field("Latency:", "percentile(95%)"),
            }),
            _ => Err(bad("printed no performance summary")),
        }
    }
}

/// A line without its `[date-time] [I] ` prefix.
fn strip(line: &str) -> &str {
    line.rsplit_once("[I] ").or_else(|| line.rsplit_once("[E] ")).map_or(line, |(_, rest)| rest).trim()
}

fn bad(message: &str) -> ExportError {
    ExportError::Runtime { runtime: "trtexec", message: message.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of TensorRT 8 to 11 (their sources print it; the figures are invented): prefixes, other latencies before and after.
    const PASSED: &str = "\
&&&& RUNNING TensorRT.trtexec [TensorRT v101600] # trtexec --onnx=m.onnx
[11/24/2026-10:00:00] [I] === Performance summary ===
[11/24/2026-10:00:00] [I] Throughput: 812.3 qps
[11/24/2026-10:00:00] [I] Latency: min = 1.1 ms, max = 1.5 ms, mean = 1.21 ms, median = 1.2 ms, percentile(90%) = 1.3 ms, percentile(95%) = 1.35 ms, percentile(99%) = 1.4 ms
[11/24/2026-10:00:00] [I] Enqueue Time: min = 0.1 ms, max = 0.2 ms, mean = 0.15 ms, median = 0.15 ms, percentile(99%) = 0.2 ms
[11/24/2026-10:00:00] [I] H2D Latency: min = 0.01 ms, max = 0.02 ms, mean = 0.015 ms, median = 0.015 ms, percentile(99%) = 0.02 ms
[11/24/2026-10:00:00] [I] GPU Compute Time: min = 1.0 ms, max = 1.4 ms, mean = 1.19 ms, median = 1.18 ms, percentile(99%) = 1.39 ms
[11/24/2026-10:00:00] [I] D2H Latency: min = 0.01 ms, max = 0.02 ms, mean = 0.011 ms, median = 0.011 ms, percentile(99%) = 0.02 ms
&&&& PASSED TensorRT.trtexec [TensorRT v101600] # trtexec --onnx=m.onnx
";

    #[test]
    fn the_summary_is_read_line_by_line() {
        let s = Summary::parse(PASSED).unwrap();
        let expected =
            Summary { throughput_qps: 812.3, compute_mean_ms: 1.19, latency_mean_ms: 1.21, latency_p95_ms: Some(1.35) };
        assert_eq!(s, expected);
        let old = PASSED.replace("percentile(90%) = 1.3 ms, percentile(95%) = 1.35 ms, ", "");
        assert_eq!(Summary::parse(&old).unwrap().latency_p95_ms, None);
    }

    #[test]
    fn a_failed_run_gives_its_own_reason() {
        let text = "[11/24/2026-10:00:00] [E] Unknown option: --fp16\n&&&& FAILED TensorRT.trtexec [TensorRT v110400] # trtexec";
        assert_eq!(Summary::parse(text).unwrap_err().to_string(), "trtexec: Unknown option: --fp16");
        assert!(Summary::parse("").is_err());
    }

    #[test]
    fn times_and_profile() {
        let times = r#"[{"startEnqMs":0.1,"endEnqMs":0.2,"h2dMs":0,"computeMs":1.5,"d2hMs":0,"latencyMs":1.6},
            {"startEnqMs":1.1,"endEnqMs":1.2,"h2dMs":0,"computeMs":2.5,"d2hMs":0,"latencyMs":2.6}]"#;
        let t = Times::parse(times).unwrap();
        assert_eq!((t.compute_ms, t.latency_ms), (vec![1.5, 2.5], vec![1.6, 2.6]));
        assert!(Times::parse("[]").is_err() && Times::parse("{").is_err());
        let profile = r#"[{"count":100},
            {"name":"blocks.2.0.ghost1/Add","timeMs":12.5,"averageMs":0.125,"medianMs":0.12,"percentage":40.0},
            {"name":"stem/Conv","timeMs":18.75,"averageMs":0.1875,"percentage":60.0}]"#;
        let p = Profile::parse(profile).unwrap();
        assert_eq!((p.count, p.layers.len()), (100, 2));
        assert_eq!(p.layers[0].median_ms, Some(0.12));
        assert_eq!(p.layers[1].median_ms, None);
    }
}
