//! Content-addressed bytes: what is called by its hash needs no version, is never sent twice to whom has it, and
//! cannot arrive damaged.
//!
//! A blob is cut into chunks. Its name is the hash of its only chunk or, where there are several, of the list of their
//! hashes. A receiver keeps the chunks that it got when a connection breaks, and asks for the others.

use bytes::Bytes;
use lyceum_core::{Memory, Params, Slot, SlotKind};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// Bytes of a chunk; the last one of a blob may be shorter.
pub const CHUNK: usize = 1 << 20;
/// Words that are taken at once for a blob whose first chunk arrives.
const EAGER: usize = 4 << 20;
/// Sets names of lists of chunks apart from names of chunks.
const LIST: &str = "lyceum 2026 list of chunks";

/// Hash of a chunk (blake3).
pub type ChunkHash = [u8; 32];

/// The name of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobRef {
    hash: [u8; 32],
    len: u64,
}

impl BlobRef {
    /// Bytes of the blob.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the blob is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of chunks; 1 for an empty blob.
    pub fn chunks(&self) -> usize {
        (self.len as usize).div_ceil(CHUNK).max(1)
    }

    /// Bytes of one chunk.
    pub fn chunk_len(&self, index: usize) -> usize {
        let start = index as u64 * CHUNK as u64;
        self.len.saturating_sub(start).min(CHUNK as u64) as usize
    }

    /// Whether these are the hashes of the blob's chunks.
    pub fn is_made_of(&self, chunks: &[ChunkHash]) -> bool {
        chunks.len() == self.chunks() && name_of(chunks) == self.hash
    }

    /// The 40 bytes that stand for the name on the wire.
    pub fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..32].copy_from_slice(&self.hash);
        bytes[32..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// Reads [`to_bytes`](Self::to_bytes).
    pub fn from_bytes(bytes: [u8; 40]) -> Self {
        let (mut hash, mut len) = ([0; 32], [0; 8]);
        hash.copy_from_slice(&bytes[..32]);
        len.copy_from_slice(&bytes[32..]);
        Self {
            hash,
            len: u64::from_le_bytes(len),
        }
    }
}

impl fmt::Debug for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash[..4]
            .iter()
            .try_for_each(|b| write!(f, "{b:02x}"))?;
        write!(f, "({} bytes)", self.len)
    }
}

fn name_of(chunks: &[ChunkHash]) -> [u8; 32] {
    match chunks {
        [only] => *only,
        several => {
            let mut hasher = blake3::Hasher::new_derive_key(LIST);
            several.iter().for_each(|chunk| {
                hasher.update(chunk);
            });
            *hasher.finalize().as_bytes()
        }
    }
}

/// A blob with all its bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its name.
    pub name: BlobRef,
    /// Hashes of its chunks.
    pub chunks: std::sync::Arc<[ChunkHash]>,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Blob {
    /// Names bytes.
    pub fn of(bytes: Bytes) -> Self {
        let hash = |chunk: &[u8]| *blake3::hash(chunk).as_bytes();
        let chunks: Vec<ChunkHash> = match bytes.len() {
            0 => vec![hash(&[])],
            _ => bytes.chunks(CHUNK).map(hash).collect(),
        };
        let name = BlobRef {
            hash: name_of(&chunks),
            len: bytes.len() as u64,
        };
        Self {
            name,
            chunks: chunks.into(),
            bytes,
        }
    }

    /// Parameters as little-endian bytes, without a copy.
    pub fn of_params(params: &Params) -> Self {
        Self::of(bytes_of(params.clone()))
    }

    /// What a slot holds, without a copy.
    pub fn of_slot(slot: &Slot) -> Self {
        struct Owner(Memory);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        match slot {
            Slot::Floats(values) => Self::of_params(values),
            Slot::Bytes(bytes) => Self::of(Bytes::from_owner(Owner(bytes.clone()))),
        }
    }

    /// The bytes of one chunk, without a copy.
    pub fn chunk(&self, index: usize) -> Bytes {
        let start = index * CHUNK;
        self.bytes.slice(start..start + self.name.chunk_len(index))
    }
}

/// Why received bytes are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The list of chunks is another blob's.
    #[error("the list of chunks does not belong to the blob that was asked for")]
    List,
    /// A chunk's bytes do not have its hash.
    #[error("chunk {0} arrived damaged")]
    Chunk(usize),
    /// The blob is larger than what its receiver allows.
    #[error("a blob of {len} bytes where at most {most} are expected")]
    TooLarge {
        /// Bytes of the blob.
        len: u64,
        /// Bytes that are allowed.
        most: u64,
    },
    /// The bytes are not numbers of four bytes each.
    #[error("{0} bytes are no list of f32")]
    NotNumbers(usize),
}

/// A blob on its way in. What has arrived is kept over broken connections.
#[derive(Debug)]
pub struct Arriving {
    name: BlobRef,
    chunks: Vec<ChunkHash>,
    got: Vec<bool>,
    /// Its bytes, where numbers may lie: a vector is taken out as it is.
    words: Vec<f32>,
}

/// A blob that has arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    name: BlobRef,
    chunks: Vec<ChunkHash>,
    words: Params,
}

/// Numbers and their name, which was looked up once.
#[derive(Clone, Debug)]
pub struct Vector {
    /// As a blob.
    pub blob: Blob,
    /// As numbers; the same memory.
    pub params: Params,
}

impl Vector {
    /// Names numbers.
    pub fn of(params: Params) -> Self {
        let blob = Blob::of_params(&params);
        Self { blob, params }
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl PartialEq for Vector {
    fn eq(&self, other: &Self) -> bool {
        self.blob.name == other.blob.name
    }
}

impl Arrived {
    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.name.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    /// Its bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.into_blob().bytes
    }

    /// Its numbers, without a copy.
    pub fn into_params(self) -> Result<Params, BlobError> {
        self.into_vector().map(|vector| vector.params)
    }

    /// As what a slot holds.
    pub fn into_slot(self, kind: SlotKind) -> Result<Slot, BlobError> {
        match kind {
            SlotKind::Floats => self.into_params().map(Slot::Floats),
            SlotKind::Bytes => Ok(self.into_bytes().to_vec().into()),
        }
    }

    /// With its name, without a copy.
    pub fn into_blob(self) -> Blob {
        Blob {
            name: self.name,
            chunks: self.chunks.into(),
            bytes: bytes_of(self.words).slice(..self.name.len as usize),
        }
    }

    /// Its numbers with their name, without a copy.
    pub fn into_vector(self) -> Result<Vector, BlobError> {
        if !self.name.len.is_multiple_of(4) {
            return Err(BlobError::NotNumbers(self.name.len as usize));
        }
        let params = self.words.clone();
        let blob = self.into_blob();
        Ok(Vector { blob, params })
    }
}

fn bytes_of(params: Params) -> Bytes {
    struct Owner(Params);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.bytes()
        }
    }
    Bytes::from_owner(Owner(params))
}

impl Arriving {
    /// Nothing has arrived yet. `most` bytes are allowed; no memory is taken before the first chunk's bytes are there.
    pub fn new(name: BlobRef, most: u64) -> Result<Self, BlobError> {
        if name.len() > most {
            let len = name.len();
            return Err(BlobError::TooLarge { len, most });
        }
        let chunks = match name.chunks() {
            1 => vec![name.hash],
            _ => Vec::new(),
        };
        Ok(Self {
            name,
            chunks,
            got: vec![false; name.chunks()],
            words: Vec::new(),
        })
    }

    /// What is arriving.
    pub fn name(&self) -> BlobRef {
        self.name
    }

    /// Whether the list of chunks is known.
    pub fn has_list(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Takes the list of chunks.
    pub fn list(&mut self, chunks: Vec<ChunkHash>) -> Result<(), BlobError> {
        if !self.name.is_made_of(&chunks) {
            return Err(BlobError::List);
        }
        self.chunks = chunks;
        Ok(())
    }

    /// Chunks that are missing, ascending.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.got.len()).filter(|&i| !self.got[i]).collect()
    }

    /// Where the bytes of a chunk are to be written, before [`check`](Self::check) says whether they are right.
    pub fn place(&mut self, index: usize) -> &mut [u8] {
        let start = index * CHUNK;
        let end = start + self.name.chunk_len(index);
        let words = end.div_ceil(4);
        if self.words.len() < words {
            // Grows with what arrives: a name alone takes no memory.
            let all = (self.name.len as usize).div_ceil(4);
            let wanted = (2 * self.words.len()).clamp(words.max(all.min(EAGER)), all.max(words));
            if self.words.is_empty() {
                self.words = vec![0.0; wanted];
            } else {
                self.words.reserve_exact(wanted - self.words.len());
                self.words.resize(wanted, 0.0);
            }
        }
        &mut bytemuck::cast_slice_mut(&mut self.words)[start..end]
    }

    /// Compares what was written for a chunk with its hash.
    pub fn check(&mut self, index: usize) -> Result<(), BlobError> {
        let hash = *blake3::hash(self.place(index)).as_bytes();
        if self.chunks.get(index) != Some(&hash) {
            return Err(BlobError::Chunk(index));
        }
        self.got[index] = true;
        Ok(())
    }

    /// The whole, once nothing is missing.
    pub fn finish(self) -> Result<Arrived, Self> {
        if self.got.iter().all(|&got| got) {
            Ok(Arrived {
                name: self.name,
                chunks: self.chunks,
                words: self.words.into(),
            })
        } else {
            Err(self)
        }
    }
}

/// Blobs at hand, by name; the least recently used ones go when there are too many bytes.
#[derive(Debug)]
pub struct Shelf {
    blobs: BTreeMap<BlobRef, (u64, Blob)>,
    uses: VecDeque<(u64, BlobRef)>,
    clock: u64,
    bytes: u64,
    most: u64,
}

impl Shelf {
    /// An empty shelf that keeps at most `most` bytes, but always the blob put there last.
    pub fn new(most: u64) -> Self {
        Self {
            blobs: BTreeMap::new(),
            uses: VecDeque::new(),
            clock: 0,
            bytes: 0,
            most,
        }
    }

    /// Keeps a blob.
    pub fn put(&mut self, blob: Blob) {
        let name = blob.name;
        self.clock += 1;
        self.uses.push_back((self.clock, name));
        if self.blobs.insert(name, (self.clock, blob)).is_none() {
            self.bytes += name.len();
        }
        self.make_room();
    }

    /// A blob by name.
    pub fn get(&mut self, name: &BlobRef) -> Option<Blob> {
        let (used, blob) = self.blobs.get_mut(name)?;
        self.clock += 1;
        *used = self.clock;
        self.uses.push_back((self.clock, *name));
        let blob = blob.clone();
        self.tidy();
        Some(blob)
    }

    /// Takes a blob off the shelf.
    pub fn remove(&mut self, name: &BlobRef) {
        if self.blobs.remove(name).is_some() {
            self.bytes -= name.len();
        }
    }

    fn make_room(&mut self) {
        while self.bytes > self.most && self.blobs.len() > 1 {
            let Some((used, name)) = self.uses.pop_front() else {
                return;
            };
            if self.blobs.get(&name).is_some_and(|(last, _)| *last == used) {
                self.remove(&name);
            }
        }
        self.tidy();
    }

    /// Forgets uses that were followed by later ones, so that looking up costs no memory.
    fn tidy(&mut self) {
        if self.uses.len() > 2 * self.blobs.len() + 64 {
            let blobs = &self.blobs;
            self.uses
                .retain(|(used, name)| blobs.get(name).is_some_and(|(last, _)| last == used));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Bytes {
        (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    fn receive(blob: &Blob, arriving: &mut Arriving, chunks: &[usize]) {
        if !arriving.has_list() {
            arriving.list(blob.chunks.to_vec()).unwrap();
        }
        for &index in chunks {
            let chunk = blob.chunk(index);
            arriving.place(index).copy_from_slice(&chunk);
            arriving.check(index).unwrap();
        }
    }

    #[test]
    fn a_blob_arrives_in_any_order_and_in_pieces() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let blob = Blob::of(bytes(len));
            let mut arriving = Arriving::new(blob.name, 1 << 30).unwrap();
            let mut missing = arriving.missing();
            missing.reverse();
            let (first, rest) = missing.split_at(missing.len() / 2);
            receive(&blob, &mut arriving, first);
            let mut arriving = match rest {
                [] => arriving,
                _ => arriving.finish().unwrap_err(),
            };
            assert_eq!(arriving.missing().len(), rest.len());
            receive(&blob, &mut arriving, rest);
            assert_eq!(arriving.finish().unwrap().into_bytes(), blob.bytes);
        }
    }

    #[test]
    fn a_damaged_chunk_and_a_strange_list_are_refused() {
        let blob = Blob::of(bytes(2 * CHUNK));
        let mut arriving = Arriving::new(blob.name, 1 << 30).unwrap();
        let mut list = blob.chunks.to_vec();
        list.reverse();
        assert_eq!(arriving.list(list), Err(BlobError::List));
        arriving.list(blob.chunks.to_vec()).unwrap();
        arriving.place(1).copy_from_slice(&blob.chunk(0));
        assert_eq!(arriving.check(1), Err(BlobError::Chunk(1)));
        assert_eq!(arriving.missing(), [0, 1]);
        let small = Arriving::new(blob.name, 100).unwrap_err();
        assert!(small.to_string().contains("at most 100"));
    }

    #[test]
    fn a_list_of_chunks_never_has_the_name_of_a_chunk() {
        let blob = Blob::of(bytes(2 * CHUNK));
        let list: Vec<u8> = blob.chunks.concat();
        assert_ne!(Blob::of(list.into()).name.hash, blob.name.hash);
    }

    #[test]
    fn a_shelf_keeps_what_was_used_last() {
        let mut shelf = Shelf::new(250);
        let blobs: Vec<Blob> = (0..3_u8).map(|i| Blob::of(vec![i; 100].into())).collect();
        shelf.put(blobs[0].clone());
        shelf.put(blobs[1].clone());
        assert!(shelf.get(&blobs[0].name).is_some());
        shelf.put(blobs[2].clone());
        assert!(shelf.get(&blobs[1].name).is_none());
        assert!(shelf.get(&blobs[0].name).is_some());
        (0..1000).for_each(|_| drop(shelf.get(&blobs[2].name)));
        assert!(shelf.uses.len() < 200);
    }

    #[test]
    fn parameters_are_little_endian_and_come_back() {
        let params: Params = vec![1.0_f32, -2.5, 0.0].into();
        let blob = Blob::of_params(&params);
        assert_eq!(&blob.bytes[..4], &1.0_f32.to_le_bytes());
        for (blob, want) in [
            (blob.clone(), Ok(params)),
            (
                Blob::of(blob.bytes.slice(1..)),
                Err(BlobError::NotNumbers(11)),
            ),
        ] {
            let mut arriving = Arriving::new(blob.name, 100).unwrap();
            receive(&blob, &mut arriving, &[0]);
            assert_eq!(arriving.finish().unwrap().into_params(), want);
        }
    }
}
