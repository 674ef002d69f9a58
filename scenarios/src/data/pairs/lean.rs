//! Theorems of Lean repositories, and the premises that their proofs use.

use super::text::{Counter, Counts, rarity, rows, weigh};
use crate::data::{
    DataError, DataSet, Item, Items, LoadContext, Source,
    contents::Contents,
    known::{KnownSet, Located, file},
};
use lyceum_core::{Affine, Corpus, Features, Pairs, Samples, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

const LEAN: KnownSet = KnownSet {
    name: "lean-premises",
    classes: 26,
    files: [
        file(
            "declarations.jsonl",
            "14eccb1a264788f6375e964974c9eb629f40bd8087531e7f6ced372a25a69aeb",
        ),
        file(
            "theorems.jsonl",
            "f543d20bec0f77f2b0afe37a4ebab9210c657d62a679a598c38b55d503ff1a64",
        ),
        file(
            "files.csv",
            "054c1bc35ea0aa6771eca8ec48d2fa86138a3a5545f0047177b6ccd1aee904b1",
        ),
        file(
            "repositories.csv",
            "514feac8d27260844259f2e6c24551892a95511fe7918c5c7cb32272dfe1adff",
        ),
    ],
    home_page: "https://github.com/lean-dojo/LeanAgent (its repositories, of whose sources the set is made)",
};

/// Lean premises: theorems of 26 repositories, and the declarations that their proofs use. A sample is a pair of texts, a statement
/// and a premise with its statement, as `[2, buckets]` values: tokens and runs of three characters, hashed, weighed by how rare they
/// are in the library, at length 1. A test asks which of all candidates that a file can see its proof uses.
///
/// A label is a repository, in the order of the curriculum (most easy theorems first); so is an owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeanPremises {
    /// Whose theorems ask: "repositories" by default.
    pub asked: Asked,
    /// The part of the theorems that a model is judged by: "test" by default. Choices are made by "validation".
    pub judged: Part,
    /// Values of a text; 4,096 by default.
    pub buckets: Count,
    /// Most premises of a theorem that a pass of training goes through, drawn anew for each; 8 by default.
    pub premises: Count,
    /// Take along the published validation part, by which a model is then judged besides; false by default.
    #[serde(skip_serializing_if = "is_false")]
    pub validation: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Whose theorems ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Those of 25 repositories: labels 0 to 24.
    #[default]
    Repositories,
    /// Those of the library alone, which is a slice of mathlib and Batteries: label 0.
    Library,
    /// All: label 0 is the library, the repositories follow.
    All,
}

/// A part of the theorems with premises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// For judging.
    #[default]
    Test,
    /// For choices.
    Validation,
}

impl Default for LeanPremises {
    fn default() -> Self {
        let count = |n| Count::new(n).expect("defaults are in range");
        Self {
            asked: Asked::Repositories,
            judged: Part::Test,
            buckets: count(4096),
            premises: count(8),
            validation: false,
        }
    }
}

/// Most values of a text.
const MOST: usize = 1 << 20;
/// Repositories below this one are the library.
const LIBRARY: u32 = 2;

#[derive(Deserialize)]
struct Declaration {
    id: u32,
    repo: u32,
    file: u32,
    kind: String,
    name: String,
    statement: String,
}

#[derive(Deserialize)]
struct Theorem {
    id: u32,
    repo: u32,
    steps: Option<u32>,
    sorry: bool,
    premises: Vec<u32>,
    split: String,
}

/// Everything in the files.
struct Files {
    declarations: Vec<Declaration>,
    theorems: Vec<Theorem>,
    /// Files that each file sees, directly or not.
    imports: Vec<Vec<u32>>,
}

impl DataSet for LeanPremises {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        if self.buckets.get() > MOST {
            let problem = format!("is more than {MOST}: texts are hashed into so many values");
            let key = "buckets";
            return Err(DataError::Key { key, problem });
        }
        let files = Files::read(context)?;
        let (corpus, queries) = self.corpus(&files);
        let corpus = Arc::new(corpus);
        let of = |part: &'static str| queries.iter().filter(move |query| query.part == part);
        let all = |query: &Query| {
            let (label, number) = (query.label, query.number);
            let premises = query.premises.iter();
            premises
                .map(move |&p| (label, [number, p]))
                .collect::<Vec<_>>()
        };
        let first = |query: &Query| (query.label, [query.number, query.premises[0]]);
        let kept: Vec<_> = of("train").flat_map(all).collect();
        let held = of("val").filter(|_| self.validation).map(first);
        let places = kept.len() as u32;
        let train = self.samples(&corpus, kept.into_iter().chain(held));
        let natural = Some(train.labels.clone());
        let judged = match self.judged {
            Part::Test => "test",
            Part::Validation => "val",
        };
        let test = self.samples(&corpus, of(judged).map(first));
        Ok(match self.validation {
            false => Source::Pool {
                train,
                test,
                natural,
            },
            true => Source::Parted {
                held: (places..train.len() as u32).collect(),
                train,
                test,
                natural,
            },
        })
    }

    fn items(&self, context: &LoadContext) -> Result<Option<Items>, DataError> {
        let [_, theorems, _, repositories] = LEAN.locate(context)?;
        let names = names(opened(&repositories)?)?;
        let theorems: Vec<Theorem> = lines(opened(&theorems)?)?;
        let shared = theorems.iter().filter(|t| t.repo >= LIBRARY);
        let item = |theorem: &Theorem| {
            let class = self.label(theorem.repo);
            Item {
                class: class.filter(|&class| (class as usize) < self.labels()),
                difficulty: match theorem.sorry {
                    true => Some(f64::INFINITY),
                    false => theorem.steps.map(f64::from),
                },
            }
        };
        let labels = 0..self.labels() as u32;
        let named = labels.map(|label| {
            let first = names
                .iter()
                .position(|(id, _)| self.label(*id) == Some(label));
            first.map_or_else(|| label.to_string(), |at| names[at].1.clone())
        });
        Ok(Some(Items {
            names: named.collect(),
            all: shared.map(item).collect(),
        }))
    }
}

/// A theorem that asks.
struct Query {
    /// Its number among the queries.
    number: u32,
    label: u32,
    part: String,
    /// Its premises as candidates.
    premises: Vec<u32>,
}

impl LeanPremises {
    /// The label of a repository whose theorems ask.
    fn label(&self, repository: u32) -> Option<u32> {
        let own = repository.checked_sub(LIBRARY);
        match self.asked {
            Asked::Repositories => own,
            Asked::Library => own.is_none().then_some(0),
            Asked::All => Some(own.map_or(0, |own| own + 1)),
        }
    }

    fn labels(&self) -> usize {
        match self.asked {
            Asked::Repositories => 25,
            Asked::Library => 1,
            Asked::All => 26,
        }
    }

    /// Candidates and queries with their features.
    fn corpus(&self, files: &Files) -> (Corpus, Vec<Query>) {
        let buckets = self.buckets.get();
        let is_candidate = |d: &&Declaration| {
            ["theorem", "lemma", "axiom", "field"].contains(&d.kind.as_str())
                && (d.repo < LIBRARY || self.asked != Asked::Library)
        };
        let candidates: Vec<&Declaration> =
            files.declarations.iter().filter(is_candidate).collect();
        let common = candidates.partition_point(|d| d.repo < LIBRARY);
        let mut counter = Counter::new(buckets);
        let text = |d: &&Declaration| counter.count(&format!("{} {}", d.name, d.statement));
        let counts: Counts = candidates.iter().map(text).collect();
        let rarity = rarity(counts[..common].iter(), buckets);
        let scopes = files.scopes(&candidates);
        let of_candidates = rows(&counts, &rarity);
        let mut corpus = Corpus::new(buckets, of_candidates, common as u32, scopes);
        drop(counts);
        let place = |id: u32| candidates.partition_point(|d| d.id < id) as u32;
        let mut queries = Vec::new();
        for theorem in files.theorems.iter().filter(|t| !t.premises.is_empty()) {
            let Some(label) = self.label(theorem.repo) else {
                continue;
            };
            let own = &files.declarations[theorem.id as usize];
            let premises: Vec<u32> = theorem.premises.iter().map(|&id| place(id)).collect();
            let row = weigh(&counter.count(&own.statement), &rarity);
            let sight = (own.file, place(own.id));
            corpus.ask(row.into_iter(), premises.clone(), sight);
            queries.push(Query {
                number: queries.len() as u32,
                label,
                part: theorem.split.clone(),
                premises,
            });
        }
        (corpus, queries)
    }

    fn samples(
        &self,
        corpus: &Arc<Corpus>,
        pairs: impl Iterator<Item = (u32, [u32; 2])>,
    ) -> Samples {
        let (labels, of) = pairs.unzip();
        Samples {
            shape: vec![2, self.buckets.get()],
            classes: self.labels(),
            features: Features::Pairs(Pairs {
                corpus: corpus.clone(),
                of,
                most: Some(self.premises.get().min(u32::MAX as usize) as u32),
            }),
            labels,
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        }
    }
}

impl Files {
    fn read(context: &LoadContext) -> Result<Self, DataError> {
        let [declarations, theorems, files, repositories] = LEAN.locate(context)?;
        opened(&repositories)?;
        Ok(Self {
            declarations: lines(opened(&declarations)?)?,
            theorems: lines(opened(&theorems)?)?,
            imports: imports(opened(&files)?)?,
        })
    }

    /// Candidates that the theorems of each file may see, as ranges: those of the file and of all that it imports.
    fn scopes(&self, candidates: &[&Declaration]) -> Vec<Vec<[u32; 2]>> {
        let mut spans = vec![[0, 0]; self.imports.len()];
        for (place, candidate) in (0..).zip(candidates) {
            let span: &mut [u32; 2] = &mut spans[candidate.file as usize];
            if span[1] == 0 {
                span[0] = place;
            }
            span[1] = place + 1;
        }
        let scope = |files: &Vec<u32>| {
            let mut ranges: Vec<[u32; 2]> = Vec::new();
            let there = files.iter().map(|&file| spans[file as usize]);
            for [start, end] in there.filter(|[start, end]| start < end) {
                match ranges.last_mut().filter(|last| last[1] == start) {
                    Some(last) => last[1] = end,
                    None => ranges.push([start, end]),
                }
            }
            ranges
        };
        self.imports.iter().map(scope).collect()
    }
}

/// A file's bytes, as they were published.
fn opened(located: &Located<'_>) -> Result<(Contents, Vec<u8>), DataError> {
    let mut contents = located.open()?;
    let bytes = contents.rest()?;
    LEAN.check(&mut contents, located.file)?;
    Ok((contents, bytes))
}

/// Numbers and names of the repositories.
fn names((contents, bytes): (Contents, Vec<u8>)) -> Result<Vec<(u32, String)>, DataError> {
    let mut all = Vec::new();
    for record in csv::Reader::from_reader(&bytes[..]).records() {
        let record = record.map_err(|e| contents.wrong(e.to_string()))?;
        let id = record.get(0).and_then(|id| id.parse().ok());
        let (Some(id), Some(name)) = (id, record.get(1)) else {
            return Err(contents.wrong("a repository has no number or no name".to_owned()));
        };
        all.push((id, name.to_owned()));
    }
    Ok(all)
}

/// One value a line.
fn lines<T: DeserializeOwned>((contents, bytes): (Contents, Vec<u8>)) -> Result<Vec<T>, DataError> {
    let read = serde_json::Deserializer::from_slice(&bytes).into_iter();
    let read: Result<Vec<T>, _> = read.collect();
    read.map_err(|e| contents.wrong(format!("is not as it was published: {e}")))
}

/// For each file, itself and all that it imports, ascending.
fn imports((contents, bytes): (Contents, Vec<u8>)) -> Result<Vec<Vec<u32>>, DataError> {
    let mut all: Vec<Vec<u32>> = Vec::new();
    let mut table = csv::Reader::from_reader(&bytes[..]);
    for record in table.records() {
        let record = record.map_err(|e| contents.wrong(e.to_string()))?;
        let own = all.len() as u32;
        let mut seen = vec![own];
        for direct in record.get(3).unwrap_or_default().split_whitespace() {
            let direct: Option<usize> = direct.parse().ok();
            let direct = direct.filter(|&file| file < all.len());
            let direct = direct.ok_or_else(|| {
                contents.wrong(format!(
                    "file {own} imports one that does not stand before it"
                ))
            })?;
            seen.extend_from_slice(&all[direct]);
        }
        seen.sort_unstable();
        seen.dedup();
        all.push(seen);
    }
    Ok(all)
}
