use super::super::{Normalisation, Settled};
use super::*;
use lyceum_core::{Features, Samples, Seed};

type Loaded = (Samples, Samples, Option<Vec<u32>>);

fn load(config: &str, train: &str, test: &str) -> Result<Loaded, String> {
    let settled = settled(Normalisation::Unit, config, train, test)?;
    Ok((settled.train, settled.test, settled.natural))
}

fn settled(how: Normalisation, config: &str, train: &str, test: &str) -> Result<Settled, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.csv"), train).unwrap();
    std::fs::write(folder.path().join("test.csv"), test).unwrap();
    let set: Csv = toml::from_str(&format!("train = 'train.csv'\n{config}")).unwrap();
    let context = LoadContext {
        seed: Seed(1),
        clients: 1,
        folders: vec![folder.path().into()],
    };
    match set.load(&context).map_err(|error| error.to_string())? {
        Source::Table(table) => table.settle(how).map_err(|error| error.to_string()),
        _ => unreachable!(),
    }
}

fn with_test(config: &str, train: &str) -> Result<Loaded, String> {
    load(&format!("test = 'test.csv'\n{config}"), train, train)
}

fn floats(samples: &Samples) -> &[f32] {
    match &samples.features {
        Features::F32(values) => values,
        _ => unreachable!(),
    }
}

#[test]
fn columns_are_found_by_name_and_owners_numbered_as_they_appear() {
    let text = "who,a,kind,b\nzoe,1,dog,2\nann, 3,cat,4\nzoe,5,cat,6.5\n";
    let (train, test, natural) = with_test("label = 'kind'\nclient = 'who'", text).unwrap();
    assert_eq!(train.labels, [1, 0, 0]);
    assert_eq!((train.classes, train.shape.as_slice()), (2, [2].as_slice()));
    assert_eq!(floats(&train), [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]);
    assert_eq!(natural, Some(vec![0, 1, 0]));
    assert_eq!(train, test);
}

#[test]
fn a_header_is_noticed_by_features_that_are_no_numbers() {
    for (header, text, rows) in [
        ("auto", "a,b\n1,2\n3,4\n", 2),
        ("auto", "1,x\n3,y\n", 2),
        ("yes", "1,2\n3,4\n", 1),
        ("no", "1,2\n3,4\n", 2),
    ] {
        let config = format!("label = 1\nheader = '{header}'");
        assert_eq!(with_test(&config, text).unwrap().0.len(), rows, "{text}");
    }
}

#[test]
fn labels_are_ordered_by_value_or_as_text_over_both_files() {
    let labels = |train: &str, test: &str| {
        let column = |labels: &str| -> String {
            labels
                .split(' ')
                .map(|label| format!("0;{label}\n"))
                .collect()
        };
        let config = "test = 'test.csv'\nlabel = 1\nseparator = ';'";
        let (train, test, _) = load(config, &column(train), &column(test)).unwrap();
        assert_eq!(train.classes, test.classes);
        (train.labels, test.labels)
    };
    assert_eq!(labels("10 2 2.0", "3 2"), (vec![2, 0, 0], vec![1, 0]));
    assert_eq!(labels("10 2 x", "b x"), (vec![0, 1, 3], vec![2, 3]));
}

#[test]
fn the_split_covers_the_file_and_keeps_owners_without_gaps() {
    let text: String = (0..50).map(|i| format!("{i},{},{i}\n", i % 3)).collect();
    let config = "label = 1\nclient = 2\ntest_fraction = 0.3";
    let (train, test, natural) = load(config, &text, "").unwrap();
    assert_eq!((train.len(), test.len()), (35, 15));
    assert!(floats(&train).is_sorted() && floats(&test).is_sorted());
    assert_eq!(natural, Some((0..35).collect()));
    let mut all = [floats(&train), floats(&test)].concat();
    all.sort_by(f32::total_cmp);
    assert_eq!(all, (0..50).map(|i| i as f32).collect::<Vec<_>>());
    assert!(
        train
            .labels
            .iter()
            .zip(floats(&train))
            .all(|(&l, &v)| l == v as u32 % 3)
    );
}

#[test]
fn errors_name_file_line_and_column() {
    for (config, text, parts) in [
        (
            "label = 'y'",
            "x,y\n1,0\n?,1\n",
            ["train.csv, line 3, column `x`", "`?` is not"],
        ),
        (
            "label = 1",
            "1,0\nnan,1\n",
            ["train.csv, line 2, column 0", "`nan` is not"],
        ),
        (
            "label = 1",
            "1,0\n1\n",
            ["train.csv, line 2", "has 1 values: expected 2"],
        ),
        ("label = 1", "1,0\n2,\n", ["line 2, column 1", "is empty"]),
        (
            "label = 'z'",
            "x,y\n1,0\n",
            ["line 1", "no column `z`: the names are x, y"],
        ),
        (
            "label = 9",
            "1,0\n",
            ["line 1", "no column 9: the numbers go from 0 to 1"],
        ),
        (
            "label = 'y'\nheader = 'no'",
            "1,0\n",
            ["by name", "give its number"],
        ),
        (
            "label = 1\nclient = 1",
            "1,0\n",
            ["`client`", "expected another"],
        ),
        (
            "label = 1\nseparator = 'ä'",
            "1,0\n",
            ["`separator`", "ASCII"],
        ),
        ("label = 1", "", ["train.csv: ", "has no sample"]),
        (
            "label = 1",
            "a,b\n",
            ["train.csv: ", "has a header and no sample"],
        ),
    ] {
        let error = with_test(config, text).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let error = with_test("label = 2", "x,1,2\n").unwrap_err();
    assert!(
        error.contains("line 1, column 0: `x` is not") && error.contains("header ="),
        "{error}"
    );
    let error = toml::from_str::<Csv>("train = 'a'\nlabel = -1").unwrap_err();
    assert!(error.to_string().contains("counted from 0"), "{error}");
}

#[test]
fn a_test_file_has_the_columns_of_the_training_file_in_any_order() {
    let config = "label = 'y'\ntest = 'test.csv'\nclient = 'who'";
    let train = "y,a,who,b\n1,2,zoe,3\n";
    let (train, test, natural) = load(config, train, "b,y,rest,a\n3,1,?,2\n").unwrap();
    assert_eq!(train, test);
    assert_eq!(natural, Some(vec![0]));
    let config = "label = 0\ntest = 'test.csv'";
    for (train, test, wanted) in [
        (
            "y,a,b\n1,2,3\n",
            "y,a,c\n1,2,3\n",
            "test.csv, line 1: there is no column `b`, which the training file has: the features here are a, c",
        ),
        ("1\n", "", "train.csv, line 1: there is no feature"),
        (
            "1,2\n",
            "1,2,3\n",
            "test.csv, line 1: it has 2 columns of features: expected 1, which the training file has",
        ),
        ("1,2\n", "", "test.csv: it has no sample"),
        (
            "y,a\n",
            "y,a\n1,2\n",
            "train.csv: it has a header and no sample",
        ),
        (
            "y,a\n1,2\n",
            "y,a\n",
            "test.csv: it has a header and no sample",
        ),
    ] {
        let error = load(config, train, test).unwrap_err();
        assert!(error.contains(wanted), "{error}, not {wanted}");
    }
    let error = load("label = 0\ntest_fraction = 0.1", "1,2\n", "").unwrap_err();
    assert!(
        error.contains("`test_fraction` leaves 1 training and 0 test samples"),
        "{error}"
    );
}

#[test]
fn no_two_columns_have_one_name() {
    for (header, wanted) in [
        ("y,a,b,y", "line 1: two columns are called `y`"),
        ("y,a, a,b", "line 1: two columns are called `a`"),
        ("y,a,,", "line 1: two columns have no name"),
    ] {
        let error = with_test("label = 'y'", &format!("{header}\n1,2,3,4\n")).unwrap_err();
        assert!(error.contains(wanted), "{error}, not {wanted}");
    }
}

#[test]
fn a_missing_value_is_no_class_and_no_owner() {
    for cell in ["nan", "NaN", "-nan", "inf", "-Infinity", ""] {
        let text = format!("0,cat\n1,{cell}\n");
        let error = with_test("label = 1", &text).unwrap_err();
        assert!(error.contains("train.csv, line 2, column 1"), "{error}");
        let text = format!("0,cat,ann\n1,cat,{cell}\n");
        let error = with_test("label = 1\nclient = 2", &text).unwrap_err();
        assert!(error.contains("train.csv, line 2, column 2"), "{error}");
    }
}

#[test]
fn lines_are_those_of_an_editor() {
    for (text, line) in [
        ("x,y\r\n1,0\r\n?,1\r\n", 3),
        ("\u{feff}x,y\r\n1,0\r\n?,1\r\n", 3),
        ("\u{feff}x,y\n1,0\n?,1\n", 3),
        ("x,y\r\n\r\n1,0\r\n\r\n?,1\r\n", 5),
        ("x,y\r1,0\r?,1\r", 3),
        ("x,y\n1,\"a\nb\"\n?,1\n", 4),
        ("x,y,z\n1,\"a\nb\",0\n1,\"a\n\nb\",?\n", 6),
        ("x,y\r\n1,0\r\n1\r\n", 3),
    ] {
        let error = with_test("label = 'y'", text).unwrap_err();
        assert!(error.contains(&format!("line {line}")), "{text:?}: {error}");
    }
}

#[test]
fn values_are_standardised_before_they_are_rounded() {
    // Mean 1700000001.5 and deviation sqrt(1.25) by hand; in 32 bits all four times are one number.
    let text = "t,c,y\n1700000000,7,0\n1700000001,7,1\n1700000002,7,0\n1700000003,7,1\n";
    let config = "label = 'y'\ntest = 'test.csv'";
    let found = settled(Normalisation::Standard, config, text, text).unwrap();
    let deviation = 1.25_f64.sqrt();
    let expected: Vec<f32> = [-1.5, -0.5, 0.5, 1.5]
        .iter()
        .flat_map(|offset| [(offset / deviation) as f32, 0.0])
        .collect();
    assert_eq!(floats(&found.train), expected);
    assert_eq!(found.train, found.test);
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let raw = settled(Normalisation::Unit, config, text, text).unwrap();
    assert_eq!(raw.warnings.len(), 1);
    assert!(
        raw.warnings[0].contains("the features `t` lie closer together than numbers of 32 bits"),
        "{:?}",
        raw.warnings
    );
}

#[test]
fn what_64_bits_cannot_tell_is_warned_of_and_what_32_cannot_hold_refused() {
    let config = "label = 'y'\ntest = 'test.csv'";
    let text = "t,y\n1234567890123456781,0\n1234567890123456782,1\n";
    let found = settled(Normalisation::Standard, config, text, text).unwrap();
    assert!(
        found.warnings[0].contains("numbers of 64 bits"),
        "{:?}",
        found.warnings
    );
    let text = "t,y\n1e39,0\n2e39,1\n";
    let error = settled(Normalisation::None, config, text, text).unwrap_err();
    assert!(
        error.contains("line 2, column `t`: 1e39 is too large"),
        "{error}"
    );
    let found = settled(Normalisation::Standard, config, text, text).unwrap();
    assert_eq!(floats(&found.train), [-1.0, 1.0]);
}

#[test]
fn what_a_table_taught_reads_it_again_to_the_same_bits() {
    let train = "who,a,kind,b\nzoe,0.1,dog,2\nann,0.3,cat,4\nzoe,0.5,cat,6.7\n";
    let test = "kind,a,b\ncat,1,2\n";
    let config = "test = 'test.csv'\nlabel = 'kind'\nclient = 'who'";
    let first = settled(Normalisation::Standard, config, train, test).unwrap();
    let config = format!("{config}\n{}", first.names.keys());
    let again = settled(Normalisation::Standard, &config, train, test).unwrap();
    assert_eq!((&first.train, &first.test), (&again.train, &again.test));
    assert_eq!(first.names, again.names);
    assert_eq!(first.names.classes, ["cat", "dog"]);
    assert_eq!(first.names.owners, ["zoe", "ann"]);
    let error = settled(
        Normalisation::Standard,
        &config,
        train,
        "kind,a,b\nemu,1,2\n",
    );
    let error = error.err().unwrap();
    assert!(
        error.contains("`emu` is no class: expected one of `cat`, `dog`"),
        "{error}"
    );
}

#[test]
fn labels_that_training_does_not_know_are_named() {
    let config = "test = 'test.csv'\nlabel = 0";
    let train = "cat,1\ndog,2\n";
    let found = settled(Normalisation::None, config, train, "cat,1\nemu,2\nemu,3\n").unwrap();
    assert_eq!(
        found.warnings,
        ["2 of 3 test samples have a label that no training sample has, and cannot be told: `emu`"]
    );
    let error = load(config, train, "Cat,1\nDog,2\n").unwrap_err();
    assert!(
        error.contains("test.csv: its test samples have the labels `Cat`, `Dog`, the training samples `cat`, `dog`"),
        "{error}"
    );
    // Numbers are the same however they are written.
    assert_eq!(
        load(config, "1,5\n2,6\n", "1.0,5\n2.0,6\n")
            .unwrap()
            .1
            .labels,
        [0, 1]
    );
}
