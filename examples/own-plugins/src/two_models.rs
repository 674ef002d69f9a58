//! A rule of our own that steers a run.

use lyceum::core::{
    Directive, GLOBAL, RoundOutcome, RoundPlan, RunView, Steering, TaskDefinition, units::Fraction,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Trains two models in turn, mixes them into a third one, and brings a new task in the middle of the run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TwoModels {
    /// Share of the second model in the mixture.
    share: Fraction,
    /// Behind this round the task is announced.
    announce: u64,
    /// Classes of the task.
    classes: Vec<u32>,
    /// Behind this round the run ends, whatever its rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finish: Option<u64>,
}

impl Steering for TwoModels {
    /// Rounds so far.
    type State = u64;

    fn init(&self) -> u64 {
        0
    }

    fn models(&self) -> Vec<String> {
        vec!["second".into(), "mixture".into()]
    }

    fn plan(&self, _: &u64, view: &RunView<'_>) -> RoundPlan {
        let odd = view.round.0 % 2 == 1;
        RoundPlan {
            judge: vec!["mixture".into()],
            ..RoundPlan::training(if odd { "second" } else { GLOBAL })
        }
    }

    fn absorb(&self, rounds: &mut u64, outcome: &RoundOutcome<'_>) -> Vec<Directive> {
        *rounds += 1;
        let share = self.share.get();
        let mut wanted = vec![Directive::Combine {
            into: "mixture".into(),
            of: vec![(GLOBAL.into(), 1.0 - share), ("second".into(), share)],
        }];
        if outcome.round.0 == self.announce {
            wanted.push(Directive::Announce(TaskDefinition {
                name: "late".into(),
                classes: self.classes.clone(),
            }));
        }
        if self.finish == Some(outcome.round.0) {
            wanted.push(Directive::Finish);
        }
        wanted
    }
}
