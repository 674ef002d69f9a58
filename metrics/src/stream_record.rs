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
    /// Where clients have calendars of their own: when the last client is gone from each entry of the order, `None` for
    /// the end of the run; empty where they have the tasks in orders of their own.
    ends: Option<Vec<Option<u64>>>,
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
/// What helps where a client was not judged.
const EVERY: &str = "; `every = 1` in `[evaluation]` judges every round";

fn not_judged(which: &str, round: u64) -> String {
    format!("round {round}, {which}, was not judged{EVERY}")
}

/// The accuracies of some tasks in an evaluation.
fn of_tasks(tasks: &[TaskId], row: Option<&Vec<Option<f64>>>) -> Vec<Option<f64>> {
    let of = |task: &TaskId| row?.get(task.0 as usize).copied().flatten();
    tasks.iter().map(of).collect()
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
            self.local_and_global()
                .and_then(|clients| mean_spatial_knowledge_retention(&clients)),
        );
        found
    }

    /// Which measures are missing because nobody was judged at the right time, and why, as sentences.
    pub fn unmeasured(&self) -> Vec<String> {
        let common = self.missing_row().map(|why| {
            format!(
                "learning accuracy, forgetting, transfers and the mean of the curve are not measured: {why}"
            )
        });
        let several = self.learned.len() > 1;
        let clients = self
            .missing_row_of_client()
            .filter(|_| several)
            .map(|why| format!("client forgetting and temporal retention are not measured: {why}"));
        let local = self.missing_global();
        let local = local.map(|why| format!("spatial retention is not measured: {why}"));
        [common, clients, local].into_iter().flatten().collect()
    }

    fn name(&self, task: TaskId) -> &str {
        let info = self.tasks.get(task.0 as usize);
        info.map_or("?", |info| &info.name)
    }

    /// Why a row of the common curve is missing.
    fn missing_row(&self) -> Option<String> {
        let curve = self.curve();
        let places = self.first_places();
        let missing = |row: &Vec<Option<f64>>| row.iter().all(Option::is_none);
        let at = curve.rows.iter().position(missing)?;
        let task = self.name(curve.tasks[at]);
        let Some(next) = places.get(at + 1) else {
            return Some(format!("the run has not come to task `{task}`"));
        };
        Some(match self.end(next - 1) {
            Some(end) if end > self.rounds_seen() || end == END => {
                format!("the run has not come to the end of task `{task}`")
            }
            Some(end) => not_judged(&format!("the last of task `{task}`"), end.saturating_sub(1)),
            None => "clients have the tasks in orders of their own, so there is no round in which one is over for all"
                .to_owned(),
        })
    }

    /// Rounds until the last evaluation.
    fn rounds_seen(&self) -> u64 {
        let last = self.judged.last_key_value();
        last.map_or(0, |(round, _)| round.0 + 1)
    }

    /// Why a row of a client's own curve is missing.
    fn missing_row_of_client(&self) -> Option<String> {
        let missing = |client: &ClientId| {
            let curve = self.curve_of(*client);
            let row = |row: &Vec<Option<f64>>| row.iter().all(Option::is_none);
            let at = curve.rows.iter().position(row)?;
            let task = self.name(curve.tasks[at]);
            Some(format!(
                "no evaluation came when task `{task}` was over for client {client}{EVERY}"
            ))
        };
        self.learned.keys().find_map(missing)
    }

    /// Why a client's own model has no global one beside it.
    fn missing_global(&self) -> Option<String> {
        let all = self.learned.iter();
        let mut all = all.flat_map(|(client, learned)| learned.iter().map(move |l| (client, l)));
        let unjudged = |own: &Learned| own.local.is_some() && !self.judged.contains_key(&own.to);
        let (client, own) = all.find(|(_, own)| unjudged(own))?;
        let task = self.name(own.task);
        let last = format!("client {client}'s last on task `{task}`");
        Some(not_judged(&last, own.to.0))
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

    /// For each client its samples, and for each of its tasks the accuracy of the global model and of its own, both after
    /// its last round on it. `None` where one of the global ones was not measured.
    fn local_and_global(&self) -> Option<Vec<SamplesAndPairs>> {
        let pair = |own: &Learned| {
            let local = own.local?;
            let row = self.judged.get(&own.to);
            Some(of_tasks(&[own.task], row)[0].map(|global| (global, local)))
        };
        let client = |learned: &Vec<Learned>| {
            let samples = learned.iter().map(|l| l.samples).sum::<u64>() as f64;
            let pairs: Option<Vec<_>> = learned.iter().filter_map(pair).collect();
            Some((samples, pairs?))
        };
        let clients: Option<Vec<_>> = self.learned.values().map(client).collect();
        let mut clients = clients?;
        clients.retain(|(_, pairs)| !pairs.is_empty());
        Some(clients)
    }
}

/// A client's samples, and the global and local accuracies of its tasks.
type SamplesAndPairs = (f64, Vec<(f64, f64)>);

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
                ends: None,
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
    fn a_row_is_the_evaluation_at_the_end_of_its_task() {
        let curve = record().curve();
        assert_eq!(curve.tasks, [TaskId(1), TaskId(0)]);
        let want = [[Some(0.9), Some(0.1)], [Some(0.6), Some(0.8)]];
        assert_eq!(curve.rows, want);
        assert_eq!(curve.before, [None, None]);
    }

    /// Task b is at 0.7 in the middle of its rounds and never judged at their end.
    #[test]
    fn what_was_not_judged_when_a_task_was_over_is_not_measured() {
        let mut late = record();
        late.judged.remove(&Round(1));
        assert_eq!(late.curve().rows[0], [None, None]);
        let measures = late.measures();
        assert!(measures.contains_key("average_accuracy"));
        assert!(!measures.contains_key("forgetting"), "{measures:?}");
        let said = late.unmeasured().join("\n");
        assert!(
            said.contains("round 1, the last of task `b`, was not judged"),
            "{said}"
        );
        assert!(record().unmeasured().is_empty());
    }

    /// The last client leaves task b behind round 2 only: the evaluation after round 2 counts.
    #[test]
    fn with_calendars_of_their_own_a_task_is_over_when_the_last_client_goes_on() {
        let mut own = record();
        own.ends = Some(vec![Some(3), None]);
        own.observe(&judged(2, 1, 0.7));
        own.observe(&judged(2, 0, 0.2));
        assert_eq!(own.curve().rows[0], [Some(0.7), Some(0.2)]);
        own.ends = Some(vec![None, None]);
        assert_eq!(
            own.curve().rows[0],
            [Some(0.6), Some(0.8)],
            "the end of the run"
        );
        own.ends = Some(vec![]);
        assert_eq!(own.curve().rows[0], [None, None]);
        assert_eq!(own.curve().rows[1], [Some(0.6), Some(0.8)]);
        let said = own.unmeasured().join("\n");
        assert!(said.contains("orders of their own"), "{said}");
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
