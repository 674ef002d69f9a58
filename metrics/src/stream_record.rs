//! What a log says of a stream of tasks: accuracy per task and evaluation, and who learned what when.

use lyceum_core::{ClientId, Event, Probe, Round, TaskId, TaskInfo, Visit};
use std::collections::BTreeMap;

/// Collects, event by event, what continual measures are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamRecord {
    tasks: Vec<TaskInfo>,
    order: Vec<Visit>,
    before: Vec<Option<f64>>,
    /// Accuracy of each task, by definition, after the rounds that were judged.
    judged: BTreeMap<Round, Vec<Option<f64>>>,
    learned: BTreeMap<ClientId, Vec<Learned>>,
}

/// A client's time on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Which task.
    pub task: TaskId,
    /// First round in which its work on it counted.
    pub from: Round,
    /// Last one.
    pub to: Round,
    /// Samples that it had of it.
    pub samples: u64,
}

/// Accuracies of the tasks of a stream after each of them, as shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Positions of the tasks in their definition, in the order in which they came; each once.
    pub tasks: Vec<TaskId>,
    /// Row i: accuracy on each of `tasks` at the last evaluation before the next one came.
    pub rows: Vec<Vec<Option<f64>>>,
    /// Of the initial model.
    pub before: Vec<Option<f64>>,
}

impl StreamRecord {
    /// Takes an event into account.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::StreamStarted { tasks, order } => {
                self.tasks.clone_from(tasks);
                self.order.clone_from(order);
                self.before = vec![None; tasks.len()];
            }
            Event::EvaluatedBefore {
                probe: Probe::Task(task),
                accuracy,
                ..
            } => {
                if let Some(slot) = self.before.get_mut(task.0 as usize) {
                    *slot = Some(*accuracy);
                }
            }
            Event::Evaluated {
                round,
                probe: Probe::Task(task),
                accuracy,
                ..
            } => {
                let row = self.judged.entry(*round).or_default();
                row.resize(self.tasks.len(), None);
                if let Some(slot) = row.get_mut(task.0 as usize) {
                    *slot = Some(*accuracy);
                }
            }
            Event::Client { round, report } if report.accepted() => {
                if let Some(task) = report.task {
                    self.trained(report.client, *round, task, report.samples);
                }
            }
            _ => {}
        }
    }

    fn trained(&mut self, client: ClientId, round: Round, task: TaskId, samples: u64) {
        let all = self.learned.entry(client).or_default();
        match all.last_mut() {
            Some(last) if last.task == task => {
                last.to = round;
                last.samples = last.samples.max(samples);
            }
            _ => all.push(Learned {
                task,
                from: round,
                to: round,
                samples,
            }),
        }
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The tasks, in the order of their definition.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// What each client learned, in the order of time.
    pub fn learned(&self) -> &BTreeMap<ClientId, Vec<Learned>> {
        &self.learned
    }

    /// Accuracies per task, by definition, after every round that was judged.
    pub fn judged(&self) -> &BTreeMap<Round, Vec<Option<f64>>> {
        &self.judged
    }

    /// Accuracies after each task of the common order. A task that comes again is judged after its first time.
    pub fn curve(&self) -> Curve {
        let mut visits: Vec<Visit> = Vec::new();
        for visit in &self.order {
            if visits.iter().all(|v| v.task != visit.task) {
                visits.push(*visit);
            }
        }
        let tasks: Vec<TaskId> = visits.iter().map(|v| v.task).collect();
        let ends = visits.iter().skip(1).map(|v| Some(v.begins));
        let rows = visits
            .iter()
            .zip(ends.chain([None]))
            .map(|(visit, end)| self.row(&tasks, Round(visit.begins), end.map(Round)))
            .collect();
        let before = tasks
            .iter()
            .map(|t| self.before.get(t.0 as usize).copied().flatten())
            .collect();
        Curve {
            tasks,
            rows,
            before,
        }
    }

    /// The last evaluation from a round on and before another.
    fn row(&self, tasks: &[TaskId], from: Round, to: Option<Round>) -> Vec<Option<f64>> {
        let to = to.unwrap_or(Round(u64::MAX));
        let last = (from < to).then(|| self.judged.range(from..to).next_back());
        let of = |task: &TaskId| last.flatten()?.1.get(task.0 as usize).copied().flatten();
        tasks.iter().map(of).collect()
    }

    /// A client's own curve: its tasks in its order, judged by the global model after its last round on each.
    pub fn curve_of(&self, client: ClientId) -> Curve {
        let empty = Vec::new();
        let mut learned: Vec<Learned> = Vec::new();
        for own in self.learned.get(&client).unwrap_or(&empty) {
            if learned.iter().all(|l| l.task != own.task) {
                learned.push(*own);
            }
        }
        let tasks: Vec<TaskId> = learned.iter().map(|l| l.task).collect();
        let ends = learned.iter().skip(1).map(|l| Some(l.from));
        let rows = learned
            .iter()
            .zip(ends.chain([None]))
            .map(|(own, end)| self.row(&tasks, own.from, end))
            .collect();
        Curve {
            before: vec![None; tasks.len()],
            tasks,
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::ClientReport;

    fn judged(round: u64, task: u32, accuracy: f64) -> Event {
        Event::Evaluated {
            round: Round(round),
            probe: Probe::Task(TaskId(task)),
            accuracy,
            loss: 0.0,
            samples: 1,
            correct: vec![],
            count: vec![],
        }
    }

    fn visit(task: u32, place: u32, begins: u64) -> Visit {
        let task = TaskId(task);
        Visit {
            task,
            place,
            begins,
            ends: begins + 2,
        }
    }

    fn record() -> StreamRecord {
        let info = |name: &str| TaskInfo {
            name: name.into(),
            classes: vec![],
            probe: 1,
        };
        let trained = |round, task| {
            let mut report = ClientReport::dropped_out(ClientId(3), 7, 0);
            report.outcome = lyceum_core::Outcome::Accepted;
            report.task = Some(TaskId(task));
            Event::Client {
                round: Round(round),
                report,
            }
        };
        let mut record = StreamRecord::default();
        let events = [
            Event::StreamStarted {
                tasks: vec![info("a"), info("b")],
                order: vec![visit(1, 0, 0), visit(0, 1, 2)],
            },
            judged(0, 1, 0.5),
            trained(1, 0),
            judged(1, 1, 0.9),
            judged(1, 0, 0.1),
            trained(2, 1),
            judged(3, 1, 0.6),
            judged(3, 0, 0.8),
        ];
        events.iter().for_each(|e| record.observe(e));
        record
    }

    #[test]
    fn a_row_is_the_last_evaluation_before_the_next_task() {
        let curve = record().curve();
        assert_eq!(curve.tasks, [TaskId(1), TaskId(0)]);
        let want = [[Some(0.9), Some(0.1)], [Some(0.6), Some(0.8)]];
        assert_eq!(curve.rows, want);
        assert_eq!(curve.before, [None, None]);
    }

    #[test]
    fn a_client_has_a_curve_of_its_own_order() {
        let curve = record().curve_of(ClientId(3));
        assert_eq!(curve.tasks, [TaskId(0), TaskId(1)]);
        assert_eq!(curve.rows[0], [Some(0.1), Some(0.9)]);
        assert_eq!(curve.rows[1], [Some(0.8), Some(0.6)]);
    }
}
