//! Pooling, image by image, channels last.

use super::kernel::wide;

/// Sizes of one pooling layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
    /// Stored channels of a position, a multiple of eight.
    pub(super) channels: usize,
}

impl Pool {
    /// Stored values of one image in front of the layer.
    pub(super) fn values(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Stored values of one image behind the layer.
    pub(super) fn results(&self) -> usize {
        self.out_height * self.out_width * self.channels
    }

    /// Largest value of every window, and at which place of its window it was found (the first of several).
    pub(super) fn max(&self, image: &[f32], out: &mut [f32], found: &mut [u32]) {
        wide(|| match self.channels.is_multiple_of(16) {
            true => self.max_by::<16>(image, out, found),
            false => self.max_by::<8>(image, out, found),
        });
    }

    #[inline(always)]
    fn max_by<const N: usize>(&self, image: &[f32], out: &mut [f32], found: &mut [u32]) {
        let image = image.as_chunks::<N>().0;
        let (out, found) = (out.as_chunks_mut::<N>().0, found.as_chunks_mut::<N>().0);
        let groups = self.channels / N;
        self.windows(|result, corner| {
            for group in 0..groups {
                let (mut top, mut at) = (image[corner * groups + group], [0_u32; N]);
                self.places(corner, |place, position| {
                    let values = &image[position * groups + group];
                    for n in 0..N {
                        // A value that is no number must show in the output.
                        let better = values[n] > top[n] || values[n].is_nan();
                        top[n] = if better { values[n] } else { top[n] };
                        at[n] = if better { place } else { at[n] };
                    }
                });
                out[result * groups + group] = top;
                found[result * groups + group] = at;
            }
        });
    }

    /// Slope at the input: each output's slope goes to where its value came from.
    pub(super) fn spread(&self, slope: &[f32], found: &[u32], out: &mut [f32]) {
        out.fill(0.0);
        wide(|| match self.channels.is_multiple_of(16) {
            true => self.spread_by::<16>(slope, found, out),
            false => self.spread_by::<8>(slope, found, out),
        });
    }

    #[inline(always)]
    fn spread_by<const N: usize>(&self, slope: &[f32], found: &[u32], out: &mut [f32]) {
        let out = out.as_chunks_mut::<N>().0;
        let (slope, found) = (slope.as_chunks::<N>().0, found.as_chunks::<N>().0);
        let groups = self.channels / N;
        self.windows(|result, corner| {
            for group in 0..groups {
                let (slope, found) = (&slope[result * groups + group], &found[result * groups + group]);
                self.places(corner, |place, position| {
                    let out = &mut out[position * groups + group];
                    for n in 0..N {
                        out[n] += if found[n] == place { slope[n] } else { 0.0 };
                    }
                });
            }
        });
    }

    /// Mean of every window.
    pub(super) fn mean(&self, image: &[f32], out: &mut [f32]) {
        let share = 1.0 / (self.size * self.size) as f32;
        wide(|| {
            self.windows(|result, corner| {
                let out = &mut out[result * self.channels..][..self.channels];
                out.fill(0.0);
                self.places(corner, |_, position| {
                    let values = &image[position * self.channels..][..self.channels];
                    out.iter_mut().zip(values).for_each(|(o, v)| *o += v);
                });
                out.iter_mut().for_each(|o| *o *= share);
            });
        });
    }

    /// Slope at the input: each output's slope is spread evenly over its window.
    pub(super) fn mean_backward(&self, slope: &[f32], out: &mut [f32]) {
        let share = 1.0 / (self.size * self.size) as f32;
        out.fill(0.0);
        wide(|| {
            self.windows(|result, corner| {
                let slope = &slope[result * self.channels..][..self.channels];
                self.places(corner, |_, position| {
                    let values = &mut out[position * self.channels..][..self.channels];
                    values.iter_mut().zip(slope).for_each(|(v, s)| *v += s * share);
                });
            });
        });
    }

    /// Visits every window: its number, and the position of its first corner in the image.
    #[inline(always)]
    fn windows(&self, mut visit: impl FnMut(usize, usize)) {
        let mut result = 0;
        for y in 0..self.out_height {
            for x in 0..self.out_width {
                visit(result, (y * self.width + x) * self.stride);
                result += 1;
            }
        }
    }

    /// Visits every place of a window: its number in the window, and its position in the image.
    #[inline(always)]
    fn places(&self, corner: usize, mut visit: impl FnMut(u32, usize)) {
        let mut place = 0;
        for dy in 0..self.size {
            for dx in 0..self.size {
                visit(place, corner + dy * self.width + dx);
                place += 1;
            }
        }
    }
}
