use lyceum_core::{Directive, GLOBAL, RoundOutcome, RoundPlan, RunView, Steering, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the mean in the book of models.
const AVERAGE: &str = "average";

/// Keeps the mean of the global models of rounds beside the global model, as the model `average`, and judges both (stochastic
/// weight averaging: Izmailov et al. 2018, equation 1). Training does not see it. Running statistics of batch normalisation are averaged like the rest.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Average {
    /// First round whose model counts.
    #[serde(default)]
    pub from: u64,
    /// Rounds between two models that count; 1 by default.
    #[serde(default = "one")]
    pub every: Count,
}

fn one() -> Count {
    Count::new(1).expect("1 is in range")
}

impl Steering for Average {
    /// Models that the mean is of.
    type State = u64;

    fn init(&self) -> u64 {
        0
    }

    fn plan(&self, _: &u64, view: &RunView<'_>) -> RoundPlan {
        let known = view.models.contains(&AVERAGE);
        RoundPlan {
            judge: Vec::from_iter(known.then(|| AVERAGE.to_owned())),
            ..RoundPlan::default()
        }
    }

    fn absorb(&self, count: &mut u64, outcome: &RoundOutcome<'_>) -> Vec<Directive> {
        let since = outcome.round.0.checked_sub(self.from);
        if since.is_none_or(|since| !since.is_multiple_of(self.every.get() as u64)) {
            return Vec::new();
        }
        *count += 1;
        let new = 1.0 / *count as f64;
        let of = match *count {
            1 => vec![(GLOBAL.to_owned(), 1.0)],
            _ => vec![(AVERAGE.to_owned(), 1.0 - new), (GLOBAL.to_owned(), new)],
        };
        let into = AVERAGE.to_owned();
        vec![Directive::Combine { into, of }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Params, Round, TrainedModel};
    use std::collections::BTreeMap;

    #[test]
    fn the_weights_of_a_mean_of_n_are_one_nth() {
        let rule = Average {
            from: 2,
            every: Count::new(3).unwrap(),
        };
        let model = Params::zeros(1);
        let mut count = rule.init();
        let mut wanted = Vec::new();
        for round in 0..9 {
            let outcome = RoundOutcome {
                round: Round(round),
                trained: &[TrainedModel {
                    model: GLOBAL,
                    params: &model,
                    reports: &[],
                }],
                tallies: &BTreeMap::new(),
                models: &BTreeMap::new(),
                halves: None,
                now: None,
                next: None,
            };
            for directive in rule.absorb(&mut count, &outcome) {
                let Directive::Combine { of, .. } = directive else {
                    panic!("it only combines");
                };
                wanted.push((round, of.last().unwrap().1));
            }
        }
        assert_eq!(wanted, [(2, 1.0), (5, 0.5), (8, 1.0 / 3.0)]);
    }
}
