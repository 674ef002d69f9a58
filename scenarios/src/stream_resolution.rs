//! The stream of tasks that a choice makes of data.

use crate::{
    data::Items,
    diagnostic::Diagnostic,
    registry::Chosen,
    scenario::Scenario,
    streams::{ByClasses, Ground, Labels, Span, StreamError},
    task_stream::StreamChoice,
    timeline::Turn,
};
use lyceum_core::{
    AnyMethod, Calendar, Gate, Lens, Purpose, Reach, Round, Samples, Stream, StreamRules, Task,
    TaskId, TaskStream, Visit, shuffle,
};
use std::{collections::BTreeSet, sync::Arc};

/// What a stream is resolved from.
pub(crate) struct Material<'a> {
    /// All training samples, where they lie in one place.
    pub(crate) train: Option<&'a Samples>,
    /// Test samples.
    pub(crate) test: &'a Samples,
    /// Places of the training samples that are not validation samples.
    pub(crate) kept: &'a [u32],
    /// Places of those that are.
    pub(crate) held: &'a [u32],
    /// An expert's loss on each of them.
    pub(crate) losses: Option<&'a [f32]>,
    /// What the classes are called; empty where they are numbers.
    pub(crate) called: &'a [String],
    /// What the data set says of the things that its tasks are made of.
    pub(crate) items: Option<&'a Items>,
    /// Names of the features; empty where they have none.
    pub(crate) features: &'a [String],
}

impl<'a> Material<'a> {
    /// What tasks are cut from, with the label that stands for each class.
    fn ground(&self, names: &'a [u32], rounds: u64) -> Ground<'a> {
        Ground {
            train: self.train,
            test: self.test,
            kept: self.kept,
            held: self.held,
            items: self.items,
            features: self.features,
            losses: self.losses,
            names,
            called: self.called,
            rounds,
        }
    }
}

impl StreamChoice {
    /// The stream over these samples.
    pub(crate) fn resolve(
        &self,
        scenario: &Scenario,
        material: Material<'_>,
    ) -> Result<TaskStream, Diagnostic> {
        let seed = scenario.seed();
        let mut rng = seed.once(Purpose::STREAM);
        let names = self.names(material.test.classes, &mut rng);
        let rounds = scenario.rounds();
        let ground = material.ground(&names, rounds);
        let refuse = |error: StreamError| self.refused(scenario, error);
        let mut tasks = self.kind.plugin.tasks(&ground, &mut rng).map_err(refuse)?;
        let order = self.order.of(&tasks, &ground, &mut rng).map_err(refuse)?;
        self.rename(&mut tasks, &names);
        let span = Span {
            clients: scenario.data.clients.get() as u64,
            rounds,
            seed,
        };
        let (calendar, reference) = self.arrival.calendar(&order, span).map_err(refuse)?;
        let rules = self.rules();
        if let Some(gate) = &self.gate {
            let every = scenario.evaluation.every;
            let gate = gate.over(&tasks, &reference, &ground, material.held, every);
            let gate = gate.map_err(refuse)?;
            opens_to_the_end(&gate).map_err(refuse)?;
            return Ok(TaskStream::new(tasks, calendar, reference, rules, seed).gated(gate));
        }
        let turns = scenario.turns(&reference)?;
        let held = self.held(&tasks, &ground);
        let mut stream = TaskStream::new(tasks, calendar, reference, rules, seed).held(held);
        if rules.outputs.is_none() {
            let lens = self.lens(&names);
            stream = stream.made_by(Arc::new(ByClasses::new(material.test, &names, lens)));
        }
        let turn = |stream: TaskStream, turn: &Turn| stream.retimed(|visits| turn.applied(visits));
        let stream = turns.iter().fold(stream, turn);
        self.lasts(scenario, &stream)?;
        // Where all tasks are there from the start, none comes late.
        match late_task(&stream, rounds).filter(|_| !rules.at_once) {
            Some((place, begins)) => Err(self.never_comes(scenario, &turns, place, begins)),
            None => Ok(stream),
        }
    }

    /// For each task its places in the validation set, where the kind of stream asks for them.
    fn held(&self, tasks: &[Task], ground: &Ground<'_>) -> Arc<[Arc<[u32]>]> {
        let Some(pool) = ground.train.filter(|_| self.kind.plugin.validates()) else {
            return Arc::default();
        };
        let own = |task: &Task| -> Arc<[u32]> {
            let places = (0..).zip(ground.held);
            let own = places.filter(|(_, place)| task.train.contain(pool, **place));
            own.map(|(place, _)| place).collect()
        };
        tasks.iter().map(own).collect()
    }

    /// Refuses a task that is over too soon for what is to be learned of it.
    fn lasts(&self, scenario: &Scenario, stream: &TaskStream) -> Result<(), Diagnostic> {
        let least = self.kind.plugin.least_rounds();
        let Calendar::Same(visits) = stream.calendar() else {
            return Ok(());
        };
        let last = scenario.rounds();
        let rounds = |visit: &Visit| visit.ends.min(last).saturating_sub(visit.begins);
        let short = visits.iter().find(|visit| rounds(visit) < least);
        let Some(short) = short.filter(|_| least > 1) else {
            return Ok(());
        };
        let key = match self.arrival.rounds_per_task {
            Some(_) => format!("scenario.{}.arrival.rounds_per_task", self.kind.name),
            None => "run.rounds".into(),
        };
        let (place, has) = (short.place, rounds(short));
        let message = format!(
            "task {place} lasts {has} rounds, and each of its {least} posteriors needs one"
        );
        let label = format!("at least {least} rounds for each of {} tasks", visits.len());
        Err(scenario.fault(&key, message, label))
    }

    /// The label that stands for each class of the data.
    fn names(&self, classes: usize, rng: &mut Stream) -> Vec<u32> {
        let mut names: Vec<u32> = (0..classes as u32).collect();
        if self.labels == Labels::Shuffled {
            shuffle(&mut names, rng);
        }
        names
    }

    /// Shows shuffled labels through the lenses of tasks that have no labels of their own.
    fn rename(&self, tasks: &mut [Task], names: &[u32]) {
        if self.labels == Labels::Shuffled {
            let names: Arc<[u32]> = names.into();
            for task in tasks {
                let Lens { labels, .. } = &mut task.lens;
                labels.get_or_insert_with(|| names.clone());
            }
        }
    }

    /// How tasks that join later show samples.
    fn lens(&self, names: &[u32]) -> Lens {
        Lens {
            labels: (self.labels == Labels::Shuffled).then(|| names.into()),
            ..Lens::default()
        }
    }

    /// How the stream deals with time, boundaries and logits, once methods and head are known.
    fn rules(&self) -> StreamRules {
        let mut rules = self.kind.plugin.rules();
        rules.outputs = self.kind.plugin.outputs();
        let reach = |method: &Chosen<dyn AnyMethod>| method.plugin.needs().reach;
        rules.at_once = self.methods.iter().any(|m| reach(m) == Reach::Everything);
        if let Some(head) = self.head {
            rules.head = head.head();
        }
        rules
    }

    /// A fault of the data at a key within the stream's table.
    fn refused(&self, scenario: &Scenario, error: StreamError) -> Diagnostic {
        let path = |key: &String| format!("scenario.{}.{key}", self.kind.name);
        let keys = std::iter::once(&error.key).chain(&error.beside);
        let paths: Vec<String> = keys.map(path).collect();
        let paths: Vec<&str> = paths.iter().map(|p| p.trim_end_matches('.')).collect();
        if let [only] = paths[..] {
            return scenario.fault(only, error.message, error.expected);
        }
        scenario.fault_among(&paths, error.message, error.expected)
    }

    /// The refusal of a task that would come when the run is over, at the key that says when it comes.
    fn never_comes(
        &self,
        scenario: &Scenario,
        turns: &[Turn],
        place: u32,
        begins: u64,
    ) -> Diagnostic {
        let kind = self.kind.name;
        let held = turns.iter().any(|turn| matches!(turn, Turn::Hold(..)));
        let path = match self.arrival.rounds_per_task {
            _ if held => "timeline".into(),
            Some(_) => format!("scenario.{kind}.arrival.rounds_per_task"),
            None => "run.rounds".into(),
        };
        let rounds = scenario.rounds();
        let message = format!("task {place} of the stream never comes: the run ends before");
        let label = format!(
            "it would come in round {begins}, the last one is round {}",
            rounds - 1
        );
        scenario.fault(&path, message, label)
    }
}

/// The first visit, by its place, that would begin when the run is over, and when that is. Where clients have calendars
/// of their own, a task that comes to one of them has come.
fn late_task(stream: &TaskStream, rounds: u64) -> Option<(u32, u64)> {
    let visits: Vec<&Visit> = match stream.calendar() {
        Calendar::Same(visits) => visits.iter().collect(),
        Calendar::Each(all) => all.iter().flat_map(|visits| visits.iter()).collect(),
    };
    let together = matches!(stream.calendar(), Calendar::Same(_));
    let in_time = visits.iter().filter(|visit| visit.begins < rounds);
    let come: BTreeSet<TaskId> = in_time.map(|visit| visit.task).collect();
    let late = visits
        .iter()
        .filter(|visit| visit.begins >= rounds && (together || !come.contains(&visit.task)));
    let first = late.min_by_key(|visit| visit.begins)?;
    Some((first.place, first.begins))
}

/// Refuses a gate that even a model without a mistake cannot open often enough.
fn opens_to_the_end(gate: &Gate) -> Result<(), StreamError> {
    let mut begins = vec![Round(0)];
    for round in (0..gate.rounds).map(Round) {
        if let Some(opening) = gate.opens(&begins, round, |_| 1.0, |_| 0.0) {
            begins.push(opening.round);
        }
    }
    let (come, all) = (begins.len(), gate.sequence.len());
    if come >= all {
        return Ok(());
    }
    let message = format!(
        "only {come} of {all} tasks can come in {} rounds, however good the model is",
        gate.rounds
    );
    let label = "more rounds, a threshold below 1, or smaller `min_rounds`, `patience` and `every`";
    Err(StreamError::new("gate", message, label))
}
