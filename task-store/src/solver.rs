//! A hook for what nobody has solved yet: whoever solves a sample hands back the solved version, and it goes to all tasks that have it.

use crate::StoreError;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// Tries to solve samples, such as theorems whose proof is `sorry`.
pub trait Solver: Send + Sync + fmt::Debug {
    /// The solved version of a sample, or nothing. It must have what says which sample it is, and its column of unsolved samples must say no.
    /// An error ends the whole attempt; what was solved before is kept.
    fn solve(&self, sample: &Map<String, Value>) -> Result<Option<Map<String, Value>>, String>;
}

/// Solvers by name.
#[derive(Debug, Default)]
pub struct Solvers(BTreeMap<String, Box<dyn Solver>>);

impl Solvers {
    /// Adds a solver, in the place of any other of this name.
    pub fn add(&mut self, name: &str, solver: impl Solver + 'static) {
        self.0.insert(name.into(), Box::new(solver));
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The solver of a name.
    pub fn find(&self, name: &str) -> Result<&dyn Solver, StoreError> {
        let found = self.0.get(name).map(|solver| &**solver);
        found.ok_or_else(|| {
            let names: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
            let there = match names.is_empty() {
                true => {
                    "this command has none; the command of a crate that brings one is right".into()
                }
                false => format!("{} are there", names.join(", ")),
            };
            StoreError::refused(format!("there is no solver `{name}`: {there}"))
        })
    }
}
