//! What becomes of the rounds that are over where the one in flight is given up.

use super::*;
use crate::{
    Snapshot,
    rounds::{Rounds, Saving, Turn},
    run::{Archive, RunError, Storage},
};

/// Keeps what it is told, and the rounds of what it saved.
#[derive(Default)]
struct Shelf {
    held: bool,
    saved: Vec<u64>,
    events: Vec<Event>,
}

impl Archive for Shelf {
    fn event(&mut self, event: Event) -> Result<(), RunError> {
        self.events.push(event);
        Ok(())
    }

    fn best(&mut self, _: Params) {}

    fn clients_took(&mut self, _: &[u64]) {}

    fn round_took(&mut self, _: Round, _: u64, _: u64) -> Result<(), RunError> {
        Ok(())
    }

    fn save(&mut self, snapshot: &Snapshot) -> Result<(), RunError> {
        self.saved.push(snapshot.rounds);
        Ok(())
    }

    fn hold(&mut self) -> Result<(), RunError> {
        self.held = true;
        Ok(())
    }

    fn storage(&mut self) -> &mut dyn Storage {
        panic!("a run in one process keeps no journal")
    }
}

fn begun(every: u64) -> Rounds<Shelf> {
    let saving = Saving {
        every,
        ..Saving::default()
    };
    let mut rounds = Rounds::new(Time(0), machine(4), Shelf::default(), 4, saving);
    rounds.begin(Time(0)).unwrap();
    rounds
}

/// Plays the round in flight, which takes this long, and begins the next one.
fn play_round(rounds: &mut Rounds<Shelf>, now: &mut u64, micros: u64) {
    *now += micros;
    loop {
        match rounds.poll(Time(*now)).unwrap() {
            Some(Turn::Assign(unit)) => rounds.take(Time(*now), answer(&unit, &[])).unwrap(),
            Some(Turn::RoundOver { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    rounds.begin(Time(*now)).unwrap();
}

#[test]
fn a_round_that_is_given_up_takes_none_of_those_before_it_along() {
    // Microseconds between checkpoints and of a round; rounds that are safe when the third one is given up.
    for (every, round, given_up, saved) in [
        (0, 1_000, true, &[1, 2][..]),
        (u64::MAX, 600_000, true, &[2]),
        (800_000, 600_000, true, &[2]),
        (500_000, 700_000, true, &[1, 2]),
        (u64::MAX, 1_000, false, &[]),
    ] {
        let (mut rounds, mut now) = (begun(every), 0);
        play_round(&mut rounds, &mut now, round);
        play_round(&mut rounds, &mut now, round);
        assert_eq!(rounds.give_up_round().unwrap(), given_up, "{every} {round}");
        let shelf = rounds.archive();
        assert_eq!(shelf.saved, saved, "{every} {round}");
        let paused = shelf.events.contains(&Event::Paused { rounds: 2 });
        assert_eq!(paused, given_up, "{every} {round}");
        assert_eq!(shelf.held, every > 500_000 && given_up, "{every} {round}");
    }
}

#[test]
fn before_the_end_of_the_first_round_nothing_is_lost() {
    let mut rounds = begun(u64::MAX);
    assert!(rounds.give_up_round().unwrap());
    let shelf = rounds.archive();
    assert_eq!((shelf.saved.len(), shelf.held), (0, false));
    assert_eq!(shelf.events.last(), Some(&Event::Paused { rounds: 0 }));
}
