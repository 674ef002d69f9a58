//! How much each task counts: a preference over tasks.

use lyceum_core::{
    TaskId,
    units::{Misfit, NonNegative},
};

/// Numbers for tasks in the order of their definition; those of tasks beyond the list are 0.
#[derive(Clone, Copy)]
pub(super) struct TaskWeights<'a>(pub(super) &'a [NonNegative]);

impl TaskWeights<'_> {
    /// What is wrong where nothing counts.
    pub(super) fn misfit(self) -> Option<Misfit> {
        let nothing = self.0.iter().all(|weight| weight.get() == 0.0);
        nothing.then(|| Misfit {
            key: "weights".into(),
            message: "no task counts".into(),
            expected: "a number above 0 for at least one task".into(),
        })
    }

    /// The number of a task.
    pub(super) fn of(self, task: TaskId) -> f64 {
        self.0.get(task.0 as usize).map_or(0.0, |w| w.get())
    }

    /// The number of a task, where the mean over all listed is 1.
    pub(super) fn relative(self, task: TaskId) -> f64 {
        let sum: f64 = self.0.iter().map(|weight| weight.get()).sum();
        self.of(task) * self.0.len() as f64 / sum
    }

    /// Shares of these tasks, which sum to 1; all 0 where none of them counts.
    pub(super) fn shares(self, tasks: &[TaskId]) -> Vec<f64> {
        let sum: f64 = tasks.iter().map(|task| self.of(*task)).sum();
        let share = |task: &TaskId| match sum > 0.0 {
            true => self.of(*task) / sum,
            false => 0.0,
        };
        tasks.iter().map(share).collect()
    }

    /// A weight for each row, given its task, so that the sum over rows of weight times loss is the mean of the tasks' mean losses
    /// by their shares.
    pub(super) fn of_rows(self, rows: &[TaskId]) -> Vec<f64> {
        let mut tasks = rows.to_vec();
        tasks.sort_unstable();
        tasks.dedup();
        let shares = self.shares(&tasks);
        let each = tasks.iter().zip(shares).map(|(task, share)| {
            let count = rows.iter().filter(|row| *row == task).count();
            share / count as f64
        });
        let each: Vec<f64> = each.collect();
        let of = |row: &TaskId| tasks.binary_search(row).map_or(0.0, |place| each[place]);
        rows.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_have_their_shares_whatever_the_number_of_their_rows() {
        let weights = [3.0, 1.0, 0.0].map(|w| NonNegative::new(w).unwrap());
        let weights = TaskWeights(&weights);
        let rows = [0, 1, 1, 0, 2, 1, 1].map(TaskId);
        assert_eq!(
            weights.of_rows(&rows),
            [0.375, 0.0625, 0.0625, 0.375, 0.0, 0.0625, 0.0625]
        );
        assert_eq!(weights.shares(&[TaskId(1), TaskId(2)]), [1.0, 0.0]);
        assert_eq!(weights.shares(&[TaskId(2), TaskId(9)]), [0.0, 0.0]);
        assert_eq!(weights.relative(TaskId(0)), 2.25);
        assert!(weights.misfit().is_none() && TaskWeights(&[]).misfit().is_some());
    }
}
