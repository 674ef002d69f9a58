use lyceum_core::{ContinualMethod, Needs, Network, Params, Site, Sizes, units::Misfit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Variational continual learning: the posterior at the end of a task is the prior of the next one (Nguyen et al. 2018, equations 2 to 4, without
/// a coreset; `er` beside it replays samples). Weights must be distributions, by `[variational]`, whose prior is that of the
/// first task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vcl {}

/// What a client keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct VclState {
    /// The posterior at the end of the last task that is over.
    prior: Option<Params>,
}

impl ContinualMethod for Vcl {
    type State = VclState;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.models(1) + 8
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            ..Needs::default()
        }
    }

    fn unfit(&self, network: &Network) -> Option<Misfit> {
        network.halves().is_none().then(|| Misfit {
            key: String::new(),
            message: "the weights are numbers, not distributions".into(),
            expected: "`[variational]` with it".into(),
        })
    }

    fn prior(&self, kept: &VclState) -> Option<Params> {
        kept.prior.clone()
    }

    fn end_task(&self, kept: &mut VclState, site: &mut Site<'_>) {
        kept.prior = Some(site.learner.params().to_vec().into());
    }
}
