//! Cyclical curricula.

use super::Order;
use lyceum_core::{Round, units::PositiveFraction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shares of the data that climb from `start` to `end` by a factor, go down again, and so on
/// (Kesgin & Amasyali 2022; one phase per round). The defaults give 0.25, 0.5, 1, 0.5, 0.25, ...
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cyclical {
    /// The smallest share, above 0 up to 1; default 0.25.
    pub start: PositiveFraction,
    /// The largest share, from `start` up to 1; default 1.
    pub end: PositiveFraction,
    /// Factor from a share to the next smaller one, above 0 and below 1; default 0.5.
    pub factor: PositiveFraction,
}

impl Default for Cyclical {
    fn default() -> Self {
        let fraction = |v| PositiveFraction::new(v).expect("defaults are in range");
        Self {
            start: fraction(0.25),
            end: fraction(1.0),
            factor: fraction(0.5),
        }
    }
}

impl Cyclical {
    /// The shares of the phases, without end.
    pub fn sizes(&self) -> impl Iterator<Item = f64> + use<> {
        let (start, end, factor) = (self.start.get(), self.end.get(), self.factor.get());
        let first = (start, true);
        let phases = std::iter::successors(Some(first), move |&(share, climbing)| {
            let climbs = share <= start || (climbing && share < end);
            let next = if climbs {
                (share / factor).min(end)
            } else {
                (share * factor).max(start)
            };
            Some((next, climbs))
        });
        phases.map(|(share, _)| share)
    }

    /// The share of one round.
    pub fn fraction_of_round(&self, round: Round) -> f64 {
        let index = usize::try_from(round.0).unwrap_or(usize::MAX);
        self.sizes().nth(index).unwrap_or(1.0)
    }
}

/// The weights with which a phase draws its samples, from their losses: `1 / loss` for curriculum
/// ("easy"), the loss for anti-curriculum ("hard"), 1 for every other order.
///
/// A loss of 0 gets an infinite weight in the first case and 0 in the second.
pub fn cycle_weights(order: Order, losses: &[f32]) -> Vec<f64> {
    let losses = losses.iter().map(|&l| f64::from(l.max(0.0)));
    match order {
        Order::Curriculum => losses.map(f64::recip).collect(),
        Order::AntiCurriculum => losses.collect(),
        _ => vec![1.0; losses.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(start: f64, end: f64, factor: f64) -> Vec<f64> {
        let fraction = |v| PositiveFraction::new(v).unwrap();
        let cycle = Cyclical {
            start: fraction(start),
            end: fraction(end),
            factor: fraction(factor),
        };
        cycle.sizes().take(9).collect()
    }

    #[test]
    fn the_defaults_are_those_of_the_paper() {
        let cycle = Cyclical::default();
        let want = [0.25, 0.5, 1.0, 0.5, 0.25, 0.5, 1.0, 0.5, 0.25];
        assert!(cycle.sizes().take(9).eq(want));
        assert_eq!(cycle.fraction_of_round(Round(0)), 0.25);
        assert_eq!(cycle.fraction_of_round(Round(402)), 1.0);
    }

    /// Both ends are met exactly even where the factor does not lead there.
    #[test]
    fn ends_are_clipped() {
        let want = [0.375, 0.75, 1.0, 0.5, 0.375, 0.75, 1.0, 0.5, 0.375];
        assert_eq!(cycle(0.375, 1.0, 0.5), want);
        assert_eq!(cycle(0.5, 0.5, 0.5), [0.5; 9]);
        assert_eq!(cycle(0.25, 1.0, 1.0), [0.25; 9]);
        assert_eq!(cycle(0.5, 0.25, 0.5)[1..], [0.25; 8]);
    }

    /// Volume matching: 30 epochs become 54 phases, 48 become 86.
    #[test]
    fn volume_matching_needs_the_published_number_of_phases() {
        let phases = |epochs: f64| {
            let mut seen = 0.0;
            let short = |share: &f64| {
                let go_on = seen < epochs;
                seen += share;
                go_on
            };
            Cyclical::default().sizes().take_while(short).count()
        };
        assert_eq!((phases(30.0), phases(48.0)), (54, 86));
    }

    #[test]
    fn weights_are_easy_hard_or_even() {
        let losses = [0.5, 0.0, 4.0];
        assert_eq!(
            cycle_weights(Order::Curriculum, &losses),
            [2.0, f64::INFINITY, 0.25]
        );
        assert_eq!(
            cycle_weights(Order::AntiCurriculum, &losses),
            [0.5, 0.0, 4.0]
        );
        assert_eq!(cycle_weights(Order::Random, &losses), [1.0; 3]);
    }
}
