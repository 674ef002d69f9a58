//! A real client's own samples: a file that never leaves its machine.

use super::normalise::Normalisation;
use super::scale::far_off;
use super::table::{Column, Csv, Header};
use super::table_layout::Wanted;
use super::table_load::read_other;
use super::table_values::samples;
use super::text::own_texts;
use super::{DataError, DataSet};
use lyceum_core::{Samples, units::Fraction};
use std::path::PathBuf;

/// Where a real client's samples are.
#[derive(Clone, Debug)]
pub struct OwnFile {
    /// A CSV file; where the scenario's samples are of texts, a file of texts.
    pub path: PathBuf,
    /// The column of the classes, where it is not the scenario's own.
    pub label: Option<String>,
}

/// Reads a client's training samples for a scenario with this data set.
///
/// Where the scenario's samples are of texts, the client's are read by the same keys, tokens and classes.
/// Where the scenario's samples come from a table, the client's file is read as those were: labels and features by their
/// names, normalised by what normalised the others. Elsewhere classes are numbers below `classes`, and the other columns
/// are the values of a sample of `shape`, in its order, as they reach the model.
pub fn own_samples(
    own: &OwnFile,
    set: &dyn DataSet,
    normalise: Normalisation,
    shape: &[usize],
    classes: usize,
) -> Result<Samples, DataError> {
    if let Some(text) = set.text() {
        return own_texts(&text, &own.path, own.label.as_deref());
    }
    let width = shape.iter().product::<usize>();
    let table = match set.table() {
        Some(table) => of_table(table, own.label.as_deref()),
        None => numbered(own.label.as_deref().unwrap_or("label"), classes),
    };
    let wanted = Wanted {
        names: table.features.as_deref(),
        width,
        by: "the scenario's samples have",
    };
    let rows = read_other(&table, &own.path, wanted)?;
    let statistics = match normalise {
        Normalisation::Standard => table.statistics()?,
        Normalisation::None | Normalisation::Unit => None,
    };
    let of: Vec<u32> = (0..classes as u32).collect();
    let samples = samples(&rows, &of, classes, statistics.as_ref())?;
    Ok(Samples {
        shape: shape.to_vec(),
        ..samples
    })
}

/// What of a client's samples is hardly meant beside those of the scenario, in a sentence.
///
/// Where the others are bytes as they come, or standardised, nothing is said: how large theirs are is not known here.
pub fn unlike_others(
    samples: &Samples,
    own: &OwnFile,
    set: &dyn DataSet,
    normalise: Normalisation,
) -> Option<String> {
    if set.text().is_some() {
        return None;
    }
    let advice = match (set.table(), normalise) {
        (_, Normalisation::Standard) | (None, Normalisation::None) => return None,
        (Some(_), _) => {
            "`normalise = \"standard\"` in the scenario's [data] brings each to mean 0 and deviation 1"
        }
        (None, Normalisation::Unit) => {
            "they have to be as they reach the model, as the other clients' are; bytes of pictures divided by 255"
        }
    };
    let names = set.table().and_then(|table| table.features.as_ref());
    let name = |column: usize| {
        let name = names.and_then(|names| names.get(column));
        name.map_or_else(|| format!("feature {column}"), |name| format!("`{name}`"))
    };
    let what = far_off(samples, name)?;
    Some(format!(
        "{}: the features are not scaled: {what}; {advice}",
        own.path.display()
    ))
}

/// The scenario's table, with the client's own name for the column of the labels.
fn of_table(table: &Csv, label: Option<&str>) -> Csv {
    let mut table = table.clone();
    match (label, &table.label) {
        (None, _) => {}
        (Some(label), Column::Number(_)) if label.parse::<u32>().is_ok() => {
            table.label = Column::Number(label.parse().unwrap_or_default());
        }
        (Some(label), _) => {
            table.label = Column::Name(label.to_owned());
            table.header = Header::Yes;
        }
    }
    table
}

/// A table with a header whose labels are the numbers of the classes.
fn numbered(label: &str, classes: usize) -> Csv {
    Csv {
        train: PathBuf::new(),
        test: None,
        test_fraction: Fraction::new(0.0).expect("0 is a fraction"),
        label: Column::Name(label.to_owned()),
        client: None,
        header: Header::Yes,
        separator: ',',
        classes: Some((0..classes).map(|class| class.to_string()).collect()),
        features: None,
        mean: None,
        deviation: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::Features;

    fn read_with(
        set: &dyn DataSet,
        label: Option<&str>,
        how: Normalisation,
        text: &str,
    ) -> Result<Samples, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.csv");
        std::fs::write(&path, text).unwrap();
        let own = OwnFile {
            path,
            label: label.map(String::from),
        };
        own_samples(&own, set, how, &[2], 3).map_err(|e| e.to_string())
    }

    fn read(text: &str) -> Result<Samples, String> {
        read_with(
            &super::super::Digits::default(),
            None,
            Normalisation::Unit,
            text,
        )
    }

    fn table() -> Csv {
        let text = "train = 't'\nlabel = 'y'\nclient = 'who'\nclasses = ['cat', 'dog', 'eel']\n\
            features = ['a', 'b']\nmean = [1, 10]\ndeviation = [2, 0.5]";
        toml::from_str(text).unwrap()
    }

    #[test]
    fn samples_and_classes_are_read_whichever_column_is_which() {
        let samples = read("a,label,b\n0.5,2,1\n0,0,-1\n").unwrap();
        assert_eq!(samples.labels, [2, 0]);
        assert_eq!(samples.features, Features::F32(vec![0.5, 1.0, 0.0, -1.0]));
    }

    #[test]
    fn a_file_for_a_table_is_read_by_names_and_normalised_as_the_others() {
        let text = "b,y,a,rest\n10,dog,3,x\n11,cat,1,x\n";
        let samples = read_with(&table(), None, Normalisation::None, text).unwrap();
        assert_eq!(samples.labels, [1, 0]);
        assert_eq!(samples.features, Features::F32(vec![3.0, 10.0, 1.0, 11.0]));
        let samples = read_with(&table(), None, Normalisation::Standard, text).unwrap();
        assert_eq!(samples.features, Features::F32(vec![1.0, 0.0, 0.0, 2.0]));
        let renamed = text.replace('y', "kind");
        let samples = read_with(&table(), Some("kind"), Normalisation::None, &renamed).unwrap();
        assert_eq!(samples.labels, [1, 0]);
    }

    #[test]
    fn samples_on_another_scale_than_the_others_are_told_of() {
        let told = |set: &dyn DataSet, how, text: &str| {
            let samples = read_with(set, None, how, text).unwrap();
            let own = OwnFile {
                path: "own.csv".into(),
                label: None,
            };
            unlike_others(&samples, &own, set, how).unwrap_or_default()
        };
        let digits = super::super::Digits::default();
        let bytes = "a,label,b\n255,2,1\n0,0,3\n";
        let said = told(&digits, Normalisation::Unit, bytes);
        assert!(
            said.contains("own.csv: ")
                && said.contains("0 to 255")
                && said.contains("divided by 255"),
            "{said}"
        );
        assert_eq!(told(&digits, Normalisation::None, bytes), "");
        assert_eq!(
            told(&digits, Normalisation::Unit, "a,label,b\n1,2,0.5\n0,0,0\n"),
            ""
        );
        let table_text = "a,y,b\n900,cat,1\n100,dog,1\n";
        let said = told(&table(), Normalisation::Unit, table_text);
        assert!(
            said.contains("`a` goes from 100 to 900") && said.contains("standard"),
            "{said}"
        );
        assert_eq!(told(&table(), Normalisation::Standard, table_text), "");
    }

    #[test]
    fn what_the_scenario_does_not_know_is_refused() {
        for (text, wanted) in [
            (
                "a,b,y\n1,2,emu\n",
                "line 2, column `y`: `emu` is no class: expected one of `cat`, `dog`, `eel`",
            ),
            (
                "a,c,y\n1,2,cat\n",
                "there is no column `b`, which the scenario's samples have: the features here are a, c",
            ),
            (
                "a,b,label\n1,2,cat\n",
                "there is no column `y`: the names are a, b, label",
            ),
            ("a,b,y\n", "has a header and no sample"),
        ] {
            let fault = read_with(&table(), None, Normalisation::None, text).unwrap_err();
            assert!(
                fault.contains(wanted) && fault.contains("own.csv"),
                "{fault}"
            );
        }
    }

    #[test]
    fn each_fault_names_its_line() {
        let faults = [
            ("a,b\n1,2\n", "line 1: there is no column `label`"),
            (
                "a,label\n1,2\n",
                "has 1 column of features: expected 2, which the scenario's samples have",
            ),
            ("a,b,label\n1,2,3\n", "`3` is no class: expected 0 to 2"),
            (
                "a,b,label\r\n1,2,0\r\n1,nan,0\r\n",
                "line 3, column `b`: `nan` is not a finite number",
            ),
            ("a,b,label\n", "at least one row"),
        ];
        for (text, wanted) in faults {
            let fault = read(text).unwrap_err();
            assert!(
                fault.contains(wanted) && fault.contains("own.csv"),
                "{fault}"
            );
        }
    }
}
