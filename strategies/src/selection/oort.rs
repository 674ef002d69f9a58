//! Guided selection by utility.

use super::at_most;
use crate::sampling::weighted_sample;
use lyceum_core::{
    ClientId, ClientReport, ClientSelector, Roster, Round, Stream, sample_distinct,
    units::{Count, Fraction, NonNegative, PositiveFraction},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Prefers clients whose samples had a high loss when they last took part, and keeps trying new
/// ones (Oort; Lai et al. 2021, section 4 and algorithm 1).
///
/// The utility of a tried client is `samples * sqrt(mean over samples of the squared loss)`, with the losses of its first epoch
/// as the authors' code takes them, clipped at a quantile and divided by it (the paper leaves the scale open; the authors' code normalises too), plus
/// `sqrt(staleness * ln(R) / L)` for the present round R and its last round L, both counted from 1.
/// Among clients with at least `cutoff` times the utility of the last one needed, the draw is
/// proportional to utility. The rest of the cohort are clients never tried, drawn uniformly.
/// The paper's system utility (the pacer, and speed among new clients) is left out: it needs
/// durations, which reports do not carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oort {
    /// Number of clients per round, 1 or above; must be given.
    pub per_round: Count,
    /// Share of new clients in the first round, from 0 to 1; default 0.9.
    #[serde(default = "default_exploration")]
    pub exploration: Fraction,
    /// Factor on that share after each round, above 0 up to 1; default 0.98.
    #[serde(default = "default_exploration_decay")]
    pub exploration_decay: PositiveFraction,
    /// Share below which it does not decay, from 0 to 1; default 0.2.
    #[serde(default = "default_exploration_least")]
    pub exploration_least: Fraction,
    /// Weight of the time since the last participation, 0 or above; no unit; default 0.1.
    #[serde(default = "default_staleness")]
    pub staleness: NonNegative,
    /// Share of the utility of the last client needed that is enough to be drawn from, from 0 to 1;
    /// default 0.95.
    #[serde(default = "default_share")]
    pub cutoff: Fraction,
    /// Quantile of the utilities at which they are clipped, from 0 to 1; default 0.95.
    #[serde(default = "default_share")]
    pub clip: Fraction,
    /// Number of participations after which a client is taken only if nobody else is left; default:
    /// never.
    #[serde(default)]
    pub blacklist_after: Option<Count>,
}

/// What is remembered of a client that took part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experience {
    /// Number of samples times the root of the mean squared loss.
    pub utility: f64,
    /// Round of the last participation, counted from 1.
    pub last: u64,
    /// Number of participations.
    pub times: u64,
}

/// What the rule remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OortState {
    /// Share of new clients in the next round.
    pub exploration: f64,
    /// Clients that took part.
    pub tried: BTreeMap<ClientId, Experience>,
}

fn fraction(value: f64) -> Fraction {
    Fraction::new(value).expect("defaults are in range")
}

fn default_exploration() -> Fraction {
    fraction(0.9)
}

fn default_exploration_decay() -> PositiveFraction {
    PositiveFraction::new(0.98).expect("defaults are in range")
}

fn default_exploration_least() -> Fraction {
    fraction(0.2)
}

fn default_staleness() -> NonNegative {
    NonNegative::new(0.1).expect("defaults are in range")
}

fn default_share() -> Fraction {
    fraction(0.95)
}

impl Oort {
    /// The defaults.
    pub fn new(per_round: Count) -> Self {
        Self {
            per_round,
            exploration: default_exploration(),
            exploration_decay: default_exploration_decay(),
            exploration_least: default_exploration_least(),
            staleness: default_staleness(),
            cutoff: default_share(),
            clip: default_share(),
            blacklist_after: None,
        }
    }

    /// Tried clients that are not blacklisted, with their utilities in the round `now`.
    fn utilities(&self, state: &OortState, now: u64) -> Vec<(ClientId, f64)> {
        let enough = self.blacklist_after.map_or(u64::MAX, |n| n.get() as u64);
        let known: Vec<_> = (state.tried.iter())
            .filter(|(_, e)| e.times < enough)
            .collect();
        let clip = quantile(known.iter().map(|k| k.1.utility).collect(), self.clip.get());
        let age = self.staleness.get() * (now as f64).ln();
        let utility = |e: &Experience| {
            let share = if clip > 0.0 {
                e.utility.min(clip) / clip
            } else {
                0.0
            };
            share + (age / e.last.max(1) as f64).sqrt()
        };
        known.into_iter().map(|(&c, e)| (c, utility(e))).collect()
    }

    /// Draws `amount` clients by utility from those that come near the last one needed.
    fn exploit(
        &self,
        mut known: Vec<(ClientId, f64)>,
        amount: usize,
        rng: &mut Stream,
    ) -> Vec<ClientId> {
        known.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let Some(last) = amount.checked_sub(1).and_then(|i| known.get(i)) else {
            return Vec::new();
        };
        let enough = self.cutoff.get() * last.1;
        known.retain(|k| k.1 >= enough);
        let weights: Vec<f64> = known.iter().map(|k| k.1).collect();
        let drawn = weighted_sample(&weights, amount, rng);
        drawn.into_iter().map(|p| known[p as usize].0).collect()
    }

    fn decay(&self, state: &mut OortState) {
        let least = self.exploration_least.get();
        if state.exploration > least {
            state.exploration = (state.exploration * self.exploration_decay.get()).max(least);
        }
    }
}

/// The value at a share of the sorted values; 0 without any.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    let last = values.len().saturating_sub(1);
    values.get(index.min(last)).copied().unwrap_or(0.0)
}

/// `amount` clients of `0..clients` that are not in `skip`, uniformly; costs a walk along `skip`.
fn others(
    skip: &BTreeSet<ClientId>,
    clients: u64,
    amount: usize,
    rng: &mut Stream,
) -> Vec<ClientId> {
    // The number of other clients below each one skipped; the r-th other client has passed all of
    // them whose number is r or less.
    let below: Vec<u64> = (skip.iter().zip(0..)).map(|(c, i)| c.0 - i).collect();
    let left = clients.saturating_sub(below.len() as u64);
    let passed = |r: u64| below.partition_point(|&b| b <= r) as u64;
    let drawn = sample_distinct(left, amount, rng);
    drawn.into_iter().map(|r| ClientId(r + passed(r))).collect()
}

impl ClientSelector for Oort {
    type State = OortState;

    fn init(&self, _: &dyn Roster, _: u64) -> OortState {
        OortState {
            exploration: self.exploration.get(),
            tried: BTreeMap::new(),
        }
    }

    fn cohort(&self, roster: &dyn Roster) -> usize {
        at_most(self.per_round, roster)
    }

    fn select(
        &self,
        state: &mut OortState,
        roster: &dyn Roster,
        round: Round,
        _: &[(ClientId, f32)],
        rng: &mut Stream,
    ) -> Vec<ClientId> {
        let (clients, amount) = (roster.clients(), self.cohort(roster));
        let known = self.utilities(state, round.0 + 1);
        let explore = (state.exploration * amount as f64).round() as usize;
        let untried =
            usize::try_from(clients.saturating_sub(state.tried.len() as u64)).unwrap_or(usize::MAX);
        let exploit = (amount - explore.min(untried)).min(known.len());
        let mut cohort = self.exploit(known, exploit, rng);
        let mut skip: BTreeSet<ClientId> = state.tried.keys().copied().collect();
        cohort.extend(others(&skip, clients, amount - cohort.len(), rng));
        if cohort.len() < amount {
            // Only blacklisted clients are left.
            skip = cohort.iter().copied().collect();
            cohort.extend(others(&skip, clients, amount - cohort.len(), rng));
        }
        self.decay(state);
        cohort
    }

    fn observe(&self, state: &mut OortState, round: Round, reports: &[ClientReport]) {
        for report in reports.iter().filter(|r| r.accepted()) {
            let utility = report.samples as f64 * f64::from(report.rms_loss);
            let times = state.tried.get(&report.client).map_or(0, |e| e.times);
            let experience = Experience {
                utility: if utility.is_finite() {
                    utility.max(0.0)
                } else {
                    0.0
                },
                last: round.0 + 1,
                times: times + 1,
            };
            state.tried.insert(report.client, experience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    fn state(exploration: f64, utilities: &[f64]) -> OortState {
        let experience = |&utility: &f64| Experience {
            utility,
            last: 1,
            times: 1,
        };
        OortState {
            exploration,
            tried: (0..)
                .map(ClientId)
                .zip(utilities.iter().map(experience))
                .collect(),
        }
    }

    /// Utilities 1, 2, 3, 10 with the clip at the quantile 0.5 (index 2, so 3): shares 1/3, 2/3, 1, 1.
    /// In round 3 with last rounds 1: sqrt(0.1 ln 3) = 0.331453 on top.
    #[test]
    fn utility_by_hand() {
        let rule = Oort {
            clip: fraction(0.5),
            ..Oort::new(count(2))
        };
        let got = rule.utilities(&state(0.0, &[1.0, 2.0, 3.0, 10.0]), 3);
        let want = [1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0].map(|s| s + 0.331_453);
        for (got, want) in got.iter().zip(want) {
            assert!((got.1 - want).abs() < 1e-6, "{got:?} {want}");
        }
    }

    #[test]
    fn reports_become_experience_and_dropouts_do_not() {
        let rule = Oort::new(count(2));
        let mut state = state(0.5, &[]);
        let reports = [
            report(ClientId(4), 20, 0.5),
            ClientReport::dropped_out(ClientId(6), 20, 0),
            report(ClientId(7), 3, f32::NAN),
        ];
        rule.observe(&mut state, Round(1), &reports);
        rule.observe(&mut state, Round(4), &reports[..1]);
        let want = |utility, last, times| Experience {
            utility,
            last,
            times,
        };
        assert_eq!(state.tried[&ClientId(4)], want(10.0, 5, 2));
        assert_eq!(state.tried[&ClientId(7)], want(0.0, 2, 1));
        assert_eq!(state.tried.len(), 2);
    }

    /// Two needed of utilities 1, 0.9, 0.8: the cutoff is 0.95 * 0.9 = 0.855, so the third is out.
    #[test]
    fn the_draw_is_among_those_near_the_last_one_needed() {
        let rule = Oort::new(count(2));
        let known = || (0..).map(ClientId).zip([1.0, 0.9, 0.8]).collect();
        let mut drawn = rule.exploit(known(), 2, &mut stream(0));
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1].map(ClientId));
        let generous = Oort {
            cutoff: fraction(0.5),
            ..rule
        };
        let mut thirds = 0;
        for round in 0..1000 {
            let drawn = generous.exploit(known(), 1, &mut stream(round));
            thirds += usize::from(drawn[0] == ClientId(2));
        }
        // 0.8 / 2.7 of 1000.
        assert!(thirds.abs_diff(296) < 60, "{thirds}");
    }

    #[test]
    fn the_share_of_new_clients_decays_to_its_least() {
        let (rule, roster) = (Oort::new(count(10)), Sizes(vec![1; 1000]));
        let mut state = rule.init(&roster, 200);
        let mut fresh = Vec::new();
        for round in 0..100 {
            let cohort = rule.select(&mut state, &roster, Round(round), &[], &mut stream(round));
            fresh.push(
                cohort
                    .iter()
                    .filter(|c| !state.tried.contains_key(c))
                    .count(),
            );
            let reports: Vec<_> = cohort.iter().map(|&c| report(c, 5, 1.0)).collect();
            rule.observe(&mut state, Round(round), &reports);
        }
        // 0.9 * 0.98 = 0.882 in the second round; 0.9 * 0.98^75 = 0.1977, so 0.2 from round 75 on.
        assert_eq!((fresh[0], fresh[1], fresh[99]), (10, 9, 2));
        assert_eq!(state.exploration, 0.2);
    }

    #[test]
    fn blacklisted_clients_come_only_when_nobody_else_is_left() {
        let rule = Oort {
            blacklist_after: Some(count(1)),
            ..Oort::new(count(2))
        };
        let known = state(0.0, &[5.0, 4.0, 3.0]);
        let (five, three) = (Sizes(vec![1; 5]), Sizes(vec![1; 3]));
        let mut cohort = rule.select(&mut known.clone(), &five, Round(3), &[], &mut stream(0));
        cohort.sort_unstable();
        assert_eq!(cohort, [3, 4].map(ClientId));
        let cohort = rule.select(&mut known.clone(), &three, Round(3), &[], &mut stream(0));
        assert_eq!(cohort.len(), 2);
    }

    #[test]
    fn others_are_all_that_are_not_skipped() {
        let skip: BTreeSet<_> = [0, 3, 4, 9].map(ClientId).into();
        let mut all = others(&skip, 10, 20, &mut stream(0));
        all.sort_unstable();
        assert_eq!(all, [1, 2, 5, 6, 7, 8].map(ClientId));
    }
}
