//! A store of tasks with a merge rule and a solver of our own: theorems whose shorter proof stands, and sums that a program proves.
//!
//! `own-plugins tasks sums add sums.jsonl --identity name --unsolved sorry --rule shortest`, then
//! `own-plugins tasks sums solved --solver adder --task sums --difficulty proof --unsolved sorry`

use lyceum::task_store::{Choice, MergeRule, Solver, Version};
use serde_json::{Map, Value};

/// Of two versions that are solved, the one whose `proof` has fewer characters stands; a solved one beats an unsolved one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shortest;

fn length(version: &Version<'_>) -> usize {
    let record: Option<Value> = serde_json::from_str(version.record).ok();
    let proof = record.as_ref().and_then(|record| record["proof"].as_str());
    proof.map_or(usize::MAX, |proof| proof.chars().count())
}

impl MergeRule for Shortest {
    fn sample(&self, held: &Version<'_>, new: &Version<'_>) -> Choice {
        match (new.unsolved, length(new)) < (held.unsolved, length(held)) {
            true => Choice::New,
            false => Choice::Held,
        }
    }

    fn piece(&self, _: &Version<'_>, _: &Version<'_>) -> Choice {
        Choice::Held
    }
}

/// Proves statements such as `2 + 3 = 5` by adding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adder;

fn holds(statement: &str) -> Option<bool> {
    let (left, right) = statement.split_once('=')?;
    let terms = left.split('+').map(|term| term.trim().parse::<i64>().ok());
    let sum = terms.sum::<Option<i64>>()?;
    Some(sum == right.trim().parse::<i64>().ok()?)
}

impl Solver for Adder {
    fn solve(&self, sample: &Map<String, Value>) -> Result<Option<Map<String, Value>>, String> {
        let statement = sample.get("statement").and_then(Value::as_str);
        if statement.and_then(holds) != Some(true) {
            return Ok(None);
        }
        let mut solved = sample.clone();
        solved.insert("sorry".into(), false.into());
        solved.insert("proof".into(), "by decide".into());
        Ok(Some(solved))
    }
}
