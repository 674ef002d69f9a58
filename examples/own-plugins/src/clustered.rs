//! A rule of our own that trains two models in the same round, each by clients of its own.

use lyceum::core::{
    ClientId, Directive, GLOBAL, ModelTraining, RoundOutcome, RoundPlan, RunView, Steering,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The other model.
const ODD: &str = "odd";

/// Clients with even numbers train `global`, the others train `odd`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clustered {}

impl Steering for Clustered {
    type State = ();

    fn init(&self) {}

    fn models(&self) -> Vec<String> {
        vec![ODD.into()]
    }

    fn plan(&self, (): &(), view: &RunView<'_>) -> RoundPlan {
        let every_second = |from: u64| (from..view.clients).step_by(2).map(ClientId).collect();
        let part = |model: &str, from| ModelTraining {
            clients: Some(every_second(from)),
            ..ModelTraining::of(model)
        };
        RoundPlan {
            train: vec![part(GLOBAL, 0), part(ODD, 1)],
            judge: vec![ODD.into()],
        }
    }

    fn absorb(&self, (): &mut (), _: &RoundOutcome<'_>) -> Vec<Directive> {
        Vec::new()
    }
}
