//! Batch normalisation (Ioffe and Szegedy 2015) and group normalisation (Wu and He 2018).
//!
//! Both take values to mean 0 and variance 1 within *cells*, then scale and shift every channel. A cell is a
//! channel over the whole batch, or a group of channels of one sample. All of it follows from sums per sample and
//! channel, and ends in one affine map per sample and channel.

use super::{flatten::Image, kernel::transpose};
use lyceum_core::{Mode, wide};
use std::ops::Range;

/// One normalisation.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) image: Image,
    /// Whether values are columns, features x rows; a feature is a channel of one position.
    pub(super) flat: bool,
    pub(super) cells: Cells,
    pub(super) epsilon: f32,
    /// The scale and the shift of each channel, in the parameters.
    pub(super) scale: Range<usize>,
    pub(super) shift: Range<usize>,
}

/// What is normalised together.
#[derive(Clone, Debug)]
pub(super) enum Cells {
    /// A channel over the batch; while judging and where it is frozen, by statistics that followed the batches.
    Batch {
        /// Position among the layers of the network.
        layer: usize,
        momentum: f32,
        mean: Range<usize>,
        variance: Range<usize>,
    },
    /// A group of neighbouring channels of one sample.
    Groups(usize),
}

/// Buffers of one normalisation, rows x stored channels each unless said otherwise.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Whether the walk forward took mean and variance from the parameters: then they are constants on the way back.
    fixed: bool,
    mean: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f32>,
    /// Biased variance of each cell, cells long.
    variance: Vec<f64>,
    sums: Vec<f32>,
    products: Vec<f32>,
    first: Vec<f64>,
    second: Vec<f64>,
    /// Coefficients of the affine map.
    factors: [Vec<f32>; 3],
    /// Values, outputs and slopes of flat layers, row by row.
    rows: [Vec<f32>; 2],
}

impl Norm {
    fn cell_count(&self, rows: usize) -> usize {
        match self.cells {
            Cells::Batch { .. } => self.image.channels,
            Cells::Groups(groups) => rows * groups,
        }
    }

    fn cell(&self, row: usize, channel: usize) -> usize {
        match self.cells {
            Cells::Batch { .. } => channel,
            Cells::Groups(groups) => row * groups + channel / (self.image.channels / groups),
        }
    }

    /// Values of a cell.
    fn cell_size(&self, rows: usize) -> f64 {
        let values = match self.cells {
            Cells::Batch { .. } => rows * self.image.plane,
            Cells::Groups(groups) => self.image.channels / groups * self.image.plane,
        };
        values as f64
    }

    /// Every row and used channel, and where its numbers stand in a rows x stored buffer.
    fn sites(&self, rows: usize) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let Image {
            channels, stored, ..
        } = self.image;
        (0..rows).flat_map(move |row| {
            (0..channels).map(move |channel| (row, channel, row * stored + channel))
        })
    }

    pub(super) fn forward(
        &self,
        params: &[f32],
        input: &[f32],
        rows: usize,
        mode: Mode<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        scratch.fixed = match self.cells {
            Cells::Batch { layer, .. } => !mode.is_by_batch(layer),
            Cells::Groups(_) => false,
        };
        let mut by_row = std::mem::take(&mut scratch.rows);
        if self.flat {
            let [from, to] = &mut by_row;
            from.resize(input.len(), 0.0);
            to.resize(input.len(), 0.0);
            transpose(input, rows, from);
            self.normalise(params, from, rows, to, scratch);
            transpose(to, self.image.channels, out);
        } else {
            self.normalise(params, input, rows, out, scratch);
        }
        scratch.rows = by_row;
    }

    fn normalise(
        &self,
        params: &[f32],
        input: &[f32],
        rows: usize,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let len = rows * self.image.stored;
        fill(&mut scratch.mean, len, 0.0);
        fill(&mut scratch.inverse, len, 0.0);
        match &self.cells {
            Cells::Batch { mean, variance, .. } if scratch.fixed => {
                for (_, channel, at) in self.sites(rows) {
                    scratch.mean[at] = params[mean.start + channel];
                    // A server's adaptive step can take a running variance below zero.
                    scratch.inverse[at] = inverse(
                        f64::from(params[variance.start + channel].max(0.0)),
                        self.epsilon,
                    );
                }
            }
            _ => self.observe(input, rows, scratch),
        }
        let [slope, _, shift] = &mut scratch.factors;
        fill(slope, len, 0.0);
        fill(shift, len, 0.0);
        for (_, channel, at) in self.sites(rows) {
            slope[at] = params[self.scale.start + channel] * scratch.inverse[at];
            shift[at] = params[self.shift.start + channel] - scratch.mean[at] * slope[at];
        }
        let (values, stored) = (self.image.values(), self.image.stored);
        let factors = slope.chunks_exact(stored).zip(shift.chunks_exact(stored));
        let mut images = out
            .chunks_exact_mut(values)
            .zip(input.chunks_exact(values))
            .zip(factors);
        wide(
            #[inline(always)]
            || {
                for ((out, input), (slope, shift)) in images.by_ref() {
                    for (out, input) in out.chunks_exact_mut(stored).zip(input.chunks_exact(stored))
                    {
                        let sites = out.iter_mut().zip(input).zip(slope.iter().zip(shift));
                        sites.for_each(|((o, x), (a, b))| *o = a * x + b);
                    }
                }
            },
        );
    }

    /// Mean and variance of the batch's cells.
    fn observe(&self, input: &[f32], rows: usize, scratch: &mut Scratch) {
        let Scratch {
            mean,
            inverse: inverses,
            variance,
            sums,
            first,
            ..
        } = scratch;
        let size = self.cell_size(rows);
        self.sum_positions(input, rows, sums, |_, x| x);
        self.gather(rows, first, |at, _| f64::from(sums[at]));
        for (row, channel, at) in self.sites(rows) {
            mean[at] = (first[self.cell(row, channel)] / size) as f32;
        }
        self.sum_positions(input, rows, sums, |at, x| (x - mean[at]) * (x - mean[at]));
        self.gather(rows, variance, |at, _| f64::from(sums[at]));
        variance.iter_mut().for_each(|v| *v /= size);
        for (row, channel, at) in self.sites(rows) {
            inverses[at] = inverse(variance[self.cell(row, channel)], self.epsilon);
        }
    }

    /// Sum over the positions of each sample and channel.
    fn sum_positions(
        &self,
        input: &[f32],
        rows: usize,
        sums: &mut Vec<f32>,
        value: impl Fn(usize, f32) -> f32,
    ) {
        let Image { stored, .. } = self.image;
        fill(sums, rows * stored, 0.0);
        let mut images = sums
            .chunks_exact_mut(stored)
            .zip(input.chunks_exact(self.image.values()));
        wide(
            #[inline(always)]
            || {
                for (row, (sums, image)) in images.by_ref().enumerate() {
                    for position in image.chunks_exact(stored) {
                        let sites = sums.iter_mut().zip(position).enumerate();
                        sites.for_each(|(c, (sum, &x))| *sum += value(row * stored + c, x));
                    }
                }
            },
        );
    }

    /// Sums per cell of what stands at each sample and channel.
    fn gather(&self, rows: usize, cells: &mut Vec<f64>, value: impl Fn(usize, usize) -> f64) {
        cells.clear();
        cells.resize(self.cell_count(rows), 0.0);
        for (row, channel, at) in self.sites(rows) {
            cells[self.cell(row, channel)] += value(at, channel);
        }
    }

    /// Writes the gradients and, for statistics, the way they have to go, to their places in `grad`; and the slope at
    /// the input to `wanted`. With `x` the normalised value and means over the cell:
    /// `scale * slope - mean(scale * slope) - x * mean(scale * slope * x)`, over the standard deviation. Where mean and
    /// variance are constants, both means are left out, and statistics stay.
    #[expect(
        clippy::too_many_arguments,
        reason = "as the operations that it is one of"
    )]
    pub(super) fn backward(
        &self,
        params: &[f32],
        input: &[f32],
        slope: &[f32],
        rows: usize,
        grad: &mut [f32],
        wanted: Option<&mut [f32]>,
        scratch: &mut Scratch,
    ) {
        let mut by_row = std::mem::take(&mut scratch.rows);
        if self.flat {
            by_row[0].resize(input.len(), 0.0);
            by_row[1].resize(input.len(), 0.0);
            transpose(input, rows, &mut by_row[0]);
            transpose(slope, rows, &mut by_row[1]);
            self.gradients(params, &by_row[0], &by_row[1], rows, grad, scratch);
            if let Some(next) = wanted {
                let [input, slope] = &mut by_row;
                self.slope_before(params, input, slope, rows, scratch);
                transpose(slope, self.image.channels, next);
            }
        } else {
            self.gradients(params, input, slope, rows, grad, scratch);
            if let Some(next) = wanted {
                next.copy_from_slice(slope);
                self.slope_before(params, input, next, rows, scratch);
            }
        }
        scratch.rows = by_row;
    }

    fn gradients(
        &self,
        params: &[f32],
        input: &[f32],
        slope: &[f32],
        rows: usize,
        grad: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Scratch {
            fixed,
            mean,
            inverse,
            variance,
            sums,
            products,
            ..
        } = scratch;
        self.sum_positions(slope, rows, sums, |_, s| s);
        self.sum_products(input, slope, rows, mean, products);
        grad[self.scale.clone()].fill(0.0);
        grad[self.shift.clone()].fill(0.0);
        for (_, channel, at) in self.sites(rows) {
            products[at] *= inverse[at];
            grad[self.scale.start + channel] += products[at];
            grad[self.shift.start + channel] += sums[at];
        }
        if let Cells::Batch {
            momentum,
            mean: running,
            variance: spread,
            ..
        } = &self.cells
        {
            if *fixed {
                grad[running.clone()].fill(0.0);
                grad[spread.clone()].fill(0.0);
                return;
            }
            let size = self.cell_size(rows);
            let unbiased = if size > 1.0 { size / (size - 1.0) } else { 1.0 };
            for channel in 0..self.image.channels {
                let (m, v) = (running.start + channel, spread.start + channel);
                grad[m] = momentum * (params[m] - mean[channel]);
                grad[v] = momentum * (params[v] - (variance[channel] * unbiased) as f32);
            }
        }
    }

    /// Sum over the positions of slope times distance from the mean.
    fn sum_products(
        &self,
        input: &[f32],
        slope: &[f32],
        rows: usize,
        mean: &[f32],
        products: &mut Vec<f32>,
    ) {
        let Image { stored, .. } = self.image;
        fill(products, rows * stored, 0.0);
        let values = self.image.values();
        let images = products
            .chunks_exact_mut(stored)
            .zip(mean.chunks_exact(stored));
        let mut images = images.zip(input.chunks_exact(values).zip(slope.chunks_exact(values)));
        wide(
            #[inline(always)]
            || {
                for ((products, mean), (input, slope)) in images.by_ref() {
                    for (input, slope) in input.chunks_exact(stored).zip(slope.chunks_exact(stored))
                    {
                        let sites = products.iter_mut().zip(mean).zip(input.iter().zip(slope));
                        sites.for_each(|((p, m), (x, s))| *p += s * (x - m));
                    }
                }
            },
        );
    }

    /// Takes `slope` to in front of the layer, from the sums that [`gradients`](Self::gradients) left behind.
    fn slope_before(
        &self,
        params: &[f32],
        input: &[f32],
        slope: &mut [f32],
        rows: usize,
        scratch: &mut Scratch,
    ) {
        let Scratch {
            fixed,
            mean,
            inverse,
            sums,
            products,
            first,
            second,
            factors,
            ..
        } = scratch;
        let scale = |channel: usize| params[self.scale.start + channel];
        let size = self.cell_size(rows);
        self.gather(rows, first, |at, channel| {
            f64::from(sums[at] * scale(channel))
        });
        self.gather(rows, second, |at, channel| {
            f64::from(products[at] * scale(channel))
        });
        factors
            .iter_mut()
            .for_each(|f| fill(f, rows * self.image.stored, 0.0));
        let [of_slope, of_input, constant] = factors;
        for (row, channel, at) in self.sites(rows) {
            let cell = self.cell(row, channel);
            let (m1, m2) = match fixed {
                true => (0.0, 0.0),
                false => ((first[cell] / size) as f32, (second[cell] / size) as f32),
            };
            of_slope[at] = scale(channel) * inverse[at];
            of_input[at] = -m2 * inverse[at] * inverse[at];
            constant[at] = -m1 * inverse[at] - of_input[at] * mean[at];
        }
        self.apply_factors(input, slope, &scratch.factors);
    }

    /// `of_slope * slope + of_input * input + constant`, by sample and channel.
    #[inline]
    fn apply_factors(
        &self,
        input: &[f32],
        slope: &mut [f32],
        [of_slope, of_input, constant]: &[Vec<f32>; 3],
    ) {
        let (values, stored) = (self.image.values(), self.image.stored);
        let mut images = slope
            .chunks_exact_mut(values)
            .zip(input.chunks_exact(values))
            .enumerate();
        wide(
            #[inline(always)]
            || {
                for (row, (slope, input)) in images.by_ref() {
                    let at = row * stored..(row + 1) * stored;
                    let (a, b, c) = (&of_slope[at.clone()], &of_input[at.clone()], &constant[at]);
                    for (slope, input) in slope
                        .chunks_exact_mut(stored)
                        .zip(input.chunks_exact(stored))
                    {
                        let sites = slope.iter_mut().zip(input).zip(a.iter().zip(b).zip(c));
                        sites.for_each(|((s, x), ((a, b), c))| *s = a * *s + b * x + c);
                    }
                }
            },
        );
    }
}

fn inverse(variance: f64, epsilon: f32) -> f32 {
    (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32
}

/// `len` times `value`, in the memory that is there.
fn fill(buffer: &mut Vec<f32>, len: usize, value: f32) {
    buffer.clear();
    buffer.resize(len, value);
}
