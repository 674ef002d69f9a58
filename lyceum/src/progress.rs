//! What a person sees while a run goes on. Rounds are numbered from 0, as in files; how many are done is a count.

use crate::output::{complain, counted, plain, warning};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lyceum_core::{Event, Opening, Outcome, Probe, Round, Turnout};
use std::{
    io::{IsTerminal, Write},
    time::Instant,
};

/// A bar on a terminal, plain lines otherwise, nothing if quiet.
pub(crate) struct Progress {
    shown: Shown,
    rounds: u64,
    /// Of the last evaluation, and after which round it was.
    accuracy: Option<(f64, Round)>,
    loss: Option<f64>,
    /// The last round of which a line was shown.
    told: Option<Round>,
    clients: u64,
    since: Instant,
    /// The round before had nobody to train: that was said already.
    idle: bool,
    /// A run is gone on with, and it was not said from which round.
    resumed: bool,
}

enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// Shows nothing yet.
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = Shown::new(quiet, "{bar:30} {pos} of {len} rounds, {msg}, {eta} left");
        Self {
            shown,
            rounds: 0,
            accuracy: None,
            loss: None,
            told: None,
            clients: 0,
            since: Instant::now(),
            idle: false,
            resumed: false,
        }
    }

    /// For a run that is gone on with.
    pub(crate) fn resuming(self, resumed: bool) -> Self {
        Self { resumed, ..self }
    }

    /// Shows an event.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            Event::RoundStarted { round, .. } if std::mem::take(&mut self.resumed) => {
                self.say(&format!("going on from round {round}"));
            }
            Event::RunStarted {
                name,
                rounds,
                clients,
                parameters,
                ..
            } => {
                let clients = counted(*clients, "client");
                let parameters = counted(*parameters, "parameter");
                self.begin(name, *rounds, &format!("{clients}, {parameters}"));
            }
            Event::ExpertTrained { mean_loss, .. } => {
                self.say(&format!("expert trained: mean loss {mean_loss:.4}"))
            }
            Event::RoundClosed { .. } => self.closed(event),
            Event::Client { round, report } => {
                if let Outcome::Refused(reason) = &report.outcome {
                    let client = report.client;
                    self.say(&format!("round {round}: client {client} refused: {reason}"));
                }
            }
            Event::RoundSkipped { round, reason } => {
                self.say_of(*round, &format!("the model stays as it is: {reason}"));
            }
            Event::TaskBegan(opening) => self.task_began(opening),
            Event::TaskAdded { round, task, .. } => {
                self.say_of(*round, &format!("task `{}` joins the stream", task.name));
            }
            Event::Warned { message } => self.shown.warn(message),
            Event::ClientsJoined(turnout) => self.turned_out(turnout, "joined"),
            Event::ClientsLeft(turnout) => self.turned_out(turnout, "left"),
            Event::ClientsSilent(turnout) => self.turned_out(turnout, "fell silent"),
            Event::ClientsBack(turnout) => self.turned_out(turnout, "answer again"),
            Event::SettingsChanged { round, set } => {
                let changes = set.iter().map(|(key, value)| format!("{key} = {value}"));
                let changes = changes.collect::<Vec<_>>().join(", ");
                self.say_of(*round, &format!("from now on {changes}"));
            }
            Event::NobodySelected { round, present } => self.nobody(*round, *present),
            Event::Evaluated {
                probe: Probe::Test,
                accuracy,
                round,
                ..
            } => self.judged(*accuracy, *round),
            Event::Timing { round, .. } => self.step(*round),
            Event::Paused { .. } | Event::Stalled { .. } | Event::RunFinished { .. } => self.end(),
            // What is not for the screen is in the log.
            _ => {}
        }
    }

    fn say_of(&self, round: Round, what: &str) {
        self.say(&format!("round {round}: {what}"));
    }

    fn begin(&mut self, name: &str, rounds: u64, what: &str) {
        self.rounds = rounds;
        self.since = Instant::now();
        if let Shown::Bar(bar) = &self.shown {
            bar.set_length(rounds);
        }
        self.say(&format!("{name}: {}, {what}", counted(rounds, "round")));
    }

    fn closed(&mut self, event: &Event) {
        let Event::RoundClosed {
            train_loss,
            cohort,
            accepted,
            refused,
            round,
            ..
        } = event
        else {
            return;
        };
        self.loss = *train_loss;
        self.clients += accepted;
        if *refused > 0 {
            self.say(&format!("round {round}: {refused} updates refused"));
        }
        let silent = *cohort > 0 && accepted + refused == 0;
        if silent && !self.idle {
            self.say(&format!(
                "warning: round {round}: none of the {cohort} selected clients answered; the model stays as it is"
            ));
        }
        self.idle = accepted + refused == 0;
    }

    fn turned_out(&self, turnout: &Turnout, what: &str) {
        let Turnout {
            round,
            clients,
            present,
            ..
        } = turnout;
        let noun = if *clients == 1 { "client" } else { "clients" };
        self.say(&format!(
            "round {round}: {clients} {noun} {what}; {present} are there"
        ));
        if *present == 0 {
            self.say(&format!(
                "warning: round {round}: all clients have left; nobody trains any more unless some join"
            ));
        }
    }

    fn nobody(&self, round: Round, present: u64) {
        if self.idle {
            return;
        }
        let why = match present {
            0 => "no client is there".to_string(),
            _ => format!("the selection wants none of the {present} clients that are there"),
        };
        self.say(&format!(
            "warning: round {round}: nobody is selected, since {why}; the model stays as it is"
        ));
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
            "round {round}: task {task} comes, accuracy {accuracy:.4} on the one before{why}"
        ));
    }

    /// The last model may be judged when its round has been told already.
    fn judged(&mut self, accuracy: f64, round: Round) {
        self.accuracy = Some((accuracy, round));
        if self.told == Some(round) {
            self.say_of(round, &self.figures(round));
        }
    }

    fn step(&mut self, round: Round) {
        self.told = Some(round);
        let done = round.0 + 1;
        let rate = self.clients as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        let figures = format!("{}, {rate:.0} clients/s", self.figures(round));
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(figures);
            }
            Shown::Lines => {
                let rounds = self.rounds;
                self.say(&format!(
                    "round {round}: {figures}, {done} of {rounds} done"
                ));
            }
            Shown::Nothing => {}
        }
    }

    /// What the model is worth, and on what: one figure is of tests, the other of training.
    fn figures(&self, round: Round) -> String {
        let accuracy = match self.accuracy {
            None => "-".into(),
            Some((accuracy, at)) if at == round => format!("{:.2} %", 100.0 * accuracy),
            Some((accuracy, at)) => format!("{:.2} % (round {at})", 100.0 * accuracy),
        };
        let loss = match self.loss {
            None => "-".into(),
            Some(loss) if loss.is_finite() => format!("{loss:.4}"),
            Some(loss) => format!("{loss} (training diverged)"),
        };
        format!("test accuracy {accuracy}, training loss {loss}")
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
        let line = plain(line);
        match self {
            Self::Bar(bar) => bar.println(line),
            // A closed pipe is no reason to stop a run.
            Self::Lines => drop(writeln!(std::io::stderr(), "{line}")),
            Self::Nothing => {}
        }
    }

    /// Shows a line that nobody may miss.
    fn warn(&self, message: &str) {
        let line = plain(&warning(message)).into_owned();
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
