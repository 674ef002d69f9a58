//! What files of texts are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What files of texts are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// By the ending: `.jsonl`, `.csv`, `.tsv`, or `.txt` for plain (default).
    #[default]
    Auto,
    /// A JSON object a line.
    Jsonl,
    /// A table with commas.
    Csv,
    /// A table with tabs.
    Tsv,
    /// The whole file is one document.
    Plain,
    /// A document a line.
    Lines,
}
