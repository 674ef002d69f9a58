//! What a scenario does to updates on their way into the sums.

use crate::{
    scenario::{Scenario, Wrong},
    transforms::TransformChoice,
};
use lyceum_core::Transforms;

impl Scenario {
    /// What happens to updates before they go into the sums.
    pub fn transforms(&self) -> Transforms {
        let all = self.transforms.iter();
        Transforms::new(all.map(|t| (t.chosen.name, t.chosen.plugin.clone())))
    }

    /// What of the transforms does not go with the rest: key, what is wrong, what would be right.
    pub(crate) fn transform_faults(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let strategy = &self.strategy;
        let alone = strategy.plugin.client_half().sends_change_alone();
        for TransformChoice { chosen, path } in &self.transforms {
            if let Some(misfit) = chosen.plugin.misfit() {
                let key = format!("{path}.{}", misfit.key);
                wrong.push((key, misfit.message, misfit.expected));
            }
            if chosen.plugin.wants_change_alone() && !alone {
                let message = format!(
                    "`{}` changes what a client's parameters moved by; `{}` sends something else, or something besides that belongs to it",
                    chosen.name, strategy.name
                );
                let label = "leave it out, or take a strategy such as `fed_avg` or `fed_prox`";
                wrong.push((path.clone(), message, label.into()));
            }
        }
        wrong
    }
}
