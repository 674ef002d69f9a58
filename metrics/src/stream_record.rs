//! What a log says of a stream of tasks: accuracy per task and evaluation, and who learned what when.

use crate::continual::{
    AccuracyMatrix, ClientMatrix, backward_transfer, final_average_accuracy, forgetting_max,
    forward_transfer, learning_accuracy,
    lifelong::{Block, BlockKind, Experience, Lifetime},
    mean_of_curve, mean_online_accuracy, mean_over_clients, mean_spatial_knowledge_retention,
    mean_temporal_knowledge_retention,
};
use lyceum_core::{ClientId, ClientReport, Event, Opening, Probe, Round, TaskId, TaskInfo, Visit};
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
            Event::TaskBegan(opening) => self.begun(opening),
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

impl StreamRecord {
    /// What tables of runs show, by name: average accuracy, forgetting, transfers of the common order; of clients' own orders, where there are several
    /// clients; knowledge retention; accuracy over time.
    pub fn measures(&self) -> BTreeMap<String, f64> {
        let mut found = BTreeMap::new();
        let mut put = |name: &str, value: Option<f64>| {
            value.map(|value| found.insert(name.to_owned(), value));
        };
        put("average_accuracy", self.average_accuracy());
        if let Some(matrix) = self.curve().matrix() {
            put("mean_curve_accuracy", mean_of_curve(&matrix));
            put("learning_accuracy", learning_accuracy(&matrix));
            put("forgetting", forgetting_max(&matrix));
            put("backward_transfer", backward_transfer(&matrix));
            put("forward_transfer", forward_transfer(&matrix));
        }
        put("online_accuracy", self.online_accuracy());
        if self.learned.len() > 1 {
            let clients = self.client_matrices();
            put(
                "client_accuracy",
                mean_over_clients(&clients, final_average_accuracy),
            );
            put(
                "client_forgetting",
                mean_over_clients(&clients, forgetting_max),
            );
            put(
                "temporal_retention",
                mean_temporal_knowledge_retention(&clients),
            );
        }
        put(
            "spatial_retention",
            mean_spatial_knowledge_retention(&self.local_and_global()),
        );
        found
    }

    /// Mean over the tasks of the common order at the last evaluation, whenever they came.
    fn average_accuracy(&self) -> Option<f64> {
        let (_, last) = self.judged.last_key_value()?;
        let tasks = self.curve().tasks;
        let values = tasks
            .iter()
            .map(|t| last.get(t.0 as usize).copied().flatten());
        crate::mean(&values.collect::<Option<Vec<f64>>>()?)
    }

    /// The run as a lifetime, in percent: a learning block per visit of the common order, with an experience per
    /// round that was judged on its task; after each an evaluation of all tasks, and one before the first where the
    /// initial model was judged.
    pub fn lifetime(&self) -> Lifetime {
        let mut life = Life::default();
        if self.before.iter().all(Option::is_some) {
            life.test(&self.tasks, &self.before);
        }
        let ends = self.order.iter().skip(1).map(|v| v.begins);
        for (visit, end) in self.order.iter().zip(ends.chain([u64::MAX])) {
            if visit.begins >= end {
                continue;
            }
            let judged = self.judged.range(Round(visit.begins)..Round(end));
            let task = visit.task.0 as usize;
            let rounds: Vec<_> = judged.collect();
            let values = rounds
                .iter()
                .filter_map(|(_, row)| row.get(task).copied().flatten());
            life.train(&self.tasks[task].name, values);
            if let Some((_, row)) = rounds.last() {
                life.test(&self.tasks, row);
            }
        }
        Lifetime {
            blocks: life.blocks,
        }
    }

    /// Mean over time of the mean accuracy on all tasks that had begun.
    fn online_accuracy(&self) -> Option<f64> {
        let begun = |round: Round| {
            let visits = self.order.iter().filter(move |v| v.begins <= round.0);
            visits
                .map(|v| v.task.0 as usize)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let mean = |(round, row): (&Round, &Vec<Option<f64>>)| {
            let values = begun(*round)
                .into_iter()
                .map(|t| row.get(t).copied().flatten());
            let values: Vec<f64> = values.collect::<Option<_>>()?;
            Some((round.0 as f64, crate::mean(&values)?))
        };
        let points: Vec<(f64, f64)> = self.judged.iter().map(mean).collect::<Option<_>>()?;
        mean_online_accuracy(&points)
    }

    /// A matrix per client that has learned every one of its tasks when it was judged.
    pub fn client_matrices(&self) -> Vec<ClientMatrix> {
        let matrix = |(client, learned): (&ClientId, &Vec<Learned>)| {
            let samples = learned.iter().map(|l| l.samples).sum::<u64>() as f64;
            let matrix = self.curve_of(*client).matrix()?;
            Some(ClientMatrix { samples, matrix })
        };
        self.learned.iter().filter_map(matrix).collect()
    }

    /// For each client its samples, and for each of its tasks the accuracy of the global model and of its own.
    fn local_and_global(&self) -> Vec<(f64, Vec<(f64, f64)>)> {
        let pair = |own: &Learned| {
            let global = self
                .judged
                .get(&own.to)?
                .get(own.task.0 as usize)
                .copied()
                .flatten()?;
            Some((global, own.local?))
        };
        let clients = self.learned.values().map(|learned| {
            let samples = learned.iter().map(|l| l.samples).sum::<u64>() as f64;
            (samples, learned.iter().filter_map(pair).collect::<Vec<_>>())
        });
        clients.filter(|(_, pairs)| !pairs.is_empty()).collect()
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

impl Curve {
    /// As a matrix; `None` without tasks.
    pub fn matrix(&self) -> Option<AccuracyMatrix> {
        let matrix = AccuracyMatrix::from_rows(self.rows.clone())?;
        (matrix.tasks() > 0).then(|| matrix.with_before(self.before.clone()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_run_is_a_lifetime_of_learning_and_evaluation() {
        let life = record().lifetime();
        let blocks: Vec<_> = life
            .blocks
            .iter()
            .map(|b| (b.number, b.kind, b.task.as_str(), b.experiences.len()))
            .collect();
        let (train, test) = (BlockKind::Train, BlockKind::Test);
        let want = [
            (0, train, "b", 2),
            (1, test, "a", 1),
            (1, test, "b", 1),
            (2, train, "a", 1),
            (3, test, "a", 1),
            (3, test, "b", 1),
        ];
        assert_eq!(blocks, want);
        assert_eq!(life.blocks[0].experiences[1].performance, 90.0);
    }

    /// The same run, where a gate opened with round 2.
    #[test]
    fn tasks_that_a_gate_brought_are_where_they_would_be_in_a_calendar() {
        let planned = record();
        let mut gated = StreamRecord {
            order: vec![Visit {
                ends: 4,
                ..visit(1, 0, 0)
            }],
            ..planned.clone()
        };
        assert_eq!(gated.curve().tasks, [TaskId(1)], "the other has not come");
        gated.observe(&Event::TaskBegan(Opening {
            round: Round(2),
            task: TaskId(0),
            place: 1,
            accuracy: 0.99,
            mean: 0.99,
            competent: true,
        }));
        assert_eq!(gated, planned);
    }

    #[test]
    fn a_client_has_a_curve_of_its_own_order() {
        let curve = record().curve_of(ClientId(3));
        let measures = record().measures();
        assert!((measures["average_accuracy"] - 0.7).abs() < 1e-12);
        assert!((measures["forgetting"] - 0.3).abs() < 1e-12);
        assert!((measures["backward_transfer"] + 0.3).abs() < 1e-12);
        assert!(!measures.contains_key("forward_transfer"));
        assert_eq!(curve.tasks, [TaskId(0), TaskId(1)]);
        assert_eq!(curve.rows[0], [Some(0.1), Some(0.9)]);
        assert_eq!(curve.rows[1], [Some(0.8), Some(0.6)]);
    }
}
