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
            let columns_view = View::new(
                self.unfold(input, rows, tile, unfolded),
                self.taps(),
                columns,
            );
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
            let slope = View {
                values: &slope[from..],
                rows: self.outputs,
                columns,
                down: across,
                right: 1,
            };
            let columns_view = View::new(
                self.unfold(input, rows, tile, unfolded),
                self.taps(),
                columns,
            );
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
            let unfolded = room(unfolded, self.taps() * columns);
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
    fn unfold<'a>(
        &self,
        input: &[f32],
        rows: usize,
        tile: Range<usize>,
        unfolded: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let out = room(unfolded, self.taps() * tile.len() * self.out_plane());
        let mut lines = out.chunks_exact_mut(self.out_width);
        self.lines(rows, tile, |source, span| {
            let Some(line) = lines.next() else { return };
            match source {
                Some(at) if span.first < span.last => {
                    self.copy_line(&input[at..at + self.width], span, line)
                }
                _ => line.fill(0.0),
            }
        });
        out
    }

    /// Adds back what [`unfold`](Self::unfold) took, tap by tap.
    fn fold(&self, unfolded: &[f32], rows: usize, tile: Range<usize>, out: &mut [f32]) {
        let mut lines = unfolded.chunks_exact(self.out_width);
        self.lines(rows, tile, |source, span| {
            let Some(line) = lines.next() else { return };
            let Some(at) = source.filter(|_| span.first < span.last) else {
                return;
            };
            let values = &line[span.first..span.last];
            let target = &mut out[at + span.begin..at + self.width];
            if self.stride == 1 {
                target.iter_mut().zip(values).for_each(|(t, v)| *t += v);
            } else {
                target
                    .iter_mut()
                    .step_by(self.stride)
                    .zip(values)
                    .for_each(|(t, v)| *t += v);
            }
        });
    }

    /// Visits the lines of the unfolded tile in order: where the input line begins (`None` outside of the
    /// image), and which of the line's positions lie inside of it.
    fn lines(&self, rows: usize, tile: Range<usize>, mut visit: impl FnMut(Option<usize>, Span)) {
        for channel in 0..self.inputs {
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    let span = self.span(kx);
                    for image in tile.clone() {
                        let start = (channel * rows + image) * self.plane();
                        for y in 0..self.out_height {
                            let line = (y * self.stride + ky).wrapping_sub(self.padding);
                            visit(
                                (line < self.height).then(|| start + line * self.width),
                                span,
                            );
                        }
                    }
                }
            }
        }
    }

    /// Output positions whose tap with this shift lies inside of the line.
    fn span(&self, shift: usize) -> Span {
        let first = self.padding.saturating_sub(shift).div_ceil(self.stride);
        let last = (self.width + self.padding)
            .saturating_sub(shift)
            .div_ceil(self.stride)
            .min(self.out_width);
        let begin = if first < last {
            first * self.stride + shift - self.padding
        } else {
            0
        };
        Span { first, last, begin }
    }

    fn copy_line(&self, line: &[f32], span: Span, out: &mut [f32]) {
        out[..span.first].fill(0.0);
        out[span.last..].fill(0.0);
        let (out, line) = (&mut out[span.first..span.last], &line[span.begin..]);
        if self.stride == 1 {
            out.copy_from_slice(&line[..out.len()]);
        } else {
            out.iter_mut()
                .zip(line.iter().step_by(self.stride))
                .for_each(|(o, v)| *o = *v);
        }
    }
}

/// Positions of an output line that see the image, and the input position of the first of them.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    last: usize,
    begin: usize,
}

/// The first `len` values of a buffer that only ever grows, so that no step fills it anew.
pub(super) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
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
