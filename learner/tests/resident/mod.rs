//! Parameters that stay on their device: the same results, and one copy for each model.

use super::{as_f64, batch, cnn, distances, mlp, normalised_cnn, normalised_mlp, params, train};
use lyceum_core::{
    Learner, Mode, Moments, Network, Optimizer, Params, Resolved, ResolvedStrength, Segments,
    Update,
};
use lyceum_learner::{BurnLearner, Device, ResidentLearner, models_copied};

/// A rule: optimizer, decay, clip.
type Rule = (Optimizer, f32, Option<f32>);

fn rules() -> Vec<Rule> {
    let (beta1, beta2, epsilon) = (0.9, 0.99, 1e-3);
    let adam = Optimizer::Adam {
        beta1,
        beta2,
        epsilon,
    };
    let adam_w = Optimizer::AdamW {
        beta1,
        beta2,
        epsilon,
    };
    let sgd = |momentum| Optimizer::Sgd { momentum };
    let nesterov = Optimizer::Nesterov { momentum: 0.8 };
    let lion = Optimizer::Lion { beta1, beta2 };
    vec![
        (sgd(0.0), 0.0, None),
        (sgd(0.9), 0.1, Some(0.2)),
        (nesterov, 0.1, None),
        (adam, 0.1, Some(0.2)),
        (adam_w, 0.1, None),
        (lion, 0.1, None),
    ]
}

/// Steps of a client from a model, with the second moments or velocity that it goes on from.
fn client(
    learner: &mut dyn Learner,
    network: &Network,
    start: &Params,
    rule: Rule,
    memory: &mut Moments,
    objective: &Resolved<'_>,
) -> Vec<f32> {
    learner.load(start);
    let (optimizer, weight_decay, clip) = rule;
    for seed in 0..4 {
        let mut update = Update {
            optimizer,
            rate: 0.05,
            weight_decay,
            clip,
            objective,
            memory,
        };
        learner.step(
            &batch(network, 5, true, seed),
            train(seed, &[]),
            &mut update,
        );
    }
    learner.delta(start, Vec::new()).to_vec()
}

fn near(got: &[f32], want: &[f32], what: &str) {
    let (whole, worst) = distances(got, &as_f64(want));
    assert!(
        whole < 1e-4 && worst < 1e-3,
        "{what}: off by {whole}, {worst}"
    );
}

fn both_on(network: &Network, device: &Device) -> [Box<dyn Learner>; 2] {
    [
        Box::new(ResidentLearner::new(network, device.clone())),
        Box::new(BurnLearner::new(network, device.clone())),
    ]
}

/// Ten clients of one start: one copy, and what a learner comes to that copies at each step.
fn check_a_unit_on(device: &Device) {
    for network in [mlp(), cnn(), normalised_mlp(), normalised_cnn()] {
        for rule in rules() {
            let start = Params::from(params(&network, 7));
            let [mut resident, mut plain] = both_on(&network, device);
            let (mut there, mut here) = (
                Moments::new(network.layout()),
                Moments::new(network.layout()),
            );
            let before = models_copied();
            for _ in 0..10 {
                let nothing = Resolved::default();
                there.reset();
                here.reset();
                let got = client(&mut *resident, &network, &start, rule, &mut there, &nothing);
                let want = client(&mut *plain, &network, &start, rule, &mut here, &nothing);
                near(&got, &want, &format!("{rule:?}"));
            }
            let copies = models_copied() - before;
            match rule.0 {
                Optimizer::Lion { .. } => assert!(copies > 10, "it acts in the processor's memory"),
                _ => assert_eq!(copies, 1, "{rule:?}"),
            }
        }
    }
}

#[test]
fn a_unit_of_ten_clients_copies_its_model_once() {
    check_a_unit_on(&Device::flex());
}

#[cfg(feature = "wgpu")]
#[test]
#[expect(clippy::print_stderr, reason = "a skipped comparison should be seen")]
fn a_unit_of_ten_clients_copies_its_model_to_a_graphics_processor_once() {
    use lyceum_learner::burn::tensor::DeviceKind;
    match super::built("wgpu", &mlp()) {
        Ok(_) => check_a_unit_on(&Device::wgpu(DeviceKind::DefaultDevice)),
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

/// Moments that a client takes along are those of the steps on the device; what acts elsewhere finds them, too.
#[test]
fn moments_that_are_carried_on_are_those_of_the_device() {
    let network = mlp();
    let (start, anchor) = (Params::from(params(&network, 7)), params(&network, 8));
    let pulling = Resolved {
        pulls: vec![(ResolvedStrength::Uniform(0.3), &anchor)],
        ..Resolved::default()
    };
    for rule in rules() {
        let mut ends = Vec::new();
        for mut learner in both_on(&network, &Device::flex()) {
            let mut memory = Moments::new(network.layout());
            let nothing = Resolved::default();
            let mut found = client(&mut *learner, &network, &start, rule, &mut memory, &nothing);
            learner.settle(&mut memory);
            // Another client comes between, then the first goes on with what it kept.
            let carried = memory.clone();
            memory.reset();
            client(&mut *learner, &network, &start, rule, &mut memory, &nothing);
            memory.reset();
            memory.first.clone_from(&carried.first);
            memory.second.clone_from(&carried.second);
            memory.steps = carried.steps;
            for objective in [&nothing, &pulling, &nothing] {
                found.extend(client(
                    &mut *learner,
                    &network,
                    &start,
                    rule,
                    &mut memory,
                    objective,
                ));
            }
            learner.settle(&mut memory);
            found.extend(memory.first.iter().chain(&memory.second));
            ends.push(found);
        }
        near(&ends[0], &ends[1], &format!("{rule:?}"));
    }
}

/// What stands still or is a statistic, and parameters that somebody changes in the processor's memory.
#[test]
fn what_is_written_in_memory_is_seen_on_the_device() {
    let network = normalised_cnn();
    let start = Params::from(params(&network, 7));
    let mut ends = Vec::new();
    for mut learner in both_on(&network, &Device::flex()) {
        let mut memory = Moments::new(network.layout());
        let first = network.layout().entries()[0].range();
        memory.follow(&Segments::of(network.layout(), |_| true));
        client(
            &mut *learner,
            &network,
            &start,
            rules()[1],
            &mut memory,
            &Resolved::default(),
        );
        learner.params_mut()[first].fill(0.25);
        let (mut logits, mut features) = (Vec::new(), Vec::new());
        let rows = batch(&network, 3, false, 9);
        learner.logits(&rows, &mut logits);
        learner.features(&rows, &mut features);
        let mut grad = vec![0.0; network.layout().len()];
        let loss = learner.backward(&rows, Mode::Evaluate, &mut grad);
        let all = learner.params().iter().chain(&logits).chain(&features);
        ends.push(all.chain(&grad).chain([&loss]).copied().collect::<Vec<_>>());
    }
    near(&ends[0], &ends[1], "after a change");
}
