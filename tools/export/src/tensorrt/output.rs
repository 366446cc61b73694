//! What trtexec printed and exported, as numbers. A *query* is a whole batch.

use serde::Deserialize;

use crate::error::ExportError;

/// Per-run times of `--exportTimes`, in milliseconds per query. The best source: raw, and free of any locale.
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
    /// Queries per second.
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

    /// Printed by TensorRT 8.4 on a Jetson (OE4T/meta-tegra, pull request 952).
    const PRINTED_BY_8: &str = "\
[03/11/2022-14:57:03] [I] === Performance summary ===
[03/11/2022-14:57:03] [I] Throughput: 41087.7 qps
[03/11/2022-14:57:03] [I] Latency: min = 0.387207 ms, max = 0.447357 ms, mean = 0.402238 ms, median = 0.401947 ms, percentile(99%) = 0.420288 ms
[03/11/2022-14:57:03] [I] Enqueue Time: min = 0.0830078 ms, max = 0.229004 ms, mean = 0.090497 ms, median = 0.0871582 ms, percentile(99%) = 0.126099 ms
[03/11/2022-14:57:03] [I] H2D Latency: min = 0.00622559 ms, max = 0.0571899 ms, mean = 0.0104126 ms, median = 0.00952148 ms, percentile(99%) = 0.0272217 ms
[03/11/2022-14:57:03] [I] GPU Compute Time: min = 0.375977 ms, max = 0.403564 ms, mean = 0.388221 ms, median = 0.388443 ms, percentile(99%) = 0.393188 ms
[03/11/2022-14:57:03] [I] D2H Latency: min = 0.00195312 ms, max = 0.00537109 ms, mean = 0.00360451 ms, median = 0.00366211 ms, percentile(99%) = 0.00488281 ms
[03/11/2022-14:57:03] [I] Total Host Walltime: 3.00119 s
[03/11/2022-14:57:03] [I] Total GPU Compute Time: 2.99202 s
[03/11/2022-14:57:03] [I] Explanations of the performance metrics are printed in the verbose logs.
[03/11/2022-14:57:03] [I]
&&&& PASSED TensorRT.trtexec [TensorRT v8400] # trtexec --loadEngine=mnist16.trt --batch=16
";
    /// Printed by TensorRT 10.9 for an FCN-ResNet101. TensorRT 11 prints the same lines (its sources; no output of it was at hand).
    const PRINTED_BY_10: &str = "\
[04/08/2025-23:15:51] [I] === Trace details ===
[04/08/2025-23:15:51] [I] Trace averages of 10 runs:
[04/08/2025-23:15:51] [I] Average on 10 runs - GPU latency: 111.218 ms - Host latency: 112.617 ms (enqueue 0.685264 ms)
[04/08/2025-23:15:51] [I] Average on 10 runs - GPU latency: 111.351 ms - Host latency: 112.752 ms (enqueue 0.753516 ms)
[04/08/2025-23:15:51] [I]
[04/08/2025-23:15:51] [I] === Performance summary ===
[04/08/2025-23:15:51] [I] Throughput: 8.66824 qps
[04/08/2025-23:15:51] [I] Latency: min = 110.946 ms, max = 115.703 ms, mean = 112.938 ms, median = 112.567 ms, percentile(90%) = 114.427 ms, percentile(95%) = 115.415 ms, percentile(99%) = 115.703 ms
[04/08/2025-23:15:51] [I] Enqueue Time: min = 0.495506 ms, max = 0.953369 ms, mean = 0.733638 ms, median = 0.734863 ms, percentile(90%) = 0.802246 ms, percentile(95%) = 0.835693 ms, percentile(99%) = 0.953369 ms
[04/08/2025-23:15:51] [I] H2D Latency: min = 0.612305 ms, max = 0.961426 ms, mean = 0.771373 ms, median = 0.769043 ms, percentile(90%) = 0.873108 ms, percentile(95%) = 0.873779 ms, percentile(99%) = 0.961426 ms
[04/08/2025-23:15:51] [I] GPU Compute Time: min = 109.522 ms, max = 114.185 ms, mean = 111.557 ms, median = 111.208 ms, percentile(90%) = 113.02 ms, percentile(95%) = 114.115 ms, percentile(99%) = 114.185 ms
[04/08/2025-23:15:51] [I] D2H Latency: min = 0.548096 ms, max = 0.763855 ms, mean = 0.61034 ms, median = 0.609924 ms, percentile(90%) = 0.709229 ms, percentile(95%) = 0.71228 ms, percentile(99%) = 0.763855 ms
[04/08/2025-23:15:51] [I] Total Host Walltime: 3.34555 s
[04/08/2025-23:15:51] [I] Total GPU Compute Time: 3.23514 s
[04/08/2025-23:15:51] [W] * GPU compute time is unstable, with coefficient of variance = 1.08662%.
[04/08/2025-23:15:51] [W]   If not already in use, locking GPU clock frequency or adding --useSpinWait may improve the stability.
[04/08/2025-23:15:51] [I] Explanations of the performance metrics are printed in the verbose logs.
[04/08/2025-23:15:51] [I]
&&&& PASSED TensorRT.trtexec [TensorRT v100900] [b34] # trtexec --onnx=fcn-resnet101.onnx --saveEngine=fcn-resnet101.engine --optShapes=input:1x3x1026x1282
";

    #[test]
    fn recorded_summaries_are_read_line_by_line() {
        let of = |throughput_qps, compute_mean_ms, latency_mean_ms, latency_p95_ms| Summary {
            throughput_qps,
            compute_mean_ms,
            latency_mean_ms,
            latency_p95_ms,
        };
        assert_eq!(Summary::parse(PRINTED_BY_8).unwrap(), of(41087.7, 0.388221, 0.402238, None));
        assert_eq!(Summary::parse(PRINTED_BY_10).unwrap(), of(8.66824, 111.557, 112.938, Some(115.415)));
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
