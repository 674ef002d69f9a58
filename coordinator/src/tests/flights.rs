//! Several tickets at once: a rule that has two models trained side by side.

use super::*;
use crate::{Closing, SteeringPlan, Synchronous, Verdict};
use lyceum_core::{Directive, GLOBAL, ModelTraining, RoundOutcome, RoundPlan, RunView, Steering};

/// Clients 1 and 2 train `global`, client 0 trains `second`.
struct SideBySide;

impl Steering for SideBySide {
    /// Models, clients and losses' count of each round so far.
    type State = Vec<(String, Vec<u64>)>;

    fn init(&self) -> Self::State {
        Vec::new()
    }

    fn models(&self) -> Vec<String> {
        vec!["second".into()]
    }

    fn plan(&self, _: &Self::State, view: &RunView<'_>) -> RoundPlan {
        assert_eq!(
            (view.clients, &view.models[..]),
            (3, &[GLOBAL, "second"][..])
        );
        let part = |model: &str, clients: &[u64]| ModelTraining {
            clients: Some(clients.iter().copied().map(ClientId).collect()),
            ..ModelTraining::of(model)
        };
        RoundPlan {
            train: vec![part(GLOBAL, &[2, 1]), part("second", &[0])],
            judge: vec!["second".into()],
        }
    }

    fn absorb(&self, state: &mut Self::State, outcome: &RoundOutcome<'_>) -> Vec<Directive> {
        for trained in outcome.trained {
            let clients = trained.reports.iter().map(|r| r.client.0).collect();
            state.push((trained.model.into(), clients));
        }
        Vec::new()
    }
}

fn side_by_side(closing: Option<Closing>) -> RoundMachine {
    let strategy: Arc<dyn AnyStrategy> = Arc::new(FedAvg::default());
    let mut machine = machine_of(strategy.clone(), None, Arc::new(All {}), 2, 0.0);
    machine.steer_by(SteeringPlan {
        rule: Arc::new(SideBySide),
        strategy,
    });
    machine.close_by(Arc::new(Synchronous(closing)));
    machine
}

/// `global`: (1 * 2 + 2 * 3) / 5; `second`: client 0 alone moves it by (0, 1).
#[test]
fn two_models_are_trained_side_by_side_whatever_answers_first() {
    let (mut forward, mut backward) = (side_by_side(None), side_by_side(None));
    let kinds = |outputs: Vec<Output>| outputs.iter().map(kind).collect::<Vec<_>>();
    let first = kinds(play(&mut forward, &[], false));
    // What came of each of the two models stands before the round's end.
    let end = [
        "client", "client", "client", "event", "event", "closed", "over",
    ];
    assert_eq!(first[first.len() - 7..], end);
    play(&mut forward, &[], false);
    play(&mut backward, &[], true);
    play(&mut backward, &[], true);
    assert_eq!(forward.fingerprint(), backward.fingerprint());
    let snapshot = forward.snapshot().unwrap();
    assert_eq!(snapshot.global[..], [16.0 / 5.0, 2.0]);
    assert_eq!(snapshot.book[0].name, "second");
    assert_eq!(snapshot.book[0].params[..], [0.0, 2.0]);
}

#[test]
fn each_model_has_a_ticket_and_a_unit_counts_for_its_own_alone() {
    let mut machine = side_by_side(None);
    machine.handle(Time(0), Input::NextRound).unwrap();
    let units = assignments(&drain(&mut machine));
    let tickets: Vec<Ticket> = machine.tickets().collect();
    assert_eq!(tickets, [Ticket(0), Ticket::of_round(Round(0), 1)]);
    let beside = units.iter().find(|a| a.ticket == tickets[1]).unwrap();
    assert_eq!(beside.unit, UnitId(0));
    // The same number under the other ticket is another unit, of two clients' model.
    upload(&mut machine, answer(beside, &[]));
    let pending: Vec<_> = machine.pending().map(|key| key.ticket).collect();
    assert!(!pending.is_empty() && pending.iter().all(|ticket| *ticket == tickets[0]));
}

/// The late one of two flights is closed; the round ends with what the other one has.
#[test]
fn a_flight_is_closed_without_the_late_and_the_other_one_is_waited_for() {
    let closing = Closing {
        after: 20,
        min_clients: 0,
        enough_clients: None,
        min: 20,
        give_up: 100,
    };
    let mut machine = side_by_side(Some(closing));
    machine.handle(Time(5), Input::NextRound).unwrap();
    let units = assignments(&drain(&mut machine));
    let [first, second] = [0, 1].map(|place| Ticket::of_round(Round(0), place));
    let deadlines: Vec<_> = machine.deadlines().collect();
    assert_eq!(deadlines, [(first, Time(25)), (second, Time(25))]);
    assert_eq!(machine.verdict(second, Time(24)), Verdict::Wait);
    assert_eq!(machine.verdict(second, Time(25)), Verdict::Close);
    machine.handle(Time(25), Input::Close(second)).unwrap();
    assert_eq!(drain(&mut machine), []);
    let ours = units.iter().filter(|a| a.ticket == first);
    ours.for_each(|unit| upload(&mut machine, answer(unit, &[])));
    let outputs = drain(&mut machine);
    let Some(Output::Event(Event::RoundClosed {
        accepted,
        dropped_out,
        ..
    })) = outputs.iter().find(|o| kind(o) == "closed")
    else {
        panic!("{outputs:?}");
    };
    assert_eq!((*accepted, *dropped_out), (2, 1));
}
