//! What the steps of a call leave behind besides the parameters.

use crate::scores::mean;
use lyceum_core::ClientReport;

/// What the steps left behind besides the parameters. Its size depends on an epoch, not on the call.
pub(crate) struct Trace {
    /// Sum of the losses of the first epoch's worth of steps.
    first: f64,
    /// Losses of the last epoch's worth of steps, the oldest overwritten first.
    recent: Vec<f32>,
    /// Steps of one epoch.
    epoch: u64,
    /// Of the first epoch's worth of steps: sum of the squared losses of samples, and how many they were.
    squares: (f64, u64),
    pub(crate) steps: u64,
    pub(crate) trained: u64,
    pub(crate) travel: f64,
}

impl Trace {
    pub(crate) fn new(epoch: u64) -> Self {
        Self {
            first: 0.0,
            recent: Vec::with_capacity(epoch as usize),
            epoch,
            squares: (0.0, 0),
            steps: 0,
            trained: 0,
            travel: 0.0,
        }
    }

    /// Notes a step: its loss, its rows and the sum of their squared losses.
    pub(crate) fn add(&mut self, loss: f32, rows: usize, squares: f64) {
        if self.steps < self.epoch {
            self.first += f64::from(loss);
            self.squares.0 += squares;
            self.squares.1 += rows as u64;
            self.recent.push(loss);
        } else {
            self.recent[(self.steps % self.epoch) as usize] = loss;
        }
        self.steps += 1;
    }

    pub(crate) fn fill(&self, report: &mut ClientReport) {
        let mean_of = |sum: f64, n: u64| Some((sum / n as f64) as f32).filter(|m| m.is_finite());
        report.steps = self.steps;
        report.trained = self.trained;
        report.first_loss = mean_of(self.first, self.steps.min(self.epoch));
        report.last_loss = mean_of(mean(&self.recent), 1).filter(|_| self.steps > 0);
        let (squares, samples) = self.squares;
        let square = squares / samples.max(1) as f64;
        report.rms_loss = mean_of(square.sqrt(), 1).unwrap_or(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::ClientId;

    fn report(losses: &[f32]) -> ClientReport {
        let mut trace = Trace::new(2);
        // Of two samples, the loss of one is 0.
        let squares = |loss: f32| f64::from(2.0 * loss).powi(2);
        (losses.iter()).for_each(|&loss| trace.add(loss, 2, squares(loss)));
        let mut report = ClientReport::dropped_out(ClientId(0), 60, 0);
        trace.fill(&mut report);
        report
    }

    #[test]
    fn the_trace_reports_first_and_last_epoch_without_another_pass() {
        let whole = report(&[4.0, 2.0, 1.0, 1.0, 0.5, 0.25]);
        assert_eq!(
            (whole.first_loss, whole.last_loss, whole.steps),
            (Some(3.0), Some(0.375), 6)
        );
        // Squares of 8, 0, 4 and 0, whatever comes after the first epoch.
        assert_eq!(whole.rms_loss, 20.0_f32.sqrt());
        let broken_off = report(&[4.0, 2.0, 1.0]);
        assert_eq!(
            (broken_off.first_loss, broken_off.last_loss),
            (Some(3.0), Some(1.5))
        );
    }

    #[test]
    fn losses_that_are_no_numbers_are_not_reported() {
        let diverged = report(&[1.0, f32::NAN]);
        assert_eq!(
            (diverged.first_loss, diverged.last_loss, diverged.rms_loss),
            (None, None, 0.0)
        );
    }
}
