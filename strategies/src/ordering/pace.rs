//! How much of an order is in use.

use super::Cyclical;
use lyceum_core::{
    Round,
    units::{Fraction, PositiveFraction},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the part of an order that is in use grows (Vahidian et al. 2023 and Wu et al. 2021, pacing
/// functions; the last one: Kesgin & Amasyali 2022).
///
/// With N items, T steps in all, the starting share b and the full share a, after t steps and with
/// x = t / (aT):
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Everything from the start.
    All(AllAtOnce),
    /// bN + (N - bN) x
    Linear(Ramp),
    /// bN + (N - bN) x^2
    Quadratic(Ramp),
    /// bN + (N - bN) sqrt(x)
    Root(Ramp),
    /// bN, and N once x reaches 1
    Step(Ramp),
    /// bN + (N - bN) (exp(10 x) - 1) / (exp(10) - 1)
    Exponential(Ramp),
    /// bN + (N - bN) (1 + 0.1 ln(x + exp(-10)))
    Logarithmic(Ramp),
    /// One size per round, up and down; the steps within a call do not matter.
    Cyclical(Cyclical),
}

/// Everything from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllAtOnce {}

/// Growth from a starting share to everything.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ramp {
    /// Share of the items in use at first (b), from 0 to 1; default 0.2.
    pub start: Fraction,
    /// Share of the steps after which all items are in use (a), above 0 up to 1; default 0.8.
    pub full_at: PositiveFraction,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            start: Fraction::new(0.2).expect("defaults are in range"),
            full_at: PositiveFraction::new(0.8).expect("defaults are in range"),
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::All(AllAtOnce {})
    }
}

impl Pace {
    /// How many of `n` items are in use after `t` of `total` steps (or client updates) in `round`:
    /// the table, truncated and clipped to 1 up to `n`. Nothing of nothing.
    pub fn size(&self, t: f64, total: f64, round: Round, n: usize) -> usize {
        let growth: fn(f64) -> f64 = match self {
            Self::All(_) => return n,
            Self::Cyclical(cycle) => {
                return clipped(cycle.fraction_of_round(round) * n as f64, n);
            }
            Self::Linear(_) => |x| x,
            Self::Quadratic(_) => |x| x * x,
            Self::Root(_) => f64::sqrt,
            Self::Step(_) => |_| 0.0,
            Self::Exponential(_) => |x| ((10.0 * x).exp() - 1.0) / (10_f64.exp() - 1.0),
            // The rounding of exp and ln must not push the start below bN.
            Self::Logarithmic(_) => |x| (1.0 + 0.1 * (x + (-10_f64).exp()).ln()).max(0.0),
        };
        self.ramp().map_or(n, |ramp| ramp.size(t, total, n, growth))
    }

    /// Whether the part grows with the share of the steps that are done, so that their number matters.
    pub fn is_ramp(&self) -> bool {
        self.ramp().is_some()
    }

    fn ramp(&self) -> Option<&Ramp> {
        match self {
            Self::All(_) | Self::Cyclical(_) => None,
            Self::Linear(r)
            | Self::Quadratic(r)
            | Self::Root(r)
            | Self::Step(r)
            | Self::Exponential(r)
            | Self::Logarithmic(r) => Some(r),
        }
    }
}

impl Ramp {
    fn size(&self, t: f64, total: f64, n: usize, growth: fn(f64) -> f64) -> usize {
        let x = t / (self.full_at.get() * total);
        let begun = x < 1.0;
        if !begun {
            return n; // also without any step to take, where x is no number
        }
        let (all, first) = (n as f64, self.start.get() * n as f64);
        clipped(first + (all - first) * growth(x.max(0.0)), n)
    }
}

fn clipped(size: f64, n: usize) -> usize {
    (size as usize).max(1).min(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    const RAMPS: [fn(Ramp) -> Pace; 6] = [
        Pace::Linear,
        Pace::Quadratic,
        Pace::Root,
        Pace::Step,
        Pace::Exponential,
        Pace::Logarithmic,
    ];

    fn ramp(start: f64, full_at: f64) -> Ramp {
        Ramp {
            start: Fraction::new(start).unwrap(),
            full_at: PositiveFraction::new(full_at).unwrap(),
        }
    }

    fn sizes(pace: fn(Ramp) -> Pace, times: [f64; 5]) -> [usize; 5] {
        times.map(|t| pace(Ramp::default()).size(t, 100.0, Round(0), 1000))
    }

    /// N = 1000, T = 100, a = 0.8, b = 0.2, so aT = 80 and g = 200 + 800 f(t / 80).
    #[test]
    fn the_six_forms_by_hand() {
        let times = [0.0, 20.0, 40.0, 79.0, 80.0]; // x = 0, 1/4, 1/2, 0.9875, 1
        assert_eq!(sizes(Pace::Linear, times), [200, 400, 600, 990, 1000]);
        // 1/16: 250; 1/4: 400; 0.97516: 980.1
        assert_eq!(sizes(Pace::Quadratic, times), [200, 250, 400, 980, 1000]);
        // 1/2: 600; 0.70711: 765.7; 0.99373: 994.98
        assert_eq!(sizes(Pace::Root, times), [200, 600, 765, 994, 1000]);
        assert_eq!(sizes(Pace::Step, times), [200, 200, 200, 200, 1000]);
        // 11.1825 / 22025.47: 200.4; 147.413 / 22025.47: 205.4; 19436.0 / 22025.47: 905.9
        assert_eq!(sizes(Pace::Exponential, times), [200, 200, 205, 905, 1000]);
        // 1 - 0.138611: 889.1; 1 - 0.069306: 944.6; 1 - 0.0012533: 998.997
        assert_eq!(sizes(Pace::Logarithmic, times), [200, 889, 944, 998, 1000]);
    }

    #[test]
    fn a_and_b_of_one_give_the_full_set() {
        for pace in RAMPS {
            for t in 0..=10 {
                let size = pace(ramp(1.0, 1.0)).size(f64::from(t), 10.0, Round(0), 77);
                assert_eq!(size, 77);
            }
        }
    }

    #[test]
    fn sizes_are_clipped_and_steps_past_the_end_are_full() {
        for pace in RAMPS {
            let pace = pace(ramp(0.0, 0.5));
            assert_eq!(pace.size(0.0, 10.0, Round(0), 50), 1);
            assert_eq!(pace.size(11.0, 10.0, Round(0), 50), 50);
            assert_eq!(pace.size(0.0, 0.0, Round(0), 50), 50);
            assert_eq!(pace.size(0.0, 10.0, Round(0), 0), 0);
        }
        assert_eq!(Pace::default().size(0.0, 10.0, Round(0), 50), 50);
    }

    #[test]
    fn cycles_go_by_the_round() {
        let pace = Pace::Cyclical(Cyclical::default());
        let sizes = [0, 1, 2, 3, 4].map(|r| pace.size(0.0, 10.0, Round(r), 50));
        assert_eq!(sizes, [12, 25, 50, 25, 12]);
    }

    proptest! {
        #[test]
        fn sizes_never_shrink(
            which in 0_usize..6, b in 0.0_f64..=1.0, a in 0.01_f64..=1.0, n in 1_usize..5000,
            t in 0.0_f64..120.0, later in 0.0_f64..50.0,
        ) {
            let pace = RAMPS[which](ramp(b, a));
            let at = |t| pace.size(t, 100.0, Round(0), n);
            prop_assert!(at(t) <= at(t + later));
            prop_assert!((1..=n).contains(&at(t)));
            prop_assert_eq!(at(0.0), ((b * n as f64) as usize).clamp(1, n));
            prop_assert_eq!(at(a * 100.0), n);
        }
    }
}
