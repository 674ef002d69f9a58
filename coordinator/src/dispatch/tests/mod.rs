//! Lists of orders.

mod admission;
mod units;
mod uploads;

use super::*;
use lyceum_core::{
    Addend, ClientReport, ClientTerm, ExactSum, Fingerprint, Job, Lane, Layout, Outcome, Params,
    Payload, Probe, Reduction, Round, SlotName, SlotSpec, SlotSpecs, Tally, Trained, Upload, Work,
};
use lyceum_protocol::message::{Hello, OwnData, PROTOCOL, Ready, SessionId};

const LANES: [Lane; 1] = [Lane::INTEGER];
const NOW: Time = Time(1_000);
const T: Ticket = Ticket(0);

fn admission() -> Admission {
    let own = OwnData {
        samples: 5,
        shape: vec![2],
        classes: 2,
    };
    Admission {
        scenario: "scenario".into(),
        digest: Fingerprint::of(b"digest"),
        data: Fingerprint::of(b"data"),
        registry: Fingerprint::of(b"registry"),
        expert: None,
        real: [("ward".into(), (ClientId(100), own))].into(),
        profile: None,
        mixed_profiles: false,
    }
}

fn dispatch(incarnation: u32) -> Dispatch {
    dispatch_of(incarnation, Reduction::Sum)
}

fn dispatch_of(incarnation: u32, reduction: Reduction) -> Dispatch {
    let pace = Pace {
        reassign: Some(3_000_000),
        nodes: 3,
        ..Pace::default()
    };
    let contribution = Contribution {
        lanes: LANES.to_vec(),
        reduction,
        layout: Layout::weights(2),
        slots: slots(),
        answers: 1,
    };
    let mut dispatch = Dispatch::new(pace, admission(), contribution, incarnation);
    dispatch.keep(&[T]);
    dispatch
}

/// A vector of the strategy's rule, and a memory of few bytes.
fn slots() -> SlotSpecs {
    let mut slots = SlotSpecs::default();
    slots.push(SlotSpec::vector(SlotName::STRATEGY, 2));
    slots.push(SlotSpec::memory(SlotName::method("er"), 8));
    slots
}

fn speaker(peer: u64, name: &str) -> Speaker {
    let standing = match name {
        "ward" => Standing::Client,
        _ => Standing::Simulate,
    };
    Speaker {
        peer: Peer(peer),
        name: name.into(),
        standing,
    }
}

fn hello(threads: u32) -> Hello {
    Hello {
        protocol: PROTOCOL,
        attempt: 1,
        session: SessionId::default(),
        threads,
        registry: Fingerprint::of(b"registry"),
    }
}

fn ready(session: SessionId) -> Ready {
    Ready {
        session,
        scenario: Fingerprint::of(b"digest"),
        data: Some(Fingerprint::of(b"data")),
        profile: "fused".into(),
        own: None,
    }
}

fn unit(id: u64, client: u64) -> Assignment {
    Assignment {
        ticket: T,
        round: Round(0),
        unit: UnitId(id),
        work: Work::Train,
        facts: Default::default(),
        model: "global".into(),
        global: Params::zeros(2),
        vectors: vec![],
        jobs: vec![Job {
            data: DataRef::Shard(ClientId(client)),
            state: Default::default(),
        }],
    }
}

fn units(count: u64) -> Vec<Assignment> {
    (0..count).map(|id| unit(id, id)).collect()
}

/// A sum over these units, whose clients have their numbers.
fn upload(ids: &[u64]) -> Upload {
    let report = |&id: &u64| ClientReport::dropped_out(ClientId(id), 5, 8);
    Upload {
        ticket: T,
        units: ids.iter().copied().map(UnitId).collect(),
        payload: Payload::Trained(Trained {
            sum: ExactSum::new(&LANES, 2).into(),
            reports: ids.iter().map(report).collect(),
            states: vec![],
        }),
        micros: vec![],
    }
}

fn orders(dispatch: &mut Dispatch) -> Vec<Order> {
    std::iter::from_fn(|| dispatch.poll()).collect()
}

/// What a list of orders says, in short.
fn said(dispatch: &mut Dispatch) -> Vec<String> {
    let ids = |units: &[UnitId]| units.iter().map(|u| u.0).collect::<Vec<_>>();
    let keys = |keys: &[UnitKey]| keys.iter().map(|key| key.unit.0).collect::<Vec<_>>();
    let short = |order: Order| match order {
        Order::Send(peer, ToNode::Welcome(_)) => format!("{} welcome", peer.0),
        Order::Send(peer, ToNode::Refuse(_)) => format!("{} refuse", peer.0),
        Order::Send(peer, ToNode::Assign { assignment, .. }) => {
            format!("{} unit {}", peer.0, assignment.unit)
        }
        Order::Send(peer, ToNode::Pulse(pulse)) => {
            let flush = if pulse.flush { " flush" } else { "" };
            format!("{} pulse{flush} {:?}", peer.0, keys(&pulse.drop))
        }
        Order::Send(peer, ToNode::Finished { .. }) => format!("{} finished", peer.0),
        Order::Close(peer, _) => format!("{} close", peer.0),
        Order::Deliver(upload) => format!("deliver {:?}", ids(&upload.units)),
        Order::Notice(Notice::Joined { node, .. }) => format!("{node} joined"),
        Order::Notice(Notice::Lost { node, units, .. }) => format!("{node} lost {units}"),
        Order::Notice(Notice::Refused { node, .. }) => format!("{node} refused"),
        Order::Notice(Notice::Unheard { node, .. }) => format!("{node} unheard"),
        Order::Notice(Notice::Late { node, units }) => format!("{node} late {units}"),
        Order::Notice(Notice::Waits { missing, .. }) => missing,
    };
    orders(dispatch).into_iter().map(short).collect()
}

/// Says hello; the session that begins.
fn greet(dispatch: &mut Dispatch, peer: u64, name: &str, hello: Hello) -> SessionId {
    dispatch.hear(NOW, &speaker(peer, name), ToCoordinator::Hello(hello));
    let welcome = orders(dispatch).into_iter().find_map(|order| match order {
        Order::Send(_, ToNode::Welcome(welcome)) => Some(welcome.session),
        _ => None,
    });
    welcome.expect("it is let in")
}

/// Lets a worker in, who says that it is ready; what follows from that is not looked at.
fn join(dispatch: &mut Dispatch, peer: u64, name: &str, threads: u32) -> SessionId {
    let session = greet(dispatch, peer, name, hello(threads));
    let word = ToCoordinator::Ready(ready(session));
    dispatch.hear(NOW, &speaker(peer, name), word);
    session
}

fn report(session: SessionId, held: &[u64], open: u32) -> ToCoordinator {
    ToCoordinator::Report(Report {
        session,
        turn: 1,
        held: held.iter().map(|id| T.unit(UnitId(*id))).collect(),
        open,
        steps: 0,
    })
}

fn offer(session: SessionId, upload: Upload) -> ToCoordinator {
    ToCoordinator::Offer { session, upload }
}
