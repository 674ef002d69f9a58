//! Promise: a progressive run has one fingerprint whatever it runs on, its order follows the difficulty of samples, its tasks are judged
//! by validation samples of their own, and what does not go together is refused.

use crate::{
    catalogue::read,
    determinism::{everywhere, run_in},
};
use lyceum_core::{Event, Probe, TaskId, units::Percentage};
use lyceum_metrics::{EventReader, StreamRecord};
use lyceum_scenarios::{
    Loaded, Scenario,
    data::LoadContext,
    streams::{Endless, Limits, Unknown},
};
use std::path::{Path, PathBuf};

fn events(folder: &Path) -> Vec<Event> {
    let events = EventReader::open(&folder.join("events.jsonl")).unwrap();
    events.map(|event| event.unwrap()).collect()
}

/// Runs a file of the catalogue.
fn ran(name: &str, overrides: &[&str]) -> Vec<Event> {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    run_in(&run, &read(name, overrides), 2, false);
    events(&run)
}

/// Tasks in the order in which they come.
fn order(events: &[Event]) -> Vec<u32> {
    let started = events.iter().find_map(|event| match event {
        Event::StreamStarted { order, .. } => Some(order),
        _ => None,
    });
    started.unwrap().iter().map(|visit| visit.task.0).collect()
}

#[test]
fn one_fingerprint_on_threads_and_nodes_and_after_a_stop() {
    everywhere("progressive-digits", &[], 5);
    everywhere(
        "progressive-digits",
        &[
            "scenario.progressive.begin=\"first\"",
            "scenario.progressive.method={ ewc = { lambda = 10.0, fisher = \"batched\" } }",
            "training.carry=false",
        ],
        3,
    );
    everywhere("progressive-shared", &["run.rounds=12"], 7);
}

#[test]
fn every_task_is_validated_while_it_is_learned() {
    let events = ran("progressive-digits", &[]);
    let mut validated: Vec<(u64, u32)> = Vec::new();
    let mut record = StreamRecord::default();
    for event in &events {
        record.observe(event);
        if let Event::Evaluated {
            round,
            probe: Probe::Gate(task),
            samples,
            ..
        } = event
        {
            assert!(*samples > 0);
            validated.push((round.0, task.0));
        }
    }
    let order = order(&events);
    let wanted: Vec<(u64, u32)> = (0..10).map(|r| (r, order[r as usize / 2])).collect();
    assert_eq!(validated, wanted);
    let tasks: Vec<TaskId> = order.into_iter().map(TaskId).collect();
    let values = record.validation(&tasks);
    assert!(
        values.iter().all(|value| value.is_some_and(|v| v > 0.5)),
        "{values:?}"
    );
}

/// Each task alone: what it is worth right after it follows from the first model, so not from the order of the tasks.
#[test]
fn tasks_alone_are_worth_the_same_in_any_order() {
    let worth = |order: &str| {
        let alone = [
            "scenario.progressive.begin=\"first\"",
            "scenario.progressive.method={}",
            "training.carry=false",
            "run.rounds=5",
            "scenario.progressive.tasks=5",
            "training.epochs=2",
            order,
        ];
        let events = ran("progressive-digits", &alone);
        let mut record = StreamRecord::default();
        events.iter().for_each(|event| record.observe(event));
        let matrix = record.curve().matrix().unwrap();
        let place = record.order().iter().map(|v| v.task.0).collect::<Vec<_>>();
        let mut all: Vec<(u32, f64)> = place
            .into_iter()
            .enumerate()
            .map(|(at, task)| (task, matrix.just_learned(at).unwrap()))
            .collect();
        all.sort_by_key(|(task, _)| *task);
        all
    };
    let (forth, back) = (
        worth("scenario.progressive.order=\"defined\""),
        worth("scenario.progressive.order={ defined = { reversed = true } }"),
    );
    for ((task, forth), (_, back)) in forth.into_iter().zip(back) {
        // Batches are drawn anew in each round.
        assert!(
            (forth - back).abs() < 0.1,
            "task {task}: {forth} and {back}"
        );
    }
}

/// A table with a column for sites and one for how hard a row is.
#[test]
fn tasks_and_difficulties_come_from_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut train = String::from("site,steps,x,label\n");
    for row in 0..120 {
        let site = [7, 2, 5][row % 3];
        // Of site 5 all are easy, of site 7 half, of site 2 none.
        let steps = match (site, row % 2) {
            (5, _) | (7, 0) => 1,
            _ => 9,
        };
        train += &format!("{site},{steps},{},{}\n", row % 4, (row / 3) % 2);
    }
    std::fs::write(folder.path().join("train.csv"), &train).unwrap();
    let text = |order: &str| {
        format!(
            "run = {{ name = 'columns', rounds = 3 }}\nmodel = 'softmax'\ntraining = {{ rate = 0.1 }}\nselection = 'all'\n\
             strategy = 'fed_avg'\n[data]\nset = {{ csv = {{ train = '{}', label = 'label' }} }}\nclients = 1\n\
             partition = 'iid'\n[scenario.progressive]\ncolumn = 'site'\norder = {order}\n",
            folder.path().join("train.csv").display()
        )
    };
    let names = |order: &str| -> Result<Vec<String>, String> {
        let scenario = Scenario::read(&lyceum::registry(), "columns", &text(order), &[]);
        let scenario = scenario.map_err(|e| e.to_string())?;
        let loaded = Loaded::read(&scenario, &[]).map_err(|e| e.to_string())?;
        let stream = loaded.stream(&scenario, None).map_err(|e| e.to_string())?;
        let stream = stream.unwrap();
        let visits = stream.reference().iter();
        Ok(visits
            .map(|visit| stream.tasks()[visit.task.0 as usize].name.clone())
            .collect())
    };
    let of = |rest: &str| {
        format!("{{ difficulty = {{ of = {{ column = {{ name = 'steps' }} }}{rest} }} }}")
    };
    assert_eq!(names("'defined'").unwrap(), ["site 2", "site 5", "site 7"]);
    assert_eq!(
        names("{ defined = { reversed = true } }").unwrap(),
        ["site 7", "site 5", "site 2"]
    );
    for by in ["", ", by = 'share-easy'", ", by = 'mean'"] {
        assert_eq!(
            names(&of(by)).unwrap(),
            ["site 5", "site 7", "site 2"],
            "{by}"
        );
    }
    assert_eq!(
        names(&of(", first = 'hardest'")).unwrap(),
        ["site 2", "site 7", "site 5"]
    );
    let wrong = names("{ difficulty = { of = { column = { name = 'stepps' } } } }").unwrap_err();
    assert!(wrong.contains("there is no feature `stepps`"), "{wrong}");
    let wrong = names("{ difficulty = { of = 'given' } }").unwrap_err();
    assert!(wrong.contains("does not say how hard"), "{wrong}");
    let wrong = names(&of(", by = 'mean-loss'")).unwrap_err();
    assert!(wrong.contains("there are no losses"), "{wrong}");
    let wrong = names(&of(", percentiles = [70, 30]")).unwrap_err();
    assert!(wrong.contains("harder than what is medium"), "{wrong}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
        let path = crate::catalogue::folder().join("progressive-digits.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let scenario = Scenario::read(&lyceum::registry(), "p", &text, &overrides);
        let scenario = match scenario {
            Err(e) => return e.to_string(),
            Ok(scenario) => scenario,
        };
        let loaded = Loaded::read(&scenario, &[]).unwrap();
        let stream = loaded.stream(&scenario, Some(&[0.5; 100_000][..0]));
        stream.err().map_or_else(String::new, |e| e.to_string())
    };
    for (overrides, says) in [
        (
            &[
                "data.validation=0",
                "scenario.progressive.order=\"defined\"",
            ][..],
            "the best model is found by validation samples",
        ),
        (
            &["scenario.progressive.column=\"x\""],
            "the number of tasks follows from the others",
        ),
        (
            &[
                "scenario.progressive.classes=[[0],[1]]",
                "scenario.progressive.column=\"x\"",
            ],
            "both `classes` and `column` are given",
        ),
        (
            &["steering.average={}"],
            "this stream steers the run itself",
        ),
    ] {
        let found = refused(overrides);
        assert!(found.contains(says), "{overrides:?}: {found}");
    }
}

/// Two thirds of what each of three tasks shows is the same; the rest is its own.
#[test]
fn composed_tasks_share_what_they_say() {
    let scenario = read(
        "progressive-shared",
        &[
            "scenario.progressive.order=\"defined\"",
            "scenario.progressive.composed=[{ samples = 90, shared = 0.6666 }, { samples = 90, shared = 0.6666 }, { samples = 60, shared = 1.0 }]",
        ],
    );
    let loaded = Loaded::read(&scenario, &[]).unwrap();
    let stream = loaded.stream(&scenario, None).unwrap().unwrap();
    let pool = loaded.pooled().unwrap();
    let members: Vec<Vec<u32>> = (0..3)
        .map(|task| stream.whole_task(TaskId(task), &pool).indices.to_vec())
        .collect();
    let common = |a: usize, b: usize| {
        let of_b = &members[b];
        members[a]
            .iter()
            .filter(|place| of_b.contains(place))
            .count()
    };
    assert_eq!(
        members.iter().map(Vec::len).collect::<Vec<_>>(),
        [90, 90, 60]
    );
    assert_eq!((common(0, 1), common(0, 2), common(1, 2)), (60, 60, 60));
}

/// The published counts of easy, medium and hard theorems of every repository, and the order that follows from them.
#[test]
fn repositories_have_the_published_bins_and_order() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let table = folder.join("lean-premises/repositories.csv");
    if !table.is_file() {
        println!("skipped: {} is not there", table.display());
        return;
    }
    let scenario = read("progressive-lean", &[]);
    let context = LoadContext {
        seed: scenario.seed(),
        clients: 1,
        folders: vec![folder.clone()],
    };
    let items = scenario.data_set.plugin.items(&context).unwrap().unwrap();
    let thirds = [33.0, 67.0].map(|p| Percentage::new(p).unwrap());
    let all: Vec<_> = items.all.iter().map(|item| item.difficulty).collect();
    let limits = Limits::of(&all, thirds, Endless::Apart);
    assert_eq!((limits.easy, limits.medium), (2.0, 8.0));
    let counted = Limits::of(&all, thirds, Endless::Counted);
    assert_eq!((counted.easy, counted.medium), (3.0, 10.0));
    let mut rows = csv::Reader::from_path(&table).unwrap();
    let mut compared = 0;
    for row in rows.records().map(|row| row.unwrap()) {
        let number = |at: usize| row[at].parse::<u64>().unwrap();
        let Some(class) = number(0).checked_sub(2).filter(|class| *class < 25) else {
            continue;
        };
        assert_eq!(items.names[class as usize], &row[1]);
        let own = items
            .all
            .iter()
            .filter(|item| item.class == Some(class as u32));
        let own: Vec<_> = own.map(|item| item.difficulty).collect();
        let bins = limits.bins(&own, Unknown::Spread);
        let (easy, medium, hard) = (number(15), number(16), number(17));
        assert_eq!(
            (bins.easy, bins.medium, bins.hard),
            (easy, medium, hard),
            "{}",
            &row[1]
        );
        compared += 1;
    }
    assert_eq!(compared, 25);
    let loaded = Loaded::read(&scenario, &[folder]).unwrap();
    let stream = loaded.stream(&scenario, None).unwrap().unwrap();
    let order: Vec<u32> = stream.reference().iter().map(|v| v.task.0).collect();
    assert_eq!(order, (0..25).collect::<Vec<_>>());
    let validated = |round| stream.validated(lyceum_core::Round(round)).unwrap();
    assert_eq!(validated(0), (TaskId(0), 479));
    assert_eq!(validated(24), (TaskId(24), 30));
}
