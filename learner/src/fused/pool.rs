//! Pooling, image by image, channels last.

use super::kernel::dispatch;
use lyceum_core::wide;
use pulp::{Simd, WithSimd};

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
        dispatch(
            self.channels,
            Max {
                pool: self,
                image,
                out,
                found,
            },
        );
    }

    /// Slope at the input: each output's slope goes to where its value came from.
    pub(super) fn spread(&self, slope: &[f32], found: &[u32], out: &mut [f32]) {
        out.fill(0.0);
        dispatch(
            self.channels,
            Spread {
                pool: self,
                slope,
                found,
                out,
            },
        );
    }

    /// Means of the windows of several images, one after another.
    pub(super) fn means(&self, images: &[f32], out: &mut [f32]) {
        let places = out.chunks_exact_mut(self.results());
        for (image, out) in images.chunks_exact(self.values()).zip(places) {
            self.mean(image, out);
        }
    }

    /// Mean of every window.
    fn mean(&self, image: &[f32], out: &mut [f32]) {
        let share = 1.0 / (self.size * self.size) as f32;
        wide(
            #[inline(always)]
            || {
                self.windows(|result, corner| {
                    let out = &mut out[result * self.channels..][..self.channels];
                    out.fill(0.0);
                    self.places(corner, |_, position| {
                        let values = &image[position * self.channels..][..self.channels];
                        out.iter_mut().zip(values).for_each(|(o, v)| *o += v);
                    });
                    out.iter_mut().for_each(|o| *o *= share);
                });
            },
        );
    }

    /// Slope at the input: each output's slope is spread evenly over its window.
    pub(super) fn mean_backward(&self, slope: &[f32], out: &mut [f32]) {
        let share = 1.0 / (self.size * self.size) as f32;
        out.fill(0.0);
        wide(
            #[inline(always)]
            || {
                self.windows(|result, corner| {
                    let slope = &slope[result * self.channels..][..self.channels];
                    self.places(corner, |_, position| {
                        let values = &mut out[position * self.channels..][..self.channels];
                        values
                            .iter_mut()
                            .zip(slope)
                            .for_each(|(v, s)| *v += s * share);
                    });
                });
            },
        );
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

struct Max<'a> {
    pool: &'a Pool,
    image: &'a [f32],
    out: &'a mut [f32],
    found: &'a mut [u32],
}

impl WithSimd for Max<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let groups = self.pool.channels / S::F32_LANES;
        let (image, out) = (
            S::as_simd_f32s(self.image).0,
            S::as_mut_simd_f32s(self.out).0,
        );
        let found = S::as_mut_simd_u32s(self.found).0;
        self.pool.windows(
            #[inline(always)]
            |result, corner| {
                for group in 0..groups {
                    let (mut top, mut at) = (image[corner * groups + group], simd.splat_u32s(0));
                    self.pool.places(
                        corner,
                        #[inline(always)]
                        |place, position| {
                            let values = image[position * groups + group];
                            // A value that is no number must show in the output.
                            let none = simd.not_m32s(simd.equal_f32s(values, values));
                            let better = simd.or_m32s(simd.less_than_f32s(top, values), none);
                            top = simd.select_f32s(better, values, top);
                            at = simd.select_u32s(better, simd.splat_u32s(place), at);
                        },
                    );
                    out[result * groups + group] = top;
                    found[result * groups + group] = at;
                }
            },
        );
    }
}

struct Spread<'a> {
    pool: &'a Pool,
    slope: &'a [f32],
    found: &'a [u32],
    out: &'a mut [f32],
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let groups = self.pool.channels / S::F32_LANES;
        let (slope, out) = (
            S::as_simd_f32s(self.slope).0,
            S::as_mut_simd_f32s(self.out).0,
        );
        let found = S::as_simd_u32s(self.found).0;
        let zero = simd.splat_f32s(0.0);
        self.pool.windows(
            #[inline(always)]
            |result, corner| {
                for group in 0..groups {
                    let (slope, found) = (
                        slope[result * groups + group],
                        found[result * groups + group],
                    );
                    self.pool.places(
                        corner,
                        #[inline(always)]
                        |place, position| {
                            let here = simd.equal_u32s(found, simd.splat_u32s(place));
                            let out = &mut out[position * groups + group];
                            *out = simd.add_f32s(*out, simd.select_f32s(here, slope, zero));
                        },
                    );
                }
            },
        );
    }
}
