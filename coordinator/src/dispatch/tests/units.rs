//! Which units go where.

use super::*;

#[test]
fn each_worker_gets_half_of_its_share_and_the_rest_when_it_asks() {
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 1);
    join(&mut dispatch, 2, "b", 3);
    said(&mut dispatch);
    dispatch.assign(NOW, units(16));
    let given: Vec<Vec<String>> = {
        let said = said(&mut dispatch);
        let of = |peer: &str| {
            said.iter()
                .filter(|s| s.starts_with(peer))
                .cloned()
                .collect()
        };
        vec![of("1 unit"), of("2 unit")]
    };
    assert_eq!([given[0].len(), given[1].len()], [2, 6]);
    dispatch.hear(NOW, &speaker(1, "a"), report(a, &[0, 1], 1));
    assert_eq!(said(&mut dispatch)[0], "1 unit 8");
}

#[test]
fn a_unit_that_did_not_arrive_is_sent_again_once_it_is_overdue() {
    let mut dispatch = dispatch(1);
    let a = join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(2));
    said(&mut dispatch);
    // What was given in this session may still be on its way.
    dispatch.hear(NOW, &speaker(1, "a"), report(a, &[1], 1));
    assert_eq!(said(&mut dispatch), ["1 pulse flush []"]);
    let later = Time(NOW.0 + Pace::default().resend);
    dispatch.hear(later, &speaker(1, "a"), report(a, &[1], 1));
    assert_eq!(said(&mut dispatch), ["1 unit 0", "1 pulse flush []"]);
}

#[test]
fn a_silent_node_loses_its_units_to_others() {
    let mut dispatch = dispatch(1);
    join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(2));
    said(&mut dispatch);
    assert_eq!(dispatch.deadline(), Some(Time(NOW.0 + 3_000_000)));
    let lease = Time(NOW.0 + Pace::default().lease);
    let b = greet(&mut dispatch, 2, "b", hello(1));
    dispatch.hear(lease, &speaker(2, "b"), ToCoordinator::Ready(ready(b)));
    said(&mut dispatch);
    dispatch.tick(lease);
    let said = said(&mut dispatch);
    let want = ["1 close", "a lost 2", "2 unit 0", "2 unit 1"];
    assert_eq!(said[..4], want);
}

#[test]
fn a_lone_node_hands_in_what_it_has_although_its_unit_waits_for_a_second_one() {
    let mut dispatch = dispatch(1);
    join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(1));
    said(&mut dispatch);
    dispatch.tick(Time(NOW.0 + 3_000_000));
    assert_eq!((said(&mut dispatch), dispatch.waiting()), (vec![], 1));
    let session = SessionId((1 << 32) + 1);
    dispatch.hear(NOW, &speaker(1, "a"), report(session, &[0], 0));
    assert_eq!(said(&mut dispatch), ["1 pulse flush []"]);
}

#[test]
fn a_real_client_s_unit_goes_to_its_node_and_to_no_other() {
    let mut dispatch = dispatch(1);
    join(&mut dispatch, 1, "a", 4);
    said(&mut dispatch);
    dispatch.assign(NOW, vec![unit(0, 0), unit(1, 100)]);
    // Nothing waits that the worker could do, so it hands in.
    assert_eq!(said(&mut dispatch), ["1 unit 0", "1 pulse flush []"]);
    let own = dispatch.admission.real["ward"].1.clone();
    let ward = greet(&mut dispatch, 2, "ward", hello(1));
    let word = Ready {
        data: None,
        own: Some(own),
        ..ready(ward)
    };
    dispatch.hear(NOW, &speaker(2, "ward"), ToCoordinator::Ready(word));
    let want = ["ward joined", "2 unit 1", "2 pulse flush []"];
    assert_eq!(said(&mut dispatch), want);
}

#[test]
fn a_banished_node_s_units_go_to_others_at_once() {
    let mut dispatch = dispatch(1);
    join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(2));
    join(&mut dispatch, 2, "b", 1);
    said(&mut dispatch);
    dispatch.banish(NOW, Peer(1), &"a".into());
    let said = said(&mut dispatch);
    assert_eq!(said[..2], ["1 close", "a lost 2"]);
    assert!(said.contains(&"2 unit 0".into()) && said.contains(&"2 unit 1".into()));
}

/// That its connection ended may be heard first.
#[test]
fn a_banished_node_that_is_gone_already_loses_its_units_at_once() {
    let mut dispatch = dispatch(1);
    join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(2));
    join(&mut dispatch, 2, "b", 1);
    said(&mut dispatch);
    dispatch.gone(Peer(1));
    dispatch.banish(NOW, Peer(1), &"a".into());
    let said = said(&mut dispatch);
    assert_eq!(said[0], "a lost 2");
    assert!(said.contains(&"2 unit 0".into()) && said.contains(&"2 unit 1".into()));
}

#[test]
fn a_node_that_came_back_on_another_connection_is_not_banished_with_the_one_before() {
    let mut dispatch = dispatch(1);
    join(&mut dispatch, 1, "a", 1);
    dispatch.assign(NOW, units(1));
    join(&mut dispatch, 2, "a", 1);
    said(&mut dispatch);
    dispatch.banish(NOW, Peer(1), &"a".into());
    assert_eq!(said(&mut dispatch), [""; 0]);
}

/// The process before was in the next stage already, and its journal was not.
#[test]
fn what_a_node_holds_of_a_stage_to_come_is_neither_dropped_nor_refused() {
    let mut dispatch = dispatch(2);
    dispatch.assign(NOW, units(1));
    let a = join(&mut dispatch, 1, "a", 1);
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(1, "a"), report(a, &[5], 0));
    assert_eq!(said(&mut dispatch), ["1 pulse flush []"]);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[5])));
    assert_eq!(said(&mut dispatch), [""; 0]);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[0])));
    assert_eq!(said(&mut dispatch), ["deliver [0]"]);
    dispatch.assign(NOW, vec![unit(5, 5)]);
    said(&mut dispatch);
    dispatch.hear(NOW, &speaker(1, "a"), offer(a, upload(&[5])));
    assert_eq!(said(&mut dispatch), ["deliver [5]"]);
}
