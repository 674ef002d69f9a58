//! The workers of a run in one process: a crew of threads that hands in each sum by itself.

use crate::RunError;
use core_affinity::CoreId;
use lyceum_client_node::{
    Node,
    crew::{AtStart, CrewEvent, Failure, Handing, Terms, Threads},
};
use lyceum_core::{Assignment, Upload};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::Duration,
};

/// What came of waiting for a result.
pub(crate) enum Waited {
    /// One, or why there will be none.
    Done(Result<Upload, RunError>),
    /// None has come yet.
    Nothing,
    /// No unit is in flight.
    Idle,
}

/// The in-process side of a node: one learner per thread.
pub(crate) struct Pool {
    crew: Threads,
    events: Receiver<CrewEvent>,
    assigned: Vec<Assignment>,
    in_flight: usize,
}

impl Pool {
    /// Starts `threads` workers. Fails where the engine cannot be used.
    pub(crate) fn start(node: &Arc<Node>, threads: usize) -> Result<Self, RunError> {
        let (sender, events) = channel();
        let terms = Terms {
            threads,
            handing: Handing::Apart,
            at_start: Some(bound(cores(threads.max(1)))),
        };
        // A run that is gone has no use for a result.
        let listener = Arc::new(move |event| drop(sender.send(event)));
        let crew = Threads::start(node, &terms, listener);
        Ok(Self {
            crew: crew.map_err(|e| RunError::Worker(e.to_string()))?,
            events,
            assigned: Vec::new(),
            in_flight: 0,
        })
    }

    /// Keeps a unit for the workers until [`begin`](Self::begin).
    pub(crate) fn assign(&mut self, assignment: Assignment) {
        self.assigned.push(assignment);
    }

    /// Hands the workers all units at once.
    pub(crate) fn begin(&mut self) {
        if self.assigned.is_empty() {
            return;
        }
        self.in_flight += self.assigned.len();
        // What is summed is of one ticket.
        let units = self.assigned.drain(..).map(|unit| (unit.ticket.0, unit));
        self.crew.work_all(units);
    }

    /// Waits so long for the next result.
    pub(crate) fn wait(&mut self, patience: Duration) -> Waited {
        if self.in_flight == 0 {
            return Waited::Idle;
        }
        Waited::Done(loop {
            match self.events.recv_timeout(patience) {
                Ok(CrewEvent::Summed { .. }) => {}
                Ok(CrewEvent::Finished { upload, .. }) => {
                    self.in_flight -= upload.units.len();
                    break Ok(upload);
                }
                Ok(CrewEvent::Failed(Failure::Unit(reason))) => {
                    break Err(RunError::Worker(reason));
                }
                Ok(CrewEvent::Failed(Failure::Panic(words))) => break Err(RunError::Panic(words)),
                Err(RecvTimeoutError::Timeout) => return Waited::Nothing,
                Err(RecvTimeoutError::Disconnected) => {
                    break Err(RunError::Panic("all workers are gone".into()));
                }
            }
        })
    }
}

/// Binds each thread to its core.
fn bound(cores: Vec<CoreId>) -> AtStart {
    Arc::new(move |thread| {
        if let Some(core) = cores.get(thread) {
            // Only speed depends on it, so nothing is said where the system refuses.
            let _ = core_affinity::set_for_current(*core);
        }
    })
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
