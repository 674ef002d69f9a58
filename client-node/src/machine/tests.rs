//! Lists of orders.

use super::*;
use lyceum_core::{ExactSum, Lane, Params, Payload, Round, Trained, Work};
use lyceum_protocol::message::PROTOCOL;

const NOW: Time = Time(1_000);
const BEAT: u64 = 2_000_000;
const SESSION: SessionId = SessionId(7);

fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        attempt: 0,
        session: SessionId::default(),
        threads: 1,
        registry: Fingerprint::default(),
    }
}

fn welcome(attempt: u64, session: SessionId, scenario: &str) -> ToNode {
    ToNode::Welcome(Welcome {
        attempt,
        session,
        heartbeat_micros: BEAT,
        scenario: scenario.into(),
        expert: None,
        client: None,
    })
}

fn preparation(scenario: &str) -> Preparation {
    Preparation {
        scenario: scenario.into(),
        expert: None,
        client: None,
    }
}

fn prepared() -> Prepared {
    Prepared {
        scenario: Fingerprint::of(b"digest"),
        data: None,
        profile: "fused".into(),
        own: None,
    }
}

fn unit(ticket: u64, id: u64) -> Assignment {
    Assignment {
        ticket: Ticket(ticket),
        round: Round(ticket),
        unit: UnitId(id),
        work: Work::Train,
        facts: Default::default(),
        model: "global".into(),
        global: Params::zeros(1),
        vectors: vec![],
        jobs: vec![],
    }
}

/// These tickets are in flight, the last of which was the last to begin.
fn flights(open: &[u64]) -> Flights {
    Flights {
        turn: 1 + open.last().unwrap(),
        open: open.iter().copied().map(Ticket).collect(),
    }
}

fn assign(session: SessionId, ticket: u64, id: u64) -> ToNode {
    assign_among(session, &[ticket], ticket, id)
}

fn assign_among(session: SessionId, open: &[u64], ticket: u64, id: u64) -> ToNode {
    ToNode::Assign {
        session,
        flights: flights(open),
        assignment: unit(ticket, id),
    }
}

fn pulse(session: SessionId, ticket: u64, flush: bool, drop: &[u64]) -> ToNode {
    let key = |id: &u64| Ticket(ticket).unit(UnitId(*id));
    ToNode::Pulse(Pulse {
        session,
        flights: flights(&[ticket]),
        flush,
        drop: drop.iter().map(key).collect(),
    })
}

fn upload(ticket: u64, ids: &[u64]) -> Upload {
    Upload {
        ticket: Ticket(ticket),
        units: ids.iter().copied().map(UnitId).collect(),
        payload: Payload::Trained(Trained {
            sum: ExactSum::new(&[Lane::INTEGER], 1).into(),
            reports: vec![],
            states: vec![],
        }),
        micros: vec![],
    }
}

/// What a list of orders says, in short.
fn said(machine: &mut NodeMachine) -> Vec<String> {
    let ids = |units: &[UnitId]| units.iter().map(|u| u.0).collect::<Vec<_>>();
    let keys = |keys: &[UnitKey]| keys.iter().map(|key| key.unit.0).collect::<Vec<_>>();
    let short = |order: Order| match order {
        Order::Send(ToCoordinator::Hello(hello)) => format!("hello {}", hello.attempt),
        Order::Send(ToCoordinator::Ready(_)) => "ready".into(),
        Order::Send(ToCoordinator::Report(r)) => {
            format!("holds {:?} open {}", keys(&r.held), r.open)
        }
        Order::Send(ToCoordinator::Offer { upload, .. }) => {
            format!("offer {:?}", ids(&upload.units))
        }
        Order::Send(ToCoordinator::Goodbye { .. }) => "goodbye".into(),
        Order::Send(ToCoordinator::Failed { reason, .. }) => format!("failed: {reason}"),
        Order::Work { assignment, .. } => format!("work {}", assignment.unit),
        Order::Flush { on, .. } => format!("flush {on}"),
        Order::Prepare(_) => "prepare".into(),
        Order::Clear { generation } => format!("clear {generation}"),
        Order::Reconnect => "reconnect".into(),
        Order::Finished => "finished".into(),
        Order::Stop(reason) => format!("stop: {reason}"),
        Order::Unfit(reason) => format!("unfit: {reason}"),
        Order::Fail(reason) => format!("fail: {reason}"),
    };
    std::iter::from_fn(|| machine.poll()).map(short).collect()
}

/// A node that works in [`SESSION`].
fn working() -> NodeMachine {
    let mut machine = NodeMachine::new(hello());
    machine.connected(NOW);
    machine.hear(NOW, welcome(1, SESSION, "one"));
    machine.prepared(NOW, &preparation("one"), Ok(prepared()));
    said(&mut machine);
    machine
}

/// A node that was given units of ticket 0, and has begun them.
fn given(ids: &[u64]) -> NodeMachine {
    let mut machine = working();
    for id in ids {
        machine.hear(NOW, assign(SESSION, 0, *id));
    }
    said(&mut machine);
    machine
}

#[test]
fn a_node_greets_loads_and_says_that_it_is_ready() {
    let mut machine = NodeMachine::new(hello());
    assert_eq!(machine.deadline(), None);
    machine.connected(NOW);
    assert_eq!(said(&mut machine), ["hello 1"]);
    machine.hear(NOW, welcome(1, SESSION, "one"));
    assert_eq!(said(&mut machine), ["prepare"]);
    machine.prepared(NOW, &preparation("one"), Ok(prepared()));
    assert_eq!(said(&mut machine), ["ready", "holds [] open 0"]);
}

#[test]
fn a_welcome_to_an_earlier_attempt_or_session_is_not_taken() {
    let mut machine = working();
    machine.disconnected();
    machine.connected(NOW);
    said(&mut machine);
    machine.hear(NOW, welcome(1, SessionId(9), "one"));
    machine.hear(NOW, welcome(2, SESSION, "one"));
    assert_eq!(said(&mut machine), [""; 0]);
    machine.hear(NOW, welcome(2, SessionId(8), "one"));
    assert_eq!(said(&mut machine), ["ready", "holds [] open 0"]);
}

#[test]
fn a_repeated_assignment_is_not_worked_on_twice_and_an_answered_one_is_offered_again() {
    let mut machine = working();
    machine.hear(NOW, assign(SESSION, 0, 3));
    machine.hear(NOW, assign(SESSION, 0, 3));
    assert_eq!(said(&mut machine), ["work 3"]);
    let generation = machine.generations;
    machine.summed(NOW, generation, UnitId(3), 5);
    machine.finished(NOW, generation, upload(0, &[3]));
    let want = ["holds [3] open 0", "offer [3]", "holds [3] open 0"];
    assert_eq!(said(&mut machine), want);
    machine.hear(NOW, assign(SESSION, 0, 3));
    assert_eq!(said(&mut machine), ["offer [3]"]);
}

#[test]
fn it_is_said_with_each_heartbeat_that_it_is_ready_until_work_comes() {
    let mut machine = working();
    machine.hear(NOW, pulse(SESSION, 0, true, &[]));
    machine.tick(Time(NOW.0 + BEAT));
    assert_eq!(said(&mut machine), ["ready", "holds [] open 0"]);
    machine.hear(NOW, assign(SESSION, 0, 1));
    machine.tick(Time(NOW.0 + 2 * BEAT));
    let want = ["flush true", "work 1", "holds [1] open 1"];
    assert_eq!(said(&mut machine), want);
}

#[test]
fn a_silent_coordinator_is_left_and_the_results_are_kept() {
    let mut machine = given(&[1]);
    let generation = machine.generations;
    machine.finished(NOW, generation, upload(0, &[1]));
    said(&mut machine);
    machine.tick(Time(NOW.0 + SILENT_HEARTBEATS * BEAT));
    assert_eq!(said(&mut machine), ["reconnect"]);
    machine.connected(NOW);
    machine.hear(NOW, welcome(2, SessionId(8), "one"));
    let want = ["hello 2", "ready", "holds [1] open 0", "offer [1]"];
    assert_eq!(said(&mut machine), want);
}

#[test]
fn a_dropped_unit_spoils_the_sum_that_it_is_in() {
    let mut machine = given(&[1, 2]);
    let generation = machine.generations;
    machine.summed(NOW, generation, UnitId(1), 5);
    said(&mut machine);
    machine.hear(NOW, pulse(SESSION, 0, true, &[1]));
    let want = ["clear 1", "work 2", "flush true"];
    assert_eq!(said(&mut machine), want);
    // What was on its way is void.
    machine.finished(NOW, generation, upload(0, &[1, 2]));
    assert_eq!((said(&mut machine), machine.offers().len()), (vec![], 0));
}

#[test]
fn an_offered_sum_that_lost_a_unit_is_forgotten_whole() {
    let mut machine = given(&[1, 2, 3]);
    let generation = machine.generations;
    machine.finished(NOW, generation, upload(0, &[1, 2]));
    said(&mut machine);
    machine.hear(NOW, pulse(SESSION, 0, false, &[1]));
    machine.tick(Time(NOW.0 + BEAT));
    assert_eq!(said(&mut machine), ["holds [3] open 1"]);
    machine.hear(NOW, assign(SESSION, 0, 2));
    assert_eq!(said(&mut machine), ["work 2"]);
}

#[test]
fn a_new_ticket_voids_the_one_before_and_old_words_are_not_heard() {
    let mut machine = given(&[1]);
    machine.hear(NOW, assign(SESSION, 1, 1));
    assert_eq!(said(&mut machine), ["clear 1", "work 1"]);
    machine.hear(NOW, assign(SESSION, 0, 2));
    machine.hear(NOW, pulse(SESSION, 0, true, &[1]));
    assert_eq!(said(&mut machine), [""; 0]);
}

#[test]
fn a_coordinator_that_went_back_is_followed_in_its_new_session() {
    let mut machine = working();
    machine.hear(NOW, assign(SESSION, 5, 1));
    machine.disconnected();
    machine.connected(NOW);
    machine.hear(NOW, welcome(2, SessionId(8), "one"));
    said(&mut machine);
    machine.hear(NOW, assign(SessionId(8), 4, 2));
    assert_eq!(said(&mut machine), ["clear 1", "work 2"]);
}

#[test]
fn another_scenario_voids_what_is_held() {
    let mut machine = given(&[1]);
    machine.hear(NOW, welcome(1, SessionId(8), "two"));
    machine.prepared(NOW, &preparation("one"), Ok(prepared()));
    assert_eq!(said(&mut machine), ["clear 1", "prepare"]);
    machine.prepared(NOW, &preparation("two"), Ok(prepared()));
    assert_eq!(said(&mut machine), ["ready", "holds [] open 0"]);
}

#[test]
fn who_is_refused_or_cannot_work_stops() {
    let mut machine = working();
    machine.hear(NOW, ToNode::Refuse("another version".into()));
    assert_eq!(said(&mut machine), ["stop: another version"]);
    let mut machine = given(&[1]);
    machine.failed("no samples".into());
    assert_eq!(
        said(&mut machine),
        ["failed: no samples", "fail: no samples"]
    );
}

#[test]
fn a_word_of_another_session_is_not_heard() {
    let mut machine = working();
    machine.hear(NOW, assign(SessionId(6), 0, 1));
    machine.hear(NOW, pulse(SessionId(8), 0, true, &[]));
    assert_eq!(said(&mut machine), [""; 0]);
}

#[test]
fn a_ticket_that_is_over_takes_nothing_of_another_one_with_it() {
    let mut machine = given(&[1]);
    machine.hear(NOW, assign_among(SESSION, &[0, 1], 1, 1));
    assert_eq!(said(&mut machine), ["work 1"]);
    // A result of one ticket says nothing of the unit of the other one that has its number.
    machine.finished(NOW, 1, upload(0, &[1]));
    assert_eq!(said(&mut machine), ["offer [1]", "holds [1, 1] open 1"]);
    machine.hear(NOW, assign_among(SESSION, &[1, 2], 2, 4));
    assert_eq!(said(&mut machine), ["clear 1", "work 4"]);
    assert!(machine.offers().is_empty());
    machine.tick(Time(NOW.0 + BEAT));
    assert_eq!(said(&mut machine), ["holds [1, 4] open 2"]);
    // An assignment that took long is heard, as long as its ticket is in flight.
    machine.hear(NOW, assign_among(SESSION, &[0, 1], 1, 7));
    assert_eq!(said(&mut machine), ["work 7"]);
}
