//! Convolution as a product of the weights with what lies below the window at every place, laid out as a matrix.

use crate::{
    convolution::{Sizes, bias_gradient},
    depthwise::Depthwise,
    kernel::transpose,
    matrix::Matrix,
    padding::Frame,
    room,
};
use lyceum_core::{Backward, Forward, Operation};
use std::ops::Range;

/// What a convolution does: groups of a single channel need no products of matrices.
pub(crate) fn operation(sizes: Sizes) -> Box<dyn Operation> {
    match sizes.groups > 1 && sizes.groups == sizes.channels()[0] {
        true => Box::new(Depthwise::new(sizes)),
        false => Box::new(Patched::new(sizes)),
    }
}

/// A convolution in groups of any size.
#[derive(Debug)]
pub(crate) struct Patched {
    shape: Shape,
    /// Images with their borders, and the slopes at them.
    framed: [Vec<f32>; 2],
    /// What lies below the window, weight by weight; then the slopes at it.
    patches: Vec<f32>,
    /// Results of a part, or the slopes at them.
    part: Vec<f32>,
    turned: Vec<f32>,
    /// The gradient of the weights, each group turned round.
    gradient: Vec<f32>,
}

#[derive(Debug)]
struct Shape {
    sizes: Sizes,
    frame: Frame,
    /// Places of a part at most.
    most: usize,
}

/// One group of channels at a run of places, of some neighbouring samples.
#[derive(Debug)]
struct Part {
    group: usize,
    samples: usize,
    span: Range<usize>,
}

impl Part {
    fn width(&self) -> usize {
        self.samples * self.span.len()
    }
}

impl Patched {
    pub(crate) fn new(sizes: Sizes) -> Self {
        // As much as stays near while the weights pass over it.
        const NEAR: usize = 64 << 10;
        let shape = Shape {
            sizes,
            frame: sizes.frame(),
            most: (NEAR / sizes.taps()).clamp(32, 256),
        };
        Self {
            shape,
            framed: Default::default(),
            patches: Vec::new(),
            part: Vec::new(),
            turned: Vec::new(),
            gradient: Vec::new(),
        }
    }
}

impl Shape {
    /// Samples that are worked on together: several where images are small.
    fn together(&self) -> usize {
        (self.most / self.sizes.places()).max(1)
    }

    fn parts(&self, samples: usize) -> impl Iterator<Item = Part> {
        let (places, most) = (self.sizes.places(), self.most);
        (0..self.sizes.groups).flat_map(move |group| {
            (0..places).step_by(most).map(move |start| Part {
                group,
                samples,
                span: start..places.min(start + most),
            })
        })
    }

    /// The weights of a group, outputs x taps.
    fn weights<'a>(&self, params: &'a [f32], part: &Part) -> Matrix<'a> {
        let (outputs, taps) = (self.sizes.per_group()[1], self.sizes.taps());
        Matrix::new(&params[part.group * outputs * taps..], outputs, taps)
    }

    /// Where the plane of a channel of the group begins, among those of all samples.
    fn plane(&self, part: &Part, sample: usize, channel: usize) -> usize {
        let ([all, _], [inputs, _]) = (self.sizes.channels(), self.sizes.per_group());
        (sample * all + part.group * inputs + channel) * self.frame.plane()
    }

    /// Where the results of a channel of the group stand, among those of all samples.
    fn results(&self, part: &Part, sample: usize, channel: usize) -> Range<usize> {
        let ([_, all], [_, outputs]) = (self.sizes.channels(), self.sizes.per_group());
        let first = (sample * all + part.group * outputs + channel) * self.sizes.places();
        first + part.span.start..first + part.span.end
    }

    /// Visits each line of what lies below a window: where it begins among the images, and where it stands in the patches.
    fn visit(&self, part: &Part, mut line: impl FnMut(usize, Range<usize>)) {
        let (stride, len) = (self.frame.stride(), part.span.len());
        for tap in 0..self.sizes.taps() {
            let (channel, offset) = self.sizes.site(tap, stride);
            for sample in 0..part.samples {
                let from = self.plane(part, sample, channel) + offset;
                let to = (tap * part.samples + sample) * len;
                for (below, at) in self.sizes.runs(&part.span, stride) {
                    line(from + below, to + at.start..to + at.end);
                }
            }
        }
    }

    /// What lies below the window, taps x places.
    fn patches<'a>(&self, part: &Part, images: &[f32], buffer: &'a mut Vec<f32>) -> Matrix<'a> {
        let taps = self.sizes.taps();
        let patches = room(buffer, taps * part.width());
        let step = self.sizes.columns.stride;
        self.visit(part, |from, to| match step {
            1 => {
                let len = to.len();
                patches[to].copy_from_slice(&images[from..from + len]);
            }
            _ => {
                let values = images[from..].iter().step_by(step);
                patches[to]
                    .iter_mut()
                    .zip(values)
                    .for_each(|(p, v)| *p = *v);
            }
        });
        Matrix::new(patches, taps, part.width())
    }

    /// Adds what stands in patches to the images that lie below.
    fn spread(&self, part: &Part, patches: &[f32], images: &mut [f32]) {
        let step = self.sizes.columns.stride;
        self.visit(part, |from, to| {
            let values = &patches[to];
            match step {
                1 => {
                    let sites = images[from..from + values.len()].iter_mut();
                    sites.zip(values).for_each(|(i, v)| *i += v);
                }
                _ => {
                    let sites = images[from..].iter_mut().step_by(step);
                    sites.zip(values).for_each(|(i, v)| *i += v);
                }
            }
        });
    }

    /// Writes the results of a part to their places, with the bias added.
    fn put(&self, part: &Part, results: &[f32], bias: &[f32], out: &mut [f32]) {
        let rows = results.chunks_exact(part.width()).enumerate();
        for (channel, row) in rows {
            let first = part.group * self.sizes.per_group()[1];
            let bias = bias.get(first + channel).copied().unwrap_or(0.0);
            let samples = row.chunks_exact(part.span.len()).enumerate();
            for (sample, results) in samples {
                let out = &mut out[self.results(part, sample, channel)];
                out.iter_mut().zip(results).for_each(|(o, r)| *o = r + bias);
            }
        }
    }

    /// The slopes at the results of a part, outputs x places.
    fn slopes<'a>(&self, part: &Part, slope: &[f32], buffer: &'a mut Vec<f32>) -> Matrix<'a> {
        let outputs = self.sizes.per_group()[1];
        let all = room(buffer, outputs * part.width());
        for (channel, row) in all.chunks_exact_mut(part.width()).enumerate() {
            let samples = row.chunks_exact_mut(part.span.len()).enumerate();
            for (sample, to) in samples {
                to.copy_from_slice(&slope[self.results(part, sample, channel)]);
            }
        }
        Matrix::new(all, outputs, part.width())
    }

    /// Adds the gradient of the weights of some samples, each group turned round: taps x outputs.
    fn add_gradient(&self, images: &[f32], slope: &[f32], buffers: [&mut Vec<f32>; 4]) {
        let [patches, part_slopes, turned, gradient] = buffers;
        let (outputs, taps) = (self.sizes.per_group()[1], self.sizes.taps());
        let samples = slope.len() / (self.sizes.channels()[1] * self.sizes.places());
        for part in self.parts(samples) {
            let patches = self.patches(&part, images, patches);
            let slopes = self.slopes(&part, slope, part_slopes).turned(turned);
            let own = &mut gradient[part.group * outputs * taps..][..outputs * taps];
            patches.times_added(slopes, own);
        }
    }

    /// Adds the slopes at the images of some samples.
    fn add_slopes(
        &self,
        params: &[f32],
        slope: &[f32],
        [patches, part_slopes]: [&mut Vec<f32>; 2],
        images: &mut [f32],
    ) {
        let samples = slope.len() / (self.sizes.channels()[1] * self.sizes.places());
        for part in self.parts(samples) {
            let slopes = self.slopes(&part, slope, part_slopes);
            let patches = room(patches, self.sizes.taps() * part.width());
            self.weights(params, &part).turned_times(slopes, patches);
            self.spread(&part, patches, images);
        }
    }
}

impl Operation for Patched {
    fn forward(&mut self, pass: Forward<'_>) {
        let Self {
            shape,
            framed: [framed, _],
            patches,
            part: results,
            ..
        } = self;
        let sizes = &shape.sizes;
        let (weights, bias) = pass.params.split_at(sizes.weights());
        let [_, outputs] = sizes.per_group();
        let inputs = pass.input.chunks(shape.together() * sizes.values());
        let out = shape.together() * sizes.channels()[1] * sizes.places();
        for (input, out) in inputs.zip(pass.output.chunks_mut(out)) {
            let images = shape.frame.around(input, framed);
            for part in shape.parts(input.len() / sizes.values()) {
                let patches = shape.patches(&part, images, patches);
                let results = room(results, outputs * part.width());
                shape.weights(weights, &part).times(patches, results);
                shape.put(&part, results, bias, out);
            }
        }
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let Self {
            shape,
            framed: [framed, framed_slopes],
            patches,
            part,
            turned,
            gradient,
        } = self;
        let sizes = &shape.sizes;
        let (of_weight, of_bias) = pass.gradient.split_at_mut(sizes.weights());
        if !of_bias.is_empty() {
            bias_gradient(pass.slope, sizes.places(), of_bias);
        }
        let values = shape.together() * sizes.values();
        let results = shape.together() * sizes.channels()[1] * sizes.places();
        room(gradient, sizes.weights()).fill(0.0);
        for (input, slope) in pass.input.chunks(values).zip(pass.slope.chunks(results)) {
            let images = shape.frame.around(input, framed);
            shape.add_gradient(images, slope, [patches, part, turned, gradient]);
        }
        let [_, outputs] = sizes.per_group();
        let group = sizes.taps() * outputs;
        let groups = gradient[..sizes.weights()].chunks_exact(group);
        for (from, to) in groups.zip(of_weight.chunks_exact_mut(group)) {
            transpose(from, outputs, to);
        }
        let Some(next) = pass.wanted else { return };
        for (next, slope) in next.chunks_mut(values).zip(pass.slope.chunks(results)) {
            shape.frame.collect(next, framed_slopes, |images| {
                shape.add_slopes(pass.params, slope, [patches, part], images);
            });
        }
    }
}
