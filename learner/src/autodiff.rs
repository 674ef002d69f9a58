//! Layers that are written in Burn, and differentiated by it.

use crate::pass::values;
use burn::tensor::{DType, Device, Tensor, TensorData};
use lyceum_core::{Backward, Forward, LayerKind, Mode, Operation};
use std::{fmt, ops::Range};

/// What a layer does, written in Burn. The gradient is Burn's.
pub trait Differentiable: fmt::Debug + Send + 'static {
    /// What comes out, rows x values, of what goes in, rows x values, in which each sample has this shape. `tensors` are those of
    /// the layer, in the order of the layout, each as a flat vector.
    fn forward(&self, tensors: &[Tensor<1>], input: Tensor<2>, shape: &[usize]) -> Tensor<2>;
}

/// The operation of a layer that is written in Burn: on the processor, one thread. Allocates, as Burn does; a hand-written
/// [`Operation`] is faster.
///
/// # Panics
///
/// In a build without the feature `flex`.
pub fn by_autodiff<L: Differentiable + LayerKind>(layer: L, input: &[usize]) -> Box<dyn Operation> {
    let sizes = layer.tensors(input).into_iter();
    let sizes = sizes.map(|tensor| tensor.shape.iter().product()).collect();
    Box::new(ByAutodiff::new(Plain(layer), input, sizes, device()))
}

/// What a layer does, written in Burn, where training and tests may differ.
pub(crate) trait Written: fmt::Debug + Send {
    /// As [`Differentiable::forward`].
    fn apply(
        &mut self,
        tensors: &[Tensor<1>],
        input: Tensor<2>,
        shape: &[usize],
        mode: Mode<'_>,
    ) -> Tensor<2>;

    /// Writes what no gradient says, such as the steps of running statistics.
    fn complete(&self, _gradient: &mut [f32]) {}
}

/// A layer that is the same in training and in tests.
#[derive(Debug)]
struct Plain<L>(L);

impl<L: Differentiable> Written for Plain<L> {
    fn apply(
        &mut self,
        tensors: &[Tensor<1>],
        input: Tensor<2>,
        shape: &[usize],
        _: Mode<'_>,
    ) -> Tensor<2> {
        self.0.forward(tensors, input, shape)
    }
}

#[cfg(feature = "flex")]
fn device() -> Device {
    Device::flex()
}

#[cfg(not(feature = "flex"))]
fn device() -> Device {
    panic!("a layer written in Burn needs a build with `--features flex`")
}

/// An operation on a device of Burn, by way of the processor's memory.
pub(crate) struct ByAutodiff<L> {
    layer: L,
    shape: Vec<usize>,
    /// Values of each tensor.
    sizes: Vec<usize>,
    device: Device,
    walk: Option<Walk>,
}

/// A walk forward that waits for its way back.
struct Walk {
    tensors: Vec<Tensor<1>>,
    input: Tensor<2>,
    output: Tensor<2>,
}

impl<L: fmt::Debug> fmt::Debug for ByAutodiff<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByAutodiff").field(&self.layer).finish()
    }
}

impl<L> ByAutodiff<L> {
    /// Of a layer whose tensors have so many values.
    pub(crate) fn new(layer: L, input: &[usize], sizes: Vec<usize>, device: Device) -> Self {
        Self {
            layer,
            shape: input.to_vec(),
            sizes,
            device,
            walk: None,
        }
    }

    fn tensor<const D: usize>(&self, values: &[f32], shape: [usize; D]) -> Tensor<D> {
        let data = TensorData::new(values.to_vec(), shape);
        Tensor::from_data(data, (&self.device, DType::F32))
    }

    /// Where each tensor stands in the layer's parameters.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.sizes.iter().scan(0, |start, size| {
            let range = *start..*start + size;
            *start = range.end;
            Some(range)
        })
    }
}

impl<L: Written> Operation for ByAutodiff<L> {
    fn forward(&mut self, pass: Forward<'_>) {
        let width = self.shape.iter().product();
        let tensors = self.ranges().map(|range| {
            let size = range.len();
            let tensor = self.tensor(&pass.params[range], [size]);
            tensor.autodiff().require_grad()
        });
        let tensors: Vec<_> = tensors.collect();
        let input = self.tensor(pass.input, [pass.rows, width]);
        let input = input.autodiff().require_grad();
        let output = (self.layer).apply(&tensors, input.clone(), &self.shape, pass.mode);
        let data = output.clone().without_autodiff().into_data();
        pass.output.copy_from_slice(values(&data));
        self.walk = Some(Walk {
            tensors,
            input,
            output,
        });
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let walk = self.walk.take().expect("a way forward before the way back");
        let slope = self.tensor(pass.slope, walk.output.dims());
        let mut found = (walk.output * slope).sum().backward();
        for (range, tensor) in self.ranges().zip(walk.tensors) {
            let gradient = &mut pass.gradient[range];
            match tensor.grad_remove(&mut found) {
                Some(grad) => gradient.copy_from_slice(values(&grad.into_data())),
                None => gradient.fill(0.0),
            }
        }
        self.layer.complete(pass.gradient);
        if let Some(next) = pass.wanted {
            match walk.input.grad_remove(&mut found) {
                Some(grad) => next.copy_from_slice(values(&grad.into_data())),
                None => next.fill(0.0),
            }
        }
    }
}
