//! A real client's own samples: a CSV file that never leaves its machine.

use super::{DataError, Place};
use lyceum_core::{Affine, Features, Samples};
use std::path::Path;

/// Reads a client's training samples: a header line, one column with the class as a number below `classes`, and as many
/// other columns as a sample of `shape` has values, in the order of the sample. Values reach the model as they are.
pub fn own_samples(
    path: &Path,
    label: &str,
    shape: &[usize],
    classes: usize,
) -> Result<Samples, DataError> {
    let fault = |line: u64, problem: String| DataError::Cell {
        path: path.to_path_buf(),
        place: Place { line, column: None },
        problem,
    };
    let mut reader = csv::Reader::from_path(path).map_err(|e| fault(1, e.to_string()))?;
    let header = reader.headers().map_err(|e| fault(1, e.to_string()))?;
    let column = header.iter().position(|name| name.trim() == label);
    let column =
        column.ok_or_else(|| fault(1, format!("there is no column `{label}` with the classes")))?;
    let (width, found) = (shape.iter().product::<usize>(), header.len() - 1);
    if found != width {
        let problem = format!(
            "there are {found} columns beside `{label}`, the scenario's samples have {width} values"
        );
        return Err(fault(1, problem));
    }
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for (index, record) in reader.records().enumerate() {
        let line = index as u64 + 2;
        let record = record.map_err(|e| fault(line, e.to_string()))?;
        for (place, text) in record.iter().map(str::trim).enumerate() {
            if place == column {
                let class = text.parse::<u32>().ok().filter(|&c| (c as usize) < classes);
                labels.push(class.ok_or_else(|| {
                    fault(
                        line,
                        format!("`{text}` is no class: expected 0 to {}", classes - 1),
                    )
                })?);
            } else {
                let value = text.parse::<f32>().ok().filter(|v| v.is_finite());
                values.push(
                    value.ok_or_else(|| fault(line, format!("`{text}` is no finite number")))?,
                );
            }
        }
    }
    if labels.is_empty() {
        return Err(fault(
            2,
            "there is no sample: at least one is needed".into(),
        ));
    }
    Ok(Samples {
        shape: shape.to_vec(),
        classes,
        features: Features::F32(values),
        labels,
        affine: Affine::identity(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Samples, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.csv");
        std::fs::write(&path, text).unwrap();
        own_samples(&path, "label", &[2], 3).map_err(|e| e.to_string())
    }

    #[test]
    fn samples_and_classes_are_read_whichever_column_is_which() {
        let samples = read("a,label,b\n0.5,2,1\n0,0,-1\n").unwrap();
        assert_eq!(samples.labels, [2, 0]);
        assert_eq!(samples.features, Features::F32(vec![0.5, 1.0, 0.0, -1.0]));
    }

    #[test]
    fn each_fault_names_its_line() {
        let faults = [
            ("a,b\n1,2\n", "no column `label`"),
            ("a,label\n1,2\n", "the scenario's samples have 2 values"),
            ("a,b,label\n1,2,3\n", "`3` is no class: expected 0 to 2"),
            ("a,b,label\n1,nan,0\n", "`nan` is no finite number"),
            ("a,b,label\n", "at least one is needed"),
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
