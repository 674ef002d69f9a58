//! Dense layers that draw what they give.

use super::super::{
    as_f64, batch, built, check_against_the_reference, cnn, dense, distances, mlp, params,
    reference, train,
};
use super::variational;
use lyceum_core::{
    Batch, Charge, Divergence, Init, Layer, Learner, Moments, Network, Objective, Optimizer,
    Params, Update, Variational, VectorRef, Vectors, step_by_gradient,
};

/// A network with distributions of deviation 0.3 for weights, whose dense layers draw what they give.
pub(crate) fn local(network: Network, draws: u32) -> Network {
    network.variational(Variational {
        start: 0.3,
        draws,
        local: true,
    })
}

fn fused(network: &Network, params: &[f32]) -> Box<dyn Learner> {
    let mut learner = built("fused", network).expect("the fused engine is always there");
    learner.load(&params.to_vec().into());
    learner
}

#[test]
fn local_draws_follow_the_finite_differences() {
    check_against_the_reference(&local(mlp(), 1), (6, true, 2));
    check_against_the_reference(&local(mlp(), 3), (1, true, 3));
    check_against_the_reference(&local(mlp(), 1), (70, false, 4));
    // An image, activations before the first dense layer, and one output for two classes.
    let layers = vec![
        Layer::Tanh {},
        dense(7),
        dense(5),
        Layer::Relu {},
        Layer::Relu {},
        dense(1),
        Layer::Binary {},
    ];
    let image = Network::new(&[1, 3, 2], 2, layers, Init::FanIn).unwrap();
    check_against_the_reference(&local(image, 2), (9, true, 5));
}

/// Layers of more weights than are gone through at once, along one direction.
#[test]
fn large_layers_follow_the_directional_derivative() {
    let layers = vec![dense(130), Layer::Relu {}, dense(300), dense(3)];
    let network = local(Network::new(&[280], 3, layers, Init::FanIn).unwrap(), 1);
    let own = params(&network, 3);
    for (rows, zeros) in [(10, 0), (10, 3), (40, 0), (40, 3)] {
        let mut batch = batch(&network, rows, true, 4);
        let inputs = batch.inputs.iter_mut().enumerate();
        let gone = inputs.filter(|(i, _)| i % 4 < zeros);
        gone.for_each(|(_, x)| *x = 0.0);
        let mut grad = vec![f32::NAN; own.len()];
        fused(&network, &own).backward(&batch, train(5, &[]), &mut grad);
        let direction = |i: usize| ((i * 7919 % 1009) as f64 / 1009.0 - 0.4) / 10.0;
        let at = |step: f64| {
            let moved = own.iter().enumerate();
            let moved: Vec<f64> = moved
                .map(|(i, p)| f64::from(*p) + step * direction(i))
                .collect();
            reference::loss(&network, &moved, &batch, train(5, &[]))
        };
        let want = (at(1e-5) - at(-1e-5)) / 2e-5;
        let terms = grad.iter().enumerate();
        let got: f64 = terms.map(|(i, g)| f64::from(*g) * direction(i)).sum();
        assert!(
            (got - want).abs() < 1e-3 * want.abs(),
            "{rows} rows, {zeros} of 4 zero: {got} {want}"
        );
    }
}

/// A step that never holds the whole gradient is the step that does, whatever else is minimised.
#[test]
fn a_step_of_local_draws_is_the_step_by_their_gradient() {
    let network = local(mlp(), 1);
    let own: Params = params(&network, 8).into();
    let halves = network.halves().unwrap();
    let mut even = vec![0.0; own.len()];
    even[halves.rhos()].fill(-0.4);
    let uneven: Vec<f32> = (0..own.len()).map(|i| (i % 7) as f32 * 0.2 - 0.5).collect();
    let momentum = |momentum| Optimizer::Sgd { momentum };
    let adam = Optimizer::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-3,
    };
    for prior in [even, uneven] {
        let objective = Objective {
            divergences: vec![Divergence {
                prior: VectorRef::Inline(prior.into()),
                halves,
                charge: Charge::Elbo,
            }],
            ..Objective::default()
        };
        let vectors = Vectors {
            global: &own,
            round: &[],
        };
        let mut objective = objective.resolve(vectors).unwrap();
        objective.charge(40, 6);
        for (optimizer, weight_decay) in [
            (momentum(0.0), 0.0),
            (momentum(0.0), 0.1),
            (momentum(0.9), 0.0),
            (adam, 0.0),
        ] {
            let walk = |whole: bool| {
                let (mut learner, mut memory) =
                    (fused(&network, &own), Moments::new(network.layout()));
                for seed in 0..3 {
                    let mut update = Update {
                        optimizer,
                        rate: 0.1,
                        weight_decay,
                        clip: None,
                        objective: &objective,
                        memory: &mut memory,
                    };
                    let (batch, mode) = (batch(&network, 6, true, seed), train(seed, &[]));
                    match whole {
                        true => step_by_gradient(&mut *learner, &batch, mode, &mut update),
                        false => learner.step(&batch, mode, &mut update),
                    };
                }
                let ends = learner.params().iter().zip(own.iter());
                ends.map(|(end, start)| end - start).collect::<Vec<f32>>()
            };
            let (whole, worst) = distances(&walk(false), &as_f64(&walk(true)));
            assert!(
                whole < 1e-5 && worst < 1e-4,
                "{optimizer:?}: {whole} {worst}"
            );
        }
    }
}

/// Means and variances over many draws, and products of two rows: of draws of weights and of what they give.
#[test]
fn what_a_layer_draws_is_distributed_as_what_drawn_weights_give() {
    const DRAWS: u64 = 20_000;
    let plain = || Network::new(&[4], 3, vec![dense(3)], Init::FanIn).unwrap();
    let (by_weight, by_value) = (variational(plain(), 1), local(plain(), 1));
    let own = params(&by_weight, 6);
    let batch = Batch {
        keep_logits: true,
        ..batch(&by_weight, 2, false, 7)
    };
    let moments = |network: &Network| {
        let mut learner = fused(network, &own);
        let (mut grad, mut logits) = (vec![0.0; own.len()], Vec::new());
        let mut sums = [[0.0_f64; 3]; 6];
        for key in 0..DRAWS {
            learner.backward(&batch, train(key, &[]), &mut grad);
            learner.seen_logits(&mut logits);
            for (at, sums) in sums.iter_mut().enumerate() {
                let (own, other) = (f64::from(logits[at]), f64::from(logits[(at + 3) % 6]));
                let terms = [own, own * own, own * other];
                sums.iter_mut().zip(terms).for_each(|(s, t)| *s += t);
            }
        }
        sums.map(|sums| sums.map(|sum| sum / DRAWS as f64))
    };
    let (weights, values) = (moments(&by_weight), moments(&by_value));
    // Of normal values, means are off by about `deviation / sqrt(n)` and variances by `variance * sqrt(2 / n)`: five of both.
    let n = DRAWS as f64;
    for at in 0..6 {
        let variance = |all: &[[f64; 3]; 6]| all[at][1] - all[at][0].powi(2);
        let (of_weights, of_values) = (variance(&weights), variance(&values));
        let off = (values[at][0] - weights[at][0]).abs();
        assert!(
            off < 5.0 * (2.0 * of_weights / n).sqrt(),
            "{at}: mean off by {off}"
        );
        let ratio = of_values / of_weights - 1.0;
        assert!(
            ratio.abs() < 5.0 * (4.0 / n).sqrt(),
            "{at}: variance off by {ratio}"
        );
        // Rows draw numbers of their own, where weights are the same for all of them.
        let shared = values[at][2] - values[at][0] * values[(at + 3) % 6][0];
        assert!(
            shared.abs() < 5.0 * of_values.max(of_weights) * 2.0 / n.sqrt(),
            "{at}: {shared}"
        );
    }
}

#[test]
fn networks_and_engines_without_local_draws_say_so() {
    let why = |engine: &str, network: &Network| built(engine, network).err().unwrap();
    assert_eq!(
        why("flex", &local(mlp(), 1)),
        "engine \"flex\" has no local reparameterisation: use \"fused\", or leave out variational.local"
    );
    let told = why("fused", &local(cnn(), 1));
    assert!(
        told.contains("has no local reparameterisation for layer 0, `conv`"),
        "{told}"
    );
    assert_eq!(local(cnn(), 1).unlike_local(), Some((0, "conv")));
    assert_eq!(local(mlp(), 1).unlike_local(), None);
}
