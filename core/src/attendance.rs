//! Which clients are there in which rounds, where a timeline changes that.

use crate::{ClientId, Event, Purpose, Round, Seed, Ticket, Turnout};
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

    /// What a log says of the clients whose presence changes with a round, of so many in all.
    pub fn changes(&self, round: Round, clients: u64) -> Vec<Event> {
        let joins = self.joins.iter().any(|(_, from)| *from == round);
        let bounds = |a: &Absence| a.from == round || a.to == Some(round);
        if !joins && !self.absences.iter().any(bounds) {
            return Vec::new();
        }
        let mut present = 0;
        let [mut joined, mut left, mut silent, mut back] = [const { Vec::new() }; 4];
        for client in (0..clients).map(ClientId) {
            let is_there = self.is_present(client, round);
            present += u64::from(is_there);
            match (self.was_there(client, round), is_there) {
                (false, true) => joined.push(client),
                (true, false) => left.push(client),
                (false, false) => continue,
                (true, true) => {}
            }
            let was_silent = round.0 > 0 && self.is_silent(client, Round(round.0 - 1));
            match (was_silent, self.is_silent(client, round)) {
                (false, true) if is_there => silent.push(client),
                (true, false) if is_there => back.push(client),
                _ => {}
            }
        }
        type Tell = fn(Turnout) -> Event;
        let told: [(Tell, _); 4] = [
            (Event::ClientsJoined, joined),
            (Event::ClientsLeft, left),
            (Event::ClientsSilent, silent),
            (Event::ClientsBack, back),
        ];
        let told = told.into_iter().filter(|(_, who)| !who.is_empty());
        told.map(|(event, who)| {
            event(Turnout {
                round,
                clients: who.len() as u64,
                present,
                who: Some(who)
                    .filter(|who| who.len() <= Turnout::NAMED)
                    .unwrap_or_default(),
            })
        })
        .collect()
    }

    /// Whether a client was there just before a round. Before the first one, whoever does not come later is.
    fn was_there(&self, client: ClientId, round: Round) -> bool {
        let late = |(first, from): &(ClientId, Round)| client >= *first && from.0 > 0;
        match round.0.checked_sub(1) {
            Some(before) => self.is_present(client, Round(before)),
            None => !self.joins.iter().any(late),
        }
    }

    fn is_away(&self, client: ClientId, round: Round, silent: bool) -> bool {
        let now = |a: &&Absence| {
            a.silent == silent && a.from <= round && a.to.is_none_or(|to| round < to)
        };
        // Whoever has not come yet does not go.
        let joined = self.joined(client);
        let mut absences = self.absences.iter().filter(now);
        absences.any(|a| joined <= a.from && a.who.contains(client))
    }

    /// The first round in which a client is there.
    fn joined(&self, client: ClientId) -> Round {
        let own = self.joins.iter().filter(|(first, _)| client >= *first);
        own.map(|(_, from)| *from).max().unwrap_or(Round(0))
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
    fn changes_are_told_when_they_come_and_not_in_other_rounds() {
        let these = |clients: &[u64]| Who::These(clients.iter().map(|&c| ClientId(c)).collect());
        let absence = |from, to: Option<u64>, who: &[u64], silent| Absence {
            from: Round(from),
            to: to.map(Round),
            who: these(who),
            silent,
        };
        let attendance = Attendance {
            joins: vec![(ClientId(3), Round(2))],
            absences: vec![
                absence(0, None, &[4], false),
                absence(1, Some(3), &[0, 1], true),
                absence(2, None, &[1], false),
            ],
        };
        let told = |round, present, who: &[u64]| Turnout {
            round: Round(round),
            clients: who.len() as u64,
            present,
            who: who.iter().map(|&c| ClientId(c)).collect(),
        };
        let changes = |round| attendance.changes(Round(round), 5);
        // Client 4 cannot leave before it comes, with client 3 in round 2.
        assert_eq!(changes(0), []);
        assert_eq!(changes(1), [Event::ClientsSilent(told(1, 3, &[0, 1]))]);
        assert_eq!(
            changes(2),
            [
                Event::ClientsJoined(told(2, 4, &[3, 4])),
                Event::ClientsLeft(told(2, 4, &[1]))
            ]
        );
        assert_eq!(changes(3), [Event::ClientsBack(told(3, 4, &[0]))]);
        assert_eq!(changes(4), []);
        let early = Attendance {
            absences: vec![absence(0, None, &[2], false)],
            ..Attendance::default()
        };
        assert_eq!(
            early.changes(Round(0), 3),
            [Event::ClientsLeft(told(0, 2, &[2]))]
        );
    }

    #[test]
    fn more_clients_than_a_line_holds_are_counted_only() {
        let everybody = Absence {
            from: Round(1),
            to: None,
            who: Who::Share {
                share: 1.0,
                seed: Seed(1),
                ticket: Ticket(0),
            },
            silent: false,
        };
        let attendance = Attendance {
            absences: vec![everybody],
            ..Attendance::default()
        };
        let clients = Turnout::NAMED as u64 + 1;
        let [Event::ClientsLeft(left)] = &attendance.changes(Round(1), clients)[..] else {
            panic!("they leave");
        };
        assert_eq!(
            (left.clients, left.present, left.who.len()),
            (clients, 0, 0)
        );
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
