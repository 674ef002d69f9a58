//! What a person sees while a run goes on.

use crate::output::complain;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lyceum_core::{Event, Opening, Probe};
use std::{
    io::{IsTerminal, Write},
    time::Instant,
};

/// A bar on a terminal, plain lines otherwise, nothing if quiet.
pub(crate) struct Progress {
    shown: Shown,
    rounds: u64,
    accuracy: Option<f64>,
    loss: Option<f64>,
    clients: u64,
    since: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// Shows nothing yet.
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = Shown::new(quiet, "{bar:30} round {pos}/{len} {msg} {eta} left");
        Self {
            shown,
            rounds: 0,
            accuracy: None,
            loss: None,
            clients: 0,
            since: Instant::now(),
        }
    }

    /// Shows an event.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            Event::RunStarted {
                name,
                rounds,
                clients,
                parameters,
                ..
            } => {
                self.rounds = *rounds;
                self.since = Instant::now();
                self.begin(&format!(
                    "{name}: {rounds} rounds, {clients} clients, {parameters} parameters"
                ));
            }
            Event::ExpertTrained { mean_loss, .. } => {
                self.say(&format!("expert trained: mean loss {mean_loss:.4}"))
            }
            Event::RoundClosed {
                train_loss,
                accepted,
                refused,
                round,
                ..
            } => {
                self.loss = *train_loss;
                self.clients += accepted;
                if *refused > 0 {
                    self.say(&format!("round {}: {refused} updates refused", round.0 + 1));
                }
            }
            Event::Client { round, report } => {
                if let lyceum_core::Outcome::Refused(reason) = &report.outcome {
                    self.say(&format!(
                        "round {}: client {} refused: {reason}",
                        round.0 + 1,
                        report.client
                    ));
                }
            }
            Event::RoundSkipped { round, reason } => {
                self.say(&format!(
                    "round {}: the model stays as it is: {reason}",
                    round.0
                ));
            }
            Event::TaskBegan(opening) => self.task_began(opening),
            Event::Warned { message } => self.shown.warn(message),
            Event::Evaluated {
                probe: Probe::Test,
                accuracy,
                ..
            } => self.accuracy = Some(*accuracy),
            Event::Timing { round, .. } => self.step(round.0 + 1),
            Event::Paused { .. } | Event::Stalled { .. } | Event::RunFinished { .. } => self.end(),
            Event::StreamStarted { .. }
            | Event::EvaluatedBefore { .. }
            | Event::ClientsScored { .. }
            | Event::RoundStarted { .. }
            | Event::Evaluated { .. }
            | Event::ClientAccuracy { .. } => {}
        }
    }

    fn begin(&mut self, line: &str) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_length(self.rounds);
        }
        self.say(line);
    }

    fn task_began(&self, opening: &Opening) {
        let Opening {
            round,
            task,
            accuracy,
            competent,
            ..
        } = opening;
        let why = match competent {
            true => "",
            false => ", patience is over",
        };
        self.say(&format!(
            "round {}: task {task} comes, accuracy {accuracy:.4} on the one before{why}",
            round.0 + 1
        ));
    }

    fn step(&mut self, done: u64) {
        let rate = self.clients as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        let number = |v: Option<f64>| v.map_or_else(|| "-".to_string(), |v| format!("{v:.4}"));
        let figures = format!(
            "accuracy {} loss {} {rate:.0} clients/s",
            number(self.accuracy),
            number(self.loss)
        );
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(figures);
            }
            Shown::Lines => self.say(&format!("round {done}/{} {figures}", self.rounds)),
            Shown::Nothing => {}
        }
    }

    fn say(&self, line: &str) {
        self.shown.say(line);
    }

    fn end(&self) {
        self.shown.end();
    }
}

impl Shown {
    /// Chooses the form by where standard error goes.
    fn new(quiet: bool, template: &str) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Bar(bar(template)),
            (false, false) => Self::Lines,
        }
    }

    fn say(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.println(line),
            // A closed pipe is no reason to stop a run.
            Self::Lines => drop(writeln!(std::io::stderr(), "{line}")),
            Self::Nothing => {}
        }
    }

    /// Shows a line that nobody may miss.
    fn warn(&self, message: &str) {
        let line = format!("warning: {message}");
        match self {
            Self::Bar(bar) => bar.println(line),
            Self::Lines | Self::Nothing => complain(&format!("{line}\n")),
        }
    }

    fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.abandon();
            // The bar leaves the cursor behind itself.
            drop(writeln!(std::io::stderr()));
        }
    }
}

/// One bar for all runs of a sweep, and a line for each that is over.
pub(crate) struct SweepProgress {
    shown: Shown,
    /// Rounds done, by run.
    rounds: Vec<u64>,
    over: usize,
}

impl SweepProgress {
    /// For this many runs with so many rounds together.
    pub(crate) fn new(quiet: bool, runs: usize, rounds: u64) -> Self {
        let shown = Shown::new(quiet, "{bar:30} {msg} {eta} left");
        if let Shown::Bar(bar) = &shown {
            bar.set_length(rounds);
        }
        let progress = Self {
            shown,
            rounds: vec![0; runs],
            over: 0,
        };
        progress.draw();
        progress
    }

    /// So many rounds of a run are done.
    pub(crate) fn round(&mut self, run: usize, done: u64) {
        self.rounds[run] = done;
        self.draw();
    }

    /// A run has ended, and how; nothing is left of its rounds.
    pub(crate) fn over(&mut self, run: usize, rounds: u64, name: &str, how: &str) {
        self.rounds[run] = rounds;
        self.over += 1;
        self.say(&format!("{}/{} {name} {how}", self.over, self.rounds.len()));
        self.draw();
    }

    /// Shows a line.
    pub(crate) fn say(&self, line: &str) {
        self.shown.say(line);
    }

    /// Shows a line that nobody may miss.
    pub(crate) fn warn(&self, line: &str) {
        self.shown.warn(line);
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        self.shown.end();
    }

    fn draw(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(self.rounds.iter().sum());
            bar.set_message(format!("{} of {} runs", self.over, self.rounds.len()));
        }
    }
}

fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
