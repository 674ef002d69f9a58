//! A node on the network: it connects to a coordinator, works on what it is given, and comes back when the connection
//! breaks.

mod cache;
mod session;

use crate::{
    Node, NodeError,
    crew::{Crew, CrewEvent, Listener},
    machine::{NodeMachine, Order, Preparation, Prepared},
};
use cache::{Cache, Told};
use lyceum_core::{Payload, Seed, Ticket, Time, Upload};
use lyceum_protocol::{
    identity::COORDINATOR_NAME,
    message::{Hello, ToCoordinator, ToNode},
    quic::{Sides, first_answer, is_verdict, refusal},
};
use quinn::{ClientConfig, ConnectError, Connection, ConnectionError, Endpoint, VarInt};
use rand::RngExt;
use session::{Offers, Session};
use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

/// Things that wait for the node's loop, before those who say them wait.
const WAITING: usize = 4096;
/// First pause before another attempt to connect; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Time for the last packets.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long one attempt at an address may take, and how long finding the addresses.
const PATIENCE: Duration = Duration::from_secs(15);

/// A scenario as it is loaded, or why it cannot be.
pub type Loaded = Result<(Prepared, Arc<Node>), String>;
/// Loads a scenario; may take long, and blocks nobody.
pub type Prepare =
    Arc<dyn Fn(Preparation) -> Pin<Box<dyn Future<Output = Loaded> + Send>> + Send + Sync>;
/// Starts the threads of a node.
pub type Hire = Arc<dyn Fn(&Arc<Node>, Listener) -> Result<Box<dyn Crew>, NodeError> + Send + Sync>;
/// The coordinator's addresses, or why there are none.
pub type Located = Result<Vec<SocketAddr>, String>;
/// Finds the coordinator's addresses, anew for every attempt.
pub type Locate = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Located> + Send>> + Send + Sync>;
/// The client endpoint from which an address is reached, with its TLS settings and limits.
pub type Reach = Arc<dyn Fn(SocketAddr) -> Result<(Endpoint, ClientConfig), String> + Send + Sync>;

/// What a node is made of.
pub struct Attendance {
    /// Where the coordinator is.
    pub locate: Locate,
    /// How one gets there.
    pub reach: Reach,
    /// Who the node is.
    pub hello: Hello,
    /// Loads scenarios.
    pub prepare: Prepare,
    /// Starts threads.
    pub hire: Hire,
    /// Bytes of vectors that are kept between rounds.
    pub cache_bytes: u64,
    /// Spreads the attempts of many nodes to connect.
    pub jitter: Seed,
    /// Attempts to connect that may fail one after the other; `None` never gives up.
    pub attempts: Option<u32>,
    /// Called each time that the node has what it needs on a new connection, and says so.
    pub joined: Box<dyn Fn() + Send>,
}

/// How a connection ends whose node found that it cannot take part. The coordinator hears no more of why, since that may
/// name what is in a real client's file.
const UNFIT: VarInt = VarInt::from_u32(2);
const UNFIT_WORDS: &[u8] = b"what the node has does not fit the run; its own messages say how";

/// How a node's work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The run is finished.
    Finished,
    /// The node was asked to stop.
    Stopped,
    /// The node cannot take part: what it is, what it has or what it knows does not fit the run.
    Refused(String),
    /// Its work failed.
    Failed(String),
    /// The coordinator could not be reached.
    Unreachable(String),
}

/// What reaches the node's loop.
enum In {
    /// The coordinator said something on a connection.
    Heard(u64, ToNode),
    /// A connection broke.
    Broken(u64, Failure),
    /// A connection is there, or cannot be had.
    Connected(Result<(Connection, Endpoint), Failure>),
    /// A scenario is loaded, or cannot be.
    Loaded(Box<Preparation>, Loaded),
}

/// Why there is no connection.
enum Failure {
    /// It may go better next time.
    Passing(String),
    /// It will not.
    Lasting(String),
}

struct Attendant {
    parts: Attendance,
    machine: NodeMachine,
    crew: Option<Box<dyn Crew>>,
    offers: Offers,
    told: Told,
    cache: Arc<Cache>,
    inputs: mpsc::Sender<In>,
    /// What the crew says; bounded by the units that the node holds.
    events: mpsc::UnboundedSender<CrewEvent>,
    /// The frames of the connection that is there.
    frames: Option<mpsc::Sender<Vec<u8>>>,
    connection: Option<(Connection, Endpoint)>,
    number: u64,
    failures: u32,
    /// The connection on which the node has said that it is ready.
    ready_on: u64,
    began: Instant,
}

/// Works until the run is finished or `stop` is done.
pub async fn attend(parts: Attendance, stop: impl Future<Output = ()>) -> Departure {
    let (inputs, mut receiver) = mpsc::channel(WAITING);
    let (events, mut said) = mpsc::unbounded_channel();
    let mut attendant = Attendant {
        machine: NodeMachine::new(parts.hello.clone()),
        crew: None,
        offers: Offers::default(),
        told: Told::default(),
        cache: Arc::new(Cache::new(parts.cache_bytes)),
        inputs,
        events,
        frames: None,
        connection: None,
        number: 0,
        failures: 0,
        ready_on: 0,
        began: Instant::now(),
        parts,
    };
    attendant.connect();
    let mut stop = std::pin::pin!(stop);
    let departure = loop {
        if let Some(departure) = attendant.obey() {
            break departure;
        }
        let far = Instant::now() + Duration::from_secs(3600);
        let wake = attendant.machine.deadline();
        let wake = wake.map_or(far, |at| attendant.began + Duration::from_micros(at.0));
        tokio::select! {
            biased;
            () = &mut stop => {
                attendant.machine.leave();
                let _ = attendant.obey();
                break Departure::Stopped;
            }
            input = receiver.recv() => match input {
                Some(input) => {
                    if let Some(departure) = attendant.take(input) {
                        break departure;
                    }
                }
                None => break Departure::Stopped,
            },
            event = said.recv() => {
                let now = attendant.now();
                event.into_iter().for_each(|event| attendant.crew_says(now, event));
            }
            () = sleep_until(wake) => {
                let now = attendant.now();
                attendant.machine.tick(now);
            }
        }
    };
    attendant.part().await;
    departure
}

impl Attendant {
    fn now(&self) -> Time {
        Time(self.began.elapsed().as_micros() as u64)
    }

    /// Tries to connect, after a pause that grows with the failures.
    fn connect(&mut self) {
        self.number += 1;
        let pause = self.pause();
        let (locate, reach) = (self.parts.locate.clone(), self.parts.reach.clone());
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let result = dial(&locate, &reach).await;
            // A node that is gone needs no word.
            let _ = inputs.send(In::Connected(result)).await;
        });
    }

    fn pause(&self) -> Duration {
        if self.failures == 0 {
            return Duration::ZERO;
        }
        let doubled = FIRST_PAUSE * 2_u32.pow((self.failures - 1).min(6));
        let mut rng = self.parts.jitter.stream(
            lyceum_core::Purpose::named("lyceum.reconnect"),
            Ticket(self.number),
            None,
        );
        doubled
            .min(LONGEST_PAUSE)
            .mul_f64(rng.random_range(0.5..1.0))
    }

    fn take(&mut self, input: In) -> Option<Departure> {
        let now = self.now();
        match input {
            In::Heard(number, message) if number == self.number => self.machine.hear(now, message),
            In::Heard(..) => {}
            In::Broken(number, Failure::Lasting(reason)) if number == self.number => {
                return Some(Departure::Refused(reason));
            }
            In::Broken(number, Failure::Passing(reason)) if number == self.number => {
                self.broken(&reason);
            }
            In::Broken(..) => {}
            In::Connected(Ok((connection, endpoint))) => self.connected(now, connection, endpoint),
            In::Connected(Err(Failure::Lasting(reason))) => {
                return Some(Departure::Refused(reason));
            }
            In::Connected(Err(Failure::Passing(reason))) => return self.failed_to_connect(reason),
            In::Loaded(preparation, result) => self.loaded(now, &preparation, result),
        }
        None
    }

    fn failed_to_connect(&mut self, reason: String) -> Option<Departure> {
        tracing::warn!(%reason, "the coordinator cannot be reached; the node tries again");
        self.failures += 1;
        if self
            .parts
            .attempts
            .is_some_and(|most| self.failures >= most)
        {
            return Some(Departure::Unreachable(reason));
        }
        self.connect();
        None
    }

    fn connected(&mut self, now: Time, connection: Connection, endpoint: Endpoint) {
        let (sender, frames) = mpsc::channel(WAITING);
        let session = Session {
            number: self.number,
            connection: connection.clone(),
            cache: self.cache.clone(),
            offers: self.offers.clone(),
            told: self.told.clone(),
            inputs: self.inputs.clone(),
        };
        self.frames = Some(sender);
        self.connection = Some((connection.clone(), endpoint));
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            match connection.open_bi().await {
                Ok((send, recv)) => {
                    let _ = send.set_priority(1);
                    session.attend(send, recv, frames).await;
                }
                Err(error) => drop(
                    inputs
                        .send(In::Broken(session.number, failure(&error)))
                        .await,
                ),
            }
        });
        self.machine.connected(now);
    }

    fn broken(&mut self, reason: &str) {
        tracing::warn!(
            reason,
            "the connection to the coordinator is gone; the node comes back"
        );
        self.machine.disconnected();
        self.reconnect();
    }

    fn reconnect(&mut self) {
        self.frames = None;
        self.connection = None;
        self.failures += 1;
        self.connect();
    }

    fn loaded(&mut self, now: Time, order: &Preparation, result: Loaded) {
        let hired = result.and_then(|(prepared, node)| {
            let events = self.events.clone();
            let listener: Listener = Arc::new(move |event| drop(events.send(event)));
            let crew = (self.parts.hire)(&node, listener).map_err(|e| e.to_string())?;
            Ok((prepared, crew))
        });
        let hired = hired.map(|(prepared, crew)| {
            self.crew = Some(crew);
            prepared
        });
        self.machine.prepared(now, order, hired);
    }

    fn crew_says(&mut self, now: Time, event: CrewEvent) {
        match event {
            CrewEvent::Summed {
                generation,
                unit,
                clients,
            } => self.machine.summed(now, generation, unit, clients),
            CrewEvent::Finished { generation, upload } => {
                self.remember_states(&upload);
                self.machine.finished(now, generation, upload);
            }
            CrewEvent::Failed(failure) => self.machine.failed(failure.to_string()),
        }
    }

    /// States that were made here are likely to be asked for here again.
    fn remember_states(&self, upload: &Upload) {
        let Payload::Trained(trained) = &upload.payload else {
            return;
        };
        for (_, state) in &trained.states {
            state.slots().for_each(|(_, slot)| self.cache.put(slot));
        }
    }

    fn obey(&mut self) -> Option<Departure> {
        while let Some(order) = self.machine.poll() {
            match order {
                Order::Send(message) => self.say(message),
                Order::Reconnect => {
                    tracing::warn!("the coordinator is silent; the node connects again");
                    if let Some((connection, _)) = &self.connection {
                        connection.close(0_u32.into(), b"the coordinator is silent");
                    }
                    self.reconnect();
                }
                Order::Prepare(preparation) => self.load(preparation),
                Order::Work {
                    generation,
                    assignment,
                } => {
                    if let Some(crew) = &mut self.crew {
                        crew.work(generation, assignment);
                    }
                }
                Order::Flush { generation, on } => {
                    if let Some(crew) = &mut self.crew {
                        crew.flush(generation, on);
                    }
                }
                Order::Clear { generation } => {
                    if let Some(crew) = &mut self.crew {
                        crew.clear(generation);
                    }
                }
                Order::Finished => return Some(Departure::Finished),
                Order::Stop(reason) => return Some(Departure::Refused(reason)),
                Order::Unfit(reason) => {
                    if let Some((connection, _)) = &self.connection {
                        connection.close(UNFIT, UNFIT_WORDS);
                    }
                    return Some(Departure::Refused(reason));
                }
                Order::Fail(reason) => return Some(Departure::Failed(reason)),
            }
        }
        self.offers.keep(self.machine.offers());
        None
    }

    fn say(&mut self, message: ToCoordinator) {
        if matches!(message, ToCoordinator::Ready(_)) {
            self.failures = 0;
            if std::mem::replace(&mut self.ready_on, self.number) != self.number {
                (self.parts.joined)();
            }
        }
        let Some(frames) = &self.frames else {
            return;
        };
        // What does not fit is said again with the next heartbeat.
        let _ = frames.try_send(self.offers.pack(message));
    }

    fn load(&mut self, preparation: Preparation) {
        let (prepare, inputs) = (self.parts.prepare.clone(), self.inputs.clone());
        // The threads of another scenario, or of this one without its expert, have nothing to do any more.
        self.crew = None;
        tokio::spawn(async move {
            let result = prepare(preparation.clone()).await;
            // A node that is gone needs no word.
            let _ = inputs.send(In::Loaded(Box::new(preparation), result)).await;
        });
    }

    /// Ends the connection once the last words are out.
    async fn part(mut self) {
        self.frames = None;
        if let Some((connection, endpoint)) = self.connection.take() {
            let _ = timeout(Duration::from_secs(3), connection.closed()).await;
            // The packet that says so has to leave before the process does.
            let _ = timeout(LAST_WORDS, endpoint.wait_idle()).await;
        }
    }
}

/// Finds the coordinator's addresses, and connects to the first that answers.
async fn dial(locate: &Locate, reach: &Reach) -> Result<(Connection, Endpoint), Failure> {
    let located = timeout(PATIENCE, locate()).await;
    let addresses = located
        .unwrap_or_else(|_| Err("its address was not found in time".into()))
        .map_err(Failure::Passing)?;
    first_answer(&addresses, |address| call(reach, address))
        .await
        .map_err(all)
}

async fn call(reach: &Reach, address: SocketAddr) -> Result<(Connection, Endpoint), Failure> {
    let of_it = |reason: String| format!("{address}: {reason}");
    let (endpoint, client) = reach(address).map_err(|reason| Failure::Passing(of_it(reason)))?;
    let connecting = endpoint
        .connect_with(client, address, COORDINATOR_NAME)
        .map_err(|e| Failure::Lasting(of_it(unreachable(&e))))?;
    match timeout(PATIENCE, connecting).await {
        Ok(Ok(connection)) => Ok((connection, endpoint)),
        Ok(Err(error)) => Err(match failure(&error) {
            Failure::Lasting(reason) => Failure::Lasting(of_it(reason)),
            Failure::Passing(reason) => Failure::Passing(of_it(reason)),
        }),
        Err(_) => Err(Failure::Passing(of_it("no answer in time".into()))),
    }
}

/// Why nothing can be sent to an address at all.
fn unreachable(error: &ConnectError) -> String {
    match error {
        ConnectError::InvalidRemoteAddress(_) => {
            "nothing can be reached there: give the coordinator's own address, and a port from 1 to 65535".into()
        }
        other => other.to_string(),
    }
}

/// What all addresses come to: one that will never take this node is there, and the others are not.
fn all(failures: Vec<Failure>) -> Failure {
    let (mut passing, mut lasting) = (Vec::new(), Vec::new());
    for failure in failures {
        match failure {
            Failure::Passing(reason) => passing.push(reason),
            Failure::Lasting(reason) => lasting.push(reason),
        }
    }
    match lasting.is_empty() {
        true => Failure::Passing(passing.join("; ")),
        false => Failure::Lasting(lasting.join("; ")),
    }
}

/// Certificates that are not accepted will not be next time either; everything else may go better.
fn failure(error: &ConnectionError) -> Failure {
    match is_verdict(error) {
        true => Failure::Lasting(refusal(error, Sides::NODE)),
        false => Failure::Passing(refusal(error, Sides::NODE)),
    }
}
