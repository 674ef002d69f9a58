//! The way back through a window where most slopes are zero, as behind a pooling: each slope that is not is taken by itself.
//!
//! For every weight, and for every value of the image, terms are added in the order in which the dense kernels add them, and
//! from zero. So a finite result has their bits: which of the two ran can be seen in the seconds alone.

use super::{
    sparse::wide_as,
    window::{Correlation, dispatch, load, parts, store},
};
use pulp::{Simd, WithSimd};

/// A slope that is not zero, in the list of its channel.
#[derive(Clone, Copy, Debug, Default)]
struct OfChannel {
    row: u32,
    /// Where its window begins in a line of the image.
    at: u32,
    slope: f32,
}

/// A slope that is not zero, in the list of its position.
#[derive(Clone, Copy, Debug, Default)]
struct OfPosition {
    channel: u32,
    slope: f32,
}

/// The slopes of one image that are not zero. Buffers only ever grow.
#[derive(Clone, Debug, Default)]
pub struct Scarce {
    by_channel: Vec<OfChannel>,
    /// Where each channel begins in it, and where the last ends.
    channels: Vec<u32>,
    by_position: Vec<OfPosition>,
    positions: Vec<u32>,
    /// Lines of results, results of a line, and values from one to the next, of the shape that it was made for.
    of: (usize, usize, usize),
}

impl Scarce {
    /// Takes the memory that any image of a shape may need.
    pub fn reserve(&mut self, shape: &Correlation) {
        let slopes = shape.outputs();
        if self.by_channel.len() < slopes {
            self.by_channel.resize(slopes, OfChannel::default());
            self.by_position.resize(slopes, OfPosition::default());
        }
        self.channels.resize(shape.channels + 1, 0);
        self.positions.resize(slopes / shape.channels + 1, 0);
    }

    /// Lists the slopes of an image, which are shaped as [`correlate`](super::correlate)'s results.
    ///
    /// # Panics
    ///
    /// Where the slopes do not fit the shape.
    pub fn list(&mut self, shape: &Correlation, slopes: &[f32]) {
        assert!(
            slopes.len() == shape.outputs(),
            "slopes must fit their slice"
        );
        self.reserve(shape);
        self.of = (shape.lines.count(), shape.results, shape.step);
        let count = self.list_positions(shape.channels, slopes);
        // How many each channel has, then where each begins.
        self.channels.fill(0);
        for found in &self.by_position[..count] {
            self.channels[found.channel as usize + 1] += 1;
        }
        let mut begins = 0;
        for begin in &mut self.channels {
            begins += *begin;
            *begin = begins;
        }
        self.list_channels(shape);
    }

    /// Lists by position, and says how many there are.
    fn list_positions(&mut self, channels: usize, slopes: &[f32]) -> usize {
        let mut count = 0;
        let ends = self.positions.iter_mut().skip(1);
        for (slopes, end) in slopes.chunks_exact(channels).zip(ends) {
            for (eight, first) in slopes.chunks_exact(8).zip((0..).step_by(8)) {
                // One bit for each that is not zero, whatever its sign: most are.
                let bit = |(at, v): (u32, &f32)| u32::from(v.to_bits() << 1 != 0) << at;
                let mut word = (0..).zip(eight).map(bit).fold(0, |all, bit| all | bit);
                while word != 0 {
                    let at = word.trailing_zeros();
                    word &= word - 1;
                    let (channel, slope) = (first + at, eight[at as usize]);
                    self.by_position[count] = OfPosition { channel, slope };
                    count += 1;
                }
            }
            *end = count as u32;
        }
        count
    }

    /// Lists by channel what is listed by position. `channels` says where each begins, and then where it ends.
    fn list_channels(&mut self, shape: &Correlation) {
        let ends = self.positions.windows(2);
        for (position, ends) in ends.enumerate() {
            let (row, column) = (position / shape.results, position % shape.results);
            let (row, at) = (row as u32, (column * shape.step) as u32);
            for found in &self.by_position[ends[0] as usize..ends[1] as usize] {
                let place = &mut self.channels[found.channel as usize];
                let slope = found.slope;
                self.by_channel[*place as usize] = OfChannel { row, at, slope };
                *place += 1;
            }
        }
        // Each begin has become an end: the begin of the next one.
        self.channels.rotate_right(1);
        self.channels[0] = 0;
    }

    fn of_channel(&self, channel: usize) -> &[OfChannel] {
        &self.by_channel[self.channels[channel] as usize..self.channels[channel + 1] as usize]
    }

    fn of_position(&self, position: usize) -> &[OfPosition] {
        &self.by_position[self.positions[position] as usize..self.positions[position + 1] as usize]
    }

    fn is_of(&self, shape: &Correlation) -> bool {
        self.of == (shape.lines.count(), shape.results, shape.step)
            && self.channels.len() == shape.channels + 1
    }
}

/// As [`weight_gradients`](super::weight_gradients), with `grad` as channels x lines x reach; of each channel there may be more.
///
/// # Panics
///
/// Where the shapes do not fit their slices.
pub fn scarce_weight_gradients(
    shape: &Correlation,
    image: &[f32],
    slopes: &Scarce,
    grad: &mut [f32],
) {
    let fits = shape.fits(image.len(), grad.len()) && shape.reach.is_multiple_of(8);
    assert!(fits, "the window must stay on its image");
    assert!(slopes.is_of(shape), "slopes must be of this shape");
    dispatch(
        shape.reach,
        Gradients {
            shape,
            image,
            slopes,
            grad,
        },
    );
}

/// Adds to every value of the image what the slopes of the windows over it come to: the way back of
/// [`correlate`](super::correlate). `weights` are channels x lines x reach, of each channel perhaps more, and `out` is shaped as its image.
///
/// # Panics
///
/// Where the shapes do not fit their slices.
pub fn scarce_image_slopes(shape: &Correlation, slopes: &Scarce, weights: &[f32], out: &mut [f32]) {
    let fits = shape.fits(out.len(), weights.len()) && shape.reach.is_multiple_of(8);
    assert!(fits, "the window must stay on its image");
    assert!(slopes.is_of(shape), "slopes must be of this shape");
    dispatch(
        shape.reach,
        ImageSlopes {
            shape,
            slopes,
            weights,
            out,
        },
    );
}

struct Gradients<'a> {
    shape: &'a Correlation,
    image: &'a [f32],
    slopes: &'a Scarce,
    grad: &'a mut [f32],
}

struct ImageSlopes<'a> {
    shape: &'a Correlation,
    slopes: &'a Scarce,
    weights: &'a [f32],
    out: &'a mut [f32],
}

/// Vectors of sums side by side.
const MOST: usize = 12;

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            shape,
            image,
            slopes,
            grad,
        } = self;
        let (reach, rows) = (shape.reach, shape.lines.count());
        let stride = grad.len() / shape.channels;
        for channel in 0..shape.channels {
            let listed = slopes.of_channel(channel);
            if listed.is_empty() {
                continue;
            }
            for line in 0..shape.kernel_lines() {
                for part in parts(reach / S::F32_LANES, MOST) {
                    let first = part.start * S::F32_LANES;
                    let target = channel * stride + line * reach + first;
                    let grad = grad[target..].as_mut_ptr();
                    let mut rest = listed;
                    // SAFETY: `scarce_weight_gradients` has checked that windows of all results stay on the image,
                    // and that there is a line of gradients for each line of weights of each channel; what is listed
                    // are results of that shape, and a part lies inside of a line.
                    unsafe {
                        wide_as!(
                            part.len(),
                            gradient_part(simd, (shape, rows, line), image, first, &mut rest, grad)
                        )
                    }
                }
            }
        }
    }
}

/// Gradients of `V` vectors of weights of one line and channel.
#[inline(always)]
unsafe fn gradient_part<S: Simd, const V: usize>(
    simd: S,
    (shape, rows, line): (&Correlation, usize, usize),
    image: &[f32],
    first: usize,
    rest: &mut &[OfChannel],
    grad: *mut f32,
) {
    // SAFETY: see the caller.
    unsafe {
        let mut sums = [simd.splat_f32s(0.0); V];
        for row in 0..rows {
            let own = rest.iter().take_while(|found| found.row as usize == row);
            let (here, later) = rest.split_at(own.count());
            *rest = later;
            let Some(value) = shape.value_of(row, line) else {
                continue;
            };
            let values = image.as_ptr().add(value + first);
            for found in here {
                let (s, values) = (simd.splat_f32s(found.slope), values.add(found.at as usize));
                for (v, sum) in sums.iter_mut().enumerate() {
                    let x = load::<S>(values.add(v * S::F32_LANES));
                    *sum = simd.mul_add_e_f32s(x, s, *sum);
                }
            }
        }
        for (v, &sum) in sums.iter().enumerate() {
            let at = grad.add(v * S::F32_LANES);
            store::<S>(at, simd.add_f32s(load::<S>(at), sum));
        }
    }
}

impl WithSimd for ImageSlopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            shape,
            slopes,
            weights,
            out,
        } = self;
        let (reach, stride) = (shape.reach, weights.len() / shape.channels);
        for row in 0..shape.lines.count() {
            for column in 0..shape.results {
                let listed = slopes.of_position(row * shape.results + column);
                if listed.is_empty() {
                    continue;
                }
                for &(value, line) in shape.lines.of(row) {
                    for part in parts(reach / S::F32_LANES, MOST) {
                        let first = part.start * S::F32_LANES;
                        let weights = weights[line * reach + first..].as_ptr();
                        let out = out[value + column * shape.step + first..].as_mut_ptr();
                        // SAFETY: `scarce_image_slopes` has checked that windows of all results stay on the image, and
                        // that there is a line of weights for each line of the window of each channel; what is listed
                        // are channels of that shape, and a part lies inside of a line.
                        unsafe {
                            wide_as!(part.len(), slope_part(simd, listed, weights, stride, out))
                        }
                    }
                }
            }
        }
    }
}

/// `V` vectors of an image under one line of a window.
#[inline(always)]
unsafe fn slope_part<S: Simd, const V: usize>(
    simd: S,
    listed: &[OfPosition],
    weights: *const f32,
    stride: usize,
    out: *mut f32,
) {
    // SAFETY: see the caller.
    unsafe {
        let mut sums: [S::f32s; V] = std::array::from_fn(|v| load::<S>(out.add(v * S::F32_LANES)));
        for found in listed {
            let s = simd.splat_f32s(found.slope);
            let weights = weights.add(found.channel as usize * stride);
            for (v, sum) in sums.iter_mut().enumerate() {
                let w = load::<S>(weights.add(v * S::F32_LANES));
                *sum = simd.mul_add_e_f32s(s, w, *sum);
            }
        }
        for (v, &sum) in sums.iter().enumerate() {
            store::<S>(out.add(v * S::F32_LANES), sum);
        }
    }
}
