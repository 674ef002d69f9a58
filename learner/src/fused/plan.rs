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
use lyceum_core::{Entry, Layer, Network, Operation, Variational};
use std::ops::Range;

/// One operation, and the number of values behind it.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) kind: Kind,
    /// The operation whose result goes in; `None` for the batch.
    pub(super) source: Option<usize>,
    /// Whether its slope is gathered, since more than the next operation goes on from its result.
    pub(super) gathered: bool,
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
    /// From columns to rows.
    Rows {
        width: usize,
    },
    /// From images to rows.
    Gather(Image),
    /// Adds the result of another operation; of the batch if there is none.
    Add {
        other: Option<usize>,
    },
    /// A layer of a kind of its own, from rows to rows.
    Open(Open),
}

/// A layer that is an operation of its own.
#[derive(Clone, Debug)]
pub(super) struct Open {
    layer: Layer,
    place: usize,
    input: Vec<usize>,
}

/// Makes operations of layers; `None` for those that it leaves to others.
pub(crate) type Make<'a> = dyn Fn(&Layer, usize, &[usize]) -> Option<Box<dyn Operation>> + 'a;

impl Kind {
    /// What an open layer does, with its buffers.
    pub(super) fn operation(&self, make: Option<&Make<'_>>) -> Option<Box<dyn Operation>> {
        let Self::Open(Open {
            layer,
            place,
            input,
        }) = self
        else {
            return None;
        };
        let made = make.and_then(|make| make(layer, *place, input));
        made.or_else(|| match layer {
            Layer::Open(open) => Some(open.kind().operation(*place, input)),
            _ => None,
        })
    }
}

/// A dropout layer and how its values are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    pub(super) layer: usize,
    pub(super) share: f64,
    /// Used values of a sample.
    pub(super) width: usize,
    pub(super) form: DropoutForm,
}

/// How the values of a dropout layer are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) enum DropoutForm {
    Rows,
    Columns,
    Images(Image),
}

/// How values are laid out between two operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    apart: bool,
    ops: Vec<Op>,
    form: Form,
    /// The operation that gave the value; `None` for the batch.
    current: Option<usize>,
    /// Values that residual blocks keep, the last on top.
    kept: Vec<(Option<usize>, Form)>,
    /// Operations up to here stay as they are, since their results are kept.
    sealed: usize,
    next_entry: usize,
}

/// The operations of a network; with `apart`, every layer is one of its own, as somebody else makes it.
pub(super) fn ops(network: &Network, apart: bool) -> Vec<Op> {
    let mut planner = Planner {
        network,
        apart,
        ops: Vec::new(),
        form: Form::Rows,
        current: None,
        kept: Vec::new(),
        sealed: 0,
        next_entry: 0,
    };
    let shapes = network.shapes().windows(2);
    for (index, (layer, shapes)) in network.layers().iter().zip(shapes).enumerate() {
        planner.layer(index, layer, &shapes[0], &shapes[1]);
    }
    planner.finish();
    let mut ops = planner.ops;
    mark_gathered(&mut ops);
    ops
}

/// An operation's slope is gathered unless the next operation, and it alone, goes on from its result.
fn mark_gathered(ops: &mut [Op]) {
    let mut users = vec![Vec::new(); ops.len()];
    let mut added = vec![false; ops.len()];
    for (at, op) in ops.iter().enumerate() {
        if let Some(source) = op.source {
            users[source].push(at);
        }
        if let Kind::Add { other: Some(other) } = op.kind {
            added[other] = true;
        }
    }
    for (at, op) in ops.iter_mut().enumerate() {
        let next_alone = users[at].is_empty() || users[at] == [at + 1];
        op.gathered = added[at] || !next_alone;
    }
}

impl Planner<'_> {
    fn layer(&mut self, index: usize, layer: &Layer, from: &[usize], to: &[usize]) {
        match *layer {
            Layer::Open(_) => self.open(index, layer, from, to),
            ref known if self.apart && known.is_computed() => self.open(index, known, from, to),
            Layer::Fork {} => self.fork(from),
            Layer::Swap {} => self.swap(),
            Layer::Join {} => self.join(from),
            Layer::Residual { .. } => unreachable!("a network holds a block in its parts"),
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
                self.arrange_unless_rows(from);
                let form = match (self.form, self.image(from)) {
                    (_, Some(image)) => DropoutForm::Images(image),
                    (Form::Rows, None) => DropoutForm::Rows,
                    _ => DropoutForm::Columns,
                };
                let dropout = Dropout {
                    layer: index,
                    share,
                    width: from.iter().product(),
                    form,
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
        if self.current.is_some() {
            self.arrange(&[inputs]);
        }
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
        if self.current.is_some() {
            self.arrange(from);
        }
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
        }) = self.last()
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
        match self.last().map(|op| &mut op.kind) {
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
                self.arrange_unless_rows(from);
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

    fn open(&mut self, place: usize, layer: &Layer, from: &[usize], to: &[usize]) {
        self.lay_in_rows(from);
        let tensors = layer.tensor_sizes(from).len();
        let open = Open {
            layer: layer.clone(),
            place,
            input: from.to_vec(),
        };
        self.push(Kind::Open(open), to.iter().product(), tensors);
    }

    fn fork(&mut self, from: &[usize]) {
        self.arrange_unless_rows(from);
        self.kept.push((self.current, self.form));
        self.sealed = self.ops.len();
    }

    fn swap(&mut self) {
        if let Some(kept) = self.kept.last_mut() {
            let now = std::mem::replace(kept, (self.current, self.form));
            (self.current, self.form) = now;
            self.sealed = self.ops.len();
        }
    }

    fn join(&mut self, from: &[usize]) {
        let Some((other, form)) = self.kept.pop() else {
            return;
        };
        if self.form != form {
            self.lay_in_rows(from);
            if form != Form::Rows {
                self.arrange(from);
            }
        }
        self.push(Kind::Add { other }, self.stored(from), 0);
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
                let width = from.iter().product();
                self.form = Form::Columns;
                self.push(Kind::Transpose { width }, width, 0);
            }
            _ => {}
        }
    }

    /// As [`arrange`](Self::arrange), but leaves sequences as they are, and what comes as rows from an operation: an operation
    /// on single values takes any layout.
    fn arrange_unless_rows(&mut self, from: &[usize]) {
        if self.form != Form::Rows || (self.current.is_none() && from.len() != 2) {
            self.arrange(from);
        }
    }

    /// Takes the values to the layout of batches.
    fn lay_in_rows(&mut self, from: &[usize]) {
        let width = from.iter().product();
        match (self.form, self.image(from)) {
            (Form::Rows, _) => return,
            (_, Some(image)) => self.push(Kind::Gather(image), width, 0),
            _ => self.push(Kind::Rows { width }, width, 0),
        }
        self.form = Form::Rows;
    }

    /// The operation that gave the value, if it may still take up what follows it.
    fn last(&mut self) -> Option<&mut Op> {
        let is_last = self.current.is_some_and(|at| at + 1 == self.ops.len());
        match is_last && self.ops.len() > self.sealed {
            true => self.ops.last_mut(),
            false => None,
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
            // Of a sequence, each place is a row of its own.
            self.push(
                Kind::Transpose {
                    width: self.network.classes(),
                },
                shape.iter().product(),
                0,
            );
            self.form = Form::Columns;
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
        let source = self.current;
        self.current = Some(self.ops.len());
        self.ops.push(Op {
            kind,
            source,
            gathered: false,
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
