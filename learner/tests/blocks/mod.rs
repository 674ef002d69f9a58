//! Residual blocks, layers of other kinds among those that the core knows, and answers at every place.

use super::*;
use lyceum_layers::{LayerNorm, Linear, RmsNorm};

fn residual(layers: Vec<Layer>, projection: Vec<Layer>) -> Layer {
    Layer::Residual { layers, projection }
}

fn linear(units: usize) -> Layer {
    Layer::open(
        "linear",
        Linear {
            units,
            bias: true,
            deviation: None,
        },
    )
}

fn layer_norm() -> Layer {
    Layer::open("layer_norm", LayerNorm { epsilon: 1e-5 })
}

/// A block that keeps its shape, one that changes it, one within another, and one that begins with an activation.
pub(crate) fn residual_images() -> Network {
    let layers = vec![
        conv(4, 3, 1, 1),
        Layer::Relu {},
        residual(
            vec![
                Layer::Relu {},
                conv(4, 3, 1, 1),
                batch_norm(0.1, 1e-3),
                Layer::Relu {},
                residual(vec![conv(4, 3, 1, 1), Layer::Tanh {}], vec![]),
            ],
            vec![],
        ),
        Layer::Relu {},
        residual(
            vec![
                conv(6, 3, 2, 1),
                group_norm(2, 1e-3),
                Layer::Dropout { share: 0.3 },
            ],
            vec![conv(6, 1, 2, 0)],
        ),
        Layer::MaxPool {
            size: 2,
            stride: Some(1),
        },
        dense(5),
        residual(vec![dense(7), Layer::Tanh {}, dense(5)], vec![]),
        Layer::Relu {},
        dense(3),
    ];
    network(&[2, 6, 6], layers)
}

#[test]
fn residual_blocks_follow_the_finite_differences() {
    check_against_the_reference(&residual_images(), (4, true, 61));
    check_against_the_reference(&residual_images(), (1, false, 62));
}

/// The batch itself is one side of the first block, and nothing before it is trained.
#[test]
fn a_block_may_begin_with_the_batch() {
    let first = residual(vec![conv(3, 3, 1, 1)], vec![conv(3, 1, 1, 0)]);
    let images = network(&[2, 5, 4], vec![first, Layer::Relu {}, dense(3)]);
    check_against_the_reference(&images, (3, true, 63));
    let flat = network(
        &[4],
        vec![residual(vec![dense(4), Layer::Relu {}], vec![]), dense(3)],
    );
    check_against_the_reference(&flat, (3, true, 64));
}

fn sequences(layers: Vec<Layer>, classes: usize) -> Network {
    Network::new(&[5, 4], classes, layers, Init::FanIn).expect("the layers fit together")
}

fn transformer() -> Vec<Layer> {
    let rms = || Layer::open("rms_norm", RmsNorm { epsilon: 1e-3 });
    vec![
        linear(6),
        residual(vec![layer_norm(), linear(6), Layer::Tanh {}], vec![]),
        Layer::Dropout { share: 0.25 },
        residual(vec![rms(), linear(9), Layer::Relu {}, linear(6)], vec![]),
        layer_norm(),
    ]
}

/// Sequences through layers of other kinds, to a label.
pub(crate) fn small_transformer() -> Network {
    let mut layers = transformer();
    layers.extend([dense(8), Layer::Relu {}, dense(3)]);
    sequences(layers, 3)
}

/// On Burn, layers that the core knows are Burn's; the others are the same code on both.
#[test]
fn layers_of_all_kinds_agree_between_engines() {
    for engine in ["fused", "ndarray"] {
        check_against_flex(engine, &small_transformer(), (4, true, 65), 1e-5);
        check_against_flex(engine, &residual_images(), (4, true, 66), 1e-4);
    }
}

/// The loss of a network that answers at each place is the mean over the places; its gradient is that of the loss.
#[test]
fn answers_at_every_place_follow_the_finite_differences() {
    let mut layers = transformer();
    layers.push(linear(3));
    let network = sequences(layers, 3);
    assert_eq!((network.answers(), network.classes()), (5, 3));
    let mut batch = batch(&network, 3, true, 67);
    batch.targets = (0..15).map(|place| place * 7 % 3).collect();
    let start = params(&network, 68);
    for engine in ["fused", "flex"] {
        let Ok(mut learner) = built(engine, &network) else {
            continue;
        };
        let mut loss_at = |params: &[f32], grad: &mut [f32]| {
            learner.load(&params.to_vec().into());
            f64::from(learner.backward(&batch, Mode::Evaluate, grad))
        };
        let mut grad = vec![0.0; start.len()];
        loss_at(&start, &mut grad);
        let mut spare = vec![0.0; start.len()];
        for at in (0..start.len()).step_by(7) {
            let mut moved = start.clone();
            moved[at] = start[at] + 1e-2;
            let up = loss_at(&moved, &mut spare);
            moved[at] = start[at] - 1e-2;
            let numeric = (up - loss_at(&moved, &mut spare)) / 2e-2;
            let off = (numeric - f64::from(grad[at])).abs();
            assert!(off < 2e-3, "{engine}, {at}: {numeric}, not {}", grad[at]);
        }
        let told = loss_at(&start, &mut spare);
        let mut logits = Vec::new();
        learner.logits(&batch, &mut logits);
        assert_eq!(logits.len(), 3 * 5 * 3);
        let mut losses = Vec::new();
        batch.loss.of_rows(&logits, batch.wanted(), &mut losses);
        let weighed = losses.iter().enumerate().map(|(at, loss)| {
            f64::from(*loss) * f64::from(batch.weights.get(at / 5).copied().unwrap_or(1.0))
        });
        let mean = weighed.sum::<f64>() / 15.0;
        assert!((mean - told).abs() < 1e-5);
    }
}

/// Values to be met are minimised by the same slopes on every engine.
#[test]
fn losses_of_values_agree_between_engines() {
    let network = network(&[4], vec![dense(6), Layer::Tanh {}, dense(3)]);
    let start = params(&network, 69);
    for loss in [Loss::MeanSquared, Loss::Cosine, Loss::MultiLabel] {
        let mut batch = batch(&network, 5, true, 70);
        batch.loss = loss;
        batch.goals = (0..15).map(|at| f32::from(at % 4 == 1)).collect();
        let grads = ["fused", "flex"].map(|engine| {
            let mut learner = built(engine, &network).ok()?;
            let mut grad = vec![0.0; start.len()];
            learner.load(&start.clone().into());
            learner.backward(&batch, Mode::Evaluate, &mut grad);
            Some(grad)
        });
        if let [Some(ours), Some(theirs)] = grads {
            let (whole, _) = distances(&ours, &as_f64(&theirs));
            assert!(whole < 1e-5, "{loss:?}: off by {whole}");
        }
    }
}
