//! `[[timeline]]`: what happens to a run at given rounds or tasks.

use crate::{registry::Chosen, training::Training};
use lyceum_core::{
    AnySelector, Round, Visit,
    units::{Count, Fraction},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry of `[[timeline]]`: a time, and what happens then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Round before which it happens, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u64>,
    /// Instead of a round: the task of the common order, from 0, with which it happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u64>,
    /// Clients that leave for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_clients: Option<Part>,
    /// Clients that come: the last ones of `data.clients` are not there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_clients: Option<Count>,
    /// Clients that are selected and do not answer, for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
    /// The next task comes now, whenever it was to come, to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_task: Option<bool>,
    /// The stream stands still for so many rounds: no task comes, nothing drifts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_stream: Option<Count>,
    /// Keys of `training`, `selection` or `availability` that change, dotted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    pub set: Option<toml::Table>,
}

/// Some of the clients; exactly one of both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Each client with this probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Fraction>,
    /// So many, drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

/// Clients that do not answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Each client with this probability.
    pub share: Fraction,
    /// For so many rounds.
    pub rounds: Count,
}

/// What a run goes by from a round on.
#[derive(Clone)]
pub struct Phase {
    /// First round.
    pub from: Round,
    /// How parameters follow their gradients.
    pub training: Training,
    /// Who takes part.
    pub selection: Chosen<dyn AnySelector>,
    /// Share of the selected clients that never answer.
    pub dropout: f64,
}

/// What the timeline does to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The next task comes at this round.
    Next(Round),
    /// From this round on everything is late by so many rounds.
    Hold(Round, u64),
}

impl Moment {
    pub(crate) fn turns(&self, from: Round) -> impl Iterator<Item = Turn> {
        let next = self.new_task.filter(|now| *now).map(|_| Turn::Next(from));
        let hold = self.hold_stream.map(|n| Turn::Hold(from, n.get() as u64));
        next.into_iter().chain(hold)
    }

    /// Keys by which nothing happens: key, what is wrong, what would be right.
    pub(crate) fn nothings(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let nobody = |share: Option<Fraction>| share.is_some_and(|share| share.get() == 0.0);
        let leaving = self.drop_clients.and_then(|part| part.share);
        let share = "a share above 0";
        let all = [
            (
                nobody(leaving),
                "drop_clients.share",
                "nobody leaves",
                share,
            ),
            (
                nobody(self.silence.map(|silence| silence.share)),
                "silence.share",
                "nobody falls silent",
                share,
            ),
            (
                self.set.as_ref().is_some_and(toml::Table::is_empty),
                "set",
                "no key changes",
                "a key and its value, such as `set = { \"training.rate\" = 0.05 }`",
            ),
            (
                self.new_task == Some(false),
                "new_task",
                "no task comes",
                "`new_task = true`, or leave it out",
            ),
        ];
        let there = all.into_iter().filter(|(nothing, ..)| *nothing);
        there
            .map(|(_, key, message, label)| (key, message, label))
            .collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let times = Self {
            round: self.round,
            task: self.task,
            ..NOTHING
        };
        *self == times
    }
}

const NOTHING: Moment = Moment {
    round: None,
    task: None,
    drop_clients: None,
    add_clients: None,
    silence: None,
    new_task: None,
    hold_stream: None,
    set: None,
};

impl Turn {
    /// Visits as they come to be.
    pub(crate) fn applied(self, visits: &[Visit]) -> Vec<Visit> {
        let mut visits = visits.to_vec();
        match self {
            Self::Next(now) => {
                let Some(next) = visits.iter().position(|v| v.begins > now.0) else {
                    return visits;
                };
                let early = visits[next].begins - now.0;
                visits[next..].iter_mut().for_each(|v| {
                    v.begins -= early;
                    v.ends -= early;
                });
                if let Some(last) = next.checked_sub(1) {
                    visits[last].ends = now.0;
                }
            }
            Self::Hold(now, rounds) => {
                for visit in &mut visits {
                    if visit.begins > now.0 {
                        visit.begins += rounds;
                    }
                    if visit.ends > now.0 {
                        visit.ends += rounds;
                    }
                }
            }
        }
        visits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::TaskId;

    fn spans(visits: &[Visit]) -> Vec<(u64, u64)> {
        visits.iter().map(|v| (v.begins, v.ends)).collect()
    }

    #[test]
    fn turns_move_what_is_still_to_come() {
        let visit = |place: u32| Visit {
            task: TaskId(place),
            place,
            begins: 10 * u64::from(place),
            ends: 10 * u64::from(place) + 10,
        };
        let visits: Vec<Visit> = (0..3).map(visit).collect();
        let next = Turn::Next(Round(4)).applied(&visits);
        assert_eq!(spans(&next), [(0, 4), (4, 14), (14, 24)]);
        let held = Turn::Hold(Round(12), 5).applied(&visits);
        assert_eq!(spans(&held), [(0, 10), (10, 25), (25, 35)]);
        assert_eq!(Turn::Next(Round(25)).applied(&visits), visits);
    }
}
