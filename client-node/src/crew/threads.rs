//! A crew of threads: a lock around the machine, and a learner for each worker.

use super::{
    Crew,
    machine::{CrewEvent, CrewMachine, Failure, Handing, Step},
};
use crate::{Node, NodeError, Worker};
use lyceum_core::{Assignment, Upload};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Hears a crew. Called while the crew waits for it, so it must neither block nor call the crew.
pub type Listener = Arc<dyn Fn(CrewEvent) + Send + Sync>;
/// Called by each thread with its number before it works.
pub type AtStart = Arc<dyn Fn(usize) + Send + Sync>;

/// What threads are started with.
#[derive(Clone)]
pub struct Terms {
    /// How many; at least one is started.
    pub threads: usize,
    /// How sums are handed in.
    pub handing: Handing,
    /// What each thread does first.
    pub at_start: Option<AtStart>,
}

impl Terms {
    /// The threads of a node on the network.
    pub fn together(threads: usize) -> Self {
        Self {
            threads,
            handing: Handing::Together,
            at_start: None,
        }
    }
}

/// A crew of threads.
pub struct Threads {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
    /// Tells the workers to give up what they have in hand.
    halt: Arc<AtomicBool>,
}

struct Shared {
    crew: Mutex<CrewMachine>,
    changed: Condvar,
    listener: Listener,
}

impl Threads {
    /// Starts the threads. Fails where the engine cannot be used.
    pub fn start(node: &Arc<Node>, terms: &Terms, listener: Listener) -> Result<Self, NodeError> {
        let halt = Arc::<AtomicBool>::default();
        let workers = (0..terms.threads.max(1))
            .map(|_| Ok(Worker::new(node.clone())?.until(halt.clone())))
            .collect::<Result<Vec<_>, NodeError>>()?;
        let crew = CrewMachine::new(workers.len(), node.sums_units(), terms.handing);
        let shared = Arc::new(Shared {
            crew: Mutex::new(crew),
            changed: Condvar::new(),
            listener,
        });
        let spawn = |(number, worker)| {
            let (shared, at_start) = (shared.clone(), terms.at_start.clone());
            let thread = thread::Builder::new().name("worker".into());
            thread.spawn(move || {
                if let Some(at_start) = at_start {
                    at_start(number);
                }
                run(worker, number, &shared);
            })
        };
        let threads = workers
            .into_iter()
            .enumerate()
            .map(spawn)
            .collect::<Result<_, _>>()
            .map_err(|e| NodeError::Engine(format!("no thread for a worker: {e}")))?;
        Ok(Self {
            shared,
            threads,
            halt,
        })
    }

    /// Hands the workers many units at once: one that wakes up for the first may take the core of the thread that has the
    /// others still to give, and the other workers would wait for them.
    pub fn work_all(&mut self, units: impl IntoIterator<Item = (u64, Assignment)>) {
        self.shared.change(|crew| {
            units
                .into_iter()
                .for_each(|(generation, unit)| crew.work(generation, unit));
        });
    }
}

impl Crew for Threads {
    fn work(&mut self, generation: u64, assignment: Assignment) {
        self.shared.change(|crew| crew.work(generation, assignment));
    }

    fn flush(&mut self, generation: u64, on: bool) {
        self.shared.change(|crew| crew.flush(generation, on));
    }

    fn clear(&mut self, generation: u64) {
        self.shared.change(|crew| crew.clear(generation));
    }
}

impl Drop for Threads {
    /// Nobody hears what comes of the units in hand, so the threads end within a step.
    fn drop(&mut self) {
        self.halt.store(true, Ordering::Relaxed);
        self.shared.change(CrewMachine::close);
        for thread in self.threads.drain(..) {
            // A worker's panic was already reported.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, CrewMachine> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all that there is to say.
    fn tell(&self, crew: &mut CrewMachine) {
        while let Some(event) = crew.poll() {
            (self.listener)(event);
        }
    }

    /// A change that workers may wait for.
    fn change(&self, change: impl FnOnce(&mut CrewMachine)) {
        let mut crew = self.lock();
        change(&mut crew);
        self.tell(&mut crew);
        drop(crew);
        self.changed.notify_all();
    }

    /// What a worker does next, once there is something.
    fn next(&self, worker: usize) -> Step {
        let mut crew = self.lock();
        loop {
            let step = crew.next(worker);
            self.tell(&mut crew);
            if !matches!(step, Step::Wait) {
                return step;
            }
            let woken = self.changed.wait(crew);
            crew = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn hand_in(&self, worker: usize, upload: Upload) {
        let mut crew = self.lock();
        crew.hand_in(worker, upload);
        self.tell(&mut crew);
    }

    fn fail(&self, worker: usize, failure: Failure) {
        let mut crew = self.lock();
        crew.fail(worker, failure);
        self.tell(&mut crew);
    }
}

fn run(mut worker: Worker, number: usize, shared: &Shared) {
    loop {
        let first = match shared.next(number) {
            Step::Begin(unit) => unit,
            Step::Leave => return,
            Step::Add(_) | Step::HandIn | Step::LetGo | Step::Wait => continue,
        };
        let more = || match shared.next(number) {
            Step::Add(unit) => Some(unit),
            _ => None,
        };
        match catch_unwind(AssertUnwindSafe(|| worker.execute_with(&first, more))) {
            Ok(Ok(upload)) => shared.hand_in(number, upload),
            Ok(Err(error)) => shared.fail(number, Failure::Unit(error.to_string())),
            Err(panic) => return shared.fail(number, Failure::Panic(last_words(&*panic))),
        }
    }
}

fn last_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
        .to_string()
}
