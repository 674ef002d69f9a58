//! Who may take part: the handshake of a node.

use super::{Dispatch, Node, Notice, Order, Peer, Speaker};
use lyceum_core::{ClientId, ExpertScores, Fingerprint, Time};
use lyceum_protocol::message::{
    Hello, NodeName, NumericProfile, OwnData, PROTOCOL, Ready, SessionId, ToNode, Welcome,
};
use std::{collections::BTreeMap, sync::Arc};

/// Sessions that a node may claim to have heard of, so that none can use them up.
const MOST_SESSIONS: u64 = 3 << 62;
/// Times that a node's place is taken, each within a lease of the one before, after which two processes have one certificate.
const TAKEN_OVER: u32 = 3;
/// Threads of a node, at most; what it is given grows with them.
const THREADS: u32 = 4096;
/// Bytes of a numeric profile, at most.
const PROFILE: usize = 256;

/// What a node's certificate lets it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Host virtual clients.
    Simulate,
    /// Be the one real client of its name.
    Client,
}

/// What every node is held against.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The resolved scenario, as text.
    pub scenario: Arc<str>,
    /// Its digest.
    pub digest: Fingerprint,
    /// Digest of its samples.
    pub data: Fingerprint,
    /// Digest of the plugins.
    pub registry: Fingerprint,
    /// What the expert makes of the samples, once it is trained.
    pub expert: Option<Arc<ExpertScores>>,
    /// Real clients: which node is whom, and what it must have.
    pub real: BTreeMap<NodeName, (ClientId, OwnData)>,
    /// The arithmetic of the run; the first node decides where it is not known yet.
    pub profile: Option<NumericProfile>,
    /// Whether nodes of other arithmetic may help, which gives up the fingerprint.
    pub mixed_profiles: bool,
}

impl Admission {
    /// The node that a client's work must go to, if the client is a real one.
    pub(super) fn owner(&self, client: Option<ClientId>) -> Option<&NodeName> {
        let client = client?;
        self.real
            .iter()
            .find(|(_, (id, _))| *id == client)
            .map(|(name, _)| name)
    }

    fn refusal_of_hello(
        &self,
        name: &NodeName,
        standing: &Standing,
        hello: &Hello,
    ) -> Option<String> {
        if hello.protocol != PROTOCOL {
            return Some(format!(
                "the node speaks protocol {}, this coordinator {PROTOCOL}; use the same version of lyceum on both",
                hello.protocol
            ));
        }
        if hello.registry != self.registry {
            return Some(format!(
                "the node's plugins (registry {}) are not the coordinator's ({}); use the same build on both",
                hello.registry, self.registry
            ));
        }
        let known = self.real.contains_key(name);
        if *standing == Standing::Simulate && known {
            return Some(format!(
                "`{name}` is a real client of the scenario, and this is a node that simulates; give it another name"
            ));
        }
        (*standing == Standing::Client && !known).then(|| {
            format!("the scenario has no real client `{name}`; `[[data.real]]` names them")
        })
    }

    fn refusal_of_ready(
        &self,
        name: &NodeName,
        standing: Standing,
        ready: &Ready,
    ) -> Option<String> {
        if ready.scenario != self.digest {
            return Some(format!(
                "the node resolves the scenario to {}, the coordinator to {}",
                ready.scenario, self.digest
            ));
        }
        match (standing, self.real.get(name), &ready.own) {
            (Standing::Client, Some((_, want)), Some(own)) => {
                if let Some(misfit) = own_data_misfit(want, own) {
                    return Some(misfit);
                }
            }
            (Standing::Client, ..) => {
                return Some("a real client has to say what its samples are like".into());
            }
            (Standing::Simulate, ..) if ready.data.is_none() => {
                return Some("a node that simulates clients needs the scenario's samples".into());
            }
            (Standing::Simulate, ..) => {}
        }
        if let Some(data) = ready.data.filter(|data| *data != self.data) {
            return Some(format!(
                "the node's samples ({data}) are not the coordinator's ({}); give both the same data",
                self.data
            ));
        }
        let plain = |c: char| !c.is_control();
        if ready.profile.len() > PROFILE || !ready.profile.chars().all(plain) {
            return Some(format!(
                "its arithmetic is not named in one line of {PROFILE} bytes"
            ));
        }
        let profile = self.profile.as_ref().filter(|p| **p != ready.profile);
        profile.filter(|_| !self.mixed_profiles).map(|profile| {
            format!(
                "the node computes as {}, this run as {profile}; bits hold within one profile",
                ready.profile
            )
        })
    }
}

/// Why a real client's data does not fit the scenario.
fn own_data_misfit(want: &OwnData, own: &OwnData) -> Option<String> {
    if want.shape != own.shape || want.classes < own.classes {
        return Some(format!(
            "its samples are {:?} in {} classes, the scenario's are {:?} in {}",
            own.shape, own.classes, want.shape, want.classes
        ));
    }
    (want.samples != own.samples).then(|| {
        format!(
            "it has {} training samples, the scenario says {} (`samples` of its entry in `[[data.real]]`)",
            own.samples, want.samples
        )
    })
}

impl Dispatch {
    pub(super) fn hello(&mut self, now: Time, from: &Speaker, hello: Hello) {
        let Speaker {
            peer,
            name,
            standing,
        } = from;
        let peer = *peer;
        if let Some(told) = &mut self.dismissed {
            // It takes no other session's word for it.
            let session = hello.session;
            told.insert(name.clone());
            return self
                .orders
                .push_back(Order::Send(peer, ToNode::Finished { session }));
        }
        if let Some(reason) = self.admission.refusal_of_hello(name, standing, &hello) {
            return self.turn_away(peer, name, reason);
        }
        if !self.nodes.contains_key(name) && self.nodes.len() >= self.pace.nodes {
            let reason = format!("{} nodes are known, no more are let in", self.nodes.len());
            return self.turn_away(peer, name, reason);
        }
        if self.is_of_a_twin(now, peer, name, &hello) {
            let reason = format!(
                "another process works as `{name}`, and both take each other's place: each node needs a certificate of its own"
            );
            return self.turn_away(peer, name, reason);
        }
        self.go_beyond(hello.session);
        let node = self
            .nodes
            .entry(name.clone())
            .or_insert_with(|| Node::new(*standing, peer, now));
        if let Some(before) = node.peer.filter(|before| *before != peer) {
            self.peers.remove(&before);
            let reason = "the node has come back on another connection".into();
            self.orders.push_back(Order::Close(before, reason));
        }
        let repeated =
            node.peer == Some(peer) && node.attempt == hello.attempt && node.session.0 != 0;
        node.heard = now;
        node.peer = Some(peer);
        node.threads = hello.threads.clamp(1, THREADS);
        node.standing = *standing;
        node.attempt = hello.attempt;
        self.peers.insert(peer, name.clone());
        if !repeated {
            self.next_session += 1;
            node.session = SessionId(self.next_session);
            node.ready = false;
            node.reported = false;
            node.flushes = false;
            node.unheard = false;
        }
        self.welcome(name);
    }

    /// Whether two processes with one certificate go on taking each other's place.
    ///
    /// One of them says hello on another connection, and has not heard of the session in which the node is at work. A node that
    /// was started again has heard of none, one that comes back has heard of the last in which it was ready, and what it said
    /// before is of an earlier attempt. The last words of a process that died may look alike, but do not come again and again.
    fn is_of_a_twin(&mut self, now: Time, peer: Peer, name: &NodeName, hello: &Hello) -> bool {
        let lease = self.pace.lease;
        let Some(node) = self.nodes.get_mut(name) else {
            return false;
        };
        let elsewhere = node.ready && node.peer.is_some_and(|other| other != peer);
        let unheard = hello.session.0 != 0 && hello.session < node.session;
        if !elsewhere || !unheard || hello.attempt < node.attempt {
            return false;
        }
        let (times, last) = node.taken_over;
        let times = if now.0.saturating_sub(last.0) > lease {
            1
        } else {
            times + 1
        };
        node.taken_over = (times, now);
        times >= TAKEN_OVER
    }

    /// A node that has heard of a session to come knows of a process that this one does not: stored numbers were lost.
    fn go_beyond(&mut self, heard: SessionId) {
        if heard.0 > self.next_session && heard.0 < MOST_SESSIONS {
            self.next_session = ((heard.0 >> 32) + 1) << 32;
            self.resumed = true;
        }
    }

    fn turn_away(&mut self, peer: Peer, name: &NodeName, reason: String) {
        let node = name.clone();
        self.orders.push_back(Order::Notice(Notice::Refused {
            node,
            reason: reason.clone(),
        }));
        self.orders
            .push_back(Order::Send(peer, ToNode::Refuse(reason.clone())));
        self.orders.push_back(Order::Close(peer, reason));
    }

    fn welcome(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get(name) else {
            return;
        };
        let welcome = Welcome {
            attempt: node.attempt,
            session: node.session,
            heartbeat_micros: self.pace.heartbeat,
            scenario: self.admission.scenario.clone(),
            expert: self.admission.expert.clone(),
            client: match node.standing {
                Standing::Client => self.admission.real.get(name).cloned(),
                Standing::Simulate => None,
            },
        };
        if let Some(peer) = node.peer {
            self.orders
                .push_back(Order::Send(peer, ToNode::Welcome(welcome)));
        }
    }

    pub(super) fn ready(&mut self, now: Time, name: &NodeName, ready: Ready) {
        let Some(standing) = self.nodes.get(name).map(|node| node.standing) else {
            return;
        };
        if let Some(reason) = self.admission.refusal_of_ready(name, standing, &ready) {
            return self.refuse(name, reason);
        }
        self.admission.profile.get_or_insert(ready.profile);
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        if !std::mem::replace(&mut node.ready, true) {
            node.holds_work = true;
            node.ready_at = now;
            let threads = node.threads;
            let node = name.clone();
            self.orders
                .push_back(Order::Notice(Notice::Joined { node, threads }));
        }
        self.fill(now);
    }

    /// The expert is trained: every node has to know what it found before it can go on.
    pub fn set_expert(&mut self, expert: Arc<ExpertScores>) {
        self.admission.expert = Some(expert);
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for name in names {
            self.next_session += 1;
            let session = SessionId(self.next_session);
            if let Some(node) = self.nodes.get_mut(&name) {
                node.session = session;
                node.ready = false;
                node.reported = false;
            }
            self.welcome(&name);
        }
    }

    /// The arithmetic of the run, once it is known.
    pub fn profile(&self) -> Option<&NumericProfile> {
        self.admission.profile.as_ref()
    }
}
