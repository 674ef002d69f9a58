//! Sets of texts, from files to samples.

mod public_texts;
mod scenarios;

use super::super::{DataError, DataSet, LoadContext, Normalisation, OwnFile, Settled, Source};
use super::*;
use lyceum_core::{Features, Samples, Seed};
use std::io::Write;
use std::path::Path;

fn context(folder: &Path) -> LoadContext {
    LoadContext {
        seed: Seed(1),
        clients: 10,
        folders: vec![folder.to_path_buf()],
    }
}

fn load(set: &dyn DataSet, folder: &Path) -> Result<Settled, DataError> {
    match set.load(&context(folder))? {
        Source::Text(settled) => Ok(*settled),
        _ => unreachable!("texts are loaded as such"),
    }
}

/// What the keys make of files, or what is wrong with them.
fn read(keys: &str, files: &[(&str, &str)]) -> Result<Settled, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let set: Text = toml::from_str(keys).unwrap_or_else(|e| panic!("{keys}: {e}"));
    load(&set, folder.path()).map_err(|e| e.to_string())
}

fn tokens(samples: &Samples) -> Vec<Vec<u16>> {
    let Features::U16(tokens) = &samples.features else {
        panic!("expected tokens")
    };
    let rows = tokens.chunks_exact(samples.width());
    rows.map(<[u16]>::to_vec).collect()
}

fn vocabulary(settled: &Settled) -> String {
    let text = settled.names.text.clone().unwrap();
    text.vocabulary.unwrap().join(",")
}

const SPOKEN: &str = r#"{"who": "b", "text": "abcab"}
{"who": "a", "text": "cab"}

{"who": "b", "text": "bcabc"}
{"who": "c", "text": "a"}
"#;

#[test]
fn each_place_is_answered_by_the_token_after_it() {
    let keys = "train = 'a.jsonl'\nclient = 'who'\ntokens = { characters = {} }\nplaces = 2\njoin = ''\ntest_fraction = 0.4";
    let settled = read(keys, &[("a.jsonl", SPOKEN)]).unwrap();
    // b has abcabbcabc, of which six are for training; a and c have no window of three.
    assert_eq!(vocabulary(&settled), "a,b,c");
    assert_eq!(tokens(&settled.train), [[0, 1], [2, 0]]);
    assert_eq!(settled.train.targets, [1, 2, 0, 1]);
    assert_eq!(settled.train.labels, [2, 1]);
    assert_eq!(tokens(&settled.test), [[2, 0]]);
    assert_eq!(settled.test.targets, [0, 1]);
    assert_eq!((settled.train.classes, settled.train.answers()), (3, 2));
    assert_eq!(settled.natural, Some(vec![0, 0]));
    assert_eq!(settled.names.owners, ["b"]);
    assert_eq!(
        settled.notes,
        ["owners    1; 2 whose text is too short for a window are left out"]
    );
}

#[test]
fn one_token_after_the_window_is_told_and_windows_step_by_the_stride() {
    let keys = "train = 'a.jsonl'\nclient = 'who'\ntokens = { characters = {} }\nplaces = 2\nstride = 1\nanswer = 'next'\nleast = 2\ntest = 't.txt'";
    let files = [("a.jsonl", SPOKEN), ("t.txt", "cba")];
    let error = read(keys, &files).unwrap_err();
    assert!(error.contains("`client` names a field"), "{error}");
    let files = [("a.jsonl", SPOKEN), ("t.jsonl", r#"{"text": "cba"}"#)];
    let settled = read(&keys.replace("t.txt", "t.jsonl"), &files).unwrap();
    // The line end that joins is a token.
    assert_eq!(vocabulary(&settled), "\n,a,b,c");
    let first = [[1, 2], [2, 3], [3, 1], [1, 2], [2, 0]];
    assert_eq!(tokens(&settled.train)[..5], first);
    assert_eq!(settled.train.labels[..5], [3, 1, 2, 0, 2]);
    assert!(settled.train.targets.is_empty());
    assert_eq!(settled.natural, Some([vec![0; 9], vec![1]].concat()));
    assert_eq!(settled.names.owners, ["b", "a"]);
    assert_eq!(
        settled.notes,
        ["owners    2; 1 with fewer than 2 characters are left out"]
    );
    assert_eq!(tokens(&settled.test), [[3, 2]]);
    assert_eq!(settled.test.labels, [1]);
}

#[test]
fn texts_with_labels_are_cut_and_filled_up() {
    let table = "y,who,text\nb,n,one two\na,m,two\nb,n,\"One, two three\"\n";
    let test = "text,y\nfour two,a\n";
    let keys = "train = 'a.csv'\ntest = 't.csv'\nlabel = 'y'\nclient = 'who'\ntokens = { words = {} }\nplaces = 3\n";
    let files = [("a.csv", table), ("t.csv", test)];
    let settled = read(keys, &files).unwrap();
    assert_eq!(vocabulary(&settled), "two,one,,,three");
    assert_eq!(tokens(&settled.train), [[2, 1, 0], [1, 0, 0], [2, 3, 1]]);
    assert_eq!(tokens(&settled.test), [[0, 1, 0]]);
    assert_eq!(settled.train.labels, [1, 0, 1]);
    assert_eq!(settled.test.labels, [0]);
    assert_eq!(settled.names.classes, ["a", "b"]);
    assert_eq!(settled.natural, Some(vec![0, 1, 0]));
    let ends = format!("{keys}keep = 'end'\npad = 'start'\nunknown = 'skip'\n");
    let settled = read(&ends, &files).unwrap();
    assert_eq!(tokens(&settled.train), [[0, 2, 1], [0, 0, 1], [3, 1, 4]]);
    assert_eq!(tokens(&settled.test), [[0, 0, 1]]);
    let small = keys.replace("words = {}", "words = { size = 2, lower = false }");
    let settled = read(&small, &files).unwrap();
    assert_eq!(vocabulary(&settled), "two,,");
    assert_eq!(tokens(&settled.train), [[0, 1, 0], [1, 0, 0], [0, 2, 1]]);
}

#[test]
fn words_that_are_not_known_are_one_token_of_a_language_model() {
    let keys = "train = 'a.txt'\nformat = 'lines'\ntokens = { words = { size = 1 } }\nplaces = 1\ntest_fraction = 0.5";
    let settled = read(keys, &[("a.txt", "x y x\n\nz x x\n")]).unwrap();
    assert_eq!(settled.names.classes, ["<unk>", "x"]);
    assert_eq!(tokens(&settled.train), [[1], [0]]);
    assert_eq!(settled.train.targets, [0, 1]);
    assert_eq!(settled.natural, None);
}

#[test]
fn bytes_are_their_own_numbers() {
    let keys = "train = 'a.txt'\ntokens = { bytes = {} }\nplaces = 1\ntest_fraction = 0.5\nanswer = 'next'";
    let settled = read(keys, &[("a.txt", "é\n!")]).unwrap();
    assert_eq!(settled.train.classes, 256);
    assert_eq!(tokens(&settled.train), [[0xc3]]);
    assert_eq!(settled.train.labels, [0xa9]);
    assert_eq!(settled.names.text.unwrap().vocabulary, None);
    assert!(settled.names.classes.is_empty());
}

#[test]
fn hashed_texts_are_split_the_same_for_every_seed() {
    let lines: Vec<String> = (0..10).map(|i| format!("{}\tw{i}", i % 2)).collect();
    let keys =
        "train = 'a.tsv'\nlabel = 0\ntext = 1\ntokens = { hashed = { size = 64, words = [1] } }";
    let settled = read(keys, &[("a.tsv", &lines.join("\n"))]).unwrap();
    assert_eq!((settled.train.len(), settled.test.len()), (8, 2));
    assert_eq!(settled.train.shape, [64]);
    let Features::Sparse(rows) = &settled.train.features else {
        panic!("expected counts")
    };
    assert_eq!((rows.len(), rows.kept()), (8, &[1.0; 8][..]));
}

#[test]
fn packed_files_are_read_as_plain_ones() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("a.jsonl.gz")).unwrap();
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    packer.write_all(SPOKEN.as_bytes()).unwrap();
    packer.finish().unwrap();
    let mut set = Text::new("a.jsonl.gz", Tokens::Characters {});
    set.places = lyceum_core::units::Count::new(2);
    let settled = load(&set, folder.path()).unwrap();
    assert_eq!(vocabulary(&settled), "\n,a,b,c");
}

#[test]
fn quotes_are_characters_where_they_are_said_to_be() {
    let keys = "train = 'a.tsv'\ntest = 'a.tsv'\nlabel = 0\ntext = 1\nquotes = false\nplaces = 1\ntokens = { characters = {} }";
    let table = "x\t\"a\ny\tb\n";
    let settled = read(keys, &[("a.tsv", table)]).unwrap();
    assert_eq!(vocabulary(&settled), "\",a,b");
    let error = read(&keys.replace("quotes = false", ""), &[("a.tsv", table)]).unwrap_err();
    assert!(error.contains("line 1: a quote (\") opens here"), "{error}");
}

/// Keys with a label and without.
const LABELLED: &str = "train = 'a.jsonl'\nlabel = 'y'\nplaces = 1\ntokens = { characters = {} }";
const WINDOWS: &str = "train = 'a.jsonl'\nplaces = 2\ntokens = { characters = {} }";

#[test]
fn faults_name_file_line_and_field() {
    for (keys, text, wanted) in [
        (
            LABELLED,
            "",
            "a.jsonl: it has no text: expected at least one",
        ),
        (
            LABELLED,
            "\n{\"text\": \"a\"}",
            "a.jsonl, line 2: there is no field `y`: the fields are `text`",
        ),
        (
            LABELLED,
            "{\"text\": \"a\", \"y\": [1]}",
            "line 1: the field `y` is a list: expected a string or a number",
        ),
        (
            LABELLED,
            "{\"text\": \"a\", \"y\": null}",
            "line 1: the field `y` is null",
        ),
        (
            LABELLED,
            "{\"text\": \"a\", \"y\": \" \"}",
            "line 1: the field `y` is empty",
        ),
        (
            LABELLED,
            "{\"text\": 3, \"y\": 1}",
            "line 1: the field `text` is a number: expected a string",
        ),
        (
            LABELLED,
            "{\"text\": \"a\", \"y\": 1}\n{\"text\": a}",
            "line 2: it is not JSON from its byte 10 on",
        ),
        (
            LABELLED,
            "{\"text\": \"a\"",
            "line 1: it ends before its JSON does",
        ),
        (LABELLED, "[1]", "line 1: it is a list: expected an object"),
        (
            LABELLED,
            "{\"text\": \"a\", \"y\": 1}",
            "`test_fraction` leaves 1 training and 0 test samples",
        ),
        (
            WINDOWS,
            "{\"text\": \"ab\"}",
            "`places` is 2, and no window of 2 tokens and one more fits",
        ),
        (
            WINDOWS,
            "{\"text\": \"abcdefghi\"}",
            "`test_fraction` is 0.2, which leaves no owner",
        ),
    ] {
        let error = read(keys, &[("a.jsonl", text)])
            .err()
            .unwrap_or_else(|| panic!("{text}"));
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let labelled = "{\"text\": \"a\", \"y\": 1}\n".repeat(9);
    for (from, to, wanted) in [
        ("places = 1", "", "`places` is missing"),
        (
            "places = 1",
            "places = 2",
            "`places` is 2, and the longest training text has 1 tokens",
        ),
        ("label = 'y'", "answer = 'label'", "there is no key `label`"),
        (
            "label = 'y'",
            "label = 0",
            "`label` is 0: the fields of JSON objects have names",
        ),
        (
            "places = 1",
            "places = 1\nclasses = ['2']",
            "line 1: the label `1` is no class: expected one of `2`",
        ),
        (
            "places = 1",
            "places = 1\nvocabulary = ['a', 'a']",
            "`vocabulary` names `a` twice",
        ),
        ("characters", "bytes", "`vocabulary` is of no use"),
        (
            "{ characters = {} }",
            "{ hashed = {} }\nanswer = 'next'",
            "`tokens` are hashed, which keeps no order",
        ),
        (
            "{ characters = {} }",
            "{ hashed = { words = [] } }",
            "n-grams of no length",
        ),
        ("'a.jsonl'", "'a.dat'", "`format` is told by the ending"),
    ] {
        let mut keys = LABELLED.replace(from, to);
        if to == "bytes" {
            keys.push_str("\nvocabulary = ['a']");
        }
        let files = [("a.jsonl", &*labelled), ("a.dat", &*labelled)];
        let error = read(&keys, &files).err().unwrap_or_else(|| panic!("{to}"));
        assert!(error.contains(wanted), "{error}");
    }
    let keys = format!("{WINDOWS}\nclient = 'y'\nleast = 10");
    let error = read(&keys, &[("a.jsonl", &labelled)]).unwrap_err();
    assert!(
        error.contains("no owner has more than 9 characters"),
        "{error}"
    );
}

#[test]
fn a_token_that_training_lacks_is_refused_where_it_is() {
    let keys = "train = 'a.txt'\ntest = 't.txt'\nplaces = 1\ntokens = { characters = {} }";
    let files = [("a.txt", "ab\nab"), ("t.txt", "ab\na?b")];
    let error = read(keys, &files).unwrap_err();
    assert!(
        error.contains("t.txt, line 2: the character \"?\" is none of the 3 that training knows"),
        "{error}"
    );
    let settled = read(&format!("{keys}\nunknown = 'skip'"), &files).unwrap();
    assert_eq!(tokens(&settled.test), [[1], [2], [0], [1]]);
    let settled = read(&format!("{keys}\nunknown = 'token'"), &files).unwrap();
    assert_eq!(tokens(&settled.test), [[2], [3], [1], [2], [0]]);
    assert_eq!(settled.names.classes[0], "<unk>");
}

#[test]
fn text_that_is_not_utf_8_is_refused_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), b"ab\n\xff").unwrap();
    let mut set = Text::new("a.txt", Tokens::Characters {});
    set.places = lyceum_core::units::Count::new(1);
    let error = load(&set, folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("a.txt, line 2: it is not UTF-8 text"),
        "{error}"
    );
}

#[test]
fn tables_say_which_column_and_line_is_wrong() {
    let keys = "train = 'a.csv'\nlabel = 'y'\nplaces = 1\ntokens = { characters = {} }";
    for (table, wanted) in [
        (
            "text,z\na,b\n",
            "line 1: there is no column `y`, where `label` is looked for: the names are text, z",
        ),
        (
            "text,y\r\n\r\na,\r\n",
            "line 3, column `y`: it is empty: expected a name or a number",
        ),
        (
            "text,y\na,b\n\na\n",
            "line 4: it has 1 values: expected 2, as in the first line",
        ),
    ] {
        let error = read(keys, &[("a.csv", table)]).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    let keys = keys.replace("'y'", "2");
    let error = read(&keys, &[("a.csv", "text,y\n")]).unwrap_err();
    assert!(
        error.contains("no column 2: the numbers go from 0 to 1"),
        "{error}"
    );
}

#[test]
fn what_a_run_learned_reads_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"text\": \"a b\", \"y\": \"b\"}\n{\"text\": \"b\", \"y\": \"a\"}\n".repeat(5);
    std::fs::write(folder.path().join("a.jsonl"), lines).unwrap();
    for keys in [LABELLED, WINDOWS] {
        let set: Text = toml::from_str(keys).unwrap();
        let first = load(&set, folder.path()).unwrap();
        let mut resolved = toml::Table::try_from(&set).unwrap();
        resolved.extend(first.names.keys());
        assert_eq!(resolved.contains_key("classes"), keys == LABELLED);
        let again: Text = resolved.try_into().unwrap();
        let again = load(&again, folder.path()).unwrap();
        assert_eq!(first.train, again.train);
        assert_eq!(first.test, again.test);
        assert_eq!(first.names, again.names);
    }
}

fn own(keys: &str, name: &str, text: &str, label: Option<&str>) -> Result<Samples, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let set: Text = toml::from_str(keys).unwrap();
    let own = OwnFile {
        path,
        label: label.map(String::from),
    };
    super::super::own_samples(&own, &set, Normalisation::Unit, &[2], 2).map_err(|e| e.to_string())
}

#[test]
fn a_real_client_reads_its_own_texts_by_the_tokens_and_classes_of_the_others() {
    let keys = "train = 'absent.jsonl'\nlabel = 'y'\nplaces = 2\ntokens = { words = {} }\nclasses = ['no', 'yes']\nvocabulary = ['the', 'cat']";
    let text = "{\"text\": \"A cat\", \"y\": \"yes\"}";
    let samples = own(keys, "own.jsonl", text, None).unwrap();
    assert_eq!(tokens(&samples), [[0, 2]]);
    assert_eq!((&samples.labels[..], samples.classes), (&[1][..], 2));
    let samples = own(keys, "own.csv", "kind,text\nno,the\n", Some("kind")).unwrap();
    assert_eq!(tokens(&samples), [[1, 0]]);
    assert_eq!(samples.labels, [0]);
    let error = own(keys, "own.jsonl", &text.replace("yes", "so"), None).unwrap_err();
    assert!(
        error
            .contains("own.jsonl, line 1: the label `so` is no class: expected one of `no`, `yes`"),
        "{error}"
    );
    let keys = "train = 'absent.jsonl'\nplaces = 2\nanswer = 'next'\ntokens = { characters = {} }\nvocabulary = ['a', 'b']\njoin = ''";
    let samples = own(
        keys,
        "own.jsonl",
        "{\"text\": \"ab\"}\n{\"text\": \"ba\"}",
        None,
    )
    .unwrap();
    assert_eq!(
        (tokens(&samples), &samples.labels[..]),
        (vec![vec![0, 1]], &[1][..])
    );
    let error = own(keys, "own.txt", "ab?", None).unwrap_err();
    assert!(
        error.contains("the character \"?\" is none of the 2"),
        "{error}"
    );
    let error = own(keys, "own.txt", "ab", None).unwrap_err();
    assert!(error.contains("no window of 2 tokens"), "{error}");
    let error = own(&keys.replace("vocabulary", "#"), "own.txt", "abab", None).unwrap_err();
    assert!(error.contains("`vocabulary` is missing"), "{error}");
}
