use super::importance::Importance;
use lyceum_core::{
    ContinualMethod, Needs, Params, Site, Sizes, Step,
    units::{NonNegative, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Synaptic intelligence: `c * sum_i Omega_i (w_i - anchor_i)^2`, where `Omega_i` grows with each task by the part that
/// the parameter had in the fall of the loss, over the square of its way (Zenke et al. 2017, equations 3 to 5).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Si {
    /// Strength.
    pub c: NonNegative,
    /// Added to the square of a parameter's way over a task; 0.1 by default.
    #[serde(default = "tenth")]
    pub xi: Positive,
}

fn tenth() -> Positive {
    Positive::new(0.1).expect("0.1 is in range")
}

/// What a client keeps for synaptic intelligence.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Path {
    /// Minus the integral of the gradient along the way of each parameter since the task began.
    falls: Params,
    /// Where the task began.
    start: Params,
    kept: Importance,
}

impl ContinualMethod for Si {
    type State = Path;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.models(4)
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            steps: true,
            ..Needs::default()
        }
    }

    fn begin_task(&self, path: &mut Path, site: &mut Site<'_>) {
        let params = site.learner.params();
        path.falls = Params::zeros(params.len());
        path.start = params.to_vec().into();
    }

    fn pulls(&self, path: &Path) -> Vec<(Params, Params)> {
        path.kept.pulls(2.0 * self.c.get() as f32)
    }

    fn after_step(&self, path: &mut Path, step: &Step<'_>, site: &mut Site<'_>) {
        let ways = step.before.iter().zip(site.learner.params());
        let places = path.falls.make_mut().iter_mut().zip(step.grad).zip(ways);
        places.for_each(|((fall, g), (from, to))| *fall -= g * (to - from));
    }

    fn end_task(&self, path: &mut Path, site: &mut Site<'_>) {
        let end = site.learner.params();
        let xi = self.xi.get() as f32;
        let ways = path.start.iter().zip(end).map(|(from, to)| to - from);
        let parts = path.falls.iter().zip(ways);
        let omega: Vec<f32> = parts.map(|(fall, way)| fall / (way * way + xi)).collect();
        path.kept.move_to_positive(&omega, end);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};
    use lyceum_core::Draft;

    fn si() -> Si {
        Si {
            c: NonNegative::new(0.5).unwrap(),
            xi: tenth(),
        }
    }

    /// On the loss 1/2 sum_i a_i w_i^2 from w = 1, in 2,000 small steps: each parameter's part in the fall of the loss is
    /// its own term, a_i/2 (1 - w_i^2), and all parts add up to the fall.
    #[test]
    fn omega_is_the_fall_of_the_loss_on_a_quadratic() {
        let curvature = [1.0_f32, 0.5, 0.0, 2.0];
        let mut bed = Bed::new(1, 2, &[(&[1.0], 0)]);
        bed.learner.weights = vec![1.0; 4];
        let (method, mut path, draft) = (si(), Path::default(), Draft::default());
        method.begin_task(&mut path, &mut bed.site());
        for _ in 0..2000 {
            let before = bed.learner.weights.clone();
            let grad: Vec<f32> = before.iter().zip(curvature).map(|(w, a)| a * w).collect();
            let steps = bed.learner.weights.iter_mut().zip(&grad);
            steps.for_each(|(w, g)| *w -= 1e-3 * g);
            let step = Step {
                draft: &draft,
                grad: &grad,
                before: &before,
                logits: &[],
            };
            method.after_step(&mut path, &step, &mut bed.site());
        }
        let end = bed.learner.weights.clone();
        for i in 0..4 {
            let fall = 0.5 * curvature[i] * (1.0 - end[i] * end[i]);
            assert!(
                (path.falls[i] - fall).abs() < 2e-3,
                "{i}: {}",
                path.falls[i]
            );
        }
        method.end_task(&mut path, &mut bed.site());
        let (strength, anchor) = &method.pulls(&path)[0];
        let way = end[0] - 1.0;
        let want = 0.5 * (1.0 - end[0] * end[0]) / (way * way + 0.1);
        assert!((strength[0] - want).abs() < 5e-3, "{strength:?}");
        assert_eq!(anchor[..], end);
    }

    #[test]
    fn a_parameter_that_raised_the_loss_pushes_nothing_away() {
        let mut bed = Bed::new(1, 2, &[(&[1.0], 0)]);
        let (method, mut path, draft) = (si(), Path::default(), Draft::default());
        method.begin_task(&mut path, &mut bed.site());
        bed.learner.weights = vec![1.0; 4];
        let step = Step {
            draft: &draft,
            grad: &[1.0, -1.0, 0.0, 0.0],
            before: &[0.0; 4],
            logits: &[],
        };
        method.after_step(&mut path, &step, &mut bed.site());
        method.end_task(&mut path, &mut bed.site());
        let strength = &method.pulls(&path)[0].0;
        assert_eq!(strength[0], 0.0);
        assert!((strength[1] - 1.0 / 1.1).abs() < 1e-6);
    }
}
