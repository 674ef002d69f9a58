//! What a log says of a stream of tasks: accuracy per task and evaluation, and who learned what when.

mod lifetime;
mod measures;
#[cfg(test)]
mod tests;

use crate::continual::AccuracyMatrix;
use lyceum_core::{ClientId, ClientReport, Event, Opening, Probe, Round, TaskId, TaskInfo, Visit};
use std::collections::BTreeMap;

/// Collects, event by event, what continual measures are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamRecord {
    tasks: Vec<TaskInfo>,
    order: Vec<Visit>,
    /// Where clients have calendars of their own: when the last client is gone from each entry of the order, `None` for
    /// the end of the run; empty where they have the tasks in orders of their own.
    ends: Option<Vec<Option<u64>>>,
    before: Vec<Option<f64>>,
    /// Accuracy of each task, by definition, after the rounds that were judged.
    judged: BTreeMap<Round, Vec<Option<f64>>>,
    /// Accuracy of each task, by definition, on its validation samples, when it was judged by them last while it was learned.
    validated: BTreeMap<TaskId, f64>,
    learned: BTreeMap<ClientId, Vec<Learned>>,
}

/// A client's time on a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// Which task.
    pub task: TaskId,
    /// First round in which its work on it counted.
    pub from: Round,
    /// Last one.
    pub to: Round,
    /// Samples that it had of it.
    pub samples: u64,
    /// Accuracy of its own model on it in the last of these rounds, before aggregation.
    pub local: Option<f64>,
}

/// Accuracies of the tasks of a stream after each of them, as shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Positions of the tasks in their definition, in the order in which they came; each once.
    pub tasks: Vec<TaskId>,
    /// Row i: accuracy on each of `tasks` when task i was over, that of the last task at the last evaluation.
    pub rows: Vec<Vec<Option<f64>>>,
    /// Of the initial model.
    pub before: Vec<Option<f64>>,
}

impl StreamRecord {
    /// Takes an event into account.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::StreamStarted { tasks, order, ends } => {
                self.tasks.clone_from(tasks);
                self.order.clone_from(order);
                self.ends.clone_from(ends);
                self.before = vec![None; tasks.len()];
            }
            Event::TaskBegan(opening) => self.begun(opening),
            Event::TaskAdded { task, order, .. } => {
                self.tasks.push(task.clone());
                self.before.push(None);
                self.order.clone_from(order);
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
            Event::Evaluated {
                round,
                probe: Probe::Gate(task),
                accuracy,
                ..
            } => {
                let begun = self.order.partition_point(|v| v.begins <= round.0);
                let place = begun.checked_sub(1);
                if place.is_some_and(|place| self.order[place].task == *task) {
                    self.validated.insert(*task, *accuracy);
                }
            }
            Event::Client { round, report } if report.accepted() => {
                if let Some(task) = report.task {
                    self.trained(*round, task, report);
                }
            }
            _ => {}
        }
    }

    /// A gate opened: the visit before is over, and a new one lasts to the end of the run as far as is known.
    fn begun(&mut self, opening: &Opening) {
        let begins = opening.round.0;
        let ends = self.order.last_mut().map_or(begins + 1, |before| {
            std::mem::replace(&mut before.ends, begins)
        });
        self.order.push(Visit {
            task: opening.task,
            place: opening.place,
            begins,
            ends,
        });
    }

    fn trained(&mut self, round: Round, task: TaskId, report: &ClientReport) {
        let all = self.learned.entry(report.client).or_default();
        let (samples, local) = (report.samples, report.local_accuracy);
        match all.last_mut() {
            Some(last) if last.task == task => {
                last.to = round;
                last.samples = last.samples.max(samples);
                last.local = local;
            }
            _ => all.push(Learned {
                task,
                from: round,
                to: round,
                samples,
                local,
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

    /// The common order, and when its tasks begin.
    pub fn order(&self) -> &[Visit] {
        &self.order
    }

    /// What each client learned, in the order of time.
    pub fn learned(&self) -> &BTreeMap<ClientId, Vec<Learned>> {
        &self.learned
    }

    /// Accuracies per task, by definition, after every round that was judged.
    pub fn judged(&self) -> &BTreeMap<Round, Vec<Option<f64>>> {
        &self.judged
    }

    /// Accuracy of each of some tasks on its validation samples, right after it was learned.
    pub fn validation(&self, tasks: &[TaskId]) -> Vec<Option<f64>> {
        let of = |task: &TaskId| self.validated.get(task).copied();
        tasks.iter().map(of).collect()
    }

    /// The first round in which nobody is at an entry of the common order any more, [`END`] for those that last to the end
    /// of the run, as the last one does; `None` where clients have the tasks in orders of their own.
    fn end(&self, place: usize) -> Option<u64> {
        let next = self.order.get(place + 1).map(|visit| visit.begins);
        match &self.ends {
            _ if next.is_none() => Some(END),
            None => next,
            Some(ends) => Some(ends.get(place)?.unwrap_or(END)),
        }
    }

    /// Whether a task is not over for all clients before the run is, or never at once, other than the last one.
    pub fn ends_apart(&self) -> bool {
        let earlier = 0..self.order.len().saturating_sub(1);
        earlier
            .into_iter()
            .any(|place| self.end(place).is_none_or(|end| end == END))
    }

    /// Places in the common order at which each task is first there.
    fn first_places(&self) -> Vec<usize> {
        let first = |&place: &usize| {
            let task = self.order[place].task;
            self.order[..place].iter().all(|v| v.task != task)
        };
        (0..self.order.len()).filter(first).collect()
    }

    /// Accuracies when each task of the common order was over for everybody. A task that comes again is judged after its
    /// first time.
    pub fn curve(&self) -> Curve {
        let places = self.first_places();
        let tasks: Vec<TaskId> = places.iter().map(|&p| self.order[p].task).collect();
        let nexts = places.iter().skip(1).map(|next| next - 1);
        let last = places.last().map(|_| self.order.len() - 1);
        let row = |(&place, next): (&usize, usize)| match self.end(next) {
            Some(END) => self.last_row(&tasks, Round(self.order[place].begins)),
            end => self.row_at_end(&tasks, end),
        };
        let rows = places.iter().zip(nexts.chain(last)).map(row).collect();
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

    /// The evaluation after the last round before this one.
    fn row_at_end(&self, tasks: &[TaskId], end: Option<u64>) -> Vec<Option<f64>> {
        let round = end.and_then(|end| end.checked_sub(1)).map(Round);
        of_tasks(tasks, round.and_then(|round| self.judged.get(&round)))
    }

    /// The last evaluation of all, if it is not before a round.
    fn last_row(&self, tasks: &[TaskId], from: Round) -> Vec<Option<f64>> {
        let last = self.judged.range(from..).next_back();
        of_tasks(tasks, last.map(|(_, row)| row))
    }

    /// A client's own curve: its tasks in its order, judged by the global model when each was over for it.
    pub fn curve_of(&self, client: ClientId) -> Curve {
        let empty = Vec::new();
        let mut learned: Vec<Learned> = Vec::new();
        for own in self.learned.get(&client).unwrap_or(&empty) {
            if learned.iter().all(|l| l.task != own.task) {
                learned.push(*own);
            }
        }
        let tasks: Vec<TaskId> = learned.iter().map(|l| l.task).collect();
        let pairs = learned.windows(2);
        let ends = pairs.map(|pair| self.end_of(&pair[0], &pair[1]));
        let mut rows: Vec<_> = ends.map(|end| self.row_at_end(&tasks, end)).collect();
        rows.extend(learned.last().map(|own| self.last_row(&tasks, own.to)));
        Curve {
            before: vec![None; tasks.len()],
            tasks,
            rows,
        }
    }

    /// When a task is over for a client: with the visit of the common order or, where the client has a calendar of its
    /// own, when it is first seen at the next one.
    fn end_of(&self, own: &Learned, next: &Learned) -> Option<u64> {
        if self.ends.is_some() {
            return Some(next.from.0);
        }
        let begun = self.order.partition_point(|v| v.begins <= own.to.0);
        self.end(begun.checked_sub(1)?).filter(|&end| end < END)
    }
}

/// The end of the run, whenever that is.
const END: u64 = u64::MAX;

/// The accuracies of some tasks in an evaluation.
fn of_tasks(tasks: &[TaskId], row: Option<&Vec<Option<f64>>>) -> Vec<Option<f64>> {
    let of = |task: &TaskId| row?.get(task.0 as usize).copied().flatten();
    tasks.iter().map(of).collect()
}

impl Curve {
    /// As a matrix; `None` without tasks.
    pub fn matrix(&self) -> Option<AccuracyMatrix> {
        let matrix = AccuracyMatrix::from_rows(self.rows.clone())?;
        (matrix.tasks() > 0).then(|| matrix.with_before(self.before.clone()))?
    }
}
