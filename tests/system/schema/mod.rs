//! Promise: the schema takes what the reader of scenario files takes, and refuses what that refuses; whatever is wrong is
//! said in a sentence, at the value, without a name of the code.

mod checker;
mod dice;
mod document;
mod jargon;
mod maker;

use checker::takes;
use dice::Dice;
use document::{DATE, Step, toml_of};
use lyceum_scenarios::{Diagnostic, Registry, Scenario, schema};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, ops::Range, path::PathBuf};

pub(crate) use jargon::jargon;

/// Random documents that both are asked about.
const DOCUMENTS: usize = 3000;
/// Those of them that stand in a file, for other tools.
const KEPT: usize = 400;

/// The schema of a file without a sweep.
fn complete(schema: &Value) -> &Value {
    &schema["anyOf"][1]
}

fn read(registry: &Registry, text: &str) -> Result<(), Diagnostic> {
    Scenario::read(registry, "made.toml", text, &[]).map(|_| ())
}

/// Whether the reader takes every key of a document by itself.
fn is_taken(registry: &Registry, document: &Value) -> bool {
    let (text, _) = toml_of(document, &[]);
    match read(registry, &text) {
        Ok(()) => true,
        Err(diagnostic) => diagnostic.is_beyond_schema(),
    }
}

fn document(schema: &Value, seed: usize) -> Value {
    let mut dice = Dice::new(seed as u64);
    let mut document = maker::made(complete(schema), &mut dice);
    for _ in 0..dice.below(3) {
        document = maker::spoiled(document, &mut dice);
        if !document.is_object() {
            return json!({});
        }
    }
    document
}

#[test]
fn the_schema_and_the_reader_agree_on_generated_documents() {
    let registry = lyceum::registry();
    let schema = schema(&registry);
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..DOCUMENTS {
        let document = document(&schema, seed);
        let by_reader = is_taken(&registry, &document);
        let by_schema = takes(&schema, &document);
        // What the schema refuses the reader refuses, for whatever reason; what it takes is right key by key.
        let (text, _) = toml_of(&document, &[]);
        let outcome = read(&registry, &text);
        let told = outcome.as_ref().err().map(|e| e.to_string());
        match by_schema {
            true => assert!(
                by_reader,
                "the reader refuses {document:#}\n{}",
                told.unwrap()
            ),
            false => assert!(outcome.is_err(), "the reader takes {document:#}"),
        }
        match by_schema {
            true => taken += 1,
            false => refused += 1,
        }
    }
    assert!(
        taken > DOCUMENTS / 5 && refused > DOCUMENTS / 5,
        "{taken} {refused}"
    );
}

/// Verdicts on documents for tools outside: `tests/schema/validate.py` asks two other validators about them.
#[test]
fn the_documents_in_the_file_have_the_verdicts_of_the_reader() {
    let registry = lyceum::registry();
    let schema = schema(&registry);
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schema/documents.json"
    ));
    if std::env::var_os("LYCEUM_WRITE_DOCUMENTS").is_some() {
        let entry = |seed| {
            let document = document(&schema, seed);
            let (text, _) = toml_of(&document, &[]);
            let taken = match read(&registry, &text) {
                Ok(()) => true,
                Err(diagnostic) => diagnostic.is_beyond_schema(),
            };
            json!({ "taken": taken && takes(&schema, &document), "document": document })
        };
        let lines: Vec<String> = (0..KEPT).map(|seed| entry(seed).to_string()).collect();
        fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
    let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert!(all.len() >= KEPT);
    for entry in all {
        let document = &entry["document"];
        let taken = entry["taken"].as_bool().unwrap();
        assert_eq!(takes(&schema, document), taken, "{document:#}");
        match taken {
            true => assert!(is_taken(&registry, document), "{document:#}"),
            false => assert!(
                read(&registry, &toml_of(document, &[]).0).is_err(),
                "{document:#}"
            ),
        }
    }
}

/// What another kind of stream says in the same words need not be tried again.
fn is_new(path: &[Step], seen: &mut BTreeSet<String>) -> bool {
    const BESIDE: [&str; 6] = ["method", "arrival", "order", "labels", "head", "gate"];
    let key = |step: &Step| match step {
        Step::Key(key) => key.clone(),
        other => format!("{other:?}"),
    };
    let mut keys: Vec<String> = path.iter().map(key).collect();
    if keys.first().is_some_and(|key| key == "scenario")
        && let Some(at) = keys.iter().position(|key| BESIDE.contains(&key.as_str()))
    {
        keys.drain(1..at);
    }
    seen.insert(keys.join("."))
}

#[test]
fn every_key_refuses_values_of_the_wrong_kind_in_a_sentence_at_the_value() {
    let registry = lyceum::registry();
    let schema = schema(&registry);
    let complete = complete(&schema);
    let mut wrong = maker::wrong_values();
    wrong.push(DATE.into());
    let (mut seen, mut refused, mut wrongs) = (BTreeSet::new(), 0, Vec::new());
    let paths = maker::paths(complete);
    for path in paths.iter().filter(|path| is_new(path, &mut seen)) {
        if path[0] == Step::Key("sweep".into()) {
            continue;
        }
        for value in &wrong {
            let document = maker::with(complete, path, value);
            let fits = takes(complete, &document) && value != DATE;
            let (text, at) = toml_of(&document, path);
            match read(&registry, &text) {
                Ok(()) if fits || is_free(path) => {}
                Ok(()) => wrongs.push(format!("{path:?} takes {value}")),
                Err(diagnostic) => {
                    refused += 1;
                    let told = judge(&diagnostic, fits, &at);
                    wrongs.extend(told.map(|why| format!("{path:?} = {value}: {why}")));
                }
            }
        }
    }
    assert!(
        wrongs.is_empty(),
        "{}\n{}",
        wrongs.len(),
        wrongs[..wrongs.len().min(20)].join("\n")
    );
    assert!(refused > 3000, "{refused}");
}

/// Whether any value may stand there, a date excepted.
fn is_free(path: &[Step]) -> bool {
    path.contains(&Step::Key("set".into()))
}

/// What is wrong with a refusal of a value that stands somewhere.
fn judge(diagnostic: &Diagnostic, fits: bool, at: &Range<usize>) -> Option<String> {
    let shown = diagnostic.to_string();
    let words = diagnostic
        .faults()
        .iter()
        .flat_map(|f| [&f.message, &f.label]);
    if let Some(word) = words.into_iter().find_map(|words| jargon(words)) {
        return Some(format!("the word `{word}`\n{shown}"));
    }
    if fits {
        return (!diagnostic.is_beyond_schema()).then(|| format!("the schema takes it\n{shown}"));
    }
    let here = |span: &Range<usize>| at.start <= span.start && span.start < at.end;
    let placed = diagnostic
        .faults()
        .iter()
        .any(|f| f.span.as_ref().is_some_and(here));
    let marked = shown.contains("--> made.toml:") && shown.contains('^');
    (!placed || !marked).then(|| format!("not at {at:?}\n{shown}"))
}
