//! The event log of a run: one JSON object a line, appended in order, cut back on resume.

use crate::client_line;
use lyceum_core::Event;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes that are written or read at a time, about.
const BUFFER: usize = 1 << 17;

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file could not be opened, written or read.
    #[error("event log {path}: {source}")]
    File {
        /// Of the log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log has fewer bytes than the checkpoint to resume from counted.
    #[error(
        "event log {path} has {len} bytes, but the checkpoint was taken after {offset}: \
         it is not the log of this run, or its end was lost"
    )]
    Short {
        /// Of the log.
        path: PathBuf,
        /// Bytes there are.
        len: u64,
        /// Bytes there should be.
        offset: u64,
    },
    /// An event could not be written as JSON.
    #[error("event log {path}: an event cannot be written: {source}")]
    Encode {
        /// Of the log.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A line is not an event.
    #[error("event log {path}, line {line}: {source}")]
    Line {
        /// Of the log.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
}

/// Writes a run's `events.jsonl`.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
    /// Whole lines that are not in the file yet.
    lines: Vec<u8>,
    /// Bytes of the log, those lines included.
    offset: u64,
}

impl EventLog {
    /// Starts an empty log; a file that is there is overwritten.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        let file = File::create(path).map_err(|source| at(path, source))?;
        Ok(Self::new(path, file, 0))
    }

    /// Goes on with a log after its first `offset` bytes, as returned by [`EventLog::sync`]; what
    /// follows them happened after the checkpoint and is cut off.
    pub fn resume(path: &Path, offset: u64) -> Result<Self, LogError> {
        let wrong = |source| at(path, source);
        let open = OpenOptions::new().write(true).open(path);
        let mut file = open.map_err(wrong)?;
        let len = file.metadata().map_err(wrong)?.len();
        if len < offset {
            let path = path.to_path_buf();
            return Err(LogError::Short { path, len, offset });
        }
        file.set_len(offset).map_err(wrong)?;
        file.seek(SeekFrom::End(0)).map_err(wrong)?;
        Ok(Self::new(path, file, offset))
    }

    fn new(path: &Path, file: File, offset: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            file,
            lines: Vec::new(),
            offset,
        }
    }

    /// Appends an event. Buffered: on disk only after [`EventLog::sync`].
    pub fn write(&mut self, event: &Event) -> Result<(), LogError> {
        let before = self.lines.len();
        let encoded = match event {
            Event::Client { round, report } => client_line::write(&mut self.lines, *round, report),
            event => serde_json::to_writer(&mut self.lines, event),
        };
        if let Err(source) = encoded {
            self.lines.truncate(before);
            let path = self.path.clone();
            return Err(LogError::Encode { path, source });
        }
        self.lines.push(b'\n');
        self.offset += (self.lines.len() - before) as u64;
        if self.lines.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let written = self.file.write_all(&self.lines);
        self.lines.clear();
        written.map_err(|source| at(&self.path, source))
    }

    /// Makes everything written so far durable and returns the offset for a checkpoint.
    pub fn sync(&mut self) -> Result<u64, LogError> {
        self.flush()?;
        let synced = self.file.sync_all();
        synced.map_err(|source| at(&self.path, source))?;
        Ok(self.offset)
    }

    /// Bytes of the log, buffered ones included.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl Drop for EventLog {
    /// What a run that failed has seen is of use to whoever looks into it.
    fn drop(&mut self) {
        // Nobody is left to hear of it.
        let _ = self.flush();
    }
}

/// Reads a log line by line, in constant memory. A last line without its line break was torn by a
/// crash and is left out.
#[derive(Debug)]
pub struct EventReader {
    path: PathBuf,
    file: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl EventReader {
    /// Opens a log.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let file = File::open(path).map_err(|source| at(path, source))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: BufReader::with_capacity(BUFFER, file),
            line: Vec::new(),
            number: 0,
        })
    }
}

impl Iterator for EventReader {
    type Item = Result<Event, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line.clear();
        if let Err(source) = self.file.read_until(b'\n', &mut self.line) {
            return Some(Err(at(&self.path, source)));
        }
        self.number += 1;
        self.line.pop_if(|end| *end == b'\n')?;
        Some(parse(&mut self.line).map_err(|source| LogError::Line {
            path: self.path.clone(),
            line: self.number,
            source,
        }))
    }
}

fn at(path: &Path, source: io::Error) -> LogError {
    LogError::File {
        path: path.to_path_buf(),
        source,
    }
}

fn parse(line: &mut [u8]) -> Result<Event, serde_json::Error> {
    if let Some((round, report)) = client_line::read(line) {
        return Ok(Event::Client { round, report });
    }
    serde_json::from_slice(line).or_else(|source| with_lost_loss(line).ok_or(source))
}

/// JSON has no NaN and no infinity: `null` is written for them. A diverged run has to stay
/// readable, so that a loss that has to be there and is `null` is read as NaN.
fn with_lost_loss(line: &[u8]) -> Option<Event> {
    let mut value: Value = serde_json::from_slice(line).ok()?;
    let key = match value.get("event")?.as_str()? {
        "evaluated" | "evaluated_before" => "loss",
        "expert_trained" => "mean_loss",
        "client" => "rms_loss",
        _ => return None,
    };
    let slot = value.get_mut(key).filter(|slot| slot.is_null())?;
    *slot = Value::from(0.0);
    let mut event = serde_json::from_value(value).ok()?;
    match &mut event {
        Event::Evaluated { loss, .. } | Event::EvaluatedBefore { loss, .. } => *loss = f64::NAN,
        Event::ExpertTrained { mean_loss, .. } => *mean_loss = f64::NAN,
        Event::Client { report, .. } => report.rms_loss = f32::NAN,
        _ => return None,
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_run::{evaluated, run};
    use lyceum_core::Probe;
    use std::fs;

    fn read(path: &Path) -> Vec<Event> {
        EventReader::open(path)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        run().iter().for_each(|event| log.write(event).unwrap());
        let offset = log.sync().unwrap();
        assert_eq!(offset, fs::metadata(&path).unwrap().len());
        assert_eq!(offset, log.offset());
        assert_eq!(read(&path), run());
    }

    #[test]
    fn floats_come_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        let events: Vec<_> = (1..2000_u64)
            .map(|i| evaluated(i, Probe::Test, 1.0 / i as f64, (i as f64).ln() / 7.0))
            .collect();
        events.iter().for_each(|event| log.write(event).unwrap());
        log.sync().unwrap();
        assert_eq!(read(&path), events);
    }

    #[test]
    fn resuming_cuts_back_to_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let events = run();
        let mut log = EventLog::create(&path).unwrap();
        log.write(&events[0]).unwrap();
        let offset = log.sync().unwrap();
        log.write(&events[1]).unwrap();
        drop(log);
        let mut log = EventLog::resume(&path, offset).unwrap();
        assert_eq!(log.offset(), offset);
        log.write(&events[2]).unwrap();
        log.sync().unwrap();
        assert_eq!(read(&path), [events[0].clone(), events[2].clone()]);
    }

    #[test]
    fn a_log_shorter_than_its_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, "12345").unwrap();
        let error = EventLog::resume(&path, 6).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "events.jsonl has 5 bytes, but the checkpoint was taken after 6: \
                 it is not the log of this run, or its end was lost"
            ),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"12345");
    }

    #[test]
    fn a_torn_last_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(
            &path,
            "{\"event\":\"paused\",\"rounds\":3}\n{\"event\":\"pau",
        )
        .unwrap();
        assert_eq!(read(&path), [Event::Paused { rounds: 3 }]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, "{\"event\":\"paused\",\"rounds\":3}\n{}\n").unwrap();
        let error = EventReader::open(&path).unwrap().nth(1).unwrap();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("events.jsonl, line 2: "), "{error}");
    }

    #[test]
    fn a_loss_without_a_number_is_read_as_nan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        log.write(&evaluated(0, Probe::Test, 0.1, f64::INFINITY))
            .unwrap();
        log.sync().unwrap();
        let [Event::Evaluated { loss, accuracy, .. }] = read(&path)[..] else {
            panic!("one evaluation was written");
        };
        assert!(loss.is_nan());
        assert_eq!(accuracy, 0.1);
    }
}
