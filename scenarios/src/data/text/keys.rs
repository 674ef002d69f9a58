//! What a set of texts is, as a scenario describes it.

use super::super::DataError;
use super::super::table::{Column, Header, fifth};
use super::faults::wrong;
use super::fields::Layout;
use super::format::Format;
use super::hashed::{Hashed, yes};
use lyceum_core::units::{Count, Fraction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Texts in files, by path: with a label each, or to be gone on with token by token.
///
/// With `answer = "label"` a sample is a document, in the first `places` of its tokens or in hashed counts of its words.
/// With `next` and `every` the documents of each owner are joined in their order, and samples are windows of them.
///
/// A run writes the names that it found into its own `scenario.toml` (`vocabulary`, `classes`), and every node reads by
/// them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Training file, plain or gzip; a relative path is looked for in the data folders.
    pub train: PathBuf,
    /// Test file of the same format. Default: with labels, test samples are split off the training file at random, the
    /// same ones for every seed; with windows, each owner's last tokens are for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Share of the training file, or of each owner's tokens, that becomes the test set if there is no test file, 0 to 1
    /// (default 0.2).
    #[serde(default = "fifth")]
    pub test_fraction: Fraction,
    /// What the files are (default auto: by the ending of their names).
    #[serde(default)]
    pub format: Format,
    /// Character between the values of a table, ASCII. Default: a comma, with `tsv` a tab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// Whether a value of a table may be set in quotes (default true); if not, a quote is a character as any other.
    #[serde(default = "yes")]
    pub quotes: bool,
    /// Whether the first line of a table holds names (default auto: it does if a column is given by name).
    #[serde(default)]
    pub header: Header,
    /// Where the texts are: the field of an object, or a column by name or number (default `text`).
    #[serde(default = "of_text")]
    pub text: Column,
    /// Field or column of the labels. Default: the texts have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// Field or column of the owners, who are numbered as they first appear. Default: the set knows no owners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Column>,
    /// Owners of fewer characters than this are left out (default 0).
    #[serde(default)]
    pub least: u64,
    /// Labels in the order of their classes; any other label is refused. Default: those of both files, ascending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// What texts are cut into.
    pub tokens: Tokens,
    /// Tokens of a sample; needed unless tokens are hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Count>,
    /// What is to be told of a sample. Default: `label` if `label` is given, else `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Tokens from the beginning of a window to that of the next. Default: `places`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Count>,
    /// What stands between two documents of an owner in windows (default a line end).
    #[serde(default = "line_end")]
    pub join: String,
    /// Which end of a text with a label is kept if it has more tokens than `places` (default start).
    #[serde(default)]
    pub keep: Keep,
    /// Where token 0 fills up a text with a label of fewer tokens than `places` (default end).
    #[serde(default)]
    pub pad: Pad,
    /// What becomes of a token that the vocabulary lacks. Default: `token` with labels and with words, else `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
    /// Tokens in the order of their numbers. Default: with labels those of the training texts, with windows those of the
    /// whole training file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vec<String>>,
}

/// What texts are cut into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Tokens {
    /// Characters, numbered in the order of Unicode.
    Characters {},
    /// Bytes of UTF-8, which are their own numbers.
    Bytes {},
    /// Words, the most frequent first.
    Words(Words),
    /// No tokens in an order, but counts of words and of parts of words, at places that a hash function gives them.
    Hashed(Hashed),
}

/// Runs of letters and digits; every other character besides white space is a word of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// So many words are known at most, the most frequent ones; of equally frequent ones the first in order (default
    /// 10,000).
    #[serde(default = "many")]
    pub size: Count,
    /// Whether words are taken in small letters (default true).
    #[serde(default = "yes")]
    pub lower: bool,
}

/// What is to be told of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Its label.
    Label,
    /// The token after its last.
    Next,
    /// At each place, the token after it.
    Every,
}

/// Which end of a text is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Its first tokens (default).
    #[default]
    Start,
    /// Its last tokens.
    End,
}

/// Where a short text is filled up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pad {
    /// After the text (default).
    #[default]
    End,
    /// Before the text.
    Start,
}

/// What becomes of a token that the vocabulary lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The text is refused.
    Error,
    /// The token is left out.
    Skip,
    /// It is token 0, which stands for all of them.
    Token,
}

/// Keys that a run fills in.
pub(super) const LEARNED: [&str; 2] = ["classes", "vocabulary"];

fn of_text() -> Column {
    Column::Name("text".to_owned())
}

fn line_end() -> String {
    "\n".to_owned()
}

fn many() -> Count {
    Count::new(10_000).expect("it is above 0")
}

impl Text {
    /// Texts in a file, with every other key as it is by default.
    pub fn new(train: impl Into<PathBuf>, tokens: Tokens) -> Self {
        Self {
            train: train.into(),
            test: None,
            test_fraction: fifth(),
            format: Format::Auto,
            separator: None,
            quotes: true,
            header: Header::Auto,
            text: of_text(),
            label: None,
            client: None,
            least: 0,
            classes: None,
            tokens,
            places: None,
            answer: None,
            stride: None,
            join: line_end(),
            keep: Keep::Start,
            pad: Pad::End,
            unknown: None,
            vocabulary: None,
        }
    }

    /// What is to be told of a sample.
    pub fn answer(&self) -> Answer {
        self.answer.unwrap_or(match self.label {
            Some(_) => Answer::Label,
            None => Answer::Every,
        })
    }

    /// What becomes of a token that the vocabulary lacks.
    pub(super) fn unknown(&self) -> Unknown {
        self.unknown.unwrap_or(match (self.answer(), &self.tokens) {
            (Answer::Label, _) | (_, Tokens::Words(_)) => Unknown::Token,
            _ => Unknown::Error,
        })
    }

    /// Tokens of a sample.
    pub(super) fn places(&self) -> Result<usize, DataError> {
        match self.places {
            Some(places) => Ok(places.get()),
            None => wrong(
                "places",
                "is missing: expected the number of tokens of a sample",
            ),
        }
    }

    /// Refuses keys that contradict each other.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let hashed = matches!(self.tokens, Tokens::Hashed(_));
        match (self.answer(), &self.label) {
            (Answer::Label, None) => {
                return wrong(
                    "answer",
                    "is \"label\", but there is no key `label`: expected the field or column of the labels",
                );
            }
            (Answer::Next | Answer::Every, _) if hashed => {
                return wrong(
                    "tokens",
                    "are hashed, which keeps no order that could be gone on with: expected `label`, or characters, bytes or words",
                );
            }
            _ => {}
        }
        if !hashed {
            self.places()?;
        }
        if self.vocabulary.is_some() && !self.learns_vocabulary() {
            return wrong(
                "vocabulary",
                "is of no use: bytes and hashed tokens need none; leave it out",
            );
        }
        match &self.tokens {
            Tokens::Hashed(hashed) => hashed.check(),
            _ => Ok(()),
        }
    }

    /// Whether tokens get their numbers from texts.
    pub(super) fn learns_vocabulary(&self) -> bool {
        matches!(self.tokens, Tokens::Characters {} | Tokens::Words(_))
    }

    /// Keys that do nothing as the others are, in sentences.
    pub(super) fn idle(&self) -> Vec<String> {
        let windows = self.answer() != Answer::Label;
        let hashed = matches!(self.tokens, Tokens::Hashed(_));
        let layout = Layout {
            format: self.format,
            separator: self.separator,
            quotes: self.quotes,
            header: self.header,
        };
        let format = layout.format_of(&self.train).unwrap_or(Format::Auto);
        let table = matches!(format, Format::Csv | Format::Tsv | Format::Auto);
        let idle = [
            (
                self.test.is_some() && self.test_fraction != fifth(),
                "test_fraction",
                "`test` names the test samples",
            ),
            (
                self.stride.is_some() && !windows,
                "stride",
                "a text with a label is one sample",
            ),
            (
                hashed && self.places.is_some(),
                "places",
                "hashed tokens have no places in an order",
            ),
            (
                self.least > 0 && self.client.is_none(),
                "least",
                "without `client` there are no owners",
            ),
            (
                self.least > 0 && self.client.is_some() && !windows,
                "least",
                "it leaves out owners of windows alone",
            ),
            (
                windows && self.classes.is_some(),
                "classes",
                "the classes are the tokens",
            ),
            (
                self.separator.is_some() && !table,
                "separator",
                "the file is no table",
            ),
        ];
        idle.into_iter()
            .filter(|(idle, ..)| *idle)
            .map(|(_, key, why)| format!("`data.set.text.{key}` does nothing here: {why}"))
            .collect()
    }
}
