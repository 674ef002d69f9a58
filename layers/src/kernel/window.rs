//! Windows that slide over images, without a copy of what lies under them.
//!
//! Images are kept channels last (height x width x channels), each position's channels padded with zeros to a
//! multiple of eight. Then what lies under one line of a window is one contiguous run of values, and the
//! channels of a result fill whole vectors.

use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Channels of a stored position: `channels` rounded up to whole vectors, of sixteen values where that wastes
/// little and the processor has them, of eight otherwise.
pub fn channels_padded(channels: usize) -> usize {
    let (eight, sixteen) = (channels.next_multiple_of(8), channels.next_multiple_of(16));
    if sixteen * 4 <= eight * 5 && sixteen_lanes() {
        sixteen
    } else {
        eight
    }
}

#[cfg(target_arch = "x86_64")]
fn sixteen_lanes() -> bool {
    matches!(Arch::new(), Arch::V4(_))
}

#[cfg(not(target_arch = "x86_64"))]
fn sixteen_lanes() -> bool {
    false
}

/// Runs `op` with vectors that divide `channels`; of sixteen values only where those do.
pub fn dispatch<Op: WithSimd>(channels: usize, op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    if !channels.is_multiple_of(16)
        && let Some(simd) = pulp::x86::V3::try_new()
    {
        return Simd::vectorize(simd, op);
    }
    let _ = channels;
    Arch::new().dispatch(op)
}

/// For every line of results, the lines of values under the window that reach it.
///
/// **Invariant:** `furthest` is the largest offset of each kind.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Pairs of one line of results: where the values of its first result begin in the image, and which line of
    /// weights they meet.
    pairs: Vec<(usize, usize)>,
    /// Where each line of results begins in `pairs`, and where the last ends.
    starts: Vec<usize>,
    furthest: (usize, usize),
}

impl Lines {
    /// From a list of pairs per line of results.
    pub fn new(lines: impl Iterator<Item = Vec<(usize, usize)>>) -> Self {
        let mut made = Self {
            pairs: Vec::new(),
            starts: vec![0],
            furthest: (0, 0),
        };
        for line in lines {
            made.pairs.extend(line);
            made.starts.push(made.pairs.len());
        }
        for &(value, weight) in &made.pairs {
            made.furthest = (made.furthest.0.max(value), made.furthest.1.max(weight));
        }
        made
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn of(&self, line: usize) -> &[(usize, usize)] {
        &self.pairs[self.starts[line]..self.starts[line + 1]]
    }
}

/// Shape of a window on its way over an image.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// Which lines meet.
    pub lines: Lines,
    /// Results of one line.
    pub results: usize,
    /// Values from one result's window to that of the next.
    pub step: usize,
    /// Values of one line of the window.
    pub reach: usize,
    /// Padded channels of a result.
    pub channels: usize,
}

impl Correlation {
    pub(super) fn outputs(&self) -> usize {
        self.lines.count() * self.results * self.channels
    }

    /// Lines of the window.
    pub(super) fn kernel_lines(&self) -> usize {
        self.lines.furthest.1 + 1
    }

    /// Where a line of results has its values under a line of the window, if that lies on the image.
    #[inline(always)]
    pub(super) fn value_of(&self, row: usize, line: usize) -> Option<usize> {
        let mut pairs = self.lines.of(row).iter();
        let pair = pairs.find(|(_, weight)| *weight == line);
        pair.map(|(value, _)| *value)
    }

    /// Whether every value and weight that a walk touches lies inside of its slice.
    pub(super) fn fits(&self, values: usize, weights: usize) -> bool {
        let (value, weight) = self.lines.furthest;
        let last = self.results.saturating_sub(1) * self.step + self.reach;
        self.channels.is_multiple_of(8)
            && value + last <= values
            && (weight + 1) * self.reach * self.channels <= weights
    }
}

/// `out = window * image + bias`, or `max(.., 0)` of it if `rectify`.
///
/// `weights` are lines x reach x channels. `out` is lines x results x channels.
///
/// # Panics
///
/// Where the shapes do not fit their slices.
pub fn correlate(
    shape: &Correlation,
    image: &[f32],
    weights: &[f32],
    bias: &[f32],
    rectify: bool,
    out: &mut [f32],
) {
    assert!(
        shape.fits(image.len(), weights.len()),
        "the window must stay on its image"
    );
    assert!(
        out.len() == shape.outputs() && bias.len() == shape.channels,
        "results must fit their slice"
    );
    dispatch(
        shape.channels,
        Correlate {
            shape,
            image,
            weights,
            bias,
            rectify,
            out,
        },
    );
}

/// Adds, for every line of weights, the sum over all results of slope times the values under the window.
///
/// `slope` is shaped as [`correlate`]'s `out`, `grad` as its `weights`.
///
/// # Panics
///
/// Where the shapes do not fit their slices.
pub fn weight_gradients(shape: &Correlation, image: &[f32], slope: &[f32], grad: &mut [f32]) {
    assert!(
        shape.fits(image.len(), grad.len()),
        "the window must stay on its image"
    );
    assert!(
        slope.len() == shape.outputs(),
        "slopes must fit their slice"
    );
    dispatch(
        shape.channels,
        WeightGradients {
            shape,
            image,
            slope,
            grad,
        },
    );
}

struct Correlate<'a> {
    shape: &'a Correlation,
    image: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    rectify: bool,
    out: &'a mut [f32],
}

struct WeightGradients<'a> {
    shape: &'a Correlation,
    image: &'a [f32],
    slope: &'a [f32],
    grad: &'a mut [f32],
}

/// Cuts `0..whole` into the fewest, nearly equal parts of at most `most`.
pub(super) fn parts(whole: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = whole.div_ceil(most).max(1);
    (0..count).map(move |i| whole * i / count..whole * (i + 1) / count)
}

/// Calls a function with `n` and `v` as constants, for the given `n` in 1..=14 and `v` in 1..=2.
macro_rules! sized {
    ($n:expr, $v:expr, $call:ident $args:tt) => {
        sized!($n, $v, $call $args, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    };
    ($n:expr, $v:expr, $call:ident $args:tt, $($size:literal)*) => {
        match ($n, $v) {
            $(($size, 2) => $call::<S, $size, 2> $args,
              ($size, _) => $call::<S, $size, 1> $args,)*
            _ => unreachable!("parts are no larger than the registers allow"),
        }
    };
}

pub(super) use sized;

/// Vectors of channels per block: two where there are as many left.
pub(super) fn blocks(vectors: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..vectors)
        .step_by(2)
        .map(move |first| (first, (vectors - first).min(2)))
}

/// Accumulators of one vector that leave room for `vectors` of the other factor.
pub(super) fn rows(registers: usize, vectors: usize) -> usize {
    ((registers - vectors - 1) / vectors).min(14)
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            shape,
            image,
            weights,
            bias,
            rectify,
            out,
        } = self;
        let lanes = S::F32_LANES;
        for (block, vectors) in blocks(shape.channels / lanes) {
            for line in 0..shape.lines.count() {
                for part in parts(shape.results, rows(S::REGISTER_COUNT, vectors)) {
                    let target =
                        (line * shape.results + part.start) * shape.channels + block * lanes;
                    let sites = Sites {
                        image: image.as_ptr(),
                        other: weights[block * lanes..].as_ptr(),
                        pairs: shape.lines.of(line),
                        first: part.start * shape.step,
                        shape,
                    };
                    let (bias, out) = (bias[block * lanes..].as_ptr(), out[target..].as_mut_ptr());
                    // SAFETY: `correlate` has checked that the walk over all lines and results stays on the image and
                    // the weights, and that bias and out have their sizes; a part and a block are parts of it.
                    unsafe {
                        sized!(
                            part.len(),
                            vectors,
                            correlate_part(simd, sites, bias, rectify, out)
                        )
                    }
                }
            }
        }
    }
}

/// Where one part of a walk reads.
#[derive(Clone, Copy)]
struct Sites<'a> {
    image: *const f32,
    /// Weights, or slopes.
    other: *const f32,
    pairs: &'a [(usize, usize)],
    /// Offset of the part's first result.
    first: usize,
    shape: &'a Correlation,
}

/// `N` neighbouring results of `V` vectors of channels each.
#[inline(always)]
unsafe fn correlate_part<S: Simd, const N: usize, const V: usize>(
    simd: S,
    sites: Sites<'_>,
    bias: *const f32,
    rectify: bool,
    out: *mut f32,
) {
    let Sites {
        image,
        other: weights,
        pairs,
        first,
        shape,
    } = sites;
    let (reach, channels, step) = (shape.reach, shape.channels, shape.step);
    // SAFETY: see the caller.
    unsafe {
        let mut sums = [[simd.splat_f32s(0.0); V]; N];
        for &(value, line) in pairs {
            let values = image.add(value + first);
            let mut weight = weights.add(line * reach * channels);
            for i in 0..reach {
                let w: [S::f32s; V] =
                    std::array::from_fn(|v| load::<S>(weight.add(v * S::F32_LANES)));
                for (n, sums) in sums.iter_mut().enumerate() {
                    let x = simd.splat_f32s(*values.add(n * step + i));
                    for (sum, &w) in sums.iter_mut().zip(&w) {
                        *sum = simd.mul_add_e_f32s(x, w, *sum);
                    }
                }
                weight = weight.add(channels);
            }
        }
        let zero = simd.splat_f32s(0.0);
        for (n, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let mut result = simd.add_f32s(sum, load::<S>(bias.add(v * S::F32_LANES)));
                if rectify {
                    // Written so that a value that is no number stays one.
                    result = simd.select_f32s(simd.less_than_f32s(result, zero), zero, result);
                }
                store::<S>(out.add(n * channels + v * S::F32_LANES), result);
            }
        }
    }
}

impl WithSimd for WeightGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            shape,
            image,
            slope,
            grad,
        } = self;
        let lanes = S::F32_LANES;
        let kernel_lines = shape.kernel_lines();
        for (block, vectors) in blocks(shape.channels / lanes) {
            for line in 0..kernel_lines {
                for part in parts(shape.reach, rows(S::REGISTER_COUNT, vectors)) {
                    let target = (line * shape.reach + part.start) * shape.channels + block * lanes;
                    let sites = Sites {
                        image: image.as_ptr(),
                        other: slope[block * lanes..].as_ptr(),
                        pairs: &shape.lines.pairs,
                        first: part.start,
                        shape,
                    };
                    let grad = grad[target..].as_mut_ptr();
                    // SAFETY: `weight_gradients` has checked that the walk over all lines and results stays on the
                    // image, and that slopes and gradients have their sizes; a part and a block are parts of it.
                    unsafe { sized!(part.len(), vectors, gradient_part(simd, sites, line, grad)) }
                }
            }
        }
    }
}

/// Gradients of `N` neighbouring weights of one line, for `V` vectors of channels each.
#[inline(always)]
unsafe fn gradient_part<S: Simd, const N: usize, const V: usize>(
    simd: S,
    sites: Sites<'_>,
    line: usize,
    grad: *mut f32,
) {
    let Sites {
        image,
        other: slopes,
        first,
        shape,
        ..
    } = sites;
    let (results, channels, step) = (shape.results, shape.channels, shape.step);
    // SAFETY: see the caller.
    unsafe {
        let mut sums = [[simd.splat_f32s(0.0); V]; N];
        for row in 0..shape.lines.count() {
            let Some(value) = shape.value_of(row, line) else {
                continue;
            };
            let mut values = image.add(value + first);
            let mut slope = slopes.add(row * results * channels);
            for _ in 0..results {
                let s: [S::f32s; V] =
                    std::array::from_fn(|v| load::<S>(slope.add(v * S::F32_LANES)));
                for (n, sums) in sums.iter_mut().enumerate() {
                    let x = simd.splat_f32s(*values.add(n));
                    for (sum, &s) in sums.iter_mut().zip(&s) {
                        *sum = simd.mul_add_e_f32s(x, s, *sum);
                    }
                }
                values = values.wrapping_add(step);
                slope = slope.wrapping_add(channels);
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let at = grad.add(n * channels + v * S::F32_LANES);
                store::<S>(at, simd.add_f32s(load::<S>(at), sum));
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller's; vectors of floats may hold any bits.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

#[inline(always)]
pub(super) unsafe fn store<S: Simd>(to: *mut f32, values: S::f32s) {
    // SAFETY: the caller's.
    unsafe { to.cast::<S::f32s>().write_unaligned(values) }
}
