//! The loop around the round machine: workers, events, files.

use crate::{RunError, pool::Pool};
use lyceum_coordinator::{Input, Output, RoundMachine, run::RunFiles};
use lyceum_core::{Event, Time, Upload};
use lyceum_metrics::Summary;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// A run in flight: the machine, its workers and its files.
pub(crate) struct Driver<'a> {
    pub(crate) machine: RoundMachine,
    pub(crate) pool: Pool,
    pub(crate) files: RunFiles<'a>,
}

/// How a round ended.
enum Ending {
    Over,
    Finished,
    Stalled(String),
}

impl Driver<'_> {
    /// Runs to the end, or to where it is stopped.
    pub(crate) fn drive(mut self, stop: &AtomicBool) -> Result<Summary, RunError> {
        self.rounds(stop)?;
        self.files.summarise()
    }

    fn rounds(&mut self, stop: &AtomicBool) -> Result<(), RunError> {
        let mut saved = Instant::now();
        loop {
            match self.round()? {
                Ending::Finished => return Ok(()),
                Ending::Stalled(reason) => return self.files.stalled(&self.machine, reason, false),
                Ending::Over if self.last_round_done() => self.save()?,
                Ending::Over if stop.load(Ordering::Relaxed) => {
                    self.save()?;
                    self.files.record(Event::Paused {
                        rounds: self.machine.rounds_done(),
                    });
                    return Ok(());
                }
                Ending::Over if saved.elapsed() >= self.files.settings.checkpoint_every => {
                    self.save()?;
                    saved = Instant::now();
                }
                Ending::Over => {}
            }
        }
    }

    fn last_round_done(&self) -> bool {
        self.machine.is_complete()
    }

    /// One round with its evaluation.
    fn round(&mut self) -> Result<Ending, RunError> {
        let start = Instant::now();
        let mut closed = None;
        for request in self.files.requests()? {
            self.machine.handle(self.time(), Input::Request(request))?;
        }
        self.machine.handle(self.time(), Input::NextRound)?;
        loop {
            while let Some(output) = self.machine.poll() {
                match output {
                    Output::Assign(assignment) => self.pool.assign(assignment),
                    Output::Event(event) => {
                        if matches!(event, Event::RoundClosed { .. }) {
                            closed = Some(start.elapsed());
                        }
                        self.files.record(event);
                    }
                    Output::Best(params) => self.files.best(params),
                    Output::RoundOver(round) => {
                        let total = start.elapsed();
                        self.files.time_round(round, total, closed.unwrap_or(total));
                        return Ok(Ending::Over);
                    }
                    Output::Finished => return Ok(Ending::Finished),
                    Output::Stalled(reason) => return Ok(Ending::Stalled(reason)),
                }
            }
            self.pool.begin();
            self.files.write_out()?;
            match self.pool.wait() {
                Some(result) => self.upload(result?)?,
                None => {
                    return Err(RunError::Panic(
                        "a round has neither work nor an end".into(),
                    ));
                }
            }
        }
    }

    fn upload(&mut self, upload: Upload) -> Result<(), RunError> {
        self.files.time_clients(&upload.micros);
        Ok(self.machine.handle(self.time(), Input::Upload(upload))?)
    }

    fn time(&self) -> Time {
        Time(self.files.settings.started.elapsed().as_micros() as u64)
    }

    fn save(&mut self) -> Result<(), RunError> {
        match self.machine.snapshot() {
            Some(snapshot) => self.files.save(&snapshot),
            None => Ok(()),
        }
    }
}
