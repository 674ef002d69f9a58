//! Which run of a sweep is next, and whether there is memory to begin it beside the others.

use lyceum_metrics::{Summary, available_mib, peak_rss_mib, rss_mib};
use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How often it is seen whether there is memory, or a wish to stop.
const LOOK: Duration = Duration::from_millis(200);

/// How a run of a sweep ended.
pub(crate) enum Outcome {
    /// It was not begun.
    Waiting,
    /// It was run, or had been; perhaps it is paused.
    Over(Box<Summary>),
    /// It stopped for this reason, and can be gone on with.
    Held(String),
    /// It cannot be run to its end, for this reason.
    Failed(String),
}

/// The runs of a sweep in their order.
///
/// The first run that trains is alone until its first round is over. By how much memory has grown until then, so much
/// has to be available before another one begins beside those that run.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    outcomes: Vec<Outcome>,
    next: usize,
    /// Runs that have begun and are not over: each with whether its first round is over.
    running: Vec<(usize, bool)>,
    /// Resident memory when the run that is alone began.
    before_mib: f64,
    /// What a run needs, once it is known.
    need_mib: Option<f64>,
    held: bool,
}

impl Queue {
    /// A queue of this many runs.
    pub(crate) fn new(runs: usize) -> Self {
        let state = State {
            outcomes: (0..runs).map(|_| Outcome::Waiting).collect(),
            next: 0,
            running: Vec::new(),
            before_mib: 0.0,
            need_mib: None,
            held: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Waits until another run may begin, and says which; `None` when all have, or when `stop` is true. `say` gets a
    /// sentence when memory holds one back for the first time.
    pub(crate) fn next(&self, stop: &AtomicBool, say: &dyn Fn(String)) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if stop.load(Ordering::Relaxed) || state.next == state.outcomes.len() {
                return None;
            }
            if state.admits(available_mib()) {
                return Some(state.begin(rss_mib()));
            }
            if let Some(sentence) = state.held_back(available_mib()) {
                say(sentence);
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A run's first round is over, so it has the memory that it needs.
    pub(crate) fn grown(&self, index: usize) {
        if self.lock().grown(index, peak_rss_mib()) {
            self.changed.notify_all();
        }
    }

    /// A run is over.
    pub(crate) fn settle(&self, index: usize, outcome: Outcome) {
        let mut state = self.lock();
        state.running.retain(|(running, _)| *running != index);
        state.outcomes[index] = outcome;
        self.changed.notify_all();
    }

    /// How all runs ended.
    pub(crate) fn outcomes(self) -> Vec<Outcome> {
        let state = self.state.into_inner();
        state.unwrap_or_else(PoisonError::into_inner).outcomes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Memory that has to be available for one more, that of runs which are still growing included.
    fn wanted_mib(&self) -> Option<f64> {
        let growing = self.running.iter().filter(|(_, grown)| !grown).count();
        Some(self.need_mib? * (1 + growing) as f64)
    }

    fn admits(&self, available_mib: Option<f64>) -> bool {
        match (self.wanted_mib(), available_mib) {
            _ if self.running.is_empty() => true,
            (None, _) => false,
            (Some(wanted), Some(available)) => available >= wanted,
            (Some(_), None) => true,
        }
    }

    fn held_back(&mut self, available_mib: Option<f64>) -> Option<String> {
        let (wanted, available) = (self.wanted_mib()?, available_mib?);
        let first = !std::mem::replace(&mut self.held, true);
        let running = self.running.len();
        first.then(|| {
            format!(
                "only {running} at a time for now: another run needs about {wanted:.0} MiB, {available:.0} MiB are available"
            )
        })
    }

    fn begin(&mut self, rss_mib: f64) -> usize {
        let index = self.next;
        self.next += 1;
        if self.running.is_empty() {
            self.before_mib = rss_mib;
        }
        self.running.push((index, false));
        index
    }

    /// Returns whether this is news.
    fn grown(&mut self, index: usize, peak_mib: f64) -> bool {
        let alone = self.running.len() == 1;
        let Some((_, grown)) = self.running.iter_mut().find(|(i, _)| *i == index) else {
            return false;
        };
        if std::mem::replace(grown, true) {
            return false;
        }
        if alone && self.need_mib.is_none() {
            self.need_mib = Some((peak_mib - self.before_mib).max(1.0));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> State {
        let queue = Queue::new(9);
        let mut state = queue.state.into_inner().unwrap();
        assert!(state.admits(Some(0.0)), "one run always may");
        assert_eq!(state.begin(100.0), 0);
        state
    }

    #[test]
    fn the_first_run_is_alone_until_it_is_known_what_it_needs() {
        let mut state = begun();
        assert!(!state.admits(Some(1e9)));
        assert!(state.grown(0, 350.0));
        assert!(!state.grown(0, 900.0), "only the first round counts");
        assert_eq!(state.need_mib, Some(250.0));
        assert!(state.admits(Some(250.0)));
        assert!(!state.admits(Some(249.0)));
        assert!(state.admits(None), "a system that does not say");
    }

    #[test]
    fn runs_that_are_still_growing_are_reckoned_with() {
        let mut state = begun();
        state.grown(0, 350.0);
        assert_eq!(state.begin(350.0), 1);
        assert!(!state.admits(Some(499.0)));
        assert!(state.admits(Some(500.0)));
        assert!(state.grown(1, 600.0));
        assert_eq!(state.need_mib, Some(250.0));
        assert!(state.admits(Some(250.0)));
    }

    #[test]
    fn holding_back_is_said_once() {
        let mut state = begun();
        assert_eq!(state.held_back(Some(10.0)), None, "nothing is known yet");
        state.grown(0, 350.0);
        let said = state.held_back(Some(10.0)).unwrap();
        assert!(said.contains("250 MiB, 10 MiB"), "{said}");
        assert_eq!(state.held_back(Some(10.0)), None);
    }

    #[test]
    fn a_stopped_queue_gives_nothing_out() {
        let queue = Queue::new(2);
        let stop = AtomicBool::new(false);
        assert_eq!(queue.next(&stop, &|_| {}), Some(0));
        queue.settle(0, Outcome::Failed("x".into()));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(queue.next(&stop, &|_| {}), None);
        let outcomes = queue.outcomes();
        assert!(matches!(
            outcomes[..],
            [Outcome::Failed(_), Outcome::Waiting]
        ));
    }
}
