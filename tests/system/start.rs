//! Promise: what the pages for newcomers show is what the command does.

use std::{fs, path::Path, process::Command};

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// The blocks of a page in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let parts = page.split(&begin).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_command_of_the_guided_start_runs_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let page = page("START.md");
    let mut script = format!(
        "set -e\nlyceum() {{ '{}' \"$@\"; }}\n",
        env!("CARGO_BIN_EXE_lyceum-under-test")
    );
    script.extend(blocks(&page, "sh"));
    let out = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
    let shown = String::from_utf8_lossy(&out.stdout);
    for text in blocks(&page, "text") {
        assert!(shown.contains(&text), "{shown}, not {text}");
    }
    let fingerprints: Vec<&str> = shown
        .lines()
        .filter(|l| l.starts_with("fingerprint"))
        .collect();
    assert_eq!(fingerprints.first(), fingerprints.last());
}

#[test]
fn the_page_of_keys_is_what_the_command_prints() {
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("keys")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&out.stdout);
    let page = page("KEYS.md");
    let other = printed.lines().zip(page.lines()).find(|(a, b)| a != b);
    assert!(
        printed == page,
        "docs/KEYS.md is not what `lyceum keys` prints: {other:?}; write it anew with `lyceum keys > docs/KEYS.md`"
    );
}
