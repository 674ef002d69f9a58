//! A stream of tasks: what every client may see, and when.
//!
//! Resolved from a scenario before the first round, the same on the coordinator and on every node. Learners and
//! strategies see a [`TaskView`]; probes belong to the judge.

use crate::{
    Calendar, ClientId, Fact, FactError, Facts, Gate, Head, Item, Lens, Probe, Purpose, Reach,
    Round, Samples, Seed, Shard, Showing, Task, TaskDefinition, TaskId, TaskMaker, Ticket, View,
    Visit, shuffle,
};
use rand::RngExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A stream, resolved.
#[derive(Clone, Debug)]
pub struct TaskStream {
    tasks: Arc<[Task]>,
    lenses: Arc<[Lens]>,
    calendar: Calendar,
    /// The order that tables follow, and when each of its tasks begins.
    reference: Arc<[Visit]>,
    /// The same, before a timeline touched it.
    planned: Arc<[Visit]>,
    rules: StreamRules,
    seed: Seed,
    /// What brings the next task, where that is not the calendar.
    gate: Option<Arc<Gate>>,
    /// What makes tasks that join later.
    maker: Option<Arc<dyn TaskMaker>>,
    /// For each task, by definition, its places in the validation set, ascending; empty where no task is judged by them.
    held: Arc<[Arc<[u32]>]>,
    /// What it was told.
    facts: Facts,
}

/// How a stream deals with time, boundaries and logits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamRules {
    /// Whether clients are told when a task begins.
    pub signals: bool,
    /// Which logits count.
    pub head: Head,
    /// Whether each sample is shown in one round of a visit only.
    pub once: bool,
    /// Share of a visit, at its end, over which the next task fades in; 0 for sharp boundaries.
    pub fade: f64,
    /// Number of logits, where it is not the number of classes of the data.
    pub outputs: Option<usize>,
    /// Whether clients train on all tasks from the start: then all have begun, and are one long task.
    pub at_once: bool,
}

/// What a client knows of the task that it is at.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Which task.
    pub task: TaskId,
    /// Position in the client's own sequence, from 0.
    pub place: u32,
    /// Its labels, ascending.
    pub classes: Arc<[u32]>,
    /// Labels of the tasks that came to the client before it, ascending.
    pub before: Arc<[u32]>,
}

impl TaskStream {
    /// A stream of at least one task. `reference` is the order that tables follow.
    pub fn new(
        tasks: Vec<Task>,
        calendar: Calendar,
        reference: Arc<[Visit]>,
        rules: StreamRules,
        seed: Seed,
    ) -> Self {
        let lenses = tasks.iter().map(|t| t.lens.clone()).collect();
        Self {
            tasks: tasks.into(),
            lenses,
            calendar,
            planned: reference.clone(),
            reference,
            rules,
            seed,
            gate: None,
            maker: None,
            held: Arc::default(),
            facts: Facts::default(),
        }
    }

    /// The same stream, which tasks may join while the run goes on.
    pub fn made_by(mut self, maker: Arc<dyn TaskMaker>) -> Self {
        self.maker = Some(maker);
        self
    }

    /// The same stream, which judges each task by validation samples of its own while it is learned: their places in the
    /// validation set, for each task by definition.
    pub fn held(mut self, places: Arc<[Arc<[u32]>]>) -> Self {
        self.held = places;
        self
    }

    /// The task of the common order that a round is about, and how many validation samples it is judged by; `None` where
    /// there are none.
    pub fn validated(&self, round: Round) -> Option<(TaskId, u32)> {
        let begun = self
            .reference
            .partition_point(|visit| visit.begins <= round.0);
        let task = self.reference.get(begun.checked_sub(1)?)?.task;
        let samples = self.held.get(task.0 as usize)?.len() as u32;
        (samples > 0).then_some((task, samples))
    }

    /// The same stream in the first stage of a gate, which is in the place of the calendar.
    pub fn gated(mut self, gate: Gate) -> Self {
        self.gate = Some(Arc::new(gate));
        self.in_stages()
    }

    /// The gate, if there is one.
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_deref()
    }

    /// What it was told.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The stream once it was told these facts, of which it knows the first ones.
    pub fn told(self: &Arc<Self>, facts: &Facts) -> Result<Arc<Self>, FactError> {
        let known = self.facts.all().len();
        let more = facts.all().get(known..).unwrap_or_default();
        if more.is_empty() {
            return Ok(self.clone());
        }
        let mut stream = Self::clone(self);
        stream.facts = facts.clone();
        let mut come = self.facts.stages().len();
        for fact in more {
            match fact {
                Fact::Task { round, task } => stream = stream.joined(*round, task)?,
                Fact::Chosen { task } => stream.gate = stream.chosen(*task, come)?,
                Fact::Stage { .. } => come += 1,
            }
        }
        Ok(Arc::new(stream.in_stages()))
    }

    /// The gate with a task in the place behind those that have come.
    fn chosen(&self, task: TaskId, come: usize) -> Result<Option<Arc<Gate>>, FactError> {
        let gate = self.gate.as_ref().and_then(|gate| gate.chosen(task, come));
        let refuse = || {
            FactError(format!(
                "task {} is chosen, and is none of those left",
                task.0
            ))
        };
        gate.map(|gate| Some(Arc::new(gate))).ok_or_else(refuse)
    }

    fn in_stages(mut self) -> Self {
        if let Some(gate) = &self.gate {
            self.reference = gate.visits(&self.facts.stages());
            self.calendar = Calendar::Same(self.reference.clone());
        }
        self
    }

    /// The stream with one more task, which comes to everybody who is there in a round.
    fn joined(mut self, round: Round, definition: &TaskDefinition) -> Result<Self, FactError> {
        let refuse = |why: &str| Err(FactError(format!("task `{}`: {why}", definition.name)));
        if self.gate.is_some() {
            return refuse("a stream with a gate has its tasks from the start");
        }
        let Some(maker) = &self.maker else {
            return refuse("tasks cannot join this stream");
        };
        let task = maker.task(definition)?;
        let id = TaskId(self.tasks.len() as u32);
        self.lenses = self
            .lenses
            .iter()
            .cloned()
            .chain([task.lens.clone()])
            .collect();
        self.tasks = self.tasks.iter().cloned().chain([task]).collect();
        Ok(self.retimed(|visits| with_task(visits, id, round)))
    }

    /// The same stream with other times.
    pub fn retimed(mut self, change: impl Fn(&[Visit]) -> Vec<Visit>) -> Self {
        self.reference = change(&self.reference).into();
        self.calendar = match &self.calendar {
            Calendar::Same(visits) => Calendar::Same(change(visits).into()),
            Calendar::Each(all) => {
                Calendar::Each(all.iter().map(|visits| change(visits).into()).collect())
            }
        };
        self
    }

    /// The order that tables follow, before a timeline touched it.
    pub fn planned(&self) -> &[Visit] {
        &self.planned
    }

    /// The tasks.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// How it deals with time, boundaries and logits.
    pub fn rules(&self) -> StreamRules {
        self.rules
    }

    /// When tasks come to clients.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The order that tables follow, and when its tasks begin.
    pub fn reference(&self) -> &[Visit] {
        &self.reference
    }

    /// For each visit of the reference, the first round in which no client is at it any more; `None` for those that last
    /// to the end of the run for some client, as the last one does. Nothing where clients have the tasks in orders of
    /// their own: then a task is over for some before it begins for others.
    pub fn ends(&self) -> Option<Vec<Option<u64>>> {
        let ends = match &self.calendar {
            Calendar::Same(visits) => last_ends(&self.reference, [&**visits].into_iter())?,
            Calendar::Each(all) => last_ends(&self.reference, all.iter().map(|v| &**v))?,
        };
        let over = |end: u64| Some(end).filter(|&end| end < NEVER);
        ends.is_sorted()
            .then(|| ends.into_iter().map(over).collect())
    }

    /// What a client is at in a round. Where boundaries are hidden, or all tasks come at once, it is one long task.
    pub fn view(&self, client: ClientId, round: Round) -> Option<TaskView> {
        let visit = self.calendar.at(client, round)?;
        if !self.rules.signals || self.rules.at_once {
            return Some(TaskView {
                task: TaskId(0),
                place: 0,
                classes: self.classes_of(self.tasks.iter()),
                before: Arc::default(),
            });
        }
        let task = &self.tasks[visit.task.0 as usize];
        let visits = self.calendar.of(client).iter();
        let before = visits
            .filter(|v| v.place < visit.place)
            .map(|v| &self.tasks[v.task.0 as usize]);
        Some(TaskView {
            task: visit.task,
            place: visit.place,
            classes: task.classes.clone(),
            before: self.classes_of(before),
        })
    }

    fn classes_of<'a>(&self, tasks: impl Iterator<Item = &'a Task>) -> Arc<[u32]> {
        let all: BTreeSet<u32> = tasks.flat_map(|t| t.classes.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// The samples of a client's shard that it may train on in a round; `None` before its first task has come.
    pub fn sight(
        &self,
        client: ClientId,
        round: Round,
        shard: &Shard,
        reach: Reach,
    ) -> Option<Shard> {
        let visit = *self.calendar.at(client, round)?;
        let visits = self.calendar.of(client);
        let tasks: BTreeSet<TaskId> = match reach {
            Reach::Task => return Some(self.of_visit(client, round, shard, visit)),
            Reach::Window(_) | Reach::UpToNow => visits
                .iter()
                .filter(|v| (reach.first(visit.place)..=visit.place).contains(&v.place))
                .map(|v| v.task)
                .collect(),
            Reach::Everything => visits.iter().map(|v| v.task).collect(),
        };
        let items: Vec<Item> = tasks.iter().flat_map(|t| self.members(*t, shard)).collect();
        Some(self.seen(shard, &items))
    }

    /// All samples of a client's shard that belong to a task.
    pub fn whole_task(&self, task: TaskId, shard: &Shard) -> Shard {
        let indices = self.members(task, shard).map(|i| i.index).collect();
        self.through(shard, indices, Showing::One(task))
    }

    fn members<'a>(&'a self, task: TaskId, shard: &'a Shard) -> impl Iterator<Item = Item> + 'a {
        let members = &self.tasks[task.0 as usize].train;
        let places = shard.indices.iter().copied();
        places
            .filter(move |&index| members.contain(&shard.pool, index))
            .map(move |index| Item { index, task })
    }

    fn of_visit(&self, client: ClientId, round: Round, shard: &Shard, visit: Visit) -> Shard {
        let mut items: Vec<Item> = self.members(visit.task, shard).collect();
        if let Some(next) = self.fading_into(client, visit) {
            let share = self.faded(round, visit);
            let gone = |item: &Item| self.draw(item.index) < share;
            items.retain(|item| !gone(item));
            items.extend(self.members(next, shard).filter(gone));
        }
        if self.rules.once {
            items = self.portion(client, round, visit, items);
        }
        match items.iter().all(|i| i.task == visit.task) {
            true => {
                let indices = items.iter().map(|i| i.index).collect();
                self.through(shard, indices, Showing::One(visit.task))
            }
            false => self.seen(shard, &items),
        }
    }

    fn fading_into(&self, client: ClientId, visit: Visit) -> Option<TaskId> {
        let next = |v: &&Visit| v.place == visit.place + 1;
        let visits = self.calendar.of(client).iter();
        visits
            .filter(|_| self.rules.fade > 0.0)
            .find(next)
            .map(|v| v.task)
    }

    /// Share of the samples that the next task shows already: 0 until the fade begins, near 1 when the visit ends.
    fn faded(&self, round: Round, visit: Visit) -> f64 {
        let length = visit.ends.saturating_sub(visit.begins).max(1) as f64;
        let passed = (round.0 - visit.begins) as f64 / length;
        ((passed - (1.0 - self.rules.fade)) / self.rules.fade).clamp(0.0, 1.0)
    }

    /// When, in the fade, a sample goes over: the same in every round.
    fn draw(&self, index: u32) -> f64 {
        let ticket = Ticket(1 << 32 | u64::from(index));
        self.seed.stream(Purpose::STREAM, ticket, None).random()
    }

    /// The part of a visit's samples that is shown in one of its rounds.
    fn portion(
        &self,
        client: ClientId,
        round: Round,
        visit: Visit,
        mut items: Vec<Item>,
    ) -> Vec<Item> {
        let ticket = Ticket(2 << 32 | u64::from(visit.place));
        let mut rng = self.seed.stream(Purpose::STREAM, ticket, Some(client));
        shuffle(&mut items, &mut rng);
        let rounds = visit.ends.saturating_sub(visit.begins).max(1) as u128;
        let at =
            |round: u64| (items.len() as u128 * u128::from(round - visit.begins) / rounds) as usize;
        let (from, to) = (
            at(round.0).min(items.len()),
            at(round.0 + 1).min(items.len()),
        );
        items[from..to].to_vec()
    }

    fn seen(&self, shard: &Shard, items: &[Item]) -> Shard {
        let indices = items.iter().map(|i| i.index).collect();
        let tasks = items.iter().map(|i| i.task).collect();
        self.through(shard, indices, Showing::Each(tasks))
    }

    fn through(&self, shard: &Shard, indices: Arc<[u32]>, tasks: Showing) -> Shard {
        let lenses = self.lenses.clone();
        Shard {
            pool: shard.pool.clone(),
            indices,
            view: Some(View { lenses, tasks }),
        }
    }

    /// Samples `start..end` of a task's probe, out of the pool that it is cut from; `None` beyond its end, and for a probe
    /// that is not a task's.
    pub fn probe(&self, probe: Probe, pool: &Arc<Samples>, start: u32, end: u32) -> Option<Shard> {
        let (task, places) = match probe {
            Probe::Validation | Probe::Test => return None,
            Probe::Task(task) => (task, &self.tasks.get(task.0 as usize)?.probe),
            Probe::Gate(task) => {
                let places = self.gate().map_or(&self.held, |gate| &gate.probes);
                (task, places.get(task.0 as usize)?)
            }
        };
        let places = places.get(start as usize..end as usize)?;
        let lenses = self.lenses.clone();
        Some(Shard {
            pool: pool.clone(),
            indices: places.into(),
            view: Some(View {
                lenses,
                tasks: Showing::One(task),
            }),
        })
    }

    /// Tasks that some client has begun by a round, in the reference order.
    pub fn begun(&self, clients: u64, round: Round) -> Vec<TaskId> {
        let begun: BTreeSet<TaskId> = match &self.calendar {
            _ if self.rules.at_once => self.reference.iter().map(|v| v.task).collect(),
            Calendar::Same(visits) => begun(visits, round).collect(),
            Calendar::Each(all) => {
                let all = all.iter().take(clients as usize);
                all.flat_map(|visits| begun(visits, round)).collect()
            }
        };
        let mut order: Vec<TaskId> = Vec::new();
        for visit in self.reference.iter() {
            if begun.contains(&visit.task) && !order.contains(&visit.task) {
                order.push(visit.task);
            }
        }
        order
    }

    /// Classes that may be answered for a task's probe after a round; `None` for all.
    pub fn answers(&self, task: TaskId, clients: u64, round: Round) -> Option<Arc<[u32]>> {
        match self.rules.head {
            Head::Shared => None,
            Head::Seen => {
                let begun = self.begun(clients, round);
                let tasks = begun.iter().chain([&task]);
                Some(self.classes_of(tasks.map(|t| &self.tasks[t.0 as usize])))
            }
            Head::Masked | Head::Multi => Some(self.tasks[task.0 as usize].classes.clone()),
        }
    }
}

/// A visit that lasts to the end of the run.
const NEVER: u64 = u64::MAX;

/// For each visit of a common order, when the last client is gone from it. `None` where clients do not keep to that order,
/// or leave something of it out altogether. A task that comes again is told from its first time by counting.
fn last_ends<'a>(
    reference: &[Visit],
    clients: impl Iterator<Item = &'a [Visit]>,
) -> Option<Vec<u64>> {
    let counted = |visits: &[Visit]| {
        let mut times = BTreeMap::new();
        let one = |visit: &Visit| {
            let time: &mut u32 = times.entry(visit.task).or_default();
            *time += 1;
            (visit.task, *time)
        };
        visits.iter().map(one).collect::<Vec<_>>()
    };
    let places: BTreeMap<_, usize> = counted(reference).into_iter().zip(0..).collect();
    let mut last: Vec<Option<u64>> = vec![None; reference.len()];
    for visits in clients {
        let own: Option<Vec<usize>> = counted(visits)
            .iter()
            .map(|visit| places.get(visit).copied())
            .collect();
        let own = own.filter(|own| own.is_sorted())?;
        let ends = visits.iter().skip(1).map(|next| next.begins);
        for (place, end) in own.into_iter().zip(ends.chain([NEVER])) {
            last[place] = last[place].max(Some(end));
        }
    }
    last.into_iter().collect()
}

/// Whether each of so many tasks has begun by the end of a round, in this order of theirs.
pub fn all_have_begun(order: &[Visit], tasks: usize, round: Round) -> bool {
    let come = order.iter().filter(|visit| visit.begins <= round.0);
    let come: BTreeSet<TaskId> = come.map(|visit| visit.task).collect();
    come.len() == tasks
}

/// Visits with one to a further task, which begins in a round, or in the first one after it in which nothing begins; what was
/// to come before the next visit is the new task's. Before its first visit a client meets nothing new.
fn with_task(visits: &[Visit], task: TaskId, round: Round) -> Vec<Visit> {
    let Some(first) = visits.first() else {
        return Vec::new();
    };
    let mut begins = round.0.max(first.begins + 1);
    while visits.iter().any(|visit| visit.begins == begins) {
        begins += 1;
    }
    let at = visits.partition_point(|visit| visit.begins < begins);
    let mut all = visits.to_vec();
    let ends = std::mem::replace(&mut all[at - 1].ends, begins);
    let visit = Visit {
        task,
        place: all[at - 1].place + 1,
        begins,
        ends: ends.max(begins + 1),
    };
    all.insert(at, visit);
    all[at + 1..].iter_mut().for_each(|later| later.place += 1);
    all
}

fn begun(visits: &[Visit], round: Round) -> impl Iterator<Item = TaskId> + '_ {
    let until = visits.partition_point(|v| v.begins <= round.0);
    visits[..until].iter().map(|v| v.task)
}
