//! Promise: arrows between floors point down only, and `core` stays pure.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const FLOORS: [(&str, u32); 13] = [
    ("core", 0),
    ("strategies", 1),
    ("metrics", 1),
    ("task-store", 1),
    ("network-model", 1),
    ("layers", 1),
    ("learner", 2),
    ("protocol", 1),
    ("scenarios", 2),
    ("client-node", 3),
    ("coordinator", 3),
    ("simulation", 4),
    ("lyceum", 5),
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn dependencies(folder: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[test]
fn arrows_point_down_only() {
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    for (folder, floor) in FLOORS {
        for dependency in dependencies(folder) {
            let Some(other) = floors
                .get(dependency.trim_start_matches("lyceum-"))
                .filter(|_| dependency.starts_with("lyceum-"))
            else {
                continue;
            };
            assert!(
                *other < floor,
                "{folder} (floor {floor}) depends on {dependency} (floor {other})"
            );
        }
    }
}

#[test]
fn only_the_learner_knows_a_tensor_library() {
    for (folder, _) in FLOORS {
        let knows = dependencies(folder).iter().any(|d| d.starts_with("burn"));
        assert_eq!(knows, folder == "learner", "{folder}");
    }
    for folder in ["coordinator", "scenarios", "strategies", "client-node"] {
        assert!(
            !dependencies(folder).contains(&"lyceum-learner".to_string()),
            "{folder}"
        );
    }
}

#[test]
fn core_and_the_machines_have_no_clock_thread_file_or_hash_order() {
    let banned = [
        "std::time",
        "Instant::now",
        "SystemTime",
        "std::thread",
        "std::fs",
        "std::net",
        "HashMap",
        "HashSet",
        "tokio",
        "println!",
        "std::env",
        "rand::rng(",
        "OsRng",
        "SysRng",
    ];
    // All of a crate but these folders, so that a new module is pure unless it is put where files and sockets are.
    let impure = ["coordinator/src/run", "coordinator/src/quic"].map(|path| root().join(path));
    let pure = [
        "core/src",
        "coordinator/src",
        "client-node/src/machine.rs",
        "client-node/src/machine",
        "client-node/src/crew/machine.rs",
        "protocol/src/message.rs",
    ];
    let all = pure.iter().flat_map(|path| sources(&root().join(path)));
    for path in all.filter(|path| !impure.iter().any(|folder| path.starts_with(folder))) {
        let text = fs::read_to_string(&path).unwrap();
        for word in banned {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

/// A source file, or all of a folder and the folders in it.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let entries = fs::read_dir(path).unwrap();
    entries
        .flat_map(|entry| sources(&entry.unwrap().path()))
        .collect()
}
