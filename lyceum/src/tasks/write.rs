//! What goes into a store, and what it writes out.

use super::{
    opened,
    options::{self, Add, Columns, Export, MadeWith, Solved},
    print_json,
    show::{self, shown},
};
use crate::{
    failure::Failure,
    output::{counted, line},
};
use lyceum_task_store::{
    self as task_store, Delivery, Kind, Settings, Solvers, Split, Store, StoreError, StoreOptions,
    Taken, Task,
};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

fn columns(of: &Columns) -> task_store::Columns {
    task_store::Columns {
        difficulty: of.difficulty.clone(),
        unsolved: of.unsolved.clone(),
    }
}

/// What a new store is made with; of one that is there, what it was made with, which must be what is asked for.
fn settings(asked: &MadeWith, there: Option<&Settings>) -> Result<Settings, Failure> {
    let base = there.cloned().unwrap_or_default();
    let settings = Settings {
        seed: asked.seed.unwrap_or(base.seed),
        validation: asked.validation.unwrap_or(base.validation),
        test: asked.test.unwrap_or(base.test),
        identity: asked.identity.clone().unwrap_or(base.identity),
        piece_identity: asked.piece_identity.clone().unwrap_or(base.piece_identity),
    };
    match there {
        Some(there) if *there != settings => Err(Failure::input(format!(
            "the store was made with --seed {} --validation {} --test {} --identity {:?} --piece-identity {:?}, which cannot change, since \
             samples would move between splits; leave these options out, or make another store",
            there.seed,
            there.validation,
            there.test,
            there.identity.join(","),
            there.piece_identity.join(",")
        ))),
        _ => Ok(settings),
    }
}

/// Adds files.
pub(super) fn add(folder: &Path, options: StoreOptions, add: &Add) -> Result<(), Failure> {
    options.rules.find(&add.rule)?;
    // Before a store is made: a file that is not there makes none.
    for file in &add.files {
        drop(task_store::import::open(file)?);
    }
    let is_there = folder.join(super::LOG).is_file();
    let mut store = match is_there {
        true => opened(Store::open(folder, options)?),
        false => Store::create(folder, &settings(&add.made_with, None)?, options)?,
    };
    settings(&add.made_with, Some(store.settings()))?;
    let mut all = Vec::new();
    for file in &add.files {
        let stem = file.file_stem().map(|stem| stem.to_string_lossy());
        let stem = add.task.clone().or(stem.map(|stem| stem.into_owned()));
        let stem = stem.unwrap_or_default();
        let task = match &add.by {
            Some(column) => Err(column.as_str()),
            None => Ok(stem.as_str()),
        };
        let name = file.file_name().map(|name| name.to_string_lossy());
        let how = Delivery {
            kind: if add.pieces {
                Kind::Pieces
            } else {
                Kind::Samples
            },
            columns: columns(&add.columns),
            definition: add.definition.clone(),
            provenance: add
                .provenance
                .clone()
                .or(name.map(|n| n.into_owned()))
                .unwrap_or_default(),
            rule: add.rule.clone(),
        };
        let taken = store.add_file(file, task, &how)?;
        match add.json {
            true => all.extend(taken.iter().map(of_taken)),
            false => taken.iter().for_each(|taken| tell(taken, how.kind)),
        }
    }
    match add.json {
        true => print_json(&all),
        false => Ok(()),
    }
}

fn of_taken(taken: &Taken) -> Value {
    json!({
        "task": taken.task, "records": taken.samples, "new": taken.new, "shared": taken.shared, "already": taken.already,
    })
}

fn tell(taken: &Taken, kind: Kind) {
    let Taken {
        task, samples, new, ..
    } = taken;
    let what = match kind {
        Kind::Samples => "sample",
        Kind::Pieces => "shared piece",
    };
    match taken.already {
        true => line(format_args!(
            "{task}: the very same was added before; nothing changed"
        )),
        false => line(format_args!(
            "{task}: {}, {new} of them new to it, {} shared with other tasks",
            counted(*samples, what),
            taken.shared
        )),
    }
}

/// Makes one task of several.
pub(super) fn merge(
    store: &mut Store,
    task: &str,
    of: &[String],
    rule: &str,
) -> Result<(), Failure> {
    let taken = store.merge(task, of, rule)?;
    match taken.already {
        true => line(format_args!(
            "{task}: it was merged before; nothing changed"
        )),
        false => line(format_args!(
            "{task}: {} of {} tasks by the rule {rule}",
            counted(taken.samples, "sample"),
            of.len()
        )),
    }
    Ok(())
}

/// Tells what was solved, or lists it.
pub(super) fn solved(store: &mut Store, solvers: &Solvers, asked: &Solved) -> Result<(), Failure> {
    let columns = columns(&asked.columns);
    let count = match (&asked.file, &asked.solver) {
        (Some(file), _) => {
            let by = asked.by.as_deref().unwrap_or_default();
            store.solved_file(file, (by, asked.round), &columns)?
        }
        (None, Some(name)) => {
            let task = asked.task.as_deref().unwrap_or_default();
            let solver = solvers.find(name)?;
            store.solve_with((name, asked.round), solver, task, &columns)?
        }
        (None, None) => return show::solved(store, asked.json),
    };
    if asked.json {
        return print_json(&json!({
            "solved": count.solved, "before": count.before, "unknown": count.unknown,
        }));
    }
    line(format_args!(
        "{} went back to their tasks; {} had been solved before, {} are no samples of the store",
        counted(count.solved, "sample"),
        count.before,
        count.unknown
    ));
    if count.unknown > 0 && store.settings().identity.is_empty() {
        crate::output::warn(
            "all columns of this store say which sample it is, so a solved version is another sample; a store that is made with \
             --identity COLUMNS knows it again",
        );
    }
    Ok(())
}

/// Writes samples, or shared pieces, as JSON lines.
pub(super) fn export(store: &Store, export: &Export) -> Result<(), Failure> {
    let mut tasks = Vec::new();
    for name in &export.tasks {
        tasks.push(store.task(name)?);
    }
    let Some(path) = &export.out else {
        let out = &mut BufWriter::new(io::stdout().lock());
        return match written(store, export, &tasks, out) {
            Err(Unwritten::Out(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(Unwritten::Out(e)) => Err(Failure::other(format!("standard output: {e}"))),
            Err(Unwritten::Store(error)) => Err(error.into()),
            Ok(_) => Ok(()),
        };
    };
    let shown = path.display();
    let file = File::create(path).map_err(|e| Failure::input(format!("--out {shown}: {e}")))?;
    match written(store, export, &tasks, &mut BufWriter::new(file)) {
        Ok(count) => {
            line(format_args!("{shown}: {}", counted(count, "record")));
            Ok(())
        }
        Err(Unwritten::Out(e)) => Err(Failure::other(format!("--out {shown}: {e}"))),
        Err(Unwritten::Store(error)) => Err(error.into()),
    }
}

enum Unwritten {
    Out(io::Error),
    Store(StoreError),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn written(
    store: &Store,
    export: &Export,
    tasks: &[Task],
    out: &mut impl Write,
) -> Result<u64, Unwritten> {
    let mut count = 0;
    if !tasks.is_empty() {
        for task in tasks {
            count += of_task(store, export, task, out)?;
        }
    } else {
        for task in store.tasks()? {
            count += of_task(store, export, &task?, out)?;
        }
    }
    out.flush()?;
    Ok(count)
}

fn of_task(
    store: &Store,
    export: &Export,
    task: &Task,
    out: &mut impl Write,
) -> Result<u64, Unwritten> {
    let name = Value::from(task.row.name.as_str());
    let mut count = 0;
    if export.pieces {
        for piece in store.pieces(task)? {
            let (piece, text) = piece?;
            match export.plain {
                true => writeln!(out, "{text}")?,
                false => writeln!(
                    out,
                    r#"{{"task":{name},"piece":"{piece}","record":{text}}}"#
                )?,
            }
            count += 1;
        }
        return Ok(count);
    }
    let wanted = export.split.map(|split| match split {
        options::Split::Train => Split::Train,
        options::Split::Validation => Split::Validation,
        options::Split::Test => Split::Test,
    });
    for sample in store.samples(task)? {
        let sample = sample?;
        let row = &sample.row;
        if wanted.is_some_and(|wanted| wanted != row.split) {
            continue;
        }
        let text = store.text(row)?;
        if export.plain {
            writeln!(out, "{text}")?;
        } else {
            let (split, identity) = (row.split, sample.identity);
            let (difficulty, unsolved) = (shown(row.difficulty), row.unsolved);
            writeln!(
                out,
                r#"{{"task":{name},"sample":"{identity}","split":"{split}","difficulty":{difficulty},"unsolved":{unsolved},"record":{text}}}"#
            )?;
        }
        count += 1;
    }
    Ok(count)
}
