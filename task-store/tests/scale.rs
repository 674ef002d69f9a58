//! Ten million samples in ten thousand tasks, as figures: `cargo test --release -p lyceum-task-store --test scale -- --ignored --nocapture`.
//! `TASKS` and `SAMPLES` are other numbers of tasks, and of samples in each; nothing is asserted of time or memory.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that panics has failed, and what is measured is told"
)]

use lyceum_task_store::{Delivery, Settings, Store, StoreOptions};
use std::{env, fs, path::PathBuf, time::Instant};

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(otherwise)
}

/// Kilobytes of this process, now and at most.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"));
    lines.collect::<Vec<_>>().join(" ").replace('\t', " ")
}

/// Samples of a task: a tenth is shared with the task before.
fn records(task: u64, samples: u64) -> impl Iterator<Item = String> {
    (0..samples).map(move |n| {
        let of = if n < samples / 10 { task.saturating_sub(1) } else { task };
        let steps = (of * 31 + n * 7) % 40;
        format!(r#"{{"name":"Repository{of}.theorem_{n}","statement":"for all a b c, a + (b + c) = (a + b) + c [{n}]","steps":{steps}}}"#)
    })
}

#[test]
#[ignore = "figures, not a promise"]
fn ten_million_samples_in_ten_thousand_tasks() {
    let (tasks, samples) = (number("TASKS", 10_000), number("SAMPLES", 1000));
    let kept = env::var("FOLDER").map(PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let path = kept.unwrap_or(folder.path().join("store"));
    let settings = Settings {
        identity: vec!["name".into()],
        ..Settings::default()
    };
    let how = Delivery::by_column("steps");
    if !path.join("tasks.jsonl").exists() {
        let mut store = Store::create(&path, &settings, StoreOptions::default()).unwrap();
        let began = Instant::now();
        for task in 0..tasks {
            store
                .add(&format!("repository-{task}"), records(task, samples), &how)
                .unwrap();
            if task % 1000 == 999 {
                println!(
                    "{} tasks after {:.0?}; {}",
                    task + 1,
                    began.elapsed(),
                    memory()
                );
            }
        }
        drop(store);
    }
    let began = Instant::now();
    let mut store = Store::open(&path, StoreOptions::default()).unwrap();
    println!("opened in {:.0?}; {}", began.elapsed(), memory());
    let mut times = Vec::new();
    for more in 0..40 {
        let task = store.reach().facts + 1_000_000 + more;
        let new: Vec<_> = records(task, samples).collect();
        let began = Instant::now();
        store.add(&format!("late-{task}"), new, &how).unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "a task of {samples} more: median {:.1?}, longest {:.1?}; {}",
        times[20],
        times[39],
        memory()
    );
    let began = Instant::now();
    let bins = store.bins().unwrap();
    println!("bins in {:.0?}: {bins:?}", began.elapsed());
    let began = Instant::now();
    let listed = store.tasks().unwrap().count();
    println!("{listed} tasks listed in {:.0?}", began.elapsed());
    let began = Instant::now();
    let task = store.task("repository-1").unwrap();
    let texts = store
        .samples(&task)
        .unwrap()
        .map(|s| store.text(&s.unwrap().row).unwrap().len());
    println!(
        "{} bytes of a task read in {:.1?}; {}",
        texts.sum::<usize>(),
        began.elapsed(),
        memory()
    );
    println!("{:?} samples and pieces", store.totals().unwrap());
}
