//! Parameters that are loaded and not copied, and steps that are only asked for.

use super::{batch, built, cnn, mlp, normalised_cnn, normalised_mlp, params, train, wide};
use lyceum_core::{Moments, Network, Optimizer, Params, Resolved, Role, Update};

/// Bits of the parameters after two steps, from a model that is still where it was loaded from or was copied first.
fn trained(
    network: &Network,
    rule: (Optimizer, f32, Option<&Params>),
    is_copied: bool,
) -> Vec<u32> {
    let (optimizer, weight_decay, shift) = rule;
    let objective = Resolved {
        shifts: shift.map(|shift| &shift[..]).into_iter().collect(),
        ..Resolved::default()
    };
    let mut memory = Moments::new(network.layout());
    let mut learner = built("fused", network).expect("the fused engine is always there");
    learner.load(&params(network, 1).into());
    learner.step(
        &batch(network, 3, false, 2),
        train(2, &[]),
        &mut update(&mut memory, optimizer, 0.0, &objective),
    );
    memory.reset();
    let start = Params::from(params(network, 2));
    learner.load(&start);
    assert_eq!(learner.params(), &start[..]);
    if is_copied {
        learner.params_mut();
    }
    for rows in [7, 5] {
        let mut update = update(&mut memory, optimizer, weight_decay, &objective);
        learner.step(&batch(network, rows, true, 3), train(3, &[]), &mut update);
    }
    assert_eq!(
        &start[..],
        params(network, 2),
        "what was loaded belongs to others"
    );
    learner.params().iter().map(|v| v.to_bits()).collect()
}

fn update<'a>(
    memory: &'a mut Moments,
    optimizer: Optimizer,
    weight_decay: f32,
    objective: &'a Resolved<'a>,
) -> Update<'a> {
    Update {
        optimizer,
        rate: 0.1,
        weight_decay,
        clip: None,
        objective,
        memory,
    }
}

#[test]
fn a_model_that_was_not_copied_is_trained_to_the_same_bits() {
    let adam = Optimizer::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
    };
    let mut with_more = mlp();
    with_more.append("means", vec![3, 7], Role::Statistic);
    for network in [
        mlp(),
        cnn(),
        wide(),
        normalised_mlp(),
        normalised_cnn(),
        with_more,
    ] {
        let shift = Params::from(params(&network, 4));
        for optimizer in [
            Optimizer::Sgd { momentum: 0.0 },
            Optimizer::Sgd { momentum: 0.9 },
            adam,
        ] {
            for (decay, shift) in [(0.0, None), (0.01, None), (0.0, Some(&shift))] {
                let rule = (optimizer, decay, shift);
                let (lent, copied) = (
                    trained(&network, rule, false),
                    trained(&network, rule, true),
                );
                assert_eq!(lent, copied, "{optimizer:?} {decay}");
            }
        }
    }
}

#[test]
fn a_descent_is_the_gradient_times_the_rate_on_every_engine() {
    for network in [mlp(), cnn(), wide()] {
        let (start, batch) = (
            Params::from(params(&network, 5)),
            batch(&network, 6, true, 6),
        );
        for name in ["fused", "flex"] {
            let Ok(mut learner) = built(name, &network) else {
                continue;
            };
            learner.load(&start);
            let mut grad = vec![0.0; start.len()];
            let loss = learner.backward(&batch, train(6, &[]), &mut grad);
            let mut change = Vec::new();
            assert_eq!(
                learner.descend(&start, &batch, train(6, &[]), 0.25, &mut change),
                loss,
                "{name}"
            );
            // A power of two does not round.
            let want: Vec<f32> = grad.iter().map(|g| -0.25 * g).collect();
            assert_eq!(change, want, "{name}");
        }
    }
}
