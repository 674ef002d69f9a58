//! Rows of the tables, and the keys under which they stand: a letter for the table, then numbers with their highest byte first.

use crate::{log::Reach, sample::Difficulty, settings::Split};
use lyceum_core::{
    Fingerprint,
    codec::{self, CodecError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Bytes of a row, at most.
const MOST: usize = 16 << 20;

/// A row as bytes.
pub fn encode(row: &impl Serialize) -> Vec<u8> {
    codec::encode(row)
}

/// The row in some bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    codec::decode_within::<T, MOST>(bytes)
}

/// How far the tables follow the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Facts that are in the tables as a whole.
    pub reach: Reach,
    /// Steps of the next fact that are in the tables.
    pub step: u64,
    /// What this step went up to.
    pub after: Option<Fingerprint>,
    /// Facts that may have changed how hard samples are: the version of the bins.
    pub ratings: u64,
    /// Tasks there are.
    pub tasks: u32,
    /// Parts there are.
    pub parts: u32,
    /// Samples, each once.
    pub samples: u64,
    /// Shared pieces.
    pub pieces: u64,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    /// Its name.
    pub name: String,
    /// What it is, in words of its owner.
    pub definition: String,
    /// Where it is from.
    pub provenance: String,
    /// How often something came for it.
    pub version: u64,
    /// Samples by split.
    pub splits: [u64; 3],
    /// Samples nobody has solved.
    pub unsolved: u64,
    /// Samples of unknown difficulty.
    pub unknown: u64,
    /// Shared pieces it uses.
    pub pieces: u64,
    /// Tasks it was merged of, and by which rule.
    pub merged: Option<(Vec<String>, String)>,
}

impl TaskRow {
    /// Samples of all splits.
    pub fn samples(&self) -> u64 {
        self.splits.iter().sum()
    }
}

/// A sample in a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Hash of the version that the task has.
    pub content: Fingerprint,
    /// Number of the part that it is in.
    pub part: u32,
    /// Where its text begins.
    pub offset: u32,
    /// Bytes of its text.
    pub bytes: u32,
    /// What it is for.
    pub split: Split,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// Whether nobody has solved it.
    pub unsolved: bool,
    /// The task that had it before this one.
    pub previous: Option<u32>,
    /// Number of the fact that brought this version.
    pub fact: u64,
}

/// A shared piece.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PieceRow {
    /// Hash of the version that stands.
    pub content: Fingerprint,
    /// Number of the part that it is in.
    pub part: u32,
    /// Where its text begins.
    pub offset: u32,
    /// Bytes of its text.
    pub bytes: u32,
    /// The task that brought this version.
    pub task: u32,
    /// Number of the fact that brought it.
    pub fact: u64,
}

/// A sample that was solved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SolvedRow {
    /// Who solved it.
    pub by: String,
    /// In which round of a run.
    pub round: Option<u64>,
    /// How hard it is now.
    pub difficulty: Difficulty,
    /// Tasks that it went back to.
    pub tasks: Vec<u32>,
}

/// Keys.
pub mod key {
    use lyceum_core::Fingerprint;

    /// How far the tables follow the log.
    pub const PROGRESS: &[u8] = b"g";
    /// What the store was made with.
    pub const SETTINGS: &[u8] = b"c";
    /// The last bins.
    pub const BINS: &[u8] = b"b";
    /// All tasks.
    pub const TASKS: &[u8] = b"t";
    /// All facts.
    pub const FACTS: &[u8] = b"f";
    /// All samples.
    pub const HEADS: &[u8] = b"h";
    /// All samples of all tasks.
    pub const MEMBERS: &[u8] = b"m";
    /// How many samples of a task are how hard, of all tasks.
    pub const DIFFICULTIES: &[u8] = b"d";
    /// What was solved.
    pub const SOLVED: &[u8] = b"v";

    fn of(table: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = vec![table];
        parts.iter().for_each(|part| key.extend(*part));
        key
    }

    /// A fact's line.
    pub fn fact(number: u64) -> Vec<u8> {
        of(b'f', &[&number.to_be_bytes()])
    }

    /// A task.
    pub fn task(number: u32) -> Vec<u8> {
        of(b't', &[&number.to_be_bytes()])
    }

    /// A task's number by its name.
    pub fn name(name: &str) -> Vec<u8> {
        of(b'n', &[name.as_bytes()])
    }

    /// All samples of a task.
    pub fn members(task: u32) -> Vec<u8> {
        of(b'm', &[&task.to_be_bytes()])
    }

    /// A sample of a task.
    pub fn member(task: u32, sample: &Fingerprint) -> Vec<u8> {
        of(b'm', &[&task.to_be_bytes(), sample.bytes()])
    }

    /// The last task that got a sample.
    pub fn head(sample: &Fingerprint) -> Vec<u8> {
        of(b'h', &[sample.bytes()])
    }

    /// The samples of a task that nobody has solved.
    pub fn all_unsolved(task: u32) -> Vec<u8> {
        of(b'u', &[&task.to_be_bytes()])
    }

    /// A sample of a task that nobody has solved.
    pub fn unsolved(task: u32, sample: &Fingerprint) -> Vec<u8> {
        of(b'u', &[&task.to_be_bytes(), sample.bytes()])
    }

    /// How many samples of a task are how hard.
    pub fn difficulties(task: u32) -> Vec<u8> {
        of(b'd', &[&task.to_be_bytes()])
    }

    /// How many samples of a task are so hard.
    pub fn difficulty(task: u32, ordered: u64) -> Vec<u8> {
        of(b'd', &[&task.to_be_bytes(), &ordered.to_be_bytes()])
    }

    /// A part's hash by its number.
    pub fn part(number: u32) -> Vec<u8> {
        of(b'r', &[&number.to_be_bytes()])
    }

    /// A part's number by its hash.
    pub fn part_number(hash: &Fingerprint) -> Vec<u8> {
        of(b'R', &[hash.bytes()])
    }

    /// A shared piece.
    pub fn piece(piece: &Fingerprint) -> Vec<u8> {
        of(b's', &[piece.bytes()])
    }

    /// The pieces that a task uses.
    pub fn uses(task: u32) -> Vec<u8> {
        of(b'q', &[&task.to_be_bytes()])
    }

    /// A piece that a task uses.
    pub fn used(task: u32, piece: &Fingerprint) -> Vec<u8> {
        of(b'q', &[&task.to_be_bytes(), piece.bytes()])
    }

    /// A delivery that was taken.
    pub fn delivery(hash: &Fingerprint) -> Vec<u8> {
        of(b'a', &[hash.bytes()])
    }

    /// A sample that a fact solved.
    pub fn solved(fact: u64, sample: &Fingerprint) -> Vec<u8> {
        of(b'v', &[&fact.to_be_bytes(), sample.bytes()])
    }

    /// The hash at the end of a key.
    pub fn last_hash(key: &[u8]) -> Option<[u8; 32]> {
        key.last_chunk::<32>().copied()
    }

    /// The number of four bytes behind the table's letter.
    pub fn number(key: &[u8]) -> Option<u32> {
        let bytes = key.get(1..5)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }

    /// The number of eight bytes at the end of a key.
    pub fn last_number(key: &[u8]) -> Option<u64> {
        key.last_chunk::<8>()
            .map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// The number of eight bytes behind the table's letter.
    pub fn long_number(key: &[u8]) -> Option<u64> {
        let bytes = key.get(1..9)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_keys_are_in_order() {
        let row = MemberRow {
            content: Fingerprint::of(b"x"),
            part: 3,
            offset: 17,
            bytes: 40,
            split: Split::Test,
            difficulty: Difficulty::Infinite,
            unsolved: true,
            previous: Some(2),
            fact: 9,
        };
        assert_eq!(decode::<MemberRow>(&encode(&row)).unwrap(), row);
        assert!(decode::<MemberRow>(&encode(&row)[1..]).is_err());
        let sample = Fingerprint::of(b"y");
        assert!(key::member(255, &sample) < key::member(256, &sample));
        assert!(key::member(7, &sample).starts_with(&key::members(7)));
        assert_eq!(key::last_hash(&key::head(&sample)), Some(*sample.bytes()));
        assert_eq!(key::number(&key::member(7, &sample)), Some(7));
        assert_eq!(key::last_number(&key::difficulty(1, 8)), Some(8));
        assert_eq!(key::long_number(&key::solved(5, &sample)), Some(5));
    }
}
