//! Who takes part in a round, one file per rule.
//!
//! Cohorts hold distinct clients in the order of selection, and everybody when a rule asks for more
//! clients than there are. States remember only clients that took part.

mod all;
mod difficulty;
mod oort;
mod passes;
mod power_of_choice;
mod uniform;

pub use all::All;
pub use difficulty::{Budget, ClientOrder, ClientScore, Difficulty, Pool};
pub use oort::{Experience, Oort, OortState};
pub use passes::{Pass, Passes};
pub use power_of_choice::{LargestSeen, PowerOfChoice};
pub use uniform::Uniform;

use lyceum_core::{Roster, units::Count};

/// The usual size of a cohort.
fn at_most(per_round: Count, roster: &dyn Roster) -> usize {
    let clients = usize::try_from(roster.clients()).unwrap_or(usize::MAX);
    per_round.get().min(clients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{
        AnySelector, ClientId, ClientReport, Outcome, Purpose, Seed, SelectorRun, Stream, Ticket,
    };
    use std::sync::Arc;

    /// Clients with the given numbers of samples.
    pub(super) struct Sizes(pub(super) Vec<usize>);

    impl Roster for Sizes {
        fn clients(&self) -> u64 {
            self.0.len() as u64
        }
        fn samples(&self, client: ClientId) -> usize {
            self.0[client.0 as usize]
        }
    }

    /// So many clients that nobody could list them.
    pub(super) struct Crowd;

    impl Roster for Crowd {
        fn clients(&self) -> u64 {
            1 << 50
        }
        fn samples(&self, client: ClientId) -> usize {
            1 + (client.0 % 100) as usize
        }
    }

    pub(super) fn count(n: u64) -> Count {
        Count::new(n).unwrap()
    }

    pub(super) fn stream(round: u64) -> Stream {
        Seed(3).stream(Purpose::SELECTION, Ticket(round), None)
    }

    pub(super) fn report(client: ClientId, samples: u64, rms_loss: f32) -> ClientReport {
        ClientReport {
            outcome: Outcome::Accepted,
            rms_loss,
            ..ClientReport::dropped_out(client, samples, 0)
        }
    }

    /// One round with scores and reports that follow from the ids.
    pub(super) fn play(run: &mut dyn SelectorRun, round: u64) -> Vec<ClientId> {
        let (at, mut rng) = (lyceum_core::Round(round), stream(round));
        let loss = |c: &ClientId| ((c.0 * 7 + round) % 11) as f32;
        let wanted = run.wants_scores(at, &mut rng).unwrap_or_default();
        let mut scores: Vec<_> = wanted.iter().map(|c| (*c, loss(c))).collect();
        scores.sort_unstable_by_key(|s| s.0);
        let cohort = run.select(at, &scores, &mut rng);
        let mut reports: Vec<_> = cohort.iter().map(|&c| report(c, 10, loss(&c))).collect();
        reports.sort_by_key(|r| r.client);
        run.observe(at, &reports);
        cohort
    }

    fn everything(per_round: u64) -> Vec<Arc<dyn AnySelector>> {
        let per_round = count(per_round);
        let difficulty = |order| Difficulty {
            order,
            ..Difficulty::new(per_round)
        };
        vec![
            Arc::new(Uniform { per_round }),
            Arc::new(Passes { per_round }),
            Arc::new(All {}),
            Arc::new(difficulty(ClientOrder::Curriculum)),
            Arc::new(difficulty(ClientOrder::AntiCurriculum)),
            Arc::new(difficulty(ClientOrder::Random)),
            Arc::new(PowerOfChoice {
                candidates: count(6),
                per_round,
            }),
            Arc::new(Oort::new(per_round)),
        ]
    }

    #[test]
    fn cohorts_are_distinct_clients_of_the_federation() {
        for (clients, per_round) in [(1, 1), (1, 5), (7, 3), (20, 5), (20, 20), (20, 50)] {
            let roster = Arc::new(Sizes((0..clients).collect()));
            for selector in everything(per_round) {
                let usual = selector.cohort(&*roster);
                let mut run = selector.start(roster.clone(), 12);
                for round in 0..12 {
                    let mut cohort = play(&mut *run, round);
                    assert!(!cohort.is_empty() && cohort.len() <= usual);
                    cohort.sort_unstable();
                    cohort.dedup();
                    assert!(cohort.len() <= clients && cohort.iter().all(|c| c.0 < clients as u64));
                }
            }
        }
    }

    #[test]
    fn a_rule_that_asks_for_too_many_takes_everybody() {
        let roster = Arc::new(Sizes(vec![3; 4]));
        let paced = 3..6; // The difficulty rules begin with a part of the clients.
        for (index, selector) in everything(9).into_iter().enumerate() {
            let mut cohort = play(&mut *selector.start(roster.clone(), 5), 0);
            cohort.sort_unstable();
            assert!(paced.contains(&index) || cohort == [0, 1, 2, 3].map(ClientId));
        }
    }

    #[test]
    fn nobody_is_taken_where_nobody_is() {
        for selector in everything(3) {
            let mut run = selector.start(Arc::new(Sizes(vec![])), 5);
            assert!((0..3).all(|round| play(&mut *run, round).is_empty()));
        }
    }

    #[test]
    fn a_restored_run_goes_on_as_if_nothing_had_happened() {
        let roster = Arc::new(Sizes((5..35).collect()));
        for selector in everything(4) {
            let mut whole = selector.clone().start(roster.clone(), 20);
            (0..9).for_each(|round| drop(play(&mut *whole, round)));
            let saved = whole.save();
            let mut restored = selector.start(roster.clone(), 20);
            restored.restore(&saved).unwrap();
            for round in 9..20 {
                assert_eq!(play(&mut *whole, round), play(&mut *restored, round));
            }
            assert_eq!(whole.save(), restored.save());
        }
    }

    #[test]
    fn the_population_costs_nothing() {
        let selectors: Vec<Arc<dyn AnySelector>> = vec![
            Arc::new(Uniform {
                per_round: count(9),
            }),
            Arc::new(Passes {
                per_round: count(9),
            }),
            Arc::new(PowerOfChoice {
                candidates: count(30),
                per_round: count(9),
            }),
            Arc::new(Oort::new(count(9))),
        ];
        for selector in selectors {
            let mut run = selector.start(Arc::new(Crowd), 20);
            for round in 0..20 {
                assert_eq!(play(&mut *run, round).len(), 9);
            }
            assert!(run.save().len() < 8000);
        }
    }
}
