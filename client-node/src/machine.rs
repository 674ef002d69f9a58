//! The node's side of a run: what it holds, what it has offered, whom it talks to.
//!
//! Repeating a message changes nothing: a unit that is held is not begun again, one that was answered is answered from
//! memory. A result is kept until the coordinator says that it is safe.
//!
//! **Invariant:** no input or output, no clock, no thread; drivers own them.

#[cfg(test)]
mod tests;

use lyceum_core::{
    Assignment, ClientId, ExpertScores, Fingerprint, Ticket, Time, UnitId, UnitKey, Upload,
};
use lyceum_protocol::message::{
    Flights, Hello, NumericProfile, OwnData, Pulse, Ready, Report, SessionId, ToCoordinator,
    ToNode, Welcome,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Heartbeats without a word from the coordinator after which the connection is given up.
const SILENT_HEARTBEATS: u64 = 6;
/// Microseconds between two greetings before the coordinator has said how often it wants to hear from the node.
const GREETING_EVERY: u64 = 1_000_000;

/// What the node's driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Say this to the coordinator.
    Send(ToCoordinator),
    /// Give the connection up and make another.
    Reconnect,
    /// Load the scenario's data, then call [`NodeMachine::prepared`].
    Prepare(Preparation),
    /// Work on a unit, and sum it with others of its ticket.
    Work {
        /// To be given back with what comes of it.
        generation: u64,
        /// The unit.
        assignment: Assignment,
    },
    /// Whether sums of a generation should be handed in as soon as none of its units waits.
    Flush {
        /// Which one.
        generation: u64,
        /// Whether they should.
        on: bool,
    },
    /// Throw away the units and sums of a generation: it is void, and so is what comes of it.
    Clear {
        /// Which one.
        generation: u64,
    },
    /// The coordinator has no more work for now.
    Finished,
    /// The node cannot take part, by what the coordinator says.
    Stop(String),
    /// The node cannot take part, by what it found itself.
    Unfit(String),
    /// The node's work failed.
    Fail(String),
}

/// What has to be at hand before work begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    /// The resolved scenario, as text.
    pub scenario: Arc<str>,
    /// What the expert makes of the samples, where one is needed and trained.
    pub expert: Option<Arc<ExpertScores>>,
    /// The one real client that this node is, and what its samples must be like.
    pub client: Option<(ClientId, OwnData)>,
}

/// What a node says of what it loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Digest of the scenario.
    pub scenario: Fingerprint,
    /// Digest of the samples; `None` for a real client.
    pub data: Option<Fingerprint>,
    /// The node's arithmetic.
    pub profile: NumericProfile,
    /// A real client's own samples.
    pub own: Option<OwnData>,
}

/// Units of one ticket.
#[derive(Default)]
struct Bench {
    /// Sets work that counts apart from work that was void.
    generation: u64,
    held: BTreeMap<UnitId, Held>,
}

/// How far a held unit is.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    Open(Assignment),
    Summed(Assignment),
    Offered,
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Offline,
    Greeting,
    Preparing,
    Working,
}

/// One node.
pub struct NodeMachine {
    hello: Hello,
    phase: Phase,
    session: SessionId,
    heartbeat: u64,
    preparation: Option<Preparation>,
    loaded: Option<Prepared>,
    /// The coordinator has said in this session what is in flight.
    confirmed: bool,
    /// It has given work in this session, so it knows that the node is ready.
    known_ready: bool,
    flights: Flights,
    /// By ticket; none is empty.
    benches: BTreeMap<Ticket, Bench>,
    offers: Vec<Upload>,
    flush: bool,
    /// Generations so far.
    generations: u64,
    steps: u64,
    heard: Time,
    next_word: Time,
    orders: VecDeque<Order>,
}

impl NodeMachine {
    /// A node that is not connected.
    pub fn new(hello: Hello) -> Self {
        Self {
            hello,
            phase: Phase::Offline,
            session: SessionId::default(),
            heartbeat: GREETING_EVERY,
            preparation: None,
            loaded: None,
            confirmed: false,
            known_ready: false,
            flights: Flights::default(),
            benches: BTreeMap::new(),
            offers: Vec::new(),
            flush: false,
            generations: 0,
            steps: 0,
            heard: Time(0),
            next_word: Time(0),
            orders: VecDeque::new(),
        }
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// When the node wants to be called although nothing happened.
    pub fn deadline(&self) -> Option<Time> {
        (self.phase != Phase::Offline).then_some(self.next_word.min(self.silent_at()))
    }

    /// Results that are not known to be safe.
    pub fn offers(&self) -> &[Upload] {
        &self.offers
    }

    fn silent_at(&self) -> Time {
        Time(
            self.heard
                .0
                .saturating_add(SILENT_HEARTBEATS * self.heartbeat),
        )
    }

    /// A connection is there.
    pub fn connected(&mut self, now: Time) {
        self.hello.attempt += 1;
        self.phase = Phase::Greeting;
        self.heard = now;
        self.greet(now);
    }

    /// The connection is gone. Work goes on.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Offline;
        self.confirmed = false;
        self.known_ready = false;
    }

    /// Says goodbye; the driver closes the connection once that is sent.
    pub fn leave(&mut self) {
        if self.phase != Phase::Offline {
            let session = self.session;
            self.send(ToCoordinator::Goodbye { session });
        }
        self.disconnected();
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        if self.phase == Phase::Offline {
            return;
        }
        if now >= self.silent_at() {
            self.disconnected();
            self.orders.push_back(Order::Reconnect);
        } else if now >= self.next_word {
            match self.phase {
                Phase::Offline => {}
                Phase::Greeting => self.greet(now),
                // Loading takes what it takes; the word says that the node is alive.
                Phase::Preparing => self.report(now),
                Phase::Working => self.repeat(now),
            }
        }
    }

    fn greet(&mut self, now: Time) {
        self.next_word = Time(now.0 + self.heartbeat);
        self.hello.session = self.session;
        self.send(ToCoordinator::Hello(self.hello.clone()));
    }

    /// Says again what was not confirmed.
    fn repeat(&mut self, now: Time) {
        if !self.known_ready {
            self.say_ready();
        }
        self.report(now);
        for upload in self.offers.clone() {
            self.offer(upload);
        }
    }

    fn send(&mut self, message: ToCoordinator) {
        self.orders.push_back(Order::Send(message));
    }

    fn offer(&mut self, upload: Upload) {
        let session = self.session;
        if self.phase == Phase::Working {
            self.send(ToCoordinator::Offer { session, upload });
        }
    }

    fn report(&mut self, now: Time) {
        self.next_word = Time(now.0 + self.heartbeat);
        let keys = |(ticket, bench): (&Ticket, &Bench)| -> Vec<UnitKey> {
            bench.held.keys().map(|unit| ticket.unit(*unit)).collect()
        };
        let report = Report {
            session: self.session,
            turn: self.flights.turn,
            held: self.benches.iter().flat_map(keys).collect(),
            open: self.open() as u32,
            steps: self.steps,
        };
        self.send(ToCoordinator::Report(report));
    }

    /// Units that are not worked through.
    fn open(&self) -> usize {
        let held = self.benches.values().flat_map(|bench| bench.held.values());
        held.filter(|held| matches!(held, Held::Open(_))).count()
    }

    fn say_ready(&mut self) {
        let Some(loaded) = self.loaded.clone() else {
            return;
        };
        self.send(ToCoordinator::Ready(Ready {
            session: self.session,
            scenario: loaded.scenario,
            data: loaded.data,
            profile: loaded.profile,
            own: loaded.own,
        }));
    }

    /// Hears the coordinator.
    pub fn hear(&mut self, now: Time, message: ToNode) {
        if self.phase == Phase::Offline {
            return;
        }
        if message
            .session()
            .is_some_and(|session| session != self.session)
        {
            return;
        }
        self.heard = now;
        match message {
            ToNode::Welcome(welcome) => self.welcomed(now, welcome),
            ToNode::Refuse(reason) => {
                self.disconnected();
                self.orders.push_back(Order::Stop(reason));
            }
            ToNode::Assign {
                flights,
                assignment,
                ..
            } => self.assigned(flights, assignment),
            ToNode::Pulse(pulse) => self.pulsed(now, pulse),
            ToNode::Finished { .. } => self.orders.push_back(Order::Finished),
        }
    }

    fn welcomed(&mut self, now: Time, welcome: Welcome) {
        if welcome.attempt != self.hello.attempt || welcome.session <= self.session {
            return;
        }
        self.session = welcome.session;
        self.heartbeat = welcome.heartbeat_micros.max(1);
        self.confirmed = false;
        self.known_ready = false;
        let preparation = Preparation {
            scenario: welcome.scenario,
            expert: welcome.expert,
            client: welcome.client,
        };
        if self.preparation.as_ref() == Some(&preparation) && self.loaded.is_some() {
            return self.work(now);
        }
        self.loaded = None;
        self.preparation = Some(preparation.clone());
        self.phase = Phase::Preparing;
        self.next_word = Time(now.0 + self.heartbeat);
        self.follow(Flights::default());
        self.confirmed = false;
        self.orders.push_back(Order::Prepare(preparation));
    }

    /// What came of an [`Order::Prepare`]. One for an earlier scenario is not taken.
    pub fn prepared(
        &mut self,
        now: Time,
        preparation: &Preparation,
        result: Result<Prepared, String>,
    ) {
        if self.preparation.as_ref() != Some(preparation) {
            return;
        }
        match result {
            Ok(loaded) => {
                self.loaded = Some(loaded);
                if self.phase == Phase::Preparing {
                    self.work(now);
                }
            }
            Err(reason) => self.orders.push_back(Order::Unfit(reason)),
        }
    }

    fn work(&mut self, now: Time) {
        self.phase = Phase::Working;
        self.repeat(now);
    }

    /// Keeps what is in flight at the coordinator's, and nothing else; says whether its word is the latest. A coordinator
    /// that was restarted may have gone back, so the first word of a session decides.
    fn follow(&mut self, flights: Flights) -> bool {
        let first = !std::mem::replace(&mut self.confirmed, true);
        if flights.turn < self.flights.turn && !first {
            return false;
        }
        self.flights = flights;
        let over = |ticket: &Ticket| !self.flights.holds(*ticket);
        let void: Vec<Ticket> = self.benches.keys().copied().filter(over).collect();
        for ticket in void {
            self.leave_bench(ticket);
            self.offers.retain(|upload| upload.ticket != ticket);
        }
        true
    }

    /// Throws away all work of a ticket.
    fn leave_bench(&mut self, ticket: Ticket) {
        if let Some(Bench { generation, .. }) = self.benches.remove(&ticket) {
            self.orders.push_back(Order::Clear { generation });
        }
    }

    /// A number for work that counts together.
    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        let generation = self.generations;
        if self.flush {
            self.orders.push_back(Order::Flush {
                generation,
                on: true,
            });
        }
        generation
    }

    fn assigned(&mut self, flights: Flights, assignment: Assignment) {
        if self.phase != Phase::Working {
            return;
        }
        self.follow(flights);
        let (ticket, unit) = (assignment.ticket, assignment.unit);
        // A word that took long may be about what is in flight still.
        if !self.flights.holds(ticket) {
            return;
        }
        self.known_ready = true;
        if !self.benches.contains_key(&ticket) {
            let (generation, held) = (self.next_generation(), BTreeMap::new());
            self.benches.insert(ticket, Bench { generation, held });
        }
        let Some(bench) = self.benches.get_mut(&ticket) else {
            return;
        };
        match bench.held.get(&unit) {
            None => {
                bench.held.insert(unit, Held::Open(assignment.clone()));
                let generation = bench.generation;
                self.start(generation, assignment);
            }
            Some(Held::Offered) => {
                let answers = |u: &&Upload| u.ticket == ticket && u.units.contains(&unit);
                let upload = self.offers.iter().find(answers).cloned();
                upload.into_iter().for_each(|upload| self.offer(upload));
            }
            Some(Held::Open(_) | Held::Summed(_)) => {}
        }
    }

    fn start(&mut self, generation: u64, assignment: Assignment) {
        self.orders.push_back(Order::Work {
            generation,
            assignment,
        });
    }

    fn pulsed(&mut self, now: Time, pulse: Pulse) {
        if self.phase != Phase::Working || !self.follow(pulse.flights) {
            return;
        }
        self.drop_units(&pulse.drop);
        if self.flush != pulse.flush {
            self.flush = pulse.flush;
            let flush = |bench: &Bench| Order::Flush {
                generation: bench.generation,
                on: pulse.flush,
            };
            self.orders.extend(self.benches.values().map(flush));
            self.ask_for_more(now);
        }
    }

    /// Forgets units. Nothing can be taken out of a sum: where one of them is part of a sum that was not offered yet, the
    /// others of that sum are worked on again; a sum that was offered is forgotten whole, and the coordinator, who sees
    /// that, sends again what it waits for.
    fn drop_units(&mut self, units: &[UnitKey]) {
        let mut spoiled = BTreeSet::new();
        for UnitKey { ticket, unit } in units {
            let bench = self.benches.get_mut(ticket);
            match bench.and_then(|bench| bench.held.remove(unit)) {
                Some(Held::Open(_) | Held::Summed(_)) => {
                    spoiled.insert(*ticket);
                }
                Some(Held::Offered) | None => {}
            }
        }
        let benches = &mut self.benches;
        self.offers.retain(|upload| {
            let ticket = upload.ticket;
            let spoilt = (upload.units.iter()).any(|unit| units.contains(&ticket.unit(*unit)));
            if let Some(bench) = benches.get_mut(&ticket).filter(|_| spoilt) {
                bench.held.retain(|unit, _| !upload.units.contains(unit));
            }
            !spoilt
        });
        let empty = |(ticket, bench): (&Ticket, &Bench)| bench.held.is_empty().then_some(*ticket);
        let empty: Vec<Ticket> = self.benches.iter().filter_map(empty).collect();
        empty
            .into_iter()
            .for_each(|ticket| self.leave_bench(ticket));
        spoiled
            .into_iter()
            .for_each(|ticket| self.work_again(ticket));
    }

    /// Works again on what is held of a ticket and not offered.
    fn work_again(&mut self, ticket: Ticket) {
        let Some(void) = self.benches.get(&ticket).map(|bench| bench.generation) else {
            return;
        };
        self.orders.push_back(Order::Clear { generation: void });
        let generation = self.next_generation();
        let Some(bench) = self.benches.get_mut(&ticket) else {
            return;
        };
        bench.generation = generation;
        let held = bench.held.values_mut();
        let again: Vec<Assignment> = held.filter_map(Held::reopened).collect();
        let again = again.into_iter();
        again.for_each(|assignment| self.start(generation, assignment));
    }

    /// The units that are worked on in a generation.
    fn bench_of(&mut self, generation: u64) -> Option<&mut Bench> {
        let mut benches = self.benches.values_mut();
        benches.find(|bench| bench.generation == generation)
    }

    /// A unit is worked through and in a sum.
    pub fn summed(&mut self, now: Time, generation: u64, unit: UnitId, steps: u64) {
        self.steps += steps;
        let bench = self.bench_of(generation);
        if let Some(held) = bench.and_then(|bench| bench.held.get_mut(&unit))
            && let Held::Open(assignment) = held
        {
            *held = Held::Summed(assignment.clone());
            self.ask_for_more(now);
        }
    }

    fn ask_for_more(&mut self, now: Time) {
        let idle = || self.open() <= self.hello.threads as usize;
        if self.phase == Phase::Working && !self.flush && idle() {
            self.report(now);
        }
    }

    /// A result of units that were started in this generation.
    pub fn finished(&mut self, now: Time, generation: u64, upload: Upload) {
        let Some(bench) = self.bench_of(generation) else {
            return;
        };
        if !upload
            .units
            .iter()
            .all(|unit| bench.held.contains_key(unit))
        {
            return;
        }
        for unit in &upload.units {
            bench.held.insert(*unit, Held::Offered);
        }
        self.offers.push(upload.clone());
        self.offer(upload);
        self.ask_for_more(now);
    }

    /// A unit could not be worked on; nothing of that kind will go better next time.
    pub fn failed(&mut self, reason: String) {
        if self.phase != Phase::Offline {
            let (session, reason) = (self.session, reason.clone());
            self.send(ToCoordinator::Failed { session, reason });
        }
        self.disconnected();
        self.orders.push_back(Order::Fail(reason));
    }
}

impl Held {
    /// The assignment of a unit that is not offered yet, which counts as not begun again.
    fn reopened(&mut self) -> Option<Assignment> {
        match self {
            Self::Open(assignment) | Self::Summed(assignment) => {
                let again = assignment.clone();
                *self = Self::Open(again.clone());
                Some(again)
            }
            Self::Offered => None,
        }
    }
}
