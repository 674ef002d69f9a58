//! SHA-256, the hash that X.509 tools print, so that an operator can compare.

use std::fmt;
use std::str::FromStr;

use sha2::Digest;

/// Text that is not a SHA-256 hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256 hash: write 64 digits of 0-9 and a-f")]
pub struct Sha256Error(String);

/// A SHA-256 hash: of a certificate, as `openssl x509 -fingerprint -sha256` prints it without its
/// colons, or of a public key (the certificate's SubjectPublicKeyInfo).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Sha256Error> {
        let bytes = bytes32(text).ok_or_else(|| Sha256Error(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

/// Lower-case hexadecimal digits, two a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

/// Reads 64 lower-case hexadecimal digits; one spelling each, so that lists compare as text.
pub(super) fn bytes32(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: [[u8; 2]; 32] = pairs.try_into().ok().filter(|_| rest.is_empty())?;
    let mut read = [0; 32];
    for (into, [high, low]) in read.iter_mut().zip(bytes) {
        *into = nibble(high)? << 4 | nibble(low)?;
    }
    Some(read)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
