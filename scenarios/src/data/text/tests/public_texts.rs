//! Public texts; passed over where they are not there.

use super::super::super::{Settled, test_data::shared_data};
use super::super::{Hashed, SmsSpam, TinyShakespeare, public};
use super::{load, tokens};

fn shakespeare(keys: &str) -> Option<Settled> {
    let shared = shared_data()?;
    let set: TinyShakespeare = toml::from_str(keys).unwrap();
    Some(load(&set, &shared).unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn shakespeare_has_its_published_speakers_and_characters() {
    let Some(settled) = shakespeare("") else {
        return;
    };
    assert_eq!(settled.names.owners.len(), 141);
    assert_eq!(settled.train.classes, 65);
    assert_eq!(settled.train.shape, [80]);
    assert_eq!(
        settled.notes,
        ["owners    141; 168 with fewer than 1000 characters are left out"]
    );
    let natural = settled.natural.unwrap();
    assert_eq!(natural.iter().max(), Some(&140));
    assert!(natural.is_sorted());
    let all = shakespeare("least = 0\nplaces = 10\nanswer = 'every'").unwrap();
    assert_eq!(all.train.answers(), 10);
    assert_eq!(all.names.owners.len() + short(&all), 309);
}

/// How many owners were left out as their text is too short.
fn short(settled: &Settled) -> usize {
    let line = settled.notes[0].split("; ").nth(1);
    let count = line.and_then(|line| line.split(' ').next());
    count.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn speeches_are_cut_as_those_that_lie_beside() {
    let Some(shared) = shared_data() else { return };
    let folder = shared.join("tinyshakespeare");
    let text = std::fs::read_to_string(folder.join("input.txt")).unwrap();
    let Ok(lines) = std::fs::read_to_string(folder.join("speeches.jsonl")) else {
        return;
    };
    let found = public::speeches(&text);
    assert_eq!(found.len(), 7222);
    for ((_, text, speaker), line) in found.iter().zip(lines.lines()) {
        let speech: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&speech["speaker"], &speech["text"]),
            (&speaker.as_str().into(), &text.as_str().into())
        );
    }
}

#[test]
fn the_messages_are_as_many_as_published() {
    let Some(shared) = shared_data() else { return };
    let set: SmsSpam = toml::from_str("").unwrap();
    let settled = load(&set, &shared).unwrap();
    let labels: Vec<u32> = [settled.train.labels, settled.test.labels].concat();
    assert_eq!(labels.len(), 5574);
    assert_eq!(labels.iter().filter(|&&label| label == 1).count(), 747);
    assert_eq!(settled.names.classes, ["ham", "spam"]);
}

/// Counts and windows that `tests/independent/text.py` worked out, without the messages themselves.
#[test]
fn counts_and_windows_are_those_of_the_independent_recomputation() {
    let Some(shared) = shared_data() else { return };
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        let list = value.as_array().unwrap().iter();
        list.map(|v| v.as_f64().unwrap()).collect()
    };
    let path = shared.join("sms-spam/SMSSpamCollection");
    let messages = std::fs::read_to_string(path).unwrap();
    let messages: Vec<&str> = messages
        .lines()
        .map(|l| l.split_once('\t').unwrap().1)
        .collect();
    for case in golden["counts"].as_array().unwrap() {
        let keys: Hashed = serde_json::from_value(case["keys"].clone()).unwrap();
        let row = keys.row(messages[case["line"].as_u64().unwrap() as usize]);
        let (places, values) = (numbers(&case["places"]), numbers(&case["values"]));
        let found: Vec<f64> = row.iter().map(|(place, _)| f64::from(*place)).collect();
        assert_eq!(found, places);
        for ((_, found), wanted) in row.iter().zip(values) {
            assert!(
                (f64::from(*found) - wanted).abs() <= 1e-6 * wanted.abs(),
                "{found}, {wanted}"
            );
        }
    }
    let settled = shakespeare("").unwrap();
    let (rows, natural) = (tokens(&settled.train), settled.natural.unwrap());
    assert_eq!(rows.len() as u64, golden["training"].as_u64().unwrap());
    assert_eq!(settled.test.len() as u64, golden["tests"].as_u64().unwrap());
    for window in golden["windows"].as_array().unwrap() {
        let at = window["sample"].as_u64().unwrap() as usize;
        let row: Vec<f64> = rows[at].iter().map(|&t| f64::from(t)).collect();
        assert_eq!(row, numbers(&window["tokens"]));
        assert_eq!(
            u64::from(settled.train.labels[at]),
            window["label"].as_u64().unwrap()
        );
        assert_eq!(u64::from(natural[at]), window["owner"].as_u64().unwrap());
    }
}

#[test]
fn an_absent_or_foreign_public_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let set: SmsSpam = toml::from_str("").unwrap();
    let error = load(&set, folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("put SMSSpamCollection") && error.contains("archive.ics.uci.edu"),
        "{error}"
    );
    let path = folder.path().join("SMSSpamCollection");
    std::fs::write(path, "ham\thello\n").unwrap();
    let error = load(&set, folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("is not the published file of `sms-spam`"),
        "{error}"
    );
    let set: TinyShakespeare = toml::from_str("answer = 'label'").unwrap();
    let error = load(&set, folder.path()).unwrap_err().to_string();
    assert!(error.contains("speeches have none"), "{error}");
}
