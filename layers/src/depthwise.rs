//! Convolution of every channel by itself.

use crate::{
    convolution::{Sizes, bias_gradient},
    padding::Frame,
};
use lyceum_core::{Backward, Forward, Operation, wide};

/// A convolution in groups of one input channel, each with one output channel or more.
#[derive(Debug)]
pub(crate) struct Depthwise {
    shape: Shape,
    /// An image with its border, and the slopes at it.
    framed: [Vec<f32>; 2],
}

#[derive(Debug)]
struct Shape {
    sizes: Sizes,
    frame: Frame,
}

impl Depthwise {
    pub(crate) fn new(sizes: Sizes) -> Self {
        let frame = sizes.frame();
        Self {
            shape: Shape { sizes, frame },
            framed: Default::default(),
        }
    }
}

impl Shape {
    /// Results of a sample.
    fn results(&self) -> usize {
        self.sizes.channels()[1] * self.sizes.places()
    }

    /// Visits each weight with each line of results of its channel: the number of the weight, where the values below the line
    /// begin, and where the line stands among the results of a sample.
    #[inline(always)]
    fn visit(&self, mut line: impl FnMut(usize, usize, std::ops::Range<usize>)) {
        let ([_, outputs], [_, of_group]) = (self.sizes.channels(), self.sizes.per_group());
        let (places, stride) = (self.sizes.places(), self.frame.stride());
        for output in 0..outputs {
            let plane = output / of_group * self.frame.plane();
            for tap in 0..self.sizes.taps() {
                let (_, offset) = self.sizes.site(tap, stride);
                for (below, at) in self.sizes.runs(&(0..places), stride) {
                    let weight = output * self.sizes.taps() + tap;
                    let first = output * places;
                    line(
                        weight,
                        plane + offset + below,
                        first + at.start..first + at.end,
                    );
                }
            }
        }
    }

    fn correlate(&self, weights: &[f32], image: &[f32], out: &mut [f32]) {
        let step = self.sizes.columns.stride;
        wide(
            #[inline(always)]
            || {
                self.visit(
                    #[inline(always)]
                    |weight, from, to| {
                        let weight = weights[weight];
                        let out = &mut out[to];
                        if step == 1 {
                            let values = &image[from..from + out.len()];
                            let sites = out.iter_mut().zip(values);
                            sites.for_each(|(o, v)| *o += weight * v);
                        } else {
                            let sites = out.iter_mut().zip(image[from..].iter().step_by(step));
                            sites.for_each(|(o, v)| *o += weight * v);
                        }
                    },
                );
            },
        );
    }

    fn add_gradient(&self, image: &[f32], slope: &[f32], gradient: &mut [f32]) {
        let step = self.sizes.columns.stride;
        wide(
            #[inline(always)]
            || {
                self.visit(
                    #[inline(always)]
                    |weight, from, to| {
                        let slope = &slope[to];
                        let product = if step == 1 {
                            let values = &image[from..from + slope.len()];
                            crate::sum(slope.iter().zip(values).map(|(s, v)| s * v))
                        } else {
                            let values = image[from..].iter().step_by(step);
                            crate::sum(slope.iter().zip(values).map(|(s, v)| s * v))
                        };
                        gradient[weight] += product;
                    },
                );
            },
        );
    }

    fn add_slopes(&self, weights: &[f32], slope: &[f32], image: &mut [f32]) {
        let step = self.sizes.columns.stride;
        wide(
            #[inline(always)]
            || {
                self.visit(
                    #[inline(always)]
                    |weight, from, to| {
                        let (weight, slope) = (weights[weight], &slope[to]);
                        if step == 1 {
                            let sites = image[from..from + slope.len()].iter_mut();
                            sites.zip(slope).for_each(|(i, s)| *i += weight * s);
                        } else {
                            let sites = image[from..].iter_mut().step_by(step);
                            sites.zip(slope).for_each(|(i, s)| *i += weight * s);
                        }
                    },
                );
            },
        );
    }
}

impl Operation for Depthwise {
    fn forward(&mut self, pass: Forward<'_>) {
        let Self {
            shape,
            framed: [framed, _],
        } = self;
        let (weights, bias) = pass.params.split_at(shape.sizes.weights());
        let samples = pass.output.chunks_exact_mut(shape.results());
        let inputs = pass.input.chunks_exact(shape.sizes.values());
        for (out, input) in samples.zip(inputs) {
            let channels = out.chunks_exact_mut(shape.sizes.places());
            for (at, channel) in channels.enumerate() {
                channel.fill(bias.get(at).copied().unwrap_or(0.0));
            }
            shape.correlate(weights, shape.frame.around(input, framed), out);
        }
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let Self {
            shape,
            framed: [framed, framed_slopes],
        } = self;
        let (of_weight, of_bias) = pass.gradient.split_at_mut(shape.sizes.weights());
        if !of_bias.is_empty() {
            bias_gradient(pass.slope, shape.sizes.places(), of_bias);
        }
        of_weight.fill(0.0);
        let values = shape.sizes.values();
        let slopes = || pass.slope.chunks_exact(shape.results());
        for (input, slope) in pass.input.chunks_exact(values).zip(slopes()) {
            let image = shape.frame.around(input, framed);
            shape.add_gradient(image, slope, of_weight);
        }
        let Some(next) = pass.wanted else { return };
        for (next, slope) in next.chunks_exact_mut(values).zip(slopes()) {
            shape.frame.collect(next, framed_slopes, |image| {
                shape.add_slopes(pass.params, slope, image);
            });
        }
    }
}
