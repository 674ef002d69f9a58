//! Documents with their labels and owners.

use super::super::DataError;
use super::super::labels::Labels;
use super::faults::at;
use super::fields::{Field, Layout, Record};
use super::format::Format;
use super::keys::Text;
use super::records::parse;
use lyceum_core::units::Fraction;
use lyceum_core::{Purpose, Seed, shuffle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A text of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// The line where its record begins.
    pub(super) line: u64,
    pub(super) text: String,
    /// Number of its label.
    pub(super) label: Option<u32>,
    /// Number of its owner.
    pub(super) owner: Option<u32>,
}

/// The texts of a file.
#[derive(Clone, Debug)]
pub(super) struct Documents {
    pub(super) path: PathBuf,
    /// Whether a line end in a text is one in the file.
    spans: bool,
    pub(super) list: Vec<Document>,
    /// Names of the owners.
    pub(super) owners: Vec<String>,
}

/// What a file is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Training texts, whose owners must be known.
    Train,
    /// Others: test texts, or a real client's.
    Other,
}

impl Documents {
    /// The documents of a file's text.
    pub(super) fn read(
        set: &Text,
        path: &Path,
        text: &str,
        part: Part,
        labels: &mut Labels,
    ) -> Result<Self, DataError> {
        let layout = Layout {
            format: set.format,
            separator: set.separator,
            quotes: set.quotes,
            header: set.header,
        };
        let field = |key, column, is_name, needed| Field {
            key,
            column,
            is_name,
            needed,
        };
        let mut fields = vec![field("text", &set.text, false, true)];
        let label = set.label.as_ref();
        fields.extend(label.map(|label| field("label", label, true, true)));
        let client = set.client.as_ref();
        fields.extend(client.map(|client| field("client", client, true, part == Part::Train)));
        let records = parse(path, text, &layout, &fields)?;
        let mut documents = Self {
            path: path.to_path_buf(),
            spans: layout.format_of(path)? != Format::Jsonl,
            list: Vec::with_capacity(records.len()),
            owners: Vec::new(),
        };
        let mut numbers = BTreeMap::new();
        for record in records {
            documents.append(record, label.is_some(), labels, &mut numbers)?;
        }
        Ok(documents)
    }

    fn append(
        &mut self,
        record: Record,
        labelled: bool,
        labels: &mut Labels,
        numbers: &mut BTreeMap<String, u32>,
    ) -> Result<(), DataError> {
        let Record { line, values } = record;
        let mut values = values.into_iter();
        let text = values.next().flatten().unwrap_or_default();
        let label = match labelled {
            true => values.next().flatten(),
            false => None,
        };
        let owner = values.next().flatten();
        let label = label.map(|label| {
            labels.number(&label).ok_or_else(|| {
                let problem = format!(
                    "the label `{label}` is no class: expected {}",
                    labels.expected()
                );
                // Only names that a key gives leave others out.
                at(&self.path, line, problem).at("classes")
            })
        });
        let owner = owner.map(|owner| self.owner(owner, numbers));
        self.list.push(Document {
            line,
            text,
            label: label.transpose()?,
            owner,
        });
        Ok(())
    }

    fn owner(&mut self, name: String, numbers: &mut BTreeMap<String, u32>) -> u32 {
        let next = self.owners.len() as u32;
        *numbers.entry(name).or_insert_with_key(|name| {
            self.owners.push(name.clone());
            next
        })
    }

    /// Documents that were put together elsewhere, each with its line, text and owner.
    pub(super) fn of(path: &Path, texts: Vec<(u64, String, String)>) -> Self {
        let mut documents = Self {
            path: path.to_path_buf(),
            spans: true,
            list: Vec::new(),
            owners: Vec::new(),
        };
        let mut numbers = BTreeMap::new();
        for (line, text, owner) in texts {
            let owner = Some(documents.owner(owner, &mut numbers));
            documents.list.push(Document {
                line,
                text,
                label: None,
                owner,
            });
        }
        documents
    }

    /// An error about a place in a document, of which the text before it is given.
    pub(super) fn wrong(&self, document: &Document, before: &str, problem: String) -> DataError {
        let further = match self.spans {
            true => before.matches('\n').count(),
            false => 0,
        };
        at(&self.path, document.line + further as u64, problem)
    }

    /// Training and test documents, each in the order of the file; the same ones whatever the seed.
    pub(super) fn split(self, test: Fraction) -> (Self, Self) {
        let amount = (self.list.len() as f64 * test.get()).round() as usize;
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        shuffle(&mut order, &mut Seed(0).once(Purpose::DATA));
        let mut is_test = vec![false; self.list.len()];
        order[..amount].iter().for_each(|&at| is_test[at] = true);
        let part = |list| Self {
            path: self.path.clone(),
            spans: self.spans,
            list,
            owners: self.owners.clone(),
        };
        let pairs = self.list.into_iter().zip(is_test);
        let (test, train): (Vec<_>, Vec<_>) = pairs.partition(|(_, is_test)| *is_test);
        let documents = |pairs: Vec<(Document, bool)>| pairs.into_iter().map(|(d, _)| d).collect();
        (part(documents(train)), part(documents(test)))
    }
}
