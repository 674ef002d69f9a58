use super::importance::Importance;
use lyceum_core::{ContinualMethod, Needs, Params, Role, Site, Sizes, units::NonNegative};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `strength / 2 * |w - w'|^2` with `w'` the parameters at the end of the last task: EWC whose importances are all alike, the "L2" of
/// Kirkpatrick et al. 2017.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct L2 {
    /// How hard parameters are pulled back.
    pub strength: NonNegative,
}

impl ContinualMethod for L2 {
    type State = Importance;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.models(2)
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            ..Needs::default()
        }
    }

    fn pulls(&self, kept: &Importance) -> Vec<(Params, Params)> {
        kept.pulls(self.strength.get() as f32)
    }

    fn end_task(&self, kept: &mut Importance, site: &mut Site<'_>) {
        let still = |role: Role| role == Role::Frozen || role.is_statistic();
        let mut alike = vec![1.0; site.learner.params().len()];
        let entries = site.network.layout().entries().iter();
        for entry in entries.filter(|entry| still(entry.role)) {
            alike[entry.range()].fill(0.0);
        }
        kept.move_to(0.0, &alike, site.learner.params());
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};

    #[test]
    fn the_last_task_pulls_all_parameters_alike() {
        let mut bed = Bed::new(1, 2, &[(&[2.0], 0), (&[-1.0], 1)]);
        let rule = L2 {
            strength: NonNegative::new(0.5).unwrap(),
        };
        let mut kept = Importance::default();
        assert!(rule.pulls(&kept).is_empty());
        for weights in [vec![0.5, -1.0, 0.25, 0.0], vec![1.0, 2.0, 3.0, 4.0]] {
            bed.learner.weights = weights;
            rule.end_task(&mut kept, &mut bed.site());
        }
        let (strength, anchor) = &rule.pulls(&kept)[0];
        assert_eq!(strength[..], [0.5; 4]);
        assert_eq!(anchor[..], [1.0, 2.0, 3.0, 4.0]);
    }
}
