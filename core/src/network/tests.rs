use super::*;

fn cnn(input: &[usize]) -> Result<Network, NetworkError> {
    let conv = |channels| Layer::Conv {
        channels,
        kernel: 3,
        stride: 1,
        padding: 0,
    };
    let pool = || Layer::MaxPool {
        size: 2,
        stride: None,
    };
    let layers = vec![
        conv(16),
        Layer::Relu {},
        pool(),
        conv(32),
        Layer::Relu {},
        pool(),
        Layer::Dense { units: 10 },
    ];
    Network::new(input, 10, layers, Init::He)
}

#[test]
fn shapes_of_the_benchmark_cnn() {
    let network = cnn(&[1, 28, 28]).unwrap();
    let sides: Vec<usize> = network
        .shapes()
        .iter()
        .map(|s| *s.last().unwrap())
        .collect();
    assert_eq!(sides, [28, 26, 26, 13, 11, 11, 5, 800, 10]);
    assert_eq!(
        network.layout().len(),
        16 * 9 + 16 + 32 * 16 * 9 + 32 + 8010
    );
    assert_eq!(network.initial(Seed(1)).len(), network.layout().len());
}

/// Weights times uses: 9 x 16 x 26^2, 144 x 32 x 11^2 and 800 x 10; the first twice, the others three times.
#[test]
fn operations_of_the_benchmark_cnn() {
    let flops = 2 * (2 * 97_344 + 3 * 557_568 + 3 * 8_000);
    assert_eq!(cnn(&[1, 28, 28]).unwrap().training_flops(), flops);
}

#[test]
fn samples_without_values_and_heads_without_classes_are_refused() {
    for (input, classes) in [(&[0][..], 1), (&[1, 0, 4], 1), (&[], 1), (&[3], 0)] {
        let layers = vec![Layer::Flatten {}, Layer::Dense { units: classes }];
        let error = Network::new(input, classes, layers, Init::He).unwrap_err();
        assert!(
            error.to_string().contains("there must be a value"),
            "{error}"
        );
    }
}

#[test]
fn a_model_beyond_all_memory_is_refused_before_it_is_made() {
    for units in [1 << 29, 1 << 53, usize::MAX] {
        let layers = vec![Layer::Dense { units }, Layer::Dense { units }];
        let error = Network::new(&[4], units, layers, Init::He).unwrap_err();
        assert!(error.to_string().contains("large"), "{error}");
    }
    let padded = Layer::Conv {
        channels: 1,
        kernel: 1,
        stride: 1,
        padding: usize::MAX / 2,
    };
    assert!(Network::new(&[1, 4, 4], 1, vec![padded], Init::He).is_err());
}

#[test]
fn a_list_of_layers_has_an_end() {
    let layers = vec![Layer::Relu {}; MOST_LAYERS + 1];
    let error = Network::new(&[3], 3, layers, Init::He).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer 10000 (relu): is one too many: at most 10000"
    );
}

/// What a block keeps must come back in the shape that it is added to.
#[test]
fn blocks_that_do_not_fit_are_refused() {
    let dense = |units| Layer::Dense { units };
    let made = |layers| Network::new(&[3], 3, layers, Init::He).map_err(|error| error.to_string());
    let block = |layers, projection| vec![Layer::Residual { layers, projection }];
    let told = made(block(vec![dense(4)], vec![])).unwrap_err();
    assert!(told.contains("[4] cannot be added to [3]"), "{told}");
    let blocks = block(vec![dense(3)], vec![dense(3)]);
    let names: Vec<String> = made(blocks)
        .unwrap()
        .layers()
        .iter()
        .map(|l| l.name().into())
        .collect();
    assert_eq!(names, ["fork", "dense", "swap", "dense", "join"]);
    let told = made(vec![Layer::Join {}]).unwrap_err();
    assert!(told.contains("put a `fork` before it"), "{told}");
    let told = made(vec![dense(3), Layer::Fork {}, dense(3)]).unwrap_err();
    let expected = "layer 1 (fork): what it keeps is never used: put a `join` behind it";
    assert_eq!(told, expected);
    let conv = Layer::GroupNorm {
        groups: 2,
        epsilon: 1e-5,
    };
    let inner = block(vec![dense(3), conv], vec![]);
    let told = made([vec![dense(3)], block(inner, vec![])].concat()).unwrap_err();
    let place = "layer 1 (group_norm, layers[1] of the block, layers[0] of the block): ";
    assert!(told.starts_with(place), "{told}");
}

#[test]
fn a_window_larger_than_the_image_is_refused_with_the_layer() {
    let error = cnn(&[1, 4, 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer 3 (conv): a window of 3 does not fit into a side of 1"
    );
    assert!(
        cnn(&[64])
            .unwrap_err()
            .to_string()
            .contains("needs an image")
    );
}

fn normalised(layer: Layer) -> Result<Network, NetworkError> {
    let layers = vec![
        Layer::Conv {
            channels: 6,
            kernel: 3,
            stride: 1,
            padding: 0,
        },
        layer,
        Layer::Dense { units: 2 },
    ];
    Network::new(&[1, 4, 4], 2, layers, Init::FanIn)
}

fn group_norm(groups: usize) -> Layer {
    Layer::GroupNorm {
        groups,
        epsilon: 1e-5,
    }
}

fn batch_norm(momentum: f64, epsilon: f64) -> Layer {
    Layer::BatchNorm { momentum, epsilon }
}

#[test]
fn a_batch_norm_has_statistics_and_starts_as_the_identity() {
    let network = normalised(batch_norm(0.1, 1e-5)).unwrap();
    let own: Vec<_> = network.layout().entries()[2..6]
        .iter()
        .map(|e| (e.name.as_str(), e.shape.as_slice(), e.role))
        .collect();
    let want = [
        ("1.weight", Role::Trainable),
        ("1.bias", Role::Trainable),
        ("1.mean", Role::Statistic),
        ("1.variance", Role::Statistic),
    ];
    assert_eq!(own, want.map(|(name, role)| (name, [6].as_slice(), role)));
    let start = network.initial(Seed(1));
    let values = |index: usize| &start[network.layout().entries()[index].range()];
    for (index, value) in [(2, 1.0), (3, 0.0), (4, 0.0), (5, 1.0)] {
        assert!(values(index).iter().all(|&v| v == value), "{index}");
    }
    assert!(
        values(7)
            .iter()
            .all(|&v| v != 0.0 && v.abs() <= 24.0_f32.powf(-0.5))
    );
}

#[test]
fn a_group_norm_has_no_statistics() {
    let network = normalised(group_norm(3)).unwrap();
    assert_eq!(network.layout().len(), 6 * 9 + 6 + 2 * 6 + 2 * 24 + 2);
    assert!(
        network
            .layout()
            .entries()
            .iter()
            .all(|e| e.role == Role::Trainable)
    );
}

#[test]
fn normalisations_that_cannot_work_say_why() {
    let reasons = [
        (group_norm(4), "4 groups do not divide 6 channels evenly"),
        (group_norm(7), "7 groups do not divide 6 channels evenly"),
        (group_norm(0), "groups must be 1 or above"),
        (batch_norm(1.5, 1e-5), "momentum 1.5 is out of range"),
        (batch_norm(f64::NAN, 1e-5), "momentum NaN is out of range"),
        (batch_norm(0.1, 0.0), "epsilon 0 is out of range"),
        (batch_norm(0.1, -1.0), "epsilon -1 is out of range"),
        (batch_norm(0.1, 1e-60), "is out of range: above 0"),
        (
            batch_norm(0.1, f64::INFINITY),
            "epsilon inf is out of range",
        ),
    ];
    for (layer, reason) in reasons {
        let error = normalised(layer).unwrap_err().to_string();
        assert!(error.starts_with("layer 1 ("), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}
