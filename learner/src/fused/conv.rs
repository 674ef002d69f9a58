//! Convolution as matrix products over tiles of unfolded images.
//!
//! Images are kept channel by channel (channels x rows x height x width), so that the output of a
//! convolution is one product, `weights x unfolded`, without a copy.

use super::kernel::{View, product};
use std::ops::Range;

/// Unfolded values of one tile: small enough to stay in the second-level cache.
const TILE: usize = 1 << 16;

/// Shapes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
}

impl Conv {
    fn taps(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }

    fn out_plane(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Images per tile.
    fn tile(&self, rows: usize) -> usize {
        (TILE / (self.taps() * self.out_plane()).max(1)).clamp(1, rows.max(1))
    }

    /// `out = weights * input + bias`.
    pub(super) fn forward(
        &self,
        weights: &[f32],
        bias: &[f32],
        input: &[f32],
        rows: usize,
        out: &mut [f32],
        unfolded: &mut Vec<f32>,
    ) {
        let across = rows * self.out_plane();
        let weights = View::new(weights, self.outputs, self.taps());
        for (tile, from) in self.tiles(rows) {
            let columns = tile.len() * self.out_plane();
            self.unfold(input, rows, tile, unfolded);
            let columns_view = View::new(unfolded, self.taps(), columns);
            product(weights, columns_view, &mut out[from..], across, false);
        }
        for (plane, b) in out.chunks_exact_mut(across).zip(bias) {
            plane.iter_mut().for_each(|v| *v += b);
        }
    }

    /// Gradients of weights and bias from the slope at the output.
    pub(super) fn gradients(
        &self,
        input: &[f32],
        slope: &[f32],
        rows: usize,
        weights: &mut [f32],
        bias: &mut [f32],
        unfolded: &mut Vec<f32>,
    ) {
        let across = rows * self.out_plane();
        for (first, (tile, from)) in self.tiles(rows).enumerate() {
            let columns = tile.len() * self.out_plane();
            self.unfold(input, rows, tile, unfolded);
            let slope = View {
                values: &slope[from..],
                rows: self.outputs,
                columns,
                down: across,
                right: 1,
            };
            let columns_view = View::new(unfolded, self.taps(), columns);
            product(
                slope,
                columns_view.transposed(),
                weights,
                self.taps(),
                first > 0,
            );
        }
        for (plane, b) in slope.chunks_exact(across).zip(bias) {
            *b = sum(plane);
        }
    }

    /// Slope at the input from the slope at the output.
    pub(super) fn backward(
        &self,
        weights: &[f32],
        slope: &[f32],
        rows: usize,
        out: &mut [f32],
        unfolded: &mut Vec<f32>,
    ) {
        out.fill(0.0);
        let across = rows * self.out_plane();
        let weights = View::new(weights, self.outputs, self.taps()).transposed();
        for (tile, from) in self.tiles(rows) {
            let columns = tile.len() * self.out_plane();
            unfolded.resize(self.taps() * columns, 0.0);
            let slope = View {
                values: &slope[from..],
                rows: self.outputs,
                columns,
                down: across,
                right: 1,
            };
            product(weights, slope, unfolded, columns, false);
            self.fold(unfolded, rows, tile, out);
        }
    }

    /// Ranges of images, and where their columns begin in a row of the output.
    fn tiles(&self, rows: usize) -> impl Iterator<Item = (Range<usize>, usize)> + use<> {
        let (step, plane) = (self.tile(rows), self.out_plane());
        (0..rows)
            .step_by(step)
            .map(move |start| (start..rows.min(start + step), start * plane))
    }

    /// Row `(channel, ky, kx)` holds, for each image and output position, the input value under that tap.
    fn unfold(&self, input: &[f32], rows: usize, tile: Range<usize>, out: &mut Vec<f32>) {
        out.resize(self.taps() * tile.len() * self.out_plane(), 0.0);
        let mut lines = out.chunks_exact_mut(self.out_width);
        self.lines(rows, tile, |source, shift| {
            let Some(line) = lines.next() else { return };
            match source {
                None => line.fill(0.0),
                Some(at) => self.copy_line(&input[at..at + self.width], shift, line),
            }
        });
    }

    /// Adds back what [`unfold`](Self::unfold) took, tap by tap.
    fn fold(&self, unfolded: &[f32], rows: usize, tile: Range<usize>, out: &mut [f32]) {
        let mut lines = unfolded.chunks_exact(self.out_width);
        self.lines(rows, tile, |source, shift| {
            let Some(line) = lines.next() else { return };
            let Some(at) = source else { return };
            let target = &mut out[at..at + self.width];
            let (first, last) = self.inside(shift);
            if first >= last {
                return;
            }
            let begin = first * self.stride + shift - self.padding;
            if self.stride == 1 {
                let target = &mut target[begin..begin + last - first];
                target
                    .iter_mut()
                    .zip(&line[first..last])
                    .for_each(|(t, v)| *t += v);
            } else {
                let target = target[begin..].iter_mut().step_by(self.stride);
                target.zip(&line[first..last]).for_each(|(t, v)| *t += v);
            }
        });
    }

    /// Visits the lines of the unfolded tile in order: where the input line begins (`None` outside of the
    /// image), and the tap's horizontal shift.
    fn lines(&self, rows: usize, tile: Range<usize>, mut visit: impl FnMut(Option<usize>, usize)) {
        for channel in 0..self.inputs {
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    for image in tile.clone() {
                        let start = (channel * rows + image) * self.plane();
                        for y in 0..self.out_height {
                            let line = (y * self.stride + ky)
                                .checked_sub(self.padding)
                                .filter(|&l| l < self.height);
                            visit(line.map(|l| start + l * self.width), kx);
                        }
                    }
                }
            }
        }
    }

    /// Output positions whose tap with this shift lies inside of the line.
    fn inside(&self, shift: usize) -> (usize, usize) {
        let first = self.padding.saturating_sub(shift).div_ceil(self.stride);
        let last = (self.width + self.padding)
            .saturating_sub(shift)
            .div_ceil(self.stride);
        (first, last.min(self.out_width))
    }

    fn copy_line(&self, line: &[f32], shift: usize, out: &mut [f32]) {
        let (first, last) = self.inside(shift);
        if first >= last {
            return out.fill(0.0);
        }
        out[..first].fill(0.0);
        out[last..].fill(0.0);
        let begin = first * self.stride + shift - self.padding;
        if self.stride == 1 {
            out[first..last].copy_from_slice(&line[begin..begin + last - first]);
        } else {
            let source = line[begin..].iter().step_by(self.stride);
            out[first..last]
                .iter_mut()
                .zip(source)
                .for_each(|(o, v)| *o = *v);
        }
    }
}

/// Sum over eight lanes, which compilers turn into vector code without changing the order.
fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let chunks = values.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(l, v)| *l += v);
    }
    lanes.iter().sum::<f32>() + rest
}
