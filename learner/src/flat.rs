//! Layers on flat values, differentiated by hand.
//!
//! Values are kept as columns (width x rows): then `W x` needs no transposed copy, and the gradient
//! of `W` comes out in the order in which the flat vector stores it.

use crate::{
    norm::{BatchNorm, Normal},
    pass::{Gradients, Pass, next, trains},
};
use burn::tensor::{Tensor, activation};
use lyceum_core::{Entry, Layer};
use std::{ops::Range, slice::Iter};

/// The flat layers after a forward walk.
pub(crate) struct FlatLayers {
    /// Logits, classes x rows.
    pub(crate) output: Tensor<2>,
    steps: Vec<Step>,
}

/// What a layer needs to be walked back.
#[allow(
    clippy::large_enum_variant,
    reason = "a handful live at a time, and a box would cost each step"
)]
enum Step {
    Dense {
        input: Tensor<2>,
        weight: Tensor<2>,
        weight_range: Option<Range<usize>>,
        bias_range: Option<Range<usize>>,
    },
    Relu {
        output: Tensor<2>,
    },
    Tanh {
        output: Tensor<2>,
    },
    Dropout {
        mask: Tensor<2>,
    },
    Binary,
    Norm {
        /// Normalised along axis 1.
        normal: Normal<3>,
        weight: Tensor<2>,
        weight_range: Option<Range<usize>>,
        bias_range: Option<Range<usize>>,
    },
}

impl FlatLayers {
    /// Walks through the layers from `first` on.
    pub(crate) fn forward(
        pass: &Pass<'_>,
        first: usize,
        input: Tensor<2>,
        entries: &mut Iter<'_, Entry>,
        gradients: &mut Gradients,
    ) -> Self {
        let mut walk = Self {
            output: input,
            steps: Vec::new(),
        };
        for (index, layer) in pass.network.layers().iter().enumerate().skip(first) {
            match layer {
                Layer::Dense { .. } => walk.dense(pass, next(entries), next(entries)),
                Layer::Relu {} => walk.relu(),
                Layer::Tanh {} => walk.tanh(),
                Layer::Dropout { share } => walk.dropout(pass, index, *share),
                Layer::Flatten {} => {}
                Layer::Binary {} => walk.binary(),
                Layer::BatchNorm { momentum, epsilon } => {
                    let (weight, bias) = (next(entries), next(entries));
                    let norm = BatchNorm::next(index, (*momentum, *epsilon), entries);
                    let [width, rows] = walk.output.dims();
                    let x = walk.output.clone().reshape([width, rows, 1]);
                    let normal = norm.normal(pass, &[1], x, gradients);
                    walk.norm(pass, normal, weight, bias);
                }
                Layer::GroupNorm { groups, epsilon } => {
                    let [width, rows] = walk.output.dims();
                    let x = walk.output.clone();
                    let grouped = x.reshape([*groups, width / groups, rows]);
                    let normal = Normal::along(&[1], grouped, *epsilon);
                    walk.norm(pass, normal, next(entries), next(entries));
                }
                Layer::Conv { .. }
                | Layer::MaxPool { .. }
                | Layer::AvgPool { .. }
                | Layer::Residual { .. }
                | Layer::Fork {}
                | Layer::Swap {}
                | Layer::Join {}
                | Layer::Open(_) => {
                    unreachable!(
                        "networks refuse image layers on flat values, and the engine those it does not know"
                    )
                }
            }
        }
        walk
    }

    fn dense(&mut self, pass: &Pass<'_>, weight: &Entry, bias: &Entry) {
        let range = |entry: &Entry| trains(entry).then(|| entry.range());
        let (weight_range, bias_range) = (range(weight), range(bias));
        let weight = pass.param(weight, [weight.shape[0], weight.shape[1]]);
        let bias = pass.param(bias, [bias.shape[0], 1]);
        let output = weight.clone().matmul(self.output.clone()) + bias;
        self.steps.push(Step::Dense {
            input: std::mem::replace(&mut self.output, output),
            weight,
            weight_range,
            bias_range,
        });
    }

    fn relu(&mut self) {
        self.output = activation::relu(self.output.clone());
        let output = self.output.clone();
        self.steps.push(Step::Relu { output });
    }

    fn tanh(&mut self) {
        self.output = activation::tanh(self.output.clone());
        let output = self.output.clone();
        self.steps.push(Step::Tanh { output });
    }

    fn binary(&mut self) {
        let zeros = self.output.zeros_like();
        self.output = Tensor::cat(vec![zeros, self.output.clone()], 0);
        self.steps.push(Step::Binary);
    }

    fn dropout(&mut self, pass: &Pass<'_>, index: usize, share: f64) {
        let [width, _] = self.output.dims();
        if let Some(mask) = pass.mask(index, share, width) {
            let mask = pass.columns(mask, width);
            self.output = self.output.clone() * mask.clone();
            self.steps.push(Step::Dropout { mask });
        }
    }

    fn norm(&mut self, pass: &Pass<'_>, normal: Normal<3>, weight: &Entry, bias: &Entry) {
        let range = |entry: &Entry| trains(entry).then(|| entry.range());
        let (weight_range, bias_range) = (range(weight), range(bias));
        let weight = pass.param(weight, [weight.shape[0], 1]);
        let bias = pass.param(bias, [bias.shape[0], 1]);
        let values = normal.values.clone().reshape(self.output.dims());
        self.output = values * weight.clone() + bias;
        self.steps.push(Step::Norm {
            normal,
            weight,
            weight_range,
            bias_range,
        });
    }

    /// Walks back from the slope at the output. Gives the slope at the input, if `wanted`.
    pub(crate) fn backward(
        mut self,
        mut slope: Tensor<2>,
        wanted: bool,
        gradients: &mut Gradients,
    ) -> Option<Tensor<2>> {
        while let Some(step) = self.steps.pop() {
            let goes_on = wanted || self.steps.iter().any(Step::trains);
            slope = step.backward(slope, goes_on, gradients)?;
        }
        wanted.then_some(slope)
    }
}

impl Step {
    fn trains(&self) -> bool {
        match self {
            Self::Dense {
                weight_range,
                bias_range,
                ..
            }
            | Self::Norm {
                weight_range,
                bias_range,
                ..
            } => weight_range.is_some() || bias_range.is_some(),
            _ => false,
        }
    }

    /// The slope in front of the layer, if somebody there wants it.
    fn backward(
        self,
        slope: Tensor<2>,
        goes_on: bool,
        gradients: &mut Gradients,
    ) -> Option<Tensor<2>> {
        match self {
            Self::Dense {
                input,
                weight,
                weight_range,
                bias_range,
            } => {
                if let Some(range) = weight_range {
                    gradients.add(range, slope.clone().matmul(input.transpose()));
                }
                if let Some(range) = bias_range {
                    gradients.add(range, slope.clone().sum_dim(1));
                }
                goes_on.then(|| weight.transpose().matmul(slope))
            }
            Self::Relu { output } => {
                goes_on.then(|| slope.mask_fill(output.lower_equal_elem(0.0), 0.0))
            }
            Self::Tanh { output } => goes_on.then(|| {
                let square = output.clone() * output;
                slope * (square.neg() + 1.0)
            }),
            Self::Dropout { mask } => goes_on.then(|| slope * mask),
            Self::Binary => goes_on.then(|| slope.narrow(0, 1, 1)),
            Self::Norm {
                normal,
                weight,
                weight_range,
                bias_range,
            } => {
                let (shape, view) = (slope.dims(), normal.values.dims());
                if let Some(range) = weight_range {
                    let values = normal.values.clone().reshape(shape);
                    gradients.add(range, (slope.clone() * values).sum_dim(1));
                }
                if let Some(range) = bias_range {
                    gradients.add(range, slope.clone().sum_dim(1));
                }
                goes_on.then(|| {
                    let slope = (slope * weight).reshape(view);
                    normal.backward(&[1], slope).reshape(shape)
                })
            }
        }
    }
}
