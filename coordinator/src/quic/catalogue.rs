//! What nodes may fetch, and messages as frames that name it.

use lyceum_core::{Assignment, ExpertScores, Facts, Params, Slot, SlotName, Ticket};
use lyceum_protocol::{
    blob::{Blob, BlobRef},
    message::{Flights, Large, ToNode, Welcome},
    quic::Stock,
    wire::{AssignmentWire, JobWire, SlotWire, ToNodeWire, WelcomeWire, frame},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Blobs of the run: what every node needs, and what the tickets in flight and those that were closed last need.
#[derive(Clone, Default)]
pub(super) struct Catalogue(Arc<Mutex<Blobs>>);

type Shelf = BTreeMap<BlobRef, Blob>;

#[derive(Default)]
struct Blobs {
    lasting: Shelf,
    open: BTreeMap<Ticket, Shelf>,
    /// Of tickets that are not in flight any more: somebody may be fetching still.
    before: Shelf,
}

impl Blobs {
    /// Nothing but this is in flight.
    fn keep(&mut self, flights: &Flights) {
        let over = |ticket: &Ticket, _: &mut Shelf| !flights.holds(*ticket);
        let over: Vec<_> = self.open.extract_if(.., over).collect();
        if !over.is_empty() {
            self.before = over.into_iter().flat_map(|(_, shelf)| shelf).collect();
        }
    }
}

impl Catalogue {
    fn lock(&self) -> MutexGuard<'_, Blobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock for Catalogue {
    fn find(&self, name: &BlobRef) -> Option<Blob> {
        let blobs = self.lock();
        let shelves = blobs.open.values().chain([&blobs.before, &blobs.lasting]);
        shelves
            .into_iter()
            .find_map(|shelf| shelf.get(name))
            .cloned()
    }
}

/// Turns messages into frames. A vector that many assignments share is hashed once.
pub(super) struct Packer {
    catalogue: Catalogue,
    turn: u64,
    shared: BTreeMap<Ticket, Vec<(Params, BlobRef)>>,
    expert: Option<(Arc<ExpertScores>, BlobRef)>,
    facts: Option<(Facts, Blob)>,
}

impl Packer {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            turn: 0,
            shared: BTreeMap::new(),
            expert: None,
            facts: None,
        }
    }

    /// The frame of a message; what it names can be fetched from now on.
    pub(super) fn pack(&mut self, message: ToNode) -> Vec<u8> {
        frame(&match message.small() {
            Ok(small) => small,
            Err(Large::Welcome(welcome)) => ToNodeWire::Welcome(self.welcome(welcome)),
            Err(Large::Assign {
                session,
                flights,
                assignment,
            }) => {
                let assignment = self.assign(&flights, assignment);
                ToNodeWire::Assign {
                    session,
                    flights,
                    assignment,
                }
            }
        })
    }

    fn welcome(&mut self, welcome: Welcome) -> WelcomeWire {
        let text: Vec<u8> = welcome.scenario.as_bytes().to_vec();
        let scenario = self.lasting(Blob::of(text.into()));
        let expert = welcome.expert.map(|expert| self.expert(expert));
        WelcomeWire {
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

    fn assign(&mut self, flights: &Flights, assignment: Assignment) -> AssignmentWire {
        if self.turn != flights.turn {
            self.turn = flights.turn;
            self.shared.retain(|ticket, _| flights.holds(*ticket));
            self.catalogue.lock().keep(flights);
        }
        let ticket = assignment.ticket;
        let global = self.shared(ticket, &assignment.global);
        let vectors = assignment.vectors.iter();
        let vectors = vectors.map(|v| self.shared(ticket, v)).collect();
        let facts = self.facts(ticket, &assignment.facts);
        let slot = |(name, slot): (&SlotName, &Slot)| SlotWire {
            name: name.clone(),
            kind: slot.kind(),
            content: self.on_shelf(ticket, Blob::of_slot(slot)),
        };
        let job = |job: &lyceum_core::Job| JobWire {
            data: job.data,
            slots: job.state.slots().map(slot).collect(),
        };
        AssignmentWire {
            ticket,
            round: assignment.round,
            unit: assignment.unit,
            work: assignment.work,
            facts,
            model: assignment.model.to_string(),
            global,
            vectors,
            jobs: assignment.jobs.iter().map(job).collect(),
        }
    }

    fn facts(&mut self, ticket: Ticket, facts: &Facts) -> Option<BlobRef> {
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
        self.put(ticket, blob.clone());
        self.facts = Some((facts.clone(), blob));
        Some(name)
    }

    fn shared(&mut self, ticket: Ticket, params: &Params) -> BlobRef {
        let mut known = self.shared.get(&ticket).into_iter().flatten();
        if let Some((_, name)) = known.find(|(known, _)| known.is_same(params)) {
            return *name;
        }
        let name = self.on_shelf(ticket, Blob::of_params(params));
        let shared = self.shared.entry(ticket).or_default();
        shared.push((params.clone(), name));
        name
    }

    fn on_shelf(&self, ticket: Ticket, blob: Blob) -> BlobRef {
        let name = blob.name;
        self.put(ticket, blob);
        name
    }

    fn put(&self, ticket: Ticket, blob: Blob) {
        let mut blobs = self.catalogue.lock();
        let shelf = blobs.open.entry(ticket).or_default();
        shelf.insert(blob.name, blob);
    }
}
