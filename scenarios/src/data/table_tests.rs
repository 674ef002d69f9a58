use super::*;

type Loaded = (Samples, Samples, Option<Vec<u32>>);

fn load(config: &str, train: &str, test: &str) -> Result<Loaded, String> {
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
        Source::Pool {
            train,
            test,
            natural,
        } => Ok((train, test, natural)),
        Source::OnDemand(_) => unreachable!(),
    }
}

fn with_test(config: &str, train: &str) -> Result<Loaded, String> {
    load(&format!("test = 'test.csv'\n{config}"), train, train)
}

fn floats(samples: &Samples) -> &[f32] {
    match &samples.features {
        Features::F32(values) => values,
        Features::U8(_) => unreachable!(),
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
    assert_eq!(labels("10 2 2.0", "3"), (vec![2, 0, 0], vec![1]));
    assert_eq!(labels("10 2 x", "b"), (vec![0, 1, 3], vec![2]));
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
        ("label = 1", "", ["`train.csv`", "no training sample"]),
        ("label = 1", "a,b\n", ["`train.csv`", "no training sample"]),
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
    let config = "label = 0\ntest = 'test.csv'";
    let error = load(config, "y,a,b\n1,2,3\n", "y,b,a\n1,2,3\n").unwrap_err();
    assert!(
        error.contains("has the features b, a: expected a, b"),
        "{error}"
    );
    assert_eq!(load(config, "1,2\n", "").unwrap().1.shape, [1]);
    let error = load(config, "1\n", "").unwrap_err();
    assert!(error.contains("no feature"), "{error}");
    let error = load(config, "1,2\n", "1,2,3\n").unwrap_err();
    assert!(error.contains("has 2 features: expected 1"), "{error}");
}
