//! Records on their way into a store: checked, written in their one way, and cut into parts.

use crate::{
    Settings, StoreError,
    sample::{self, Columns},
    sources::{self, PART_BYTES, PART_RECORDS, Sources},
    told::{Kind, Part},
};
use lyceum_core::{Chain, Fingerprint};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Bytes that wait to become parts, at most.
const WAITING: usize = 48 << 20;

/// What one task is to get.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    waiting: Vec<u8>,
    records: u64,
    all: u64,
    content: Chain,
    parts: Vec<Part>,
    /// Whether a damaged part was there, and was written again.
    mended: bool,
}

/// What a task gets, safe on the disk.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) content: Fingerprint,
    pub(crate) records: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) mended: bool,
}

/// Records by task.
pub(crate) struct Gather<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) sources: &'a Sources,
    pub(crate) kind: Kind,
    pub(crate) columns: &'a Columns,
    /// Column that names the task, or the task of all.
    pub(crate) task: Result<&'a str, &'a str>,
    pub(crate) heaps: BTreeMap<String, Heap>,
    pub(crate) waiting: usize,
}

impl Gather<'_> {
    /// Takes a record; an error says what would be right.
    pub(crate) fn take(&mut self, text: &str) -> Result<Result<Fingerprint, String>, StoreError> {
        let (text, identity, task) = match self.read(text) {
            Ok(read) => read,
            Err(fault) => return Ok(Err(fault)),
        };
        let heap = self.heaps.entry(task).or_default();
        let before = heap.waiting.len();
        sources::push(&mut heap.waiting, &text);
        self.waiting += heap.waiting.len() - before;
        heap.records += 1;
        heap.all += 1;
        heap.content.add(text.as_bytes());
        if heap.waiting.len() >= PART_BYTES || heap.records >= PART_RECORDS {
            self.waiting -= heap.close(self.sources)?;
        }
        if self.waiting >= WAITING {
            for heap in self.heaps.values_mut() {
                self.waiting -= heap.close(self.sources)?;
            }
        }
        Ok(Ok(identity))
    }

    fn read(&self, text: &str) -> Result<(String, Fingerprint, String), String> {
        let (text, record) = sample::canonical(text)?;
        let identity = match self.kind {
            Kind::Samples => {
                self.columns.read(&record)?;
                sample::identity(&self.settings.identity, &text, &record)?
            }
            Kind::Pieces => sample::identity(&self.settings.piece_identity, &text, &record)?,
        };
        let task = match self.task {
            Ok(task) => task.to_string(),
            Err(column) => named_by(column, &record)?,
        };
        Ok((text, identity, task))
    }

    /// Writes what is left.
    pub(crate) fn finish(self) -> Result<BTreeMap<String, Ready>, StoreError> {
        let mut ready = BTreeMap::new();
        for (task, mut heap) in self.heaps {
            heap.close(self.sources)?;
            let delivered = Ready {
                content: heap.content.link(),
                records: heap.all,
                parts: heap.parts,
                mended: heap.mended,
            };
            ready.insert(task, delivered);
        }
        Ok(ready)
    }
}

impl Heap {
    /// Makes a part of what waits, and says how many bytes that were.
    fn close(&mut self, sources: &Sources) -> Result<usize, StoreError> {
        if self.records == 0 {
            return Ok(0);
        }
        let (hash, mended) = sources.put(&self.waiting)?;
        self.mended |= mended;
        self.parts.push(Part {
            hash,
            records: self.records,
        });
        self.records = 0;
        Ok(std::mem::take(&mut self.waiting).len())
    }
}

fn named_by(column: &str, record: &Map<String, Value>) -> Result<String, String> {
    let name = match record.get(column) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => {
            return Err(format!(
                "column `{column}` names the task and is missing, or no text and no number"
            ));
        }
    };
    check_name(&name)?;
    Ok(name)
}

/// Whether a task can be called so; an error says what would be right.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let right = !name.trim().is_empty() && name.len() <= 200;
    match right && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name for a task; 1 to 200 bytes without line breaks are right"
        )),
    }
}
