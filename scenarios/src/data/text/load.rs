//! Sets of texts, read from files.

use super::super::contents::Contents;
use super::super::labels::Labels;
use super::super::table::Column;
use super::super::table_values::Settled;
use super::super::{DataError, DataSet, LoadContext, Source, same_samples};
use super::documents::{Documents, Part};
use super::faults::wrong;
use super::fields::Layout;
use super::format::Format;
use super::keys::{Answer, LEARNED, Text};
use super::records::text_of;
use super::{labelled, windows};
use lyceum_core::Samples;
use std::borrow::Cow;
use std::path::Path;

impl DataSet for Text {
    fn paths(&self) -> &'static [&'static str] {
        &["train", "test"]
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        self.check()?;
        let mut labels = self.labels()?;
        let mut read = |path: &Path, part| {
            let path = context.find(path)?;
            self.documents(&path, part, &mut labels)
        };
        let train = read(&self.train, Part::Train).map_err(|e| e.at("train"))?;
        let test = self.test.as_ref().map(|path| read(path, Part::Other));
        let test = test.transpose().map_err(|e| e.at("test"))?;
        let of = [&train, test.as_ref().unwrap_or(&train)].map(|documents| documents.path.clone());
        let settled = self.settle(train, test, labels);
        let settled = settled.map_err(|e| match e.path() {
            Some(path) if *path == of[0] => e.at("train"),
            Some(path) if *path == of[1] => e.at("test"),
            _ => e,
        })?;
        Ok(Source::Text(Box::new(settled)))
    }

    fn text(&self) -> Option<Cow<'_, Text>> {
        Some(Cow::Borrowed(self))
    }

    fn learned(&self) -> &'static [&'static str] {
        &LEARNED
    }

    fn warnings(&self) -> Vec<String> {
        let same = self.test.as_ref() == Some(&self.train);
        let same = same.then(same_samples);
        self.idle().into_iter().chain(same).collect()
    }
}

impl Text {
    /// The labels that the set knows before it is read.
    pub(super) fn labels(&self) -> Result<Labels, DataError> {
        let Some(classes) = &self.classes else {
            return Ok(Labels::open());
        };
        if classes.is_empty() {
            return wrong(
                "classes",
                "names no class: leave it out, or name every label",
            );
        }
        Labels::given(classes).or_else(|name| {
            let problem = format!("names one class twice ({name}): expected each label once");
            wrong("classes", problem)
        })
    }

    fn documents(
        &self,
        path: &Path,
        part: Part,
        labels: &mut Labels,
    ) -> Result<Documents, DataError> {
        let text = text_of(Contents::open(path)?)?;
        Documents::read(self, path, &text, part, labels)
    }

    /// Samples of documents that were read.
    pub(super) fn settle(
        &self,
        train: Documents,
        test: Option<Documents>,
        labels: Labels,
    ) -> Result<Settled, DataError> {
        match self.answer() {
            Answer::Label => labelled::settle(self, train, test, labels),
            Answer::Next | Answer::Every => windows::settle(self, &train, test.as_ref()),
        }
    }
}

/// Reads a real client's texts as those of the scenario were read.
pub(crate) fn own_texts(
    set: &Text,
    path: &Path,
    label: Option<&str>,
) -> Result<Samples, DataError> {
    let mut set = set.clone();
    set.check()?;
    if set.learns_vocabulary() && set.vocabulary.is_none() {
        return wrong(
            "vocabulary",
            "is missing: expected the tokens that the other clients know",
        );
    }
    // All of them are of this client.
    set.client = None;
    if set.answer() != Answer::Label {
        set.label = None;
    }
    if let (Some(label), Answer::Label) = (label, set.answer()) {
        let number = label.parse().map(Column::Number);
        set.label = Some(match (&set.label, number) {
            (Some(Column::Number(_)), Ok(number)) => number,
            _ => Column::Name(label.to_owned()),
        });
    }
    // The ending says what the client's own file is, where it says anything.
    let auto = Layout {
        format: Format::Auto,
        separator: None,
        quotes: true,
        header: set.header,
    };
    set.format = auto.format_of(path).unwrap_or(set.format);
    let mut labels = set.labels()?;
    let documents = set.documents(path, Part::Other, &mut labels)?;
    match set.answer() {
        Answer::Label => labelled::own(&set, &documents, labels),
        Answer::Next | Answer::Every => windows::own(&set, &documents),
    }
}
