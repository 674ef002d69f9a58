//! Promise: every scenario of the catalogue can be read, and says what it shows.

use lyceum_scenarios::{Scenario, Sweep};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files of the catalogue.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../scenarios/catalogue"
    ))
}

/// All files in a folder and the folders in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let files = |path: PathBuf| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    };
    entries.flat_map(files).collect()
}

/// A scenario of the catalogue with overrides.
pub(crate) fn read(name: &str, overrides: &[&str]) -> Scenario {
    let text = fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
    Scenario::read(&lyceum::registry(), name, &text, &overrides).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_catalogue_file_is_a_valid_scenario_with_a_comment() {
    let mut seen = 0;
    for path in files(&folder()) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# "),
            "{} does not say what it shows",
            path.display()
        );
        let name = path.display().to_string();
        let sweep = Sweep::read(&lyceum::registry(), &name, &text, &[], None)
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(sweep.name, path.file_stem().unwrap().to_string_lossy());
        seen += 1;
    }
    assert!(seen >= 9, "{seen}");
}

#[test]
fn a_resolved_scenario_reads_back_as_itself() {
    let registry = lyceum::registry();
    for path in files(&folder()) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let sweep = Sweep::read(&registry, &name, &text, &[], None).unwrap();
        for point in sweep.points.iter().take(5) {
            let scenario = point.scenario(3);
            let text = scenario.resolved().to_string();
            let again =
                Scenario::read(&registry, &name, &text, &[]).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(scenario.digest(), again.digest(), "{name}");
            assert_eq!(scenario.resolved(), again.resolved(), "{name}");
        }
    }
}
