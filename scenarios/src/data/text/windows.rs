//! Windows of joined texts as samples: what comes next is to be told.

use super::super::DataError;
use super::super::table_values::{Settled, TableNames, TextNames};
use super::documents::Documents;
use super::faults::wrong;
use super::keys::{Answer, Text};
use super::vocabulary::{Vocabulary, nothing_known};
use lyceum_core::{Affine, Features, Samples};

/// Samples of training and test documents.
pub(super) fn settle(
    set: &Text,
    train: &Documents,
    test: Option<&Documents>,
) -> Result<Settled, DataError> {
    let vocabulary = vocabulary(set, train)?;
    let mut windows = (Windows::new(set)?, Windows::new(set)?);
    let (mut natural, mut owners) = (Vec::new(), Vec::new());
    let few = too_few(set, train)?;
    let (named, mut short) = (set.client.is_some(), 0);
    for (owner, tokens) in streams(set, &vocabulary, train, named)?.iter().enumerate() {
        if few[owner] {
            continue;
        }
        let for_tests = match test {
            Some(_) => 0,
            None => (tokens.len() as f64 * set.test_fraction.get()).round() as usize,
        };
        let (first, last) = tokens.split_at(tokens.len() - for_tests);
        match windows.0.add(first) {
            0 => short += 1,
            added => {
                natural.extend(std::iter::repeat_n(owners.len() as u32, added));
                owners.extend(train.owners.get(owner).cloned());
                windows.1.add(last);
            }
        }
    }
    if let Some(test) = test {
        for tokens in streams(set, &vocabulary, test, named)? {
            windows.1.add(&tokens);
        }
    }
    there_are(set, &windows, train, test)?;
    let learned = windows.0.samples(vocabulary.size());
    let warnings = Vec::from_iter(nothing_known(set, &learned));
    Ok(Settled {
        train: learned,
        test: windows.1.samples(vocabulary.size()),
        natural: named.then_some(natural),
        notes: notes(set, &few, short, owners.len()),
        names: TableNames {
            classes: vocabulary.classes(),
            owners,
            text: Some(TextNames {
                vocabulary: vocabulary.key(),
                predicted: true,
            }),
            ..TableNames::default()
        },
        warnings,
    })
}

/// Samples of a real client's documents, which are joined whoever they say that they are of.
pub(super) fn own(set: &Text, own: &Documents) -> Result<Samples, DataError> {
    let vocabulary = vocabulary(set, own)?;
    let mut windows = Windows::new(set)?;
    for tokens in streams(set, &vocabulary, own, false)? {
        windows.add(&tokens);
    }
    match windows.count {
        0 => Err(none(set, own)),
        _ => Ok(windows.samples(vocabulary.size())),
    }
}

fn vocabulary<'s>(set: &'s Text, train: &Documents) -> Result<Vocabulary<'s>, DataError> {
    let texts = train.list.iter().map(|document| document.text.as_str());
    let join = (train.list.len() > 1).then_some(set.join.as_str());
    Vocabulary::of(set, texts.chain(join))
}

/// Which owners have fewer characters than are asked for.
fn too_few(set: &Text, documents: &Documents) -> Result<Vec<bool>, DataError> {
    let mut characters = vec![0_u64; documents.owners.len().max(1)];
    for document in &documents.list {
        characters[document.owner.unwrap_or(0) as usize] += document.text.chars().count() as u64;
    }
    let least = match set.client {
        Some(_) => set.least,
        None => 0,
    };
    let most = characters.iter().max().copied().unwrap_or(0);
    if most < least {
        return wrong(
            "least",
            format!(
                "is {least}, and no owner has more than {most} characters: expected at most as many"
            ),
        );
    }
    Ok(characters.iter().map(|&count| count < least).collect())
}

/// The tokens of each owner, or of all together, their documents joined in order.
fn streams(
    set: &Text,
    vocabulary: &Vocabulary<'_>,
    documents: &Documents,
    by_owner: bool,
) -> Result<Vec<Vec<u16>>, DataError> {
    let join = vocabulary.encode(&set.join).or_else(|_| {
        let problem =
            "has a character that the vocabulary lacks: expected others, or `unknown = \"skip\"`";
        match documents.list.len() {
            1 => Ok(Vec::new()),
            _ => wrong("join", problem),
        }
    })?;
    // Texts of nobody come after those of all owners.
    let owners = match by_owner {
        true => documents.owners.len(),
        false => 0,
    };
    let mut streams: Vec<Option<Vec<u16>>> = vec![None; owners + 1];
    for document in &documents.list {
        let owner = document.owner.filter(|_| by_owner);
        let tokens = vocabulary.numbers(documents, document)?;
        let stream = &mut streams[owner.map_or(owners, |owner| owner as usize)];
        match stream {
            None => *stream = Some(tokens),
            Some(stream) => {
                stream.extend(&join);
                stream.extend(tokens);
            }
        }
    }
    if streams.last().is_some_and(Option::is_none) {
        streams.pop();
    }
    Ok(streams.into_iter().map(Option::unwrap_or_default).collect())
}

/// Refuses a set without a window.
fn there_are(
    set: &Text,
    windows: &(Windows, Windows),
    train: &Documents,
    test: Option<&Documents>,
) -> Result<(), DataError> {
    match (windows.0.count, windows.1.count, test) {
        (0, ..) => Err(none(set, train)),
        (_, 0, Some(test)) => Err(none(set, test)),
        (_, 0, None) => {
            let problem = format!(
                "is {}, which leaves no owner as many as `places` and one more tokens for tests: expected a larger share, or fewer places",
                set.test_fraction.get()
            );
            wrong("test_fraction", problem)
        }
        _ => Ok(()),
    }
}

/// No text of a file is long enough.
fn none(set: &Text, documents: &Documents) -> DataError {
    let places = set.places.map_or(0, |places| places.get());
    DataError::Key {
        key: "places",
        problem: format!(
            "is {places}, and no window of {places} tokens and one more fits into what anybody has in {}: expected fewer",
            documents.path.display()
        ),
    }
}

/// Who is left out, in lines for people.
fn notes(set: &Text, few: &[bool], short: usize, owners: usize) -> Vec<String> {
    let few = few.iter().filter(|few| **few).count();
    if set.client.is_none() {
        return Vec::new();
    }
    let mut line = format!("owners    {owners}");
    if few > 0 {
        line += &format!(
            "; {few} with fewer than {} characters are left out",
            set.least
        );
    }
    if short > 0 {
        line += &format!(
            "; {} whose text is too short for a window are left out",
            short
        );
    }
    vec![line]
}

/// Windows of the same length.
struct Windows {
    places: usize,
    stride: usize,
    answer: Answer,
    count: usize,
    tokens: Vec<u16>,
    labels: Vec<u32>,
    targets: Vec<u32>,
}

impl Windows {
    fn new(set: &Text) -> Result<Self, DataError> {
        let places = set.places()?;
        Ok(Self {
            places,
            stride: set.stride.map_or(places, |stride| stride.get()),
            answer: set.answer(),
            count: 0,
            tokens: Vec::new(),
            labels: Vec::new(),
            targets: Vec::new(),
        })
    }

    /// Appends the windows of a text; says how many there are.
    fn add(&mut self, tokens: &[u16]) -> usize {
        let before = self.count;
        for window in tokens.windows(self.places + 1).step_by(self.stride) {
            let (seen, answers) = (&window[..self.places], &window[1..]);
            self.tokens.extend(seen);
            self.labels.push(u32::from(window[self.places]));
            if self.answer == Answer::Every {
                self.targets.extend(answers.iter().map(|&t| u32::from(t)));
            }
            self.count += 1;
        }
        self.count - before
    }

    fn samples(self, classes: usize) -> Samples {
        Samples {
            shape: vec![self.places],
            classes,
            features: Features::U16(self.tokens),
            labels: self.labels,
            targets: self.targets,
            goals: Vec::new(),
            affine: Affine::identity(),
        }
    }
}
