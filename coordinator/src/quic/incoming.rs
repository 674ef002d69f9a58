//! A result on its way in: its bytes and its long vectors, each a blob of its own.

use lyceum_protocol::{
    blob::{Arrived, Arriving, Blob, BlobError, BlobRef},
    body::Body,
    quic::{FetchError, fetch},
    wire::ResultWire,
};
use quinn::Connection;

/// What has arrived of a result.
pub(super) struct Incoming {
    bytes: Piece,
    vectors: Vec<Piece>,
}

/// A part of a result.
enum Piece {
    Inside(Vec<u8>),
    Arriving(Box<Arriving>),
    Here(Arrived),
    /// Taken for the moment.
    Taken,
}

/// What tells one result from another.
pub(super) fn name_of(result: &ResultWire, vectors: &[BlobRef]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    match result {
        ResultWire::Here(bytes) => hasher.update(&[0]).update(bytes),
        ResultWire::Fetch(name) => hasher.update(&[1]).update(&name.to_bytes()),
    };
    for name in vectors {
        hasher.update(&name.to_bytes());
    }
    *hasher.finalize().as_bytes()
}

impl Incoming {
    /// Nothing has arrived yet. `most` bytes are allowed.
    pub(super) fn new(
        result: ResultWire,
        vectors: &[BlobRef],
        most: u64,
    ) -> Result<Self, BlobError> {
        let arriving = |name| Ok(Piece::Arriving(Box::new(Arriving::new(name, most)?)));
        let incoming = Self {
            bytes: match result {
                ResultWire::Here(bytes) => Piece::Inside(bytes),
                ResultWire::Fetch(name) => arriving(name)?,
            },
            vectors: vectors
                .iter()
                .map(|name| arriving(*name))
                .collect::<Result<_, _>>()?,
        };
        match incoming.len() {
            len if len > most => Err(BlobError::TooLarge { len, most }),
            _ => Ok(incoming),
        }
    }

    /// Bytes of all of it.
    pub(super) fn len(&self) -> u64 {
        let vectors = self.vectors.iter().map(Piece::len);
        vectors.fold(self.bytes.len(), u64::saturating_add)
    }

    /// Memory that it takes: its bytes become numbers, vectors stay what they are.
    pub(super) fn memory(&self) -> u64 {
        self.len().saturating_add(self.bytes.len())
    }

    /// Fetches what is missing. What has arrived before a failure stays.
    pub(super) async fn fetch(&mut self, connection: &Connection) -> Result<(), FetchError> {
        for piece in [&mut self.bytes].into_iter().chain(&mut self.vectors) {
            piece.fetch(connection).await?;
        }
        Ok(())
    }

    /// The whole, once all of it is fetched.
    pub(super) fn finish(self) -> Result<Body, BlobError> {
        let bytes = match self.bytes {
            Piece::Inside(bytes) => Blob::of(bytes.into()),
            piece => piece.arrived()?.into_blob(),
        };
        let vector = |piece: Piece| piece.arrived()?.into_vector();
        let vectors = self.vectors.into_iter().map(vector);
        Ok(Body {
            bytes,
            vectors: vectors.collect::<Result<_, _>>()?,
        })
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Inside(bytes) => bytes.len() as u64,
            Self::Arriving(arriving) => arriving.name().len(),
            Self::Here(arrived) => arrived.len(),
            Self::Taken => 0,
        }
    }

    async fn fetch(&mut self, connection: &Connection) -> Result<(), FetchError> {
        let Self::Arriving(arriving) = self else {
            return Ok(());
        };
        let name = arriving.name();
        fetch(connection, arriving).await?;
        let Self::Arriving(arriving) = std::mem::replace(self, Self::Taken) else {
            return Ok(());
        };
        match arriving.finish() {
            Ok(arrived) => *self = Self::Here(arrived),
            Err(arriving) => {
                *self = Self::Arriving(Box::new(arriving));
                return Err(FetchError::Unknown(name));
            }
        }
        Ok(())
    }

    fn arrived(self) -> Result<Arrived, BlobError> {
        match self {
            Self::Here(arrived) => Ok(arrived),
            Self::Inside(_) | Self::Arriving(_) | Self::Taken => Err(BlobError::List),
        }
    }
}
