//! Frames on a stream.

use crate::wire::{self, FrameError};
use quinn::{ReadExactError, RecvStream};
use serde::de::DeserializeOwned;

/// Bytes that are taken at a time, so that a length alone costs no memory.
const PIECE: usize = 64 << 10;

/// Why no frame was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Stream(#[from] ReadExactError),
    /// The frame is not one.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

/// The next frame of at most `MOST` bytes; `None` at the end of the stream.
pub async fn read_frame<T: DeserializeOwned, const MOST: usize>(
    stream: &mut RecvStream,
) -> Result<Option<T>, ReadError> {
    let mut head = [0; 4];
    match stream.read_exact(&mut head).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    let len = wire::frame_len(head, MOST)?;
    let mut content = Vec::new();
    while content.len() < len {
        let start = content.len();
        content.resize(len.min(start + PIECE), 0);
        stream.read_exact(&mut content[start..]).await?;
    }
    Ok(Some(wire::open::<T, MOST>(&content)?))
}
