//! The loop around a conductor: what nodes say goes in, what they are to hear comes out.

use super::{
    catalogue::Packer,
    outlet::{Out, Outlet},
    status::{NodeView, Status, Watch},
};
use crate::{
    conductor::{Command, Conductor, Ending},
    dispatch::{Dispatch, Notice, Order, Peer, Speaker},
    run::{Durable, RunError, Syncing},
};
use lyceum_core::{Assignment, Time, Upload, Work};
use lyceum_protocol::{
    body::Body,
    message::{NodeName, ToCoordinator},
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

/// What decides: a conductor, or the prelude before there is one.
pub(super) trait Mind {
    fn hear(&mut self, now: Time, from: &Speaker, message: ToCoordinator) -> Result<(), RunError>;
    fn hear_offer(
        &mut self,
        now: Time,
        from: &Speaker,
        offer: ToCoordinator,
        body: Body,
    ) -> Result<(), RunError>;
    fn gone(&mut self, peer: Peer);
    fn banish(&mut self, now: Time, peer: Peer, node: &NodeName) -> Result<(), RunError>;
    fn tick(&mut self, now: Time) -> Result<(), RunError>;
    fn synced(&mut self, now: Time, record: u64) -> Result<(), RunError>;
    fn stop(&mut self, now: Time) -> Result<(), RunError>;
    fn deadline(&self) -> Option<Time>;
    fn poll(&mut self) -> Option<Command>;
    /// What makes the journal safe, while the run goes on.
    fn syncing(&mut self) -> Syncing;
    /// Called when nothing is left to do for the moment.
    fn idle(&mut self) -> Result<(), RunError>;
    fn status(&self, now: Time) -> Status;
}

impl<A: Durable> Mind for Conductor<A> {
    fn hear(&mut self, now: Time, from: &Speaker, message: ToCoordinator) -> Result<(), RunError> {
        Self::hear(self, now, from, message)
    }

    fn hear_offer(
        &mut self,
        now: Time,
        from: &Speaker,
        offer: ToCoordinator,
        body: Body,
    ) -> Result<(), RunError> {
        Self::hear_offer(self, now, from, offer, body)
    }

    fn gone(&mut self, peer: Peer) {
        Self::gone(self, peer);
    }

    fn banish(&mut self, now: Time, peer: Peer, node: &NodeName) -> Result<(), RunError> {
        Self::banish(self, now, peer, node)
    }

    fn tick(&mut self, now: Time) -> Result<(), RunError> {
        Self::tick(self, now)
    }

    fn synced(&mut self, now: Time, record: u64) -> Result<(), RunError> {
        Self::synced(self, now, record)
    }

    fn stop(&mut self, now: Time) -> Result<(), RunError> {
        self.stop_now(now)
    }

    fn deadline(&self) -> Option<Time> {
        Self::deadline(self)
    }

    fn poll(&mut self) -> Option<Command> {
        Self::poll(self)
    }

    fn syncing(&mut self) -> Syncing {
        self.archive().syncing()
    }

    fn idle(&mut self) -> Result<(), RunError> {
        self.archive().idle()
    }

    fn status(&self, now: Time) -> Status {
        Status {
            rounds_done: self.machine().rounds_done(),
            fingerprint: Some(self.machine().fingerprint()),
            pending: self.machine().pending().count(),
            ..Status::of(self.dispatch(), now)
        }
    }
}

/// Before the first round: one unit, the expert's training.
pub(super) struct Prelude {
    pub(super) dispatch: Dispatch,
    pub(super) found: Option<Upload>,
    commands: std::collections::VecDeque<Command>,
}

impl Prelude {
    pub(super) fn new(now: Time, mut dispatch: Dispatch, assignment: Assignment) -> Self {
        dispatch.keep(&[assignment.ticket]);
        dispatch.assign(now, vec![assignment]);
        Self {
            dispatch,
            found: None,
            commands: Default::default(),
        }
    }

    fn obey(&mut self) {
        while let Some(order) = self.dispatch.poll() {
            self.commands.push_back(match order {
                Order::Send(peer, message) => Command::Send(peer, message),
                Order::Close(peer, reason) => Command::Close(peer, reason),
                Order::Notice(notice) => Command::Notice(notice),
                Order::Deliver(upload) => {
                    self.found = Some(upload);
                    Command::Over(Ending::Finished)
                }
            });
        }
    }
}

impl Mind for Prelude {
    fn hear(&mut self, now: Time, from: &Speaker, message: ToCoordinator) -> Result<(), RunError> {
        self.dispatch.hear(now, from, message);
        self.obey();
        Ok(())
    }

    fn hear_offer(
        &mut self,
        now: Time,
        from: &Speaker,
        offer: ToCoordinator,
        _: Body,
    ) -> Result<(), RunError> {
        self.hear(now, from, offer)
    }

    fn gone(&mut self, peer: Peer) {
        self.dispatch.gone(peer);
    }

    fn banish(&mut self, now: Time, peer: Peer, node: &NodeName) -> Result<(), RunError> {
        self.dispatch.banish(now, peer, node);
        self.obey();
        Ok(())
    }

    fn tick(&mut self, now: Time) -> Result<(), RunError> {
        self.dispatch.tick(now);
        self.obey();
        Ok(())
    }

    fn synced(&mut self, _: Time, _: u64) -> Result<(), RunError> {
        Ok(())
    }

    fn stop(&mut self, _: Time) -> Result<(), RunError> {
        self.commands.push_back(Command::Over(Ending::Paused));
        Ok(())
    }

    fn deadline(&self) -> Option<Time> {
        self.dispatch.deadline()
    }

    fn poll(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    fn syncing(&mut self) -> Syncing {
        Box::pin(async { Ok(()) })
    }

    fn idle(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn status(&self, now: Time) -> Status {
        Status::of(&self.dispatch, now)
    }
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

    /// Goes on until the mind says that it is over.
    pub(super) async fn run(&mut self, mind: &mut dyn Mind) -> Result<Ending, RunError> {
        loop {
            if let Some(ending) = self.obey(mind)? {
                return Ok(ending);
            }
            if self.inputs.is_empty() {
                mind.idle()?;
            }
            self.show(mind);
            let status = Instant::now() + STATUS_EVERY;
            let wake = mind
                .deadline()
                .map(|at| self.began + Duration::from_micros(at.0));
            let wake = wake.map_or(status, |at| at.min(status));
            tokio::select! {
                biased;
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(mind, input)?,
                    None => mind.stop(self.now())?,
                },
                () = sleep_until(wake) => mind.tick(self.now())?,
            }
        }
    }

    fn take(&mut self, mind: &mut dyn Mind, input: Input) -> Result<(), RunError> {
        let now = self.now();
        match input {
            Input::Connected(speaker, outlet) => {
                self.peers.insert(speaker.peer, (speaker, outlet));
                Ok(())
            }
            Input::Heard(from, message, _room) => mind.hear(now, &from, message),
            Input::Offered(from, offer, body, _room) => mind.hear_offer(now, &from, offer, body),
            Input::Gone(peer, reason) => {
                if let Some((speaker, _)) = self.peers.remove(&peer) {
                    tracing::info!(node = %speaker.name, %reason, "connection ended");
                }
                mind.gone(peer);
                Ok(())
            }
            Input::Banished(peer, node) => mind.banish(now, peer, &node),
            Input::Synced(record, Ok(())) => mind.synced(now, record),
            Input::Synced(_, Err(source)) => {
                Err(RunError::file(crate::run::journal::JOURNAL)(source))
            }
            Input::Stop => mind.stop(now),
        }
    }

    fn obey(&mut self, mind: &mut dyn Mind) -> Result<Option<Ending>, RunError> {
        let mut ending = None;
        while let Some(command) = mind.poll() {
            match command {
                Command::Send(peer, message) => {
                    if self.peers.contains_key(&peer) {
                        let frame = self.packer.pack(message);
                        self.say(peer, Out::Frame(frame));
                    }
                }
                Command::Close(peer, reason) => self.say(peer, Out::End(reason)),
                Command::Notice(notice) => note(&notice),
                Command::Sync(record) => self.sync(mind.syncing(), record),
                Command::Over(how) => ending = Some(how),
            }
        }
        Ok(ending)
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

    fn show(&mut self, mind: &dyn Mind) {
        if self.shown.is_none_or(|at| at.elapsed() >= STATUS_EVERY) {
            self.shown = Some(Instant::now());
            self.watch.show(mind.status(self.now()), &self.views());
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
