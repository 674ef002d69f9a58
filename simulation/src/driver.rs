//! The loop around the rounds of a run in one process: what they want worked on goes to the workers, and what comes of it
//! goes back.

use crate::{RunError, pool::Pool};
use lyceum_coordinator::{
    rounds::{Ending, Rounds, Turn},
    run::Durable,
};
use lyceum_core::Time;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// A run in flight and its workers.
pub(crate) struct Driver<'a, A> {
    pub(crate) rounds: Rounds<A>,
    pub(crate) pool: Pool,
    /// What the run's times are counted from.
    pub(crate) started: Instant,
    /// Becomes true when the run is to stop behind the round in flight.
    pub(crate) stop: &'a AtomicBool,
}

/// Microseconds since then.
pub(crate) fn since(started: Instant) -> Time {
    Time(started.elapsed().as_micros() as u64)
}

impl<A: Durable> Driver<'_, A> {
    /// Runs to the end, or to where it is stopped.
    pub(crate) fn drive(mut self) -> Result<(Ending, Rounds<A>), RunError> {
        self.rounds.begin(since(self.started))?;
        loop {
            if let Some(ending) = self.turn()? {
                return Ok((ending, self.rounds));
            }
            self.pool.begin();
            // Events are written while the workers are busy.
            self.rounds.archive().idle()?;
            let Some(result) = self.pool.wait() else {
                let reason = "a round has neither work nor an end";
                return Err(RunError::Panic(reason.into()));
            };
            let upload = result?;
            self.rounds.take(since(self.started), upload)?;
        }
    }

    /// Does what follows from what the rounds were told. Their times end now, when all of it is reckoned.
    fn turn(&mut self) -> Result<Option<Ending>, RunError> {
        let mut now = since(self.started);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                self.rounds.stop();
            }
            match self.rounds.poll(now)? {
                None => return Ok(None),
                Some(Turn::Assign(assignment)) => self.pool.assign(assignment),
                Some(Turn::RoundOver { paused: true, .. }) => return Ok(Some(Ending::Paused)),
                Some(Turn::RoundOver { paused: false, .. }) => {
                    // Saving belongs to no round.
                    self.rounds.begin(since(self.started))?;
                    now = since(self.started);
                }
                Some(Turn::Ended(ending)) => return Ok(Some(ending)),
            }
        }
    }
}
