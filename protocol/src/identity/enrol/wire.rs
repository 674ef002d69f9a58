//! The one question and the one answer, as text.

use super::super::{Identity, Token};

/// A token, an identity and a request need about 700 bytes.
pub(super) const LONGEST_REQUEST: usize = 4 << 10;
/// A certificate and an operator's own root, which may be RSA.
pub(super) const LONGEST_REPLY: usize = 32 << 10;

const GRANTED: &str = "granted\n";
const REFUSED: &str = "refused\n";
const AUTHORITY: &str = "authority\n";

/// What a new host asks.
pub(super) struct Question<'a> {
    pub(super) token: Token,
    pub(super) identity: Identity,
    pub(super) csr: &'a str,
}

impl<'a> Question<'a> {
    pub(super) fn write(&self) -> String {
        format!("{}\n{}\n{}", self.token.digits(), self.identity, self.csr)
    }

    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut parts = str::from_utf8(bytes).ok()?.splitn(3, '\n');
        Some(Self {
            token: Token::from_digits(parts.next()?)?,
            identity: parts.next()?.parse().ok()?,
            csr: parts.next()?,
        })
    }
}

/// What the server answers.
pub(super) enum Answer<'a> {
    Granted {
        certificate: &'a str,
        authority: &'a str,
    },
    Refused {
        reason: &'a str,
    },
}

impl<'a> Answer<'a> {
    pub(super) fn write(&self) -> String {
        match self {
            Self::Granted {
                certificate,
                authority,
            } => {
                format!("{GRANTED}{certificate}{AUTHORITY}{authority}")
            }
            Self::Refused { reason } => format!("{REFUSED}{reason}"),
        }
    }

    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        if let Some(reason) = text.strip_prefix(REFUSED) {
            return Some(Self::Refused { reason });
        }
        let (certificate, authority) = text.strip_prefix(GRANTED)?.split_once(AUTHORITY)?;
        Some(Self::Granted {
            certificate,
            authority,
        })
    }
}
