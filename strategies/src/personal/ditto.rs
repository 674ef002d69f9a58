//! A whole model for each client, pulled towards the global one.

use lyceum_core::{
    Length, Moves, Objective, Pass, PassResult, Passes, Pull, SlotName, Start, Strength, VectorRef,
    units::NonNegative,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Besides its part in the global model each client trains a model `v` of its own, by steps
/// `v <- v - rate (grad F(v) + lambda (v - w))`, where `w` is the global model as received (Li et al. 2021, Ditto, algorithm 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ditto {
    /// Strength of the pull towards the global model; 0 trains each client's model on its own samples alone; must be given.
    /// The authors choose among 0.1, 1 and 2. `training.rate` times it should be well below 1.
    pub lambda: NonNegative,
}

impl Ditto {
    /// What clients do: their part in the global model, then their own.
    pub fn passes(&self) -> Passes {
        let pull = Pull {
            strength: Strength::Uniform(self.lambda.get() as f32),
            anchor: VectorRef::Global,
        };
        let slot = SlotName::pass("ditto");
        Passes::default().and(vec![Pass {
            name: "ditto".into(),
            start: Start::State(slot.clone()),
            moves: Moves::All,
            objective: Objective {
                pulls: vec![pull],
                ..Objective::default()
            },
            length: Length::Training,
            result: PassResult::State(slot),
        }])
    }
}
