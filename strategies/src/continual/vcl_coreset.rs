use super::buffer::Budget;
use lyceum_core::{
    ContinualMethod, Item, Lessons, Needs, Network, Params, Site, Sizes, sample_distinct,
    units::{Count, Misfit},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Variational continual learning with coresets (Nguyen et al. 2018, algorithm 1): random samples of each task are held out; the posterior
/// of all others is the prior of the next task; before it answers, it is fitted to the coresets of all tasks so far. What is fitted is for answers alone.
///
/// Weights must be distributions, by `[variational]`, whose prior is that of the first task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VclCoreset {
    /// Samples of each task that a client holds out, at most half of them.
    pub coreset: Count,
    /// In so many rounds of a task a client learns its other samples; in those that follow it fits the coresets.
    pub rounds: Count,
    /// Passes over the coresets in a round; as many as over other samples by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<Count>,
}

/// What a client keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct VclCoresetState {
    /// Held out, of all tasks.
    coreset: Vec<Item>,
    /// The posterior of all other samples, as of the last time that coresets were fitted or a task ended.
    posterior: Option<Params>,
    /// Calls in the task so far.
    calls: u64,
}

impl VclCoreset {
    fn budget(&self) -> Budget {
        Budget {
            samples: None,
            bytes: None,
            each: Some(self.coreset),
        }
    }

    fn learn(&self, kept: &VclCoresetState, site: &Site<'_>) -> Lessons {
        let out: BTreeSet<Item> = kept.coreset.iter().copied().collect();
        let others = site.sight.items().filter(|item| !out.contains(item));
        let goes_on = kept.posterior.clone();
        Lessons {
            also: others.collect(),
            only: true,
            start: goes_on.filter(|_| kept.calls == 1),
            ..Lessons::default()
        }
    }
}

impl ContinualMethod for VclCoreset {
    type State = VclCoresetState;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        let items = sizes.buffer(self.budget().most(sizes, 0), 0);
        sizes.models(1) + items + 64
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

    fn begin_task(&self, kept: &mut VclCoresetState, site: &mut Site<'_>) {
        kept.calls = 0;
        let all = site.sight.len();
        let most = self.coreset.get().min(all / 2);
        let places = sample_distinct(all as u64, most, site.rng);
        let items = places.into_iter().map(|p| site.sight.item(p as usize));
        kept.coreset.extend(items);
    }

    fn begin_call(&self, kept: &mut VclCoresetState, site: &mut Site<'_>) -> Lessons {
        kept.calls += 1;
        let learned = self.rounds.get() as u64;
        if kept.calls <= learned {
            return self.learn(kept, site);
        }
        if kept.calls == learned + 1 {
            kept.posterior = Some(site.learner.params().to_vec().into());
        }
        Lessons {
            also: kept.coreset.clone(),
            only: true,
            epochs: self.passes.map(Count::get),
            ..Lessons::default()
        }
    }

    fn prior(&self, kept: &VclCoresetState) -> Option<Params> {
        kept.posterior.clone()
    }

    fn end_task(&self, kept: &mut VclCoresetState, site: &mut Site<'_>) {
        if kept.calls <= self.rounds.get() as u64 {
            kept.posterior = Some(site.learner.params().to_vec().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::replay_testbed::Bed;
    use lyceum_core::Learner;

    fn call(rule: &VclCoreset, kept: &mut VclCoresetState, bed: &mut Bed, params: f32) -> Lessons {
        bed.layer.params_mut().fill(params);
        rule.begin_call(kept, &mut bed.site())
    }

    /// Ten samples a task, three held out; two rounds learn, the third fits.
    #[test]
    fn what_is_fitted_to_the_coresets_is_never_gone_on_from() {
        let points: Vec<_> = (0..20).map(|i| ([i as f32, 1.0], i / 5)).collect();
        let mut bed = Bed::new(&points, 4);
        let rule = VclCoreset {
            coreset: Count::new(3).unwrap(),
            rounds: Count::new(2).unwrap(),
            passes: Count::new(7),
        };
        let mut kept = VclCoresetState::default();
        rule.begin_task(&mut kept, &mut bed.site());
        let first = call(&rule, &mut kept, &mut bed, 0.0);
        assert!(first.only && first.start.is_none() && rule.prior(&kept).is_none());
        assert_eq!(first.also.len(), 7);
        assert!(first.also.iter().all(|item| !kept.coreset.contains(item)));
        let again = call(&rule, &mut kept, &mut bed, 1.0);
        assert_eq!((again.also, again.start), (first.also, None));
        let fit = call(&rule, &mut kept, &mut bed, 2.0);
        assert_eq!(
            (fit.also.len(), fit.epochs, &fit.start),
            (3, Some(7), &None)
        );
        assert_eq!(rule.prior(&kept).unwrap()[0], 2.0);
        // The next task begins where learning ended, whatever the fit came to.
        bed.layer.params_mut().fill(3.0);
        rule.end_task(&mut kept, &mut bed.site());
        bed.come_to(1);
        rule.begin_task(&mut kept, &mut bed.site());
        let next = call(&rule, &mut kept, &mut bed, 3.0);
        assert_eq!(next.start.unwrap()[0], 2.0);
        assert_eq!(rule.prior(&kept).unwrap()[0], 2.0);
        call(&rule, &mut kept, &mut bed, 4.0);
        let fit = call(&rule, &mut kept, &mut bed, 5.0);
        assert_eq!(fit.also.len(), 6, "of both tasks");
        assert_eq!(rule.prior(&kept).unwrap()[0], 5.0);
    }
}
