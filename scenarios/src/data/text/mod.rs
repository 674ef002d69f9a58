//! Texts: documents read from files, cut into tokens, and made samples of.
//!
//! `records` and `delimited` read fields of files and know nothing of what they are for; `words`, `vocabulary` and
//! `hashed` turn one text into tokens or counts. Sets of other texts, such as pairs, can be put together from the same.

mod delimited;
mod documents;
mod faults;
mod fields;
mod format;
mod hashed;
mod keys;
mod labelled;
mod load;
mod public;
mod records;
#[cfg(test)]
mod tests;
mod vocabulary;
mod windows;
mod words;

pub use format::Format;
pub use hashed::{Counts, Hashed};
pub use keys::{Answer, Keep, Pad, Text, Tokens, Unknown, Words};
pub use public::{SmsSpam, TinyShakespeare};

pub(super) use load::own_texts;
