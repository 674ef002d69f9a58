//! Tokens and their numbers.

use super::super::DataError;
use super::documents::{Document, Documents};
use super::faults::wrong;
use super::keys::{Answer, Text, Tokens, Unknown};
use super::words::words;
use lyceum_core::{Features, Samples};
use std::collections::BTreeMap;

/// Tokens at most, with the one that stands for those that are not known.
const MOST: usize = 1 << 16;
/// What the token is called that stands for those that are not known.
pub(super) const UNKNOWN: &str = "<unk>";

/// A vocabulary of which the training texts have no token.
pub(super) fn nothing_known(set: &Text, train: &Samples) -> Option<String> {
    let Features::U16(tokens) = &train.features else {
        return None;
    };
    // Where every token is known, 0 is one as any other.
    let stands_for_others = set.answer() == Answer::Label || set.unknown() == Unknown::Token;
    let unknown = stands_for_others && set.vocabulary.is_some() && tokens.iter().all(|&t| t == 0);
    unknown.then(|| {
        "no training text has a token of `vocabulary`, so all of them read alike; expected the tokens that the texts are cut into"
            .to_owned()
    })
}

/// Which number each token has.
pub(super) struct Vocabulary<'a> {
    tokens: &'a Tokens,
    unknown: Unknown,
    /// Number of the first token: 1 where 0 stands for padding or for what is not known.
    first: u16,
    numbers: BTreeMap<String, u16>,
    names: Vec<String>,
}

impl<'a> Vocabulary<'a> {
    /// The set's own, or else that of these texts.
    pub(super) fn of<'t>(
        set: &'a Text,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<Self, DataError> {
        let names = match (&set.vocabulary, &set.tokens) {
            (Some(names), _) => names.clone(),
            (None, Tokens::Words(keys)) => frequent(&set.tokens, texts, keys.size.get()),
            (None, Tokens::Characters {}) => {
                let all = texts.flat_map(str::chars);
                let all: std::collections::BTreeSet<char> = all.collect();
                all.into_iter().map(String::from).collect()
            }
            (None, Tokens::Bytes {} | Tokens::Hashed(_)) => Vec::new(),
        };
        Self::new(set, names)
    }

    fn new(set: &'a Text, names: Vec<String>) -> Result<Self, DataError> {
        let unknown = set.unknown();
        let first = u16::from(set.answer() == Answer::Label || unknown == Unknown::Token);
        if names.is_empty() && set.learns_vocabulary() {
            return wrong("vocabulary", "has no token: expected at least one");
        }
        if names.len() + usize::from(first) > MOST {
            let problem = format!(
                "are {} different ones: at most {}",
                names.len(),
                MOST - usize::from(first)
            );
            return wrong("tokens", problem);
        }
        let mut numbers = BTreeMap::new();
        for (number, name) in names.iter().enumerate() {
            if numbers
                .insert(name.clone(), number as u16 + first)
                .is_some()
            {
                let problem = format!("names `{name}` twice: expected each token once");
                return wrong("vocabulary", problem);
            }
        }
        Ok(Self {
            tokens: &set.tokens,
            unknown,
            first,
            numbers,
            names,
        })
    }

    /// Numbers that tokens can have.
    pub(super) fn size(&self) -> usize {
        let tokens = match self.tokens {
            Tokens::Bytes {} => 256,
            _ => self.names.len(),
        };
        tokens + usize::from(self.first)
    }

    /// What the key `vocabulary` says the same with; none for bytes.
    pub(super) fn key(&self) -> Option<Vec<String>> {
        (!matches!(self.tokens, Tokens::Bytes {})).then(|| self.names.clone())
    }

    /// Names of the numbers as classes; none for bytes.
    pub(super) fn classes(&self) -> Vec<String> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let unknown = (self.first == 1).then(|| UNKNOWN.to_owned());
        unknown.into_iter().chain(self.names.clone()).collect()
    }

    /// Numbers of the tokens of a document.
    pub(super) fn numbers(
        &self,
        documents: &Documents,
        document: &Document,
    ) -> Result<Vec<u16>, DataError> {
        let text = &document.text;
        self.encode(text).map_err(|at| {
            let token = pieces(self.tokens, &text[at..]).next();
            let token = token.map_or_else(String::new, |(_, token)| token);
            let what = match self.tokens {
                Tokens::Words(_) => "word",
                _ => "character",
            };
            let problem = format!(
                "the {what} {token:?} is none of the {} that training knows: leave it out, or say `unknown = \"skip\"`",
                self.names.len()
            );
            documents.wrong(document, &text[..at], problem)
        })
    }

    /// Numbers of the tokens of a text, or the byte where one begins that is not known.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u16>, usize> {
        if let Tokens::Bytes {} = self.tokens {
            let number = |byte: u8| u16::from(byte) + self.first;
            return Ok(text.bytes().map(number).collect());
        }
        let number = |(at, token): (usize, String)| match (self.numbers.get(&token), self.unknown) {
            (Some(&number), _) => Some(Ok(number)),
            (None, Unknown::Token) => Some(Ok(0)),
            (None, Unknown::Skip) => None,
            (None, Unknown::Error) => Some(Err(at)),
        };
        pieces(self.tokens, text).filter_map(number).collect()
    }
}

/// Characters or words of a text, with the bytes where they begin.
fn pieces<'t>(tokens: &Tokens, text: &'t str) -> Box<dyn Iterator<Item = (usize, String)> + 't> {
    match tokens {
        Tokens::Words(keys) if keys.lower => {
            Box::new(words(text).map(|(at, word)| (at, word.to_lowercase())))
        }
        Tokens::Words(_) => Box::new(words(text).map(|(at, word)| (at, word.to_owned()))),
        _ => Box::new(text.char_indices().map(|(at, c)| (at, c.to_string()))),
    }
}

/// The most frequent tokens, of equally frequent ones the first in order.
fn frequent<'t>(tokens: &Tokens, texts: impl Iterator<Item = &'t str>, size: usize) -> Vec<String> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for text in texts {
        pieces(tokens, text).for_each(|(_, token)| *counts.entry(token).or_default() += 1);
    }
    let mut sorted: Vec<(String, u64)> = counts.into_iter().collect();
    sorted.sort_by(|(_, one), (_, other)| other.cmp(one));
    sorted.truncate(size);
    sorted.into_iter().map(|(token, _)| token).collect()
}
