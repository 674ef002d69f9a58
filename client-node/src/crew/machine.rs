//! Which worker works on what, and what is handed in when: a crew without its threads.
//!
//! A *generation* is a bench of work of one ticket: its units, and the sums that are made of them. Several generations may
//! be there at once. A worker sums units of training of one generation for as long as some wait; then it hands its sum in,
//! or waits for more with the sum in its hand. What a crew of [`Handing::Together`] hands in is one sum of all workers.
//!
//! **Invariant:** no input or output, no clock, no thread, no lock; drivers own them.

use lyceum_core::{Addend, Assignment, Payload, UnitId, Upload, Work};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// What a crew says.
#[derive(Clone, Debug, PartialEq)]
pub enum CrewEvent {
    /// A unit is in a sum.
    Summed {
        /// As the unit was given.
        generation: u64,
        /// Which unit.
        unit: UnitId,
        /// Clients that it held.
        clients: u64,
    },
    /// A result.
    Finished {
        /// As its units were given.
        generation: u64,
        /// The result.
        upload: Upload,
    },
    /// A unit cannot be worked on.
    Failed(Failure),
}

/// Why a unit cannot be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What the worker found.
    Unit(String),
    /// The worker is gone, with these last words.
    Panic(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(reason) => f.write_str(reason),
            Self::Panic(words) => write!(f, "a worker panicked: {words}"),
        }
    }
}

/// How sums are handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handing {
    /// The sums of all workers as one, when that is wanted and no unit waits: each costs the network a model.
    Together,
    /// Each worker's own, as soon as no unit waits: it costs nothing. What is summed is not told unit by unit.
    Apart,
}

/// What a worker is to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Begin with this unit.
    Begin(Assignment),
    /// Add this unit to the sum in hand.
    Add(Assignment),
    /// Give what is in hand to [`CrewMachine::hand_in`].
    HandIn,
    /// Throw away what is in hand.
    LetGo,
    /// Ask again when something has changed.
    Wait,
    /// Go: there will be no more work.
    Leave,
}

/// What a worker has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    Empty,
    /// A unit that is answered by itself.
    Answer(u64),
    /// A sum of a generation.
    Sum {
        generation: u64,
        /// The unit that is being added, and its clients.
        last: Option<(UnitId, u64)>,
    },
    /// What nobody wants any more.
    Void,
}

/// Work of one ticket.
#[derive(Default)]
struct Bench {
    waiting: VecDeque<Assignment>,
    /// Sums are wanted as soon as no unit waits.
    flush: bool,
    /// Sums that were handed in, until the last one is.
    collected: Option<Upload>,
}

/// A crew without its threads.
pub struct CrewMachine {
    /// Units of training go into one sum.
    sums: bool,
    handing: Handing,
    hands: Vec<Hand>,
    benches: BTreeMap<u64, Bench>,
    /// The memory of a bench that is done.
    spare: VecDeque<Assignment>,
    closed: bool,
    events: VecDeque<CrewEvent>,
    #[cfg(feature = "mutants")]
    mutant: Mutant,
}

/// Mistakes on purpose, to see that simulated worlds find them.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutant {
    /// None.
    #[default]
    None,
    /// A sum that is merged with others counts twice.
    MergeTwice,
    /// The sum that was handed in before is lost when another one comes.
    LoseSum,
}

impl CrewMachine {
    /// A crew of so many workers. Unless it `sums`, each unit is answered by itself.
    pub fn new(workers: usize, sums: bool, handing: Handing) -> Self {
        Self {
            sums,
            handing,
            hands: vec![Hand::Empty; workers],
            benches: BTreeMap::new(),
            spare: VecDeque::new(),
            closed: false,
            events: VecDeque::new(),
            #[cfg(feature = "mutants")]
            mutant: Mutant::None,
        }
    }

    /// The crew with a mistake on purpose.
    #[cfg(feature = "mutants")]
    pub fn mistaken(self, mutant: Mutant) -> Self {
        Self { mutant, ..self }
    }

    /// The next thing to be said, if there is one.
    pub fn poll(&mut self) -> Option<CrewEvent> {
        self.events.pop_front()
    }

    /// Takes a unit.
    pub fn work(&mut self, generation: u64, unit: Assignment) {
        if self.closed {
            return;
        }
        let spare = &mut self.spare;
        let bench = self.benches.entry(generation).or_insert_with(|| Bench {
            waiting: std::mem::take(spare),
            ..Bench::default()
        });
        bench.waiting.push_back(unit);
    }

    /// Whether sums of a generation are to be handed in as soon as none of its units waits. At first they are not.
    pub fn flush(&mut self, generation: u64, on: bool) {
        if self.closed {
            return;
        }
        self.benches.entry(generation).or_default().flush = on;
        self.finish(generation);
        self.clear_away(generation);
    }

    /// Throws away what waits of a generation and what was summed. What workers have in hand of it is void.
    pub fn clear(&mut self, generation: u64) {
        if let Some(bench) = self.benches.remove(&generation) {
            self.keep_memory(bench);
        }
        for hand in &mut self.hands {
            if hand.generation() == Some(generation) {
                *hand = Hand::Void;
            }
        }
    }

    /// No more work: workers leave when they ask next.
    pub fn close(&mut self) {
        self.closed = true;
        self.benches.clear();
        self.hands.fill(Hand::Void);
    }

    /// What a worker does next, that has done what it was told before.
    pub fn next(&mut self, worker: usize) -> Step {
        match self.hands[worker] {
            Hand::Void => {
                self.hands[worker] = Hand::Empty;
                Step::LetGo
            }
            Hand::Answer(_) => Step::HandIn,
            Hand::Empty if self.closed => Step::Leave,
            Hand::Empty => self.begin(worker),
            Hand::Sum { generation, last } => {
                if let Some((unit, clients)) = last {
                    self.summed(worker, generation, unit, clients);
                }
                self.go_on(worker, generation)
            }
        }
    }

    /// Begins with the oldest work.
    fn begin(&mut self, worker: usize) -> Step {
        let mut benches = self.benches.iter();
        let first = benches.find(|(_, bench)| !bench.waiting.is_empty());
        let Some(&generation) = first.map(|(generation, _)| generation) else {
            return Step::Wait;
        };
        let Some(unit) = self.take(generation) else {
            return Step::Wait;
        };
        self.hands[worker] = match self.sums && unit.work == Work::Train {
            true => Hand::adding(generation, &unit),
            false => Hand::Answer(generation),
        };
        Step::Begin(unit)
    }

    /// Goes on with the generation of the sum in hand, while a unit of it waits.
    fn go_on(&mut self, worker: usize, generation: u64) -> Step {
        let bench = self.benches.get(&generation);
        let front = bench.and_then(|bench| bench.waiting.front());
        if front.is_some_and(|unit| unit.work == Work::Train) {
            let unit = self.take(generation).expect("a unit waits");
            self.hands[worker] = Hand::adding(generation, &unit);
            return Step::Add(unit);
        }
        let wanted = self.handing == Handing::Apart || bench.is_some_and(|bench| bench.flush);
        // Other work does not wait for more of this.
        let other = self.benches.values().any(|b| !b.waiting.is_empty());
        match wanted || other {
            true => Step::HandIn,
            false => Step::Wait,
        }
    }

    fn take(&mut self, generation: u64) -> Option<Assignment> {
        let unit = self.benches.get_mut(&generation)?.waiting.pop_front();
        self.clear_away(generation);
        unit
    }

    fn summed(&mut self, worker: usize, generation: u64, unit: UnitId, clients: u64) {
        let last = None;
        self.hands[worker] = Hand::Sum { generation, last };
        if self.handing == Handing::Together {
            self.events.push_back(CrewEvent::Summed {
                generation,
                unit,
                clients,
            });
        }
    }

    /// A worker gives what it had in hand. What is void is not taken.
    pub fn hand_in(&mut self, worker: usize, upload: Upload) {
        match std::mem::replace(&mut self.hands[worker], Hand::Empty) {
            Hand::Empty | Hand::Void => {}
            Hand::Answer(generation) => {
                self.say_finished(generation, upload);
                self.finish(generation);
            }
            Hand::Sum { generation, .. } => match self.handing {
                Handing::Apart => self.say_finished(generation, upload),
                Handing::Together => self.collect(generation, upload),
            },
        }
    }

    /// A worker could not work on what it had in hand.
    pub fn fail(&mut self, worker: usize, failure: Failure) {
        self.hands[worker] = Hand::Empty;
        self.events.push_back(CrewEvent::Failed(failure));
    }

    fn say_finished(&mut self, generation: u64, upload: Upload) {
        let finished = CrewEvent::Finished { generation, upload };
        self.events.push_back(finished);
    }

    fn collect(&mut self, generation: u64, upload: Upload) {
        let bench = self.benches.entry(generation).or_default();
        let merged = match bench.collected.take() {
            None => Ok(upload),
            #[cfg(feature = "mutants")]
            Some(_) if self.mutant == Mutant::LoseSum => Ok(upload),
            #[cfg(feature = "mutants")]
            Some(before) if self.mutant == Mutant::MergeTwice => merged_twice(before, upload),
            Some(before) => merged(before, upload),
        };
        match merged {
            Ok(upload) => bench.collected = Some(upload),
            Err(reason) => {
                let failed = CrewEvent::Failed(Failure::Unit(reason));
                self.events.push_back(failed);
            }
        }
        self.finish(generation);
    }

    /// Hands in what was collected, if it is wanted and all of it is there.
    fn finish(&mut self, generation: u64) {
        let adds =
            |hand: &Hand| matches!(hand, Hand::Sum { generation: g, .. } if *g == generation);
        if self.hands.iter().any(adds) {
            return;
        }
        let Some(bench) = self.benches.get_mut(&generation) else {
            return;
        };
        if !bench.flush || !bench.waiting.is_empty() {
            return;
        }
        if let Some(upload) = bench.collected.take() {
            self.say_finished(generation, upload);
        }
    }

    /// A bench with nothing on it needs no place.
    fn clear_away(&mut self, generation: u64) {
        let idle = |b: &Bench| b.waiting.is_empty() && !b.flush && b.collected.is_none();
        if self.benches.get(&generation).is_some_and(idle)
            && let Some(bench) = self.benches.remove(&generation)
        {
            self.keep_memory(bench);
        }
    }

    fn keep_memory(&mut self, bench: Bench) {
        if bench.waiting.capacity() > self.spare.capacity() {
            self.spare = bench.waiting;
            self.spare.clear();
        }
    }

    /// Units that wait, or are in sums that were collected.
    pub fn waiting(&self) -> usize {
        let collected = |b: &Bench| b.collected.as_ref().map_or(0, |upload| upload.units.len());
        let units = |b: &Bench| b.waiting.len() + collected(b);
        self.benches.values().map(units).sum()
    }
}

impl Hand {
    fn adding(generation: u64, unit: &Assignment) -> Self {
        let last = Some((unit.unit, unit.jobs.len() as u64));
        Self::Sum { generation, last }
    }

    fn generation(self) -> Option<u64> {
        match self {
            Self::Answer(generation) | Self::Sum { generation, .. } => Some(generation),
            Self::Empty | Self::Void => None,
        }
    }
}

fn merged(mut into: Upload, other: Upload) -> Result<Upload, String> {
    let (Payload::Trained(sum), Payload::Trained(more)) = (&mut into.payload, other.payload) else {
        return Err("only sums can be merged".into());
    };
    let Addend::Sum(all) = &mut sum.sum else {
        return Err("a single update cannot take another".into());
    };
    more.sum.add_to(all).map_err(|e| e.to_string())?;
    sum.reports.extend(more.reports);
    sum.states.extend(more.states);
    into.units.extend(other.units);
    into.micros.extend(other.micros);
    Ok(into)
}

#[cfg(feature = "mutants")]
fn merged_twice(into: Upload, other: Upload) -> Result<Upload, String> {
    let mut again = other.clone();
    (again.units, again.micros) = (Vec::new(), Vec::new());
    if let Payload::Trained(trained) = &mut again.payload {
        (trained.reports, trained.states) = (Vec::new(), Vec::new());
    }
    merged(merged(into, other)?, again)
}
