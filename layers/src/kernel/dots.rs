//! Products of two matrices that are both read along their rows.

use super::{
    View,
    product::last_of,
    window::{load, parts, store},
};
use pulp::{Arch, Simd, WithSimd};

/// Sums that a dot product is split into, whatever the width of a vector: so its bits do not depend on it.
const LANES: usize = 16;

/// Writes `a b'` to `out`, rows of `a` x rows of `b`; both factors are row-major without gaps and as wide as each other.
///
/// Nothing is laid out anew, but every value costs a sum over the lanes: for products with few values.
///
/// # Panics
///
/// Where the shapes do not fit each other or their slices.
pub fn row_product(a: View<'_>, b: View<'_>, out: &mut [f32]) {
    let ((rows, width), (columns, b_width)) = (a.shape(), b.shape());
    assert!(
        width == b_width && a.fits() && b.fits() && a.is_dense() && b.is_dense(),
        "factors must fit each other and their slices"
    );
    assert_eq!(out.len(), rows * columns, "the product must fit its slice");
    Arch::new().dispatch(RowProduct { a, b, out });
}

struct RowProduct<'a> {
    a: View<'a>,
    b: View<'a>,
    out: &'a mut [f32],
}

impl WithSimd for RowProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Tiles whose sums, and one side's vectors, fit the registers.
        match S::F32_LANES {
            16 => self.tiles::<S, 1>(simd, 5),
            8 => self.tiles::<S, 2>(simd, 2),
            4 => self.tiles::<S, 4>(simd, 1),
            _ => self.tiles::<S, LANES>(simd, 1),
        }
    }
}

/// Calls a function with two constants, for the given values in 1..=5.
macro_rules! tiled {
    ($a:expr, $b:expr, $call:ident $args:tt) => {
        match $a {
            1 => tiled!(1, of $b, $call $args),
            2 => tiled!(2, of $b, $call $args),
            3 => tiled!(3, of $b, $call $args),
            4 => tiled!(4, of $b, $call $args),
            5 => tiled!(5, of $b, $call $args),
            _ => unreachable!("tiles are no larger than asked for"),
        }
    };
    ($a:literal, of $b:expr, $call:ident $args:tt) => {
        match $b {
            1 => $call::<S, V, $a, 1> $args,
            2 => $call::<S, V, $a, 2> $args,
            3 => $call::<S, V, $a, 3> $args,
            4 => $call::<S, V, $a, 4> $args,
            5 => $call::<S, V, $a, 5> $args,
            _ => unreachable!("tiles are no larger than asked for"),
        }
    };
}

impl RowProduct<'_> {
    /// Tiles of up to `side` rows of both factors; `V` vectors make up the lanes.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize>(self, simd: S, side: usize) {
        let Self { a, b, out } = self;
        let ((rows, width), (columns, _)) = (a.shape(), b.shape());
        if rows == 0 || columns == 0 {
            return;
        }
        for tall in parts(rows, side) {
            for broad in parts(columns, side) {
                let out = &mut out[tall.start * columns + broad.start..];
                let (a, b) = (a.from(tall.start, 0), b.from(broad.start, 0));
                // SAFETY: `row_product` has checked that each of these rows has `width` values in its slice.
                unsafe {
                    tiled!(
                        tall.len(),
                        broad.len(),
                        apart(simd, a, b, width, (out, columns))
                    )
                }
            }
        }
    }
}

/// A tile in a function of its own: what the loops around it keep in registers would cost its rows theirs.
#[inline(always)]
unsafe fn apart<S: Simd, const V: usize, const A: usize, const B: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    width: usize,
    out: (&mut [f32], usize),
) {
    simd.vectorize(Tile::<V, A, B> { a, b, width, out });
}

/// **Invariant:** `A` rows of `width` values lie in `a`, `B` in `b`.
struct Tile<'a, const V: usize, const A: usize, const B: usize> {
    a: &'a [f32],
    b: &'a [f32],
    width: usize,
    out: (&'a mut [f32], usize),
}

impl<const V: usize, const A: usize, const B: usize> WithSimd for Tile<'_, V, A, B> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, b, width, out } = self;
        // SAFETY: the invariant.
        unsafe { tile::<S, V, A, B>(simd, a, b, width, out) }
    }
}

/// Dot products of each of `A` rows with each of `B`, all of `width` values without gaps.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize, const A: usize, const B: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    width: usize,
    (out, down): (&mut [f32], usize),
) {
    let row = |matrix: &[f32], i: usize| matrix.as_ptr().wrapping_add(i * width);
    let a: [*const f32; A] = std::array::from_fn(|i| row(a, i));
    let b: [*const f32; B] = std::array::from_fn(|j| row(b, j));
    let mut sums = [[[simd.splat_f32s(0.0); V]; B]; A];
    let whole = width - width % LANES;
    // SAFETY: the caller's.
    unsafe {
        for at in (0..whole).step_by(LANES) {
            for v in 0..V {
                let at = at + v * S::F32_LANES;
                let b: [S::f32s; B] = std::array::from_fn(
                    #[inline(always)]
                    |j| load::<S>(b[j].add(at)),
                );
                for (sums, a) in sums.iter_mut().zip(a) {
                    let a = load::<S>(a.add(at));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        sum[v] = simd.mul_add_e_f32s(a, b, sum[v]);
                    }
                }
            }
        }
        for v in 0..V {
            let at = whole + v * S::F32_LANES;
            if at < width {
                let (mask, _) = last_of(simd, width - at, 1);
                for (sums, a) in sums.iter_mut().zip(a) {
                    let a = simd.mask_load_ptr_f32s(mask, a.add(at));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        let b = simd.mask_load_ptr_f32s(mask, b.add(at));
                        sum[v] = simd.mul_add_e_f32s(a, b, sum[v]);
                    }
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            out[i * down + j] = over_lanes::<S, V>(sum);
        }
    }
}

/// Halves are added until one value is left.
#[inline(always)]
fn over_lanes<S: Simd, const V: usize>(vectors: &[S::f32s; V]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (to, from) in lanes.chunks_exact_mut(S::F32_LANES).zip(vectors) {
        // SAFETY: the lines of `lanes` are as long as a vector.
        unsafe { store::<S>(to.as_mut_ptr(), *from) }
    }
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(l, h)| *l += *h);
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small integers: every order of addition is exact.
    #[test]
    fn sizes_around_tiles_and_lanes() {
        let values: Vec<f32> = (0..40 * 40).map(|i| ((i * 7) % 5) as f32 - 2.0).collect();
        for (rows, columns) in [
            (1, 1),
            (1, 10),
            (3, 6),
            (4, 5),
            (5, 4),
            (10, 6),
            (10, 32),
            (13, 11),
        ] {
            for width in [0, 1, 7, 8, 9, 15, 16, 17, 24, 31, 33, 40] {
                let (a, b) = (
                    View::new(&values, rows, width),
                    View::new(&values[99..], columns, width),
                );
                let mut out = vec![f32::NAN; rows * columns];
                row_product(a, b, &mut out);
                for (at, got) in out.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let term = |i: usize| values[row * width + i] * values[99 + column * width + i];
                    let want: f32 = (0..width).map(term).sum();
                    assert_eq!(*got, want, "{rows}x{columns}x{width} at {row}, {column}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "must fit")]
    fn rows_of_other_lengths_are_refused() {
        row_product(
            View::new(&[0.0; 6], 2, 3),
            View::new(&[0.0; 8], 2, 4),
            &mut [0.0; 4],
        );
    }
}
