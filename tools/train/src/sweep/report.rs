//! Writes a sweep's tables and pictures into its folder.

use std::path::PathBuf;

use super::cost::{self, RowCost};
use super::folder::SweepFolder;
use super::picture;
use super::plan::Plan;
use super::results::{self, Results};
use super::table;
use super::verdicts;
use crate::config::Experiment;
use crate::error::TrainError;
use crate::run::folder::{write_json, write_text};

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The results.
    pub results: Results,
    /// The table as Markdown.
    pub markdown: String,
    /// Files, in order.
    pub files: Vec<PathBuf>,
}

/// Reads all trials, counts the rows' parameters and MACs, and writes `table.{md,csv,json}` and the pictures. With `latency`, backbones are timed on this
/// machine. Times that were taken before are kept as long as there is one for every row: all rows of a table come from one sitting.
///
/// # Errors
/// The disk's; backbones that cannot be built.
pub fn write(plan: &Plan, folder: &SweepFolder, latency: bool) -> Result<Written, TrainError> {
    let costs = row_costs(plan, folder, latency)?;
    let mut results = results::collect(plan, folder, &costs)?;
    verdicts::judge(&mut results, folder, &mut |note| tracing::warn!("{note}"));
    let markdown = table::markdown(&results);
    let mut files = Vec::new();
    for (name, text) in [("table.md", &markdown), ("table.csv", &table::csv(&results))] {
        let path = folder.root().join(name);
        write_text(&path, text)?;
        files.push(path);
    }
    let path = folder.root().join(SweepFolder::TABLE);
    write_json(&path, &results)?;
    files.push(path);
    files.extend(picture::write_all(plan, folder, &results)?);
    Ok(Written { results, markdown, files })
}

fn row_costs(plan: &Plan, folder: &SweepFolder, latency: bool) -> Result<Vec<Option<RowCost>>, TrainError> {
    let path = folder.root().join("latency.json");
    let known: Vec<(String, RowCost)> =
        std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let experiments: Vec<Option<&Experiment>> =
        plan.rows.iter().map(|row| plan.trials.iter().find(|t| t.row == *row).map(|t| &t.loaded.experiment)).collect();
    let mut counted = cost::Counted::default();
    let mut costs: Vec<Option<RowCost>> =
        experiments.iter().map(|e| e.map(|e| counted.count(e)).transpose()).collect::<Result<_, _>>()?;
    for (row, cost) in plan.rows.iter().zip(costs.iter_mut().flatten()) {
        // Times of a row count as long as it is the same network.
        let counts = |k: &RowCost| (k.parameters, k.fused_parameters, k.macs);
        if let Some((_, k)) = known.iter().find(|(name, k)| name == row && counts(k) == counts(cost)) {
            *cost = *k;
        }
    }
    if latency && costs.iter().flatten().any(|c| c.latency_ms.is_none()) {
        let times = cost::latencies(&experiments.into_iter().flatten().collect::<Vec<_>>())?;
        for (cost, [unfused, fused]) in costs.iter_mut().flatten().zip(times) {
            (cost.latency_ms, cost.fused_latency_ms) = (Some(unfused), Some(fused));
        }
        let timed: Vec<(&String, RowCost)> = plan.rows.iter().zip(&costs).filter_map(|(r, c)| Some((r, (*c)?))).collect();
        write_json(&path, &timed)?;
    }
    Ok(costs)
}
