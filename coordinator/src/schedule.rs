//! When a flight closes: a ticket's work of one stage, from when it goes out to when nothing more is waited for.

use lyceum_core::Work;
use std::fmt;

/// The window in which a round closes without everybody. Times are microseconds since the cohort's work went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The round closes, if `min_clients` have answered.
    pub after: u64,
    /// Clients that must have answered.
    pub min_clients: usize,
    /// The round closes early when so many have answered.
    pub enough_clients: Option<usize>,
    /// It does not close early before.
    pub min: u64,
    /// The run stops, if too few have answered.
    pub give_up: u64,
}

/// What a schedule sees of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightView {
    /// What its units are asked to do.
    pub work: Work,
    /// Units that are not answered.
    pub pending: usize,
    /// Clients whose work counts so far.
    pub answered: usize,
}

/// What is to be done with a flight as time passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Wait on.
    Wait,
    /// Close it without who has not answered. What that depends on is the order of things in time, so it is written down
    /// before it counts.
    Close,
    /// The run cannot go on for now, for this reason.
    GiveUp(String),
}

/// Decides when flights close.
pub trait Schedule: fmt::Debug + Send + Sync {
    /// Whether what has come is enough. Asked whenever something came; it knows no time, so the order of uploads in the
    /// journal is all that is needed to decide the same again.
    fn is_full(&self, flight: &FlightView) -> bool {
        flight.pending == 0
    }

    /// Microseconds after the work went out when the [verdict](Self::verdict) may change although nothing came.
    fn deadline(&self, flight: &FlightView) -> Option<u64>;

    /// What is to be done so many microseconds after the work went out.
    fn verdict(&self, elapsed: u64, flight: &FlightView) -> Verdict;

    /// Whether flights may close without everybody.
    fn may_close_early(&self) -> bool;
}

/// A round is one flight for each of its models, and closes when all have answered, or as `deadline.close` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synchronous(pub Option<Closing>);

impl Schedule for Synchronous {
    fn deadline(&self, flight: &FlightView) -> Option<u64> {
        let closing = self.0?;
        match flight.work {
            Work::Expert => return None,
            Work::Evaluate => return Some(closing.give_up),
            Work::Score | Work::Train => {}
        }
        Some(match closing.enough_clients {
            Some(enough) if flight.answered >= enough => closing.min.min(closing.after),
            _ if flight.answered >= closing.min_clients => closing.after,
            _ => closing.give_up,
        })
    }

    fn verdict(&self, elapsed: u64, flight: &FlightView) -> Verdict {
        let (Some(closing), Some(due)) = (self.0, self.deadline(flight)) else {
            return Verdict::Wait;
        };
        if elapsed < due {
            return Verdict::Wait;
        }
        let seconds = closing.give_up / 1_000_000;
        let (answered, pending) = (flight.answered, flight.pending);
        match flight.work {
            // A model is judged on all samples or not at all.
            Work::Evaluate => Verdict::GiveUp(format!(
                "after {seconds} s (deadline.close.give_up_s) no node had answered {pending} {} of the evaluation",
                if pending == 1 { "unit" } else { "units" },
            )),
            work if answered < closing.min_clients => {
                let done = match work {
                    Work::Score => "had scored their samples",
                    _ => "had answered",
                };
                let clients = if answered == 1 { "client" } else { "clients" };
                Verdict::GiveUp(format!(
                    "after {seconds} s only {answered} {clients} {done}, deadline.close.min_clients is {}",
                    closing.min_clients
                ))
            }
            _ => Verdict::Close,
        }
    }

    fn may_close_early(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSING: Closing = Closing {
        after: 20,
        min_clients: 2,
        enough_clients: Some(4),
        min: 10,
        give_up: 3_000_000,
    };

    fn view(work: Work, pending: usize, answered: usize) -> FlightView {
        FlightView {
            work,
            pending,
            answered,
        }
    }

    #[test]
    fn scoring_and_training_close_without_the_late_once_enough_have_answered() {
        let rule = Synchronous(Some(CLOSING));
        for work in [Work::Score, Work::Train] {
            let (few, some, enough) = (view(work, 5, 1), view(work, 4, 2), view(work, 2, 4));
            assert_eq!(rule.deadline(&some), Some(20));
            assert_eq!(rule.verdict(19, &some), Verdict::Wait);
            assert_eq!(rule.verdict(20, &some), Verdict::Close);
            assert_eq!(rule.verdict(10, &enough), Verdict::Close);
            assert_eq!(rule.verdict(2_999_999, &few), Verdict::Wait);
            let Verdict::GiveUp(reason) = rule.verdict(3_000_000, &few) else {
                panic!("one client is too few");
            };
            assert!(reason.starts_with("after 3 s only 1 client "), "{reason}");
        }
    }

    #[test]
    fn an_evaluation_is_whole_or_given_up() {
        let rule = Synchronous(Some(CLOSING));
        let flight = view(Work::Evaluate, 1, 0);
        assert_eq!(rule.verdict(2_999_999, &flight), Verdict::Wait);
        assert!(matches!(
            rule.verdict(3_000_000, &flight),
            Verdict::GiveUp(_)
        ));
    }

    #[test]
    fn without_a_deadline_everybody_is_waited_for() {
        let rule = Synchronous(None);
        let flight = view(Work::Train, 1, 9);
        assert_eq!(rule.deadline(&flight), None);
        assert_eq!(rule.verdict(u64::MAX, &flight), Verdict::Wait);
        assert!(!rule.is_full(&flight) && rule.is_full(&view(Work::Train, 0, 9)));
    }
}
