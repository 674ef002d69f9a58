//! A shared representation beneath heads that stay with their clients.

use lyceum_core::{
    Length, Moves, Objective, Pass, PassResult, Passes, SlotName, Start, units::Count,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Each client first trains what stays with it while the rest stands still, then the rest while that stands still (Collins et
/// al. 2021, FedRep, algorithm 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FedRep {
    /// Passes over the samples in which what stays with the client moves; must be given. The authors take 10. The rest then moves for
    /// `training.epochs` or `training.steps`.
    pub head_epochs: Count,
}

impl FedRep {
    /// What clients do: what stays with them, then what is shared.
    pub fn passes(&self) -> Passes {
        let local = SlotName::new(SlotName::LOCAL);
        let head = Pass {
            name: "fed_rep".into(),
            start: Start::Splice(local.clone()),
            moves: Moves::Local,
            objective: Objective::default(),
            length: Length::Epochs(self.head_epochs.get()),
            result: PassResult::State(local),
        };
        let body = Pass {
            moves: Moves::Shared,
            ..Pass::shared()
        };
        Passes::new(vec![head, body])
    }
}
