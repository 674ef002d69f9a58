//! Documents with labels as samples.

use super::super::DataError;
use super::super::labels::{Classes, Labels};
use super::super::table_values::{Settled, TableNames, TextNames};
use super::documents::Documents;
use super::faults::wrong;
use super::keys::{Keep, Pad, Text, Tokens};
use super::vocabulary::{Vocabulary, nothing_known};
use lyceum_core::{Affine, Features, Samples, Sparse};
use std::collections::BTreeMap;

/// Samples of training and test documents.
pub(super) fn settle(
    set: &Text,
    train: Documents,
    test: Option<Documents>,
    labels: Labels,
) -> Result<Settled, DataError> {
    let (train, test) = match test {
        Some(test) => (train, test),
        None => split(set, train)?,
    };
    let classes = labels.classes();
    let vocabulary = vocabulary(set, &train)?;
    fits(set, &vocabulary, &train)?;
    let samples = |documents| samples(set, &vocabulary, documents, &classes);
    let (owners, natural) = owners(&train);
    let learned = samples(&train)?;
    let warnings = Vec::from_iter(nothing_known(set, &learned));
    Ok(Settled {
        train: learned,
        test: samples(&test)?,
        natural: set.client.as_ref().map(|_| natural),
        names: TableNames {
            owners,
            text: Some(TextNames {
                vocabulary: vocabulary
                    .filter(|_| set.learns_vocabulary())
                    .and_then(|v| v.key()),
                predicted: false,
            }),
            classes: classes.names,
            ..TableNames::default()
        },
        warnings,
        notes: Vec::new(),
    })
}

/// Samples of a real client's documents.
pub(super) fn own(set: &Text, own: &Documents, labels: Labels) -> Result<Samples, DataError> {
    let vocabulary = vocabulary(set, own)?;
    samples(set, &vocabulary, own, &labels.classes())
}

fn vocabulary<'s>(set: &'s Text, train: &Documents) -> Result<Option<Vocabulary<'s>>, DataError> {
    match set.tokens {
        Tokens::Hashed(_) => Ok(None),
        _ => Vocabulary::of(set, train.list.iter().map(|d| d.text.as_str())).map(Some),
    }
}

fn split(set: &Text, documents: Documents) -> Result<(Documents, Documents), DataError> {
    let path = documents.path.clone();
    let (train, test) = documents.split(set.test_fraction);
    if !train.list.is_empty() && !test.list.is_empty() {
        return Ok((train, test));
    }
    let problem = format!(
        "leaves {} training and {} test samples of {}: expected at least one of each",
        train.list.len(),
        test.list.len(),
        path.display()
    );
    wrong("test_fraction", problem)
}

/// Refuses places that no text fills.
fn fits(
    set: &Text,
    vocabulary: &Option<Vocabulary<'_>>,
    train: &Documents,
) -> Result<(), DataError> {
    let Some(vocabulary) = vocabulary else {
        return Ok(());
    };
    let (mut longest, places) = (0, set.places()?);
    for document in &train.list {
        longest = longest.max(vocabulary.numbers(train, document)?.len());
    }
    match places > longest {
        false => Ok(()),
        true => wrong(
            "places",
            format!(
                "is {places}, and the longest training text has {longest} tokens: expected at most as many"
            ),
        ),
    }
}

fn samples(
    set: &Text,
    vocabulary: &Option<Vocabulary<'_>>,
    documents: &Documents,
    classes: &Classes,
) -> Result<Samples, DataError> {
    let (shape, features) = match (&set.tokens, vocabulary) {
        (Tokens::Hashed(hashed), _) => {
            let mut rows = Sparse::default();
            for document in &documents.list {
                rows.push(hashed.row(&document.text).into_iter());
            }
            (hashed.size.get(), Features::Sparse(rows))
        }
        (_, Some(vocabulary)) => {
            let places = set.places()?;
            let mut tokens = Vec::with_capacity(places * documents.list.len());
            for document in &documents.list {
                let numbers = vocabulary.numbers(documents, document)?;
                tokens.extend(cut(set, &numbers, places));
            }
            (places, Features::U16(tokens))
        }
        (_, None) => unreachable!("only hashed tokens need no vocabulary"),
    };
    let labels = documents.list.iter().filter_map(|document| document.label);
    Ok(Samples {
        shape: vec![shape],
        classes: classes.names.len(),
        features,
        labels: labels.map(|label| classes.of[label as usize]).collect(),
        targets: Vec::new(),
        goals: Vec::new(),
        affine: Affine::identity(),
    })
}

/// So many tokens of a text, with 0 where it has fewer.
fn cut(set: &Text, tokens: &[u16], places: usize) -> Vec<u16> {
    let kept = match set.keep {
        Keep::Start => &tokens[..tokens.len().min(places)],
        Keep::End => &tokens[tokens.len().saturating_sub(places)..],
    };
    let zeros = vec![0; places - kept.len()];
    match set.pad {
        Pad::End => [kept, &zeros].concat(),
        Pad::Start => [&zeros, kept].concat(),
    }
}

/// Owners renumbered as they first appear among these documents, without gaps.
fn owners(documents: &Documents) -> (Vec<String>, Vec<u32>) {
    let (mut numbers, mut names) = (BTreeMap::new(), Vec::new());
    let owners = documents.list.iter().filter_map(|document| document.owner);
    let natural = owners.map(|owner| {
        *numbers.entry(owner).or_insert_with(|| {
            names.push(documents.owners[owner as usize].clone());
            names.len() as u32 - 1
        })
    });
    let natural = natural.collect();
    (names, natural)
}
