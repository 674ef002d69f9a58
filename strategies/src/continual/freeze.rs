use lyceum_core::{ContinualMethod, Lessons, Needs, Network, Site, Sizes, Step, units::Misfit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Frozen layers: after the first tasks some tensors stay as they are, whatever the gradient, weight decay and pulls say.
/// With `after = 0` they keep their initial values.
///
/// A batch normalisation of which the running mean or variance is frozen is one function from then on: it normalises by
/// both as they are, in training as in tests. One of which the weight and the bias alone are named goes on with the
/// statistics of the batch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Layers, by position among those that have weights, from 0 at the input; names of tensors count all layers. `lyceum
    /// check` lists them.
    #[serde(default)]
    pub layers: Vec<usize>,
    /// Tensors by name, such as `1.weight`, or all of a layer's by the part in front of the dot.
    #[serde(default)]
    pub names: Vec<String>,
    /// Tasks of a client that all layers learn; 1 by default.
    #[serde(default = "one")]
    pub after: u32,
}

fn one() -> u32 {
    1
}

/// Where the parameters that a call leaves as they are stand.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Frozen {
    #[serde(skip)]
    ranges: Vec<Range<usize>>,
}

/// The part of a tensor's name that is its layer's.
fn layer_of(tensor: &str) -> Option<&str> {
    tensor.split_once('.').map(|(layer, _)| layer)
}

/// Names of the layers that have parameters, from the input.
fn layers(network: &Network) -> Vec<&str> {
    let entries = network.layout().entries().iter();
    let mut names: Vec<&str> = entries.filter_map(|e| layer_of(&e.name)).collect();
    names.dedup();
    names
}

fn is_named(tensor: &str, name: &str) -> bool {
    tensor == name || layer_of(tensor) == Some(name)
}

impl Freeze {
    fn ranges(&self, network: &Network) -> Vec<Range<usize>> {
        let all = layers(network);
        let own = self.layers.iter().filter_map(|&l| all.get(l).copied());
        let names: Vec<&str> = own.chain(self.names.iter().map(String::as_str)).collect();
        let entries = network.layout().entries().iter();
        let frozen = entries.filter(|e| names.iter().any(|name| is_named(&e.name, name)));
        frozen.map(|e| e.range()).collect()
    }
}

impl ContinualMethod for Freeze {
    type State = Frozen;

    fn most_bytes(&self, _: &Sizes) -> u64 {
        0
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            gradient: true,
            steps: true,
            ..Needs::default()
        }
    }

    fn misfit(&self) -> Option<Misfit> {
        (self.layers.is_empty() && self.names.is_empty()).then(|| Misfit {
            key: String::new(),
            message: "nothing is frozen".into(),
            expected: "`layers`, such as `layers = [0]`, or `names`".into(),
        })
    }

    fn unfit(&self, network: &Network) -> Option<Misfit> {
        let all = layers(network);
        if let Some(beyond) = self.layers.iter().find(|l| **l >= all.len()) {
            return Some(Misfit {
                key: "layers".into(),
                message: format!("there is no layer {beyond} with weights"),
                expected: format!(
                    "positions among the layers with weights: {}",
                    network.weighted().join("; ")
                ),
            });
        }
        let entries = network.layout().entries();
        let unknown = |name: &&String| !entries.iter().any(|e| is_named(&e.name, name));
        self.names.iter().find(unknown).map(|name| {
            let known: Vec<_> = entries.iter().map(|e| e.name.as_str()).collect();
            Misfit {
                key: "names".into(),
                message: format!("the model has no tensor `{name}`"),
                expected: format!("one of {}", known.join(", ")),
            }
        })
    }

    fn begin_call(&self, frozen: &mut Frozen, site: &mut Site<'_>) -> Lessons {
        if site.task.place >= self.after {
            frozen.ranges = self.ranges(site.network);
        }
        Lessons {
            frozen: frozen.ranges.clone(),
            ..Lessons::default()
        }
    }

    fn gradient(&self, frozen: &mut Frozen, grad: &mut [f32], _: &mut Site<'_>) {
        let ranges = frozen.ranges.iter().cloned();
        ranges.for_each(|range| grad[range].fill(0.0));
    }

    fn after_step(&self, frozen: &mut Frozen, step: &Step<'_>, site: &mut Site<'_>) {
        let params = site.learner.params_mut();
        let ranges = frozen.ranges.iter().cloned();
        ranges.for_each(|at| params[at.clone()].copy_from_slice(&step.before[at]));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};
    use lyceum_core::{Draft, Init, Layer};

    fn freeze(layers: &[usize], names: &[&str]) -> Freeze {
        Freeze {
            layers: layers.to_vec(),
            names: names.iter().map(|n| n.to_string()).collect(),
            after: 1,
        }
    }

    #[test]
    fn frozen_tensors_stay_to_the_bit_once_the_first_task_is_over() {
        for (place, kept) in [(0, false), (1, true)] {
            let mut bed = Bed::new(1, 2, &[(&[1.0], 0)]);
            bed.task.place = place;
            let before = [0.1, 0.2, 0.3, 0.4];
            let (method, mut frozen) = (freeze(&[], &["0.bias"]), Frozen::default());
            let lessons = method.begin_call(&mut frozen, &mut bed.site());
            assert_eq!(lessons.frozen.first() == Some(&(2..4)), kept);
            let mut grad = [1.0; 4];
            method.gradient(&mut frozen, &mut grad, &mut bed.site());
            assert_eq!(grad[2..] == [0.0; 2], kept);
            assert_eq!(grad[..2], [1.0; 2]);
            bed.learner.weights = vec![9.0; 4];
            let step = Step {
                draft: &Draft::default(),
                grad: &grad,
                before: &before,
                logits: &[],
            };
            method.after_step(&mut frozen, &step, &mut bed.site());
            assert_eq!(bed.learner.weights[2..] == before[2..], kept);
            assert_eq!(bed.learner.weights[..2], [9.0; 2]);
        }
    }

    #[test]
    fn layers_are_counted_among_those_with_parameters_and_must_exist() {
        let layers = vec![
            Layer::Dense { units: 2 },
            Layer::Relu {},
            Layer::Dense { units: 2 },
        ];
        let network = Network::new(&[3], 2, layers, Init::Zero).unwrap();
        assert_eq!(freeze(&[1], &[]).ranges(&network), [8..12, 12..14]);
        assert_eq!(freeze(&[], &["0"]).ranges(&network), [0..6, 6..8]);
        assert_eq!(
            freeze(&[], &["2.bias", "0.bias"]).ranges(&network),
            [6..8, 12..14]
        );
        assert_eq!(freeze(&[1], &["0"]).unfit(&network), None);
        assert_eq!(freeze(&[2], &[]).unfit(&network).unwrap().key, "layers");
        assert_eq!(freeze(&[0], &["1"]).unfit(&network).unwrap().key, "names");
        assert!(freeze(&[], &[]).misfit().is_some());
    }
}
