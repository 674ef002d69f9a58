//! The one place that knows how states become bytes (bincode 2, little-endian, fixed-size integers).

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Serialize, de::DeserializeOwned};

/// Largest value that is decoded, in bytes. Lists grow as they are read, so a damaged length costs no memory; the length of a
/// text is believed, within a limit that goes with the bytes that are there.
pub const LIMIT: usize = 1 << 40;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<LIMIT>> = bincode::config::standard()
    .with_fixed_int_encoding()
    .with_limit::<LIMIT>();

/// Bytes that do not hold what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged state: {0}")]
pub struct CodecError(pub String);

/// Bytes from which on a value may take more than 16 MiB.
const SMALL: usize = 1 << 20;
/// Bytes from which on a value may take more than 1 GiB.
const LARGE: usize = 1 << 26;

/// The bytes of a state.
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, CONFIG).expect("states are plain data below the limit")
}

/// The state in `bytes`, all of which must be used.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.len() {
        0..SMALL => decode_within::<T, { 16 * SMALL }>(bytes),
        SMALL..LARGE => decode_within::<T, { 16 * LARGE }>(bytes),
        _ => decode_within::<T, LIMIT>(bytes),
    }
}

/// The value in `bytes`, all of which must be used, where they come from somebody else: nothing larger than `MOST` bytes
/// is read or allocated, whatever lengths they declare.
pub fn decode_within<T: DeserializeOwned, const MOST: usize>(
    bytes: &[u8],
) -> Result<T, CodecError> {
    let (value, used) = decode_first::<T, MOST>(bytes)?;
    if used == bytes.len() {
        Ok(value)
    } else {
        Err(CodecError(format!("{} bytes too many", bytes.len() - used)))
    }
}

/// The value that `bytes` begin with, and how many of them it took, within `MOST` bytes.
pub fn decode_first<T: DeserializeOwned, const MOST: usize>(
    bytes: &[u8],
) -> Result<(T, usize), CodecError> {
    let config = bincode::config::standard()
        .with_fixed_int_encoding()
        .with_limit::<MOST>();
    bincode::serde::decode_from_slice(bytes, config).map_err(|e| CodecError(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_back_and_damage_is_refused() {
        let state = (7_u64, vec![1.5_f32, -2.0], Some("x".to_string()));
        let mut bytes = encode(&state);
        assert_eq!(
            decode::<(u64, Vec<f32>, Option<String>)>(&bytes).unwrap(),
            state
        );
        bytes.push(0);
        assert!(decode::<(u64, Vec<f32>, Option<String>)>(&bytes).is_err());
        let huge = [0xff_u8; 24];
        assert!(decode::<(u64, Vec<f32>)>(&huge).is_err());
        // A text whose length is damaged.
        let text = [&encode(&(1_u64 << 38))[..], b"abc"].concat();
        assert!(decode::<String>(&text).is_err());
    }
}
