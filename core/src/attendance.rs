//! Which clients are there in which rounds, where a timeline changes that.

use crate::{ClientId, Purpose, Round, Seed, Ticket};
use rand::RngExt;
use std::collections::BTreeSet;

/// Clients that come, go or fall silent. Everybody is always there by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attendance {
    /// Comings, in the order of time: clients from this number on are not there before this round.
    pub joins: Vec<(ClientId, Round)>,
    /// Goings and silences.
    pub absences: Vec<Absence>,
}

/// Clients that are not there, or do not answer, for a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Absence {
    /// First round.
    pub from: Round,
    /// One past the last round; `None` for ever.
    pub to: Option<Round>,
    /// Who.
    pub who: Who,
    /// They are selected and do not answer, instead of not being there.
    pub silent: bool,
}

/// Some of the clients.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    /// Each with this probability, drawn once.
    Share {
        /// From 0 to 1.
        share: f64,
        /// Where the draws come from.
        seed: Seed,
        /// Sets the draws of one absence apart from another's.
        ticket: Ticket,
    },
    /// These.
    These(BTreeSet<ClientId>),
}

impl Who {
    fn contains(&self, client: ClientId) -> bool {
        match self {
            Self::These(clients) => clients.contains(&client),
            Self::Share {
                share,
                seed,
                ticket,
            } => {
                let mut rng = seed.stream(Purpose::ARRIVAL, *ticket, Some(client));
                rng.random::<f64>() < *share
            }
        }
    }
}

impl Attendance {
    /// Whether everybody is always there.
    pub fn is_full(&self) -> bool {
        self.joins.is_empty() && self.absences.is_empty()
    }

    /// Whether a client can be selected in a round.
    pub fn is_present(&self, client: ClientId, round: Round) -> bool {
        let late = |(first, from): &(ClientId, Round)| client >= *first && round < *from;
        !self.joins.iter().any(late) && !self.is_away(client, round, false)
    }

    /// Whether a client that is selected does not answer.
    pub fn is_silent(&self, client: ClientId, round: Round) -> bool {
        self.is_away(client, round, true)
    }

    fn is_away(&self, client: ClientId, round: Round, silent: bool) -> bool {
        let now = |a: &&Absence| {
            a.silent == silent && a.from <= round && a.to.is_none_or(|to| round < to)
        };
        let mut absences = self.absences.iter().filter(now);
        absences.any(|a| a.who.contains(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_come_go_and_fall_silent() {
        let these = |clients: &[u64]| Who::These(clients.iter().map(|&c| ClientId(c)).collect());
        let attendance = Attendance {
            joins: vec![(ClientId(8), Round(5))],
            absences: vec![
                Absence {
                    from: Round(2),
                    to: None,
                    who: these(&[1]),
                    silent: false,
                },
                Absence {
                    from: Round(3),
                    to: Some(Round(4)),
                    who: these(&[2]),
                    silent: true,
                },
            ],
        };
        let present = |c, r| attendance.is_present(ClientId(c), Round(r));
        assert!(present(1, 1) && !present(1, 2) && !present(1, 99));
        assert!(!present(8, 4) && present(8, 5) && !present(9, 0) && present(7, 0));
        let silent = |r| attendance.is_silent(ClientId(2), Round(r));
        assert_eq!([2, 3, 4].map(silent), [false, true, false]);
        assert!(present(2, 3) && Attendance::default().is_full());
    }

    #[test]
    fn a_share_is_drawn_once_per_client() {
        let who = Who::Share {
            share: 0.3,
            seed: Seed(1),
            ticket: Ticket(7),
        };
        let gone = (0..1000).filter(|&c| who.contains(ClientId(c))).count();
        assert!((250..350).contains(&gone), "{gone}");
        assert_eq!(who.contains(ClientId(5)), who.contains(ClientId(5)));
    }
}
