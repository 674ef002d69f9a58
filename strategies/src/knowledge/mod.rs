//! A knowledge base of posteriors that answers any preference over tasks without training (IBCL: Lu, Caprio, Eaton, Lee, arXiv
//! 2305.14782).
//!
//! Every task is learned with several priors; the posteriors are the corners of a set of distributions. A preference over
//! tasks is a point in it: a weighted sum of posteriors, and around it a region of high density to draw models from.

mod combination;
mod distance;
mod region;
mod rule;
#[cfg(test)]
mod tests;

pub use combination::{CombineOn, Combined, combine};
pub use distance::Distance;
pub use region::{Region, RegionKind, chi_squared_quantile, normal_quantile};
pub use rule::{Beginning, Ibcl, Knowledge, Point};

use std::fmt;

/// How far the sum of a preference may be from 1.
const SLACK: f64 = 1e-6;

/// Why weights are no preference over tasks.
#[derive(Clone, Debug, PartialEq)]
pub enum PreferenceFault {
    /// There is not one weight a task.
    Length {
        /// Weights.
        got: usize,
        /// Tasks that have been learned.
        want: usize,
    },
    /// A weight is negative, infinite or not a number.
    Weight {
        /// Which one.
        place: usize,
        /// Its value.
        value: f64,
    },
    /// The weights do not sum to 1.
    Sum(f64),
}

impl fmt::Display for PreferenceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { got, want } => write!(
                f,
                "a preference has one weight for each task that was learned: expected {want}, found {got}"
            ),
            Self::Weight { place, value } => write!(
                f,
                "weight {place} of the preference is {value}: expected a number from 0 to 1"
            ),
            Self::Sum(sum) => {
                // Without the rounding of the additions.
                let sum = format!("{sum:.6}");
                let sum = sum.trim_end_matches('0').trim_end_matches('.');
                write!(
                    f,
                    "the weights of the preference sum to {sum}: expected 1, such as 0.2,0.5,0.3"
                )
            }
        }
    }
}

impl std::error::Error for PreferenceFault {}

/// Whether weights are a preference over so many tasks.
pub fn check_preference(weights: &[f64], tasks: usize) -> Result<(), PreferenceFault> {
    if weights.len() != tasks {
        let got = weights.len();
        return Err(PreferenceFault::Length { got, want: tasks });
    }
    let wrong = (0..)
        .zip(weights)
        .find(|(_, w)| !w.is_finite() || **w < 0.0);
    if let Some((place, &value)) = wrong {
        return Err(PreferenceFault::Weight { place, value });
    }
    let sum: f64 = weights.iter().sum();
    match (sum - 1.0).abs() <= SLACK {
        true => Ok(()),
        false => Err(PreferenceFault::Sum(sum)),
    }
}
