//! The event log of a run: one JSON object a line, appended in order, cut back on resume.

use crate::client_line;
use crate::extent::{Extent, begins_with, measure, reopen};
use crate::log_error::LogError;
use lyceum_core::{Chain, Event};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes that are written or read at a time, about.
const BUFFER: usize = 1 << 17;

/// Writes a run's `events.jsonl`.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
    /// Not written to the file yet.
    lines: Vec<u8>,
    offset: u64,
    /// Where what happened begins, after the opening lines.
    opening: u64,
    /// Over what was written to the file after them.
    chain: Chain,
}

impl EventLog {
    /// Begins a new log, in the place of any other.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        let file = File::create(path).map_err(|source| LogError::file(path, source))?;
        Ok(Self::new(path, file, 0, Chain::default()))
    }

    /// Goes on with a log that held what an extent says; what follows that is cut off. Its opening lines become these.
    pub fn resume(path: &Path, opening: &[Event], extent: &Extent) -> Result<Self, LogError> {
        let wrong = |source| LogError::file(path, source);
        let mut lines = Vec::new();
        for event in opening {
            encode(path, &mut lines, event)?;
        }
        let there = measure(path, opening.len(), extent)?;
        if !begins_with(path, &lines, there.opening).map_err(wrong)? {
            reopen(path, &lines, there.opening, extent.bytes).map_err(wrong)?;
        }
        let mut file = OpenOptions::new().write(true).open(path).map_err(wrong)?;
        file.set_len(lines.len() as u64 + extent.bytes)
            .map_err(wrong)?;
        file.seek(SeekFrom::End(0)).map_err(wrong)?;
        let mut log = Self::new(path, file, lines.len() as u64, there.chain);
        log.offset += extent.bytes;
        Ok(log)
    }

    /// Whether a log with so many opening lines holds what an extent says.
    pub fn check(path: &Path, opening: usize, extent: &Extent) -> Result<(), LogError> {
        measure(path, opening, extent).map(|_| ())
    }

    fn new(path: &Path, file: File, opening: u64, chain: Chain) -> Self {
        Self {
            path: path.to_path_buf(),
            file,
            lines: Vec::new(),
            offset: opening,
            opening,
            chain,
        }
    }

    /// What was written until now is the opening.
    pub fn opened(&mut self) -> Result<(), LogError> {
        self.flush()?;
        self.opening = self.offset;
        self.chain = Chain::default();
        Ok(())
    }

    /// Appends an event. Buffered: on disk only after [`EventLog::sync`].
    pub fn write(&mut self, event: &Event) -> Result<(), LogError> {
        let before = self.lines.len();
        encode(&self.path, &mut self.lines, event)?;
        self.offset += (self.lines.len() - before) as u64;
        if self.lines.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let written = self.file.write_all(&self.lines);
        self.chain.piece(&self.lines);
        self.lines.clear();
        written.map_err(|source| LogError::file(&self.path, source))
    }

    /// Makes everything written so far durable and returns its extent, for a checkpoint.
    pub fn sync(&mut self) -> Result<Extent, LogError> {
        let extent = self.extent()?;
        let synced = self.file.sync_all();
        synced.map_err(|source| LogError::file(&self.path, source))?;
        Ok(extent)
    }

    /// How far the log goes now; durable only after [`EventLog::sync`].
    pub fn extent(&mut self) -> Result<Extent, LogError> {
        self.flush()?;
        Ok(Extent {
            bytes: self.offset - self.opening,
            hash: self.chain.link(),
        })
    }

    /// Bytes of the log, buffered ones included.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// Adds an event's line; on an error nothing of it.
fn encode(path: &Path, lines: &mut Vec<u8>, event: &Event) -> Result<(), LogError> {
    let before = lines.len();
    let encoded = match event {
        Event::Client { round, report } => client_line::write(lines, *round, report),
        event => serde_json::to_writer(&mut *lines, event),
    };
    if let Err(source) = encoded {
        lines.truncate(before);
        let path = path.to_path_buf();
        return Err(LogError::Encode { path, source });
    }
    lines.push(b'\n');
    Ok(())
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
        let file = File::open(path).map_err(|source| LogError::file(path, source))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: BufReader::with_capacity(BUFFER, file),
            line: Vec::new(),
            number: 0,
        })
    }

    /// Whether the log ends in the middle of a line; known once all lines before it are read.
    pub fn is_cut_off(&self) -> bool {
        !self.line.is_empty()
    }
}

impl Iterator for EventReader {
    type Item = Result<Event, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line.clear();
        if let Err(source) = self.file.read_until(b'\n', &mut self.line) {
            return Some(Err(LogError::file(&self.path, source)));
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
    use lyceum_core::{Fingerprint, Probe};
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
        let extent = log.sync().unwrap();
        assert_eq!(extent.bytes, fs::metadata(&path).unwrap().len());
        assert_eq!(extent.bytes, log.offset());
        assert_eq!(extent.hash, Fingerprint::of(&fs::read(&path).unwrap()));
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
        log.opened().unwrap();
        log.write(&events[1]).unwrap();
        let extent = log.sync().unwrap();
        log.write(&events[2]).unwrap();
        drop(log);
        let mut log = EventLog::resume(&path, &events[..1], &extent).unwrap();
        log.write(&events[3]).unwrap();
        let end = log.sync().unwrap();
        assert_eq!(log.offset(), fs::metadata(&path).unwrap().len());
        assert_eq!(
            read(&path),
            [0, 1, 3].map(|event: usize| events[event].clone())
        );
        EventLog::check(&path, 1, &extent).unwrap();
        EventLog::check(&path, 1, &end).unwrap();
    }

    #[test]
    fn another_opening_takes_the_place_of_the_one_before_and_the_extent_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let events = run();
        let mut log = EventLog::create(&path).unwrap();
        log.write(&Event::Paused { rounds: 3 }).unwrap();
        log.opened().unwrap();
        log.write(&events[1]).unwrap();
        let extent = log.sync().unwrap();
        drop(log);
        let longer = [Event::Paused { rounds: 30 }];
        let mut log = EventLog::resume(&path, &longer, &extent).unwrap();
        assert_eq!(log.sync().unwrap(), extent);
        assert_eq!(read(&path), [longer[0].clone(), events[1].clone()]);
    }

    #[test]
    fn a_log_that_does_not_hold_what_it_held_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        run().iter().for_each(|event| log.write(event).unwrap());
        let extent = log.sync().unwrap();
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            let error = EventLog::resume(&path, &[], &extent).unwrap_err();
            assert!(matches!(error, LogError::Damaged { .. }), "{at}: {error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        fs::write(&path, &whole[..5]).unwrap();
        let error = EventLog::resume(&path, &[], &extent)
            .unwrap_err()
            .to_string();
        let end = format!(
            "events.jsonl has 5 bytes, but the checkpoint was taken after {}: \
             it is not the log of this run, or its end was lost",
            whole.len()
        );
        assert!(error.ends_with(&end), "{error}");
        assert_eq!(fs::read(&path).unwrap(), &whole[..5]);
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
        assert!(
            error.contains("events.jsonl, line 2 is damaged: "),
            "{error}"
        );
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
