use super::{
    fisher::{Estimate, Fisher},
    importance::Importance,
};
use lyceum_core::{
    ContinualMethod, Needs, Params, Site, Sizes,
    units::{Count, Fraction, Misfit, NonNegative},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Elastic weight consolidation: `lambda / 2 * sum_i F_i (w_i - anchor_i)^2` for the tasks that are over, with `F` the
/// diagonal of the Fisher information at the end of a task (Kirkpatrick et al. 2017, equation 3).
///
/// Code that adds `lambda * sum F (w - anchor)^2` has twice the pull: its 90 is 180 here. A step of SGD is stable where
/// `rate * lambda * F` is below 2, and an exact or sampled Fisher information is the larger one: where the model is sure,
/// an empirical one is the smaller by a factor of how sure it is, so a lambda for the one may be too much for the other.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ewc {
    /// Strength.
    pub lambda: NonNegative,
    /// How tasks that are over add up; "separate" by default.
    #[serde(default)]
    pub mode: EwcMode,
    /// Share of the importances so far that each end of a task leaves, with `mode = "online"`; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<Fraction>,
    /// Which Fisher information; "exact" by default.
    #[serde(default)]
    pub fisher: Fisher,
    /// Samples per batch, with `fisher = "batched"`; as many as in training by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Count>,
    /// Samples of a task that are used at most; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Count>,
}

/// How tasks that are over add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EwcMode {
    /// Each pulls to the parameters at its own end. Kept as one sum, which is the same.
    #[default]
    Separate,
    /// All pull to the parameters at the end of the last one: `F <- gamma F + F_new` (Schwarz et al. 2018, section 3.3).
    Online,
}

impl ContinualMethod for Ewc {
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

    fn misfit(&self) -> Option<Misfit> {
        let refuse = |key: &str, message: &str, expected: &str| {
            Some(Misfit {
                key: key.into(),
                message: message.into(),
                expected: expected.into(),
            })
        };
        match self {
            Self { gamma: Some(_), .. } if self.mode == EwcMode::Separate => refuse(
                "gamma",
                "separate tasks do not fade",
                "`mode = \"online\"` with it, or no `gamma`",
            ),
            Self { batch: Some(_), .. } if self.fisher != Fisher::Batched => refuse(
                "batch",
                "this Fisher information goes sample by sample",
                "`fisher = \"batched\"` with it, or no `batch`",
            ),
            _ => None,
        }
    }

    fn pulls(&self, kept: &Importance) -> Vec<(Params, Params)> {
        kept.pulls(self.lambda.get() as f32)
    }

    fn end_task(&self, kept: &mut Importance, site: &mut Site<'_>) {
        if site.sight.is_empty() {
            return;
        }
        let estimate = Estimate {
            fisher: self.fisher,
            batch: self.batch.map_or(site.rows, Count::get),
            samples: self.samples,
        };
        let fisher = estimate.diagonal(site);
        let anchor = site.learner.params();
        match self.mode {
            EwcMode::Separate => kept.add(&fisher, anchor),
            EwcMode::Online => {
                let keep = self.gamma.map_or(1.0, |g| g.get() as f32);
                kept.move_to(keep, &fisher, anchor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};

    fn ewc(mode: EwcMode) -> Ewc {
        Ewc {
            lambda: NonNegative::new(2.0).unwrap(),
            mode,
            gamma: None,
            fisher: Fisher::Empirical,
            batch: None,
            samples: None,
        }
    }

    /// At zero every squared slope is 1/4; lambda doubles it.
    #[test]
    fn a_task_that_is_over_pulls_to_its_end() {
        let mut bed = Bed::new(1, 2, &[(&[2.0], 0)]);
        let (method, mut kept) = (ewc(EwcMode::Separate), Importance::default());
        assert!(method.pulls(&kept).is_empty());
        method.end_task(&mut kept, &mut bed.site());
        let (strength, anchor) = &method.pulls(&kept)[0];
        assert_eq!(strength[..], [2.0, 2.0, 0.5, 0.5]);
        assert_eq!(anchor[..], [0.0; 4]);
    }

    #[test]
    fn separate_tasks_pull_to_between_their_ends_and_online_ones_to_the_last() {
        for (mode, want) in [(EwcMode::Separate, 0.5), (EwcMode::Online, 1.0)] {
            let mut bed = Bed::new(1, 2, &[(&[2.0], 0)]);
            let (method, mut kept) = (ewc(mode), Importance::default());
            method.end_task(&mut kept, &mut bed.site());
            // The same logits for both classes: the slopes are as they were.
            bed.learner.weights = vec![1.0; 4];
            method.end_task(&mut kept, &mut bed.site());
            let (strength, anchor) = &method.pulls(&kept)[0];
            assert_eq!(strength[..], [4.0, 4.0, 1.0, 1.0], "{mode:?}");
            assert_eq!(anchor[..], [want; 4], "{mode:?}");
        }
    }

    #[test]
    fn keys_that_do_nothing_are_refused() {
        let mut method = ewc(EwcMode::Separate);
        assert_eq!(method.misfit(), None);
        method.gamma = Fraction::new(0.9);
        assert_eq!(method.misfit().unwrap().key, "gamma");
        method.mode = EwcMode::Online;
        method.batch = Count::new(32);
        assert_eq!(method.misfit().unwrap().key, "batch");
        method.fisher = Fisher::Batched;
        assert_eq!(method.misfit(), None);
    }
}
