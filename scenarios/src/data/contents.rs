//! The unpacked contents of a file, plain or gzip, without trusting what a header declares.

use super::DataError;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// No deflate stream unpacks to more than this many times its length.
const MAX_RATIO: u64 = 1032;
const BUFFER: usize = 1 << 18;

/// A file that is read once, from its beginning to its end.
pub(super) struct Contents {
    path: PathBuf,
    packed: bool,
    reader: Box<dyn Read>,
    /// Upper bound of the unpacked length.
    limit: u64,
    hash: Option<Sha256>,
}

impl Contents {
    /// Opens a file; gzip is recognised by its first two bytes, not by its name.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        Self::try_open(path).map_err(|source| DataError::Read {
            path: path.to_path_buf(),
            source,
        })
    }

    fn try_open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut plain = BufReader::with_capacity(BUFFER, file);
        let packed = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let (reader, limit): (Box<dyn Read>, u64) = if packed {
            let limit = length.saturating_mul(MAX_RATIO);
            (Box::new(MultiGzDecoder::new(plain)), limit)
        } else {
            (Box::new(plain), length)
        };
        Ok(Self {
            path: path.to_path_buf(),
            packed,
            reader,
            limit,
            hash: None,
        })
    }

    /// From now on, sums up what is read.
    pub(super) fn hashed(mut self) -> Self {
        self.hash = Some(Sha256::new());
        self
    }

    /// Path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the whole contents in hexadecimal, after reading what is left of them; empty if
    /// sums were not asked for.
    pub(super) fn sum(&mut self) -> Result<String, DataError> {
        let mut rest = Vec::with_capacity(BUFFER);
        loop {
            rest.clear();
            self.read_up_to(BUFFER as u64, &mut rest)?;
            if rest.is_empty() {
                break;
            }
        }
        let digest = self.hash.take().map(|hash| hash.finalize());
        let bytes = digest.iter().flat_map(|digest| digest.iter());
        Ok(bytes.map(|byte| format!("{byte:02x}")).collect())
    }

    /// The next `length` bytes, or an error that says how many there are.
    pub(super) fn take(&mut self, length: u64) -> Result<Vec<u8>, DataError> {
        let fits = length <= self.limit;
        let capacity = usize::try_from(if fits { length } else { 0 }).unwrap_or(0);
        let mut bytes = Vec::with_capacity(capacity);
        self.read_up_to(length, &mut bytes)?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        if self.limit == 0 {
            return Err(self.wrong("is empty".to_owned()));
        }
        Err(self.wrong(format!(
            "ends {} bytes into a part of {length} bytes: the file was cut off",
            bytes.len()
        )))
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), DataError> {
        let mut rest = Vec::new();
        self.read_up_to(1, &mut rest)?;
        if rest.is_empty() {
            return Ok(());
        }
        Err(self.wrong("goes on after the last value that its header declares".to_owned()))
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        self.read_up_to(u64::MAX, &mut bytes)?;
        Ok(bytes)
    }

    /// An error about this file.
    pub(super) fn wrong(&self, problem: String) -> DataError {
        DataError::Format {
            path: self.path.clone(),
            problem,
        }
    }

    fn read_up_to(&mut self, length: u64, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let read = (&mut self.reader).take(length).read_to_end(bytes);
        read.map_err(|source| match self.packed {
            true => self.wrong(unpacked(&source)),
            false => DataError::Read {
                path: self.path.clone(),
                source,
            },
        })?;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        Ok(())
    }
}

/// Why gzip cannot be unpacked.
fn unpacked(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the file ends before its compressed data do: it was cut off; get it again".to_owned()
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            "its compressed data are damaged; get the file again".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn plain_and_packed_files_read_alike_and_sum_alike() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(b"abcdef").unwrap();
        let packed = packer.finish().unwrap();
        for bytes in [b"abcdef".as_slice(), &packed] {
            let file = file(bytes);
            let mut contents = Contents::open(file.path()).unwrap().hashed();
            assert_eq!(contents.take(2).unwrap(), b"ab");
            assert_eq!(contents.rest().unwrap(), b"cdef");
            contents.end().unwrap();
            assert_eq!(
                contents.sum().unwrap(),
                "bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721"
            );
        }
    }

    #[test]
    fn cut_and_damaged_gzip_is_told_apart() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&[7; 1000]).unwrap();
        let whole = packer.finish().unwrap();
        let mut flipped = whole.clone();
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        let told = |bytes: &[u8]| {
            let file = file(bytes);
            let mut contents = Contents::open(file.path()).unwrap();
            contents.rest().unwrap_err().to_string()
        };
        for end in [2, 12, whole.len() - 1] {
            let error = told(&whole[..end]);
            assert!(
                error.contains("ends before its compressed data do"),
                "{error}"
            );
        }
        let error = told(&flipped);
        assert!(error.contains("compressed data are damaged"), "{error}");
    }

    #[test]
    fn a_short_file_is_refused_without_memory_for_what_it_declares() {
        let file = file(b"abc");
        let mut contents = Contents::open(file.path()).unwrap();
        let error = contents.take(u64::MAX).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
    }
}
