//! A run as a lifetime.

use super::{END, StreamRecord};
use crate::continual::lifelong::{Block, BlockKind, Experience, Lifetime};
use lyceum_core::{Round, TaskInfo};

impl StreamRecord {
    /// The run as a lifetime, in percent: a learning block per visit of the common order, with an experience per
    /// round that was judged on its task; after each an evaluation of all tasks, and one before the first where the
    /// initial model was judged. Nothing of a visit that has no end of its own ([`StreamRecord::ends_apart`]).
    pub fn lifetime(&self) -> Lifetime {
        let mut life = Life::default();
        if self.before.iter().all(Option::is_some) {
            life.test(&self.tasks, &self.before);
        }
        let mut from = 0;
        for (place, visit) in self.order.iter().enumerate() {
            let Some(end) = self.end(place) else {
                continue;
            };
            let begins = from.max(visit.begins);
            from = end;
            if begins >= end {
                continue;
            }
            let task = visit.task.0 as usize;
            let judged: Vec<_> = self.judged.range(Round(begins)..Round(end)).collect();
            let values = judged
                .iter()
                .filter_map(|(_, row)| row.get(task).copied().flatten());
            life.train(&self.tasks[task].name, values);
            let over = |round: &Round| end == END || round.0 + 1 == end;
            if let Some((_, row)) = judged.last().filter(|(round, _)| over(round)) {
                life.test(&self.tasks, row);
            }
        }
        Lifetime {
            blocks: life.blocks,
        }
    }
}

/// A lifetime that grows.
#[derive(Default)]
struct Life {
    blocks: Vec<Block>,
    block: u64,
    experience: u64,
}

impl Life {
    fn push(&mut self, kind: BlockKind, task: &str, values: impl Iterator<Item = f64>) {
        let experiences: Vec<Experience> = values
            .map(|value| {
                self.experience += 1;
                Experience {
                    number: self.experience - 1,
                    performance: 100.0 * value,
                }
            })
            .collect();
        if !experiences.is_empty() {
            self.blocks.push(Block {
                number: self.block,
                kind,
                asleep: false,
                task: task.to_owned(),
                experiences,
            });
        }
    }

    fn train(&mut self, task: &str, values: impl Iterator<Item = f64>) {
        self.push(BlockKind::Train, task, values);
        self.block += 1;
    }

    fn test(&mut self, tasks: &[TaskInfo], row: &[Option<f64>]) {
        for (task, value) in tasks.iter().zip(row) {
            self.push(BlockKind::Test, &task.name, value.iter().copied());
        }
        self.block += 1;
    }
}
