//! Ctrl-C and SIGTERM: the first asks for an end that can be gone on from, the second ends the process.

use crate::{
    codes::{INTERRUPTED, UNFINISHED},
    failure::Failure,
};
use std::{
    fmt::Display,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

/// Whether somebody asked for an end, and how.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    notify: Arc<Notify>,
    by_ctrl_c: Arc<AtomicBool>,
}

impl Stop {
    /// Watches from now on.
    pub(crate) fn watch() -> Result<Self, Failure> {
        let stop = Self::default();
        let told = stop.clone();
        ctrlc::set_handler(move || told.ask(true)).map_err(cannot)?;
        let runtime = Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(cannot)?;
        let signals = {
            let _inside = runtime.enter();
            Terminations::new().map_err(cannot)?
        };
        let told = stop.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || told.listen(&runtime, signals))
            .map_err(cannot)?;
        Ok(stop)
    }

    /// Ends the process when its standard input ends. A process that started this one holds the other end, and the system closes
    /// that however the process ends: a signal from it would not be sent if it was killed.
    pub(crate) fn with_stdin(&self) -> Result<(), Failure> {
        let told = self.clone();
        let wait = move || {
            // Nothing is said there; an error is an end as well.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            told.ask(false);
        };
        let waiting = thread::Builder::new().name("leash".into()).spawn(wait);
        waiting.map(drop).map_err(cannot)
    }

    fn listen(&self, runtime: &Runtime, mut signals: Terminations) {
        loop {
            runtime.block_on(signals.next());
            self.ask(false);
        }
    }

    fn ask(&self, by_ctrl_c: bool) {
        if self.asked.load(Ordering::Relaxed) {
            exit(if by_ctrl_c { INTERRUPTED } else { UNFINISHED }.into());
        }
        self.by_ctrl_c.store(by_ctrl_c, Ordering::Relaxed);
        self.asked.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// True once somebody asked.
    pub(crate) fn flag(&self) -> &Arc<AtomicBool> {
        &self.asked
    }

    /// Done once somebody asked.
    pub(crate) async fn asked(&self) {
        self.notify.notified().await;
    }

    /// Whether it was Ctrl-C.
    pub(crate) fn by_ctrl_c(&self) -> bool {
        self.by_ctrl_c.load(Ordering::Relaxed)
    }

    /// What came of a command that could be stopped: where Ctrl-C did it, the exit code says so.
    pub(crate) fn settle<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        match result {
            Err(Failure::Unfinished(text)) if self.by_ctrl_c() => Err(Failure::Interrupted(text)),
            result => result,
        }
    }
}

fn cannot(error: impl Display) -> Failure {
    Failure::other(format!("cannot watch for signals: {error}"))
}

/// What a system sends to a process that is to end.
struct Terminations {
    terminate: Signal,
    hang_up: Signal,
}

impl Terminations {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
