//! Estimates on tables in memory, and whether two results are the same.

use std::path::PathBuf;

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::panels::COLUMNS;
use stagger_test_support::tables::write_parquet;
use tempfile::TempDir;

use crate::cli::estimate;
use crate::compare::{assert_all_close, floats};
use crate::tolerance::ROUNDING;

/// A folder of panels.
#[derive(Debug)]
pub struct Lab(TempDir);

impl Lab {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "makes a folder")]
    pub fn new() -> Self {
        Lab(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Writes a table as `NAME.parquet`.
    pub fn write(&self, name: &str, panel: &RecordBatch) -> PathBuf {
        let path = self.0.path().join(format!("{name}.parquet"));
        write_parquet(&path, panel);
        path
    }

    /// Analytic estimates on a panel.
    #[track_caller]
    pub fn run(&self, panel: &RecordBatch, options: &str) -> Value {
        let path = self.write("panel", panel);
        estimate(&path, &format!("{COLUMNS} --bstrap false {options}")).success().json()
    }
}

/// Cells and aggregations agree up to rounding, relative to the standard errors.
#[track_caller]
pub fn assert_same_estimates(what: &str, a: &Value, b: &Value) {
    assert_estimates_within(what, a, b, ROUNDING);
}

/// The same within a tolerance of one's own.
#[track_caller]
pub fn assert_estimates_within(what: &str, a: &Value, b: &Value, tolerance: f64) {
    let scale = floats(&a["att_gt"]["se"]).into_iter().filter(|se| se.is_finite()).fold(0.0, f64::max);
    assert_cells_within(what, a, b, tolerance);
    for (kind, aggregation) in a["aggte"].as_object().expect("aggregations") {
        for key in ["overall_att", "overall_se", "att_egt", "se_egt"] {
            assert_all_close(
                &format!("{what}: {kind} {key}"),
                &aggregation[key],
                &b["aggte"][kind][key],
                tolerance,
                scale,
            );
        }
    }
}

/// The cells alone.
#[track_caller]
pub fn assert_cells_within(what: &str, a: &Value, b: &Value, tolerance: f64) {
    let scale = floats(&a["att_gt"]["se"]).into_iter().filter(|se| se.is_finite()).fold(0.0, f64::max);
    for key in ["group", "time"] {
        assert_eq!(a["att_gt"][key], b["att_gt"][key], "{what}: {key}");
    }
    for key in ["att", "se"] {
        assert_all_close(&format!("{what}: {key}"), &a["att_gt"][key], &b["att_gt"][key], tolerance, scale);
    }
}
