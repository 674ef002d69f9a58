//! Killed at random moments: what was acknowledged is there, what was not is there whole or not at all, and nothing else has changed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that panics has failed, and what is measured is told"
)]

mod common;

use common::{Dice, Model, create, op, options, tell};
use lyceum_task_store::Store;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

const WHERE: &str = "LYCEUM_TASK_STORE_TOLD";
/// Kills.
const MOMENTS: u64 = 200;
/// Kills of one store; then a new one is begun.
const OF_A_STORE: u64 = 20;

/// Not a test by itself: the process that is killed. It tells a store one thing after another, and says so.
#[test]
#[ignore = "a process of the test below"]
fn told_until_killed() {
    let Ok(told) = std::env::var(WHERE) else {
        return;
    };
    let mut words = told.split('|');
    let folder = words.next().unwrap();
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (seed, from) = (number(), number());
    let mut store = Store::open(Path::new(folder), options()).unwrap();
    let mut out = std::io::stdout();
    for n in from..from + 1000 {
        tell(&mut store, &op(seed, n)).unwrap();
        if n % 5 == 0 {
            store.compact().unwrap();
        }
        writeln!(out, "\ntold {n}").unwrap();
        out.flush().unwrap();
    }
}

fn child(folder: &Path, seed: u64, from: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["told_until_killed", "--exact", "--ignored", "--nocapture"])
        .env(WHERE, format!("{}|{seed}|{from}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a process work for a while that chance decides, kills it, and says what it acknowledged last.
fn killed(mut child: Child, dice: &mut Dice) -> Option<u64> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = None;
    let mut wait = dice.next(5);
    while wait > 0 {
        let line = lines.next().unwrap().unwrap();
        if let Some(n) = line.strip_prefix("told ") {
            last = Some(n.parse().unwrap());
            wait -= 1;
        }
    }
    for _ in 0..dice.next(1 << 21) {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = lines.map_while(Result::ok);
    let left = left.filter_map(|line| line.strip_prefix("told ")?.parse().ok());
    left.last().or(last)
}

#[test]
fn killed_at_any_moment_nothing_is_lost_doubled_or_moved() {
    let mut dice = Dice(17);
    for seed in 0..MOMENTS / OF_A_STORE {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(create(&path));
        let mut model = Model::default();
        let mut next = 0;
        for kill in 0..OF_A_STORE {
            let last = killed(child(&path, seed, next), &mut dice);
            while last.is_some_and(|last| next <= last) {
                model.tell(&op(seed, next));
                next += 1;
            }
            let store = Store::open(&path, options()).unwrap();
            let facts = store.reach().facts;
            while model.facts < facts {
                model.tell(&op(seed, next));
                next += 1;
            }
            assert!(
                last.is_none_or(|last| next <= last + 4),
                "more than one fact ahead"
            );
            model.compare(&store).unwrap();
            if kill % 5 == 4 {
                let report = store.check().unwrap();
                assert!(report.is_good(), "seed {seed}, kill {kill}: {report:?}");
            }
        }
    }
}
