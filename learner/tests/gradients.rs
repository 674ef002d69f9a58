//! Every engine against a slow reference in `f64`, against the other engines and against itself.

mod aims;
mod allocation;
mod blocks;
mod loading;
mod reference;
mod resident;
mod variational;

use lyceum_core::{
    Batch, Init, Layer, Learner, Loss, Mode, Moments, Network, Noise, Optimizer, Purpose, Resolved,
    ResolvedStrength, Role, Seed, Ticket, Update, step_by_gradient,
};
use lyceum_learner::engines;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::RngExt;

fn built(name: &str, network: &Network) -> Result<Box<dyn Learner>, String> {
    let engine = engines().into_iter().find(|e| e.name == name);
    (engine.expect("all engines are listed").build)(network)
}

/// Learners of the compiled processor engines, loaded with the same parameters.
fn learners(network: &Network, params: &[f32]) -> Vec<(&'static str, Box<dyn Learner>)> {
    let loaded = |name| {
        let mut learner = built(name, network).ok()?;
        learner.load(&params.to_vec().into());
        Some((name, learner))
    };
    ["fused", "flex", "ndarray"]
        .into_iter()
        .filter_map(loaded)
        .collect()
}

/// A batch drawn from `seed`; weighted if asked for, with a zero and unequal weights.
fn batch(network: &Network, rows: usize, weighted: bool, seed: u64) -> Batch {
    let mut rng = Seed(seed).stream(Purpose::DATA, Ticket(0), None);
    let mut batch = Batch::default();
    let values = rows * network.inputs();
    batch
        .inputs
        .extend((0..values).map(|_| rng.random::<f32>() * 2.0 - 1.0));
    for row in 0..rows {
        batch
            .labels
            .push(rng.random_range(0..network.classes() as u32));
        if weighted {
            batch.weights.push((row % 3) as f32 * 0.7 + 0.1);
        }
    }
    batch
}

/// Initial parameters, with everything that has one value per channel moved off its start by up to 0.4, so
/// that normalisations differ from the identity and no value stands at a bend by construction.
fn params(network: &Network, seed: u64) -> Vec<f32> {
    let mut params = network.initial(Seed(seed));
    let mut rng = Seed(seed).stream(Purpose::DATA, Ticket(1), None);
    let vectors = network.layout().entries().iter();
    for entry in vectors.filter(|e| e.shape.len() == 1) {
        let values = params[entry.range()].iter_mut();
        values.for_each(|v| *v += rng.random::<f32>() * 0.8 - 0.4);
    }
    params
}

fn batch_norm(momentum: f64, epsilon: f64) -> Layer {
    Layer::BatchNorm { momentum, epsilon }
}

fn group_norm(groups: usize, epsilon: f64) -> Layer {
    Layer::GroupNorm { groups, epsilon }
}

fn dense(units: usize) -> Layer {
    Layer::Dense { units }
}

fn conv(channels: usize, kernel: usize, stride: usize, padding: usize) -> Layer {
    Layer::Conv {
        channels,
        kernel,
        stride,
        padding,
    }
}

fn network(input: &[usize], layers: Vec<Layer>) -> Network {
    let classes = match layers.last() {
        Some(Layer::Dense { units }) => *units,
        _ => panic!("test networks end in a dense layer"),
    };
    Network::new(input, classes, layers, Init::FanIn).expect("test networks fit together")
}

fn softmax() -> Network {
    network(&[7], vec![dense(4)])
}

fn mlp() -> Network {
    let layers = vec![
        dense(9),
        Layer::Relu {},
        dense(6),
        Layer::Tanh {},
        Layer::Dropout { share: 0.3 },
        dense(3),
    ];
    network(&[5], layers)
}

fn cnn() -> Network {
    let layers = vec![
        conv(3, 3, 2, 1),
        Layer::Relu {},
        Layer::MaxPool {
            size: 2,
            stride: Some(1),
        },
        Layer::Dropout { share: 0.25 },
        conv(4, 2, 1, 0),
        Layer::Tanh {},
        Layer::AvgPool {
            size: 2,
            stride: Some(1),
        },
        dense(6),
        Layer::Relu {},
        dense(5),
    ];
    network(&[2, 9, 7], layers)
}

/// Batch normalisation as first and as last layer but one, with groups in between.
fn normalised_mlp() -> Network {
    let layers = vec![
        batch_norm(0.1, 1e-5),
        dense(8),
        group_norm(4, 1e-5),
        Layer::Tanh {},
        dense(6),
        Layer::Relu {},
        batch_norm(0.3, 1e-3),
        dense(3),
    ];
    network(&[5], layers)
}

/// Both normalisations at both ends of the image layers; one group, two, and as many as channels.
fn normalised_cnn() -> Network {
    let layers = vec![
        batch_norm(0.1, 1e-5),
        group_norm(1, 1e-5),
        conv(4, 3, 1, 1),
        group_norm(2, 1e-5),
        Layer::Relu {},
        Layer::MaxPool {
            size: 2,
            stride: None,
        },
        Layer::Dropout { share: 0.25 },
        conv(3, 2, 1, 0),
        batch_norm(0.7, 1e-5),
        Layer::Tanh {},
        group_norm(3, 1e-5),
        Layer::Flatten {},
        group_norm(2, 1e-5),
        dense(5),
    ];
    network(&[2, 6, 5], layers)
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Distance over norm, and largest difference over largest value; below a thousandth both are taken as one.
fn distances(got: &[f32], want: &[f64]) -> (f64, f64) {
    let differences = || got.iter().zip(want).map(|(&g, w)| f64::from(g) - w);
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |m, v| v.abs().max(m));
    (
        norm(differences()) / norm(want.iter().copied()).max(1e-3),
        largest(&mut differences()) / largest(&mut want.iter().copied()).max(1e-3),
    )
}

fn as_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// The values of all parameters that are running statistics, or of all that are not.
fn part<T: Copy>(network: &Network, values: &[T], statistics: bool) -> Vec<T> {
    let entries = network.layout().entries().iter();
    entries
        .filter(|e| (e.role == Role::Statistic) == statistics)
        .flat_map(|e| values[e.range()].to_vec())
        .collect()
}

/// Rows, whether they are weighted, and a seed: what a batch is drawn from.
type Drawn = (usize, bool, u64);

/// A step of training in which these layers are frozen.
fn train(seed: u64, fixed: &[bool]) -> Mode<'_> {
    let noise = Noise::of_key(seed);
    Mode::Train { noise, fixed }
}

/// Every second batch normalisation, the first included.
fn every_second_norm(network: &Network) -> Vec<bool> {
    let mut seen = 0;
    let is_fixed = |layer: &Layer| match layer {
        Layer::BatchNorm { .. } => {
            seen += 1;
            seen % 2 == 1
        }
        _ => false,
    };
    network.layers().iter().map(is_fixed).collect()
}

/// The modes in which a network is another function, with what each is called.
fn modes<'a>(network: &Network, seed: u64, fixed: &'a [bool]) -> Vec<(&'static str, Mode<'a>)> {
    let mut all = vec![("training", train(seed, &[]))];
    if fixed.contains(&true) {
        all.push(("training with frozen layers", train(seed, fixed)));
    }
    if fixed.contains(&true) || network.has_dropout() {
        all.push(("evaluation", Mode::Evaluate));
    }
    all
}

fn check_against_the_reference(network: &Network, (rows, weighted, seed): Drawn) {
    let fixed = every_second_norm(network);
    for loss in [Loss::CrossEntropy, Loss::Sigmoid] {
        let batch = Batch {
            loss,
            ..batch(network, rows, weighted, seed)
        };
        for (what, mode) in modes(network, seed, &fixed) {
            check_mode_against_the_reference(network, &batch, seed, (what, mode));
        }
    }
}

fn check_mode_against_the_reference(
    network: &Network,
    batch: &Batch,
    seed: u64,
    (mode_name, mode): (&str, Mode<'_>),
) {
    let params = params(network, seed + 1);
    let want = reference::gradient(network, &params, batch, mode);
    let want_loss = reference::loss(network, &as_f64(&params), batch, mode);
    let want_logits = reference::logits(network, &as_f64(&params), batch, Mode::Evaluate);
    for (name, mut learner) in learners(network, &params) {
        let mut grad = vec![f32::NAN; params.len()];
        let loss = f64::from(learner.backward(batch, mode, &mut grad));
        assert!(
            (loss - want_loss).abs() < 1e-4 * want_loss.max(0.1),
            "{name}, {mode_name}: loss {loss}, not {want_loss}"
        );
        for statistics in [false, true] {
            let got = part(network, &grad, statistics);
            let (whole, worst) = distances(&got, &part(network, &want, statistics));
            let what = if statistics { "statistics" } else { "gradient" };
            let what = format!("{name}, {mode_name}: {what}");
            assert!(whole < 1e-3, "{what} off by {whole} of its norm");
            assert!(worst < 1e-2, "{what}: an entry off by {worst}");
        }
        let mut logits = vec![0.0];
        learner.logits(batch, &mut logits);
        assert_eq!(logits.len(), want_logits.len());
        let (whole, _) = distances(&logits, &want_logits);
        assert!(whole < 1e-4, "{name}: logits off by {whole} of their norm");
    }
}

fn check_against_flex(
    other: &str,
    network: &Network,
    (rows, weighted, seed): Drawn,
    tolerance: f64,
) {
    let batch = batch(network, rows, weighted, seed);
    let params = params(network, seed + 1);
    let (Ok(mut ours), Ok(mut theirs)) = (built("flex", network), built(other, network)) else {
        return;
    };
    let fixed = every_second_norm(network);
    for (what, mode) in modes(network, seed, &fixed) {
        let mut grads = [vec![f32::NAN; params.len()], vec![f32::NAN; params.len()]];
        for (learner, grad) in [&mut ours, &mut theirs].into_iter().zip(&mut grads) {
            learner.load(&params.clone().into());
            learner.backward(&batch, mode, grad);
        }
        let (whole, _) = distances(&grads[1], &as_f64(&grads[0]));
        assert!(
            whole < tolerance,
            "{other}, {what}: off by {whole} of the norm"
        );
    }
}

#[test]
fn softmax_follows_the_finite_differences() {
    check_against_the_reference(&softmax(), (11, true, 1));
}

#[test]
fn the_multilayer_perceptron_follows_the_finite_differences() {
    check_against_the_reference(&mlp(), (6, true, 2));
    check_against_the_reference(&mlp(), (1, false, 3));
}

#[test]
fn the_convolutional_network_follows_the_finite_differences() {
    check_against_the_reference(&cnn(), (3, true, 4));
    check_against_the_reference(&cnn(), (1, false, 5));
}

/// One pixel: the smallest image, with and without a window around it.
#[test]
fn images_of_one_pixel_follow_the_finite_differences() {
    let pool = Layer::MaxPool {
        size: 1,
        stride: None,
    };
    let layers = vec![
        conv(2, 3, 1, 1),
        Layer::Tanh {},
        pool,
        conv(3, 1, 1, 0),
        Layer::Relu {},
        dense(2),
    ];
    let network = network(&[1, 1, 1], layers);
    for (rows, seed) in [(1, 6), (5, 7)] {
        check_against_the_reference(&network, (rows, true, seed));
    }
}

/// Without a mask there is nothing that a layer of dropout could change, to the bit.
#[test]
fn evaluation_goes_through_a_network_without_its_dropout() {
    let layers = |dropout: bool| {
        let share = Layer::Dropout { share: 0.5 };
        let drops = || dropout.then(|| share.clone());
        let all = [Some(conv(3, 3, 1, 1)), drops(), Some(Layer::Relu {})];
        let rest = [
            Some(dense(6)),
            Some(Layer::Tanh {}),
            drops(),
            Some(dense(3)),
        ];
        all.into_iter().chain(rest).flatten().collect()
    };
    let (with, without) = (
        network(&[2, 5, 4], layers(true)),
        network(&[2, 5, 4], layers(false)),
    );
    let (batch, params) = (batch(&with, 7, true, 35), params(&with, 36));
    let bits = |network: &Network, mode: Mode<'_>| {
        let bits = |(_, mut learner): (_, Box<dyn Learner>)| {
            let mut grad = vec![0.0; params.len()];
            let loss = learner.backward(&batch, mode, &mut grad);
            let values = grad.iter().chain([&loss]);
            values.map(|value| value.to_bits()).collect()
        };
        learners(network, &params).into_iter().map(bits).collect()
    };
    let judged: Vec<Vec<u32>> = bits(&with, Mode::Evaluate);
    assert_eq!(judged, bits(&without, train(1, &[])));
    assert_ne!(judged, bits(&with, train(1, &[])));
    assert_ne!(bits(&with, train(1, &[])), bits(&with, train(2, &[])));
}

/// A step moves neither the running mean nor the running variance of a frozen layer, by a bit, whatever the rule.
#[test]
fn a_step_leaves_the_statistics_of_a_frozen_normalisation() {
    for network in [normalised_mlp(), normalised_cnn()] {
        let start = params(&network, 37);
        let all = 0..start.len();
        let fixed = network.fixed(std::slice::from_ref(&all));
        for (name, mut learner) in learners(&network, &start) {
            let mut memory = Moments::new(network.layout());
            let mut update = Update {
                optimizer: Optimizer::Sgd { momentum: 0.9 },
                rate: 0.1,
                weight_decay: 0.1,
                clip: None,
                objective: &Resolved::default(),
                memory: &mut memory,
            };
            for seed in 0..3 {
                let batch = batch(&network, 6, true, seed);
                learner.step(&batch, train(seed, &fixed), &mut update);
            }
            let after = learner.params();
            assert_eq!(
                part(&network, after, true),
                part(&network, &start, true),
                "{name}"
            );
            assert_ne!(part(&network, after, false), part(&network, &start, false));
        }
    }
}

#[test]
fn normalised_flat_values_follow_the_finite_differences() {
    let network = normalised_mlp();
    check_against_the_reference(&network, (9, true, 21));
    check_against_the_reference(&network, (2, false, 22));
}

#[test]
fn normalised_images_follow_the_finite_differences() {
    let network = normalised_cnn();
    check_against_the_reference(&network, (5, true, 23));
    check_against_the_reference(&network, (2, false, 24));
}

/// One value per channel of the batch: it normalises to zero, and the variance estimate stays biased.
#[test]
fn normalised_batches_of_one_row_follow_the_finite_differences() {
    for (network, seed) in [(normalised_mlp(), 25), (normalised_cnn(), 26)] {
        check_against_the_reference(&network, (1, true, seed));
    }
}

#[test]
fn normalised_images_of_one_pixel_follow_the_finite_differences() {
    let layers = vec![
        conv(4, 1, 1, 0),
        batch_norm(0.1, 1e-5),
        Layer::Relu {},
        conv(4, 3, 1, 1),
        group_norm(4, 1e-5),
        conv(4, 1, 1, 0),
        group_norm(2, 1e-5),
        batch_norm(1.0, 1e-5),
        dense(2),
    ];
    let network = network(&[3, 1, 1], layers);
    for (rows, seed) in [(1, 27), (6, 28)] {
        check_against_the_reference(&network, (rows, true, seed));
    }
}

#[test]
fn one_class_heads_follow_the_finite_differences() {
    let layers = vec![batch_norm(0.1, 1e-5), dense(4), Layer::Tanh {}, dense(1)];
    for layers in [layers, vec![dense(1)]] {
        let network = network(&[3], layers);
        check_against_the_reference(&network, (5, true, 29));
        check_against_the_reference(&network, (1, false, 30));
    }
}

#[test]
fn a_normalisation_may_be_all_there_is() {
    for layer in [
        batch_norm(0.1, 1e-5),
        group_norm(1, 1e-5),
        group_norm(2, 1e-5),
    ] {
        let network = Network::new(&[4], 4, vec![layer.clone()], Init::He).unwrap();
        check_against_the_reference(&network, (6, true, 31));
        let network = Network::new(&[4, 2, 1], 8, vec![layer, Layer::Flatten {}], Init::He);
        let network = network.unwrap();
        check_against_the_reference(&network, (6, true, 32));
    }
}

/// A server with adaptive steps may bring the running variance below zero.
#[test]
fn a_negative_running_variance_is_read_as_zero() {
    for network in [normalised_mlp(), normalised_cnn()] {
        let batch = batch(&network, 3, false, 33);
        let with_variance = |value: f32| {
            let mut params = params(&network, 34);
            let variances = network.layout().entries().iter();
            for entry in variances.filter(|e| e.name.ends_with(".variance")) {
                params[entry.range()].fill(value);
            }
            let logits_of = |(_, mut learner): (_, Box<dyn Learner>)| {
                let mut logits = Vec::new();
                learner.logits(&batch, &mut logits);
                logits
            };
            let learners = learners(&network, &params).into_iter();
            learners.map(logits_of).collect::<Vec<_>>()
        };
        let logits = with_variance(-0.5);
        assert_eq!(logits, with_variance(0.0));
        assert!(logits.iter().flatten().all(|z| z.is_finite()));
    }
}

#[test]
fn a_network_without_parameters_has_a_loss_and_no_gradient() {
    let network = Network::new(&[3], 3, vec![Layer::Tanh {}], Init::He).unwrap();
    let batch = batch(&network, 4, true, 8);
    let want = reference::loss(&network, &[], &batch, Mode::Evaluate);
    for (name, mut learner) in learners(&network, &[]) {
        let loss = f64::from(learner.backward(&batch, Mode::Evaluate, &mut []));
        assert!((loss - want).abs() < 1e-5, "{name}: {loss}, not {want}");
    }
}

#[test]
fn an_empty_batch_changes_nothing() {
    let network = mlp();
    let params = network.initial(Seed(9));
    for (_, mut learner) in learners(&network, &params) {
        let mut grad = vec![f32::NAN; params.len()];
        assert_eq!(
            learner.backward(&Batch::default(), train(1, &[]), &mut grad),
            0.0
        );
        assert!(grad.iter().all(|&g| g == 0.0));
        let mut logits = vec![1.0];
        learner.logits(&Batch::default(), &mut logits);
        assert!(logits.is_empty());
    }
}

/// Layers of which some may not fit where they stand; those are left out.
fn any_layer() -> impl Strategy<Value = Layer> {
    prop_oneof![
        (1..4_usize, 1..4_usize, 1..4_usize, 0..3_usize).prop_map(|(c, k, s, p)| conv(c, k, s, p)),
        (1..4_usize, 1..4_usize).prop_map(|(size, stride)| Layer::MaxPool {
            size,
            stride: Some(stride)
        }),
        (1..4_usize, 1..4_usize).prop_map(|(size, stride)| Layer::AvgPool {
            size,
            stride: Some(stride)
        }),
        Just(Layer::Relu {}),
        Just(Layer::Tanh {}),
        (0.0..0.6_f64).prop_map(|share| Layer::Dropout { share }),
        (1..8_usize).prop_map(dense),
        (0.0..1.0_f64, -3.0..-1.0_f64).prop_map(|(m, e)| batch_norm(m, 10_f64.powf(e))),
        (1..4_usize, -3.0..-1.0_f64).prop_map(|(groups, e)| group_norm(groups, 10_f64.powf(e))),
    ]
}

fn any_network() -> impl Strategy<Value = Network> {
    let input = prop_oneof![
        prop::array::uniform3(1..6_usize).prop_map(|shape| shape.to_vec()),
        (1..9_usize).prop_map(|width| vec![width]),
    ];
    let layers = prop::collection::vec(any_layer(), 0..6);
    (input, layers, 2..6_usize).prop_map(|(input, layers, classes)| {
        let with_head = |mut layers: Vec<Layer>| {
            layers.push(dense(classes));
            Network::new(&input, classes, layers, Init::FanIn)
        };
        let mut fitting = Vec::new();
        for layer in layers {
            fitting.push(layer);
            if with_head(fitting.clone()).is_err() {
                fitting.pop();
            }
        }
        with_head(fitting).expect("only layers that fit were kept")
    })
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(20),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn any_stack_follows_the_finite_differences(
        network in any_network(),
        rows in 1..8_usize,
        weighted: bool,
        seed in 0..1000_u64,
    ) {
        let drawn = (rows, weighted, seed);
        check_against_the_reference(&network, drawn);
        check_against_flex("ndarray", &network, drawn, 1e-4);
        check_against_flex("fused", &network, drawn, 1e-4);
    }

    /// Sizes at which blocks, vectors and their remainders all come up.
    #[test]
    fn any_large_convolution_agrees_with_flex(
        (channels, first, second) in (1..20_usize, 1..40_usize, 1..40_usize),
        (height, width) in (5..22_usize, 5..22_usize),
        (kernel, stride, padding) in (1..6_usize, 1..4_usize, 0..3_usize),
        pool in 1..4_usize,
        rows in 1..12_usize,
        seed in 0..1000_u64,
    ) {
        let layers = vec![
            conv(first, kernel, stride, padding),
            Layer::Relu {},
            Layer::MaxPool { size: pool, stride: None },
            group_norm(1, 1e-5),
            conv(second, 3, 1, 1),
            Layer::Tanh {},
            dense(10),
        ];
        let network = Network::new(&[channels, height, width], 10, layers, Init::FanIn);
        prop_assume!(network.is_ok());
        let network = network.expect("it is there");
        check_against_flex("fused", &network, (rows, true, seed), 1e-4);
    }
}

/// Wide enough that the matrix kernels block and pack.
/// An engine may apply gradients without ever storing them; it must come to the same parameters.
#[test]
fn a_step_is_the_gradient_and_then_the_update() {
    let adam = Optimizer::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-3,
    };
    let sgd = |momentum| Optimizer::Sgd { momentum };
    for network in [mlp(), cnn(), normalised_cnn()] {
        let (start, anchor) = (params(&network, 41), params(&network, 42));
        let strengths: Vec<f32> = (0..anchor.len()).map(|i| (i % 5) as f32 * 0.1).collect();
        let pulling = Resolved {
            pulls: vec![
                (ResolvedStrength::Uniform(0.3), &anchor),
                (ResolvedStrength::Each(&strengths), &start),
            ],
            shifts: vec![&anchor],
            ..Resolved::default()
        };
        for optimizer in [sgd(0.0), sgd(0.9), adam] {
            for (decay, clip, objective) in [
                (0.0, None, &Resolved::default()),
                (0.1, None, &pulling),
                (0.1, Some(0.2), &pulling),
            ] {
                let after = |apart: bool| {
                    let mut learner = built("fused", &network).unwrap();
                    learner.load(&start.clone().into());
                    let mut memory = Moments::new(network.layout());
                    for seed in 0..4 {
                        let batch = batch(&network, 5, true, seed);
                        let mut update = Update {
                            optimizer,
                            rate: 0.05,
                            weight_decay: decay,
                            clip,
                            objective,
                            memory: &mut memory,
                        };
                        if apart {
                            step_by_gradient(&mut *learner, &batch, train(seed, &[]), &mut update);
                        } else {
                            learner.step(&batch, train(seed, &[]), &mut update);
                        }
                    }
                    learner.params().to_vec()
                };
                let (whole, worst) = distances(&after(false), &as_f64(&after(true)));
                assert!(
                    whole < 1e-5 && worst < 1e-4,
                    "{optimizer:?}: off by {whole}, {worst}"
                );
            }
        }
    }
}

fn wide() -> Network {
    network(
        &[97],
        vec![dense(130), Layer::Relu {}, dense(61), dense(10)],
    )
}

#[test]
fn ndarray_agrees_with_flex() {
    for network in [
        softmax(),
        mlp(),
        cnn(),
        wide(),
        normalised_mlp(),
        normalised_cnn(),
    ] {
        check_against_flex("ndarray", &network, (33, true, 10), 1e-4);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped comparison should be seen")]
fn wgpu_agrees_with_flex() {
    if let Err(reason) = built("wgpu", &softmax()) {
        eprintln!("skipped: {reason}");
        return;
    }
    for network in [
        softmax(),
        mlp(),
        cnn(),
        wide(),
        normalised_mlp(),
        normalised_cnn(),
    ] {
        check_against_flex("wgpu", &network, (33, true, 10), 1e-4);
    }
}

fn gradient_bits(name: &str, network: &Network, batch: &Batch) -> Vec<u32> {
    let mut learner = built(name, network).expect("only compiled engines are asked for");
    learner.load(&network.initial(Seed(11)).into());
    let mut grad = vec![0.0; network.layout().len()];
    let loss = learner.backward(batch, train(12, &[]), &mut grad);
    grad.iter()
        .chain([&loss])
        .map(|value| value.to_bits())
        .collect()
}

#[test]
fn calls_and_threads_never_change_a_bit() {
    for network in [mlp(), cnn(), wide(), normalised_mlp(), normalised_cnn()] {
        let batch = batch(&network, 21, true, 12);
        for (name, _) in learners(&network, &network.initial(Seed(11))) {
            let want = gradient_bits(name, &network, &batch);
            let work = || {
                for _ in 0..20 {
                    assert_eq!(gradient_bits(name, &network, &batch), want, "{name}");
                }
            };
            std::thread::scope(|scope| [scope.spawn(work), scope.spawn(work)].map(|_| ()));
        }
    }
}

/// Losses of 200 steps of SGD with momentum.
fn losses(learner: &mut dyn Learner, batch: &Batch, memory: &mut Moments) -> Vec<f32> {
    let objective = Resolved::default();
    let mut step = || {
        let mut update = Update {
            optimizer: Optimizer::Sgd { momentum: 0.9 },
            rate: 0.1,
            weight_decay: 0.0,
            clip: None,
            objective: &objective,
            memory: &mut *memory,
        };
        learner.step(batch, train(13, &[]), &mut update)
    };
    (0..200).map(|_| step()).collect()
}

/// Points in the plane, with the side of a line as their class.
fn half_planes(network: &Network) -> Batch {
    let mut batch = batch(network, 40, false, 13);
    for (label, point) in batch.labels.iter_mut().zip(batch.inputs.chunks_exact(2)) {
        *label = u32::from(point[0] + point[1] > 0.0);
    }
    batch
}

#[test]
fn training_separates_two_half_planes() {
    let layers = vec![dense(8), Layer::Tanh {}, dense(2)];
    let network = network(&[2], layers);
    for loss in [Loss::CrossEntropy, Loss::Sigmoid] {
        let batch = Batch {
            loss,
            ..half_planes(&network)
        };
        for (name, mut learner) in learners(&network, &network.initial(Seed(14))) {
            let mut memory = Moments::new(network.layout());
            let losses = losses(&mut *learner, &batch, &mut memory);
            assert!(losses[199] < 0.2 * losses[0], "{name}: {losses:?}");
            assert_eq!(memory.steps, 200);
        }
    }
}

/// The same batch again and again: the running statistics become its own, so that the model judged is the
/// model trained.
#[test]
fn training_with_batch_norm_separates_two_half_planes() {
    let norm = || batch_norm(0.1, 1e-5);
    let layers = vec![norm(), dense(8), norm(), Layer::Relu {}, dense(2)];
    let network = network(&[2], layers);
    let batch = half_planes(&network);
    for (name, mut learner) in learners(&network, &network.initial(Seed(14))) {
        let mut memory = Moments::new(network.layout());
        let losses = losses(&mut *learner, &batch, &mut memory);
        assert!(losses[199] < 0.2 * losses[0], "{name}: {losses:?}");
        let (mut logits, mut judged) = (Vec::new(), Vec::new());
        learner.logits(&batch, &mut logits);
        batch.loss.of_rows(&logits, batch.wanted(), &mut judged);
        let mean = judged.iter().sum::<f32>() / 40.0;
        assert!(
            (mean - losses[199]).abs() < 0.1 * losses[0],
            "{name}: {mean}"
        );
    }
}
