//! Easy, medium and hard: percentiles over the samples of all tasks.

use crate::{
    StoreError,
    index::Index,
    rows::{TaskRow, key},
    sample::Difficulty,
};
use serde::{Deserialize, Serialize};

/// Values that fall into one place of the first pass.
const SHIFT: u32 = 48;

/// Where easy and medium end, over the samples of all tasks at a version. A sample counts in every task that has it, as published.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bins {
    /// Grows with every fact that may change difficulties.
    pub version: u64,
    /// Samples with a number.
    pub known: u64,
    /// Samples without one.
    pub unknown: u64,
    /// Samples harder than every number.
    pub infinite: u64,
    /// What is no harder is easy; unknown where no difficulty is known.
    pub easy: Difficulty,
    /// What is no harder, and not easy, is medium.
    pub medium: Difficulty,
}

/// What becomes of samples whose difficulty nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// They are spread over the three bins of their task, one after another, as published.
    Spread,
    /// They are in no bin.
    LeftOut,
}

/// Samples of a task by bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Up to the first percentile.
    pub easy: u64,
    /// Up to the second.
    pub medium: u64,
    /// Beyond it.
    pub hard: u64,
}

/// The percentiles of LeanAgent (section 3.1 of arXiv 2410.06209).
pub const PERCENTILES: [f64; 2] = [0.33, 0.67];

impl Bins {
    /// Over all tasks, in two passes and memory that does not grow with them.
    ///
    /// A percentile is the sample at place `floor(share * (n - 1))` of all that are known, in order. Nothing lies between it and the number
    /// that interpolation gives, so bins are the same; but an infinite sample is never taken into a bin by interpolation towards it.
    pub(crate) fn compute(
        index: &Index,
        version: u64,
        shares: [f64; 2],
    ) -> Result<Self, StoreError> {
        let mut places = vec![0_u64; 1 << (64 - SHIFT)];
        let mut infinite = 0;
        each(index, key::DIFFICULTIES, |ordered, count| {
            places[(ordered >> SHIFT) as usize] += count;
            if Difficulty::from_ordered(ordered) == Difficulty::Infinite {
                infinite += count;
            }
        })?;
        let all: u64 = places.iter().sum();
        let mut unknown = 0;
        for row in index.rows(key::TASKS, None) {
            unknown += index.decoded::<TaskRow>(&row?.1)?.unknown;
        }
        let mut ends = [Difficulty::Unknown; 2];
        for (end, share) in ends.iter_mut().zip(shares) {
            if all > 0 {
                *end = at(index, &places, (share * (all - 1) as f64) as u64)?;
            }
        }
        Ok(Self {
            version,
            known: all - infinite,
            unknown,
            infinite,
            easy: ends[0],
            medium: ends[1],
        })
    }

    /// The samples of a task by bin.
    pub(crate) fn counts(
        &self,
        index: &Index,
        (task, row): (u32, &TaskRow),
        unknown: Unknown,
    ) -> Result<Counts, StoreError> {
        let ends = [self.easy, self.medium].map(Difficulty::ordered);
        let mut counts = Counts::default();
        each(index, &key::difficulties(task), |ordered, count| {
            let bin = match Some(ordered) {
                value if value <= ends[0] => &mut counts.easy,
                value if value <= ends[1] => &mut counts.medium,
                _ => &mut counts.hard,
            };
            *bin += count;
        })?;
        if unknown == Unknown::Spread {
            counts.easy += row.unknown.div_ceil(3);
            counts.medium += (row.unknown + 1) / 3;
            counts.hard += row.unknown / 3;
        }
        Ok(counts)
    }
}

/// The value at a place of all in order.
fn at(index: &Index, places: &[u64], place: u64) -> Result<Difficulty, StoreError> {
    let mut before = 0;
    let coarse = places.iter().position(|count| {
        before += count;
        before > place
    });
    let coarse = coarse.ok_or_else(|| index.damaged("difficulties are fewer than were counted"))?;
    let mut left = place - (before - places[coarse]);
    let mut fine = std::collections::BTreeMap::<u64, u64>::new();
    each(index, key::DIFFICULTIES, |ordered, count| {
        if (ordered >> SHIFT) as usize == coarse {
            *fine.entry(ordered).or_default() += count;
        }
    })?;
    let found = fine.into_iter().find(|(_, count)| {
        let here = left < *count;
        left = left.saturating_sub(*count);
        here
    });
    let (ordered, _) =
        found.ok_or_else(|| index.damaged("difficulties changed while they were read"))?;
    Ok(Difficulty::from_ordered(ordered))
}

fn each(index: &Index, prefix: &[u8], mut take: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    for row in index.rows(prefix, None) {
        let (at, bytes) = row?;
        let ordered = key::last_number(&at).ok_or_else(|| index.damaged("a key is too short"))?;
        take(ordered, index.decoded(&bytes)?);
    }
    Ok(())
}
