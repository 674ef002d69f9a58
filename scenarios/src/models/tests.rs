//! Sizes of models by name, against their sources.

use super::*;
use lyceum_core::{Init, Role};

fn trainable(network: &Network) -> usize {
    let entries = network.layout().entries().iter();
    entries
        .filter(|entry| entry.role == Role::Trainable)
        .map(|entry| entry.range().len())
        .sum()
}

fn made<M: Model + serde::de::DeserializeOwned>(settings: &str) -> M {
    toml::from_str(settings).expect("settings of a model")
}

fn parameters<M: Model + serde::de::DeserializeOwned>(
    settings: &str,
    input: &[usize],
    classes: usize,
) -> usize {
    let network = made::<M>(settings).network(input, classes);
    trainable(&network.expect("a model of images"))
}

const MNIST: [usize; 3] = [1, 28, 28];
const CIFAR: [usize; 3] = [3, 32, 32];

#[test]
fn models_have_as_many_parameters_as_their_sources_say() {
    assert_eq!(parameters::<Lenet5>("", &MNIST, 10), 61_706);
    assert_eq!(parameters::<Lenet5>("", &[1, 32, 32], 10), 61_706);
    assert_eq!(
        parameters::<Lenet5>("form = 'tanh-average'", &CIFAR, 10),
        62_006
    );
    assert_eq!(parameters::<FedavgCnn>("", &MNIST, 10), 1_663_370);
    assert_eq!(parameters::<LeafCnn>("", &MNIST, 62), 6_603_710);
    assert_eq!(parameters::<PflCnn>("", &CIFAR, 10), 1_626_442);
    assert_eq!(parameters::<Resnet9>("", &CIFAR, 10), 6_575_370);
    assert_eq!(parameters::<Resnet20>("", &CIFAR, 10), 273_258);
}

/// Scale and shift are one a channel either way; only running statistics come with batches.
#[test]
fn normalisation_by_groups_keeps_no_statistics() {
    let group = "norm = { group = { groups = 8 } }";
    let network = made::<Resnet20>(group).network(&CIFAR, 10).unwrap();
    assert_eq!(network.layout().len(), 273_258);
    let network = made::<Resnet9>(group).network(&CIFAR, 10).unwrap();
    assert_eq!(network.layout().len(), 6_575_370);
    let batch = made::<Resnet20>("").network(&CIFAR, 10).unwrap();
    let statistics = batch.layout().len() - 273_258;
    assert_eq!(statistics, 2 * (7 * 16 + 7 * 32 + 7 * 64));
}

#[test]
fn resnets_take_images_of_other_sizes() {
    for input in [[1, 28, 28], [3, 17, 40], [3, 64, 64]] {
        let nine = made::<Resnet9>("width = 4").network(&input, 5);
        assert!(nine.is_ok(), "{input:?}: {nine:?}");
        let twenty = made::<Resnet20>("").network(&input, 5);
        assert!(twenty.is_ok(), "{input:?}: {twenty:?}");
    }
}

/// Flat samples and groups that do not divide the channels are refused in words, at the layer where they do not fit.
#[test]
fn samples_that_do_not_fit_are_refused() {
    let fault = |made: Result<Network, NetworkError>| made.unwrap_err().to_string();
    for made in [
        made::<Lenet5>("").network(&[64], 10),
        made::<Resnet9>("").network(&[64], 10),
        made::<Resnet20>("").network(&[64], 10),
        made::<PflCnn>("").network(&[64], 10),
    ] {
        assert!(fault(made).starts_with("layer 0 (conv): needs an image"));
    }
    let groups = made::<Resnet20>("norm = { group = { groups = 3 } }").network(&CIFAR, 10);
    assert!(fault(groups).contains("3 groups do not divide 16 channels evenly"));
    let small = made::<Resnet9>("").network(&[3, 4, 4], 10);
    assert!(fault(small).contains("does not fit into a side of"));
}

/// Glorot and Bengio 2010, equation 16: uniform within the root of 6 over inputs and outputs, here 3 x 9 and 32 x 9.
#[test]
fn glorot_uniform_fills_its_range_and_leaves_biases_at_zero() {
    let network = made::<PflCnn>("").network(&CIFAR, 10).unwrap();
    let initial = network.initial(lyceum_core::Seed(3));
    let values = |name: &str| {
        let entry = network.layout().find(name).expect("a tensor of the model");
        &initial[entry.range()]
    };
    let bound = (6.0_f32 / (27.0 + 288.0)).sqrt();
    let largest = values("0.weight")
        .iter()
        .fold(0.0_f32, |m, v| m.max(v.abs()));
    assert!(largest <= bound && largest > 0.98 * bound, "{largest}");
    assert!(values("0.bias").iter().all(|v| *v == 0.0));
    assert_eq!(made::<PflCnn>("").init, Init::GlorotUniform);
}
