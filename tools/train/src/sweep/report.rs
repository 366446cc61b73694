//! Writes a sweep's tables and pictures into its folder.

use std::path::PathBuf;

use super::cost::{self, RowCost};
use super::folder::SweepFolder;
use super::picture;
use super::plan::Plan;
use super::results::{self, Results};
use super::table;
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

/// Reads all trials, prices the rows and writes `table.{md,csv,json}` and the pictures. With `latency`, backbones are timed on this
/// machine; times that were taken before are kept, so that rows of one table come from one sitting unless a row is new.
///
/// # Errors
/// The disk's; backbones that cannot be built.
pub fn write(plan: &Plan, folder: &SweepFolder, latency: bool) -> Result<Written, TrainError> {
    let costs = prices(plan, folder, latency)?;
    let results = results::collect(plan, folder, &costs)?;
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

fn prices(plan: &Plan, folder: &SweepFolder, latency: bool) -> Result<Vec<Option<RowCost>>, TrainError> {
    let path = folder.root().join("latency.json");
    let mut known: Vec<(String, RowCost)> =
        std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let mut costs = Vec::new();
    for row in &plan.rows {
        let Some(trial) = plan.trials.iter().find(|t| t.row == *row) else {
            costs.push(None);
            continue;
        };
        let mut price = cost::price(&trial.loaded.experiment, false)?;
        // Times of a row count as long as it is the same network.
        let same =
            |k: &RowCost| (k.parameters, k.fused_parameters, k.macs) == (price.parameters, price.fused_parameters, price.macs);
        match known.iter().find(|(name, k)| name == row && same(k)) {
            Some((_, k)) => price = *k,
            None if latency => {
                price = cost::price(&trial.loaded.experiment, true)?;
                known.retain(|(name, _)| name != row);
                known.push((row.clone(), price));
            }
            None => {}
        }
        costs.push(Some(price));
    }
    if latency {
        write_json(&path, &known)?;
    }
    Ok(costs)
}
