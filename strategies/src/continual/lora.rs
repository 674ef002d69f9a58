use super::{
    fisher::{Estimate, Fisher},
    importance::Importance,
};
use lyceum_core::{
    ContinualMethod, Layer, Lessons, Needs, Network, Params, Site, Sizes, Step, Stream,
    units::{Count, Misfit, NonNegative, Positive},
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Low-rank adaptation: after the first tasks the model is frozen, and each dense layer learns `W = W0 + s B A` with
/// `s = alpha / rank` (Hu et al. 2022, section 4.1); with `lambda`, at the cost of
/// `lambda * sum_ij F_ij (s (B A)_ij)^2`, `F` the Fisher information of the frozen model (Xiang et al. 2023, equation 4).
/// Batch normalisations belong to what is frozen: they normalise by their running statistics from then on.
///
/// `A` starts uniform within `1 / sqrt(inputs)`, `B` at zero. A step goes from the whole slope `E` of `W`, that of
/// weight decay, strategy and other methods included: `B <- B - rate s E A^T`, `A <- A - rate s B^T E`. Where a client
/// is not alone, a call first fits its `B` by least squares to how far the global model has come from `W0`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rank of what a layer learns.
    pub rank: Count,
    /// `s` times the rank; twice the rank by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Positive>,
    /// Tasks of a client that the whole model learns; 1 by default.
    #[serde(default = "one")]
    pub after: u32,
    /// Strength of the pull to the frozen model; 0 by default.
    #[serde(default = "nothing")]
    pub lambda: NonNegative,
    /// Which Fisher information, summed over the tasks before the model is frozen; "empirical" by default.
    #[serde(default = "empirical")]
    pub fisher: Fisher,
    /// Samples of a task that it uses at most; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Count>,
}

fn one() -> u32 {
    1
}
fn nothing() -> NonNegative {
    NonNegative::new(0.0).expect("0 is in range")
}
fn empirical() -> Fisher {
    Fisher::Empirical
}

/// What a client keeps for low-rank adaptation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Adapters {
    /// The frozen model; empty until it is.
    base: Params,
    /// One a dense layer, in order.
    factors: Vec<Factors>,
    /// Of the tasks before.
    importance: Importance,
}

/// What one layer learns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Factors {
    /// Outputs x rank, row-major.
    b: Vec<f32>,
    /// Rank x inputs, row-major.
    a: Vec<f32>,
}

/// The weights of a dense layer.
struct Dense {
    range: Range<usize>,
    inputs: usize,
}

/// The highest rank that the weights of a dense layer can have.
fn highest_rank(dense: &Dense) -> usize {
    dense.inputs.min(dense.range.len() / dense.inputs.max(1))
}

fn dense_layers(network: &Network) -> Vec<Dense> {
    let layers = network.layers().iter().enumerate();
    let dense = layers.filter(|(_, layer)| matches!(layer, Layer::Dense { .. }));
    let entries = dense.filter_map(|(at, _)| network.layout().find(&format!("{at}.weight")));
    let weights = entries.map(|entry| Dense {
        range: entry.range(),
        inputs: entry.shape[1],
    });
    weights.collect()
}

/// What stays as the frozen model has it: all parameters but the weights of dense layers.
fn beside(layers: &[Dense], len: usize) -> Vec<Range<usize>> {
    let starts = std::iter::once(0).chain(layers.iter().map(|dense| dense.range.end));
    let ends = layers.iter().map(|dense| dense.range.start).chain([len]);
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

impl Factors {
    fn new(dense: &Dense, rank: usize, rng: &mut Stream) -> Self {
        let inputs = dense.inputs;
        let outputs = dense.range.len() / inputs;
        let rank = rank.min(inputs).min(outputs);
        let bound = (inputs as f32).sqrt().recip();
        let drawn = (0..rank * inputs).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0));
        Self {
            b: vec![0.0; outputs * rank],
            a: drawn.collect(),
        }
    }

    fn rank(&self, inputs: usize) -> usize {
        self.a.len() / inputs
    }

    /// Adds `scale * B A` to weights, outputs x inputs.
    fn add_to(&self, scale: f32, weights: &mut [f32], inputs: usize) {
        let rows = weights.chunks_exact_mut(inputs);
        for (row, b) in rows.zip(self.b.chunks_exact(self.rank(inputs))) {
            for (b, a) in b.iter().zip(self.a.chunks_exact(inputs)) {
                axpy(scale * b, a, row);
            }
        }
    }

    /// A step of `rate` against a slope of the weights.
    fn step(&mut self, rate: f32, slope: &[f32], inputs: usize) {
        let rank = self.rank(inputs);
        let old = self.a.clone();
        for (slope, b) in slope
            .chunks_exact(inputs)
            .zip(self.b.chunks_exact_mut(rank))
        {
            let factors = b.iter_mut().zip(old.chunks_exact(inputs));
            for ((b, old), a) in factors.zip(self.a.chunks_exact_mut(inputs)) {
                axpy(-rate * *b, slope, a);
                *b -= rate * dot(slope, old);
            }
        }
    }

    /// Makes `scale * B A` as close to `drift` as it can be with this `A`: `B = drift A^T (A A^T)^-1 / scale`.
    fn fit(&mut self, scale: f32, drift: &[f32], inputs: usize) {
        let rank = self.rank(inputs);
        let rows = || self.a.chunks_exact(inputs);
        let gram: Vec<f64> = rows()
            .flat_map(|a| rows().map(|c| exact_dot(a, c)))
            .collect();
        let Some(root) = cholesky(gram, rank) else {
            return;
        };
        for (drift, b) in drift
            .chunks_exact(inputs)
            .zip(self.b.chunks_exact_mut(rank))
        {
            let mut right: Vec<f64> = rows().map(|a| exact_dot(a, drift)).collect();
            solve(&root, &mut right);
            let solved = right.iter().map(|x| *x as f32 / scale);
            b.iter_mut().zip(solved).for_each(|(b, x)| *b = x);
        }
    }
}

fn axpy(factor: f32, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

fn exact_dot(x: &[f32], y: &[f32]) -> f64 {
    let products = x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y));
    products.sum()
}

/// In eight sums side by side, which vectors can keep.
fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest = xs.remainder().iter().zip(ys.remainder());
    let rest: f32 = rest.map(|(x, y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        let places = sums.iter_mut().zip(x).zip(y);
        places.for_each(|((sum, x), y)| *sum += x * y);
    }
    sums.iter().sum::<f32>() + rest
}

/// The lower triangle `L` of `L L^T = matrix`, in rows; `None` unless the matrix is positive definite.
fn cholesky(mut matrix: Vec<f64>, size: usize) -> Option<Vec<Vec<f64>>> {
    let mut root: Vec<Vec<f64>> = Vec::with_capacity(size);
    for row in matrix.chunks_exact_mut(size) {
        let at = root.len();
        for column in 0..at {
            let known = (0..column).map(|k| row[k] * root[column][k]);
            row[column] = (row[column] - known.sum::<f64>()) / root[column][column];
        }
        let rest = row[at] - row[..at].iter().map(|v| v * v).sum::<f64>();
        row[at] = (rest > 0.0).then(|| rest.sqrt())?;
        root.push(row[..=at].to_vec());
    }
    Some(root)
}

/// Replaces `right` by the `x` of `L L^T x = right`.
fn solve(root: &[Vec<f64>], right: &mut [f64]) {
    for at in 0..right.len() {
        let known: f64 = (0..at).map(|k| root[at][k] * right[k]).sum();
        right[at] = (right[at] - known) / root[at][at];
    }
    for at in (0..right.len()).rev() {
        let known: f64 = (at + 1..right.len()).map(|k| root[k][at] * right[k]).sum();
        right[at] = (right[at] - known) / root[at][at];
    }
}

impl Lora {
    fn scale(&self) -> f32 {
        let rank = self.rank.get() as f64;
        self.alpha.map_or(2.0, |alpha| alpha.get() / rank) as f32
    }
}

impl ContinualMethod for Lora {
    type State = Adapters;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        // The base, importances with their anchor, and two factors a layer, each of which is no larger than the layer.
        sizes.models(5) + 16 * sizes.values as u64
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            steps: true,
            plain_sgd: true,
            ..Needs::default()
        }
    }

    fn misfit(&self) -> Option<Misfit> {
        (self.after == 0 && self.lambda.get() > 0.0).then(|| Misfit {
            key: "lambda".into(),
            message: "no task comes before the model is frozen, so nothing matters to one".into(),
            expected: "`after` of 1 or more, or no `lambda`".into(),
        })
    }

    fn unfit(&self, network: &Network) -> Option<Misfit> {
        let highest = dense_layers(network).iter().map(highest_rank).max();
        let Some(highest) = highest else {
            return Some(Misfit {
                key: String::new(),
                message: "the model has no dense layer".into(),
                expected: "one to adapt".into(),
            });
        };
        (self.rank.get() > highest).then(|| Misfit {
            key: "rank".into(),
            message: format!("no layer of this model has a rank of {}", self.rank.get()),
            expected: format!("at most {highest}, the smaller side of its largest dense layer"),
        })
    }

    fn begin_task(&self, adapters: &mut Adapters, site: &mut Site<'_>) {
        if site.task.place < self.after || !adapters.base.is_empty() {
            return;
        }
        adapters.base = site.learner.params().to_vec().into();
        let dense = dense_layers(site.network);
        let factors = dense
            .iter()
            .map(|d| Factors::new(d, self.rank.get(), site.rng));
        adapters.factors = factors.collect();
    }

    fn begin_call(&self, adapters: &mut Adapters, site: &mut Site<'_>) -> Lessons {
        if adapters.base.is_empty() {
            return Lessons::default();
        }
        let params = site.learner.params();
        let layers = dense_layers(site.network);
        for (dense, own) in layers.iter().zip(&mut adapters.factors) {
            let base = &adapters.base[dense.range.clone()];
            let drift = params[dense.range.clone()].iter().zip(base);
            let drift: Vec<f32> = drift.map(|(w, base)| w - base).collect();
            own.fit(self.scale(), &drift, dense.inputs);
        }
        Lessons {
            frozen: beside(&layers, params.len()),
            ..Lessons::default()
        }
    }

    fn pulls(&self, adapters: &Adapters) -> Vec<(Params, Params)> {
        match adapters.base.is_empty() {
            true => Vec::new(),
            false => adapters.importance.pulls(2.0 * self.lambda.get() as f32),
        }
    }

    fn after_step(&self, adapters: &mut Adapters, step: &Step<'_>, site: &mut Site<'_>) {
        if adapters.base.is_empty() {
            return;
        }
        let (scale, rate) = (self.scale(), site.rate);
        let params = site.learner.params_mut();
        for (dense, own) in dense_layers(site.network).iter().zip(&mut adapters.factors) {
            let at = dense.range.clone();
            let moved = step.before[at.clone()].iter().zip(&params[at.clone()]);
            let slope: Vec<f32> = moved.map(|(from, to)| (from - to) / rate).collect();
            own.step(rate * scale, &slope, dense.inputs);
        }
        params.copy_from_slice(&adapters.base);
        for (dense, own) in dense_layers(site.network).iter().zip(&adapters.factors) {
            own.add_to(scale, &mut params[dense.range.clone()], dense.inputs);
        }
    }

    fn end_task(&self, adapters: &mut Adapters, site: &mut Site<'_>) {
        let wanted = self.lambda.get() > 0.0 && adapters.base.is_empty();
        if !wanted || site.sight.is_empty() {
            return;
        }
        let estimate = Estimate {
            fisher: self.fisher,
            batch: site.rows,
            samples: self.samples,
        };
        let fisher = estimate.diagonal(site);
        let anchor = site.learner.params();
        adapters.importance.move_to(1.0, &fisher, anchor);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};
    use lyceum_core::Draft;

    fn lora(rank: u64) -> Lora {
        Lora {
            rank: Count::new(rank).unwrap(),
            alpha: None,
            after: 1,
            lambda: nothing(),
            fisher: Fisher::Empirical,
            samples: None,
        }
    }

    /// Three inputs, two classes, at `W0 = (1, 2, 3; 4, 5, 6)`, in the second task.
    fn frozen(method: &Lora) -> (Bed, Adapters) {
        let mut bed = Bed::new(3, 2, &[(&[1.0, -1.0, 2.0], 0), (&[0.5, 1.0, 0.0], 1)]);
        bed.learner.weights = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, -0.5];
        bed.task.place = 1;
        let mut adapters = Adapters::default();
        method.begin_task(&mut adapters, &mut bed.site());
        (bed, adapters)
    }

    /// One plain step of rate 0.1, the rate of the bed, and what the method makes of it.
    fn step(method: &Lora, bed: &mut Bed, adapters: &mut Adapters, grad: &[f32]) {
        let before = bed.learner.weights.clone();
        let steps = bed.learner.weights.iter_mut().zip(grad);
        steps.for_each(|(w, g)| *w -= 0.1 * g);
        let taken = Step {
            draft: &Draft::default(),
            grad,
            before: &before,
            logits: &[],
        };
        method.after_step(adapters, &taken, &mut bed.site());
    }

    fn minors(weights: &[f32], base: &[f32]) -> [f32; 3] {
        let d: Vec<f32> = weights.iter().zip(base).map(|(w, b)| w - b).collect();
        [(0, 1), (0, 2), (1, 2)].map(|(i, j)| d[i] * d[3 + j] - d[j] * d[3 + i])
    }

    #[test]
    fn what_rank_1_learns_has_rank_1_and_biases_stay() {
        let method = lora(1);
        let (mut bed, mut adapters) = frozen(&method);
        let base = bed.learner.weights.clone();
        for i in 0..20 {
            let grad: Vec<f32> = (0..8).map(|k| ((3 * i + 5 * k) % 7) as f32 - 2.0).collect();
            step(&method, &mut bed, &mut adapters, &grad);
        }
        let moved: f32 = (0..6)
            .map(|i| (bed.learner.weights[i] - base[i]).abs())
            .sum();
        assert!(moved > 0.5, "{moved}");
        let minors = minors(&bed.learner.weights, &base);
        assert!(minors.iter().all(|m| m.abs() < 1e-4), "{minors:?}");
        assert_eq!(bed.learner.weights[6..], base[6..]);
    }

    /// `B` is 0 at first, so `A` has no slope, and `B = -rate s G A^T`: `W` moves by `-rate s^2 G A^T A`, with s = 2.
    #[test]
    fn the_first_step_is_by_the_chain_rule() {
        let method = lora(1);
        let (mut bed, mut adapters) = frozen(&method);
        let (base, a) = (bed.learner.weights.clone(), adapters.factors[0].a.clone());
        assert!(a.iter().all(|a| a.abs() <= 1.0 / 3.0_f32.sqrt()));
        let grad = [1.0, 0.0, -1.0, 0.5, 2.0, 0.0, 9.0, 9.0];
        step(&method, &mut bed, &mut adapters, &grad);
        assert_eq!(adapters.factors[0].a, a);
        for (row, g) in grad[..6].chunks_exact(3).enumerate() {
            let along: f32 = g.iter().zip(&a).map(|(g, a)| g * a).sum();
            for (column, a) in a.iter().enumerate() {
                let got = bed.learner.weights[3 * row + column] - base[3 * row + column];
                assert!((got + 0.4 * along * a).abs() < 1e-5, "{got}");
            }
        }
    }

    #[test]
    fn a_call_goes_on_from_where_the_global_model_is() {
        let method = lora(2);
        let (mut bed, mut adapters) = frozen(&method);
        let grad: Vec<f32> = (0..8).map(|k| k as f32 - 3.0).collect();
        step(&method, &mut bed, &mut adapters, &grad);
        let own = adapters.factors[0].clone();
        method.begin_call(&mut adapters, &mut bed.site());
        for (own, fitted) in own.b.iter().zip(&adapters.factors[0].b) {
            assert!((own - fitted).abs() < 1e-5);
        }
        // Half of the way: as if another client had stayed at the frozen model.
        let base = adapters.base.clone();
        let weights = bed.learner.weights.iter_mut().zip(base.iter());
        weights.for_each(|(w, base)| *w = (*w + base) / 2.0);
        method.begin_call(&mut adapters, &mut bed.site());
        for (own, fitted) in own.b.iter().zip(&adapters.factors[0].b) {
            assert!((own / 2.0 - fitted).abs() < 1e-5);
        }
    }

    #[test]
    fn the_first_task_is_learned_in_full_and_what_mattered_to_it_pulls() {
        let mut method = lora(1);
        method.lambda = NonNegative::new(0.5).unwrap();
        let mut bed = Bed::new(3, 2, &[(&[1.0, -1.0, 2.0], 0)]);
        let mut adapters = Adapters::default();
        method.begin_task(&mut adapters, &mut bed.site());
        let grad = [1.0; 8];
        step(&method, &mut bed, &mut adapters, &grad);
        assert_eq!(bed.learner.weights, [-0.1; 8]);
        method.end_task(&mut adapters, &mut bed.site());
        assert!(method.pulls(&adapters).is_empty());
        bed.task.place = 1;
        method.begin_task(&mut adapters, &mut bed.site());
        let (strength, anchor) = &method.pulls(&adapters)[0];
        assert_eq!(strength[..], [0.25, 0.25, 1.0, 0.25, 0.25, 1.0, 0.25, 0.25]);
        assert_eq!(anchor[..], [-0.1; 8]);
    }

    #[test]
    fn a_pull_without_a_task_before_is_refused() {
        let mut method = lora(1);
        method.after = 0;
        assert_eq!(method.misfit(), None);
        method.lambda = NonNegative::new(1.0).unwrap();
        assert_eq!(method.misfit().unwrap().key, "lambda");
    }

    #[test]
    fn all_but_the_weights_of_dense_layers_is_frozen_with_the_model() {
        let method = lora(1);
        let (mut bed, mut adapters) = frozen(&method);
        let lessons = method.begin_call(&mut adapters, &mut bed.site());
        assert_eq!(lessons.frozen, [0..0, 6..8]);
        let mut whole = Adapters::default();
        let lessons = method.begin_call(&mut whole, &mut bed.site());
        assert!(lessons.frozen.is_empty());
    }
}
