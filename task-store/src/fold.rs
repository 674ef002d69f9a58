//! How a fact becomes rows: a function of the log up to it and of the sources, step by step, each step whole or not at all.

use crate::{
    Rules, Settings, StoreError,
    index::{Changes, Index},
    log::Reach,
    rows::{MemberRow, PieceRow, Progress, SolvedRow, TaskRow, key},
    rule::{Choice, MergeRule, Version},
    sample::{self, Columns, Difficulty},
    sources::{self, Place, Sources},
    told::{Added, Kind, Merged, Part, Solved, Told},
};
use lyceum_core::Fingerprint;
use std::sync::Arc;

/// Samples of a merge that make one step.
const MERGED_AT_A_TIME: usize = 4096;

/// What a fold needs to look at.
pub(crate) struct Fold<'a> {
    pub(crate) index: &'a Index,
    pub(crate) sources: &'a Sources,
    pub(crate) settings: &'a Settings,
    pub(crate) rules: &'a Rules,
}

/// A fact on its way into the tables.
struct Step {
    changes: Changes,
    progress: Progress,
    /// Number of the fact.
    fact: u64,
}

/// A version of a sample on its way into a task.
struct Incoming {
    sample: Fingerprint,
    row: MemberRow,
}

/// A task on its way into the tables.
struct Open {
    number: u32,
    row: TaskRow,
}

impl Fold<'_> {
    /// Takes a fact into the tables, from wherever an earlier attempt got to. `line` is its line in the log, `link` the hash with it.
    pub(crate) fn take(
        &self,
        told: &Told,
        line: &str,
        link: Fingerprint,
    ) -> Result<(), StoreError> {
        while !self.next(told, line, link)? {}
        Ok(())
    }

    /// Makes the next step of a fact, and says whether it was the last one.
    fn next(&self, told: &Told, line: &str, link: Fingerprint) -> Result<bool, StoreError> {
        let progress = self.index.progress()?;
        let mut step = Step {
            changes: Changes::default(),
            fact: progress.reach.facts,
            progress,
        };
        let is_last = match told {
            Told::Added(added) => self.added(&mut step, added)?,
            Told::Merged(merged) => self.merged(&mut step, merged)?,
            Told::Solved(solved) => self.solved(&mut step, solved)?,
        };
        if is_last {
            step.changes.put(key::fact(step.fact), &line);
            step.progress.reach = Reach {
                facts: step.fact + 1,
                link,
            };
            step.progress.step = 0;
            step.progress.after = None;
        }
        step.changes.put(key::PROGRESS.to_vec(), &step.progress);
        self.index.commit(step.changes)?;
        Ok(is_last)
    }

    fn added(&self, step: &mut Step, added: &Added) -> Result<bool, StoreError> {
        let rule = self.rules.find(&added.rule)?;
        let mut task = self.open(step, &added.task)?;
        let place = step.progress.step as usize;
        if place == 0 {
            task.row.version += 1;
            let set = |held: &mut String, new: &String| {
                if !new.is_empty() {
                    held.clone_from(new);
                }
            };
            set(&mut task.row.definition, &added.definition);
            set(&mut task.row.provenance, &added.provenance);
            if added.kind == Kind::Samples {
                step.progress.ratings += 1;
            }
            step.changes
                .put(key::delivery(&delivery(added)), &step.fact);
        }
        if let Some(part) = added.parts.get(place) {
            let number = self.part(step, part)?;
            let bytes = self.sources.bytes(&part.hash)?.unwrap_or_default();
            // What is damaged is gone; `check` names it.
            for (place, text) in sources::records(&bytes).flatten() {
                match added.kind {
                    Kind::Samples => {
                        let Some(new) =
                            self.incoming(&added.columns, (number, place, text), step.fact)
                        else {
                            continue;
                        };
                        self.sample(step, &mut task, new, &rule)?;
                    }
                    Kind::Pieces => self.piece(step, &mut task, (number, place, text), &rule)?,
                }
            }
        }
        step.changes.put(key::task(task.number), &task.row);
        step.progress.step += 1;
        Ok(step.progress.step as usize >= added.parts.len())
    }

    /// The task of a name, made where there is none.
    fn open(&self, step: &mut Step, name: &str) -> Result<Open, StoreError> {
        let by_name = key::name(name);
        if let Some(number) = step.changes.row::<u32>(self.index, &by_name)? {
            let row = step.changes.row(self.index, &key::task(number))?;
            let row = row.ok_or_else(|| self.index.damaged("a task has no row"))?;
            return Ok(Open { number, row });
        }
        let number = step.progress.tasks;
        step.progress.tasks += 1;
        step.changes.put(by_name, &number);
        let row = TaskRow {
            name: name.into(),
            ..TaskRow::default()
        };
        Ok(Open { number, row })
    }

    /// The number of a part, given where it has none.
    fn part(&self, step: &mut Step, part: &Part) -> Result<u32, StoreError> {
        let by_hash = key::part_number(&part.hash);
        if let Some(number) = step.changes.row(self.index, &by_hash)? {
            return Ok(number);
        }
        let number = step.progress.parts;
        step.progress.parts += 1;
        step.changes.put(by_hash, &number);
        step.changes.put(key::part(number), &part.hash);
        Ok(number)
    }

    /// A record as a sample; `None` for one that was checked when it came, and cannot be read now.
    fn incoming(
        &self,
        columns: &Columns,
        (part, place, text): (u32, Place, &str),
        fact: u64,
    ) -> Option<Incoming> {
        let (_, record) = sample::canonical(text).ok()?;
        let sample = sample::identity(&self.settings.identity, text, &record).ok()?;
        let (unsolved, difficulty) = columns.read(&record).ok()?;
        let row = MemberRow {
            content: Fingerprint::of(text.as_bytes()),
            part,
            offset: place.offset,
            bytes: place.bytes,
            split: self.settings.split(&sample),
            difficulty,
            unsolved,
            previous: None,
            fact,
        };
        Some(Incoming { sample, row })
    }

    /// Puts a sample into a task, or decides between the version that is there and this one.
    fn sample(
        &self,
        step: &mut Step,
        task: &mut Open,
        new: Incoming,
        rule: &Arc<dyn MergeRule>,
    ) -> Result<(), StoreError> {
        let at = key::member(task.number, &new.sample);
        let held = step.changes.row::<MemberRow>(self.index, &at)?;
        let Some(held) = held else {
            let head = key::head(&new.sample);
            let previous = step.changes.row(self.index, &head)?;
            step.progress.samples += u64::from(previous.is_none());
            step.changes.put(head, &task.number);
            task.row.splits[new.row.split as usize] += 1;
            let row = MemberRow {
                previous,
                ..new.row
            };
            return self.write(step, task, (&new.sample, &row), None);
        };
        if held.content == new.row.content
            || self.choose(step, rule, &held, &new.row)? == Choice::Held
        {
            return Ok(());
        }
        let row = MemberRow {
            previous: held.previous,
            ..new.row
        };
        self.write(step, task, (&new.sample, &row), Some(&held))
    }

    /// Writes a sample's row, and all that is counted by it.
    fn write(
        &self,
        step: &mut Step,
        task: &mut Open,
        (sample, row): (&Fingerprint, &MemberRow),
        before: Option<&MemberRow>,
    ) -> Result<(), StoreError> {
        if let Some(before) = before {
            self.rated(step, task, before.difficulty, false)?;
            if before.unsolved {
                task.row.unsolved -= 1;
                step.changes.remove(key::unsolved(task.number, sample));
            }
        }
        self.rated(step, task, row.difficulty, true)?;
        if row.unsolved {
            task.row.unsolved += 1;
            step.changes.put(key::unsolved(task.number, sample), &());
        }
        step.changes.put(key::member(task.number, sample), row);
        Ok(())
    }

    /// One sample more, or less, is so hard.
    fn rated(
        &self,
        step: &mut Step,
        task: &mut Open,
        difficulty: Difficulty,
        more: bool,
    ) -> Result<(), StoreError> {
        let count = |count: u64| match more {
            true => count + 1,
            false => count.saturating_sub(1),
        };
        let Some(ordered) = difficulty.ordered() else {
            task.row.unknown = count(task.row.unknown);
            return Ok(());
        };
        let at = key::difficulty(task.number, ordered);
        let held = step.changes.row::<u64>(self.index, &at)?;
        match count(held.unwrap_or_default()) {
            0 => step.changes.remove(at),
            left => step.changes.put(at, &left),
        }
        Ok(())
    }

    fn choose(
        &self,
        step: &Step,
        rule: &Arc<dyn MergeRule>,
        held: &MemberRow,
        new: &MemberRow,
    ) -> Result<Choice, StoreError> {
        let places = [place_of(held), place_of(new)];
        let contents = [held.content, new.content];
        let Some([first, second]) = self.texts(step, rule, places, contents)? else {
            return Ok(Choice::New);
        };
        let version = |record, row: &MemberRow| Version {
            record,
            difficulty: row.difficulty,
            unsolved: row.unsolved,
            fact: row.fact,
        };
        Ok(rule.sample(&version(&first, held), &version(&second, new)))
    }

    /// The records of two versions where the rule looks at them; `None` where the first one is gone, which then cannot stand.
    fn texts(
        &self,
        step: &Step,
        rule: &Arc<dyn MergeRule>,
        places: [(u32, Place); 2],
        contents: [Fingerprint; 2],
    ) -> Result<Option<[String; 2]>, StoreError> {
        if !rule.looks_at_records() {
            return Ok(Some([String::new(), String::new()]));
        }
        let text = |n: usize| {
            let (part, place) = places[n];
            let hash = step.changes.row(self.index, &key::part(part))?;
            let hash = hash.ok_or_else(|| self.index.damaged("a part has no row"))?;
            self.sources.record(&hash, place, &contents[n])
        };
        match text(0) {
            Ok(first) => Ok(Some([first, text(1)?])),
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Puts a piece among those that tasks share, and among those that a task uses.
    fn piece(
        &self,
        step: &mut Step,
        task: &mut Open,
        (part, place, text): (u32, Place, &str),
        rule: &Arc<dyn MergeRule>,
    ) -> Result<(), StoreError> {
        let Ok((_, record)) = sample::canonical(text) else {
            return Ok(());
        };
        let Ok(piece) = sample::identity(&self.settings.piece_identity, text, &record) else {
            return Ok(());
        };
        self.uses(step, task, &piece)?;
        let new = PieceRow {
            content: Fingerprint::of(text.as_bytes()),
            part,
            offset: place.offset,
            bytes: place.bytes,
            task: task.number,
            fact: step.fact,
        };
        let at = key::piece(&piece);
        let Some(held) = step.changes.row::<PieceRow>(self.index, &at)? else {
            step.progress.pieces += 1;
            step.changes.put(at, &new);
            return Ok(());
        };
        if held.content != new.content && self.choose_piece(step, rule, &held, &new)? == Choice::New
        {
            step.changes.put(at, &new);
        }
        Ok(())
    }

    fn uses(
        &self,
        step: &mut Step,
        task: &mut Open,
        piece: &Fingerprint,
    ) -> Result<(), StoreError> {
        let at = key::used(task.number, piece);
        if step.changes.row::<()>(self.index, &at)?.is_none() {
            step.changes.put(at, &());
            task.row.pieces += 1;
        }
        Ok(())
    }

    fn choose_piece(
        &self,
        step: &Step,
        rule: &Arc<dyn MergeRule>,
        held: &PieceRow,
        new: &PieceRow,
    ) -> Result<Choice, StoreError> {
        let place = |row: &PieceRow| {
            let (offset, bytes) = (row.offset, row.bytes);
            (row.part, Place { offset, bytes })
        };
        let contents = [held.content, new.content];
        let Some([first, second]) = self.texts(step, rule, [place(held), place(new)], contents)?
        else {
            return Ok(Choice::New);
        };
        let version = |record, row: &PieceRow| Version {
            record,
            difficulty: Difficulty::Unknown,
            unsolved: false,
            fact: row.fact,
        };
        Ok(rule.piece(&version(&first, held), &version(&second, new)))
    }

    /// Samples first, then pieces, each in the order of what they are.
    fn merged(&self, step: &mut Step, merged: &Merged) -> Result<bool, StoreError> {
        let rule = self.rules.find(&merged.rule)?;
        let mut task = self.open(step, &merged.task)?;
        if step.progress.step == 0 && step.progress.after.is_none() {
            task.row.version += 1;
            task.row.merged = Some((merged.of.clone(), merged.rule.clone()));
            step.progress.ratings += 1;
        }
        let mut of = Vec::new();
        for name in &merged.of {
            let number = self.index.row::<u32>(&key::name(name))?;
            of.push(number.ok_or_else(|| self.index.damaged("a task that was merged is missing"))?);
        }
        let is_last = match step.progress.step {
            0 => {
                self.merge_samples(step, &mut task, &of, &rule)?;
                false
            }
            _ => self.merge_pieces(step, &mut task, &of)?,
        };
        step.changes.put(key::task(task.number), &task.row);
        Ok(is_last)
    }

    fn merge_samples(
        &self,
        step: &mut Step,
        task: &mut Open,
        of: &[u32],
        rule: &Arc<dyn MergeRule>,
    ) -> Result<(), StoreError> {
        let begin = step.progress.after;
        let mut open = Vec::new();
        for number in of {
            let after = begin.map(|sample| key::member(*number, &sample));
            let rows = self.index.rows(&key::members(*number), after.as_deref());
            open.push(rows.peekable());
        }
        for _ in 0..MERGED_AT_A_TIME {
            let mut least: Option<[u8; 32]> = None;
            for rows in &mut open {
                if let Some(Ok((at, _))) = rows.peek() {
                    let sample = key::last_hash(at);
                    least = [least, sample].into_iter().flatten().min();
                }
            }
            let mut stands: Option<MemberRow> = None;
            for rows in &mut open {
                let next = rows.next_if(|row| match row {
                    Ok((at, _)) => key::last_hash(at) == least,
                    Err(_) => true,
                });
                let Some((_, bytes)) = next.transpose()? else {
                    continue;
                };
                let row: MemberRow = self.index.decoded(&bytes)?;
                stands = Some(match stands {
                    Some(held) if self.stays(step, rule, &held, &row)? => held,
                    _ => row,
                });
            }
            let (Some(least), Some(row)) = (least, stands) else {
                step.progress.step = 1;
                step.progress.after = None;
                return Ok(());
            };
            let sample = Fingerprint::from(least);
            self.sample(step, task, Incoming { sample, row }, rule)?;
            step.progress.after = Some(sample);
        }
        Ok(())
    }

    /// Whether the version that was first stands.
    fn stays(
        &self,
        step: &Step,
        rule: &Arc<dyn MergeRule>,
        held: &MemberRow,
        new: &MemberRow,
    ) -> Result<bool, StoreError> {
        let same = held.content == new.content;
        Ok(same || self.choose(step, rule, held, new)? == Choice::Held)
    }

    fn merge_pieces(
        &self,
        step: &mut Step,
        task: &mut Open,
        of: &[u32],
    ) -> Result<bool, StoreError> {
        let place = (step.progress.step - 1) as usize;
        let Some(number) = of.get(place) else {
            return Ok(true);
        };
        let after = step.progress.after.map(|piece| key::used(*number, &piece));
        let rows = self.index.rows(&key::uses(*number), after.as_deref());
        let mut last = None;
        for row in rows.take(MERGED_AT_A_TIME) {
            let (at, _) = row?;
            let piece = key::last_hash(&at).map(Fingerprint::from);
            let piece = piece.ok_or_else(|| self.index.damaged("a key is too short"))?;
            self.uses(step, task, &piece)?;
            last = Some(piece);
        }
        step.progress.after = last;
        if last.is_none() {
            step.progress.step += 1;
        }
        Ok(last.is_none() && place + 1 >= of.len())
    }

    fn solved(&self, step: &mut Step, solved: &Solved) -> Result<bool, StoreError> {
        let place = step.progress.step as usize;
        if place == 0 {
            step.progress.ratings += 1;
        }
        if let Some(part) = solved.parts.get(place) {
            let number = self.part(step, part)?;
            let bytes = self.sources.bytes(&part.hash)?.unwrap_or_default();
            for (place, text) in sources::records(&bytes).flatten() {
                if let Some(new) = self.incoming(&solved.columns, (number, place, text), step.fact)
                {
                    self.solve(step, solved, &new)?;
                }
            }
        }
        step.progress.step += 1;
        Ok(step.progress.step as usize >= solved.parts.len())
    }

    /// A solved version goes back to all tasks that hold the sample unsolved.
    fn solve(&self, step: &mut Step, solved: &Solved, new: &Incoming) -> Result<(), StoreError> {
        let mut tasks = Vec::new();
        let mut next = step
            .changes
            .row::<u32>(self.index, &key::head(&new.sample))?;
        while let Some(number) = next {
            let held = step
                .changes
                .row(self.index, &key::member(number, &new.sample))?;
            let held: MemberRow = held.ok_or_else(|| self.index.damaged("a sample has no row"))?;
            next = held.previous;
            if !held.unsolved {
                continue;
            }
            let row = step.changes.row(self.index, &key::task(number))?;
            let row = row.ok_or_else(|| self.index.damaged("a task has no row"))?;
            let mut task = Open { number, row };
            let row = MemberRow {
                previous: held.previous,
                unsolved: false,
                ..new.row.clone()
            };
            self.write(step, &mut task, (&new.sample, &row), Some(&held))?;
            task.row.version += 1;
            step.changes.put(key::task(number), &task.row);
            tasks.push(number);
        }
        if !tasks.is_empty() {
            tasks.sort_unstable();
            let row = SolvedRow {
                by: solved.by.clone(),
                round: solved.round,
                difficulty: new.row.difficulty,
                tasks,
            };
            step.changes.put(key::solved(step.fact, &new.sample), &row);
        }
        Ok(())
    }
}

fn place_of(row: &MemberRow) -> (u32, Place) {
    let place = Place {
        offset: row.offset,
        bytes: row.bytes,
    };
    (row.part, place)
}

/// What makes two deliveries one.
pub(crate) fn delivery(added: &Added) -> Fingerprint {
    let columns = serde_json::to_vec(&added.columns).expect("columns are plain data");
    let mut chain = Fingerprint::default().extend();
    chain.add(added.task.as_bytes());
    chain.number(added.kind as u64).add(&columns);
    chain.piece(added.content.bytes()).link()
}
