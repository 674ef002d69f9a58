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

/// The first process comes back, and hears why it may not; neither the second nor the first one that is started again is
/// taken for it.
#[test]
fn of_two_processes_with_one_certificate_the_later_one_stays() {
    let mut dispatch = dispatch(1);
    let first = join(&mut dispatch, 1, "a", 1);
    let second = join(&mut dispatch, 2, "a", 1);
    said(&mut dispatch);
    let back = |session| Hello {
        session,
        attempt: 2,
        ..hello(1)
    };
    let say = |dispatch: &mut Dispatch, peer, session| {
        dispatch.hear(
            NOW,
            &speaker(peer, "a"),
            ToCoordinator::Hello(back(session)),
        );
        said(dispatch)
    };
    assert_eq!(
        say(&mut dispatch, 3, first),
        ["a refused", "3 refuse", "3 close"]
    );
    // The second on a new connection, and a new process.
    assert_eq!(say(&mut dispatch, 4, second), ["2 close", "4 welcome"]);
    assert_eq!(
        say(&mut dispatch, 5, SessionId(0)),
        ["4 close", "5 welcome"]
    );
    // Nobody is ready meanwhile, so whoever comes is taken.
    assert_eq!(say(&mut dispatch, 6, first), ["5 close", "6 welcome"]);
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
