//! What a store should hold, told by another program: maps in memory, and nothing of the store's own code.

#![allow(dead_code, reason = "each test uses a part")]

use lyceum_task_store::{
    Columns, Delivery, Kind, Settings, Split, Store, StoreError, StoreOptions, Tuning,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

pub(crate) const RULES: [&str; 4] = ["published", "latest", "first", "easiest"];

/// A version of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: u64,
    pub(crate) steps: Option<u64>,
    pub(crate) sorry: bool,
    pub(crate) version: u64,
}

impl Record {
    pub(crate) fn text(&self) -> String {
        let steps = self.steps.map_or("null".into(), |steps| steps.to_string());
        let Self {
            name,
            sorry,
            version,
            ..
        } = self;
        format!(r#"{{"name":"n{name}","sorry":{sorry},"steps":{steps},"version":{version}}}"#)
    }

    fn rank(&self) -> (bool, bool, u64) {
        match (self.sorry, self.steps) {
            (true, _) => (true, false, u64::MAX),
            (false, None) => (false, true, 0),
            (false, Some(steps)) => (false, false, steps),
        }
    }

    fn beats(&self, held: &Self, rule: &str) -> bool {
        self != held
            && match rule {
                "published" | "latest" => true,
                "first" => false,
                _ => self.rank() < held.rank(),
            }
    }
}

/// Something that a store is told.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Add(String, Vec<Record>, usize),
    Pieces(String, Vec<(u64, u64)>, usize),
    Merge(String, Vec<String>, usize),
    Solved(Vec<Record>),
}

/// Numbers that follow from a seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn record(&mut self) -> Record {
        Record {
            name: self.next(80),
            steps: Some(self.next(9)).filter(|steps| *steps > 0),
            sorry: self.next(4) == 0,
            version: self.next(3),
        }
    }
}

/// The n-th thing that is told, of a seed.
pub(crate) fn op(seed: u64, n: u64) -> Op {
    let mut dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(n));
    let dice = &mut dice;
    dice.next(2);
    let task = |dice: &mut Dice| format!("t{}", dice.next(6));
    let rule = dice.next(4) as usize;
    match dice.next(10) {
        0..=5 => {
            let task = task(dice);
            let count = 1 + dice.next(8);
            Op::Add(task, (0..count).map(|_| dice.record()).collect(), rule)
        }
        6 => {
            let task = task(dice);
            let count = 1 + dice.next(4);
            let pieces = (0..count).map(|_| (dice.next(12), dice.next(3))).collect();
            Op::Pieces(task, pieces, rule)
        }
        7 => {
            let mut of: Vec<_> = (0..3).map(|_| task(dice)).collect();
            of.sort();
            of.dedup();
            if dice.next(2) == 0 {
                of.reverse();
            }
            Op::Merge(format!("m{n}"), of, rule)
        }
        _ => {
            let records = (0..1 + dice.next(5)).map(|_| dice.record());
            let records = records.map(|record| Record {
                sorry: false,
                ..record
            });
            Op::Solved(records.collect())
        }
    }
}

/// What a store should hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) facts: u64,
    pub(crate) tasks: BTreeMap<String, BTreeMap<u64, Record>>,
    pub(crate) pieces: BTreeMap<u64, u64>,
    pub(crate) uses: BTreeMap<String, BTreeSet<u64>>,
    pub(crate) solved: Vec<(u64, u64)>,
    deliveries: BTreeSet<String>,
    /// What a sample is for, as it was when it was seen first.
    pub(crate) splits: BTreeMap<u64, Split>,
}

impl Model {
    pub(crate) fn tell(&mut self, op: &Op) {
        match op {
            Op::Add(task, records, rule) => {
                let texts: Vec<_> = records.iter().map(Record::text).collect();
                if !self.deliveries.insert(format!("{task} {}", texts.concat())) {
                    return;
                }
                let held = self.tasks.entry(task.clone()).or_default();
                for new in records {
                    put(held, new, RULES[*rule]);
                }
            }
            Op::Pieces(task, pieces, rule) => {
                if !self.deliveries.insert(format!("{task} pieces {pieces:?}")) {
                    return;
                }
                self.tasks.entry(task.clone()).or_default();
                for (piece, version) in pieces {
                    self.uses.entry(task.clone()).or_default().insert(*piece);
                    let held = self.pieces.entry(*piece).or_insert(*version);
                    if RULES[*rule] == "latest" {
                        *held = *version;
                    }
                }
            }
            Op::Merge(name, of, rule) => {
                if of.len() < 2 || of.iter().any(|task| !self.tasks.contains_key(task)) {
                    return;
                }
                let mut merged = BTreeMap::new();
                let mut used = BTreeSet::new();
                for task in of {
                    self.tasks[task]
                        .values()
                        .for_each(|record| put(&mut merged, record, RULES[*rule]));
                    used.extend(self.uses.get(task).into_iter().flatten());
                }
                self.tasks.insert(name.clone(), merged);
                self.uses.insert(name.clone(), used);
            }
            Op::Solved(records) => {
                let mut seen = BTreeMap::new();
                for record in records {
                    let mut held = self.tasks.values().filter_map(|t| t.get(&record.name));
                    if held.any(|held| held.sorry) {
                        seen.entry(record.name).or_insert(record);
                    }
                }
                if seen.is_empty() {
                    return;
                }
                for (name, record) in seen {
                    self.solved.push((self.facts, name));
                    let held = self.tasks.values_mut().filter_map(|t| t.get_mut(&name));
                    held.filter(|held| held.sorry)
                        .for_each(|held| *held = record.clone());
                }
            }
        }
        self.facts += 1;
    }

    /// Holds a store against this; also that no sample has moved between splits.
    pub(crate) fn compare(&mut self, store: &Store) -> Result<(), StoreError> {
        assert_eq!(store.reach().facts, self.facts);
        let mut tasks = BTreeMap::new();
        let mut uses = BTreeMap::new();
        let mut pieces = BTreeMap::new();
        for task in store.tasks()? {
            let task = task?;
            let mut held = BTreeMap::new();
            for sample in store.samples(&task)? {
                let sample = sample?;
                let record = parse(&store.text(&sample.row)?);
                let first = self.splits.entry(record.name).or_insert(sample.row.split);
                assert_eq!(*first, sample.row.split, "n{} moved", record.name);
                let before = held.insert(record.name, record);
                assert_eq!(before, None, "a sample is there twice");
            }
            for piece in store.pieces(&task)? {
                let value: serde_json::Value = serde_json::from_str(&piece?.1).unwrap();
                let path = value["path"].as_u64().unwrap();
                pieces.insert(path, value["version"].as_u64().unwrap());
                let used: &mut BTreeSet<u64> = uses.entry(task.row.name.clone()).or_default();
                used.insert(path);
            }
            assert_eq!(held.len() as u64, task.row.samples());
            let sorry = held.values().filter(|record| record.sorry).count();
            assert_eq!(sorry as u64, task.row.unsolved);
            tasks.insert(task.row.name.clone(), held);
        }
        assert_eq!(tasks, self.tasks);
        assert_eq!(pieces, self.pieces);
        let used = self.uses.clone().into_iter();
        let used: BTreeMap<_, _> = used.filter(|(_, used)| !used.is_empty()).collect();
        assert_eq!(uses, used);
        let mut solved = Vec::new();
        for sample in store.solved_samples()? {
            let sample = sample?;
            let task = store.task_at(sample.row.tasks[0])?.unwrap();
            let row = store.sample(&task, &sample.identity)?.unwrap().row;
            solved.push((sample.fact, parse(&store.text(&row)?).name));
        }
        solved.sort_unstable();
        assert_eq!(solved, self.solved);
        self.compare_bins(store)
    }

    fn compare_bins(&self, store: &Store) -> Result<(), StoreError> {
        let all = self.tasks.values().flat_map(BTreeMap::values);
        let mut known: Vec<_> = all
            .filter(|record| record.sorry || record.steps.is_some())
            .map(|record| (record.sorry, record.steps.unwrap_or_default()))
            .map(|(sorry, steps)| if sorry { f64::INFINITY } else { steps as f64 })
            .collect();
        known.sort_by(f64::total_cmp);
        let bins = store.bins()?;
        assert_eq!(bins.known + bins.infinite, known.len() as u64);
        if known.is_empty() {
            return Ok(());
        }
        let at = |share: f64| known[(share * (known.len() - 1) as f64) as usize];
        let value = |difficulty| match difficulty {
            lyceum_task_store::Difficulty::Known(value) => value,
            _ => f64::INFINITY,
        };
        assert_eq!((value(bins.easy), value(bins.medium)), (at(0.33), at(0.67)));
        Ok(())
    }
}

fn put(held: &mut BTreeMap<u64, Record>, new: &Record, rule: &str) {
    match held.get_mut(&new.name) {
        None => drop(held.insert(new.name, new.clone())),
        Some(there) if new.beats(there, rule) => *there = new.clone(),
        Some(_) => {}
    }
}

fn parse(text: &str) -> Record {
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    Record {
        name: value["name"].as_str().unwrap()[1..].parse().unwrap(),
        steps: value["steps"].as_u64(),
        sorry: value["sorry"].as_bool().unwrap(),
        version: value["version"].as_u64().unwrap(),
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        seed: 7,
        validation: 0.2,
        test: 0.3,
        identity: vec!["name".into()],
        piece_identity: vec!["path".into()],
    }
}

pub(crate) fn columns() -> Columns {
    Columns {
        difficulty: Some("steps".into()),
        unsolved: Some("sorry".into()),
    }
}

/// Tables that are sorted into files all the time.
pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        tuning: Tuning {
            gathered: 16 << 10,
            cached: 1 << 20,
        },
        ..StoreOptions::default()
    }
}

pub(crate) fn create(folder: &Path) -> Store {
    Store::create(folder, &settings(), options()).unwrap()
}

/// Tells a store.
pub(crate) fn tell(store: &mut Store, op: &Op) -> Result<(), StoreError> {
    let delivery = |kind, rule: usize| Delivery {
        kind,
        columns: columns(),
        rule: RULES[rule].into(),
        ..Delivery::default()
    };
    let told = match op {
        Op::Add(task, records, rule) => {
            let records = records.iter().map(Record::text);
            store
                .add(task, records, &delivery(Kind::Samples, *rule))
                .map(drop)
        }
        Op::Pieces(task, pieces, rule) => {
            let text =
                |(path, version): &(u64, u64)| format!(r#"{{"version":{version},"path":{path}}}"#);
            let records = pieces.iter().map(text);
            store
                .add(task, records, &delivery(Kind::Pieces, *rule))
                .map(drop)
        }
        Op::Merge(task, of, rule) => store.merge(task, of, RULES[*rule]).map(drop),
        Op::Solved(records) => {
            let records = records.iter().map(Record::text);
            store
                .solved(("prover", None), records, &columns())
                .map(drop)
        }
    };
    match told {
        // Some of what is drawn cannot be: a merge of one task, or of one that is not there.
        Err(StoreError::Refused(_)) if matches!(op, Op::Merge(..)) => Ok(()),
        told => told,
    }
}
