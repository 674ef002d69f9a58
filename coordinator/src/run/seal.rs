//! Small files that say of themselves whether they hold what was written: a version, a content, and the hash of both.

use super::{RunError, Storage, storage::replace};
use lyceum_core::{Chain, Fingerprint};
use lyceum_metrics::unreadable;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

/// The version of a run's checkpoints, journal and other stored state. Another one is refused.
pub const FORMAT: u32 = 5;
/// Bytes of a sealed file, at most.
const MOST: usize = 1 << 20;
/// Bytes of a large file that are read at a time.
const PIECE: usize = 1 << 17;

/// A file by its length and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSeal {
    /// How many bytes it has.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub hash: Fingerprint,
}

impl FileSeal {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            hash: Fingerprint::of(bytes),
        }
    }

    /// Of a file of any size; `None` where there is none.
    pub fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => BufReader::with_capacity(PIECE, file?),
        };
        let mut chain = Chain::default();
        let mut bytes = 0;
        loop {
            let piece = file.fill_buf()?;
            let read = piece.len();
            if read == 0 {
                let hash = chain.link();
                return Ok(Some(Self { bytes, hash }));
            }
            chain.piece(piece);
            bytes += read as u64;
            file.consume(read);
        }
    }
}

/// What was found under a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<T> {
    /// No such file.
    Nothing,
    /// It does not hold what was written, and how that shows.
    Damaged(String),
    /// What was written.
    Good(T),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<T> {
    format: u32,
    content: T,
    seal: Fingerprint,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn seal<T: Serialize>(content: &T) -> Fingerprint {
    let json = serde_json::to_vec(content).expect("contents are plain data with text as keys");
    let mut chain = Chain::default();
    chain.number(FORMAT.into()).add(&json).link()
}

/// The bytes of a sealed file.
pub fn to_bytes<T: Serialize>(content: &T) -> Vec<u8> {
    let sealed = Sealed {
        format: FORMAT,
        seal: seal(content),
        content,
    };
    let mut json = serde_json::to_vec_pretty(&sealed).expect("as its content");
    json.push(b'\n');
    json
}

/// What a sealed file's bytes hold, or how they show that they were not written like that. `Err` is another version's
/// number.
pub fn from_bytes<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Found<T>, u32> {
    if bytes.len() > MOST {
        return Ok(Found::Damaged(format!("it has more than {MOST} bytes")));
    }
    let whole = serde_json::from_slice::<Sealed<T>>(bytes);
    let version = serde_json::from_slice::<Version>(bytes).map(|v| v.format);
    let whole = whole.map(|sealed| (seal(&sealed.content) == sealed.seal, sealed));
    match (whole, version) {
        (Ok((true, sealed)), _) if sealed.format == FORMAT => Ok(Found::Good(sealed.content)),
        // The seal is this version's, so the number cannot be right.
        (Ok((true, _)), _) => Ok(Found::Damaged("its version is not the one it has".into())),
        (_, Ok(other)) if other != FORMAT => Err(other),
        (Ok((false, _)), _) => Ok(Found::Damaged("its hash is another".into())),
        (Err(error), _) => Ok(Found::Damaged(unreadable(&error))),
    }
}

/// Reads a sealed file.
pub fn read<T: Serialize + DeserializeOwned>(
    storage: &dyn Storage,
    name: &str,
) -> Result<Found<T>, RunError> {
    let path = storage.path(name);
    match storage.read(name) {
        Ok(None) => Ok(Found::Nothing),
        Ok(Some(bytes)) => from_bytes(&bytes).map_err(|found| RunError::version(path, found)),
        Err(error) => Ok(Found::Damaged(error.to_string())),
    }
}

/// Writes a sealed file.
pub fn write<T: Serialize>(
    storage: &mut dyn Storage,
    name: &str,
    content: &T,
) -> Result<(), RunError> {
    replace(storage, name, &to_bytes(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Content = (u64, Vec<String>);

    fn content() -> Content {
        (7, vec!["a".into(), "b".into()])
    }

    #[test]
    fn a_flipped_bit_anywhere_is_seen_or_changes_nothing() {
        let bytes = to_bytes(&content());
        assert_eq!(from_bytes(&bytes), Ok(Found::Good(content())));
        for at in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            match from_bytes::<Content>(&flipped) {
                Ok(Found::Good(same)) => assert_eq!(same, content(), "{at}"),
                Ok(Found::Damaged(_)) => {}
                other => panic!("bit {at}: {other:?}"),
            }
        }
        for end in 0..bytes.len() - 1 {
            let cut = from_bytes::<Content>(&bytes[..end]);
            assert!(matches!(cut, Ok(Found::Damaged(_))), "{end}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let text = String::from_utf8(to_bytes(&content())).unwrap();
        let other = text
            .replace("\"format\": 5", "\"format\": 4")
            .replace("content", "other");
        assert_eq!(from_bytes::<Content>(other.as_bytes()), Err(4));
    }
}
