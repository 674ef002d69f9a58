//! The write-ahead log of a coordinator: what the round in flight has been told since the last checkpoint.
//!
//! A version, then records, each with its length and a checksum. The first one names the run and the checkpoint that the
//! others follow, with its link of the chain; a log that follows another one is void. A torn end is what a crash leaves, and
//! is cut off; so is a damaged one. What was cut off is worked on again.

use super::{RunError, Storage, seal::FORMAT, storage::replace};
use lyceum_core::{Fingerprint, Params, Request, Ticket, UnitId, codec};
use lyceum_protocol::{blob::Vector, body::Body};
use serde::{Deserialize, Serialize};

/// Name of the file.
pub const JOURNAL: &str = "journal.wal";
/// Bytes of what stands before a body, at most.
const HEADS: usize = 1 << 28;
/// Length and checksum before each record.
const HEAD: usize = 12;
/// What the file begins with, before its version and a checksum of both.
const MAGIC: [u8; 4] = *b"LYJR";
/// Bytes of a record that began a journal of the first version, which had nothing before it.
const FIRST_VERSION: [u8; 8] = 44_u64.to_le_bytes();

/// One thing that the machine was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// First record: what the log belongs to.
    Begin {
        /// Digest of the run.
        run: Fingerprint,
        /// Rounds of the checkpoint before the log; 0 without one.
        rounds: u64,
        /// Link of the chain there.
        fingerprint: Fingerprint,
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
    /// Somebody asked something.
    Request(Request),
}

/// Appends to the log of one run.
#[derive(Debug)]
pub struct Journal {
    bytes: u64,
}

/// A log that was opened.
#[derive(Debug)]
pub struct Opened {
    /// To append to.
    pub journal: Journal,
    /// What it holds, in order.
    pub records: Vec<Record>,
    /// What was wrong with it, if something was that no crash explains.
    pub damage: Option<String>,
}

impl Journal {
    /// Reads the log that begins with this record, and makes a new one if there is none.
    pub fn open(storage: &mut dyn Storage, begin: &Record) -> Result<Opened, RunError> {
        let path = storage.path(JOURNAL);
        let (bytes, unread) = match storage.read(JOURNAL) {
            Ok(bytes) => (bytes.unwrap_or_default(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let found = read(&bytes).map_err(|found| RunError::version(&path, found))?;
        let Read {
            mut records,
            whole,
            damaged,
        } = found;
        if records.first() != Some(begin) {
            let foreign = match (records.first(), begin) {
                (Some(Record::Begin { run, .. }), Record::Begin { run: own, .. }) => run != own,
                _ => false,
            };
            let foreign = foreign.then(|| "it belongs to another run".to_string());
            let lost = (damaged && records.is_empty()).then(|| "its beginning is damaged".into());
            return Ok(Opened {
                journal: Self::begin(storage, begin)?,
                records: Vec::new(),
                damage: unread.or(foreign).or(lost),
            });
        }
        if whole < bytes.len() {
            replace(storage, JOURNAL, &bytes[..whole])?;
        }
        records.remove(0);
        let lost = || format!("its last {} bytes are damaged", bytes.len() - whole);
        Ok(Opened {
            journal: Self {
                bytes: whole as u64,
            },
            records,
            damage: damaged.then(lost),
        })
    }

    /// Starts the log that begins with this record.
    pub fn begin(storage: &mut dyn Storage, begin: &Record) -> Result<Self, RunError> {
        let bytes = [&head()[..], &framed(begin)].concat();
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
        fingerprint: Fingerprint,
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
    Request(Request),
}

/// Length, checksum and head of a record, and the pieces of the body behind them.
fn parts(record: &Record) -> (Vec<u8>, Vec<&[u8]>) {
    let empty = Body::of(Vec::new());
    let (head, body) = match record {
        &Record::Begin {
            run,
            rounds,
            fingerprint,
        } => (
            Head::Begin {
                run,
                rounds,
                fingerprint,
            },
            None,
        ),
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
        Record::Request(request) => (Head::Request(request.clone()), None),
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

/// What the file begins with.
pub fn head() -> [u8; 12] {
    let mut head = [0; 12];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&FORMAT.to_le_bytes());
    let sum = Fingerprint::of(&head[..8]);
    head[8..].copy_from_slice(&sum.bytes()[..4]);
    head
}

/// What a log holds.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The records at its beginning that are whole.
    pub records: Vec<Record>,
    /// Bytes up to their end.
    pub whole: usize,
    /// What follows is no torn end: it is long enough, and wrong.
    pub damaged: bool,
}

/// Reads the bytes of a log. `Err` is another version's number.
pub fn read(bytes: &[u8]) -> Result<Read, u32> {
    let version = version(bytes);
    if let Some(other) = version.filter(|version| *version != FORMAT) {
        return Err(other);
    }
    let (mut records, mut at) = (Vec::new(), 0);
    if version.is_some() {
        at = head().len();
        while let Some((record, used)) = first(&bytes[at..]) {
            records.push(record);
            at += used;
        }
    }
    let rest = &bytes[at..];
    let damaged = match version {
        Some(_) => declared(rest).is_some_and(|len| rest.len() - HEAD >= len),
        None => !bytes.is_empty(),
    };
    Ok(Read {
        records,
        whole: at,
        damaged,
    })
}

/// The version that a log says it has; `None` where it says nothing that can be believed.
fn version(bytes: &[u8]) -> Option<u32> {
    if bytes.starts_with(&FIRST_VERSION) {
        return Some(1);
    }
    let (head, sum) = bytes.get(..12)?.split_at(8);
    let number = head.strip_prefix(&MAGIC)?;
    let right = Fingerprint::of(head).bytes()[..4] == *sum;
    right.then(|| u32::from_le_bytes([number[0], number[1], number[2], number[3]]))
}

/// Bytes that a record says it has.
fn declared(bytes: &[u8]) -> Option<usize> {
    let before = bytes.get(..HEAD)?;
    usize::try_from(u64::from_le_bytes(before[..8].try_into().ok()?)).ok()
}

fn first(bytes: &[u8]) -> Option<(Record, usize)> {
    let len = declared(bytes)?;
    let (before, rest) = bytes.split_at_checked(HEAD)?;
    let payload = rest.get(..len)?;
    let (head, used) = codec::decode_first::<Head, HEADS>(payload).ok()?;
    let (head_bytes, pieces) = payload.split_at(used);
    let body = match &head {
        Head::Upload { vectors, .. } => body_of(pieces, vectors)?,
        Head::Begin { .. } | Head::Close { .. } | Head::Request(_) => Body::of(pieces.to_vec()),
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
        Head::Begin {
            run,
            rounds,
            fingerprint,
        } if pieces.is_empty() => Record::Begin {
            run,
            rounds,
            fingerprint,
        },
        Head::Close { ticket } if pieces.is_empty() => Record::Close { ticket },
        Head::Request(request) if pieces.is_empty() => Record::Request(request),
        Head::Begin { .. } | Head::Close { .. } | Head::Request(_) => return None,
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

    fn begin(run: &[u8], rounds: u64) -> Record {
        Record::Begin {
            run: Fingerprint::of(run),
            rounds,
            fingerprint: Fingerprint::of(b"link"),
        }
    }

    fn records(storage: &mut Folder, begin: &Record) -> Vec<Record> {
        Journal::open(storage, begin).unwrap().records
    }

    #[test]
    fn records_come_back_and_a_torn_end_is_cut_off_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        let begin = begin(b"run", 3);
        let mut opened = Journal::open(&mut storage, &begin).unwrap();
        assert_eq!((opened.records, opened.damage), (vec![], None));
        (0..3).for_each(|unit| opened.journal.append(&mut storage, &upload(unit)).unwrap());
        let whole = storage.read(JOURNAL).unwrap().unwrap();
        let two = whole.len() - framed(&upload(2)).len();
        for cut in two..whole.len() {
            storage.replace(JOURNAL, &whole[..cut]).unwrap();
            let mut opened = Journal::open(&mut storage, &begin).unwrap();
            assert_eq!(opened.records, [upload(0), upload(1)], "{cut}");
            assert_eq!(opened.damage, None, "{cut}");
            opened.journal.append(&mut storage, &upload(7)).unwrap();
            let again = records(&mut storage, &begin);
            assert_eq!(again, [upload(0), upload(1), upload(7)], "{cut}");
        }
    }

    #[test]
    fn a_log_that_follows_another_checkpoint_or_run_is_void() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        let other_link = Record::Begin {
            run: Fingerprint::of(b"run"),
            rounds: 3,
            fingerprint: Fingerprint::of(b"another"),
        };
        for other in [begin(b"run", 4), begin(b"other", 3), other_link] {
            let mut opened = Journal::open(&mut storage, &begin(b"run", 3)).unwrap();
            opened.journal.append(&mut storage, &upload(1)).unwrap();
            let opened = Journal::open(&mut storage, &other).unwrap();
            assert_eq!(opened.records, [], "{other:?}");
            let foreign = other == begin(b"other", 3);
            assert_eq!(opened.damage.is_some(), foreign, "{other:?}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_log_before_it_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        let begin = begin(b"run", 0);
        let mut opened = Journal::open(&mut storage, &begin).unwrap();
        let whole = [upload(1), upload(2)];
        whole
            .iter()
            .for_each(|record| opened.journal.append(&mut storage, record).unwrap());
        let bytes = storage.read(JOURNAL).unwrap().unwrap();
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            storage.replace(JOURNAL, &flipped).unwrap();
            let opened = Journal::open(&mut storage, &begin).unwrap();
            assert!(opened.records.len() < 2, "{bit}");
            assert!(whole.starts_with(&opened.records), "{bit}");
        }
        let mut flipped = bytes.clone();
        let last = bytes.len() - 20;
        flipped[last] ^= 4;
        storage.replace(JOURNAL, &flipped).unwrap();
        let opened = Journal::open(&mut storage, &begin).unwrap();
        assert_eq!(opened.records, [upload(1)]);
        let lost = bytes.len() - framed(&upload(2)).len();
        let told = format!("its last {} bytes are damaged", bytes.len() - lost);
        assert_eq!(opened.damage, Some(told));
    }

    #[test]
    fn another_version_is_refused_with_both() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        let first = [&44_u64.to_le_bytes()[..], &[7; 48]].concat();
        let mut second = head();
        second[4] = 2;
        let sum = Fingerprint::of(&second[..8]);
        second[8..].copy_from_slice(&sum.bytes()[..4]);
        for (bytes, version) in [(first, "version 1"), (second.to_vec(), "version 2")] {
            storage.replace(JOURNAL, &bytes).unwrap();
            let error = Journal::open(&mut storage, &begin(b"run", 0)).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(version), "{error}");
            assert!(
                error.contains(&format!("reads version {FORMAT}")),
                "{error}"
            );
            assert_eq!(storage.read(JOURNAL).unwrap().unwrap(), bytes);
        }
    }
}
