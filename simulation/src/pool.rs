//! Worker threads that take units from one queue and send back uploads.

use crate::RunError;
use core_affinity::CoreId;
use lyceum_client_node::{Node, NodeError, Worker};
use lyceum_core::{Assignment, Upload};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
}

#[derive(Default)]
struct Queue {
    units: VecDeque<Assignment>,
    closed: bool,
}

/// The in-process side of a node: one learner per thread.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    results: Receiver<Result<Upload, RunError>>,
    threads: Vec<thread::JoinHandle<()>>,
    assigned: Vec<Assignment>,
    in_flight: usize,
}

impl Pool {
    /// Starts `threads` workers. Fails where the engine cannot be used.
    pub(crate) fn start(node: &Arc<Node>, threads: usize) -> Result<Self, RunError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            ready: Condvar::new(),
        });
        let (sender, results) = channel();
        let workers = (0..threads.max(1))
            .map(|_| Worker::new(node.clone()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(worker_failed)?;
        let cores = cores(workers.len());
        let threads = workers
            .into_iter()
            .enumerate()
            .map(|(index, worker)| {
                let (shared, sender) = (shared.clone(), sender.clone());
                let core = cores.get(index).copied();
                thread::Builder::new().name("worker".into()).spawn(move || {
                    if let Some(core) = core {
                        // Only speed depends on it, so nothing is said where the system refuses.
                        let _ = core_affinity::set_for_current(core);
                    }
                    work(worker, &shared, &sender);
                })
            })
            .collect::<Result<_, _>>()
            .map_err(|e| RunError::Panic(format!("no thread for a worker: {e}")))?;
        Ok(Self {
            shared,
            results,
            threads,
            assigned: Vec::new(),
            in_flight: 0,
        })
    }

    /// Keeps a unit for the workers until [`begin`](Self::begin).
    pub(crate) fn assign(&mut self, assignment: Assignment) {
        self.assigned.push(assignment);
    }

    /// Hands the workers all units at once: a worker that wakes up for the first unit may take the core of the thread
    /// that has the others still to assign, and the other workers would wait for them.
    pub(crate) fn begin(&mut self) {
        if self.assigned.is_empty() {
            return;
        }
        self.in_flight += self.assigned.len();
        self.shared.lock().units.extend(self.assigned.drain(..));
        self.shared.ready.notify_all();
    }

    /// The next finished unit; `None` if none is in flight.
    pub(crate) fn wait(&mut self) -> Option<Result<Upload, RunError>> {
        if self.in_flight == 0 {
            return None;
        }
        let gone = || Err(RunError::Panic("all workers are gone".into()));
        let result = self.results.recv().unwrap_or_else(|_| gone());
        self.in_flight -= result.as_ref().map_or(1, |upload| upload.units.len());
        Some(result)
    }
}

/// A core for each worker, where there is one for each: left to itself, a scheduler may let two workers that wake up
/// together share a core for a whole short round. With fewer workers than cores none is bound, so that several runs
/// side by side do not meet on the same ones.
fn cores(workers: usize) -> Vec<CoreId> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    if ids.len() == workers {
        ids
    } else {
        Vec::new()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.units.clear();
        drop(queue);
        self.shared.ready.notify_all();
        for thread in self.threads.drain(..) {
            // A worker's panic was already reported through its result.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next unit, if one waits. All that wait are of one stage: the next begins when this one is over.
    fn waiting(&self) -> Option<Assignment> {
        self.lock().units.pop_front()
    }

    fn next(&self) -> Option<Assignment> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(unit) = queue.units.pop_front() {
                return Some(unit);
            }
            queue = self
                .ready
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(mut worker: Worker, shared: &Shared, results: &Sender<Result<Upload, RunError>>) {
    while let Some(assignment) = shared.next() {
        let result = catch_unwind(AssertUnwindSafe(|| {
            worker.execute_with(&assignment, || shared.waiting())
        }));
        let failed = result.is_err();
        let result = match result {
            Ok(result) => result.map_err(worker_failed),
            Err(panic) => Err(RunError::Panic(message(&*panic))),
        };
        if results.send(result).is_err() || failed {
            return;
        }
    }
}

fn worker_failed(error: NodeError) -> RunError {
    RunError::Worker(error.to_string())
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
        .to_string()
}
