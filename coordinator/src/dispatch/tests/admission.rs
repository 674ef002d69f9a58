//! Who is let in, and heard.

use super::*;

#[test]
fn a_node_is_greeted_and_gets_units_when_it_is_ready() {
    let mut dispatch = dispatch(1);
    dispatch.assign(NOW, units(2));
    let speaker = speaker(1, "a");
    dispatch.hear(NOW, &speaker, ToCoordinator::Hello(hello(1)));
    assert_eq!(said(&mut dispatch), ["1 welcome"]);
    let session = SessionId((1 << 32) + 1);
    dispatch.hear(NOW, &speaker, ToCoordinator::Ready(ready(session)));
    let want = ["a joined", "1 unit 0", "1 unit 1", "1 pulse flush []"];
    assert_eq!(said(&mut dispatch), want);
}

#[test]
fn who_does_not_fit_is_turned_away() {
    let wrong: [fn(&mut Hello); 2] = [
        |hello| hello.protocol += 1,
        |hello| hello.registry = Fingerprint::of(b"other"),
    ];
    for spoil in wrong {
        let mut dispatch = dispatch(1);
        let mut hello = hello(1);
        spoil(&mut hello);
        dispatch.hear(NOW, &speaker(1, "a"), ToCoordinator::Hello(hello));
        assert_eq!(said(&mut dispatch), ["a refused", "1 refuse", "1 close"]);
    }
}

#[test]
fn a_node_with_other_data_scenario_or_arithmetic_is_shut_out() {
    let wrong: [fn(&mut Ready); 3] = [
        |ready| ready.scenario = Fingerprint::of(b"other"),
        |ready| ready.data = Some(Fingerprint::of(b"other")),
        |ready| ready.profile = "flex".into(),
    ];
    for spoil in wrong {
        let mut dispatch = dispatch(1);
        join(&mut dispatch, 1, "a", 1);
        said(&mut dispatch);
        let session = greet(&mut dispatch, 2, "b", hello(1));
        let mut ready = ready(session);
        spoil(&mut ready);
        dispatch.hear(NOW, &speaker(2, "b"), ToCoordinator::Ready(ready));
        let want = ["b refused", "2 refuse", "2 close", "b lost 0"];
        assert_eq!(said(&mut dispatch), want);
    }
}

#[test]
fn no_more_nodes_are_known_than_configured() {
    let mut dispatch = dispatch(1);
    for (peer, name) in [(1, "a"), (2, "b"), (3, "c")] {
        join(&mut dispatch, peer, name, 1);
    }
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(4, "d"), ToCoordinator::Hello(hello(1)));
    assert_eq!(said(&mut dispatch), ["d refused", "4 refuse", "4 close"]);
}

#[test]
fn a_message_of_another_session_or_connection_is_not_heard() {
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 1);
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(9, "a"), report(a, &[], 0));
    let other = SessionId(a.0 + 1);
    dispatch.hear(NOW, &speaker(1, "a"), report(other, &[], 0));
    assert_eq!(said(&mut dispatch), ["a unheard"]);
}

/// Two processes take each other's place twice; then the one that comes back hears why it may not.
#[test]
fn of_two_processes_with_one_certificate_one_is_turned_away() {
    let mut dispatch = dispatch(1);
    let hello = |session, attempt| Hello {
        session,
        attempt,
        ..hello(1)
    };
    let mut come = |peer, session, attempt| {
        let message = ToCoordinator::Hello(hello(session, attempt));
        dispatch.hear(NOW, &speaker(peer, "a"), message);
        let said = said(&mut dispatch);
        let session = dispatch.nodes["a"].session;
        dispatch.hear(
            NOW,
            &speaker(peer, "a"),
            ToCoordinator::Ready(ready(session)),
        );
        self::said(&mut dispatch);
        (said, session)
    };
    let (_, first) = come(1, SessionId(0), 1);
    // A second process; then words of the first one from before, which take a place once and are no sign of two.
    let (said, second) = come(2, SessionId(0), 1);
    assert_eq!(said, ["1 close", "2 welcome"]);
    let (said, first) = come(3, first, 2);
    assert_eq!(said, ["2 close", "3 welcome"]);
    let (said, _) = come(4, second, 2);
    assert_eq!(said, ["3 close", "4 welcome"]);
    let (said, _) = come(5, first, 3);
    assert_eq!(said, ["a refused", "5 refuse", "5 close"]);
}

/// However often a node comes back, and whatever it said before arrives late, it is no other process.
#[test]
fn a_node_that_comes_back_or_is_started_again_is_not_taken_for_another() {
    let mut dispatch = dispatch(1);
    let mut session = SessionId(0);
    for attempt in 1..9 {
        for (peer, heard, attempt) in [
            (attempt, session, attempt),
            (attempt + 100, SessionId(0), 1),
        ] {
            let hello = Hello {
                session: heard,
                attempt,
                ..hello(1)
            };
            dispatch.hear(NOW, &speaker(peer, "a"), ToCoordinator::Hello(hello));
            session = dispatch.nodes["a"].session;
            dispatch.hear(
                NOW,
                &speaker(peer, "a"),
                ToCoordinator::Ready(ready(session)),
            );
            assert!(!said(&mut dispatch).contains(&"a refused".to_owned()));
        }
        let late = Hello {
            session: SessionId(1),
            attempt: 0,
            ..hello(1)
        };
        dispatch.hear(
            NOW,
            &speaker(attempt + 200, "a"),
            ToCoordinator::Hello(late),
        );
        assert!(!said(&mut dispatch).contains(&"a refused".to_owned()));
        session = dispatch.nodes["a"].session;
    }
}

#[test]
fn a_coordinator_that_lost_count_goes_beyond_what_a_node_has_heard() {
    let mut dispatch = dispatch(1);
    let heard = |session| Hello {
        session: SessionId(session),
        ..hello(1)
    };
    let later = SessionId((8 << 32) + 1);
    assert_eq!(greet(&mut dispatch, 1, "a", heard((7 << 32) + 5)), later);
    // Nobody can use the numbers up.
    let next = SessionId((8 << 32) + 2);
    assert_eq!(greet(&mut dispatch, 2, "b", heard(u64::MAX)), next);
}

/// A node takes the end of a run from its own session alone, so one that comes later hears it in the session that it knows of.
#[test]
fn nodes_that_come_after_the_end_are_dismissed_in_the_session_that_they_know() {
    let mut dispatch = dispatch(1);
    join(&mut dispatch, 1, "a", 1);
    let away = join(&mut dispatch, 2, "b", 1);
    dispatch.gone(Peer(2));
    assert_eq!(dispatch.all_dismissed(), None);
    said(&mut dispatch);
    dispatch.dismiss();
    assert_eq!(said(&mut dispatch), ["1 finished"]);
    assert_eq!(dispatch.all_dismissed(), None);
    for (peer, name, session, dismissed) in [(3, "b", away, 2), (4, "c", SessionId(0), 3)] {
        let hello = Hello {
            session,
            ..hello(1)
        };
        dispatch.hear(NOW, &speaker(peer, name), ToCoordinator::Hello(hello));
        let finished = Order::Send(Peer(peer), ToNode::Finished { session });
        assert_eq!(orders(&mut dispatch), [finished], "{name}");
        assert_eq!(dispatch.all_dismissed(), Some(dismissed), "{name}");
    }
}
