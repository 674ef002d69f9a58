//! Words of the language that the project is written in, and names of its types.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Words that no user has to know.
const WORDS: [&str; 36] = [
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "f32",
    "f64",
    "usize",
    "isize",
    "bool",
    "struct",
    "enum",
    "variant",
    "variants",
    "newtype",
    "tuple",
    "untagged",
    "serde",
    "deserialize",
    "map",
    "seq",
    "field",
    "fields",
    "option",
    "vec",
    "string literal",
    "invalid type",
    "invalid value",
    "invalid length",
    "panicked",
    "::",
];
/// Names of the field that happen to be names of types, too.
const NAMES: [&str; 5] = ["Fisher", "Adam", "Krum", "Oort", "CIFAR"];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn gather(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            gather(&entry, names);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&entry).unwrap();
            let mut words = text.split_whitespace();
            while let Some(word) = words.next() {
                if ["struct", "enum", "trait"].contains(&word)
                    && let Some(name) = words.next()
                {
                    let end = name.find(|c: char| !c.is_ascii_alphanumeric());
                    names.insert(name[..end.unwrap_or(name.len())].to_owned());
                }
            }
        }
    }
}

/// Names of the types of the crates that read what users write.
fn types() -> &'static BTreeSet<String> {
    static TYPES: OnceLock<BTreeSet<String>> = OnceLock::new();
    TYPES.get_or_init(|| {
        let mut names = BTreeSet::new();
        for part in ["core", "strategies", "scenarios", "lyceum", "protocol"] {
            gather(&folder().join(part).join("src"), &mut names);
        }
        names.retain(|name| name.starts_with(|c: char| c.is_ascii_uppercase()));
        NAMES.iter().for_each(|name| {
            names.remove(*name);
        });
        assert!(names.contains("StepDecay") && names.len() > 300);
        names
    })
}

/// The first word of a message that only an author of the code can know.
pub(crate) fn jargon(message: &str) -> Option<String> {
    let lower = message.to_lowercase();
    let words: BTreeSet<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let phrase = |word: &&&str| match word.chars().all(|c| c.is_ascii_alphanumeric()) {
        true => words.contains(**word),
        false => lower.contains(**word),
    };
    if let Some(word) = WORDS.iter().find(phrase) {
        return Some((*word).to_owned());
    }
    let names = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let mut names = names.filter(|name| name.len() > 1);
    names
        .find(|name| types().contains(*name))
        .map(str::to_owned)
}
