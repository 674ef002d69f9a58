//! What nodes may fetch, and messages as frames that name it.

use lyceum_core::{Assignment, ExpertScores, Facts, Params, Slot, SlotName, Ticket};
use lyceum_protocol::{
    blob::{Blob, BlobRef},
    message::{ToNode, Welcome},
    quic::Stock,
    wire::{JobWire, SlotWire, ToNodeWire, frame},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Blobs of the run: what every node needs, and what the ticket in flight and the one before it need.
#[derive(Clone, Default)]
pub(super) struct Catalogue(Arc<Mutex<Blobs>>);

#[derive(Default)]
struct Blobs {
    lasting: BTreeMap<BlobRef, Blob>,
    now: BTreeMap<BlobRef, Blob>,
    before: BTreeMap<BlobRef, Blob>,
}

impl Catalogue {
    fn lock(&self) -> MutexGuard<'_, Blobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock for Catalogue {
    fn find(&self, name: &BlobRef) -> Option<Blob> {
        let blobs = self.lock();
        let shelves = [&blobs.now, &blobs.before, &blobs.lasting];
        shelves.iter().find_map(|shelf| shelf.get(name)).cloned()
    }
}

/// Turns messages into frames. A vector that many assignments share is hashed once.
pub(super) struct Packer {
    catalogue: Catalogue,
    ticket: Option<Ticket>,
    shared: Vec<(Params, BlobRef)>,
    expert: Option<(Arc<ExpertScores>, BlobRef)>,
    facts: Option<(Facts, Blob)>,
}

impl Packer {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            ticket: None,
            shared: Vec::new(),
            expert: None,
            facts: None,
        }
    }

    /// The frame of a message; what it names can be fetched from now on.
    pub(super) fn pack(&mut self, message: ToNode) -> Vec<u8> {
        frame(&match message {
            ToNode::Welcome(welcome) => self.welcome(welcome),
            ToNode::Refuse(reason) => ToNodeWire::Refuse(reason),
            ToNode::Assign {
                session,
                assignment,
            } => self.assign(session, assignment),
            ToNode::Pulse(pulse) => ToNodeWire::Pulse(pulse),
            ToNode::Finished { session } => ToNodeWire::Finished { session },
        })
    }

    fn welcome(&mut self, welcome: Welcome) -> ToNodeWire {
        let text: Vec<u8> = welcome.scenario.as_bytes().to_vec();
        let scenario = self.lasting(Blob::of(text.into()));
        let expert = welcome.expert.map(|expert| self.expert(expert));
        ToNodeWire::Welcome {
            attempt: welcome.attempt,
            session: welcome.session,
            heartbeat_micros: welcome.heartbeat_micros,
            scenario,
            expert,
            client: welcome.client,
        }
    }

    fn expert(&mut self, expert: Arc<ExpertScores>) -> BlobRef {
        if let Some((_, name)) = self
            .expert
            .as_ref()
            .filter(|(known, _)| Arc::ptr_eq(known, &expert))
        {
            return *name;
        }
        let values: Vec<f32> = expert
            .losses
            .iter()
            .chain(&expert.errors)
            .copied()
            .collect();
        let name = self.lasting(Blob::of_params(&values.into()));
        self.expert = Some((expert, name));
        name
    }

    fn lasting(&self, blob: Blob) -> BlobRef {
        let name = blob.name;
        self.catalogue.lock().lasting.insert(name, blob);
        name
    }

    fn assign(
        &mut self,
        session: lyceum_protocol::message::SessionId,
        assignment: Assignment,
    ) -> ToNodeWire {
        if self.ticket != Some(assignment.ticket) {
            self.ticket = Some(assignment.ticket);
            self.shared.clear();
            let mut blobs = self.catalogue.lock();
            blobs.before = std::mem::take(&mut blobs.now);
        }
        let global = self.shared(&assignment.global);
        let vectors = assignment.vectors.iter().map(|v| self.shared(v)).collect();
        let facts = self.facts(&assignment.facts);
        let slot = |(name, slot): (&SlotName, &Slot)| SlotWire {
            name: name.clone(),
            kind: slot.kind(),
            content: self.of_round(Blob::of_slot(slot)),
        };
        let job = |job: &lyceum_core::Job| JobWire {
            data: job.data,
            slots: job.state.slots().map(slot).collect(),
        };
        ToNodeWire::Assign {
            session,
            ticket: assignment.ticket,
            round: assignment.round,
            unit: assignment.unit,
            work: assignment.work,
            facts,
            global,
            vectors,
            jobs: assignment.jobs.iter().map(job).collect(),
        }
    }

    fn facts(&mut self, facts: &Facts) -> Option<BlobRef> {
        if facts.is_empty() {
            return None;
        }
        let known = self
            .facts
            .as_ref()
            .filter(|(known, _)| known.is_same(facts));
        let blob = match known {
            Some((_, blob)) => blob.clone(),
            None => Blob::of(facts.to_bytes().into()),
        };
        let name = blob.name;
        self.catalogue.lock().now.insert(name, blob.clone());
        self.facts = Some((facts.clone(), blob));
        Some(name)
    }

    fn shared(&mut self, params: &Params) -> BlobRef {
        if let Some((_, name)) = self.shared.iter().find(|(known, _)| known.is_same(params)) {
            return *name;
        }
        let name = self.of_round(Blob::of_params(params));
        self.shared.push((params.clone(), name));
        name
    }

    fn of_round(&self, blob: Blob) -> BlobRef {
        let name = blob.name;
        self.catalogue.lock().now.insert(name, blob);
        name
    }
}
