//! The loop around the rounds of a run in one process: what they want worked on goes to the workers, and what comes of it
//! goes back.

use crate::{
    RunError,
    pool::{Pool, Waited},
};
use lyceum_coordinator::{
    rounds::{Ending, Rounds, Turn},
    run::Durable,
};
use lyceum_core::{Time, Upload};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// How often it is seen whether the run is to stop, while workers are busy.
const LOOK: Duration = Duration::from_millis(50);
/// How long a run that is to stop waits for the end of the round in flight.
const PATIENCE: Duration = Duration::from_millis(500);

/// A run in flight and its workers.
pub(crate) struct Driver<'a, A> {
    pub(crate) rounds: Rounds<A>,
    pub(crate) pool: Pool,
    /// What the run's times are counted from.
    pub(crate) started: Instant,
    /// Becomes true when the run is to stop.
    pub(crate) stop: &'a AtomicBool,
    /// When it was seen that it is to stop.
    pub(crate) asked: Option<Instant>,
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
            match self.wait()? {
                Some(upload) => self.rounds.take(since(self.started), upload)?,
                None => return Ok((Ending::Paused, self.rounds)),
            }
        }
    }

    /// The next result; none where the run stops and the round in flight does not end soon: then it is given up, and its
    /// workers see that within a step.
    fn wait(&mut self) -> Result<Option<Upload>, RunError> {
        loop {
            if self.stops() {
                let asked = *self.asked.get_or_insert_with(Instant::now);
                if asked.elapsed() >= PATIENCE && self.rounds.give_up_round()? {
                    return Ok(None);
                }
            }
            match self.pool.wait(LOOK) {
                Waited::Done(result) => return result.map(Some),
                Waited::Nothing => {}
                Waited::Idle => {
                    let reason = "a round has neither work nor an end";
                    return Err(RunError::Panic(reason.into()));
                }
            }
        }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Does what follows from what the rounds were told. Their times end now, when all of it is reckoned.
    fn turn(&mut self) -> Result<Option<Ending>, RunError> {
        let mut now = since(self.started);
        loop {
            if self.stops() {
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
