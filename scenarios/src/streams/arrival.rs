//! When the tasks of a stream come to clients.

use super::{StreamError, order::few_visits};
use lyceum_core::{
    Calendar, ClientId, Purpose, Seed, Stream, TaskId, Ticket, Visit, sample_distinct, shuffle,
    units::{Count, Decay, Fraction, Misfit},
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// When tasks come to clients. The last visit of a client goes on to the end of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    /// Rounds that a visit of a task lasts; the run's rounds in equal parts by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds_per_task: Option<Count>,
    /// Whether all clients go through the tasks in one order; "same" by default.
    #[serde(default)]
    pub sequence: Sequence,
    /// Rounds by which a task comes later to a client, at most; drawn for each client and task, the first one, too. No
    /// delay by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Count>,
    /// Share by which a visit may last longer or shorter, drawn for each client and visit; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Decay>,
    /// How often the tasks come; once by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Count>,
    /// In which order tasks come that come again; "cycled" by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<Repeated>,
    /// Number of tasks that come to each client, drawn for each; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_per_client: Option<Count>,
    /// Whether two clients may have the same task, where not all come to each; true by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// Clients that join with later tasks; all are there from the start by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joining: Option<Joining>,
}

/// In which order clients go through the tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sequence {
    /// All in the stream's order.
    #[default]
    Same,
    /// Each in an order of its own, drawn from the seed.
    Own,
}

/// In which order tasks come again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Repeated {
    /// All in turn, then all again.
    #[default]
    Cycled,
    /// All visits mixed, by the seed.
    Shuffled,
}

/// Clients that join, and clients that stay behind (Dong et al. 2022, GLFC).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Joining {
    /// Clients that are there from the first task on.
    pub initial: Count,
    /// Clients that join with each later task. Those whose turn has not come do not take part.
    pub per_task: Count,
    /// Share of the clients that a new task passes by: they stay with their old one until the next; 0 by default, 0.1 in
    /// the paper.
    #[serde(default)]
    pub stay: Stay,
}

/// A share, 0 by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Stay(Fraction);

impl Default for Stay {
    fn default() -> Self {
        Self(Fraction::new(0.0).expect("0 is a share"))
    }
}

/// Tickets of the streams that a client's calendar is drawn from.
mod tickets {
    pub(super) const SEQUENCE: u64 = 0;
    pub(super) const DELAYS: u64 = 1;
    pub(super) const LENGTHS: u64 = 2;
    pub(super) const TASKS: u64 = 3;
    /// Plus the place.
    pub(super) const STAYING: u64 = 1 << 32;
}

/// Over what calendars are made.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) clients: u64,
    pub(crate) rounds: u64,
    pub(crate) seed: Seed,
}

impl Span {
    fn stream(&self, ticket: u64, client: Option<u64>) -> Stream {
        let client = client.map(ClientId);
        self.seed.stream(Purpose::ARRIVAL, Ticket(ticket), client)
    }
}

impl Arrival {
    /// Keys that are in range each, but do not go together.
    pub fn misfit(&self) -> Option<Misfit> {
        let idle = |key: &str, other: &str| Misfit {
            key: key.into(),
            message: format!("`{key}` says nothing without `{other}`"),
            expected: format!("give `{other}`, too, or leave it out"),
        };
        match self {
            Self {
                repeated: Some(_),
                repeats: None,
                ..
            } => Some(idle("repeated", "repeats")),
            Self {
                shared: Some(_),
                tasks_per_client: None,
                ..
            } => Some(idle("shared", "tasks_per_client")),
            _ => None,
        }
    }

    /// The calendar of all clients, and the order that tables follow. Errors name keys beside `arrival`.
    pub(crate) fn calendar(
        &self,
        order: &[u32],
        span: Span,
    ) -> Result<(Calendar, Arc<[Visit]>), StreamError> {
        few_visits("arrival.repeats", order.len(), self.repeats())?;
        let common = self.again(order, &mut span.stream(tickets::SEQUENCE, None));
        let reference = self.plain(&common, span);
        if self.is_common() {
            return Ok((Calendar::Same(reference.clone()), reference));
        }
        let dealt = self.dealt(order, span)?;
        let places = dealt.as_ref().map_or(common.len(), |dealt| {
            dealt.iter().map(Vec::len).max().unwrap_or(0) * self.repeats()
        });
        let joined = self.joining.map(|j| j.places(places, span)).transpose()?;
        let visits = |client: u64| {
            let own = match &dealt {
                None => order,
                Some(dealt) => &dealt[client as usize],
            };
            let sequence = self.sequence(own, &common, client, span);
            let begins = self.begins(sequence.len(), client, span);
            let slots = sequence.into_iter().zip(begins);
            let comes = |place: usize| joined.as_ref().is_none_or(|j| j.comes(client, place));
            let slots = slots.enumerate().filter(|(place, _)| comes(*place));
            visits(slots.map(|(_, slot)| slot).collect(), span.rounds)
        };
        let calendar = Calendar::Each((0..span.clients).map(visits).collect());
        Ok((calendar, reference))
    }

    /// Whether all clients have one calendar.
    fn is_common(&self) -> bool {
        self.apart().next().is_none()
    }

    /// Keys that set the calendars of clients apart.
    pub(crate) fn apart(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("sequence", self.sequence == Sequence::Own),
            ("jitter", self.jitter.is_some()),
            ("spread", self.spread.is_some()),
            ("tasks_per_client", self.tasks_per_client.is_some()),
            ("joining", self.joining.is_some()),
        ];
        keys.into_iter()
            .filter(|(_, given)| *given)
            .map(|(key, _)| key)
    }

    fn repeats(&self) -> usize {
        self.repeats.map_or(1, Count::get)
    }

    /// Tasks as often as they come.
    fn again(&self, order: &[u32], rng: &mut Stream) -> Vec<u32> {
        let mut all = order.repeat(self.repeats());
        if self.repeated == Some(Repeated::Shuffled) {
            shuffle(&mut all, rng);
        }
        all
    }

    fn length(&self, visits: usize, rounds: u64) -> u64 {
        let equal = (rounds / visits.max(1) as u64).max(1);
        self.rounds_per_task
            .map_or(equal, |rounds| rounds.get() as u64)
    }

    /// Visits one after another, without any draw.
    fn plain(&self, order: &[u32], span: Span) -> Arc<[Visit]> {
        let length = self.length(order.len(), span.rounds);
        let begins = (0..).map(|place| place * length);
        visits(order.iter().copied().zip(begins).collect(), span.rounds)
    }

    /// The tasks of a client, in the order in which they come to it.
    fn sequence(&self, own: &[u32], common: &[u32], client: u64, span: Span) -> Vec<u32> {
        match (self.sequence, self.tasks_per_client) {
            (Sequence::Same, None) => common.to_vec(),
            (Sequence::Same, Some(_)) => {
                self.again(own, &mut span.stream(tickets::SEQUENCE, Some(client)))
            }
            (Sequence::Own, _) => {
                let mut own = own.to_vec();
                let mut rng = span.stream(tickets::SEQUENCE, Some(client));
                shuffle(&mut own, &mut rng);
                self.again(&own, &mut rng)
            }
        }
    }

    /// When the visits of a client begin, ascending.
    fn begins(&self, visits: usize, client: u64, span: Span) -> Vec<u64> {
        let length = self.length(visits, span.rounds);
        let mut delays = span.stream(tickets::DELAYS, Some(client));
        let mut next = 0;
        let late = |begins: u64| {
            let most = self.jitter.map_or(0, |rounds| rounds.get() as u64);
            let begins = next.max(begins + delays.random_range(0..=most));
            next = begins + 1;
            begins
        };
        let planned = self.planned(visits, length, client, span);
        planned.into_iter().map(late).collect()
    }

    /// When visits would begin without delays. Together they last as long as visits of equal length.
    fn planned(&self, visits: usize, length: u64, client: u64, span: Span) -> Vec<u64> {
        let Some(spread) = self.spread else {
            return (0..visits as u64).map(|place| place * length).collect();
        };
        let mut rng = span.stream(tickets::LENGTHS, Some(client));
        let mut draw = || 1.0 + spread.get() * (2.0 * rng.random::<f64>() - 1.0);
        let lengths: Vec<f64> = (0..visits).map(|_| draw()).collect();
        let scale = (visits as u64 * length) as f64 / lengths.iter().sum::<f64>();
        let mut passed = 0.0;
        let begin = |length: &f64| {
            let begins = (passed * scale).round() as u64;
            passed += length;
            begins
        };
        lengths.iter().map(begin).collect()
    }

    /// The visits of each client, in the stream's order, where not all tasks come to each.
    fn dealt(&self, order: &[u32], span: Span) -> Result<Option<Vec<Vec<u32>>>, StreamError> {
        let Some(amount) = self.tasks_per_client else {
            return Ok(None);
        };
        let tasks: Vec<u32> = order
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let (amount, all) = (amount.get(), tasks.len());
        let clients = span.clients as usize;
        let refuse = |message, label: &str| {
            let key = "arrival.tasks_per_client";
            Err(StreamError::new(key, message, label))
        };
        if amount > all {
            return refuse(format!("there are {all} tasks"), "at most that many");
        }
        let picks: Vec<Vec<u32>> = if self.shared == Some(false) {
            if amount.saturating_mul(clients) > all {
                let message = format!("{all} tasks are too few for {clients} clients");
                return refuse(message, "fewer clients, more tasks, or `shared = true`");
            }
            let mut mixed = tasks;
            shuffle(&mut mixed, &mut span.stream(tickets::TASKS, None));
            let picks = mixed.chunks(amount).take(clients);
            picks.map(<[u32]>::to_vec).collect()
        } else {
            let pick = |client| {
                let mut rng = span.stream(tickets::TASKS, Some(client));
                let places = sample_distinct(all as u64, amount, &mut rng);
                places.iter().map(|&place| tasks[place as usize]).collect()
            };
            (0..span.clients).map(pick).collect()
        };
        let visits = |pick: &Vec<u32>| {
            let own = order.iter().filter(|task| pick.contains(task));
            own.copied().collect()
        };
        Ok(Some(picks.iter().map(visits).collect()))
    }
}

/// Tasks with their beginnings as visits; the last one lasts to the end of the run.
fn visits(slots: Vec<(u32, u64)>, rounds: u64) -> Arc<[Visit]> {
    let ends = slots.iter().skip(1).map(|(_, begins)| *begins).chain([0]);
    let visit = |(place, (&(task, begins), ends))| Visit {
        task: TaskId(task),
        place,
        begins,
        ends: if ends > 0 {
            ends
        } else {
            rounds.max(begins + 1)
        },
    };
    (0..).zip(slots.iter().zip(ends)).map(visit).collect()
}

impl Joining {
    /// The place with which a client joins.
    fn place(&self, client: u64) -> usize {
        match client.checked_sub(self.initial.get() as u64) {
            None => 0,
            Some(later) => 1 + later as usize / self.per_task.get(),
        }
    }

    fn places(&self, places: usize, span: Span) -> Result<Joined, StreamError> {
        let last = span.clients.saturating_sub(1);
        if self.initial.get() as u64 > span.clients {
            let message = format!("{} clients are there at first", self.initial.get());
            let label = format!("at most data.clients = {}", span.clients);
            return Err(StreamError::new("arrival.joining.initial", message, label));
        }
        if self.place(last) >= places {
            let room = self.initial.get() + (places - 1) * self.per_task.get();
            let message = format!("only {room} of {} clients would ever join", span.clients);
            let label = "more clients with each task, or fewer in `data.clients`";
            let key = "arrival.joining.per_task";
            return Err(StreamError::new(key, message, label));
        }
        let staying = |place: usize| {
            let there = (0..span.clients).take_while(|c| self.place(*c) < place);
            let there = there.count() as u64;
            let amount = (self.stay.0.get() * there as f64) as usize;
            let mut rng = span.stream(tickets::STAYING | place as u64, None);
            sample_distinct(there, amount, &mut rng)
                .into_iter()
                .collect()
        };
        Ok(Joined {
            rule: *self,
            staying: (0..places).map(staying).collect(),
        })
    }
}

/// Who joins when, and whom which task passes by.
struct Joined {
    rule: Joining,
    /// For each place.
    staying: Vec<BTreeSet<u64>>,
}

impl Joined {
    /// Whether the task at a place comes to a client.
    fn comes(&self, client: u64, place: usize) -> bool {
        let passed_by = self.staying.get(place).is_some_and(|s| s.contains(&client));
        place >= self.rule.place(client) && !passed_by
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span {
        clients: 60,
        rounds: 50,
        seed: Seed(3),
    };

    fn arrival(text: &str) -> Arrival {
        toml::from_str(text).unwrap()
    }

    fn each(text: &str) -> Vec<Arc<[Visit]>> {
        match arrival(text).calendar(&[2, 0, 1, 3, 4], SPAN).unwrap().0 {
            Calendar::Each(all) => all,
            Calendar::Same(_) => panic!("one calendar for all"),
        }
    }

    fn tasks(visits: &[Visit]) -> Vec<u32> {
        visits.iter().map(|v| v.task.0).collect()
    }

    fn error(text: &str) -> StreamError {
        let made = arrival(text).calendar(&[0, 1, 2, 3, 4], SPAN);
        made.expect_err("it cannot be made")
    }

    #[test]
    fn visits_follow_each_other_without_gaps_to_the_end_of_the_run() {
        for text in [
            "sequence = 'own'",
            "jitter = 4",
            "spread = 0.9\njitter = 30",
            "repeats = 3\nspread = 0.5",
            "tasks_per_client = 2\nrepeats = 2\nrepeated = 'shuffled'",
            "joining = { initial = 20, per_task = 10, stay = 0.3 }",
        ] {
            for visits in each(text) {
                let pairs = visits.windows(2);
                assert!(
                    pairs.into_iter().all(|p| p[0].ends == p[1].begins),
                    "{text}"
                );
                assert!(visits.iter().all(|v| v.begins < v.ends), "{text}");
                let places: Vec<u32> = visits.iter().map(|v| v.place).collect();
                assert!(places.iter().copied().eq(0..visits.len() as u32), "{text}");
                assert!(visits.last().unwrap().ends >= SPAN.rounds, "{text}");
            }
        }
    }

    #[test]
    fn delays_spread_clients_over_rounds_the_first_task_included() {
        let all = each("jitter = 4");
        let first: BTreeSet<u64> = all.iter().map(|v| v[0].begins).collect();
        assert_eq!(first, (0..=4).collect());
        assert!(all.iter().all(|v| (10..=14).contains(&v[1].begins)));
        assert!(all.iter().all(|v| tasks(v) == [2, 0, 1, 3, 4]));
    }

    #[test]
    fn own_lengths_differ_and_fill_the_run() {
        let all = each("spread = 0.5");
        let second: BTreeSet<u64> = all.iter().map(|v| v[1].begins).collect();
        assert!(second.len() > 5, "{second:?}");
        assert!(all.iter().all(|v| v[4].begins < SPAN.rounds));
    }

    #[test]
    fn repeats_are_cycled_or_shuffled() {
        let common = |text| arrival(text).calendar(&[1, 0], SPAN).unwrap().1;
        assert_eq!(tasks(&common("repeats = 2")), [1, 0, 1, 0]);
        let mut shuffled = tasks(&common("repeats = 8\nrepeated = 'shuffled'"));
        assert_ne!(shuffled, [1, 0].repeat(8));
        shuffled.sort_unstable();
        assert_eq!(shuffled, [[0; 8], [1; 8]].concat());
        let own = each("repeats = 2\nrepeated = 'shuffled'\nsequence = 'own'");
        assert!(own.iter().any(|v| tasks(v) != tasks(&own[0])));
    }

    #[test]
    fn clients_have_tasks_of_their_own() {
        let all = each("tasks_per_client = 2");
        assert!(all.iter().all(|v| v.len() == 2 && v[1].begins == 25));
        let order = [2, 0, 1, 3, 4];
        let place = |task: &u32| order.iter().position(|t| t == task);
        assert!(all.iter().all(|v| tasks(v).is_sorted_by_key(place)));
        let disjoint = arrival("tasks_per_client = 2\nshared = false");
        let span = Span { clients: 2, ..SPAN };
        let (calendar, _) = disjoint.calendar(&order, span).unwrap();
        let both: BTreeSet<u32> = (0..2)
            .flat_map(|c| tasks(calendar.of(ClientId(c))))
            .collect();
        assert_eq!(both.len(), 4);
        let few = error("tasks_per_client = 2\nshared = false");
        assert_eq!(few.key, "arrival.tasks_per_client");
        assert!(few.message.contains("too few"), "{few}");
        assert_eq!(error("tasks_per_client = 6").message, "there are 5 tasks");
    }

    #[test]
    fn clients_join_with_later_tasks_and_some_stay_behind() {
        let all = each("joining = { initial = 20, per_task = 10, stay = 0.1 }");
        let begins: Vec<u64> = all.iter().map(|v| v[0].begins).collect();
        let joined = |round| begins.iter().filter(|b| **b == round).count();
        assert_eq!([0, 10, 20, 30, 40].map(joined), [20, 10, 10, 10, 10]);
        let moved = |round| {
            all.iter()
                .filter(|v| v.iter().any(|v| v.begins == round))
                .count()
        };
        assert_eq!(
            [10, 20, 30, 40].map(moved),
            [18 + 10, 27 + 10, 36 + 10, 45 + 10]
        );
        let late = error("joining = { initial = 20, per_task = 5 }");
        assert_eq!(late.message, "only 40 of 60 clients would ever join");
    }

    #[test]
    fn the_order_of_tables_has_no_draws_of_clients() {
        let order = [2, 0, 1, 3, 4];
        let plain = Arrival::default().calendar(&order, SPAN).unwrap().1;
        let drawn = arrival("jitter = 3\nspread = 0.5\nsequence = 'own'");
        assert_eq!(drawn.calendar(&order, SPAN).unwrap().1, plain);
        assert_eq!(plain[4].begins, 40);
    }
}
