//! When the entries of a timeline come, and what the run goes by then.

use crate::{
    diagnostic::Diagnostic,
    document::{Texts, is_choice},
    registry::{Chosen, Registry},
    scenario::{Scenario, Wrong},
    timeline::{Moment, Part, Phase, Turn},
};
use lyceum_core::{
    Absence, AnySelector, Attendance, Calendar, ClientId, Purpose, Round, TaskStream, Ticket,
    Visit, Who, sample_distinct,
};
use std::collections::BTreeMap;

/// Sets the draws of a timeline apart from those of arrivals.
const TICKETS: u64 = 3 << 32;

/// What a timeline comes to, once its times are known.
#[derive(Clone)]
pub struct Timetable {
    /// Who is there when.
    pub attendance: Attendance,
    /// What the run goes by from which round on, beginning with round 0.
    pub phases: Vec<Phase>,
    /// Rounds that come to little, in sentences.
    pub warnings: Vec<String>,
    /// What `set` changes from which round on: dotted keys and their values as text.
    pub changes: Vec<(Round, BTreeMap<String, String>)>,
}

impl Scenario {
    /// When the entries of the timeline come. `reference` is the common order of the stream before the timeline
    /// touches it.
    pub(crate) fn times(&self, reference: Option<&[Visit]>) -> Result<Vec<Round>, Diagnostic> {
        let mut times = Vec::new();
        for (index, moment) in self.timeline.iter().enumerate() {
            let time = match (moment.round, moment.task, reference) {
                (Some(round), _, _) => Some(round),
                (None, Some(task), Some(visits)) => visits.get(task as usize).map(|v| v.begins),
                _ => None,
            };
            let Some(time) = time else {
                let message = format!("the stream has no task {}", moment.task.unwrap_or(0));
                let label = "a task of the stream, from 0";
                return Err(self.fault(&format!("timeline.{index}.task"), message, label));
            };
            if times.last().is_some_and(|last: &Round| last.0 > time) {
                let message = format!("round {time} comes behind a later one");
                let label = "entries in the order of time";
                return Err(self.fault(&format!("timeline.{index}"), message, label));
            }
            times.push(Round(time));
        }
        Ok(times)
    }

    /// What the timeline comes to.
    pub fn timetable(&self, stream: Option<&TaskStream>) -> Result<Timetable, Diagnostic> {
        let times = self.times(stream.map(|s| s.planned()))?;
        self.within_run(&times)?;
        let mut phases = vec![self.phase(Round(0))];
        for (index, phase) in &self.phases {
            let from = times[*index];
            phases.push(Phase {
                from,
                ..phase.clone()
            });
        }
        let attendance = self.attendance(&times);
        let mut warnings = self.outlook(&attendance, &phases, &times);
        warnings.extend(stream.map_or_else(Vec::new, |stream| self.idle_tasks(stream)));
        if let Some(stream) = stream.filter(|s| matches!(s.calendar(), Calendar::Same(_))) {
            warnings.extend(self.idle_turns(stream.planned())?);
        }
        Ok(Timetable {
            attendance,
            phases,
            warnings,
            changes: self.changes(&times),
        })
    }

    /// What is wrong with the timeline: key, message, what would be right.
    pub(crate) fn timeline_faults(&self) -> Vec<Wrong> {
        let mut faults = Vec::new();
        let mut added = 0;
        for (index, moment) in self.timeline.iter().enumerate() {
            faults.extend(self.moment_faults(index, moment));
            faults.extend(moment.nothings().into_iter().map(|(key, message, label)| {
                let at = format!("timeline.{index}.{key}");
                (at, message.into(), label.into())
            }));
            added += moment.add_clients.map_or(0, |n| n.get());
        }
        if added >= self.data.clients.get() && added > 0 {
            let label = format!(
                "fewer than data.clients = {} in all",
                self.data.clients.get()
            );
            faults.push(("timeline".into(), "nobody is there at first".into(), label));
        }
        faults
    }

    /// What is wrong with an entry, at its keys.
    fn moment_faults(&self, index: usize, moment: &Moment) -> Vec<Wrong> {
        let mut faults = Vec::new();
        let mut refuse = |key: &str, message: &str, label: &str| {
            let path = format!("timeline.{index}{key}");
            faults.push((path, message.into(), label.into()));
        };
        if moment.round.is_some() == moment.task.is_some() {
            let message = match moment.round {
                Some(_) => "an entry with two times",
                None => "an entry without a time",
            };
            refuse("", message, "either `round = 20` or `task = 2`");
        }
        if moment.task.is_some() && self.stream.is_none() {
            let label = "`round`, or a table `[scenario.*]`";
            refuse(".task", "a task without a stream", label);
        }
        if moment.is_empty() {
            let label = "such as `drop_clients = { share = 0.3 }`";
            refuse("", "an entry in which nothing happens", label);
        }
        if let Some((message, label)) = moment.drop_clients.and_then(|p| self.cannot_leave(p)) {
            refuse(".drop_clients", message, &label);
        }
        let turns = moment.turns(Round(0)).next().is_some();
        let turn = match moment.new_task {
            Some(_) => ".new_task",
            None => ".hold_stream",
        };
        if turns && self.stream.is_none() {
            refuse(turn, "there is no stream to turn", "a table `[scenario.*]`");
        }
        let gate = self.stream.as_ref().and_then(|stream| stream.gate.as_ref());
        if gate.is_some() && (turns || moment.task.is_some()) {
            let key = if turns { turn } else { ".task" };
            let label = "entries with `round`, without `new_task` and `hold_stream`";
            refuse(key, "a gate says when tasks come", label);
        }
        faults
    }

    /// Why a part of the clients cannot leave, and what would be right.
    fn cannot_leave(&self, part: Part) -> Option<(&'static str, String)> {
        if part.share.is_some() == part.count.is_some() {
            let label = "one of `share` and `count`".into();
            return Some(("clients that leave are a share or a number", label));
        }
        let clients = self.data.clients.get();
        let label = format!("at most data.clients = {clients}");
        let too_many = part.count.is_some_and(|count| count.get() > clients);
        too_many.then_some(("more clients leave than there are", label))
    }

    fn changes(&self, times: &[Round]) -> Vec<(Round, BTreeMap<String, String>)> {
        let moments = times.iter().copied().zip(&self.timeline);
        let text = |(key, value): (String, toml::Value)| (key, value.to_string());
        let changes = |set: &toml::Table| flat("", set).into_iter().map(text).collect();
        moments
            .filter_map(|(from, moment)| Some((from, changes(moment.set.as_ref()?))))
            .collect()
    }

    fn attendance(&self, times: &[Round]) -> Attendance {
        let clients = self.data.clients.get() as u64;
        let mut attendance = Attendance::default();
        let moments = || times.iter().copied().zip(&self.timeline);
        let more = moments().filter_map(|(_, m)| m.add_clients);
        let mut waiting: u64 = more.map(|n| n.get() as u64).sum();
        for (index, (from, moment)) in (0..).zip(moments()) {
            let ticket = Ticket(TICKETS | index);
            if let Some(more) = moment.add_clients {
                attendance.joins.push((ClientId(clients - waiting), from));
                waiting -= more.get() as u64;
            }
            if let Some(part) = moment.drop_clients {
                attendance.absences.push(Absence {
                    from,
                    to: None,
                    who: self.some(part, ticket, &attendance, from),
                    silent: false,
                });
            }
            if let Some(silence) = moment.silence {
                let share = Part {
                    share: Some(silence.share),
                    count: None,
                };
                attendance.absences.push(Absence {
                    from,
                    to: Some(Round(from.0.saturating_add(silence.rounds.get() as u64))),
                    who: self.some(share, ticket, &attendance, from),
                    silent: true,
                });
            }
        }
        attendance
    }

    /// Some of the clients that are there in a round.
    fn some(&self, part: Part, ticket: Ticket, attendance: &Attendance, from: Round) -> Who {
        let seed = self.seed();
        match (part.share, part.count) {
            (Some(share), _) => Who::Share {
                share: share.get(),
                seed,
                ticket,
            },
            (None, count) => {
                let mut rng = seed.stream(Purpose::ARRIVAL, ticket, None);
                let clients = self.data.clients.get() as u64;
                let amount = count.map_or(0, |n| n.get());
                let there: Vec<ClientId> = (0..clients)
                    .map(ClientId)
                    .filter(|&client| attendance.is_present(client, from))
                    .collect();
                let amount = amount.min(there.len());
                let drawn = sample_distinct(there.len() as u64, amount, &mut rng);
                Who::These(
                    drawn
                        .into_iter()
                        .map(|place| there[place as usize])
                        .collect(),
                )
            }
        }
    }

    /// What the timeline does to the stream, in the order of time.
    pub(crate) fn turns(&self, planned: &[Visit]) -> Result<Vec<Turn>, Diagnostic> {
        let times = self.times(Some(planned))?;
        let moments = times.into_iter().zip(&self.timeline);
        Ok(moments.flat_map(|(time, m)| m.turns(time)).collect())
    }

    /// Entries that turn a stream in which nothing is left to turn, in sentences.
    fn idle_turns(&self, planned: &[Visit]) -> Result<Vec<String>, Diagnostic> {
        let mut visits = planned.to_vec();
        let mut idle = Vec::new();
        let begins = |visits: &[Visit]| visits.iter().map(|v| v.begins).collect::<Vec<_>>();
        for turn in self.turns(planned)? {
            let turned = turn.applied(&visits);
            if begins(&turned) == begins(&visits) {
                idle.push(match turn {
                    Turn::Next(round) => {
                        format!("`new_task` in round {round} does nothing: all tasks have come")
                    }
                    Turn::Hold(round, _) => {
                        format!("`hold_stream` in round {round} does nothing: all tasks have come")
                    }
                });
            }
            visits = turned;
        }
        Ok(idle)
    }

    /// Works out what changes, once the scenario is otherwise known to be good.
    pub(crate) fn resolve_phases(&mut self, registry: &Registry) -> Result<(), Diagnostic> {
        let mut table = self.resolved();
        table.remove("timeline");
        let mut phases = Vec::new();
        for (index, moment) in self.timeline.iter().enumerate() {
            let Some(changes) = &moment.set else { continue };
            for (key, value) in flat("", changes) {
                self.change(&mut table, index, &key, value)?;
            }
            let text = table.to_string();
            let name = format!("the scenario from entry {index} of the timeline on");
            let changed = Self::read(registry, &name, &text, &[])
                .map_err(|refused| self.refused_change(index, &text, &refused))?;
            self.refuse_other_budget(&changed.selection)?;
            phases.push((index, changed.phase(Round(0))));
        }
        self.phases = phases;
        Ok(())
    }

    /// Faults of the scenario that an entry would make of this one, at the entry's own keys.
    fn refused_change(&self, index: usize, text: &str, refused: &Diagnostic) -> Diagnostic {
        let places = Texts::new("", text, &[]).parse().map(|d| d.places());
        let places = places.unwrap_or_default();
        let set = self.timeline.get(index).and_then(|m| m.set.as_ref());
        let changed = set.map_or_else(Vec::new, |set| flat("", set));
        let wrong = refused.faults().iter().map(|fault| {
            // A key that nobody knows is told of where it stands itself, and others at their values.
            let word = fault.span.clone().and_then(|span| text.get(span));
            let ends = |(key, _): &&(String, toml::Value)| key.rsplit('.').next() == word;
            let own = changed.iter().find(ends).map(|(key, _)| key.as_str());
            let key = own.or_else(|| places.key_at(fault.span.as_ref()?));
            let path = format!("timeline.{index}.set.{}", key.unwrap_or_default());
            (path, fault.message.clone(), fault.label.clone())
        });
        self.faults(wrong.collect())
    }

    /// A budget of client updates belongs to a whole run: its selection stays.
    fn refuse_other_budget(&self, later: &Chosen<dyn AnySelector>) -> Result<(), Diagnostic> {
        let now = &self.selection;
        let stays = (now.name, &now.resolved) == (later.name, &later.resolved);
        let counts = |selection| self.rounds_of_budget(selection).is_some();
        if stays || !(counts(now) || counts(later)) {
            return Ok(());
        }
        let message = "a selection whose budget is client updates cannot begin or end during a run";
        let label = "entries that do not `set` keys of selection, or `budget = \"rounds\"`";
        Err(self.fault("timeline", message, label))
    }

    pub(crate) fn phase(&self, from: Round) -> Phase {
        Phase {
            from,
            training: self.training.clone(),
            selection: self.selection.clone(),
            dropout: self.availability.dropout.get(),
        }
    }

    fn change(
        &self,
        table: &mut toml::Table,
        index: usize,
        key: &str,
        value: toml::Value,
    ) -> Result<(), Diagnostic> {
        let place = format!("timeline.{index}.set.{key}");
        let head = key.split('.').next().unwrap_or_default();
        let fixed = ["training.engine", "training.loss"].contains(&key);
        if !["training", "selection", "availability"].contains(&head) || fixed {
            let message = format!("`{key}` cannot change during a run");
            let label =
                "keys of training (but its engine and loss), selection and availability can";
            return Err(self.fault(&place, message, label));
        }
        let mut at = table;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                at.insert(part.into(), value);
                return Ok(());
            }
            let inner = at
                .entry(part)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            match inner.as_table_mut() {
                Some(inner) => at = inner,
                None => {
                    let message = format!("`{key}`: `{part}` is no table");
                    return Err(self.fault(&place, message, "a dotted key of the scenario"));
                }
            }
        }
        Ok(())
    }
}

/// Dotted keys and their values; tables that choose a variant are values.
fn flat(path: &str, table: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut all = Vec::new();
    for (key, value) in table {
        let path = match path {
            "" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        match value {
            toml::Value::Table(inner) if !is_choice(&path) => {
                all.extend(flat(&path, inner));
            }
            _ => all.push((path, value.clone())),
        }
    }
    all
}
