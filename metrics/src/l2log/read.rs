//! Reading of lifetimes and experts.

use super::{DATA_LOG, LOGGER_INFO, LoggerInfo, SCENARIO_INFO, ScenarioInfo, timestamp};
use crate::continual::lifelong::{Block, BlockKind, Experience, Expert, Lifetime};
use crate::text_table::{InputError, Row, TextTable};
use crate::unreadable;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A lifetime as it was logged.
#[derive(Clone, Debug, PartialEq)]
pub struct LifetimeLog {
    /// The blocks.
    pub lifetime: Lifetime,
    /// Name of the folder.
    pub run_id: String,
    /// What was lived through.
    pub scenario: ScenarioInfo,
    /// The column that was read.
    pub performance: String,
    /// Numbers of blocks that are not there, between 0 and the last one that is.
    pub missing: Vec<u64>,
    /// From the first timestamp to the last; `None` without timestamps.
    pub seconds: Option<f64>,
}

/// Reads a lifetime's folder.
///
/// `performance` is the column to read; without it, `performance` if there is such a column, or else the
/// only one. Names of tasks become lower case. Experiences that are not complete or have no performance
/// are left out. The rest is ordered by experience and block number, over all workers; a block begins
/// where number, kind, sleep or task changes.
pub fn read_lifetime(folder: &Path, performance: Option<&str>) -> Result<LifetimeLog, InputError> {
    let info: LoggerInfo = json(&folder.join(LOGGER_INFO))?;
    let performance = column(folder, &info, performance)?;
    let scenario_path = folder.join(SCENARIO_INFO);
    let scenario = if scenario_path.exists() {
        json(&scenario_path)?
    } else {
        ScenarioInfo::default()
    };
    let mut rows = Vec::new();
    for path in data_logs(folder)? {
        read_rows(&path, &performance, &mut rows)?;
    }
    if rows.is_empty() {
        let expected =
            "complete experiences in <worker>/<number>-<train or test>/data-log.tsv are right";
        return Err(InputError::content(
            folder,
            "there are no experiences",
            expected,
        ));
    }
    rows.sort_by_key(|row| (row.experience.number, row.block));
    let times = || rows.iter().filter_map(|row| row.micros);
    let seconds = times()
        .max()
        .zip(times().min())
        .map(|(last, first)| (last - first) as f64 / 1e6);
    Ok(LifetimeLog {
        missing: missing(&rows),
        lifetime: blocks(rows),
        run_id: name(folder),
        scenario,
        performance,
        seconds,
    })
}

/// Reads every expert below a folder: the folders in it that have a `logger_info.json`, by name, or the
/// folder itself. Each trains exactly one task.
pub fn read_experts(folder: &Path, performance: Option<&str>) -> Result<Vec<Expert>, InputError> {
    let logs: Vec<PathBuf> = if folder.join(LOGGER_INFO).is_file() {
        vec![folder.to_path_buf()]
    } else {
        let mut entries = entries(folder)?;
        entries.retain(|entry| entry.join(LOGGER_INFO).is_file());
        entries
    };
    if logs.is_empty() {
        let what = "there is no expert";
        let expected = "folders with a logger_info.json, one for each expert, are right";
        return Err(InputError::content(folder, what, expected));
    }
    logs.iter().map(|log| expert(log, performance)).collect()
}

fn expert(folder: &Path, performance: Option<&str>) -> Result<Expert, InputError> {
    let log = read_lifetime(folder, performance)?;
    Expert::from_lifetime(&log.lifetime).ok_or_else(|| {
        let trained = log.lifetime.blocks.iter();
        let mut tasks: Vec<&str> = trained
            .filter(|block| block.kind == BlockKind::Train)
            .map(|block| block.task.as_str())
            .collect();
        tasks.sort_unstable();
        tasks.dedup();
        let what = format!(
            "the expert trains {} tasks ({})",
            tasks.len(),
            tasks.join(", ")
        );
        InputError::content(folder, what, "a single-task expert trains one")
    })
}

fn name(folder: &Path) -> String {
    let whole = std::fs::canonicalize(folder);
    let whole = whole.as_deref().unwrap_or(folder);
    whole
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, InputError> {
    let text = std::fs::read(path).map_err(|source| InputError::file(path, source))?;
    serde_json::from_slice(&text).map_err(|error| InputError::Line {
        path: path.to_path_buf(),
        line: error.line() as u64,
        what: unreadable(&error),
        expected: "the JSON of l2logger 1.1 is right".to_owned(),
    })
}

fn column(folder: &Path, info: &LoggerInfo, wanted: Option<&str>) -> Result<String, InputError> {
    let columns = &info.metrics_columns;
    let known = |name: &str| columns.iter().find(|column| *column == name).cloned();
    let found = match (wanted, columns.as_slice()) {
        (Some(wanted), _) => known(wanted),
        (None, [only]) => Some(only.clone()),
        (None, _) => known("performance"),
    };
    found.ok_or_else(|| {
        let what = match wanted {
            Some(wanted) => format!("`{wanted}` is not among the metrics_columns"),
            None => "which of the metrics_columns is the performance is open".to_owned(),
        };
        let expected = format!("they are {}", columns.join(", "));
        InputError::content(&folder.join(LOGGER_INFO), what, expected)
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, InputError> {
    let wrong = |source| InputError::file(folder, source);
    let found = std::fs::read_dir(folder).map_err(wrong)?;
    let mut paths = found
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    paths.sort();
    Ok(paths)
}

/// All `data-log.tsv` below a folder, by path.
fn data_logs(folder: &Path) -> Result<Vec<PathBuf>, InputError> {
    let mut logs = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            logs.extend(data_logs(&path)?);
        } else if path.file_name().is_some_and(|name| name == DATA_LOG) {
            logs.push(path);
        }
    }
    Ok(logs)
}

/// A row that counts.
struct LogRow {
    block: u64,
    kind: BlockKind,
    asleep: bool,
    task: String,
    experience: Experience,
    micros: Option<u64>,
}

fn read_rows(path: &Path, performance: &str, rows: &mut Vec<LogRow>) -> Result<(), InputError> {
    let table = TextTable::open(path, b'\t')?;
    let columns = Columns {
        block: table.required("block_num")?,
        number: table.required("exp_num")?,
        kind: table.required("block_type")?,
        task: table.required("task_name")?,
        performance: table.required(performance)?,
        subtype: table.optional("block_subtype"),
        status: table.optional("exp_status"),
        timestamp: table.optional("timestamp"),
    };
    table.each(|row| {
        rows.extend(columns.read(&row)?);
        Ok(())
    })
}

/// Where the columns stand.
struct Columns {
    block: usize,
    number: usize,
    kind: usize,
    task: usize,
    performance: usize,
    subtype: Option<usize>,
    status: Option<usize>,
    timestamp: Option<usize>,
}

impl Columns {
    fn read(&self, row: &Row<'_>) -> Result<Option<LogRow>, InputError> {
        let complete = match self.status {
            Some(status) => one_of(row, status, ["complete", "incomplete"])? == 0,
            None => true,
        };
        let missing = ["nan", "null", "na", ""];
        let text = row.text(self.performance).to_ascii_lowercase();
        if !complete || missing.contains(&text.as_str()) {
            return Ok(None);
        }
        let asleep = match self.subtype {
            Some(subtype) => one_of(row, subtype, ["wake", "sleep"])? == 1,
            None => false,
        };
        let kinds = [BlockKind::Train, BlockKind::Test];
        let Some(performance) = row.number(self.performance)? else {
            return Ok(None);
        };
        Ok(Some(LogRow {
            block: row.count(self.block)?,
            kind: kinds[one_of(row, self.kind, ["train", "test"])?],
            asleep,
            task: row.text(self.task).to_lowercase(),
            experience: Experience {
                number: row.count(self.number)?,
                performance,
            },
            micros: self.micros(row)?,
        }))
    }

    fn micros(&self, row: &Row<'_>) -> Result<Option<u64>, InputError> {
        let Some(at) = self.timestamp.filter(|&at| !row.text(at).is_empty()) else {
            return Ok(None);
        };
        let expected = "a time such as 20210415T145944.077807 is right";
        match timestamp::read(row.text(at)) {
            None => Err(row.fault(at, "is not a time", expected)),
            micros => Ok(micros),
        }
    }
}

fn one_of(row: &Row<'_>, column: usize, words: [&str; 2]) -> Result<usize, InputError> {
    let found = words.iter().position(|&word| word == row.text(column));
    let expected = format!("{} or {} is right", words[0], words[1]);
    found.ok_or_else(|| row.fault(column, "is not known", &expected))
}

/// Numbers that no row has, up to the last one. So many that a list says nothing are cut short.
fn missing(rows: &[LogRow]) -> Vec<u64> {
    let there: BTreeSet<u64> = rows.iter().map(|row| row.block).collect();
    let last = there.last().copied().unwrap_or(0);
    (0..last)
        .filter(|number| !there.contains(number))
        .take(MISSING)
        .collect()
}

/// Missing blocks that are listed.
const MISSING: usize = 1000;

fn blocks(rows: Vec<LogRow>) -> Lifetime {
    let mut blocks: Vec<Block> = Vec::new();
    for row in rows {
        let same = |block: &&mut Block| {
            (block.number, block.kind, block.asleep) == (row.block, row.kind, row.asleep)
                && block.task == row.task
        };
        if let Some(block) = blocks.last_mut().filter(same) {
            block.experiences.push(row.experience);
            continue;
        }
        blocks.push(Block {
            number: row.block,
            kind: row.kind,
            asleep: row.asleep,
            task: row.task,
            experiences: vec![row.experience],
        });
    }
    Lifetime { blocks }
}
