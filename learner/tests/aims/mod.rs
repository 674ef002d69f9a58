//! Masks, targets, features and seen logits: the same on every engine.

use super::{batch, cnn, conv, dense, learners, mlp, network, params, softmax, train};
use lyceum_core::{ALL_CLASSES, Aims, Batch, Layer, Loss, Match, MatchKind, Mode, Network};
use std::sync::Arc;

const KINDS: [MatchKind; 4] = [
    MatchKind::Nothing,
    MatchKind::Logits,
    MatchKind::Softmax { temperature: 2.0 },
    MatchKind::Sigmoid,
];

/// A batch whose rows are masked in turn, and matched in each way in turn.
fn aimed(network: &Network, rows: usize, loss: Loss) -> Batch {
    let mut batch = batch(network, rows, true, 5);
    let classes = network.classes();
    let sets = vec![
        vec![true; classes],
        (0..classes).map(|c| c % 2 == 0).collect(),
    ];
    let aims = Aims {
        sets: Arc::new(sets),
        open: (0..rows as u32)
            .map(|r| [ALL_CLASSES, 1][r as usize % 2])
            .collect(),
        matches: (0..rows)
            .map(|r| Match {
                kind: KINDS[r % 4],
                weight: 0.5 + r as f32,
                open: [1, ALL_CLASSES][r / 2 % 2],
            })
            .collect(),
        values: (0..rows * classes)
            .map(|i| (i as f32 * 0.7).sin())
            .collect(),
    };
    // A masked row's own class takes part.
    for (label, open) in batch.labels.iter_mut().zip(&aims.open) {
        if *open == 1 {
            *label = *label / 2 * 2;
        }
    }
    batch.loss = loss;
    batch.aims = aims;
    batch
}

/// Without dropout, so that a step sees what a test would.
fn still_cnn() -> Network {
    let layers = vec![
        conv(3, 3, 2, 1),
        Layer::Relu {},
        dense(6),
        Layer::Relu {},
        dense(5),
    ];
    network(&[2, 9, 7], layers)
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-4 * (1.0 + a.abs().max(b.abs()))
}

fn all_near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(*a, *b))
}

#[test]
fn engines_agree_on_masked_and_matched_rows() {
    for network in [softmax(), mlp(), cnn()] {
        for loss in [Loss::CrossEntropy, Loss::Sigmoid] {
            let batch = aimed(&network, 9, loss);
            let start = params(&network, 2);
            let mut first: Option<(f32, Vec<f32>)> = None;
            for (name, mut learner) in learners(&network, &start) {
                let mut grad = vec![f32::NAN; start.len()];
                let value = learner.backward(&batch, train(2, &[]), &mut grad);
                match &first {
                    None => first = Some((value, grad)),
                    Some((want, gradient)) => {
                        assert!(near(value, *want), "{name}: {value} {want}");
                        assert!(all_near(&grad, gradient), "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn plain_rows_lose_the_same_with_and_without_empty_targets() {
    let network = mlp();
    let start = params(&network, 2);
    for (name, mut learner) in learners(&network, &start) {
        let plain = batch(&network, 6, true, 5);
        let mut aimed = plain.clone();
        aimed.aims.open = vec![ALL_CLASSES; 6];
        let mut grads = [vec![0.0; start.len()], vec![0.0; start.len()]];
        let losses = [
            learner.backward(&plain, train(5, &[]), &mut grads[0]),
            learner.backward(&aimed, train(5, &[]), &mut grads[1]),
        ];
        assert!(near(losses[0], losses[1]), "{name}: {losses:?}");
        assert!(all_near(&grads[0], &grads[1]), "{name}");
    }
}

#[test]
fn seen_logits_are_those_of_the_step_and_features_those_before_the_head() {
    for network in [softmax(), still_cnn()] {
        let start = params(&network, 3);
        let width = network.features().unwrap();
        let head = network
            .layout()
            .entries()
            .iter()
            .rev()
            .nth(1)
            .unwrap()
            .range();
        let mut all = Vec::new();
        for (name, mut learner) in learners(&network, &start) {
            let mut batch = batch(&network, 5, false, 8);
            batch.keep_logits = true;
            let (mut logits, mut features, mut seen) = (vec![], vec![], vec![]);
            learner.logits(&batch, &mut logits);
            learner.features(&batch, &mut features);
            learner.backward(&batch, Mode::Evaluate, &mut vec![0.0; start.len()]);
            learner.seen_logits(&mut seen);
            assert!(all_near(&seen, &logits), "{name}");
            assert_eq!(features.len(), 5 * width, "{name}");
            // The first logit of the first row, by hand.
            let bias = start[head.end];
            let weights = &start[head.start..head.start + width];
            let by_hand: f32 = features[..width]
                .iter()
                .zip(weights)
                .map(|(f, w)| f * w)
                .sum();
            assert!(near(by_hand + bias, logits[0]), "{name}");
            all.push(features);
        }
        assert!(all.windows(2).all(|pair| all_near(&pair[0], &pair[1])));
    }
}

#[test]
fn a_tensor_that_no_layer_reads_stays_as_it_is() {
    let mut network = mlp();
    network.append("means", vec![3, 7], lyceum_core::Role::Statistic);
    let mut start = params(&network, 2);
    let tail = start.len() - 21;
    start[tail..].fill(0.25);
    for (name, mut learner) in learners(&network, &start) {
        let batch = batch(&network, 6, false, 5);
        let mut memory = lyceum_core::Moments::new(network.layout());
        let objective = lyceum_core::Resolved::default();
        for clip in [None, Some(1.0)] {
            let mut update = lyceum_core::Update {
                optimizer: lyceum_core::Optimizer::Sgd { momentum: 0.9 },
                rate: 0.1,
                weight_decay: 0.1,
                clip,
                objective: &objective,
                memory: &mut memory,
            };
            learner.step(&batch, train(5, &[]), &mut update);
        }
        assert!(
            learner.params()[tail..].iter().all(|&v| v == 0.25),
            "{name}"
        );
    }
}
