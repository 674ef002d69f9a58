//! The store: what it can be told. How it is read is in `view`.

use crate::{
    Bins, PERCENTILES, Rules, Settings, Solver, StoreError,
    fold::{self, Fold},
    gather::{self, Gather, Ready},
    import,
    index::{Changes, Index, Tuning},
    log::{self, Log, Reach},
    mend::{self, Found, Tables},
    rows::{MemberRow, TaskRow, key},
    rule::PUBLISHED,
    sample::Columns,
    sources::Sources,
    told::{Added, Kind, Merged, Solved, Told},
};
use lyceum_core::Fingerprint;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

/// Samples a solver is asked about before what it solved is told.
const SOLVED_AT_A_TIME: usize = 256;

/// What a process brings to a store.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// Merge rules.
    pub rules: Rules,
    /// Memory of the tables.
    pub tuning: Tuning,
}

/// How records are delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What they are.
    pub kind: Kind,
    /// How they are read.
    pub columns: Columns,
    /// What the task is, in words of its owner.
    pub definition: String,
    /// Where they are from.
    pub provenance: String,
    /// Name of the merge rule, where the task has another version of a sample.
    pub rule: String,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            kind: Kind::Samples,
            columns: Columns::default(),
            definition: String::new(),
            provenance: String::new(),
            rule: PUBLISHED.into(),
        }
    }
}

impl Delivery {
    /// Samples of which a column says how hard they are.
    pub fn by_column(difficulty: &str) -> Self {
        let columns = Columns {
            difficulty: Some(difficulty.into()),
            unsolved: None,
        };
        Self {
            columns,
            ..Self::default()
        }
    }
}

/// What came of a delivery or a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The task.
    pub task: String,
    /// Records that came.
    pub samples: u64,
    /// Those that the task, or the store's pieces, did not have.
    pub new: u64,
    /// New ones of the task that another task has as well.
    pub shared: u64,
    /// The store was told the very same before; nothing changed.
    pub already: bool,
}

/// What came of solved samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SolvedCount {
    /// Samples that went back to their tasks.
    pub solved: u64,
    /// Samples that had been solved before.
    pub before: u64,
    /// Records that are no sample of the store.
    pub unknown: u64,
}

/// A database of tasks.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    options: StoreOptions,
    pub(crate) settings: Settings,
    log: Log,
    /// `None` after a step that could not be written.
    index: Option<Index>,
    pub(crate) sources: Sources,
    notes: Vec<String>,
    lock: File,
}

impl Store {
    /// Makes an empty store in a folder that has none, and opens it.
    pub fn create(
        folder: &Path,
        settings: &Settings,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        mend::create(folder, settings)?;
        Self::open(folder, options)
    }

    /// Opens a store. What is damaged and follows from the rest is made again; [`notes`](Self::notes) tells of it.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::opened(folder, options, (Tables::Kept, false))
    }

    /// Opens a store and makes its tables again from the log and the sources. What cannot be believed of the log is put aside.
    pub fn repair(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::opened(folder, options, (Tables::Anew, true))
    }

    fn opened(
        folder: &Path,
        options: StoreOptions,
        how: (Tables, bool),
    ) -> Result<Self, StoreError> {
        if !mend::log_path(folder).is_file() {
            return Err(StoreError::refused(format!(
                "{}: there is no store of tasks; `lyceum tasks FOLDER add FILE` makes one",
                folder.display()
            )));
        }
        let lock = mend::lock(folder)?;
        let tables = match how {
            // The log may be mended from the tables, so they are made anew only when it was.
            (Tables::Anew, cut) => {
                let found = mend::find(folder, lock, (Tables::Kept, cut), options.tuning)?;
                let Found { lock, notes, .. } = found;
                let mut found = mend::find(folder, lock, (Tables::Anew, cut), options.tuning)?;
                found.notes.splice(0..0, notes);
                found
            }
            how => mend::find(folder, lock, how, options.tuning)?,
        };
        let Found {
            settings,
            log,
            index,
            sources,
            left,
            mut notes,
            lock,
        } = tables;
        notes.dedup();
        let store = Self {
            folder: folder.into(),
            options,
            settings,
            log,
            index: Some(index),
            sources,
            notes,
            lock,
        };
        store.follow(&left)?;
        Ok(store)
    }

    /// Takes facts of the log into the tables.
    fn follow(&self, left: &[(String, Fingerprint)]) -> Result<(), StoreError> {
        let index = self.index()?;
        for (line, link) in left {
            let before = index.progress()?.reach.link;
            let (told, _) = log::fact(before, line).map_err(|fault| index.damaged(fault))?;
            self.fold(index).take(&told, line, *link)?;
        }
        Ok(())
    }

    fn fold<'a>(&'a self, index: &'a Index) -> Fold<'a> {
        Fold {
            index,
            sources: &self.sources,
            settings: &self.settings,
            rules: &self.options.rules,
        }
    }

    pub(crate) fn index(&self) -> Result<&Index, StoreError> {
        self.index.as_ref().ok_or_else(|| StoreError::Full {
            path: mend::tables_path(&self.folder),
            reason: "an earlier step could not be written".into(),
        })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was damaged and was made again when it was opened.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How far its log goes: equal for stores that were told the same in the same order.
    pub fn reach(&self) -> Reach {
        self.log.reach()
    }

    /// Sorts the tables into as few files as can be.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.index()?.compact()
    }

    /// Makes the tables safe; the log is so anyway, and they follow from it.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.index()?.sync()
    }

    /// Closes the tables, and opens those that are there or new ones.
    fn found(&mut self, tables: Tables) -> Result<Found, StoreError> {
        self.index = None;
        let lock = self.lock.try_clone();
        let lock = lock.map_err(StoreError::file(&self.folder))?;
        mend::find(&self.folder, lock, (tables, false), self.options.tuning)
    }

    /// After a step that could not be written: opens the tables again, and they catch up with the log.
    fn ready(&mut self) -> Result<(), StoreError> {
        if self.index.as_ref().is_some_and(Index::is_usable) {
            return Ok(());
        }
        let found = self.found(Tables::Kept)?;
        self.log = found.log;
        self.notes.extend(found.notes);
        self.index = Some(found.index);
        let followed = self.follow(&found.left);
        if followed.is_err() {
            self.index = None;
        }
        followed
    }

    /// Appends a fact to the log, and takes it into the tables.
    fn tell(&mut self, told: &Told) -> Result<(), StoreError> {
        let line = self.log.append(told)?;
        let link = self.log.reach().link;
        let index = self.index()?;
        let taken = self.fold(index).take(told, &line, link);
        if taken.is_err() {
            // It is in the log, so the tables have it as soon as they can.
            self.index = None;
        }
        taken
    }

    /// Adds records to a task, which is made if there is none of this name. The very same records, added again, change nothing.
    pub fn add<R: AsRef<str>>(
        &mut self,
        task: &str,
        records: impl IntoIterator<Item = R>,
        how: &Delivery,
    ) -> Result<Taken, StoreError> {
        let lines = (1..).zip(records);
        let lines = lines.map(|(number, record)| Ok((number, record.as_ref().to_string())));
        let mut taken = self.deliver("records", lines, Ok(task), how)?;
        taken.pop().ok_or_else(|| {
            StoreError::refused(format!("the task `{task}`: there are no records to add"))
        })
    }

    /// Adds the records of a file: to one task (`Ok`), or to the tasks that a column names (`Err`).
    pub fn add_file(
        &mut self,
        path: &Path,
        task: Result<&str, &str>,
        how: &Delivery,
    ) -> Result<Vec<Taken>, StoreError> {
        let file = path.display().to_string();
        let taken = self.deliver(&file, import::open(path)?, task, how)?;
        match taken.is_empty() {
            true => Err(StoreError::refused(format!(
                "{file}: it holds no records; a JSON record a line, or rows under names of columns are right"
            ))),
            false => Ok(taken),
        }
    }

    fn deliver(
        &mut self,
        file: &str,
        lines: impl Iterator<Item = Result<import::Line, StoreError>>,
        task: Result<&str, &str>,
        how: &Delivery,
    ) -> Result<Vec<Taken>, StoreError> {
        self.ready()?;
        self.options.rules.find(&how.rule)?;
        if let Ok(task) = task {
            gather::check_name(task).map_err(StoreError::refused)?;
        }
        let ready = self.gathered(file, lines, (how.kind, &how.columns, task), |_| true)?;
        let mut taken = Vec::new();
        let mut mended = false;
        for (task, ready) in ready {
            mended |= ready.mended;
            taken.push(self.delivered(task, ready, how)?);
        }
        if mended {
            self.make_again()?;
        }
        Ok(taken)
    }

    /// Records that are safe on the disk, by task; those that `wanted` takes.
    fn gathered(
        &self,
        file: &str,
        lines: impl Iterator<Item = Result<import::Line, StoreError>>,
        (kind, columns, task): (Kind, &Columns, Result<&str, &str>),
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<BTreeMap<String, Ready>, StoreError> {
        let mut gather = Gather {
            settings: &self.settings,
            sources: &self.sources,
            kind,
            columns,
            task,
            heaps: BTreeMap::new(),
            waiting: 0,
        };
        for line in lines {
            let (number, text) = line?;
            if wanted(&text) {
                let taken = gather.take(&text)?;
                taken.map_err(|fault| import::refused(file, number, &fault))?;
            }
        }
        gather.finish()
    }

    fn delivered(
        &mut self,
        task: String,
        ready: Ready,
        how: &Delivery,
    ) -> Result<Taken, StoreError> {
        let added = Added {
            task,
            definition: how.definition.clone(),
            provenance: how.provenance.clone(),
            kind: how.kind,
            columns: how.columns.clone(),
            rule: how.rule.clone(),
            content: ready.content,
            parts: ready.parts,
        };
        let known = key::delivery(&fold::delivery(&added));
        let already = self.index()?.row::<u64>(&known)?.is_some();
        let before = self.counts(&added.task, how.kind)?;
        let name = added.task.clone();
        if !already {
            self.tell(&Told::Added(added))?;
        }
        let after = self.counts(&name, how.kind)?;
        let new = after.0 - before.0;
        Ok(Taken {
            task: name,
            samples: ready.records,
            new,
            shared: new - (after.1 - before.1).min(new),
            already,
        })
    }

    /// What a task has of a kind, and what the store has.
    fn counts(&self, task: &str, kind: Kind) -> Result<(u64, u64), StoreError> {
        let progress = self.index()?.progress()?;
        let row = self.find(task)?.map(|(_, row)| row).unwrap_or_default();
        Ok(match kind {
            Kind::Samples => (row.samples(), progress.samples),
            Kind::Pieces => (row.pieces, progress.pieces),
        })
    }

    pub(crate) fn find(&self, task: &str) -> Result<Option<(u32, TaskRow)>, StoreError> {
        let index = self.index()?;
        let Some(number) = index.row::<u32>(&key::name(task))? else {
            return Ok(None);
        };
        let row = index.row(&key::task(number))?;
        let row = row.ok_or_else(|| index.damaged(format!("the task `{task}` has no row")))?;
        Ok(Some((number, row)))
    }

    /// Makes the tables again.
    fn make_again(&mut self) -> Result<(), StoreError> {
        let found = self.found(Tables::Anew)?;
        self.index = Some(found.index);
        self.follow(&found.left)
    }

    /// Makes one task of several; they stay. The same again changes nothing.
    pub fn merge(&mut self, task: &str, of: &[String], rule: &str) -> Result<Taken, StoreError> {
        self.ready()?;
        self.options.rules.find(rule)?;
        gather::check_name(task).map_err(StoreError::refused)?;
        for (place, name) in of.iter().enumerate() {
            self.find(name)?.ok_or_else(|| self.no_task(name))?;
            if of[..place].contains(name) {
                return Err(StoreError::refused(format!(
                    "the task `{name}` is named twice; each task once is right"
                )));
            }
        }
        if of.len() < 2 {
            return Err(StoreError::refused(
                "to merge takes two tasks or more; name them in their order: the last one is the latest",
            ));
        }
        let there = self.find(task)?;
        let same = (of.to_vec(), rule.to_string());
        let already = match &there {
            None => false,
            Some((_, row)) if row.merged.as_ref() == Some(&same) => true,
            Some(_) => {
                return Err(StoreError::refused(format!(
                    "the task `{task}` is there already; a name that no task has is right"
                )));
            }
        };
        if !already {
            let (task, (of, rule)) = (task.to_string(), same);
            self.tell(&Told::Merged(Merged { task, of, rule }))?;
        }
        let row = self.find(task)?.map(|(_, row)| row).unwrap_or_default();
        let new = if already { 0 } else { row.samples() };
        Ok(Taken {
            task: task.into(),
            samples: row.samples(),
            new,
            shared: new,
            already,
        })
    }

    pub(crate) fn no_task(&self, name: &str) -> StoreError {
        let near = self.index().and_then(|index| {
            let names = index.rows(b"n", None).take(8);
            let names = names.map(|row| Ok(String::from_utf8_lossy(&row?.0[1..]).into_owned()));
            names.collect::<Result<Vec<_>, StoreError>>()
        });
        let near = near.unwrap_or_default();
        let shown: Vec<_> = near.iter().map(|name| format!("`{name}`")).collect();
        StoreError::refused(match shown.is_empty() {
            true => format!("there is no task `{name}`, since the store is empty"),
            false => format!(
                "there is no task `{name}`; `lyceum tasks FOLDER list` names all, such as {}",
                shown.join(", ")
            ),
        })
    }

    /// Solved versions of samples that nobody had solved go back to all their tasks.
    pub fn solved<R: AsRef<str>>(
        &mut self,
        (by, round): (&str, Option<u64>),
        records: impl IntoIterator<Item = R>,
        columns: &Columns,
    ) -> Result<SolvedCount, StoreError> {
        let lines = (1..).zip(records);
        let lines = lines.map(|(number, record)| Ok((number, record.as_ref().to_string())));
        self.solved_lines("records", (by, round), lines, columns)
    }

    /// As [`solved`](Self::solved), of the records of a file.
    pub fn solved_file(
        &mut self,
        path: &Path,
        (by, round): (&str, Option<u64>),
        columns: &Columns,
    ) -> Result<SolvedCount, StoreError> {
        let lines = import::open(path)?;
        self.solved_lines(&path.display().to_string(), (by, round), lines, columns)
    }

    fn solved_lines(
        &mut self,
        file: &str,
        (by, round): (&str, Option<u64>),
        lines: impl Iterator<Item = Result<import::Line, StoreError>>,
        columns: &Columns,
    ) -> Result<SolvedCount, StoreError> {
        self.ready()?;
        let mut count = SolvedCount::default();
        let mut failed = None;
        let mut seen = std::collections::BTreeSet::new();
        let wanted = |text: &str| match self.standing(text, columns) {
            // What is wrong with it is said where it is taken.
            Ok(Standing::Faulty) => true,
            Ok(Standing::Unsolved(sample)) => {
                let is_new = seen.insert(sample);
                count.solved += u64::from(is_new);
                is_new
            }
            Ok(Standing::Solved) => {
                count.before += 1;
                false
            }
            Ok(Standing::Unknown) => {
                count.unknown += 1;
                false
            }
            Ok(Standing::Still) => {
                failed = Some(StoreError::refused(format!(
                    "{file}: a record says of itself that it is unsolved ({}); solved versions are right",
                    text.trim().chars().take(60).collect::<String>()
                )));
                false
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        };
        let ready = self.gathered(file, lines, (Kind::Samples, columns, Ok("solved")), wanted)?;
        if let Some(error) = failed {
            return Err(error);
        }
        for (_, ready) in ready {
            self.tell(&Told::Solved(Solved {
                by: by.into(),
                round,
                columns: columns.clone(),
                parts: ready.parts,
            }))?;
        }
        Ok(count)
    }

    fn standing(&self, text: &str, columns: &Columns) -> Result<Standing, StoreError> {
        let read = crate::sample::canonical(text).and_then(|(text, record)| {
            let identity = crate::sample::identity(&self.settings.identity, &text, &record)?;
            Ok((identity, columns.read(&record)?.0))
        });
        let Ok((sample, unsolved)) = read else {
            return Ok(Standing::Faulty);
        };
        if unsolved {
            return Ok(Standing::Still);
        }
        let index = self.index()?;
        let mut next = index.row::<u32>(&key::head(&sample))?;
        if next.is_none() {
            return Ok(Standing::Unknown);
        }
        while let Some(number) = next {
            let row: Option<MemberRow> = index.row(&key::member(number, &sample))?;
            let row = row.ok_or_else(|| index.damaged("a sample has no row"))?;
            if row.unsolved {
                return Ok(Standing::Unsolved(sample));
            }
            next = row.previous;
        }
        Ok(Standing::Solved)
    }

    /// Asks a solver about the samples of a task that nobody has solved, and takes what it solves.
    pub fn solve_with(
        &mut self,
        (name, round): (&str, Option<u64>),
        solver: &dyn Solver,
        task: &str,
        columns: &Columns,
    ) -> Result<SolvedCount, StoreError> {
        self.ready()?;
        let (number, _) = self.find(task)?.ok_or_else(|| self.no_task(task))?;
        let mut count = SolvedCount::default();
        let mut after = None;
        loop {
            let (asked, last) = self.unsolved(number, after)?;
            let mut solved = Vec::new();
            let mut fault = None;
            for record in asked {
                match solver.solve(&record) {
                    Ok(Some(version)) => solved.push(Value::Object(version).to_string()),
                    Ok(None) => {}
                    Err(reason) => {
                        fault = Some(reason);
                        break;
                    }
                }
            }
            if !solved.is_empty() {
                let told = self.solved((name, round), solved, columns)?;
                count.solved += told.solved;
                count.before += told.before;
                count.unknown += told.unknown;
            }
            if let Some(reason) = fault {
                return Err(StoreError::refused(format!(
                    "the solver `{name}` gave up: {reason}; {} samples that it solved before are kept",
                    count.solved
                )));
            }
            let Some(last) = last else {
                return Ok(count);
            };
            after = Some(last);
        }
    }

    #[expect(clippy::type_complexity, reason = "samples, and where to go on")]
    fn unsolved(
        &self,
        task: u32,
        after: Option<Fingerprint>,
    ) -> Result<(Vec<serde_json::Map<String, Value>>, Option<Fingerprint>), StoreError> {
        let index = self.index()?;
        let after = after.map(|sample| key::unsolved(task, &sample));
        let rows = index.rows(&key::all_unsolved(task), after.as_deref());
        let (mut asked, mut last) = (Vec::new(), None);
        for row in rows.take(SOLVED_AT_A_TIME) {
            let sample = key::last_hash(&row?.0).map(Fingerprint::from);
            let sample = sample.ok_or_else(|| index.damaged("a key is too short"))?;
            let member = index.row(&key::member(task, &sample))?;
            let member = member.ok_or_else(|| index.damaged("a sample has no row"))?;
            if let Ok((_, record)) = crate::sample::canonical(&self.text(&member)?) {
                asked.push(record);
            }
            last = Some(sample);
        }
        Ok((asked, last))
    }

    /// Where easy and medium end, over all tasks that are known now; kept until a task comes or changes.
    pub fn bins(&self) -> Result<Bins, StoreError> {
        let index = self.index()?;
        let version = index.progress()?.ratings;
        let kept: Option<Bins> = index.row(key::BINS)?;
        if let Some(bins) = kept.filter(|bins| bins.version == version) {
            return Ok(bins);
        }
        let bins = Bins::compute(index, version, PERCENTILES)?;
        let mut changes = Changes::default();
        changes.put(key::BINS.to_vec(), &bins);
        index.commit(changes)?;
        Ok(bins)
    }
}

/// Where a record stands that is said to be solved.
enum Standing {
    Faulty,
    Still,
    Unknown,
    Solved,
    Unsolved(Fingerprint),
}
