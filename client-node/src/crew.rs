//! The threads of a node: they take units from one queue and sum what belongs together.

use crate::{Node, NodeError, Worker};
use lyceum_core::{Addend, Assignment, Payload, UnitId, Upload, Work};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Works on units. Sums are handed in when they are asked for and nothing waits.
pub trait Crew: Send {
    /// Takes a unit.
    fn work(&mut self, generation: u64, assignment: Assignment);
    /// Whether sums are to be handed in as soon as nothing waits.
    fn flush(&mut self, on: bool);
    /// Throws away what waits and what was summed.
    fn clear(&mut self);
}

/// What a crew says.
#[derive(Debug)]
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
    Failed(String),
}

/// Hears a crew.
pub type Listener = Arc<dyn Fn(CrewEvent) + Send + Sync>;

/// A crew of threads.
pub struct Threads {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    listener: Listener,
    /// Units of training go into one sum.
    sums: bool,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(u64, Assignment)>,
    generation: u64,
    flush: bool,
    closed: bool,
    /// Threads that hold a sum.
    holding: usize,
    /// Sums that were handed in, until the last one is.
    collected: Option<Upload>,
}

impl Threads {
    /// Starts the threads. Fails where the engine cannot be used.
    pub fn start(node: &Arc<Node>, threads: usize, listener: Listener) -> Result<Self, NodeError> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            listener,
            sums: node.sums_units(),
        });
        let workers = (0..threads.max(1))
            .map(|_| Worker::new(node.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let spawn = |worker| {
            let shared = shared.clone();
            let thread = thread::Builder::new().name("worker".into());
            thread.spawn(move || run(worker, &shared))
        };
        let threads = workers
            .into_iter()
            .map(spawn)
            .collect::<Result<_, _>>()
            .map_err(|e| NodeError::Engine(format!("no thread for a worker: {e}")))?;
        Ok(Self { shared, threads })
    }
}

impl Crew for Threads {
    fn work(&mut self, generation: u64, assignment: Assignment) {
        let mut state = self.shared.lock();
        state.generation = generation;
        state.queue.push_back((generation, assignment));
        drop(state);
        self.shared.changed.notify_all();
    }

    fn flush(&mut self, on: bool) {
        self.shared.lock().flush = on;
        self.shared.changed.notify_all();
    }

    fn clear(&mut self) {
        let mut state = self.shared.lock();
        state.generation += 1;
        state.queue.clear();
        state.flush = false;
        state.collected = None;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A worker's panic was already reported.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the result of a unit is part of a sum.
    fn is_summed(&self, unit: &Assignment) -> bool {
        self.sums && unit.work == Work::Train
    }

    fn say(&self, event: CrewEvent) {
        (self.listener)(event);
    }

    /// The next unit; `None` when the crew is dismissed.
    fn first(&self) -> Option<(u64, Assignment)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some((generation, unit)) = state.queue.pop_front() {
                state.holding += usize::from(self.is_summed(&unit));
                return Some((generation, unit));
            }
            state = self.wait(state);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next unit for a sum; `None` when the sum is to be handed in, or is void.
    fn next(&self, generation: u64) -> Option<Assignment> {
        let mut state = self.lock();
        loop {
            if state.closed || state.generation != generation {
                return None;
            }
            let fits = |(g, unit): &(u64, Assignment)| *g == generation && unit.work == Work::Train;
            match state.queue.front() {
                Some(unit) if fits(unit) => return state.queue.pop_front().map(|(_, unit)| unit),
                Some(_) => return None,
                None if state.flush => return None,
                None => state = self.wait(state),
            }
        }
    }

    /// A thread hands in its sum; the last one makes the upload.
    fn hand_in(&self, generation: u64, upload: Upload) {
        let mut state = self.lock();
        state.holding -= 1;
        if state.generation != generation {
            return;
        }
        let merged = match state.collected.take() {
            None => Ok(upload),
            Some(before) => merged(before, upload),
        };
        match merged {
            Ok(upload) if state.holding == 0 => {
                drop(state);
                self.say(CrewEvent::Finished { generation, upload });
            }
            Ok(upload) => state.collected = Some(upload),
            Err(reason) => {
                drop(state);
                self.say(CrewEvent::Failed(reason));
            }
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

fn run(mut worker: Worker, shared: &Shared) {
    while let Some((generation, first)) = shared.first() {
        let summed = shared.is_summed(&first);
        let mut last = (first.unit, first.jobs.len() as u64);
        let more = || {
            let (unit, clients) = last;
            shared.say(CrewEvent::Summed {
                generation,
                unit,
                clients,
            });
            let next = shared.next(generation)?;
            last = (next.unit, next.jobs.len() as u64);
            Some(next)
        };
        let result = catch_unwind(AssertUnwindSafe(|| worker.execute_with(&first, more)));
        match result {
            Ok(Ok(upload)) if summed => shared.hand_in(generation, upload),
            Ok(Ok(upload)) => shared.say(CrewEvent::Finished { generation, upload }),
            Ok(Err(error)) => shared.say(CrewEvent::Failed(error.to_string())),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let reason = format!("a worker panicked: {}", text.unwrap_or("no message"));
                return shared.say(CrewEvent::Failed(reason));
            }
        }
    }
}
