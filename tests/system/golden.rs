//! Promise: a release gives the bits of the release before, unless the changelog says otherwise.
//!
//! `golden.toml` holds a fingerprint per numeric profile (engine, instruction set, system) and scenario of the catalogue. A
//! profile that has no table there is printed, ready to be added.

use crate::{catalogue::read, determinism::fingerprint};
use lyceum_client_node::workshop::numeric_profile;

/// A table of the catalogue's files with what is laid over them.
const RUNS: [(&str, &str, &[&str]); 6] = [
    ("quickstart", "quickstart", &[]),
    ("scaffold", "scaffold-digits", &[]),
    ("curriculum", "mixture-curriculum", &[]),
    ("er", "federated-er", &[]),
    ("gate", "stream-gate", &[]),
    (
        "krum",
        "quickstart",
        &["strategy.krum={byzantine=1,keep=2}"],
    ),
];

/// The profile without the version: a release is held to the one before.
fn profile() -> String {
    let profile = numeric_profile("fused");
    let (lasting, _version) = profile.rsplit_once(", ").unwrap();
    lasting.to_owned()
}

fn found() -> toml::Table {
    let one = |(name, file, overrides): (&str, &str, &[&str])| {
        let fingerprint = fingerprint(&read(file, overrides), 2).to_string();
        (name.to_owned(), toml::Value::String(fingerprint))
    };
    RUNS.into_iter().map(one).collect()
}

#[test]
fn fingerprints_are_those_of_the_release_before() {
    let golden: toml::Table = include_str!("golden.toml").parse().unwrap();
    let profile = profile();
    let found = found();
    match golden.get(&profile) {
        Some(wanted) => assert_eq!(
            Some(&found),
            wanted.as_table(),
            "the bits of \"{profile}\" have changed: the changelog must say why"
        ),
        None => println!("skipped: golden.toml lacks\n[\"{profile}\"]\n{found}"),
    }
}
