//! Accuracy matrices from a file, and what goes with their tasks.

use crate::continual::{AccuracyMatrix, TaskValues};
use crate::text_table::{InputError, Row, TextTable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The matrix of one setup.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Its name; `None` where the file has no column `setup`.
    pub name: Option<String>,
    /// Names of the tasks in the order of learning.
    pub tasks: Vec<String>,
    /// The matrix, in the same order.
    pub matrix: AccuracyMatrix,
}

/// An entry of a matrix as it stands in a file.
struct Entry {
    /// `None` before any training.
    after: Option<String>,
    task: String,
    value: f64,
}

/// Reads matrices from a CSV file with the columns `after_task`, `task`, `value`, and perhaps `setup`.
///
/// A row is the value on `task` after `after_task` was learned; `after_task` 0 is before any training, and
/// an empty value was not measured. If the tasks of a setup are the numbers 1, 2, ..., n, each of them, they were learned
/// in ascending order. Otherwise they are names, numbers or not, learned in the order in which they first appear in the
/// column `after_task`; those that appear in `task` only come last. Setups come in order of appearance, and each
/// has an order of its own. Errors name the file, the line and the column.
pub fn read_matrices(path: &Path) -> Result<Vec<Setup>, InputError> {
    let table = TextTable::open(path, b',')?;
    table.only(&["after_task", "task", "value", "setup"])?;
    let columns = ["after_task", "task", "value"].map(|column| table.required(column));
    let [after, task, value] = columns;
    let (after, task, value, setup) = (after?, task?, value?, table.optional("setup"));
    let mut setups: Vec<(Option<String>, Entries)> = Vec::new();
    table.each(|row| {
        let name = setup.map(|setup| row.text(setup).to_owned());
        let at = setups.iter().position(|(known, _)| *known == name);
        let at = at.unwrap_or_else(|| {
            setups.push((name, Entries::default()));
            setups.len() - 1
        });
        match entry(&row, after, task, value)? {
            Some(entry) => setups[at].1.add(entry, &row, value),
            None => Ok(()),
        }
    })?;
    if setups.iter().all(|(_, entries)| entries.list.is_empty()) {
        let expected = "a row such as 1,1,0.93 is right";
        return Err(InputError::content(path, "there is no value", expected));
    }
    Ok(setups
        .into_iter()
        .map(|(name, entries)| setup_of(name, &entries.list))
        .collect())
}

fn entry(
    row: &Row<'_>,
    after: usize,
    task: usize,
    value: usize,
) -> Result<Option<Entry>, InputError> {
    let expected = "a number from 1 or a name is right";
    if ["", "0"].contains(&row.text(task)) {
        return Err(row.fault(task, "is not a task", expected));
    }
    if row.text(after).is_empty() {
        let expected = "a task, or 0 for before any training, is right";
        return Err(row.fault(after, "is not a task", expected));
    }
    Ok(row.number(value)?.map(|value| Entry {
        after: Some(row.text(after).to_owned()).filter(|after| after != "0"),
        task: row.text(task).to_owned(),
        value,
    }))
}

/// The entries of a setup, and the lines they stand on.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    lines: BTreeMap<(Option<String>, String), u64>,
}

impl Entries {
    /// Adds an entry, unless an earlier line has it too.
    fn add(&mut self, entry: Entry, row: &Row<'_>, value: usize) -> Result<(), InputError> {
        let key = (entry.after.clone(), entry.task.clone());
        if let Some(earlier) = self.lines.insert(key, row.line) {
            let fault = format!("is a second value of the same entry, after line {earlier}");
            return Err(row.fault(value, &fault, "one row for each pair of tasks is right"));
        }
        self.list.push(entry);
        Ok(())
    }
}

fn setup_of(name: Option<String>, entries: &[Entry]) -> Setup {
    let tasks = order(entries);
    let places: BTreeMap<&str, usize> = tasks.iter().map(String::as_str).zip(0..).collect();
    let mut matrix = AccuracyMatrix::new(tasks.len());
    for entry in entries {
        let task = places[entry.task.as_str()];
        match &entry.after {
            Some(after) => matrix.set(places[after.as_str()], task, entry.value),
            None => matrix.set_before(task, entry.value),
        }
    }
    drop(places);
    Setup {
        name,
        tasks,
        matrix,
    }
}

/// Tasks in the order of learning.
fn order(entries: &[Entry]) -> Vec<String> {
    let learned = entries.iter().filter_map(|entry| entry.after.as_ref());
    let named = learned.chain(entries.iter().map(|entry| &entry.task));
    let mut seen = BTreeSet::new();
    let mut tasks: Vec<String> = named.filter(|task| seen.insert(*task)).cloned().collect();
    let numbers: BTreeSet<String> = (1..=tasks.len()).map(|n| n.to_string()).collect();
    if tasks.iter().all(|task| numbers.contains(task)) {
        tasks.sort_by_key(|task| task.parse::<u64>().ok());
    }
    tasks
}

/// Reads values of tasks from a CSV file with the column `task` and any of `validation`, `expert`, `joint`
/// and `setup`; returns those of each setup, in the order of its tasks.
///
/// Without a column `setup` the values are the same for all setups. A task that is not in the file has no
/// values. Errors: also a task or a setup that no matrix has.
pub fn read_task_values(path: &Path, setups: &[Setup]) -> Result<Vec<TaskValues>, InputError> {
    const KINDS: [&str; 3] = ["validation", "expert", "joint"];
    let table = TextTable::open(path, b',')?;
    table.only(&["task", "validation", "expert", "joint", "setup"])?;
    let task = table.required("task")?;
    let setup = table.optional("setup");
    let kinds = KINDS.map(|kind| table.optional(kind));
    if kinds.iter().all(Option::is_none) {
        table.required(KINDS[0])?;
    }
    let mut values: Vec<TaskValues> = setups.iter().map(nothing_known).collect();
    table.each(|row| {
        let mut found = false;
        for (known, values) in setups.iter().zip(&mut values) {
            let name = setup.map(|setup| row.text(setup));
            let at = known.tasks.iter().position(|name| name == row.text(task));
            let meant = name.is_none() || name == known.name.as_deref();
            if let (Some(at), true) = (at, meant) {
                found = true;
                add(&row, at, kinds, values)?;
            }
        }
        let expected = "a task of the matrix, in its setup, is right";
        let unknown = || row.fault(task, "is not a task of any matrix", expected);
        found.then_some(()).ok_or_else(unknown)
    })?;
    Ok(values)
}

fn nothing_known(setup: &Setup) -> TaskValues {
    let none = vec![None; setup.tasks.len()];
    TaskValues {
        validation: none.clone(),
        expert: none.clone(),
        joint: none,
    }
}

fn add(
    row: &Row<'_>,
    at: usize,
    kinds: [Option<usize>; 3],
    values: &mut TaskValues,
) -> Result<(), InputError> {
    let lists = [
        &mut values.validation,
        &mut values.expert,
        &mut values.joint,
    ];
    for (column, list) in kinds.into_iter().zip(lists) {
        let Some(column) = column else {
            continue;
        };
        let value = row.number(column)?;
        if value.is_some() && list[at].is_some() {
            let expected = "one row for each task is right";
            return Err(row.fault(column, "is a second value of the same task", expected));
        }
        list[at] = value.or(list[at]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accuracies.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn complaint(text: &str) -> String {
        let (folder, path) = file(text);
        let text = read_matrices(&path).unwrap_err().to_string();
        text.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn the_numbers_from_one_to_n_are_learned_in_ascending_order() {
        let rows = "after_task,task,value\n3,3,0.1\n2,2,0.2\n2,3,\n3, 2 ,0.3\n0,2,0.4\n1,1,0.9\n";
        let (_folder, path) = file(rows);
        let setups = read_matrices(&path).unwrap();
        assert_eq!((setups.len(), &setups[0].name), (1, &None));
        assert_eq!(setups[0].tasks, ["1", "2", "3"]);
        let matrix = &setups[0].matrix;
        assert_eq!(matrix.just_learned(1), Some(0.2));
        assert_eq!(matrix.after(2, 1), Some(0.3));
        assert_eq!(matrix.after(1, 2), None);
        assert_eq!(matrix.before(1), Some(0.4));
    }

    /// Class labels, tasks from 0 or with a gap, and numbers that are not written as such.
    #[test]
    fn other_numbers_are_names() {
        let tasks = |learned: &[&str]| {
            let row = |task: &&str| format!("{task},{task},0.5\n");
            let rows: String = learned.iter().map(row).collect();
            let (_folder, path) = file(&format!("after_task,task,value\n{rows}"));
            read_matrices(&path).unwrap().remove(0).tasks
        };
        for names in [&["10", "2"][..], &["2", "1", "4"], &["2", "01"]] {
            assert_eq!(tasks(names), names);
        }
        let ten = ["10", "9", "8", "7", "6", "5", "4", "3", "2", "1"];
        let sorted = tasks(&ten);
        assert_eq!((&*sorted[0], &*sorted[1], &*sorted[9]), ("1", "2", "10"));
    }

    #[test]
    fn names_are_learned_in_order_of_appearance_in_each_setup() {
        let rows =
            "setup,after_task,task,value\nx,0,b,0.0\nx,a,b,0.1\nx,b,c,0.2\ny,b,b,0.3\ny,a,a,0.4\n";
        let (_folder, path) = file(rows);
        let setups = read_matrices(&path).unwrap();
        assert_eq!(setups[0].name.as_deref(), Some("x"));
        assert_eq!(setups[0].tasks, ["a", "b", "c"]);
        assert_eq!(setups[1].tasks, ["b", "a"]);
        assert_eq!(setups[0].matrix.before(1), Some(0.0));
    }

    #[test]
    fn complaints_name_line_column_and_value() {
        let head = "after_task,task,value\n1,1,0.5\n";
        assert_eq!(
            complaint(&format!("{head}2,1,high\n")),
            "accuracies.csv:3: column `value`: `high` is not a number; a finite number such as 0.93 \
             is right, or an empty cell if it was not measured"
        );
        assert_eq!(
            complaint(&format!("{head}2,0,0.5\n")),
            "accuracies.csv:3: column `task`: `0` is not a task; a number from 1 or a name is right"
        );
        assert_eq!(
            complaint(&format!("{head}2,2,0.5\n1,1,0.6\n")),
            "accuracies.csv:4: column `value`: `0.6` is a second value of the same entry, after line \
             2; one row for each pair of tasks is right"
        );
        assert_eq!(
            complaint(&format!("{head}2,2\n")),
            "accuracies.csv:3: the row has 2 cells; the line of names has 3"
        );
        assert_eq!(
            complaint("after,task,value\n"),
            "accuracies.csv:1: column `after` means nothing; known columns are after_task, task, \
             value, setup"
        );
        assert_eq!(
            complaint("after_task,value\n"),
            "accuracies.csv:1: there is no column `task`; the columns are after_task, value"
        );
        assert_eq!(
            complaint("after_task,task,value\n"),
            "accuracies.csv: there is no value; a row such as 1,1,0.93 is right"
        );
        assert!(complaint(&format!("{head}2,1,inf\n")).contains("`inf` is not finite"));
        assert!(complaint(&format!("{head},1,0.1\n")).contains("column `after_task`: ``"));
    }

    #[test]
    fn values_of_tasks_go_to_the_setups_that_have_them() {
        let (_folder, path) =
            file("after_task,task,value,setup\n1,1,0.5,x\n2,2,0.5,x\n2,2,0.5,y\n");
        let setups = read_matrices(&path).unwrap();
        let (_other, values) = file("task,validation,joint\n2,0.7,\n1,0.6,0.9\n");
        let found = read_task_values(&values, &setups).unwrap();
        assert_eq!(found[0].validation, [Some(0.6), Some(0.7)]);
        assert_eq!(found[0].joint, [Some(0.9), None]);
        assert_eq!(found[1].validation, [Some(0.7)]);
        let (_other, values) = file("task,validation,setup\n2,0.7,x\n2,0.8,y\n");
        let found = read_task_values(&values, &setups).unwrap();
        assert_eq!(found[0].validation, [None, Some(0.7)]);
        assert_eq!(found[1].validation, [Some(0.8)]);
    }

    #[test]
    fn a_task_that_no_matrix_has_is_refused() {
        let (_folder, path) = file("after_task,task,value\n1,1,0.5\n");
        let setups = read_matrices(&path).unwrap();
        for (text, part) in [
            (
                "task,validation\n3,0.5\n",
                "`3` is not a task of any matrix",
            ),
            (
                "task,validation\n1,0.5\n1,0.6\n",
                "second value of the same task",
            ),
            ("task\n1\n", "no column `validation`"),
        ] {
            let (_folder, path) = file(text);
            let found = read_task_values(&path, &setups).unwrap_err().to_string();
            assert!(found.contains(part), "{found}");
        }
    }
}
