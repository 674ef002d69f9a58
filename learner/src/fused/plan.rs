//! From a network to the operations that run it: neighbouring layers become one operation where that saves a
//! pass over memory, and values are laid out as each operation wants them.

use super::{
    conv::{Conv, Sizes},
    dense::Dense,
    flatten::Image,
    kernel::channels_padded,
    local::Local,
    norm::{Cells, Norm},
    pointwise::Activation,
    pool::Pool,
};
use lyceum_core::{Entry, Layer, Network, Variational};
use std::ops::Range;

/// One operation, and the number of values behind it.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) kind: Kind,
    /// Stored values per sample behind the operation.
    pub(super) width: usize,
    /// Where the operation's tensors stand in the parameters.
    pub(super) params: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// From the batch's rows to images.
    Arrange(Image),
    /// From the batch's rows to columns.
    Transpose {
        width: usize,
    },
    Dense(Dense),
    Local(Box<Local>),
    Conv(Box<Conv>),
    MaxPool(Pool),
    AvgPool(Pool),
    Activation(Activation),
    Dropout(Dropout),
    Norm(Box<Norm>),
    /// From images to columns.
    Flatten(Image),
    /// From a column to it and one of zeros before it.
    Binary,
}

/// A dropout layer and how its values are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    pub(super) layer: usize,
    pub(super) share: f64,
    /// Used values of a sample.
    pub(super) width: usize,
    /// `None` for columns.
    pub(super) image: Option<Image>,
}

/// How values are laid out between two operations.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// As the batch brings them.
    Rows,
    /// rows x height x width x stored channels.
    Images { stored: usize },
    /// width x rows.
    Columns,
}

struct Planner<'a> {
    network: &'a Network,
    ops: Vec<Op>,
    form: Form,
    next_entry: usize,
}

/// The operations of a network.
pub(super) fn ops(network: &Network) -> Vec<Op> {
    let mut planner = Planner {
        network,
        ops: Vec::new(),
        form: Form::Rows,
        next_entry: 0,
    };
    let shapes = network.shapes().windows(2);
    for (index, (layer, shapes)) in network.layers().iter().zip(shapes).enumerate() {
        planner.layer(index, layer, &shapes[0], &shapes[1]);
    }
    planner.finish();
    planner.ops
}

impl Planner<'_> {
    fn layer(&mut self, index: usize, layer: &Layer, from: &[usize], to: &[usize]) {
        match *layer {
            Layer::Dense { units } => self.dense(index, from[0], units),
            Layer::Conv {
                kernel,
                stride,
                padding,
                ..
            } => self.conv(from, to, [kernel, stride, padding]),
            Layer::MaxPool { size, stride } => {
                let pool = self.pool(from, to, size, stride);
                self.max_pool(pool);
            }
            Layer::AvgPool { size, stride } => {
                let pool = self.pool(from, to, size, stride);
                self.push(Kind::AvgPool(pool), pool.results(), 0);
            }
            Layer::Relu {} => self.activation(Activation::Relu, from),
            Layer::Tanh {} => self.activation(Activation::Tanh, from),
            Layer::Dropout { share } => {
                self.arrange(from);
                let image = self.image(from);
                let dropout = Dropout {
                    layer: index,
                    share,
                    width: from.iter().product(),
                    image,
                };
                self.push(Kind::Dropout(dropout), self.stored(from), 0);
            }
            Layer::Flatten {} => self.flatten(from),
            Layer::Binary {} => {
                self.arrange(from);
                self.push(Kind::Binary, 2, 0);
            }
            Layer::BatchNorm { momentum, epsilon } => {
                let [.., mean, variance] = self.take::<4>().map(Entry::range);
                let cells = Cells::Batch {
                    layer: index,
                    momentum: momentum as f32,
                    mean,
                    variance,
                };
                self.norm(from, cells, epsilon, 4);
            }
            Layer::GroupNorm { groups, epsilon } => {
                self.norm(from, Cells::Groups(groups), epsilon, 2);
            }
        }
    }

    fn dense(&mut self, index: usize, inputs: usize, units: usize) {
        let [weights, bias] = self.take();
        let dense = Dense {
            inputs,
            units,
            by_row: matches!(self.form, Form::Rows),
            activation: None,
            weights: weights.range(),
            bias: bias.range(),
        };
        self.form = Form::Columns;
        let kind = match (self.network.halves(), self.network.posterior()) {
            (Some(halves), Some(Variational { local: true, .. })) => {
                Kind::Local(Box::new(Local::new(dense, index, halves.len)))
            }
            _ => Kind::Dense(dense),
        };
        self.push(kind, units, 2);
    }

    fn conv(&mut self, from: &[usize], to: &[usize], [kernel, stride, padding]: [usize; 3]) {
        if matches!(self.form, Form::Rows) {
            // A first convolution needs no slope at its input, so channels need not fill vectors.
            self.images_of_rows(from, from[0]);
        }
        let [weights, bias] = self.take();
        let sizes = Sizes {
            inputs: from[0],
            inputs_stored: self.stored(from) / (from[1] * from[2]),
            outputs: to[0],
            kernel,
            stride,
            padding,
            height: from[1],
            width: from[2],
            out_height: to[1],
            out_width: to[2],
        };
        let conv = Conv::new(sizes, weights.range(), bias.range());
        let width = conv.width();
        self.form = Form::Images {
            stored: channels_padded(to[0]),
        };
        self.push(Kind::Conv(Box::new(conv)), width, 2);
    }

    fn pool(&mut self, from: &[usize], to: &[usize], size: usize, stride: Option<usize>) -> Pool {
        self.arrange(from);
        Pool {
            size,
            stride: stride.unwrap_or(size),
            height: from[1],
            width: from[2],
            out_height: to[1],
            out_width: to[2],
            channels: self.stored(from) / (from[1] * from[2]),
        }
    }

    /// Joins the convolution before it.
    fn max_pool(&mut self, pool: Pool) {
        if let Some(Op {
            kind: Kind::Conv(conv),
            width,
            ..
        }) = self.ops.last_mut()
            && conv.pool.is_none()
        {
            conv.pool = Some(pool);
            *width = conv.width();
        } else {
            self.push(Kind::MaxPool(pool), pool.results(), 0);
        }
    }

    /// Joins the layer before it, where its derivative follows from what that layer gives.
    fn activation(&mut self, activation: Activation, from: &[usize]) {
        match self.ops.last_mut().map(|op| &mut op.kind) {
            Some(Kind::Dense(dense)) if dense.activation.is_none() => {
                dense.activation = Some(activation);
            }
            Some(Kind::Local(local)) if local.activation.is_none() => {
                local.activation = Some(activation);
            }
            Some(Kind::Conv(conv))
                if activation == Activation::Relu && !conv.rectify && conv.pool.is_none() =>
            {
                conv.rectify = true;
            }
            _ => {
                self.arrange(from);
                self.push(Kind::Activation(activation), self.stored(from), 0);
            }
        }
    }

    fn norm(&mut self, from: &[usize], cells: Cells, epsilon: f64, tensors: usize) {
        self.arrange(from);
        let [scale, shift] = self.take().map(Entry::range);
        let as_rows = Image {
            channels: from[0],
            stored: from[0],
            plane: 1,
        };
        let norm = Norm {
            image: self.image(from).unwrap_or(as_rows),
            flat: from.len() == 1,
            cells,
            epsilon: epsilon as f32,
            scale,
            shift,
        };
        self.push(Kind::Norm(Box::new(norm)), self.stored(from), tensors);
    }

    fn flatten(&mut self, from: &[usize]) {
        if let Some(image) = self.image(from) {
            self.form = Form::Columns;
            self.push(Kind::Flatten(image), from.iter().product(), 0);
        }
    }

    /// Takes the batch's rows to the layout that all operations but dense ones and convolutions want.
    fn arrange(&mut self, from: &[usize]) {
        match (self.form, from) {
            (Form::Rows, [channels, _, _]) => self.images_of_rows(from, channels_padded(*channels)),
            (Form::Rows, _) => {
                self.form = Form::Columns;
                self.push(Kind::Transpose { width: from[0] }, from[0], 0);
            }
            _ => {}
        }
    }

    fn images_of_rows(&mut self, from: &[usize], stored: usize) {
        let (channels, plane) = (from[0], from[1] * from[2]);
        self.form = Form::Images { stored };
        if (channels, stored) != (1, 1) {
            self.push(
                Kind::Arrange(Image {
                    channels,
                    stored,
                    plane,
                }),
                plane * stored,
                0,
            );
        }
    }

    /// A model without a dense layer gives its logits as columns, too.
    fn finish(&mut self) {
        if let (Form::Rows, Some(shape)) = (self.form, self.network.shapes().last()) {
            self.arrange(shape);
        }
    }

    fn image(&self, from: &[usize]) -> Option<Image> {
        match self.form {
            Form::Images { stored } => Some(Image {
                channels: from[0],
                stored,
                plane: from[1] * from[2],
            }),
            Form::Rows | Form::Columns => None,
        }
    }

    /// Stored values of a sample in front of the next operation.
    fn stored(&self, from: &[usize]) -> usize {
        self.image(from)
            .map_or(from.iter().product(), |image| image.values())
    }

    /// The next tensors of the layout.
    fn take<const N: usize>(&self) -> [&Entry; N] {
        let entries = &self.network.layout().entries()[self.next_entry..];
        std::array::from_fn(|i| &entries[i])
    }

    fn push(&mut self, kind: Kind, width: usize, tensors: usize) {
        let entries = &self.network.layout().entries()[self.next_entry..][..tensors];
        let start = entries.first().map_or(0, |e| e.offset);
        let params = start..entries.last().map_or(0, |e| e.range().end);
        self.next_entry += tensors;
        self.ops.push(Op {
            kind,
            width,
            params,
        });
    }
}

impl Op {
    pub(super) fn has_params(&self) -> bool {
        !self.params.is_empty()
    }
}
