use super::fisher::{Estimate, Fisher};
use lyceum_core::{
    ContinualMethod, IMPORTANCES, Lessons, Needs, Network, Params, Site, Sizes,
    units::{Count, NonNegative},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// EWC whose importances the server averages over the clients, as it averages models: so a client holds on to what
/// mattered to others as well (after FedCurv, Shoham et al. 2019, whose clients exchange the diagonals themselves).
///
/// A client's Fisher information of a task that is over goes into the model with its next update, and adds up there over
/// tasks, weighted as updates are; a client without news adds 0. Parameters are pulled to the global model at the client's
/// own last boundary.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AveragedEwc {
    /// Strength, as of `ewc`.
    pub lambda: NonNegative,
    /// Which Fisher information; "batched" by default.
    #[serde(default = "batched")]
    pub fisher: Fisher,
    /// Samples of a task that are used at most; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Count>,
}

fn batched() -> Fisher {
    Fisher::Batched
}

/// What a client keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Boundary {
    /// The global model at its last boundary; empty in the first task.
    anchor: Params,
    /// Its Fisher information of the task that ended there, until it is handed in.
    news: Vec<f32>,
    /// What the global model says matters, in this call.
    #[serde(skip)]
    importances: Vec<f32>,
}

/// Where the model keeps importances.
fn place(network: &Network) -> Option<Range<usize>> {
    network.layout().find(IMPORTANCES).map(|e| e.range())
}

impl ContinualMethod for AveragedEwc {
    type State = Boundary;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.models(2)
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            importances: true,
            ..Needs::default()
        }
    }

    fn end_task(&self, kept: &mut Boundary, site: &mut Site<'_>) {
        let Some(at) = place(site.network).filter(|_| !site.sight.is_empty()) else {
            return;
        };
        let estimate = Estimate {
            fisher: self.fisher,
            batch: site.rows,
            samples: self.samples,
        };
        kept.news = estimate.diagonal(site);
        kept.news.truncate(at.start);
        kept.anchor = site.learner.params().to_vec().into();
    }

    fn begin_call(&self, kept: &mut Boundary, site: &mut Site<'_>) -> Lessons {
        if let Some(at) = place(site.network) {
            kept.importances = site.learner.params()[at].to_vec();
        }
        Lessons::default()
    }

    fn pulls(&self, kept: &Boundary) -> Vec<(Params, Params)> {
        let lambda = self.lambda.get() as f32;
        if kept.anchor.is_empty() || lambda == 0.0 {
            return Vec::new();
        }
        // What the client has not handed in yet counts in full until the server has averaged it.
        let news = kept.news.iter().copied().chain(std::iter::repeat(0.0));
        let all = kept.importances.iter().zip(news);
        let mut strength: Vec<f32> = all.map(|(i, n)| lambda * (i + n)).collect();
        strength.resize(kept.anchor.len(), 0.0);
        vec![(strength.into(), kept.anchor.clone())]
    }

    fn end_call(&self, kept: &mut Boundary, site: &mut Site<'_>) {
        let Some(at) = place(site.network) else {
            return;
        };
        let news = std::mem::take(&mut kept.news);
        let own = site.learner.params_mut()[at].iter_mut();
        own.zip(news).for_each(|(i, n)| *i += n);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};
    use lyceum_core::Role;

    /// At zero every slope is 1/2, and x is 2: the Fisher information is 1 for weights and 1/4 for biases.
    #[test]
    fn news_count_at_once_and_go_into_the_model_that_the_server_averages() {
        let mut bed = Bed::new(1, 2, &[(&[2.0], 0)]);
        bed.network.append(IMPORTANCES, vec![4], Role::Statistic);
        bed.learner.weights = vec![0.0; 8];
        let method = AveragedEwc {
            lambda: NonNegative::new(2.0).unwrap(),
            fisher: Fisher::Empirical,
            samples: None,
        };
        let mut kept = Boundary::default();
        method.begin_call(&mut kept, &mut bed.site());
        assert!(method.pulls(&kept).is_empty(), "no task is over yet");
        method.end_task(&mut kept, &mut bed.site());
        method.begin_call(&mut kept, &mut bed.site());
        let strength = |kept: &Boundary| method.pulls(kept)[0].0.to_vec();
        assert_eq!(strength(&kept), [2.0, 2.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]);
        method.end_call(&mut kept, &mut bed.site());
        assert_eq!(bed.learner.weights[4..], [1.0, 1.0, 0.25, 0.25]);
        // The server averages it with a client that had no news.
        bed.learner.weights[4..].iter_mut().for_each(|i| *i /= 2.0);
        method.begin_call(&mut kept, &mut bed.site());
        assert_eq!(strength(&kept)[..4], [1.0, 1.0, 0.25, 0.25]);
        method.end_call(&mut kept, &mut bed.site());
        assert_eq!(bed.learner.weights[4], 0.5, "news are handed in once");
    }
}
