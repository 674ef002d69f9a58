//! Transfers: who wants a blob opens a stream, names it, and says which chunks it lacks.
//!
//! ```text
//! receiver -> sender   name (40 bytes)
//! sender -> receiver   1 = here it is, 0 = not here; hashes of the chunks, if there are several
//! receiver -> sender   one bit per chunk that is missing, if there are several
//! sender -> receiver   the missing chunks, one after the other
//! ```
//!
//! Both directions of a run use it: a node fetches models, the coordinator fetches results. So the receiver decides how
//! much is in flight.

use crate::blob::{Arriving, Blob, BlobError, BlobRef};
use bytes::Bytes;
use quinn::{Connection, ReadExactError, RecvStream, SendStream, WriteError};
use std::time::Duration;

/// A transfer without a new byte for so long has stalled.
const STALLED: Duration = Duration::from_secs(30);
/// Bytes that are read at a time; progress is counted by them.
const PIECE: usize = 256 << 10;

/// Where a sender looks for blobs.
pub trait Stock: Send + Sync {
    /// A blob by name.
    fn find(&self, name: &BlobRef) -> Option<Blob>;
}

/// Why a transfer did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The other side does not have it.
    #[error("the other side does not have {0:?}")]
    Unknown(BlobRef),
    /// The connection or the stream broke.
    #[error("the transfer broke: {0}")]
    Broken(String),
    /// No byte arrived for a while.
    #[error("the transfer stalled: no byte for {} s", STALLED.as_secs())]
    Stalled,
    /// What arrived is wrong.
    #[error("{0}")]
    Blob(#[from] BlobError),
}

impl FetchError {
    fn broken(error: impl ToString) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<ReadExactError> for FetchError {
    fn from(error: ReadExactError) -> Self {
        Self::broken(error)
    }
}

impl From<WriteError> for FetchError {
    fn from(error: WriteError) -> Self {
        Self::broken(error)
    }
}

async fn within<T, E: Into<FetchError>>(
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, FetchError> {
    match tokio::time::timeout(STALLED, step).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(FetchError::Stalled),
    }
}

/// Fetches what is missing of a blob. What arrived before a failure stays in `arriving`, for the next attempt.
pub async fn fetch(connection: &Connection, arriving: &mut Arriving) -> Result<(), FetchError> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(FetchError::broken)?;
    let result = receive(&mut send, &mut recv, arriving).await;
    // Whatever is left of the stream is not waited for.
    let _ = send.finish();
    let _ = recv.stop(0_u32.into());
    result
}

async fn receive(
    send: &mut SendStream,
    recv: &mut RecvStream,
    arriving: &mut Arriving,
) -> Result<(), FetchError> {
    let name = arriving.name();
    within(send.write_all(&name.to_bytes())).await?;
    let mut found = [0];
    within(recv.read_exact(&mut found)).await?;
    if found != [1] {
        return Err(FetchError::Unknown(name));
    }
    let missing = if name.chunks() == 1 {
        vec![0]
    } else {
        agree(send, recv, arriving).await?
    };
    for index in missing {
        for piece in arriving.place(index).chunks_mut(PIECE) {
            within(recv.read_exact(piece)).await?;
        }
        arriving.check(index)?;
    }
    Ok(())
}

/// Learns the list of chunks and says which of them are missing.
async fn agree(
    send: &mut SendStream,
    recv: &mut RecvStream,
    arriving: &mut Arriving,
) -> Result<Vec<usize>, FetchError> {
    let mut list = Vec::new();
    for _ in 0..arriving.name().chunks() {
        let mut hash = [0; 32];
        within(recv.read_exact(&mut hash)).await?;
        list.push(hash);
    }
    if !arriving.has_list() {
        arriving.list(list)?;
    }
    let missing = arriving.missing();
    let mut bits = vec![0_u8; arriving.name().chunks().div_ceil(8)];
    missing.iter().for_each(|&i| bits[i / 8] |= 1 << (i % 8));
    within(send.write_all(&bits)).await?;
    Ok(missing)
}

/// Answers one stream that a receiver opened; how many bytes were sent, `None` if the blob is not here.
pub async fn serve(
    stock: &dyn Stock,
    send: &mut SendStream,
    recv: &mut RecvStream,
) -> Result<Option<u64>, FetchError> {
    let mut name = [0; 40];
    within(recv.read_exact(&mut name)).await?;
    let Some(blob) = stock.find(&BlobRef::from_bytes(name)) else {
        within(send.write_all(&[0])).await?;
        let _ = send.finish();
        return Ok(None);
    };
    within(send.write_all(&[1])).await?;
    let chunks = blob.name.chunks();
    let mut bits = vec![1_u8; chunks.div_ceil(8)];
    if chunks > 1 {
        within(send.write_all(&blob.chunks.concat())).await?;
        within(recv.read_exact(&mut bits)).await?;
    }
    let mut sent = 0;
    for index in (0..chunks).filter(|i| bits[i / 8] & (1 << (i % 8)) != 0) {
        let chunk: Bytes = blob.chunk(index);
        sent += chunk.len() as u64;
        for start in (0..chunk.len()).step_by(PIECE) {
            let piece = chunk.slice(start..chunk.len().min(start + PIECE));
            within(send.write_chunk(piece)).await?;
        }
    }
    let _ = send.finish();
    Ok(Some(sent))
}
