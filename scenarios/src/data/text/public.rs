//! Public texts that are known by name.

use super::super::contents::Contents;
use super::super::known::KnownFile;
use super::super::table::{Column, Header, fifth};
use super::super::{DataError, DataSet, LoadContext, Source};
use super::documents::{Documents, Part};
use super::faults::wrong;
use super::format::Format;
use super::hashed::Hashed;
use super::keys::{Answer, Keep, LEARNED, Pad, Text, Tokens};
use super::records::as_text;
use lyceum_core::units::{Count, Fraction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::PathBuf;

/// Shakespeare's plays, 1,115,394 characters of 65 kinds, by who speaks: an owner for each of 309 speakers, of whom 141 have
/// 1,000 characters or more. To be gone on with character by character, as LEAF's Shakespeare.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TinyShakespeare {
    /// Characters of a sample (default 80).
    #[serde(default = "eighty")]
    pub places: Count,
    /// What is to be told: the `next` character (default), or at `every` place the one after it.
    #[serde(default = "next")]
    pub answer: Answer,
    /// Characters from the beginning of a window to that of the next. Default: `places`; in LEAF 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Count>,
    /// Speakers of fewer characters than this are left out (default 1,000).
    #[serde(default = "thousand")]
    pub least: u64,
    /// Share of each speaker's last characters that are for tests (default 0.2).
    #[serde(default = "fifth")]
    pub test_fraction: Fraction,
    /// Characters in the order of their numbers. Default: those of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vec<String>>,
}

/// The SMS Spam Collection: 5,574 messages, 747 of them spam (Almeida et al. 2011).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmsSpam {
    /// What messages are cut into (default hashed).
    #[serde(default = "hashed")]
    pub tokens: Tokens,
    /// Tokens of a sample; needed unless tokens are hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Count>,
    /// Which end of a message is kept if it has more tokens than `places` (default start).
    #[serde(default)]
    pub keep: Keep,
    /// Where token 0 fills up a message of fewer tokens than `places` (default end).
    #[serde(default)]
    pub pad: Pad,
    /// Share of the messages that are for tests; the same ones for every seed (default 0.2).
    #[serde(default = "fifth")]
    pub test_fraction: Fraction,
    /// Labels in the order of their classes. Default: `ham`, `spam`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// Tokens in the order of their numbers. Default: those of the training messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vec<String>>,
}

fn eighty() -> Count {
    Count::new(80).expect("it is above 0")
}

fn next() -> Answer {
    Answer::Next
}

fn thousand() -> u64 {
    1000
}

fn hashed() -> Tokens {
    Tokens::Hashed(Hashed::default())
}

/// A public text in one file.
struct Public {
    name: &'static str,
    /// The folders in which it is looked for.
    folders: &'static [&'static str],
    file: KnownFile,
    home_page: &'static str,
}

const TINY_SHAKESPEARE: Public = Public {
    name: "tiny-shakespeare",
    folders: &["tiny-shakespeare", "tinyshakespeare"],
    file: KnownFile {
        name: "input.txt",
        sum: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    },
    home_page: "https://github.com/karpathy/char-rnn (data/tinyshakespeare)",
};

const SMS_SPAM: Public = Public {
    name: "sms-spam",
    folders: &["sms-spam"],
    file: KnownFile {
        name: "SMSSpamCollection",
        sum: "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
    },
    home_page: "https://archive.ics.uci.edu/dataset/228/sms+spam+collection",
};

impl Public {
    /// Where the file is, and its text.
    fn read(&self, context: &LoadContext) -> Result<(PathBuf, String), DataError> {
        let path = self.locate(context)?;
        let mut contents = Contents::open(&path)?.hashed();
        let bytes = contents.rest()?;
        let found = contents.sum()?;
        if found != self.file.sum {
            return Err(DataError::Checksum {
                path,
                set: self.name,
                found,
                expected: self.file.sum,
                home_page: self.home_page,
            });
        }
        let text = as_text(&path, bytes)?;
        Ok((path, text))
    }

    /// The first subfolder of the set's name that has the file, or else the first folder.
    fn locate(&self, context: &LoadContext) -> Result<PathBuf, DataError> {
        let folders = context.folders.iter();
        let inside = folders
            .clone()
            .flat_map(|folder| self.folders.iter().map(|name| folder.join(name)));
        let places: Vec<PathBuf> = inside.chain(folders.cloned()).collect();
        let name = self.file.name;
        let names = [name.to_owned(), format!("{name}.gz")];
        let mut paths = places
            .iter()
            .flat_map(|place| names.iter().map(|name| place.join(name)));
        let found = paths.find(|path| path.is_file());
        found.ok_or_else(|| DataError::Missing {
            set: self.name,
            files: vec![name],
            places: places.clone(),
            home_page: self.home_page,
        })
    }
}

impl DataSet for TinyShakespeare {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        let set = self.as_text();
        if set.answer() == Answer::Label {
            return wrong(
                "answer",
                "is \"label\", and speeches have none: expected \"next\" or \"every\"",
            );
        }
        set.check()?;
        let (path, text) = TINY_SHAKESPEARE.read(context)?;
        let documents = Documents::of(&path, speeches(&text));
        let settled = set.settle(documents, None, set.labels()?)?;
        Ok(Source::Text(Box::new(settled)))
    }

    fn text(&self) -> Option<Cow<'_, Text>> {
        Some(Cow::Owned(self.as_text()))
    }

    fn learned(&self) -> &'static [&'static str] {
        &LEARNED
    }
}

impl TinyShakespeare {
    fn as_text(&self) -> Text {
        Text {
            places: Some(self.places),
            answer: Some(self.answer),
            stride: self.stride,
            client: Some(Column::Name("speaker".to_owned())),
            least: self.least,
            test_fraction: self.test_fraction,
            vocabulary: self.vocabulary.clone(),
            ..Text::new(TINY_SHAKESPEARE.file.name, Tokens::Characters {})
        }
    }
}

/// Line, text and speaker of each speech: blocks between empty lines, in the first line of which the speaker and a colon
/// stand.
pub(super) fn speeches(text: &str) -> Vec<(u64, String, String)> {
    let mut speeches: Vec<(u64, String, String)> = Vec::new();
    let mut begins = true;
    for (line, content) in (1..).zip(text.lines()) {
        match (content.is_empty(), begins, speeches.last_mut()) {
            (true, ..) => begins = true,
            (false, false, Some((_, text, _))) => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(content);
            }
            _ => {
                let speaker = content.strip_suffix(':').unwrap_or(content);
                speeches.push((line + 1, String::new(), speaker.to_owned()));
                begins = false;
            }
        }
    }
    speeches
}

impl DataSet for SmsSpam {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        let set = self.as_text();
        set.check()?;
        let mut labels = set.labels()?;
        let (path, text) = SMS_SPAM.read(context)?;
        let documents = Documents::read(&set, &path, &text, Part::Train, &mut labels)?;
        let settled = set.settle(documents, None, labels)?;
        Ok(Source::Text(Box::new(settled)))
    }

    fn text(&self) -> Option<Cow<'_, Text>> {
        Some(Cow::Owned(self.as_text()))
    }

    fn learned(&self) -> &'static [&'static str] {
        &LEARNED
    }

    fn warnings(&self) -> Vec<String> {
        let idle = self.as_text().idle().into_iter();
        idle.map(|idle| idle.replace("data.set.text", "data.set.sms-spam"))
            .collect()
    }
}

impl SmsSpam {
    fn as_text(&self) -> Text {
        Text {
            format: Format::Tsv,
            quotes: false,
            header: Header::No,
            label: Some(Column::Number(0)),
            text: Column::Number(1),
            classes: self.classes.clone(),
            vocabulary: self.vocabulary.clone(),
            places: self.places,
            keep: self.keep,
            pad: self.pad,
            test_fraction: self.test_fraction,
            ..Text::new(SMS_SPAM.file.name, self.tokens.clone())
        }
    }
}
