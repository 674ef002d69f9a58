//! What the normalisations on images and on flat values share.

use crate::pass::{Gradients, Pass, next};
use burn::tensor::Tensor;
use lyceum_core::Entry;
use std::slice::Iter;

/// Values with mean 0 and variance 1 along some axes, and what they had before.
#[derive(Debug)]
pub(crate) struct Normal<const D: usize> {
    /// `(x - mean) * scale`.
    pub(crate) values: Tensor<D>,
    /// Size 1 along the axes, as are variance and scale.
    mean: Tensor<D>,
    /// The biased one.
    variance: Tensor<D>,
    /// `1 / sqrt(variance + epsilon)`.
    scale: Tensor<D>,
    /// Whether mean and variance are given, not those of the values.
    fixed: bool,
}

impl<const D: usize> Normal<D> {
    /// Normalises along `axes`.
    pub(crate) fn along(axes: &[usize], x: Tensor<D>, epsilon: f64) -> Self {
        let mean = x.clone().mean_dims(axes);
        let centred = x - mean.clone();
        let variance = (centred.clone() * centred.clone()).mean_dims(axes);
        Self {
            fixed: false,
            ..Self::of(centred, mean, variance, epsilon)
        }
    }

    /// By a mean and a variance that are given.
    fn of(centred: Tensor<D>, mean: Tensor<D>, variance: Tensor<D>, epsilon: f64) -> Self {
        let scale = (variance.clone() + epsilon).sqrt().recip();
        Self {
            values: centred * scale.clone(),
            mean,
            variance,
            scale,
            fixed: true,
        }
    }

    /// The slope at `x`, from the slope at the values: mean and scale follow `x` too, so what the slope has in
    /// common along the axes is taken off, and what it has in common with the values. Not so where they are given.
    pub(crate) fn backward(self, axes: &[usize], slope: Tensor<D>) -> Tensor<D> {
        if self.fixed {
            return slope * self.scale;
        }
        let shift = slope.clone().mean_dims(axes);
        let stretch = (slope.clone() * self.values.clone()).mean_dims(axes);
        (slope - shift - self.values * stretch) * self.scale
    }
}

/// Batch normalisation up to its weight and bias.
pub(crate) struct BatchNorm<'a> {
    /// Position among the layers of the network.
    layer: usize,
    momentum: f64,
    epsilon: f64,
    /// The running estimates.
    mean: &'a Entry,
    variance: &'a Entry,
}

impl<'a> BatchNorm<'a> {
    /// Takes the next two tensors of the layout.
    pub(crate) fn next(
        layer: usize,
        (momentum, epsilon): (f64, f64),
        entries: &mut Iter<'a, Entry>,
    ) -> Self {
        Self {
            layer,
            momentum,
            epsilon,
            mean: next(entries),
            variance: next(entries),
        }
    }

    /// Normalises every channel, whose values lie along `axes`: by itself, noting in `gradients` how the running
    /// estimates follow, or by these, as the mode has it.
    pub(crate) fn normal<const D: usize>(
        &self,
        pass: &Pass<'_>,
        axes: &[usize],
        x: Tensor<D>,
        gradients: &mut Gradients,
    ) -> Normal<D> {
        let mut channels = x.dims();
        let count: usize = axes.iter().map(|&axis| channels[axis]).product();
        axes.iter().for_each(|&axis| channels[axis] = 1);
        let mean = pass.param(self.mean, channels);
        let variance = pass.param(self.variance, channels);
        if !pass.mode.is_by_batch(self.layer) {
            return Normal::of(
                x - mean.clone(),
                mean,
                variance.clamp_min(0.0),
                self.epsilon,
            );
        }
        let normal = Normal::along(axes, x, self.epsilon);
        let unbiased = count as f64 / (count.max(2) - 1) as f64;
        let mut note = |entry: &Entry, running: Tensor<D>, observed: Tensor<D>| {
            let step = (running - observed.without_autodiff()) * self.momentum;
            gradients.add(entry.range(), step);
        };
        note(self.mean, mean, normal.mean.clone());
        note(self.variance, variance, normal.variance.clone() * unbiased);
        normal
    }
}
