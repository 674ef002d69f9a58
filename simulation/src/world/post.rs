//! What somebody asks of a world's run: what mixtures are worth, and that tasks join its stream.
//!
//! As in a run's folder, a request lies there until the state that its answer led to is safe, whichever process takes it.

use lyceum_coordinator::RoundMachine;
use lyceum_core::{Fact, GLOBAL, Request, Round, TaskDefinition, Want};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names of tasks that are asked for begin so.
const ASKED: &str = "asked-";

/// Requests that wait. A handle outlives the coordinator's process.
#[derive(Clone, Default)]
pub(crate) struct Post(Arc<Mutex<Letters>>);

#[derive(Default)]
struct Letters {
    waiting: Vec<Request>,
    /// Requests so far.
    written: u32,
}

impl Post {
    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks what a mixture is worth, which must change nothing; each time another one. Every third time a preference over one to
    /// four tasks, which a run with a knowledge base answers once so many are over, and others refuse.
    pub(crate) fn ask_worth(&self) {
        self.write(|number| match number % 3 {
            0 => {
                let tasks = 1 + number / 3 % 4;
                let weights = (0..tasks).map(|_| 1.0 / f64::from(tasks)).collect();
                Want::Prefer { weights }
            }
            _ => Want::Judge {
                of: vec![
                    (GLOBAL.into(), 0.5),
                    (GLOBAL.into(), f64::from(number) / 8.0),
                ],
            },
        });
    }

    /// Asks that a task of one class joins the stream.
    pub(crate) fn ask_task(&self, class: u32) {
        self.write(|number| {
            Want::AddTask(TaskDefinition {
                name: format!("{ASKED}{number}"),
                classes: vec![class],
            })
        });
    }

    fn write(&self, want: impl Fn(u32) -> Want) {
        let mut letters = self.lock();
        letters.written += 1;
        let number = letters.written;
        letters.waiting.push(Request {
            id: number.to_string(),
            want: want(number),
        });
    }

    /// All that wait, in the order in which they were asked.
    pub(super) fn waiting(&self) -> Vec<Request> {
        self.lock().waiting.clone()
    }

    /// Clears away what was answered.
    pub(super) fn clear(&self, answered: &[String]) {
        let waiting = &mut self.lock().waiting;
        waiting.retain(|request| !answered.contains(&request.id));
    }
}

/// The tasks that a run was asked for and took, with the rounds in which they were told.
pub(crate) fn tasks_taken(machine: &RoundMachine) -> Vec<(Round, TaskDefinition)> {
    let facts = machine.facts();
    let task = |fact: &Fact| match fact {
        Fact::Task { round, task } => Some((*round, task.clone())),
        _ => None,
    };
    let tasks = facts.all().iter().filter_map(task);
    tasks
        .filter(|(_, task)| task.name.starts_with(ASKED))
        .collect()
}
