//! Units of training: their clients one after the other, into one sum.

use crate::{
    Node, Worker,
    call::{ClientCall, Together},
    error::NodeError,
    plan::Plan,
    train::ClientUpdate,
};
use lyceum_core::{
    Addend, Assignment, ClientId, ClientReport, ClientRule, ClientState, ClientTerm, DataRef,
    ExactSum, Federation, Grid, Payload, Reduction, TaskStream, Term, Ticket, Trained, UnitId,
    Upload, Work,
};
use std::{borrow::Cow, sync::Arc, time::Instant};

/// Handles that several threads share, cloned once for all units that are summed together: a count that two cores change
/// in turn costs as much as a short vector.
struct Handles {
    federation: Arc<dyn Federation>,
    rule: Arc<dyn ClientRule>,
    stream: Option<Arc<TaskStream>>,
    plan: Arc<Plan>,
}

/// What came of the clients so far.
struct Gathered {
    sum: ExactSum,
    /// Admitted to the sum, which takes several in one pass.
    terms: Vec<Term>,
    /// Single updates, where the strategy asks for them.
    each: Option<Vec<ClientTerm>>,
    reports: Vec<ClientReport>,
    states: Vec<(ClientId, ClientState)>,
    units: Vec<UnitId>,
    micros: Vec<u64>,
    since: Instant,
}

impl Worker {
    pub(crate) fn train_units(
        &mut self,
        first: &Assignment,
        mut more: impl FnMut() -> Option<Assignment>,
    ) -> Result<Upload, NodeError> {
        let handles = Handles {
            federation: self.node.federation.clone(),
            rule: self.node.rule.clone(),
            stream: self.stream.clone(),
            plan: self.node.plan.clone(),
        };
        let mut gathered = Gathered::new(&self.node, &*handles.rule);
        let mut next = Some(Cow::Borrowed(first));
        while let Some(unit) = next {
            if (unit.ticket, unit.work) != (first.ticket, Work::Train) {
                return Err(NodeError::Data("units of another stage to sum together"));
            }
            self.train_unit(&unit, &handles, &mut gathered)?;
            next = match self.node.sums_units() {
                true => more().map(Cow::Owned),
                false => None,
            };
        }
        gathered.upload(first.ticket, self.node.alone)
    }

    fn train_unit(
        &mut self,
        unit: &Assignment,
        handles: &Handles,
        gathered: &mut Gathered,
    ) -> Result<(), NodeError> {
        let mut jobs = unit.jobs.iter().map(|job| match job.data {
            DataRef::Shard(client) => Ok((job, client, handles.federation.shard(client))),
            _ => Err(NodeError::Data("a probe to train on")),
        });
        let mut coming = jobs.next().transpose()?;
        while let Some((job, client, whole)) = coming {
            coming = jobs.next().transpose()?;
            if let Some((.., shard)) = &coming {
                let places = &mut shard.indices.iter().copied();
                self.learner.expect(&shard.pool, places);
            }
            let together = Together {
                assignment: unit,
                rule: &*handles.rule,
                stream: handles.stream.as_deref(),
                sum: &gathered.sum,
                plan: &handles.plan,
            };
            let start = self.node.start_of(&unit.global, client, &job.state)?;
            let call = ClientCall::new(together, client, job, (&start, &whole));
            let (report, update) = self.train_client(&call)?;
            self.go_on()?;
            gathered.add(client, report, update);
            if gathered.terms.len() == ExactSum::FOLD {
                gathered.fold()?;
                self.take_back(&mut gathered.terms);
            }
            gathered.note_time();
        }
        gathered.units.push(unit.unit);
        Ok(())
    }
}

impl Gathered {
    fn new(node: &Node, rule: &dyn ClientRule) -> Self {
        let singly = node.reduction == Reduction::EachUpdate;
        Self {
            sum: ExactSum::new(&rule.lanes(), Grid::from(node.network.layout())),
            terms: Vec::with_capacity(ExactSum::FOLD),
            each: singly.then(Vec::new),
            reports: Vec::new(),
            states: Vec::new(),
            units: Vec::new(),
            micros: Vec::new(),
            since: Instant::now(),
        }
    }

    fn add(&mut self, client: ClientId, report: ClientReport, update: Option<ClientUpdate>) {
        self.reports.push(report);
        let Some((term, state)) = update else { return };
        match &mut self.each {
            None => self.terms.push(term),
            Some(each) => each.push(ClientTerm {
                client,
                lanes: term.into_parts(),
            }),
        }
        self.states.extend(state.map(|state| (client, state)));
    }

    fn fold(&mut self) -> Result<(), NodeError> {
        self.sum.fold(&self.terms).map_err(NodeError::Sum)
    }

    /// What the last client took.
    fn note_time(&mut self) {
        let now = Instant::now();
        self.micros.push((now - self.since).as_micros() as u64);
        self.since = now;
    }

    /// All of it, to be sent. The update of a client `alone` goes as it is.
    fn upload(mut self, ticket: Ticket, alone: bool) -> Result<Upload, NodeError> {
        let sum = match (self.each.take(), alone, self.terms.len()) {
            (Some(each), ..) => Addend::Each(each),
            (None, true, 1) => Addend::Single(self.terms.remove(0).into_parts()),
            _ => {
                self.fold()?;
                self.sum.into()
            }
        };
        Ok(Upload {
            ticket,
            units: self.units,
            payload: Payload::Trained(Trained {
                sum,
                reports: self.reports,
                states: self.states,
            }),
            micros: self.micros,
        })
    }
}
