use super::importance::{Importance, drawn};
use lyceum_core::{
    ContinualMethod, Item, Match, MatchKind, Mode, Needs, Params, Site, Sizes,
    units::{Count, NonNegative},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Memory aware synapses: `lambda * sum_i Omega_i (w_i - anchor_i)^2`, where `Omega_i` grows with each task by the mean
/// over its samples of the absolute slope of the squared length of the logits (Aljundi et al. 2018, equations 2 to 4).
/// It needs no labels. Slopes are those of the model as it is tested, without dropout, as in the authors' code. A step of SGD is stable where `rate * 2 * lambda * Omega` is below 2; slopes of large logits are
/// large.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mas {
    /// Strength.
    pub lambda: NonNegative,
    /// Samples of a task that are used at most; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Count>,
}

impl ContinualMethod for Mas {
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
        kept.pulls(2.0 * self.lambda.get() as f32)
    }

    fn end_task(&self, kept: &mut Importance, site: &mut Site<'_>) {
        let items = drawn(self.samples, site);
        let share = 1.0 / items.len().max(1) as f32;
        let len = site.learner.params().len();
        let (mut omega, mut grad) = (vec![0.0; len], vec![0.0; len]);
        for item in items {
            pack_length(item, site);
            site.learner.backward(site.batch, Mode::Evaluate, &mut grad);
            let slopes = omega.iter_mut().zip(&grad);
            slopes.for_each(|(omega, slope)| *omega += share * slope.abs());
        }
        kept.move_to(1.0, &omega, site.learner.params());
    }
}

/// Packs an item whose loss is the squared length of its logits: the mean square of those that the head opens, as many
/// times as there are.
fn pack_length(item: Item, site: &mut Site<'_>) {
    let classes = site.network.classes();
    let opened = |open: &[bool]| open.iter().filter(|o| **o).count();
    let opened = site.open(item).map_or(classes, opened);
    let open = site.head.set_of(item);
    site.pack(&[item]);
    let batch = &mut *site.batch;
    batch.weights.push(0.0);
    batch.aims.matches.push(Match {
        kind: MatchKind::Logits,
        weight: opened as f32,
        open,
    });
    batch.aims.values.resize(classes, 0.0);
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};

    /// One input x, logits (w x + b, v x + c): the squared length has slope 2 (w x + b) x at w and 2 (w x + b) at b.
    #[test]
    fn omega_is_the_slope_of_the_squared_length_of_the_logits() {
        let mut bed = Bed::new(1, 2, &[(&[2.0], 0), (&[-1.0], 1)]);
        bed.learner.weights = vec![0.5, -1.0, 0.25, 0.0];
        let mas = Mas {
            lambda: NonNegative::new(0.5).unwrap(),
            samples: None,
        };
        let mut kept = Importance::default();
        mas.end_task(&mut kept, &mut bed.site());
        // Logits (1.25, -2) at x = 2 and (-0.25, 1) at x = -1.
        let want = [(5.0 + 0.5) / 2.0, (8.0 + 2.0) / 2.0, (2.5 + 0.5) / 2.0, 3.0];
        for (got, want) in kept.weights().iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        assert_eq!(kept.anchor(), bed.learner.weights);
        assert_eq!(bed.learner.modes, [None; 2], "passes of evaluation");
        assert_eq!(mas.pulls(&kept)[0].0[..], *kept.weights());
    }
}
