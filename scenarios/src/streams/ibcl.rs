use super::{Ground, LabelGroups, ScenarioPlugin, Shift, StreamError};
use lyceum_core::{
    AnySteering, AnyStrategy, Stream, Task,
    units::{Count, Misfit, NonNegative, Positive},
};
use lyceum_strategies::knowledge::{self, Beginning, CombineOn, Distance};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A knowledge base that answers any preference over tasks without training (IBCL: Lu et al. 2023, arXiv 2305.14782). Tasks have
/// shared labels; each is learned once with every prior, one round after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ibcl {
    /// Number of tasks; as many as values or groups are listed by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Count>,
    /// What sets the tasks apart; by default one question after another about two classes each, `shift.groups`.
    #[serde(default = "questions")]
    pub shift: Shift,
    /// Deviations of the priors of the first task, around 0; each is the beginning of a posterior of every task. 0.2, 0.25 and 0.3 by default.
    #[serde(default = "priors")]
    pub priors: Vec<Positive>,
    /// A posterior that is no farther than this from one that is kept is given up for it; 0.01 by default, and 0 keeps all.
    #[serde(default = "threshold")]
    pub threshold: NonNegative,
    /// What is measured between posteriors; "wasserstein" by default.
    #[serde(default)]
    pub distance: Distance,
    /// What is added up besides means for a preference; "deviations" by default.
    #[serde(default)]
    pub combine: CombineOn,
    /// What a posterior begins as: "first" (the run's first parameters, the default) or "prior".
    #[serde(default)]
    pub start: Beginning,
}

fn questions() -> Shift {
    Shift::Groups(LabelGroups::default())
}

fn priors() -> Vec<Positive> {
    let all = [0.2, 0.25, 0.3];
    all.iter().filter_map(|s| Positive::new(*s)).collect()
}

fn threshold() -> NonNegative {
    NonNegative::new(0.01).expect("0.01 is in range")
}

impl Ibcl {
    fn rule(&self, afresh: bool) -> knowledge::Ibcl {
        knowledge::Ibcl {
            priors: self.priors.iter().map(|s| s.get()).collect(),
            threshold: self.threshold.get(),
            distance: self.distance,
            start: self.start,
            afresh,
        }
    }
}

impl ScenarioPlugin for Ibcl {
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        self.shift.tasks(self.tasks, ground, rng)
    }

    fn outputs(&self) -> Option<usize> {
        self.shift.outputs()
    }

    fn misfit(&self) -> Option<Misfit> {
        let (key, expected) = ("priors".into(), "such as [0.2, 0.25, 0.3]".into());
        let refuse = |message: String| Misfit {
            key,
            message,
            expected,
        };
        let mut all = self.priors.iter().map(|prior| prior.get());
        match all.find(|prior| !(1e-6..=1e6).contains(prior)) {
            _ if self.priors.is_empty() => Some(refuse("there is no prior".into())),
            Some(far) => Some(refuse(format!(
                "a deviation of {far} cannot be learned with"
            ))),
            None => None,
        }
    }

    fn least_rounds(&self) -> u64 {
        self.priors.len() as u64
    }

    fn steering(&self, strategy: &dyn AnyStrategy) -> Option<Arc<dyn AnySteering>> {
        Some(Arc::new(self.rule(strategy.merges_distributions())))
    }
}
