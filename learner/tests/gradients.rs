//! Every engine against a slow reference in `f64`, against the other engines and against itself.

mod reference;

use lyceum_core::{
    Batch, Init, Layer, Learner, Moments, Network, Optimizer, Purpose, Resolved, Seed, Ticket,
    Update,
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
        learner.load(params);
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
    let mut batch = Batch {
        noise: seed,
        ..Batch::default()
    };
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

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Distance over norm, and largest difference over largest value.
fn distances(got: &[f32], want: &[f64]) -> (f64, f64) {
    let differences = || got.iter().zip(want).map(|(&g, w)| f64::from(g) - w);
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |m, v| v.abs().max(m));
    (
        norm(differences()) / norm(want.iter().copied()),
        largest(&mut differences()) / largest(&mut want.iter().copied()),
    )
}

fn as_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn check_against_the_reference(network: &Network, batch: &Batch) {
    let params = network.initial(Seed(batch.noise + 1));
    let want = reference::gradient(network, &params, batch);
    let want_loss = reference::loss(network, &as_f64(&params), batch);
    let want_logits = reference::logits(network, &as_f64(&params), batch, false);
    for (name, mut learner) in learners(network, &params) {
        let mut grad = vec![f32::NAN; params.len()];
        let loss = f64::from(learner.backward(batch, &mut grad));
        assert!(
            (loss - want_loss).abs() < 1e-4 * want_loss.max(0.1),
            "{name}: loss {loss}, not {want_loss}"
        );
        let (whole, worst) = distances(&grad, &want);
        assert!(whole < 1e-3, "{name}: gradient off by {whole} of its norm");
        assert!(worst < 1e-2, "{name}: an entry off by {worst}");
        let mut logits = vec![0.0];
        learner.logits(batch, &mut logits);
        assert_eq!(logits.len(), want_logits.len());
        let (whole, _) = distances(&logits, &want_logits);
        assert!(whole < 1e-4, "{name}: logits off by {whole} of their norm");
    }
}

fn check_against_flex(other: &str, network: &Network, batch: &Batch, tolerance: f64) {
    let params = network.initial(Seed(batch.noise + 1));
    let (Ok(mut ours), Ok(mut theirs)) = (built("flex", network), built(other, network)) else {
        return;
    };
    let mut grads = [vec![f32::NAN; params.len()], vec![f32::NAN; params.len()]];
    for (learner, grad) in [&mut ours, &mut theirs].into_iter().zip(&mut grads) {
        learner.load(&params);
        learner.backward(batch, grad);
    }
    let (whole, _) = distances(&grads[1], &as_f64(&grads[0]));
    assert!(whole < tolerance, "{other}: off by {whole} of the norm");
}

#[test]
fn softmax_follows_the_finite_differences() {
    check_against_the_reference(&softmax(), &batch(&softmax(), 11, true, 1));
}

#[test]
fn the_multilayer_perceptron_follows_the_finite_differences() {
    check_against_the_reference(&mlp(), &batch(&mlp(), 6, true, 2));
    check_against_the_reference(&mlp(), &batch(&mlp(), 1, false, 3));
}

#[test]
fn the_convolutional_network_follows_the_finite_differences() {
    check_against_the_reference(&cnn(), &batch(&cnn(), 3, true, 4));
    check_against_the_reference(&cnn(), &batch(&cnn(), 1, false, 5));
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
        check_against_the_reference(&network, &batch(&network, rows, true, seed));
    }
}

#[test]
fn a_network_without_parameters_has_a_loss_and_no_gradient() {
    let network = Network::new(&[3], 3, vec![Layer::Tanh {}], Init::He).unwrap();
    let batch = batch(&network, 4, true, 8);
    let want = reference::loss(&network, &[], &batch);
    for (name, mut learner) in learners(&network, &[]) {
        let loss = f64::from(learner.backward(&batch, &mut []));
        assert!((loss - want).abs() < 1e-5, "{name}: {loss}, not {want}");
    }
}

#[test]
fn an_empty_batch_changes_nothing() {
    let network = mlp();
    let params = network.initial(Seed(9));
    for (_, mut learner) in learners(&network, &params) {
        let mut grad = vec![f32::NAN; params.len()];
        assert_eq!(learner.backward(&Batch::default(), &mut grad), 0.0);
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
    #![proptest_config(cases(60))]

    #[test]
    fn any_stack_follows_the_finite_differences(
        network in any_network(),
        rows in 1..8_usize,
        weighted: bool,
        seed in 0..1000_u64,
    ) {
        let batch = batch(&network, rows, weighted, seed);
        check_against_the_reference(&network, &batch);
        check_against_flex("ndarray", &network, &batch, 1e-4);
    }
}

/// Wide enough that the matrix kernels block and pack.
fn wide() -> Network {
    network(
        &[97],
        vec![dense(130), Layer::Relu {}, dense(61), dense(10)],
    )
}

#[test]
fn ndarray_agrees_with_flex() {
    for network in [softmax(), mlp(), cnn(), wide()] {
        check_against_flex("ndarray", &network, &batch(&network, 33, true, 10), 1e-4);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped comparison should be seen")]
fn wgpu_agrees_with_flex() {
    if let Err(reason) = built("wgpu", &softmax()) {
        eprintln!("skipped: {reason}");
        return;
    }
    for network in [softmax(), mlp(), cnn(), wide()] {
        check_against_flex("wgpu", &network, &batch(&network, 33, true, 10), 1e-4);
    }
}

fn gradient_bits(name: &str, network: &Network, batch: &Batch) -> Vec<u32> {
    let mut learner = built(name, network).expect("only compiled engines are asked for");
    learner.load(&network.initial(Seed(11)));
    let mut grad = vec![0.0; network.layout().len()];
    let loss = learner.backward(batch, &mut grad);
    grad.iter()
        .chain([&loss])
        .map(|value| value.to_bits())
        .collect()
}

#[test]
fn calls_and_threads_never_change_a_bit() {
    for network in [mlp(), cnn(), wide()] {
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

#[test]
fn training_separates_two_half_planes() {
    let layers = vec![dense(8), Layer::Tanh {}, dense(2)];
    let network = network(&[2], layers);
    let mut batch = batch(&network, 40, false, 13);
    for (label, point) in batch.labels.iter_mut().zip(batch.inputs.chunks_exact(2)) {
        *label = u32::from(point[0] + point[1] > 0.0);
    }
    for (name, mut learner) in learners(&network, &network.initial(Seed(14))) {
        let objective = Resolved::default();
        let mut memory = Moments::new(network.layout());
        let losses: Vec<f32> = (0..200)
            .map(|_| {
                let mut update = Update {
                    optimizer: Optimizer::Sgd { momentum: 0.9 },
                    rate: 0.1,
                    weight_decay: 0.0,
                    clip: None,
                    objective: &objective,
                    memory: &mut memory,
                };
                learner.step(&batch, &mut update)
            })
            .collect();
        assert!(losses[199] < 0.2 * losses[0], "{name}: {losses:?}");
        assert_eq!(memory.steps, 200);
    }
}
