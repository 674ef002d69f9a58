//! What a store holds, as tables for people and JSON for programs.

use super::{opened, options::Unknown, print_json};
use crate::{
    failure::Failure,
    grid::Grid,
    output::{counted, line},
};
use lyceum_task_store::{self as task_store, Difficulty, Gone, Split, Store, StoreOptions, Task};
use serde_json::{Value, json};
use std::path::Path;

/// All tasks in a table.
pub(super) fn list(store: &Store, unknown: Unknown, json: bool) -> Result<(), Failure> {
    let unknown = match unknown {
        Unknown::Spread => task_store::Unknown::Spread,
        Unknown::LeftOut => task_store::Unknown::LeftOut,
    };
    let bins = store.bins()?;
    let head = "order,task,version,samples,train,validation,test,easy,medium,hard,unsolved,pieces";
    let mut lines = vec![head.split(',').map(String::from).collect::<Vec<_>>()];
    let mut listed = Vec::new();
    for task in store.tasks()? {
        let task = task?;
        let counts = store.counts_by_bin(&bins, &task, unknown)?;
        let row = &task.row;
        if json {
            let mut value = of_task(&task);
            value["easy"] = counts.easy.into();
            value["medium"] = counts.medium.into();
            value["hard"] = counts.hard.into();
            listed.push(value);
            continue;
        }
        let numbers = [row.version, row.samples()];
        let bins = [counts.easy, counts.medium, counts.hard];
        let rest = [row.unsolved, row.pieces];
        let numbers = numbers.iter().chain(&row.splits).chain(&bins).chain(&rest);
        let mut cells = vec![task.order.to_string(), row.name.clone()];
        cells.extend(numbers.map(u64::to_string));
        lines.push(cells);
    }
    let (samples, pieces) = store.totals()?;
    if json {
        return print_json(&json!({
            "tasks": listed, "samples": samples, "pieces": pieces, "settings": store.settings(),
            "bins": { "version": bins.version, "easy": shown(bins.easy), "medium": shown(bins.medium),
                "known": bins.known, "unknown": bins.unknown, "infinite": bins.infinite },
        }));
    }
    let tasks = lines.len() as u64 - 1;
    line(format_args!(
        "{}, {}, each counted once, {}",
        counted(tasks, "task"),
        counted(samples, "sample"),
        counted(pieces, "shared piece")
    ));
    if tasks > 0 {
        line(format_args!("\n{}\n", Grid { lines, words: &[1] }.text()));
        line(format_args!(
            "easy: difficulty up to {}, medium: up to {}, over all tasks (version {}); {} are unknown",
            bins.easy, bins.medium, bins.version, bins.unknown
        ));
    }
    Ok(())
}

/// A difficulty in JSON, which has no infinity.
pub(super) fn shown(difficulty: Difficulty) -> Value {
    match difficulty {
        Difficulty::Known(value) => value.into(),
        Difficulty::Infinite => "inf".into(),
        Difficulty::Unknown => Value::Null,
    }
}

fn of_task(task: &Task) -> Value {
    let row = &task.row;
    let mut value = json!({
        "order": task.order, "task": row.name, "version": row.version, "samples": row.samples(),
        "unsolved": row.unsolved, "unknown": row.unknown, "pieces": row.pieces,
        "definition": row.definition, "provenance": row.provenance,
    });
    for split in Split::ALL {
        value[split.name()] = row.splits[split as usize].into();
    }
    if let Some((of, rule)) = &row.merged {
        value["merged"] = json!({ "of": of, "rule": rule });
    }
    value
}

/// A task, and some of its samples.
pub(super) fn show(store: &Store, name: &str, samples: usize, json: bool) -> Result<(), Failure> {
    let task = store.task(name)?;
    let mut some = Vec::new();
    for sample in store.samples(&task)?.take(samples) {
        let sample = sample?;
        some.push((store.text(&sample.row)?, sample));
    }
    if json {
        let mut value = of_task(&task);
        let some = some.iter().map(|(text, sample)| {
            json!({
                "sample": sample.identity, "split": sample.row.split.name(),
                "difficulty": shown(sample.row.difficulty), "unsolved": sample.row.unsolved,
                "record": serde_json::from_str::<Value>(text).unwrap_or_default(),
            })
        });
        value["some"] = some.collect();
        return print_json(&value);
    }
    let row = &task.row;
    line(format_args!(
        "{}: version {}, {}, of them {} unsolved and {} of unknown difficulty",
        row.name,
        row.version,
        counted(row.samples(), "sample"),
        row.unsolved,
        row.unknown
    ));
    let splits = Split::ALL.map(|split| format!("{split} {}", row.splits[split as usize]));
    line(format_args!("{}", splits.join(", ")));
    if row.pieces > 0 {
        line(format_args!("uses {}", counted(row.pieces, "shared piece")));
    }
    if let Some((of, rule)) = &row.merged {
        line(format_args!(
            "merged of {} by the rule {rule}",
            of.join(", ")
        ));
    }
    for (what, text) in [("definition", &row.definition), ("from", &row.provenance)] {
        if !text.is_empty() {
            line(format_args!("{what}: {text}"));
        }
    }
    let head = ["sample", "split", "difficulty", "record"].map(String::from);
    let mut lines = vec![head.to_vec()];
    for (text, sample) in &some {
        let split = sample.row.split.to_string();
        let difficulty = sample.row.difficulty.to_string();
        let identity = sample.identity.to_string()[..12].to_string();
        lines.push(vec![identity, split, difficulty, cut(text, 80)]);
    }
    if !some.is_empty() {
        let words = &[0, 1, 3];
        line(format_args!("\n{}", Grid { lines, words }.text()));
    }
    Ok(())
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.into(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// What was solved.
pub(super) fn solved(store: &Store, json: bool) -> Result<(), Failure> {
    let head = ["fact", "sample", "by", "round", "difficulty", "tasks"].map(String::from);
    let (mut lines, mut listed) = (vec![head.to_vec()], Vec::new());
    for sample in store.solved_samples()? {
        let sample = sample?;
        let mut names = Vec::new();
        for order in &sample.row.tasks {
            names.extend(store.task_at(*order)?.map(|task| task.row.name));
        }
        let row = &sample.row;
        if json {
            listed.push(json!({
                "fact": sample.fact, "sample": sample.identity, "by": row.by, "round": row.round,
                "difficulty": shown(row.difficulty), "tasks": names,
            }));
            continue;
        }
        lines.push(vec![
            sample.fact.to_string(),
            sample.identity.to_string()[..12].to_string(),
            row.by.clone(),
            row.round.map_or("-".into(), |round| round.to_string()),
            row.difficulty.to_string(),
            names.join(", "),
        ]);
    }
    if json {
        return print_json(&listed);
    }
    match lines.len() {
        1 => line(format_args!("nothing was solved yet")),
        _ => {
            let words = &[1, 2, 5];
            line(format_args!("{}", Grid { lines, words }.text()));
        }
    }
    Ok(())
}

/// What a check found, in lines.
fn tell(report: &task_store::Report, gone: &[String], repair: bool) {
    line(format_args!(
        "read {}, {}, {} in them",
        counted(report.facts, "fact"),
        counted(report.tasks, "task"),
        counted(report.members, "sample")
    ));
    let damaged = report.faults.iter();
    damaged.for_each(|fault| line(format_args!("damaged: {fault}")));
    gone.iter()
        .for_each(|gone| line(format_args!("gone: {gone}")));
    let done = match repair {
        true => "removed",
        false => "belongs to nothing",
    };
    let unused = report.unused.iter();
    unused.for_each(|unused| line(format_args!("{done}: {unused}")));
}

/// What is damaged, and what is gone; that is a failure.
pub(super) fn check(
    folder: &Path,
    options: StoreOptions,
    repair: bool,
    json: bool,
) -> Result<(), Failure> {
    let store = match repair {
        true => Store::repair(folder, options)?,
        false => Store::open(folder, options)?,
    };
    let store = opened(store);
    let report = store.check()?;
    if repair {
        store.remove_unused(&report)?;
    }
    let whose = |gone: &Gone| {
        format!(
            "{} of {}: {}",
            counted(gone.records, "record"),
            gone.whose,
            gone.how
        )
    };
    let gone: Vec<_> = report.gone.iter().map(whose).collect();
    if json {
        print_json(&json!({
            "facts": report.facts, "tasks": report.tasks, "samples": report.members,
            "faults": report.faults, "gone": gone, "unused": report.unused, "notes": store.notes(),
        }))?;
    } else {
        tell(&report, &gone, repair);
    }
    let shown = folder.display();
    match (report.faults.is_empty(), gone.is_empty()) {
        (true, true) if json => Ok(()),
        (true, true) => {
            line(format_args!("all is as it was told"));
            Ok(())
        }
        (false, _) => Err(Failure::other(format!(
            "{shown}: the store is damaged; `lyceum tasks {shown} check --repair` makes the tables again"
        ))),
        (true, false) => Err(Failure::other(format!(
            "{shown}: some records are gone; adding the same files again brings them back"
        ))),
    }
}
