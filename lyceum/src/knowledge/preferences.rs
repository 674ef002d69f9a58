//! Preferences as words, files and random draws.

use crate::failure::Failure;
use lyceum_core::{Purpose, Seed, Ticket};
use lyceum_strategies::knowledge::check_preference;
use rand::RngExt;
use std::{fs, path::Path};

/// Random preferences at a time.
const MOST: u64 = 10_000_000;

/// Tells the numbers of draws of one kind from those of the other.
const EVEN: u64 = 1 << 63;

/// A preference from words such as `0.2,0.5,0.3`.
pub(super) fn parse(text: &str, tasks: usize) -> Result<Vec<f64>, String> {
    let numbers = text.split(',').map(|word| word.trim().parse::<f64>());
    let numbers: Result<Vec<f64>, _> = numbers.collect();
    let weights = numbers.map_err(|_| {
        format!("`{text}` is no preference: expected numbers with commas between them, such as 0.2,0.5,0.3")
    })?;
    check_preference(&weights, tasks).map_err(|fault| fault.to_string())?;
    Ok(weights)
}

/// Many preferences: a number of random ones, or those of a file, one a line; lines that begin with `#` and empty ones are left
/// out.
pub(super) fn many(text: &str, tasks: usize, seed: u64) -> Result<Vec<Vec<f64>>, Failure> {
    if text.parse::<f64>().is_ok() {
        let whole = text.parse::<u64>().ok();
        let whole = whole.filter(|count| (1..=MOST).contains(count));
        let count = whole.ok_or_else(|| {
            Failure::input(format!(
                "--preferences {text}: expected a file, or a whole number from 1 to {MOST}"
            ))
        })?;
        return Ok((0..count)
            .map(|number| random(tasks, seed, number))
            .collect());
    }
    let file = Path::new(text);
    let content = fs::read_to_string(file)
        .map_err(|e| Failure::input(format!("--preferences {text}: {e}")))?;
    let lines = (1..).zip(content.lines());
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let preferences = lines.map(|(number, line)| {
        parse(line, tasks)
            .map_err(|fault| Failure::input(format!("{text}, line {number}: {fault}")))
    });
    let preferences: Vec<Vec<f64>> = preferences.collect::<Result<_, _>>()?;
    match preferences.is_empty() {
        false => Ok(preferences),
        true => Err(Failure::input(format!(
            "--preferences {text}: there is no preference in it: expected one a line, such as 0.2,0.5,0.3"
        ))),
    }
}

/// Spread evenly over all preferences there are: exponential numbers divided by their sum.
pub(super) fn even(tasks: usize, seed: u64, number: u64) -> Vec<f64> {
    let mut rng = Seed(seed).stream(Purpose::PREFERENCES, Ticket(EVEN | number), None);
    let draws = (0..tasks).map(|_| -(1.0 - rng.random::<f64>()).ln());
    let draws: Vec<f64> = draws.collect();
    let sum: f64 = draws.iter().sum();
    draws.iter().map(|draw| draw / sum).collect()
}

/// Uniform numbers divided by their sum, as the published code draws them.
pub(crate) fn random(tasks: usize, seed: u64, number: u64) -> Vec<f64> {
    let mut rng = Seed(seed).stream(Purpose::PREFERENCES, Ticket(number), None);
    let draws: Vec<f64> = (0..tasks).map(|_| 1.0 - rng.random::<f64>()).collect();
    let sum: f64 = draws.iter().sum();
    draws.iter().map(|draw| draw / sum).collect()
}
