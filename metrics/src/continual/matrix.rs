//! The accuracy matrix.

/// What a learner achieved on each task after learning each task.
///
/// R(i, j) is the value on task j after task i was learned; both count from 0 in the order of
/// learning. A row of its own holds the values before any training. An entry that was not measured,
/// such as that of a task not seen yet, is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct AccuracyMatrix {
    before: Vec<Option<f64>>,
    after: Vec<Vec<Option<f64>>>,
}

/// The unit of accuracies, as their size tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0 to 1.
    Shares,
    /// Some value is beyond 1: percent, or any other score.
    Beyond,
}

impl Scale {
    /// The scale of values; `None` where none was measured.
    pub fn of<'a>(values: impl Iterator<Item = &'a Option<f64>>) -> Option<Self> {
        let largest = values.copied().flatten().map(f64::abs).reduce(f64::max)?;
        Some(match largest > 1.0 {
            true => Self::Beyond,
            false => Self::Shares,
        })
    }
}

impl AccuracyMatrix {
    /// A matrix of so many tasks with nothing measured.
    pub fn new(tasks: usize) -> Self {
        Self {
            before: vec![None; tasks],
            after: vec![vec![None; tasks]; tasks],
        }
    }

    /// A matrix from its rows, one per learned task; `None` if it is not square.
    pub fn from_rows(rows: Vec<Vec<Option<f64>>>) -> Option<Self> {
        let tasks = rows.len();
        rows.iter().all(|row| row.len() == tasks).then(|| Self {
            before: vec![None; tasks],
            after: rows,
        })
    }

    /// A matrix from its lower triangle: row i holds the values of tasks 0 to i after task i.
    /// `None` if a row is too short or too long.
    pub fn from_lower_triangle(rows: &[Vec<f64>]) -> Option<Self> {
        let mut matrix = Self::new(rows.len());
        for (i, row) in rows.iter().enumerate() {
            if row.len() != i + 1 {
                return None;
            }
            row.iter()
                .enumerate()
                .for_each(|(j, &value)| matrix.set(i, j, value));
        }
        Some(matrix)
    }

    /// The same matrix with these values before any training; `None` unless there is one per task.
    pub fn with_before(mut self, before: Vec<Option<f64>>) -> Option<Self> {
        (before.len() == self.tasks()).then(|| {
            self.before = before;
            self
        })
    }

    /// Number of tasks.
    pub fn tasks(&self) -> usize {
        self.before.len()
    }

    /// Sets the value on a task after a task was learned. Panics outside the matrix.
    pub fn set(&mut self, learned: usize, task: usize, value: f64) {
        self.after[learned][task] = Some(value);
    }

    /// Sets the value on a task before any training. Panics outside the matrix.
    pub fn set_before(&mut self, task: usize, value: f64) {
        self.before[task] = Some(value);
    }

    /// R(learned, task).
    pub fn after(&self, learned: usize, task: usize) -> Option<f64> {
        *self.after.get(learned)?.get(task)?
    }

    /// The value on a task before any training.
    pub fn before(&self, task: usize) -> Option<f64> {
        *self.before.get(task)?
    }

    /// R(task, task): the value on a task just after it was learned.
    pub fn just_learned(&self, task: usize) -> Option<f64> {
        self.after(task, task)
    }

    /// R(N - 1, task): the value on a task at the end.
    pub fn at_end(&self, task: usize) -> Option<f64> {
        self.after(self.tasks().checked_sub(1)?, task)
    }

    /// The unit of its values; shares where it has none.
    pub fn scale(&self) -> Scale {
        let rows = self.after.iter().chain([&self.before]);
        Scale::of(rows.flatten()).unwrap_or(Scale::Shares)
    }

    /// All tasks but the one learned last.
    pub(crate) fn earlier_tasks(&self) -> std::ops::Range<usize> {
        0..self.tasks().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_square() {
        assert_eq!(AccuracyMatrix::from_rows(vec![vec![None, None]]), None);
        assert_eq!(AccuracyMatrix::from_lower_triangle(&[vec![1.0, 2.0]]), None);
        assert_eq!(AccuracyMatrix::new(2).with_before(vec![None]), None);
    }

    #[test]
    fn a_scale_is_told_by_the_largest_value() {
        let scale = |value: f64| {
            AccuracyMatrix::from_lower_triangle(&[vec![value]])
                .unwrap()
                .scale()
        };
        assert_eq!([0.0, -0.5, 1.0].map(scale), [Scale::Shares; 3]);
        assert_eq!([1.5, -30.0, 97.0].map(scale), [Scale::Beyond; 3]);
        assert_eq!(Scale::of([None].iter()), None);
    }

    #[test]
    fn entries_outside_are_missing() {
        let matrix = AccuracyMatrix::from_lower_triangle(&[vec![0.5]]).unwrap();
        assert_eq!(matrix.after(0, 0), Some(0.5));
        assert_eq!(matrix.after(0, 1), None);
        assert_eq!(matrix.after(1, 0), None);
        assert_eq!(matrix.before(3), None);
        assert_eq!(AccuracyMatrix::new(0).at_end(0), None);
    }
}
