//! What is taken as an answer.

use super::*;
use lyceum_core::Slot;

#[test]
fn a_slow_node_s_units_are_given_to_a_second_one_and_the_first_answer_counts() {
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(1));
    let b = join(&mut dispatch, 2, "b", 1);
    said(&mut dispatch);
    dispatch.tick(Time(NOW.0 + 3_000_000));
    assert_eq!(said(&mut dispatch), ["2 unit 0", "2 pulse flush []"]);
    dispatch.hear(NOW, &speaker(2, "b"), offer(b, upload(&[0])));
    assert_eq!(said(&mut dispatch), ["deliver [0]"]);
    // Not safe yet: neither may forget it, and one of them hears so once it is.
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[0])));
    assert_eq!(said(&mut dispatch), ["a late 1", "1 pulse flush []"]);
    dispatch.hear(NOW, &speaker(2, "b"), offer(b, upload(&[0])));
    assert_eq!(said(&mut dispatch), [""; 0]);
    dispatch.safe(T, &[UnitId(0)]);
    assert_eq!(said(&mut dispatch), ["2 pulse flush [0]"]);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[0])));
    assert_eq!(said(&mut dispatch), ["a late 1", "1 pulse flush [0]"]);
}

#[test]
fn an_upload_with_an_answered_unit_counts_for_nothing_and_the_rest_is_done_again() {
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(2));
    let b = join(&mut dispatch, 2, "b", 1);
    dispatch.tick(Time(NOW.0 + 3_000_000));
    dispatch.hear(NOW, &speaker(2, "b"), offer(b, upload(&[0])));
    dispatch.safe(T, &[UnitId(0)]);
    said(&mut dispatch);
    dispatch.gone(Peer(2));
    dispatch.tick(Time(NOW.0 + Pace::default().lease - 1));
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[0, 1])));
    assert_eq!(said(&mut dispatch), ["a late 1", "1 pulse [0, 1]"]);
    dispatch.hear(NOW, &speaker(1, "a"), report(a, &[], 0));
    assert_eq!(said(&mut dispatch)[0], "1 unit 1");
}

#[test]
fn an_upload_that_does_not_answer_what_was_asked_shuts_its_node_out() {
    let tally = Payload::Evaluated {
        probe: Probe::Test,
        tally: Tally::new(2),
    };
    let mut stranger = upload(&[0]);
    let mut wide = upload(&[0]);
    if let (Payload::Trained(one), Payload::Trained(other)) =
        (&mut stranger.payload, &mut wide.payload)
    {
        one.reports[0].client = ClientId(7);
        other.sum = ExactSum::new(&LANES, 3).into();
    }
    let wrong = [
        upload(&[0, 0]),
        upload(&[]),
        stranger,
        wide,
        Upload {
            payload: tally,
            ..upload(&[0])
        },
    ];
    for upload in wrong {
        let mut dispatch = dispatch(1);
        let a = join(&mut dispatch, 1, "a", 1);
        dispatch.assign(NOW, units(8));
        said(&mut dispatch);
        dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload.clone()));
        let said = said(&mut dispatch);
        assert_eq!(
            said[..3],
            ["a refused", "1 refuse", "1 close"],
            "{upload:?}"
        );
        assert_eq!(dispatch.waiting(), 8);
    }
}

/// The update of each of these clients, accepted, where `reported` are.
fn each(reported: &[u64], clients: &[u64], values: &[f32]) -> Upload {
    let mut upload = upload(reported);
    if let Payload::Trained(trained) = &mut upload.payload {
        trained
            .reports
            .iter_mut()
            .for_each(|r| r.outcome = Outcome::Accepted);
        let term = |&client: &u64| ClientTerm {
            client: ClientId(client),
            lanes: vec![(5.0, values.to_vec().into())],
        };
        trained.sum = Addend::Each(clients.iter().map(term).collect());
    }
    upload
}

#[test]
fn where_each_update_is_asked_for_each_must_come_once() {
    let offered = |reduction, upload: Upload| {
        let mut dispatch = dispatch_of(1, reduction);
        let a = join(&mut dispatch, 1, "a", 4);
        dispatch.assign(NOW, units(2));
        said(&mut dispatch);
        dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload));
        said(&mut dispatch)[0].clone()
    };
    let right = each(&[0, 1], &[1, 0], &[1.0, 2.0]);
    assert_eq!(
        offered(Reduction::EachUpdate, right.clone()),
        "deliver [0, 1]"
    );
    assert_eq!(offered(Reduction::Sum, right), "a refused");
    for wrong in [
        upload(&[0, 1]),
        each(&[0, 1], &[0], &[1.0, 2.0]),
        each(&[0, 1], &[0, 0], &[1.0, 2.0]),
        each(&[0, 1], &[0, 7], &[1.0, 2.0]),
        each(&[0, 1], &[0, 1], &[1.0]),
        each(&[0, 1], &[0, 1], &[1.0, f32::NAN]),
    ] {
        let said = offered(Reduction::EachUpdate, wrong.clone());
        assert_eq!(said, "a refused", "{wrong:?}");
    }
}

/// An upload of client 0, accepted, with what stays with it.
fn with_state(client: u64, name: &str, slot: impl Into<Slot>) -> Upload {
    let mut upload = each(&[0], &[0], &[1.0, 2.0]);
    if let Payload::Trained(trained) = &mut upload.payload {
        let state = [(SlotName::new(name), slot.into())].into_iter().collect();
        trained.states = vec![(ClientId(client), state)];
    }
    upload
}

#[test]
fn what_stays_with_a_client_is_looked_at_before_it_counts() {
    let offered = |upload: Upload| {
        let mut dispatch = dispatch_of(1, Reduction::EachUpdate);
        let a = join(&mut dispatch, 1, "a", 4);
        dispatch.assign(NOW, units(1));
        said(&mut dispatch);
        dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload));
        orders(&mut dispatch)
            .into_iter()
            .find_map(|order| match order {
                Order::Notice(Notice::Refused { reason, .. }) => Some(reason),
                _ => None,
            })
    };
    let vector = |values: &[f32]| Params::from(values.to_vec());
    assert_eq!(
        offered(with_state(0, "strategy", vector(&[1.0, 2.0]))),
        None
    );
    assert_eq!(offered(with_state(0, "method.er", vec![7; 8])), None);
    let refused = |upload, why: &str| {
        let reason = offered(upload).expect(why);
        assert!(reason.contains(why), "{reason}");
    };
    let who = "the state of client 0: ";
    refused(
        with_state(0, "method.er", vec![7; 9]),
        &format!("{who}its slot `method.er` holds 9 bytes; expected at most 8 bytes"),
    );
    refused(
        with_state(0, "strategy", vector(&[1.0; 3])),
        &format!("{who}its slot `strategy` holds 3 values; expected 2 values"),
    );
    refused(
        with_state(0, "strategy", vector(&[1.0, f32::NAN])),
        &format!("{who}value 1 of its slot `strategy` is NaN; expected a finite number"),
    );
    refused(
        with_state(0, "strategy", vec![7; 8]),
        &format!("{who}its slot `strategy` holds 8 bytes; expected 2 values"),
    );
    refused(
        with_state(0, "method.gem", vec![7]),
        &format!(
            "{who}its slot `method.gem` has no owner in this run; expected `strategy`, `method.er`"
        ),
    );
    refused(
        with_state(1, "method.er", vec![7]),
        "it brings a state of client 1, which it did not train",
    );
}

#[test]
fn a_unit_that_a_node_was_not_given_is_not_its_to_answer() {
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(8));
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[7])));
    assert_eq!(said(&mut dispatch)[..2], ["a refused", "1 refuse"]);
}

#[test]
fn several_units_of_evaluation_are_not_answered_as_one() {
    let evaluate = |id| Assignment {
        work: Work::Evaluate,
        jobs: vec![Job {
            data: DataRef::Probe {
                probe: Probe::Test,
                start: 0,
                end: 9,
            },
            state: Default::default(),
        }],
        ..unit(id, 0)
    };
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, vec![evaluate(0), evaluate(1)]);
    said(&mut dispatch);
    let mut nine = Tally::new(2);
    (0..9).for_each(|_| nine.add(1, true, 0.5));
    let tally = |ids| Upload {
        payload: Payload::Evaluated {
            probe: Probe::Test,
            tally: nine.clone(),
        },
        ..upload(ids)
    };
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, tally(&[0])));
    assert_eq!(said(&mut dispatch), ["deliver [0]"]);
    dispatch.assign(NOW, vec![evaluate(2)]);
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, tally(&[1, 2])));
    assert_eq!(said(&mut dispatch)[0], "a refused");
}

#[test]
fn after_a_restart_nodes_keep_what_they_hold_and_may_answer_it() {
    let mut dispatch = dispatch(2);
    dispatch.assign(NOW, units(2));
    dispatch.has_opened(T, 6);
    let a = greet(&mut dispatch, 1, "a", hello(1));
    assert_eq!(a, SessionId((2 << 32) + 1));
    // Before it is known to be ready, nothing of it counts.
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[0])));
    assert_eq!(said(&mut dispatch), [""; 0]);
    dispatch.hear(NOW, &speaker(1, "a"), ToCoordinator::Ready(ready(a)));
    let want = ["a joined", "1 unit 0", "1 unit 1", "1 pulse flush []"];
    assert_eq!(said(&mut dispatch), want);
    // A third unit was answered before the restart.
    dispatch.hear(NOW, &speaker(1, "a"), report(a, &[0, 5], 0));
    assert_eq!(said(&mut dispatch), ["1 pulse flush [5]"]);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[5])));
    assert_eq!(said(&mut dispatch), ["a late 1", "1 pulse flush [5]"]);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[0])));
    assert_eq!(said(&mut dispatch), ["deliver [0]"]);
}

#[test]
fn a_word_about_an_old_ticket_drops_nothing_of_the_new_one() {
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 1);
    let next = Assignment {
        ticket: Ticket(1),
        ..unit(0, 0)
    };
    dispatch.keep(&[Ticket(1)]);
    dispatch.assign(NOW, vec![next]);
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[0])));
    dispatch.hear(NOW, &speaker(1, "a"), report(a, &[0], 0));
    let pulses = said(&mut dispatch);
    let drops = pulses.iter().filter(|s| s.ends_with("[0]")).count();
    assert_eq!(drops, 0, "{pulses:?}");
}

#[test]
fn units_of_two_tickets_with_the_same_number_are_two_units() {
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 2);
    let beside = Assignment {
        ticket: Ticket(9),
        ..unit(0, 7)
    };
    dispatch.keep(&[T, Ticket(9)]);
    dispatch.assign(NOW, vec![unit(0, 0), beside]);
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[0])));
    let answer = orders(&mut dispatch)
        .into_iter()
        .find_map(|order| match order {
            Order::Deliver(upload) => Some((upload.ticket, upload.units)),
            _ => None,
        });
    assert_eq!(answer, Some((T, vec![UnitId(0)])));
    assert!(dispatch.missing(NOW).starts_with("a holds 1 unit"));
    // The first ticket is over; what a node holds of the other one stays.
    dispatch.safe(T, &[UnitId(0)]);
    dispatch.keep(&[Ticket(9)]);
    assert!(dispatch.missing(NOW).starts_with("a holds 1 unit"));
    let held = vec![Ticket(9).unit(UnitId(0))];
    let report = Report {
        session: a,
        turn: 3,
        held,
        open: 0,
        steps: 0,
    };
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(1, "a"), ToCoordinator::Report(report));
    assert_eq!(said(&mut dispatch), ["1 pulse flush []"]);
}

#[test]
fn what_is_missing_is_said_in_words() {
    let mut dispatch = dispatch(1);
    assert_eq!(dispatch.missing(NOW), "");
    dispatch.assign(NOW, vec![unit(0, 0), unit(1, 100)]);
    assert_eq!(
        dispatch.missing(NOW),
        "1 unit waits for ward, which has never connected; 1 unit waits for a node, and no node is ready"
    );
    join(&mut dispatch, 1, "a", 1);
    let later = Time(NOW.0 + 4_000_000);
    assert_eq!(
        dispatch.missing(later),
        "a holds 1 unit and was heard 4 s ago; 1 unit waits for ward, which has never connected"
    );
    dispatch.gone(Peer(1));
    let missing = dispatch.missing(later);
    assert!(
        missing.contains("a holds 1 unit and is not connected; it was heard 4 s ago"),
        "{missing}"
    );
}

/// A coordinator that was killed before the expert was trained begins again with the same unit.
#[test]
fn a_later_process_takes_the_answer_of_the_expert_s_unit() {
    let mut dispatch = dispatch(2);
    let expert = Assignment {
        work: Work::Expert,
        jobs: vec![Job {
            data: DataRef::Pool,
            state: Default::default(),
        }],
        ..unit(u64::MAX, 0)
    };
    let a = join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, vec![expert]);
    said(&mut dispatch);
    let scores = lyceum_core::ExpertScores {
        losses: vec![],
        errors: vec![],
    };
    let found = Upload {
        payload: Payload::Expert {
            params: Params::zeros(2),
            scores,
        },
        ..upload(&[u64::MAX])
    };
    dispatch.hear(NOW, &speaker(1, "a"), report(a, &[u64::MAX], 0));
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, found));
    assert_eq!(said(&mut dispatch), [format!("deliver [{}]", u64::MAX)]);
}
