use super::{LARGEST_VALUE, SumError, is_large};
use crate::{Layout, Role, wide};
use serde::{Deserialize, Serialize};
use std::{ops::Range, sync::Arc};

/// How many values the vectors of a sum have, and which of them may be 2^20 or more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    len: usize,
    /// Ranges of running statistics, in ascending order, apart from each other.
    wide: Arc<[Range<usize>]>,
}

impl From<usize> for Grid {
    /// So many values, all of them below 2^20.
    fn from(len: usize) -> Self {
        let wide = Arc::default();
        Self { len, wide }
    }
}

impl From<&Layout> for Grid {
    fn from(layout: &Layout) -> Self {
        let wide = layout.ranges(|role| role == Role::Statistic).into();
        let len = layout.len();
        Self { len, wide }
    }
}

impl From<&Grid> for Grid {
    fn from(grid: &Grid) -> Self {
        grid.clone()
    }
}

impl Grid {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether all values may be summed.
    pub(super) fn check(&self, values: &[f32]) -> Result<(), SumError> {
        // One pass without a branch for the usual case; the index is looked up only where a value is large.
        let all_good = wide(
            #[inline(always)]
            || {
                values
                    .iter()
                    .fold(true, |good, v| good & (v.abs() < LARGEST_VALUE))
            },
        );
        if all_good {
            return Ok(());
        }
        let is_small = |value: f32| value.abs() < LARGEST_VALUE;
        let bad = |&(index, value): &(usize, &f32)| {
            let fits = is_small(*value) || value.is_finite() && self.is_wide(index);
            !fits
        };
        match values.iter().enumerate().find(bad) {
            Some((index, &value)) => Err(SumError::Value { index, value }),
            None => Ok(()),
        }
    }

    /// Whether one of the statistics is 2^20 or more.
    pub(super) fn has_large(&self, values: &[f32]) -> bool {
        let mut statistics = self.wide.iter().flat_map(|at| &values[at.clone()]);
        statistics.any(|&value| is_large(value))
    }

    /// Number of statistics.
    pub(super) fn slot_count(&self) -> usize {
        self.wide.iter().map(Range::len).sum()
    }

    /// Each statistic in a range of places: its place, and its number among all statistics.
    pub(super) fn slots(&self, at: Range<usize>) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (ranges, mut before) = (self.wide.clone(), 0);
        let ranges = (0..ranges.len()).map(move |index| {
            let range = ranges[index].clone();
            let first = before;
            before += range.len();
            (range, first)
        });
        ranges.flat_map(move |(range, first)| {
            let places = range.start.max(at.start)..range.end.min(at.end);
            places.map(move |place| (place, first + place - range.start))
        })
    }

    fn is_wide(&self, index: usize) -> bool {
        self.wide.iter().any(|range| range.contains(&index))
    }
}
