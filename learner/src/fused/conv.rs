//! Convolution by sliding the window over each image, channels last.
//!
//! What follows a convolution at once (`max(x, 0)`, then the largest value of each window) is done image by
//! image, so that only its result ever leaves the cache.

use super::{
    kernel::{
        Correlation, Lines, Scarce, channels_padded, correlate, scarce_image_slopes,
        scarce_weight_gradients, weight_gradients,
    },
    pointwise::Activation,
    pool::Pool,
};
use lyceum_core::wide;
use std::ops::Range;

/// Sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) inputs: usize,
    /// Stored channels of an input position.
    pub(super) inputs_stored: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
}

/// A convolution, and what is done to its result image by image.
#[derive(Clone, Debug)]
pub(super) struct Conv {
    sizes: Sizes,
    pub(super) weights: Range<usize>,
    pub(super) bias: Range<usize>,
    pub(super) rectify: bool,
    pub(super) pool: Option<Pool>,
    forward: Correlation,
    /// The window turned round, on its way over slopes.
    back: Correlation,
    /// Columns of a line of slopes, with zeros around and, for wide strides, between them.
    spread_width: usize,
}

/// Buffers of one convolution; their sizes do not depend on the batch.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    weights: Vec<f32>,
    turned: Vec<f32>,
    bias: Vec<f32>,
    none: Vec<f32>,
    grad: Vec<f32>,
    bias_grad: Vec<f32>,
    /// An image with columns of zeros on both sides.
    image: Vec<f32>,
    /// Results of one image in front of the pooling, and their slopes.
    results: Vec<f32>,
    slopes: Vec<f32>,
    spread: Vec<f32>,
    /// Where few slopes are not zero: those that are not, weights and gradients channel by channel, slopes at an image with
    /// columns around it.
    scarce: Scarce,
    of_channels: Vec<f32>,
    framed: Vec<f32>,
}

/// The share of slopes that are not zero up to which they are taken one by one.
const FEW: f64 = 0.35;
/// Results of one image up to which that is done: beyond, its lists would take much memory.
const MOST_LISTED: usize = 1 << 18;

impl Sizes {
    fn padded_width(&self) -> usize {
        self.width + 2 * self.padding
    }

    fn outputs_stored(&self) -> usize {
        channels_padded(self.outputs)
    }

    fn image(&self) -> usize {
        self.height * self.width * self.inputs_stored
    }

    fn results(&self) -> usize {
        self.out_height * self.out_width * self.outputs_stored()
    }

    /// The lines of the image under the window, for each line of results.
    fn forward(&self) -> Correlation {
        let line = self.padded_width() * self.inputs_stored;
        let pairs = |y: usize| {
            let inside = |ky: &usize| {
                (self.padding..self.height + self.padding).contains(&(y * self.stride + ky))
            };
            let pair = |ky| ((y * self.stride + ky - self.padding) * line, ky);
            (0..self.kernel).filter(inside).map(pair).collect()
        };
        Correlation {
            lines: Lines::new((0..self.out_height).map(pairs)),
            results: self.out_width,
            step: self.stride * self.inputs_stored,
            reach: self.kernel * self.inputs_stored,
            channels: self.outputs_stored(),
        }
    }

    /// Columns of a line of slopes: `kernel - 1` zeros on each side, `stride - 1` between two slopes.
    fn spread_width(&self) -> usize {
        let slopes = (self.out_width - 1) * self.stride + 1 + 2 * (self.kernel - 1);
        slopes.max(self.width + self.padding + self.kernel - 1)
    }

    /// The lines of slopes that each line of the image has a share in.
    fn back(&self) -> Correlation {
        let channels = self.outputs_stored();
        let line = self.spread_width() * channels;
        let pairs = |y: usize| {
            let pair = |of: usize| {
                let ky = (y + self.padding).checked_sub(of * self.stride)?;
                (ky < self.kernel).then_some((of * line + self.padding * channels, ky))
            };
            (0..self.out_height).filter_map(pair).collect()
        };
        Correlation {
            lines: Lines::new((0..self.height).map(pairs)),
            results: self.width,
            step: channels,
            reach: self.kernel * channels,
            channels: self.inputs_stored,
        }
    }
}

impl Conv {
    pub(super) fn new(sizes: Sizes, weights: Range<usize>, bias: Range<usize>) -> Self {
        Self {
            sizes,
            weights,
            bias,
            rectify: false,
            pool: None,
            forward: sizes.forward(),
            back: sizes.back(),
            spread_width: sizes.spread_width(),
        }
    }

    /// Stored values of one image behind the layer.
    pub(super) fn width(&self) -> usize {
        self.pool
            .as_ref()
            .map_or(self.sizes.results(), Pool::results)
    }

    pub(super) fn forward(
        &self,
        params: &[f32],
        input: &[f32],
        out: &mut [f32],
        found: &mut [u32],
        scratch: &mut Scratch,
    ) {
        self.pack(params, scratch);
        let images = input.chunks_exact(self.sizes.image());
        match &self.pool {
            None => images
                .zip(out.chunks_exact_mut(self.sizes.results()))
                .for_each(|(image, out)| {
                    self.correlate(
                        image,
                        out,
                        &scratch.weights,
                        &scratch.bias,
                        &mut scratch.image,
                    )
                }),
            Some(pool) => {
                scratch.results.resize(self.sizes.results(), 0.0);
                let places = out
                    .chunks_exact_mut(pool.results())
                    .zip(found.chunks_exact_mut(pool.results()));
                for (image, (out, found)) in images.zip(places) {
                    self.correlate(
                        image,
                        &mut scratch.results,
                        &scratch.weights,
                        &scratch.bias,
                        &mut scratch.image,
                    );
                    pool.max(&scratch.results, out, found);
                }
            }
        }
    }

    fn correlate(
        &self,
        image: &[f32],
        out: &mut [f32],
        weights: &[f32],
        bias: &[f32],
        padded: &mut Vec<f32>,
    ) {
        let image = self.pad(image, padded);
        correlate(&self.forward, image, weights, bias, self.rectify, out);
    }

    /// The image with its columns of zeros, if the layer pads. The zeros are written once.
    fn pad<'a>(&self, image: &'a [f32], padded: &'a mut Vec<f32>) -> &'a [f32] {
        let Sizes {
            padding,
            width,
            inputs_stored,
            ..
        } = self.sizes;
        if padding == 0 {
            return image;
        }
        let line = self.sizes.padded_width() * inputs_stored;
        padded.resize(self.sizes.height * line, 0.0);
        let inner = padding * inputs_stored..(padding + width) * inputs_stored;
        for (to, from) in padded
            .chunks_exact_mut(line)
            .zip(image.chunks_exact(width * inputs_stored))
        {
            to[inner.clone()].copy_from_slice(from);
        }
        padded
    }

    /// Lays weights and bias out as the window meets them: line, column, input channel, output channel.
    fn pack(&self, params: &[f32], scratch: &mut Scratch) {
        let Correlation {
            reach, channels, ..
        } = self.forward;
        scratch
            .weights
            .resize(self.sizes.kernel * reach * channels, 0.0);
        scratch.bias.resize(channels, 0.0);
        scratch.bias[..self.sizes.outputs].copy_from_slice(&params[self.bias.clone()]);
        let weights = &params[self.weights.clone()];
        self.taps(|flat, [output, input, ky, kx]| {
            scratch.weights
                [(ky * reach + kx * self.sizes.inputs_stored + input) * channels + output] =
                weights[flat];
        });
    }

    /// Lays the weights out for the way back: line, column from the right, output channel, input channel.
    fn pack_turned(&self, params: &[f32], turned: &mut Vec<f32>) {
        let Correlation {
            reach, channels, ..
        } = self.back;
        let kernel = self.sizes.kernel;
        turned.resize(kernel * reach * channels, 0.0);
        let weights = &params[self.weights.clone()];
        self.taps(|flat, [output, input, ky, kx]| {
            let column = (kernel - 1 - kx) * self.forward.channels + output;
            turned[(ky * reach + column) * channels + input] = weights[flat];
        });
    }

    /// Visits every weight: where it stands in the parameters, and its output, input, line and column.
    fn taps(&self, mut visit: impl FnMut(usize, [usize; 4])) {
        let Sizes {
            inputs,
            outputs,
            kernel,
            ..
        } = self.sizes;
        let mut flat = 0;
        for output in 0..outputs {
            for input in 0..inputs {
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        visit(flat, [output, input, ky, kx]);
                        flat += 1;
                    }
                }
            }
        }
    }

    /// Writes the gradients of weights and bias to their places in `grad`, and the slope at the input to
    /// `wanted`. `slope` and `output` are behind the whole layer, pooling included.
    pub(super) fn backward(
        &self,
        params: &[f32],
        (input, output, slope): (&[f32], &[f32], &mut [f32]),
        found: &[u32],
        grad: &mut [f32],
        mut wanted: Option<&mut [f32]>,
        scratch: &mut Scratch,
    ) {
        if self.rectify {
            wide(
                #[inline(always)]
                || Activation::Relu.walk_back(output, slope),
            );
        }
        self.clear_gradients(scratch);
        let width = self.width();
        let few = self.are_few(slope, scratch);
        if wanted.is_some() {
            match few {
                true => self.pack_by_channel(params, &mut scratch.of_channels),
                false => self.pack_turned(params, &mut scratch.turned),
            }
        }
        let images = input
            .chunks_exact(self.sizes.image())
            .zip(slope.chunks_exact(width))
            .enumerate();
        for (row, (image, slope)) in images {
            let next = wanted
                .as_deref_mut()
                .map(|next| &mut next[row * self.sizes.image()..][..self.sizes.image()]);
            let found = match &self.pool {
                None => &[],
                Some(_) => &found[row * width..][..width],
            };
            self.image_back(image, (slope, few), found, next, scratch);
        }
        self.unpack_gradients(grad, few, scratch);
    }

    /// Whether few slopes are not zero, each of which goes to one result. Takes the memory for their lists in any case, so that
    /// a later step needs none.
    fn are_few(&self, slope: &[f32], scratch: &mut Scratch) -> bool {
        let whole_vectors = self.forward.reach.is_multiple_of(8);
        if self.pool.is_none() || !whole_vectors || self.sizes.results() > MOST_LISTED {
            return false;
        }
        scratch.scarce.reserve(&self.forward);
        let images = slope.len() / self.width().max(1);
        let count = slope.iter().filter(|s| **s != 0.0).count();
        count as f64 <= FEW * (images * self.sizes.results()) as f64
    }

    /// Sums of gradients start at zero, in the memory that is there.
    fn clear_gradients(&self, scratch: &mut Scratch) {
        let Correlation {
            reach, channels, ..
        } = self.forward;
        scratch.grad.clear();
        scratch
            .grad
            .resize(self.sizes.kernel * reach * channels, 0.0);
        scratch.bias_grad.clear();
        scratch.bias_grad.resize(channels, 0.0);
        scratch.none.resize(self.back.channels, 0.0);
        scratch.of_channels.resize(scratch.grad.len(), 0.0);
    }

    /// Adds the share of one image to the gradients, and writes the slope at the image to `next`.
    #[inline]
    fn image_back(
        &self,
        image: &[f32],
        (slope, few): (&[f32], bool),
        found: &[u32],
        next: Option<&mut [f32]>,
        scratch: &mut Scratch,
    ) {
        let slope = match &self.pool {
            None => slope,
            Some(pool) => {
                scratch.slopes.resize(pool.values(), 0.0);
                pool.spread(slope, found, &mut scratch.slopes);
                &scratch.slopes
            }
        };
        add_positions(slope, &mut scratch.bias_grad);
        let image = self.pad(image, &mut scratch.image);
        if few {
            let scarce = &mut scratch.scarce;
            scarce.list(&self.forward, slope);
            scarce_weight_gradients(&self.forward, image, scarce, &mut scratch.grad);
            if let Some(next) = next {
                self.slopes_of_few(scarce, &scratch.of_channels, &mut scratch.framed, next);
            }
            return;
        }
        weight_gradients(&self.forward, image, slope, &mut scratch.grad);
        if let Some(next) = next {
            let spread = self.spread(slope, &mut scratch.spread);
            let (turned, none) = (&scratch.turned, &scratch.none);
            correlate(&self.back, spread, turned, none, false, next);
        }
    }

    /// Writes the slope at an image, from slopes that were listed.
    fn slopes_of_few(
        &self,
        scarce: &Scarce,
        weights: &[f32],
        framed: &mut Vec<f32>,
        next: &mut [f32],
    ) {
        let Sizes {
            padding,
            width,
            inputs_stored,
            ..
        } = self.sizes;
        let line = self.sizes.padded_width() * inputs_stored;
        framed.clear();
        framed.resize(self.sizes.height * line, 0.0);
        scarce_image_slopes(&self.forward, scarce, weights, framed);
        let inner = padding * inputs_stored..(padding + width) * inputs_stored;
        let lines = next.chunks_exact_mut(width * inputs_stored);
        for (to, from) in lines.zip(framed.chunks_exact(line)) {
            // What rounds to -0 is 0 with a bias of 0, as it is in the other way back.
            let places = to.iter_mut().zip(&from[inner.clone()]);
            places.for_each(|(to, from)| *to = from + 0.0);
        }
    }

    /// Lays the weights out channel by channel of the results: line, column, input channel.
    fn pack_by_channel(&self, params: &[f32], packed: &mut [f32]) {
        let weights = &params[self.weights.clone()];
        packed.fill(0.0);
        self.taps(|flat, tap| packed[self.place_by_channel(tap)] = weights[flat]);
    }

    fn place_by_channel(&self, [output, input, ky, kx]: [usize; 4]) -> usize {
        let Sizes {
            kernel,
            inputs_stored,
            ..
        } = self.sizes;
        (output * kernel + ky) * self.forward.reach + kx * inputs_stored + input
    }

    /// Writes the sums to their places in the parameters' order.
    fn unpack_gradients(&self, grad: &mut [f32], few: bool, scratch: &Scratch) {
        let Correlation {
            reach, channels, ..
        } = self.forward;
        grad[self.bias.clone()].copy_from_slice(&scratch.bias_grad[..self.sizes.outputs]);
        let grad = &mut grad[self.weights.clone()];
        self.taps(|flat, tap| {
            let [output, input, ky, kx] = tap;
            let place = match few {
                true => self.place_by_channel(tap),
                false => (ky * reach + kx * self.sizes.inputs_stored + input) * channels + output,
            };
            grad[flat] = scratch.grad[place];
        });
    }

    /// Slopes with zeros around and between them, so that the turned window may slide over them one by one.
    fn spread<'a>(&self, slope: &[f32], spread: &'a mut Vec<f32>) -> &'a [f32] {
        let Sizes {
            kernel,
            stride,
            out_height,
            out_width,
            ..
        } = self.sizes;
        let channels = self.forward.channels;
        let line = self.spread_width * channels;
        spread.resize(out_height * line, 0.0);
        let lines = spread
            .chunks_exact_mut(line)
            .zip(slope.chunks_exact(out_width * channels));
        for (to, from) in lines {
            let to = &mut to[(kernel - 1) * channels..];
            if stride == 1 {
                to[..from.len()].copy_from_slice(from);
                continue;
            }
            let places = to
                .chunks_mut(stride * channels)
                .zip(from.chunks_exact(channels));
            places.for_each(|(to, from)| to[..channels].copy_from_slice(from));
        }
        spread
    }
}

/// Adds the values of every position to `sums`, channel by channel.
fn add_positions(values: &[f32], sums: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            for position in values.chunks_exact(sums.len()) {
                sums.iter_mut().zip(position).for_each(|(sum, v)| *sum += v);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        [stride, padding, side]: [usize; 3],
    ) -> Conv {
        let out = (side + 2 * padding - kernel) / stride + 1;
        let sizes = Sizes {
            inputs,
            inputs_stored: channels_padded(inputs),
            outputs,
            kernel,
            stride,
            padding,
            height: side,
            width: side + 1,
            out_height: out,
            out_width: (side + 1 + 2 * padding - kernel) / stride + 1,
        };
        let weights = inputs * outputs * kernel * kernel;
        let mut conv = Conv::new(sizes, 0..weights, weights..weights + outputs);
        conv.pool = Some(Pool {
            size: 2,
            stride: 2,
            height: sizes.out_height,
            width: sizes.out_width,
            out_height: sizes.out_height / 2,
            out_width: sizes.out_width / 2,
            channels: sizes.outputs_stored(),
        });
        conv
    }

    fn values(len: usize, seed: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 + seed * 31) % 1021) as f32 / 300.0 - 1.7;
        (0..len).map(value).collect()
    }

    /// Gradients and slopes at two images, with slopes taken one by one or not.
    fn back(conv: &Conv, few: bool) -> Vec<u32> {
        let (params, mut scratch) = (values(conv.bias.end, 1), Scratch::default());
        let (mut grad, mut all) = (vec![0.0; params.len()], Vec::new());
        conv.clear_gradients(&mut scratch);
        scratch.scarce.reserve(&conv.forward);
        conv.pack_by_channel(&params, &mut scratch.of_channels);
        conv.pack_turned(&params, &mut scratch.turned);
        for row in 0..2 {
            let image = values(conv.sizes.image(), 2 + row);
            let mut slope = values(conv.width(), 4 + row);
            slope.iter_mut().skip(row).step_by(3).for_each(|s| *s = 0.0);
            let found: Vec<u32> = (0..slope.len()).map(|i| (i * 5 % 4) as u32).collect();
            let mut next = vec![f32::NAN; image.len()];
            conv.image_back(&image, (&slope, few), &found, Some(&mut next), &mut scratch);
            all.extend(next);
        }
        conv.unpack_gradients(&mut grad, few, &scratch);
        all.iter().chain(&grad).map(|v| v.to_bits()).collect()
    }

    #[test]
    fn slopes_taken_one_by_one_leave_the_bits_of_the_dense_way_back() {
        for (inputs, outputs) in [(1, 6), (3, 32), (8, 16), (20, 40), (32, 64)] {
            for kernel in [1, 2, 3, 5] {
                for [stride, padding] in [[1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [3, 2]] {
                    let conv = conv(inputs, outputs, kernel, [stride, padding, 11]);
                    let what = (inputs, outputs, kernel, stride, padding);
                    assert_eq!(back(&conv, false), back(&conv, true), "{what:?}");
                }
            }
        }
    }
}
