//! Scenarios of texts.

use super::super::Tokens;
use super::SPOKEN;
use crate::{Loaded, Registry, Scenario};

const SCENARIO: &str = "
    [run]
    name = 'a'
    rounds = 3
    [data]
    clients = 2
    [data.set.text]
    train = 'a.jsonl'
    client = 'who'
    places = 2
    stride = 1
    tokens = 'characters'
    [data.partition.by_client]
    [model.softmax]
    [training]
    rate = 0.1
    [selection.uniform]
    per_round = 2
    [strategy.fed_avg]
";

fn scenario(text: &str, set: &[&str]) -> Result<Scenario, String> {
    let mut registry = Registry::default();
    registry.engines.push(lyceum_core::Engine {
        name: "fused",
        summary: "",
        build: |_| unreachable!("nothing is trained"),
    });
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    Scenario::read(&registry, "a.toml", text, &set).map_err(|e| e.to_string())
}

#[test]
fn a_scenario_of_texts_says_what_it_found_and_reads_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.jsonl"), SPOKEN.repeat(3)).unwrap();
    let folders = [folder.path().to_path_buf()];
    let first = scenario(SCENARIO, &[]).unwrap();
    let loaded = Loaded::read(&first, &folders).unwrap_or_else(|e| panic!("{e}"));
    let lines = loaded.overview(&first);
    assert!(
        lines.contains(&"features  2 tokens, numbered 0 to 3".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.last().unwrap().starts_with("owners    3"),
        "{lines:?}"
    );
    let settled = loaded.settled(&first);
    assert_eq!(settled.digest(), first.digest());
    let text = settled.resolved().to_string();
    assert!(text.contains("vocabulary"), "{text}");
    let again = scenario(&text, &[]).unwrap();
    assert_eq!(first.differing(&text), Some(Vec::new()));
    let reloaded = Loaded::read(&again, &folders).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(reloaded.digest(), loaded.digest());
}

#[test]
fn what_only_measurements_can_have_is_refused_of_texts() {
    let error = scenario(SCENARIO, &["data.normalise=standard"])
        .err()
        .unwrap();
    assert!(error.contains("are no measurements"), "{error}");
    let error = scenario(SCENARIO, &["data.features={random_relu={size=3}}"])
        .err()
        .unwrap();
    assert!(
        error.contains("tokens are only called by numbers"),
        "{error}"
    );
    let other = scenario(SCENARIO, &["data.set.text.tokens.bytes={}"]).unwrap();
    let text = other.data_set.plugin.text().unwrap();
    assert_eq!(text.tokens, Tokens::Bytes {});
    let error = scenario(SCENARIO, &["data.set.text.plces=3"])
        .err()
        .unwrap();
    assert!(error.contains("unknown key `plces`"), "{error}");
}
