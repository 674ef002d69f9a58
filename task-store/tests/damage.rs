//! Torn, flipped and lost files: what follows from the rest is made again, and what is gone is named.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that panics has failed, and what is measured is told"
)]

mod common;

use common::{Dice, Model, columns, create, op, options, settings, tell};
use lyceum_task_store::{Delivery, Store, StoreError};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn built(path: &Path, seed: u64) -> Model {
    let mut store = create(path);
    let mut model = Model::default();
    for n in 0..40 {
        tell(&mut store, &op(seed, n)).unwrap();
        model.tell(&op(seed, n));
        if n == 25 {
            store.compact().unwrap();
        }
    }
    model.compare(&store).unwrap();
    model
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all.sort();
    all
}

/// A copy that leaves holes what they are.
fn copied(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    let copied = copy
        .args(["-r", "--sparse=always"])
        .args([from, to])
        .status();
    assert!(copied.unwrap().success());
}

/// Flips a bit, tears the end off, or removes a file; says what was done.
fn damage(file: &Path, dice: &mut Dice) -> String {
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
    let what = match dice.next(8) {
        0 => {
            fs::remove_file(file).unwrap();
            return format!("{} removed", file.display());
        }
        1 | 2 => {
            bytes.truncate(dice.next(end) as usize);
            format!("torn to {}", bytes.len())
        }
        _ => {
            let at = dice.next(end.min(bytes.len() as u64).max(1)) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.next(8);
            }
            format!("flipped at {at}")
        }
    };
    fs::write(file, bytes).unwrap();
    format!("{} {what}", file.display())
}

/// Opens a store, reads and checks it, and repairs it where one of these shows damage. Afterwards it holds what it held.
fn read_or_repaired(path: &Path, model: &mut Model, what: &str) {
    let opened = Store::open(path, options());
    let checked = opened.and_then(|store| {
        model.compare(&store)?;
        store.check()
    });
    match checked {
        Ok(report) if report.is_good() => return,
        // What was read is right; what was not read is damaged.
        Ok(report) => assert_eq!(report.gone, [], "{what}"),
        Err(StoreError::Damaged { .. }) => {}
        Err(other) => panic!("{what}: {other}"),
    }
    let store = Store::repair(path, options());
    let store = store.unwrap_or_else(|e| panic!("{what}: {e}"));
    model.compare(&store).unwrap();
    let report = store.check().unwrap();
    assert!(report.is_good(), "{what}: {report:?}");
}

#[test]
fn a_damaged_log_and_damaged_tables_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut model = built(&whole, 3);
    let names: Vec<_> = files(&whole)
        .iter()
        .map(|path| path.strip_prefix(&whole).unwrap().to_path_buf())
        .filter(|path| !path.starts_with("sources") && path != Path::new("lock"))
        .collect();
    assert!(names.len() > 4, "{names:?}");
    let mut dice = Dice(5);
    for trial in 0..120 {
        let copy = folder.path().join(format!("copy-{trial}"));
        copied(&whole, &copy);
        // Each file, and the log more often than others.
        let name = match trial % 3 {
            0 => Path::new("tasks.jsonl"),
            _ => &names[dice.next(names.len() as u64) as usize],
        };
        let what = damage(&copy.join(name), &mut dice);
        if !copy.join("tasks.jsonl").exists() {
            // Without its log a folder is no store; the log is all that a store is.
            let refused = Store::open(&copy, options()).unwrap_err().to_string();
            assert!(refused.contains("there is no store of tasks"), "{refused}");
            continue;
        }
        read_or_repaired(&copy, &mut model, &what);
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn what_is_gone_is_named_and_adding_it_again_brings_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = create(&path);
    let record = |n: u64| format!(r#"{{"name":"n{n}","sorry":false,"steps":{n},"version":0}}"#);
    let how = Delivery {
        columns: columns(),
        ..Delivery::default()
    };
    store.add("kept", (0..50).map(record), &how).unwrap();
    store.add("hurt", (100..150).map(record), &how).unwrap();
    let task = store.task("hurt").unwrap();
    let hurt = store.samples(&task).unwrap().next().unwrap().unwrap();
    let text = store.text(&hurt.row).unwrap();
    drop(store);
    let part = files(&path.join("sources"))
        .into_iter()
        .find(|file| fs::read_to_string(file).unwrap().contains(&text))
        .unwrap();
    let whole = fs::read(&part).unwrap();
    let mut bytes = whole.clone();
    let line = bytes
        .split(|b| *b == b'\n')
        .position(|l| l.ends_with(text.as_bytes()))
        .unwrap();
    let at = String::from_utf8(whole.clone())
        .unwrap()
        .find(&text)
        .unwrap();
    bytes[at + 2] ^= 1;
    fs::write(&part, &bytes).unwrap();

    let store = Store::open(&path, options()).unwrap();
    let fault = store.text(&hurt.row).unwrap_err().to_string();
    assert!(fault.contains("does not hold what was written"), "{fault}");
    let report = store.check().unwrap();
    assert_eq!(report.gone.len(), 1, "{report:?}");
    assert_eq!(
        (report.gone[0].whose.as_str(), report.gone[0].records),
        ("task `hurt`", 1)
    );
    let expected = format!("line {} is not what was written", line + 1);
    assert!(report.gone[0].how.contains(&expected), "{report:?}");
    drop(store);
    // Made again, the store has all but that one.
    let store = Store::repair(&path, options()).unwrap();
    let count = |store: &Store, name| store.task(name).unwrap().row.samples();
    assert_eq!((count(&store, "kept"), count(&store, "hurt")), (50, 49));
    drop(store);
    // The very same file brings it back, and is no second fact.
    let mut store = Store::open(&path, options()).unwrap();
    let taken = store.add("hurt", (100..150).map(record), &how).unwrap();
    assert!(taken.already);
    assert_eq!((store.reach().facts, count(&store, "hurt")), (2, 50));
    assert_eq!(fs::read(&part).unwrap(), whole);
    assert!(store.check().unwrap().is_good());
}

#[test]
fn a_log_that_is_gone_in_part_is_cut_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let _ = built(&path, 4);
    let log = path.join("tasks.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let damaged = text.replace(lines[10], &lines[10].replace("link", "knil"));
    fs::write(&log, &damaged).unwrap();
    fs::remove_dir_all(path.join("tables")).unwrap();
    let fault = Store::open(&path, options()).unwrap_err().to_string();
    assert!(
        fault.contains("line 11 is damaged") && fault.contains("check --repair"),
        "{fault}"
    );
    let store = Store::repair(&path, options()).unwrap();
    assert_eq!(store.reach().facts, 9);
    let note = store.notes().join("\n");
    assert!(note.contains("after 9 facts is gone"), "{note}");
    assert_eq!(
        fs::read_to_string(path.join("tasks.jsonl.damaged")).unwrap(),
        damaged
    );
    drop(store);
    let mut model = Model::default();
    let mut n = 0;
    while model.facts < 9 {
        model.tell(&op(4, n));
        n += 1;
    }
    model
        .compare(&Store::open(&path, options()).unwrap())
        .unwrap();
}

#[test]
fn another_version_is_refused_with_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(create(&path));
    let log = path.join("tasks.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(
        &log,
        text.replace("\"lyceum_tasks\":1", "\"lyceum_tasks\":2")
            .replace("\"seed\":7", "\"seed\":8"),
    )
    .unwrap();
    let fault = Store::open(&path, options()).unwrap_err();
    let text = fault.to_string();
    assert!(fault.is_bad_input(), "{text}");
    assert!(
        text.contains("is of version 2, and this lyceum reads version 1"),
        "{text}"
    );
}

#[test]
fn two_processes_do_not_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = create(&path);
    let fault = Store::open(&path, options()).unwrap_err();
    assert!(
        fault
            .to_string()
            .contains("another process has this store open"),
        "{fault}"
    );
    drop(store);
    assert!(Store::open(&path, options()).is_ok());
    assert!(Store::create(&path, &settings(), options()).is_err());
}
