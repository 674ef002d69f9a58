//! Networks whose weights are normal distributions.

mod local;

pub(crate) use local::local;

use super::{
    batch, check_against_the_reference, cnn, dense, learners, mlp, normalised_mlp, params, train,
};
use lyceum_core::{
    Batch, Charge, Divergence, Halves, Init, Layer, Learner, Mode, Moments, Network, Noise,
    Objective, Optimizer, Params, Seed, Update, Variational, VectorRef, Vectors,
};
use lyceum_learner::VariationalLearner;

/// A network with distributions of deviation 0.3 for weights.
pub(crate) fn variational(network: Network, draws: u32) -> Network {
    network.variational(Variational {
        start: 0.3,
        draws,
        local: false,
    })
}

#[test]
fn draws_of_weights_follow_the_finite_differences() {
    check_against_the_reference(&variational(mlp(), 1), (6, true, 2));
    check_against_the_reference(&variational(mlp(), 3), (6, true, 3));
    check_against_the_reference(&variational(cnn(), 2), (3, true, 4));
    check_against_the_reference(&variational(normalised_mlp(), 2), (7, true, 5));
}

#[test]
fn tests_take_the_means() {
    let (plain, network) = (mlp(), variational(mlp(), 1));
    let all = params(&network, 1);
    let means = &all[..plain.layout().len()];
    let batch = batch(&plain, 5, false, 3);
    let (mut own, mut want) = (Vec::new(), Vec::new());
    let pairs = learners(&network, &all)
        .into_iter()
        .zip(learners(&plain, means));
    for ((name, mut learner), (_, mut other)) in pairs {
        // What a step of training left behind is not seen.
        let mut grad = vec![0.0; all.len()];
        learner.backward(&batch, train(1, &[]), &mut grad);
        learner.logits(&batch, &mut own);
        other.logits(&batch, &mut want);
        assert_eq!(own, want, "{name}");
        let loss = learner.backward(&batch, Mode::Evaluate, &mut grad);
        let mut plain_grad = vec![0.0; means.len()];
        assert_eq!(
            loss,
            other.backward(&batch, Mode::Evaluate, &mut plain_grad)
        );
        assert_eq!(grad[..means.len()], plain_grad[..]);
        assert!(grad[means.len()..].iter().all(|g| *g == 0.0));
    }
}

/// Half the squared error over the variance of the noise, of a linear model without a bias. The target is the last input.
#[derive(Debug)]
struct Squares {
    weights: Vec<f32>,
    variance: f32,
}

impl Learner for Squares {
    fn load(&mut self, params: &Params) {
        self.weights.copy_from_slice(params);
    }
    fn params(&self) -> &[f32] {
        &self.weights
    }
    fn params_mut(&mut self) -> &mut [f32] {
        &mut self.weights
    }
    fn backward(&mut self, batch: &Batch, _: Mode<'_>, grad: &mut [f32]) -> f32 {
        grad.fill(0.0);
        let (width, rows) = (self.weights.len(), batch.rows() as f32);
        let mut loss = 0.0;
        for row in batch.inputs.chunks_exact(width + 1) {
            let found: f32 = row.iter().zip(&self.weights).map(|(x, w)| x * w).sum();
            let error = (found - row[width]) / self.variance;
            loss += 0.5 * error * (found - row[width]) / rows;
            grad.iter_mut()
                .zip(row)
                .for_each(|(g, x)| *g += error * x / rows);
        }
        loss
    }
    fn logits(&mut self, _: &Batch, _: &mut Vec<f32>) {}
    fn features(&mut self, _: &Batch, _: &mut Vec<f32>) {}
    fn seen_logits(&mut self, _: &mut Vec<f32>) {}
    fn seen_squares(&self) -> f64 {
        0.0
    }
}

/// With orthogonal features a mean-field posterior can be exact: precision `1 / s^2 + |x|^2 / v`, mean `x.t / v` over it (Bishop 2006,
/// equations 3.50 and 3.51).
#[test]
fn a_linear_model_with_orthogonal_features_finds_the_exact_posterior() {
    const WIDTH: usize = 4;
    const ROWS: usize = 40;
    let (variance, prior) = (0.25_f64, 0.8_f64);
    let mut errors = [0.0; ROWS];
    Noise::of_key(7).normal(&mut errors);
    let truth = [0.7, -1.1, 0.2, 0.0];
    // Feature `i` is seen in every fourth row alone, so columns are orthogonal.
    let mut rows = Batch::default();
    let (mut squares, mut products) = ([0.0_f64; WIDTH], [0.0_f64; WIDTH]);
    for (row, error) in errors.iter().enumerate() {
        let place = row % WIDTH;
        let x = f64::from((0.3 + 0.1 * (row / WIDTH) as f64) as f32);
        let error = variance.sqrt() * f64::from(*error);
        let target = f64::from((truth[place] * x + error) as f32);
        let mut values = [0.0_f32; WIDTH + 1];
        (values[place], values[WIDTH]) = (x as f32, target as f32);
        rows.inputs.extend(values);
        rows.labels.push(0);
        squares[place] += x * x;
        products[place] += x * target;
    }
    let plain = Network::new(&[WIDTH], 1, vec![dense(1)], Init::Zero).unwrap();
    // The bias of the layer has no feature: its posterior is the prior.
    let network = plain.variational(Variational {
        start: 1.0,
        draws: 16,
        local: false,
    });
    let halves = network.halves().unwrap();
    let inner = Squares {
        weights: vec![0.0; halves.len],
        variance: variance as f32,
    };
    let trained = descend(
        &network,
        VariationalLearner::new(&network, inner),
        &with_bias(&rows),
        (prior, ROWS),
    );
    for place in 0..WIDTH {
        let precision = 1.0 / (prior * prior) + squares[place] / variance;
        let (mean, found) = (products[place] / variance / precision, trained[place]);
        let deviation = trained[halves.len + place].exp();
        let scale = precision.sqrt().recip();
        assert!(
            (found - mean).abs() < 0.02 * mean.abs().max(scale),
            "{place}: {found} {mean}"
        );
        let ratio = deviation * deviation * precision;
        assert!(
            (ratio - 1.0).abs() < 0.02,
            "{place}: variance off by {ratio}"
        );
    }
}

/// The rows with a feature that is always 0 in front of the target, for the bias.
fn with_bias(rows: &Batch) -> Batch {
    let width = rows.inputs.len() / rows.rows() - 1;
    let mut all = rows.clone();
    all.inputs.clear();
    for row in rows.inputs.chunks_exact(width + 1) {
        all.inputs.extend_from_slice(&row[..width]);
        all.inputs.extend([0.0, row[width]]);
    }
    all
}

/// Adam on the evidence lower bound, all rows in each step, by a rate that falls to nothing; the mean of the last half of the steps.
fn descend(
    network: &Network,
    mut learner: VariationalLearner<Squares>,
    rows: &Batch,
    (prior, samples): (f64, usize),
) -> Vec<f64> {
    const STEPS: usize = 6000;
    let halves: Halves = network.halves().expect("its weights are distributions");
    let mut normal = vec![0.0; network.layout().len()];
    normal[halves.rhos()].fill(prior.ln() as f32);
    let objective = Objective {
        divergences: vec![Divergence {
            prior: VectorRef::Inline(normal.into()),
            halves,
            charge: Charge::Elbo,
        }],
        ..Objective::default()
    };
    let start: Params = network.initial(Seed(1)).into();
    let vectors = Vectors {
        global: &start,
        round: &[],
    };
    let mut objective = objective.resolve(vectors).expect("the prior fits");
    objective.charge(samples, rows.rows());
    learner.load(&start);
    let mut memory = Moments::new(network.layout());
    let mut mean = vec![0.0; start.len()];
    for step in 0..STEPS {
        let mut update = Update {
            optimizer: Optimizer::Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
            },
            rate: 0.02 * (1.0 - step as f32 / STEPS as f32),
            weight_decay: 0.0,
            clip: None,
            objective: &objective,
            memory: &mut memory,
        };
        learner.step(rows, train(step as u64, &[]), &mut update);
        if step >= STEPS / 2 {
            let sites = mean.iter_mut().zip(learner.params());
            sites.for_each(|(m, p)| *m += f64::from(*p) / (STEPS - STEPS / 2) as f64);
        }
    }
    mean
}

#[test]
fn one_output_for_two_classes_follows_the_finite_differences() {
    let network = |layers| Network::new(&[5], 2, layers, Init::FanIn).unwrap();
    let single = network(vec![dense(1), Layer::Binary {}]);
    let deep = network(vec![dense(4), Layer::Tanh {}, dense(1), Layer::Binary {}]);
    let bare = Network::new(&[1], 2, vec![Layer::Binary {}], Init::FanIn);
    assert_eq!(bare.unwrap().layout().len(), 0);
    for network in [single.clone(), deep, variational(single, 2)] {
        check_against_the_reference(&network, (6, true, 2));
    }
    let wrong = Network::new(&[5], 2, vec![Layer::Binary {}], Init::FanIn).unwrap_err();
    assert!(
        wrong.to_string().contains("needs one value a sample"),
        "{wrong}"
    );
}
