//! The write-ahead log of a coordinator: what the round in flight has been told since the last checkpoint.
//!
//! A file of records, each with its length and a checksum. The first one names the run and the checkpoint that the others
//! follow; a log that follows another one is void. A torn end is what a crash leaves, and is cut off.

use super::{RunError, Storage, checkpoint::replace};
use lyceum_core::{Fingerprint, Params, Ticket, UnitId, codec};
use lyceum_protocol::{blob::Vector, body::Body};
use serde::{Deserialize, Serialize};

/// Name of the file.
pub const JOURNAL: &str = "journal.wal";
/// Length and checksum before each record.
const HEAD: usize = 12;

/// One thing that the machine was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// First record: what the log belongs to.
    Begin {
        /// Digest of the run.
        run: Fingerprint,
        /// Rounds of the checkpoint before the log; 0 without one.
        rounds: u64,
    },
    /// An upload was taken.
    Upload {
        /// Its ticket.
        ticket: Ticket,
        /// Its units.
        units: Vec<UnitId>,
        /// Its result, as it crosses the wire.
        body: Body,
    },
    /// The round was closed without everybody.
    Close {
        /// The round's ticket.
        ticket: Ticket,
    },
}

/// Appends to the log of one run.
#[derive(Debug)]
pub struct Journal {
    bytes: u64,
}

impl Journal {
    /// Reads the log that follows the checkpoint of `rounds` rounds, and makes a new one if there is none. The records
    /// come back in order.
    pub fn open(
        storage: &mut dyn Storage,
        run: Fingerprint,
        rounds: u64,
    ) -> Result<(Self, Vec<Record>), RunError> {
        let path = storage.path(JOURNAL);
        let bytes = storage.read(JOURNAL).map_err(RunError::file(&path))?;
        let bytes = bytes.unwrap_or_default();
        let (mut records, whole) = read(&bytes);
        let begin = Record::Begin { run, rounds };
        if records.first() != Some(&begin) {
            return Ok((Self::begin(storage, run, rounds)?, Vec::new()));
        }
        if whole < bytes.len() {
            replace(storage, JOURNAL, &bytes[..whole])?;
        }
        records.remove(0);
        let journal = Self {
            bytes: whole as u64,
        };
        Ok((journal, records))
    }

    /// Starts the log that follows a checkpoint.
    pub fn begin(
        storage: &mut dyn Storage,
        run: Fingerprint,
        rounds: u64,
    ) -> Result<Self, RunError> {
        let bytes = framed(&Record::Begin { run, rounds });
        replace(storage, JOURNAL, &bytes)?;
        Ok(Self {
            bytes: bytes.len() as u64,
        })
    }

    /// Adds a record. Safe only after a sync of the file that begins later.
    pub fn append(&mut self, storage: &mut dyn Storage, record: &Record) -> Result<(), RunError> {
        let (head, body) = parts(record);
        for bytes in [&head[..]].into_iter().chain(body) {
            if bytes.is_empty() {
                continue;
            }
            let path = storage.path(JOURNAL);
            storage
                .append(JOURNAL, bytes)
                .map_err(RunError::file(path))?;
            self.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// Bytes of the log.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What stands before a body, which follows as it is: its bytes, then its vectors.
#[derive(Serialize, Deserialize)]
enum Head {
    Begin {
        run: Fingerprint,
        rounds: u64,
    },
    Upload {
        ticket: Ticket,
        units: Vec<UnitId>,
        /// Values of the body's vectors.
        vectors: Vec<u64>,
    },
    Close {
        ticket: Ticket,
    },
}

/// Length, checksum and head of a record, and the pieces of the body behind them.
fn parts(record: &Record) -> (Vec<u8>, Vec<&[u8]>) {
    let empty = Body::of(Vec::new());
    let (head, body) = match record {
        &Record::Begin { run, rounds } => (Head::Begin { run, rounds }, None),
        Record::Upload {
            ticket,
            units,
            body,
        } => {
            let values = |vector: &Vector| vector.params.len() as u64;
            let head = Head::Upload {
                ticket: *ticket,
                units: units.clone(),
                vectors: body.vectors.iter().map(values).collect(),
            };
            (head, Some(body))
        }
        &Record::Close { ticket } => (Head::Close { ticket }, None),
    };
    let head = codec::encode(&head);
    let sum = checksum(&head, body.unwrap_or(&empty));
    let vectors = body.into_iter().flat_map(|body| &body.vectors);
    let pieces: Vec<&[u8]> = body
        .map(|body| &body.bytes.bytes[..])
        .into_iter()
        .chain(vectors.map(|v| v.params.bytes()))
        .collect();
    let len = head.len() + pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(HEAD + head.len());
    bytes.extend((len as u64).to_le_bytes());
    bytes.extend(sum);
    bytes.extend(head);
    (bytes, pieces)
}

/// A record as it stands in the log.
pub fn framed(record: &Record) -> Vec<u8> {
    let (head, body) = parts(record);
    [head, body.concat()].concat()
}

/// Stands for a record. The parts of a body stand in it by their names, which are hashes of all their bytes.
pub fn checksum(head: &[u8], body: &Body) -> [u8; 4] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head).update(&body.bytes.name.to_bytes());
    for vector in &body.vectors {
        hasher.update(&vector.blob.name.to_bytes());
    }
    let mut sum = [0; 4];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    sum
}

/// The records at the beginning of `bytes` that are whole, and how many bytes they take.
pub fn read(bytes: &[u8]) -> (Vec<Record>, usize) {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some((record, used)) = first(&bytes[at..]) {
        records.push(record);
        at += used;
    }
    (records, at)
}

fn first(bytes: &[u8]) -> Option<(Record, usize)> {
    let (before, rest) = bytes.split_at_checked(HEAD)?;
    let len = usize::try_from(u64::from_le_bytes(before[..8].try_into().ok()?)).ok()?;
    let payload = rest.get(..len)?;
    let (head, used) = codec::decode_first::<Head, { codec::LIMIT }>(payload).ok()?;
    let (head_bytes, pieces) = payload.split_at(used);
    let body = match &head {
        Head::Upload { vectors, .. } => body_of(pieces, vectors)?,
        Head::Begin { .. } | Head::Close { .. } => Body::of(pieces.to_vec()),
    };
    if checksum(head_bytes, &body) != before[8..] {
        return None;
    }
    let record = match head {
        Head::Upload { ticket, units, .. } => Record::Upload {
            ticket,
            units,
            body,
        },
        Head::Begin { run, rounds } if pieces.is_empty() => Record::Begin { run, rounds },
        Head::Close { ticket } if pieces.is_empty() => Record::Close { ticket },
        Head::Begin { .. } | Head::Close { .. } => return None,
    };
    Some((record, HEAD + len))
}

/// A body from its pieces, of which the last ones are vectors of these lengths.
fn body_of(pieces: &[u8], vectors: &[u64]) -> Option<Body> {
    let values = vectors
        .iter()
        .try_fold(0_u64, |sum, &len| sum.checked_add(len))?;
    let bytes = usize::try_from(values.checked_mul(4)?).ok()?;
    let (bytes, mut rest) = pieces.split_at_checked(pieces.len().checked_sub(bytes)?)?;
    let mut body = Body::of(bytes.to_vec());
    for &len in vectors {
        let (vector, behind) = rest.split_at(4 * len as usize);
        body.vectors.push(Vector::of(Params::from_bytes(vector)?));
        rest = behind;
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Folder;
    use lyceum_protocol::blob::Blob;

    fn upload(unit: u64) -> Record {
        Record::Upload {
            ticket: Ticket(1),
            units: vec![UnitId(unit)],
            body: Body {
                bytes: Blob::of(vec![unit as u8; 90].into()),
                vectors: [vec![0.5], vec![1.0, unit as f32]]
                    .map(|values| Vector::of(values.into()))
                    .to_vec(),
            },
        }
    }

    #[test]
    fn records_come_back_and_a_torn_end_is_cut_off_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        let run = Fingerprint::of(b"run");
        let (mut journal, none) = Journal::open(&mut storage, run, 3).unwrap();
        assert_eq!(none, []);
        (0..3).for_each(|unit| journal.append(&mut storage, &upload(unit)).unwrap());
        let whole = storage.read(JOURNAL).unwrap().unwrap();
        let two = whole.len() - (whole.len() - framed(&Record::Begin { run, rounds: 3 }).len()) / 3;
        for cut in two..whole.len() {
            storage.replace(JOURNAL, &whole[..cut]).unwrap();
            let (mut journal, records) = Journal::open(&mut storage, run, 3).unwrap();
            assert_eq!(records, [upload(0), upload(1)], "{cut}");
            journal.append(&mut storage, &upload(7)).unwrap();
            let (_, records) = Journal::open(&mut storage, run, 3).unwrap();
            assert_eq!(records, [upload(0), upload(1), upload(7)], "{cut}");
        }
    }

    #[test]
    fn a_log_that_follows_another_checkpoint_or_run_is_void() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        let run = Fingerprint::of(b"run");
        let (mut journal, _) = Journal::open(&mut storage, run, 3).unwrap();
        journal.append(&mut storage, &upload(1)).unwrap();
        assert_eq!(Journal::open(&mut storage, run, 4).unwrap().1, []);
        let (mut journal, _) = Journal::open(&mut storage, run, 4).unwrap();
        journal.append(&mut storage, &upload(1)).unwrap();
        let other = Fingerprint::of(b"other");
        assert_eq!(Journal::open(&mut storage, other, 4).unwrap().1, []);
    }

    #[test]
    fn a_flipped_bit_ends_the_log_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        let run = Fingerprint::of(b"run");
        let (mut journal, _) = Journal::open(&mut storage, run, 0).unwrap();
        journal.append(&mut storage, &upload(1)).unwrap();
        journal.append(&mut storage, &upload(2)).unwrap();
        let mut bytes = storage.read(JOURNAL).unwrap().unwrap();
        let last = bytes.len() - 20;
        bytes[last] ^= 4;
        storage.replace(JOURNAL, &bytes).unwrap();
        assert_eq!(Journal::open(&mut storage, run, 0).unwrap().1, [upload(1)]);
    }
}
