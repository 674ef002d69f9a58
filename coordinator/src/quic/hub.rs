//! The loop around a conductor: what nodes say goes in, what they are to hear comes out.

use super::{
    catalogue::Packer,
    health::Stage,
    outlet::{Out, Outlet},
    status::{NodeView, Status, Watch},
};
use crate::{
    conductor::{Command, Conductor, Ending},
    dispatch::{Dispatch, GOODBYE, Notice, Order, Peer, Speaker},
    run::{Durable, RunError, Syncing},
};
use lyceum_core::{Time, Work};
use lyceum_protocol::{
    body::Body,
    message::{NodeName, ToCoordinator, ToNode},
};
use std::{collections::BTreeMap, io, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until},
};

/// How often the status is renewed for those who watch.
const STATUS_EVERY: Duration = Duration::from_millis(500);

/// What reaches the hub.
pub(super) enum Input {
    /// A node is connected; this is how it is spoken to.
    Connected(Speaker, Outlet),
    /// A node said something, which takes up room until it is heard.
    Heard(Speaker, ToCoordinator, OwnedSemaphorePermit),
    /// A node offered a result, which came as these bytes, and takes up room as well.
    Offered(Speaker, ToCoordinator, Body, OwnedSemaphorePermit),
    /// A connection ended, for this reason.
    Gone(Peer, String),
    /// A connection's certificate was revoked or has run out.
    Banished(Peer, NodeName),
    /// The journal is safe up to a record, or could not be made safe.
    Synced(u64, io::Result<()>),
    /// Stop at once; the run can be resumed.
    Stop,
}

/// Connected nodes, and how they are spoken to.
pub(super) struct Hub {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) back: mpsc::WeakSender<Input>,
    pub(super) peers: BTreeMap<Peer, (Speaker, Outlet)>,
    pub(super) packer: Packer,
    pub(super) watch: Watch,
    pub(super) began: Instant,
    pub(super) shown: Option<Instant>,
}

impl Hub {
    pub(super) fn now(&self) -> Time {
        Time(self.began.elapsed().as_micros() as u64)
    }

    /// Goes on until the conductor says that it is over.
    pub(super) async fn run<A: Durable>(
        &mut self,
        conductor: &mut Conductor<A>,
    ) -> Result<Ending, RunError> {
        self.watch.health().is_at(Stage::Open);
        loop {
            if let Some(ending) = self.obey(conductor) {
                return Ok(ending);
            }
            if self.inputs.is_empty() {
                conductor.archive().idle()?;
            }
            let now = self.now();
            self.show(|| status(conductor, now));
            let status = Instant::now() + STATUS_EVERY;
            let wake = conductor
                .deadline()
                .map(|at| self.began + Duration::from_micros(at.0));
            let wake = wake.map_or(status, |at| at.min(status));
            tokio::select! {
                biased;
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(conductor, input)?,
                    None => conductor.stop_now(self.now())?,
                },
                () = sleep_until(wake) => conductor.tick(self.now())?,
            }
        }
    }

    /// Hears nodes while there is nothing to do, until `over` or until a time. Says whether it was told to stop.
    pub(super) async fn idle(
        &mut self,
        dispatch: &mut Dispatch,
        run: &Status,
        over: impl Fn(&Dispatch) -> bool,
        until: Option<Instant>,
    ) -> bool {
        self.watch.health().is_at(Stage::Open);
        loop {
            while let Some(order) = dispatch.poll() {
                self.carry_out(order);
            }
            if over(dispatch) || until.is_some_and(|until| until <= Instant::now()) {
                return false;
            }
            let now = self.now();
            self.show(|| Status {
                rounds_done: run.rounds_done,
                fingerprint: run.fingerprint,
                ..Status::of(dispatch, now)
            });
            let status = Instant::now() + STATUS_EVERY;
            let wake = until.map_or(status, |until| until.min(status));
            tokio::select! {
                biased;
                input = self.inputs.recv() => match input {
                    Some(Input::Stop) | None => return true,
                    Some(input) => self.take_idle(dispatch, input),
                },
                () = sleep_until(wake) => dispatch.tick(self.now()),
            }
        }
    }

    fn take_idle(&mut self, dispatch: &mut Dispatch, input: Input) {
        let now = self.now();
        match input {
            Input::Connected(speaker, outlet) => {
                self.peers.insert(speaker.peer, (speaker, outlet));
            }
            Input::Heard(from, message, _) | Input::Offered(from, message, _, _) => {
                dispatch.hear(now, &from, message);
            }
            Input::Gone(peer, reason) => {
                self.gone(peer, &reason);
                dispatch.gone(peer);
            }
            Input::Banished(peer, node) => dispatch.banish(now, peer, &node),
            Input::Synced(..) | Input::Stop => {}
        }
    }

    fn gone(&mut self, peer: Peer, reason: &str) {
        if let Some((speaker, _)) = self.peers.remove(&peer) {
            tracing::info!(node = %speaker.name, %reason, "connection ended");
        }
    }

    fn take<A: Durable>(
        &mut self,
        conductor: &mut Conductor<A>,
        input: Input,
    ) -> Result<(), RunError> {
        let now = self.now();
        match input {
            Input::Connected(speaker, outlet) => {
                self.peers.insert(speaker.peer, (speaker, outlet));
                Ok(())
            }
            Input::Heard(from, message, _room) => conductor.hear(now, &from, message),
            Input::Offered(from, offer, body, _room) => {
                conductor.hear_offer(now, &from, offer, body)
            }
            Input::Gone(peer, reason) => {
                self.gone(peer, &reason);
                conductor.gone(peer);
                Ok(())
            }
            Input::Banished(peer, node) => conductor.banish(now, peer, &node),
            Input::Synced(record, Ok(())) => conductor.synced(now, record),
            Input::Synced(_, Err(source)) => {
                Err(RunError::file(crate::run::journal::JOURNAL)(source))
            }
            Input::Stop => {
                self.watch.health().is_at(Stage::Stopping);
                conductor.stop_now(now)
            }
        }
    }

    fn obey<A: Durable>(&mut self, conductor: &mut Conductor<A>) -> Option<Ending> {
        let mut ending = None;
        while let Some(command) = conductor.poll() {
            match command {
                Command::Send(peer, message) => self.send(peer, message),
                Command::Close(peer, reason) => self.say(peer, Out::End(reason)),
                Command::Notice(notice) => note(&notice),
                Command::Sync(record) => self.sync(conductor.archive().syncing(), record),
                Command::Over(how) => ending = Some(how),
            }
        }
        ending
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Send(peer, message) => self.send(peer, message),
            Order::Close(peer, reason) => self.say(peer, Out::End(reason)),
            Order::Notice(notice) => note(&notice),
            // Nothing is given out, so nothing is awaited.
            Order::Deliver(_) => {}
        }
    }

    fn send(&mut self, peer: Peer, message: ToNode) {
        if self.peers.contains_key(&peer) {
            let frame = self.packer.pack(message);
            self.say(peer, Out::Frame(frame));
        }
    }

    /// A node that does not read what it is told is told nothing any more; its connection then ends by itself.
    fn say(&mut self, peer: Peer, out: Out) {
        let Some((speaker, outlet)) = self.peers.get(&peer) else {
            return;
        };
        if !outlet.say(out) {
            tracing::warn!(node = %speaker.name, "the node does not read what it is told");
            self.peers.remove(&peer);
        }
    }

    fn sync(&self, syncing: Syncing, record: u64) {
        let Some(back) = self.back.upgrade() else {
            return;
        };
        tokio::spawn(async move {
            let result = syncing.await;
            // A hub that is gone has no use for it.
            let _ = back.send(Input::Synced(record, result)).await;
        });
    }

    fn show(&mut self, status: impl FnOnce() -> Status) {
        if self.shown.is_none_or(|at| at.elapsed() >= STATUS_EVERY) {
            self.shown = Some(Instant::now());
            self.watch.show(status(), &self.views());
        }
    }

    fn views(&self) -> Vec<NodeView> {
        self.peers
            .values()
            .map(|(speaker, outlet)| NodeView {
                peer: speaker.peer,
                name: speaker.name.clone(),
                waiting: outlet.waiting(),
            })
            .collect()
    }
}

/// What those see who watch.
fn status<A: Durable>(conductor: &Conductor<A>, now: Time) -> Status {
    let machine = conductor.machine();
    let fingerprint = (!machine.is_prelude()).then(|| machine.fingerprint());
    Status {
        rounds_done: machine.rounds_done(),
        fingerprint,
        pending: machine.pending().count(),
        ..Status::of(conductor.dispatch(), now)
    }
}

/// A stage of a round, in a sentence.
fn stage(work: Work) -> &'static str {
    match work {
        Work::Score => "scoring",
        Work::Train => "training",
        Work::Evaluate => "evaluation",
        Work::Expert => "expert's training",
    }
}

fn note(notice: &Notice) {
    match notice {
        Notice::Joined { node, threads } => tracing::info!(%node, threads, "node joined"),
        Notice::Lost {
            node,
            units,
            reason,
        } if reason == GOODBYE => {
            tracing::info!(%node, units, "the node said goodbye; its units are given to others");
        }
        Notice::Lost {
            node,
            units,
            reason,
        } => tracing::warn!(%node, units, reason, "node lost; its units are given to others"),
        Notice::Refused { node, reason } => tracing::warn!(%node, %reason, "node refused"),
        Notice::Unheard { node } => {
            tracing::info!(%node, "it says something of another session, which is not heard");
        }
        Notice::Late { node, units } => {
            tracing::info!(%node, units, "an upload came too late and does not count");
        }
        Notice::Waits {
            round,
            work,
            seconds,
            missing,
        } => tracing::warn!(
            %round,
            seconds,
            "nothing has come of the {} for {seconds} s: {missing}",
            stage(*work)
        ),
    }
}
