//! Whether a store holds what it was told, and what is gone.

use crate::{
    Store, StoreError,
    log::{self},
    mend,
    rows::{MemberRow, TaskRow, key},
    sources::PartFault,
    told::{Part, Told},
};
use lyceum_core::Fingerprint;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// Records that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The task they came for, or who solved them.
    pub whose: String,
    /// How many.
    pub records: u64,
    /// File, lines and how that shows.
    pub how: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Facts of the log.
    pub facts: u64,
    /// Tasks.
    pub tasks: u64,
    /// Samples, each once for each task that has it.
    pub members: u64,
    /// What the tables have wrong; they can be made again.
    pub faults: Vec<String>,
    /// What cannot be made again without adding files again.
    pub gone: Vec<Gone>,
    /// Files of the sources that belong to nothing: what was delivered in vain.
    pub unused: Vec<String>,
}

impl Report {
    /// Whether all is as it was told.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && self.gone.is_empty()
    }
}

impl Store {
    /// Reads everything: the log, all sources, all tables; and holds them against each other.
    pub fn check(&self) -> Result<Report, StoreError> {
        let mut report = Report::default();
        let parts = self.check_log(&mut report)?;
        self.check_sources(&parts, &mut report)?;
        match self.check_tables(&mut report) {
            Err(StoreError::Damaged { reason, .. }) => report.faults.push(reason),
            other => other?,
        }
        Ok(report)
    }

    /// All parts that the log names, and whose they are.
    fn check_log(
        &self,
        report: &mut Report,
    ) -> Result<BTreeMap<Fingerprint, (Part, String)>, StoreError> {
        let path = mend::log_path(self.folder());
        let bytes = log::bytes(&path)?;
        let reading = log::read(&bytes).map_err(|found| StoreError::Version {
            path: path.clone(),
            found,
            reads: log::FORMAT,
        })?;
        let shown = path.display();
        if let Some(fault) = &reading.fault {
            report.faults.push(format!("{shown}: {fault}"));
        }
        report.facts = reading.lines.len() as u64;
        let index = self.index()?;
        let mut parts = BTreeMap::new();
        let mut link = log::head(self.settings()).1;
        for (number, (line, next)) in reading.lines.iter().enumerate() {
            let kept: Option<String> = index.row(&key::fact(number as u64))?;
            if kept.as_ref() != Some(line) {
                let fault = format!("fact {number} is not in the tables as it is in {shown}");
                report.faults.push(fault);
            }
            let Ok((told, _)) = log::fact(link, line) else {
                break;
            };
            link = *next;
            let whose = match &told {
                Told::Added(added) => format!("task `{}`", added.task),
                Told::Merged(_) => continue,
                Told::Solved(solved) => format!("solved by `{}`", solved.by),
            };
            for part in told.parts() {
                parts.insert(part.hash, (*part, whose.clone()));
            }
        }
        Ok(parts)
    }

    fn check_sources(
        &self,
        parts: &BTreeMap<Fingerprint, (Part, String)>,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        for (hash, (part, whose)) in parts {
            let path = self.sources.path(hash);
            let shown = path.display();
            let (records, how) = match self.sources.faults(part)? {
                None => continue,
                Some(PartFault::Missing) => (part.records, format!("{shown}: it is missing")),
                Some(PartFault::Damaged { lines, gone }) => {
                    let lines: Vec<_> = lines.iter().take(20).map(usize::to_string).collect();
                    let lines = match lines.is_empty() {
                        true => "it is shorter than it was".into(),
                        false => format!("line {} is not what was written", lines.join(", ")),
                    };
                    (gone, format!("{shown}: {lines}"))
                }
            };
            let whose = whose.clone();
            report.gone.push(Gone {
                whose,
                records,
                how,
            });
        }
        let known: BTreeSet<_> = parts.keys().map(|hash| self.sources.path(hash)).collect();
        for path in self.sources.files()? {
            if !known.contains(&path) {
                report.unused.push(path.display().to_string());
            }
        }
        Ok(())
    }

    /// Removes files of the sources that belong to nothing.
    pub fn remove_unused(&self, report: &Report) -> Result<(), StoreError> {
        for path in &report.unused {
            let path = std::path::Path::new(path);
            fs::remove_file(path).map_err(StoreError::file(path))?;
        }
        Ok(())
    }

    fn check_tables(&self, report: &mut Report) -> Result<(), StoreError> {
        let index = self.index()?;
        let progress = index.progress()?;
        for task in self.tasks()? {
            let task = task?;
            report.tasks += 1;
            let found = self.counted(&task, report)?;
            let row = &task.row;
            let held = (row.splits, row.unsolved, row.unknown);
            if found != held {
                let name = &row.name;
                let fault = format!("task `{name}`: its samples are not as many as its row says");
                report.faults.push(fault);
            }
        }
        if report.tasks != u64::from(progress.tasks) {
            let (there, told) = (report.tasks, progress.tasks);
            let fault = format!("{there} tasks are there, and {told} were counted");
            report.faults.push(fault);
        }
        let mut samples = 0;
        for row in index.rows(key::HEADS, None) {
            let (at, bytes) = row?;
            let task: u32 = index.decoded(&bytes)?;
            let sample = key::last_hash(&at)
                .map(Fingerprint::from)
                .unwrap_or_default();
            samples += 1;
            if index.bytes(&key::member(task, &sample))?.is_none() {
                report
                    .faults
                    .push(format!("sample {sample}: its task does not have it"));
            }
        }
        if samples != progress.samples {
            let told = progress.samples;
            let fault = format!("{samples} samples are there, and {told} were counted");
            report.faults.push(fault);
        }
        Ok(())
    }

    /// Samples of a task by split, unsolved ones, and those of unknown difficulty, counted one by one.
    fn counted(
        &self,
        task: &crate::Task,
        report: &mut Report,
    ) -> Result<([u64; 3], u64, u64), StoreError> {
        let index = self.index()?;
        let (mut splits, mut unsolved, mut unknown) = ([0; 3], 0, 0);
        let mut rated = BTreeMap::<u64, u64>::new();
        for sample in self.samples(task)? {
            let crate::Sample { identity, row } = sample?;
            let MemberRow {
                split, difficulty, ..
            } = row;
            report.members += 1;
            splits[split as usize] += 1;
            unsolved += u64::from(row.unsolved);
            match difficulty.ordered() {
                Some(ordered) => *rated.entry(ordered).or_default() += 1,
                None => unknown += 1,
            }
            if split != self.settings().split(&identity) {
                report.faults.push(format!(
                    "sample {identity}: it is in the split {split}, where it does not belong"
                ));
            }
            let listed = index
                .bytes(&key::unsolved(task.order, &identity))?
                .is_some();
            if listed != row.unsolved || index.bytes(&key::head(&identity))?.is_none() {
                report
                    .faults
                    .push(format!("sample {identity}: the tables disagree about it"));
            }
        }
        for row in index.rows(&key::difficulties(task.order), None) {
            let (at, bytes) = row?;
            let ordered = key::last_number(&at).unwrap_or_default();
            if rated.remove(&ordered) != Some(index.decoded(&bytes)?) {
                rated.insert(ordered, 0);
            }
        }
        if !rated.is_empty() {
            let TaskRow { name, .. } = &task.row;
            report.faults.push(format!(
                "task `{name}`: its difficulties are not those of its samples"
            ));
        }
        Ok((splits, unsolved, unknown))
    }
}
