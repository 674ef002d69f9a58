//! A small run made by hand, for tests.

use lyceum_core::{ClientId, ClientReport, Event, Fingerprint, Outcome, Probe, Round};

pub(crate) fn evaluated(round: u64, probe: Probe, accuracy: f64, loss: f64) -> Event {
    Event::Evaluated {
        round: Round(round),
        probe,
        accuracy,
        loss,
        samples: 4,
        correct: vec![1, 2],
        count: vec![2, 2],
        further: Default::default(),
    }
}

pub(crate) fn client(round: u64, client: u64, outcome: Outcome) -> Event {
    let report = ClientReport {
        outcome,
        trained: 20,
        scored: 10,
        steps: 2,
        first_loss: Some(0.75),
        last_loss: Some(0.1),
        rms_loss: 0.5,
        difficulty: (client == 7).then_some(1.25),
        bytes_up: 40,
        ..ClientReport::dropped_out(ClientId(client), 10, 40)
    };
    Event::Client {
        round: Round(round),
        report,
    }
}

pub(crate) fn dropped_out(round: u64, client: u64) -> Event {
    Event::Client {
        round: Round(round),
        report: ClientReport::dropped_out(ClientId(client), 10, 40),
    }
}

pub(crate) fn closed(round: u64) -> Event {
    Event::RoundClosed {
        round: Round(round),
        cohort: 3,
        accepted: 1,
        refused: 1,
        dropped_out: 1,
        train_loss: (round == 0).then_some(0.5),
        trained: 40,
        scored: 30,
        steps: 4,
        bytes_down: 200,
        bytes_up: 80,
        fingerprint: Fingerprint::of(&round.to_le_bytes()),
    }
}

fn client_accuracy(round: u64, client: u64, accuracy: f64) -> Event {
    Event::ClientAccuracy {
        round: Round(round),
        client: ClientId(client),
        accuracy,
    }
}

/// Two rounds with the same three clients; the second is not evaluated.
pub(crate) fn run() -> Vec<Event> {
    let mut events = vec![Event::RunStarted {
        name: "small".to_owned(),
        seed: 3,
        rounds: 2,
        clients: 9,
        parameters: 10,
        scenario: Fingerprint::of(b"small"),
    }];
    for round in 0..2 {
        events.push(Event::ClientsScored {
            round: Round(round),
            clients: 2,
            samples: 10,
            bytes_down: 80,
        });
        events.push(Event::RoundStarted {
            round: Round(round),
            cohort: 3,
            model: None,
        });
        events.push(client(round, 7, Outcome::Accepted));
        events.push(client(round, 8, Outcome::Refused("not finite".to_owned())));
        events.push(dropped_out(round, 2));
        events.push(closed(round));
        if round == 0 {
            events.push(evaluated(0, Probe::Validation, 0.5, 0.25));
            events.push(evaluated(0, Probe::Test, 0.75, 0.125));
            events.push(client_accuracy(0, 7, 0.5));
            events.push(client_accuracy(0, 8, 1.0));
        }
        events.push(Event::Timing {
            round: Round(round),
            seconds: 0.001,
            evaluation_seconds: if round == 0 { 0.0005 } else { 0.0 },
        });
    }
    events.push(Event::RunFinished {
        rounds: 2,
        fingerprint: Fingerprint::of(&1_u64.to_le_bytes()),
    });
    events
}
