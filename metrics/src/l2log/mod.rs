//! Lifetimes in the folder layout of l2logger 1.1.
//!
//! ```text
//! lifetime/
//!   logger_info.json       {"metrics_columns": ["performance"], "log_format_version": "1.1"}
//!   scenario_info.json     {"complexity": "2-intermediate", "difficulty": "2-medium", ...}
//!   worker/
//!     0-test/data-log.tsv  a row per experience, tab-separated
//!     1-train/data-log.tsv
//! ```

mod read;
mod timestamp;
mod write;

pub use read::{LifetimeLog, read_experts, read_lifetime};
pub use write::L2Log;

use serde::{Deserialize, Serialize};

/// Name of the file that says which columns hold performances.
pub const LOGGER_INFO: &str = "logger_info.json";
/// Name of the file that says what the scenario is.
pub const SCENARIO_INFO: &str = "scenario_info.json";

const DATA_LOG: &str = "data-log.tsv";
const VERSION: &str = "1.1";

/// Which columns of the logs hold performances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LoggerInfo {
    metrics_columns: Vec<String>,
    #[serde(default)]
    log_format_version: String,
}

/// What a lifetime's scenario is, in l2logger's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScenarioInfo {
    /// 1-low, 2-intermediate or 3-high; empty if unknown.
    pub complexity: String,
    /// 1-easy, 2-medium or 3-hard; empty if unknown.
    pub difficulty: String,
    /// condensed, dispersed, permuted, alternating, ste or custom; empty if unknown.
    pub scenario_type: String,
}
