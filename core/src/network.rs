//! What a model looks like, as data: a stack of known layers with every shape worked out.
//!
//! Engines interpret it, the coordinator needs no more than its layout.

mod initial;
mod kind;
mod layer;
mod reading;
mod stack;
#[cfg(test)]
mod tests;
mod variational;

pub use initial::{Init, Initial, Tensor};
pub use kind::{
    Backward, Forward, LayerEntry, LayerKind, LayerKinds, OpenLayer, Operation, ReadLayer,
};
pub use layer::Layer;
pub use variational::{Halves, Variational};

use crate::{Entry, Layout, Purpose, Role, Seed};
use layer::LARGEST;
use serde::{Deserialize, Serialize};
use stack::Stack;

/// Most layers of a network, the parts of blocks counted one by one.
const MOST_LAYERS: usize = 10_000;

/// Why a stack of layers cannot work.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("layer {index} ({layer}): {reason}")]
pub struct NetworkError {
    /// Position in the stack, from 0.
    pub index: usize,
    /// The layer's kind.
    pub layer: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl NetworkError {
    /// The same error of a layer that stands in a list of the block at its position.
    fn inside(mut self, list: &str, place: usize) -> Self {
        self.layer = format!("{}, {list}[{place}] of the block", self.layer);
        self
    }
}

/// A checked stack of layers from an input shape to one logit per class.
///
/// **Invariant:** `shapes[i]` goes into layer `i`, `shapes[i + 1]` comes out; the last is `[classes]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    layers: Vec<Layer>,
    shapes: Vec<Vec<usize>>,
    layout: Layout,
    init: Init,
    /// How weights are drawn, where they are distributions.
    variational: Option<Variational>,
}

/// What a network is made of, to be read back and checked anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkParts {
    /// Shape of a sample.
    pub input: Vec<usize>,
    /// Number of logits.
    pub classes: usize,
    /// The layers in order.
    pub layers: Vec<Layer>,
}

impl Network {
    /// What it is made of, without what was appended.
    pub fn parts(&self) -> NetworkParts {
        NetworkParts {
            input: self.shapes[0].clone(),
            classes: self.classes(),
            layers: self.layers.clone(),
        }
    }

    /// Works out all shapes and the parameter layout.
    ///
    /// `input` is `[features]` or `[channels, height, width]`; a flat layer that meets an image is
    /// preceded by a flattening of its own. The last layer must give `classes` values.
    pub fn new(
        input: &[usize],
        classes: usize,
        layers: Vec<Layer>,
        init: Init,
    ) -> Result<Self, NetworkError> {
        if input.is_empty() || input.contains(&0) || classes == 0 {
            let reason = format!(
                "samples are {input:?} in {classes} classes: there must be a value and a class"
            );
            return Err(NetworkError {
                index: 0,
                layer: "input".into(),
                reason,
            });
        }
        let mut network = Self {
            layers: Vec::new(),
            shapes: vec![input.to_vec()],
            layout: Layout::default(),
            init,
            variational: None,
        };
        let mut stack = Stack::default();
        for (index, layer) in layers.into_iter().enumerate() {
            network.add(index, layer, &mut stack)?;
        }
        stack.finish()?;
        if network.output().last() != Some(&classes) {
            let reason = format!(
                "gives {} values, but there are {classes} classes",
                network.output().iter().product::<usize>()
            );
            return Err(NetworkError {
                index: network.layers.len().saturating_sub(1),
                layer: "output".into(),
                reason,
            });
        }
        Ok(network)
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Shapes between the layers, without the batch dimension; one more than there are layers.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// Where each tensor stands in the flat parameters: `<layer>.weight` and `<layer>.bias`, and behind those
    /// of a batch normalisation its running `<layer>.mean` and `<layer>.variance`.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of values in one sample.
    pub fn inputs(&self) -> usize {
        self.shapes[0].iter().product()
    }

    /// Number of logits of an answer.
    pub fn classes(&self) -> usize {
        self.output().last().copied().unwrap_or(0)
    }

    /// Answers for one sample: 1, or one for each place of a sequence.
    pub fn answers(&self) -> usize {
        let (_, places) = self.output().split_last().unwrap_or((&0, &[]));
        places.iter().product()
    }

    /// If samples must be whole numbers from 0, such as tokens: how many there are, and the layer that asks for it.
    pub fn vocabulary(&self) -> Option<(usize, &str)> {
        let first = self.layers.iter().find_map(|layer| match layer {
            Layer::Open(open) => Some(open.kind().vocabulary().map(|n| (n, open.name()))),
            Layer::Fork {} | Layer::Swap {} => None,
            _ => Some(None),
        });
        first.flatten()
    }

    /// Number of values in front of the last dense layer; `None` for a network that does not end in one.
    pub fn features(&self) -> Option<usize> {
        let last = self.layers.len().checked_sub(1)?;
        matches!(self.layers[last], Layer::Dense { .. }).then(|| self.shapes[last].iter().product())
    }

    /// The layers in front of the last dense one, by themselves; their tensors stand at the same places. `None` for a
    /// network that does not end in a dense layer.
    pub fn without_head(&self) -> Option<Self> {
        self.features()?;
        let mut body = self.clone();
        body.layers.pop();
        body.shapes.pop();
        let tensors = body.layers.iter().zip(&body.shapes);
        let count = tensors
            .map(|(layer, input)| layer.tensors(input).len())
            .sum();
        body.layout.truncate(count);
        Some(body)
    }

    /// The layers that have tensors, each with its position among them and its tensors, such as
    /// `0: 1.weight 16 x 64, 1.bias 16`.
    pub fn weighted(&self) -> Vec<String> {
        let mut layers: Vec<(&str, Vec<String>)> = Vec::new();
        for entry in self.layout.entries() {
            let Some((layer, _)) = entry.name.split_once('.') else {
                continue;
            };
            let sides: Vec<String> = entry.shape.iter().map(usize::to_string).collect();
            let tensor = format!("{} {}", entry.name, sides.join(" x "));
            match layers.last_mut().filter(|(last, _)| *last == layer) {
                Some((_, tensors)) => tensors.push(tensor),
                None => layers.push((layer, vec![tensor])),
            }
        }
        let numbered = layers.iter().enumerate();
        numbered
            .map(|(at, (_, tensors))| format!("{at}: {}", tensors.join(", ")))
            .collect()
    }

    /// Number of parameters of the layers, without what was appended.
    pub fn layers_len(&self) -> usize {
        let tensors = self.layers.iter().zip(&self.shapes);
        let tensors = tensors.flat_map(|(layer, input)| layer.tensors(input));
        tensors
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    }

    /// Keeps with their clients the tensors that are named so.
    pub fn keep_local(&mut self, is_local: impl Fn(&Entry) -> bool) {
        self.layout.keep_local(is_local);
    }

    /// Whether a tensor belongs to a normalisation.
    pub fn is_norm(&self, entry: &Entry) -> bool {
        let layer = self.layer_of(entry).and_then(|at| self.layers.get(at));
        match layer {
            Some(Layer::BatchNorm { .. } | Layer::GroupNorm { .. }) => true,
            Some(Layer::Open(open)) => open.kind().is_norm(),
            _ => false,
        }
    }

    /// Whether a tensor belongs to the last layer that has any.
    pub fn is_head(&self, entry: &Entry) -> bool {
        let layers = self.layout.entries().iter().map(|e| self.layer_of(e));
        let last = layers.flatten().max();
        last.is_some() && self.layer_of(entry) == last
    }

    /// Position of the layer that a tensor belongs to.
    fn layer_of(&self, entry: &Entry) -> Option<usize> {
        let (layer, _) = entry.name.split_once('.')?;
        layer.parse().ok()
    }

    /// Appends a tensor that no layer reads, for what a method keeps in the model; starts at zero.
    pub fn append(&mut self, name: impl Into<String>, shape: Vec<usize>, role: Role) {
        self.layout.push(name, shape, role);
    }

    /// Whether training needs random numbers: masks, or draws of the weights.
    pub fn is_noisy(&self) -> bool {
        self.has_dropout() || self.variational.is_some()
    }

    /// Whether training needs random masks.
    pub fn has_dropout(&self) -> bool {
        self.layers.iter().any(|layer| match layer {
            Layer::Dropout { .. } => true,
            Layer::Open(open) => open.kind().is_noisy(),
            _ => false,
        })
    }

    /// The first layer of a kind that other crates bring, or a residual block, by position and name.
    pub fn beyond_known(&self) -> Option<(usize, &str)> {
        let is_beyond = |layer: &Layer| {
            matches!(
                layer,
                Layer::Open(_) | Layer::Fork {} | Layer::Swap {} | Layer::Join {}
            )
        };
        let at = self.layers.iter().position(is_beyond)?;
        Some((at, self.layers[at].name()))
    }

    /// Initial parameters, drawn from our own stream so that every engine starts with the same bits.
    pub fn initial(&self, seed: Seed) -> Vec<f32> {
        let mut rng = seed.once(Purpose::INIT);
        let mut values = Vec::with_capacity(self.layout.len());
        for (layer, input) in self.layers.iter().zip(&self.shapes) {
            for tensor in layer.tensors(input) {
                let len: usize = tensor.shape.iter().product();
                let drawn = tensor.start.with(self.init);
                values.extend((0..len).map(|_| drawn.value(&mut rng)));
            }
        }
        values.resize(self.layout.len(), 0.0);
        if let Some(Variational { start, .. }) = self.variational {
            variational::start_spread(&self.layout, start, &mut values);
        }
        values
    }

    /// Floating-point operations of one training sample, products only: an addition and a multiplication per weight and
    /// use, forward, for the gradient of the weight, and for the slope at the input of every layer but the first.
    pub fn training_flops(&self) -> u64 {
        let mut first = true;
        let layers = self.layers.iter().zip(self.shapes.windows(2));
        layers
            .map(|(layer, shapes)| {
                let uses = layer.multiplications(&shapes[0], &shapes[1]);
                let passes = if uses > 0 && std::mem::take(&mut first) {
                    2
                } else {
                    3
                };
                2 * passes * uses
            })
            .sum()
    }

    fn output(&self) -> &[usize] {
        self.shapes.last().map_or(&[], Vec::as_slice)
    }

    /// Appends a layer of the author's list, in its parts.
    fn add(&mut self, index: usize, layer: Layer, stack: &mut Stack) -> Result<(), NetworkError> {
        if let Layer::Residual { layers, projection } = layer {
            self.add(index, Layer::Fork {}, stack)?;
            self.add_all(index, "layers", layers, stack)?;
            if !projection.is_empty() {
                self.add(index, Layer::Swap {}, stack)?;
                self.add_all(index, "projection", projection, stack)?;
            }
            return self.add(index, Layer::Join {}, stack);
        }
        if matches!(layer, Layer::Dense { .. }) && self.output().len() != 1 {
            self.push(index, Layer::Flatten {}, None)?;
        }
        let kept = stack.after(index, &layer, self.output());
        let shape = kept.map_err(|reason| NetworkError {
            index,
            layer: layer.name().into(),
            reason,
        })?;
        self.push(index, layer, shape)
    }

    /// Appends a list of a block; a fault says where in it.
    fn add_all(
        &mut self,
        index: usize,
        list: &str,
        layers: Vec<Layer>,
        stack: &mut Stack,
    ) -> Result<(), NetworkError> {
        for (place, layer) in layers.into_iter().enumerate() {
            let added = self.add(index, layer, stack);
            added.map_err(|error| error.inside(list, place))?;
        }
        Ok(())
    }

    /// Appends one layer, which gives this shape where the shape does not follow from its input.
    fn push(
        &mut self,
        index: usize,
        layer: Layer,
        shape: Option<Vec<usize>>,
    ) -> Result<(), NetworkError> {
        let refuse = |reason: String| NetworkError {
            index,
            layer: layer.name().into(),
            reason,
        };
        let input = self.output().to_vec();
        let at = self.layers.len();
        let output = match shape {
            Some(shape) => shape,
            None => layer.output(&input).map_err(refuse)?,
        };
        if at == MOST_LAYERS {
            return Err(refuse(format!("is one too many: at most {MOST_LAYERS}")));
        }
        let product = |sizes: &[usize]| {
            sizes
                .iter()
                .try_fold(1_usize, |n, &size| n.checked_mul(size))
        };
        let values = product(&output).filter(|&n| n <= LARGEST);
        let own = layer.tensors(&input);
        let tensors = own.iter().try_fold(self.layout.len(), |n, tensor| {
            n.checked_add(product(&tensor.shape)?)
        });
        if values.is_none() || tensors.is_none_or(|n| n > LARGEST) {
            return Err(refuse(format!(
                "makes the model larger than {LARGEST} parameters or values per sample"
            )));
        }
        for tensor in own {
            let name = format!("{at}.{}", tensor.name);
            self.layout.push(name, tensor.shape, tensor.role);
        }
        self.layers.push(layer);
        self.shapes.push(output);
        Ok(())
    }
}
