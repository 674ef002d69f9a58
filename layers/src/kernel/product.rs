//! Matrix products for small batches: no packing, no allocation.
//!
//! One factor is read value by value and spread over a vector, the other and the product are read by whole vectors of
//! neighbouring columns. With values kept as columns (width x rows) that covers all three products of a dense layer
//! without a transposed copy of its weights.

use super::window::{blocks, load, parts, rows, sized, store};
use pulp::{MemMask, Simd, WithSimd};
use std::ops::Range;

/// A matrix inside a slice: `value(row, column) = values[row * down + column * right]`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    down: usize,
    right: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix whose rows follow each other without a gap.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            down: columns,
            right: 1,
        }
    }

    /// Rows become columns.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            down: self.right,
            right: self.down,
            ..self
        }
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Whether rows follow each other without a gap.
    pub(super) fn is_dense(&self) -> bool {
        self.down == self.columns && self.right == 1
    }

    pub(super) fn has_neighbouring_columns(&self) -> bool {
        self.right == 1
    }

    /// From one row to the next.
    pub(super) fn down(&self) -> usize {
        self.down
    }

    /// The values from a place on.
    pub(super) fn from(&self, row: usize, column: usize) -> &'a [f32] {
        let start = row * self.down + column * self.right;
        &self.values[start.min(self.values.len())..]
    }

    /// Whether the last value lies inside the slice.
    pub(super) fn fits(&self) -> bool {
        let last = |count: usize, step: usize| count.saturating_sub(1) * step;
        let empty = self.rows == 0 || self.columns == 0;
        empty || last(self.rows, self.down) + last(self.columns, self.right) < self.values.len()
    }
}

/// What a product leaves where it is written: `keep * old + scale * new`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onto<'a> {
    /// Times the old value; 0 does not read it.
    pub keep: f32,
    /// Times the new value.
    pub scale: f32,
    /// The old values, if they are not those that stand there.
    pub old: Option<&'a [f32]>,
}

impl Onto<'_> {
    /// Old values are not even read.
    pub const REPLACE: Self = Self::scaled(1.0);

    /// Old values are not even read, and the new ones are multiplied.
    pub const fn scaled(scale: f32) -> Self {
        Self {
            keep: 0.0,
            scale,
            old: None,
        }
    }

    /// The same for a part of the old values.
    pub fn part(self, range: &Range<usize>) -> Self {
        let old = self.old.map(|old| &old[range.clone()]);
        Self { old, ..self }
    }

    /// Where the old values of a product begin that is written to `out`.
    pub(super) fn old_in(self, out: &[f32]) -> *const f32 {
        let old = self.old.unwrap_or(out);
        assert_eq!(old.len(), out.len(), "an old value for each new one");
        old.as_ptr()
    }

    /// `keep * old + scale * new` of plain values.
    #[inline(always)]
    pub fn write(self, out: &mut [f32], new: impl Iterator<Item = f32>) {
        match (self.keep == 0.0, self.old) {
            (true, _) => out
                .iter_mut()
                .zip(new)
                .for_each(|(o, new)| *o = self.scale * new),
            (false, None) => {
                for (o, new) in out.iter_mut().zip(new) {
                    *o = self.keep * *o + self.scale * new;
                }
            }
            (false, Some(old)) => {
                for ((o, old), new) in out.iter_mut().zip(old).zip(new) {
                    *o = self.keep * old + self.scale * new;
                }
            }
        }
    }
}

/// Writes `a b` onto `out`, which is row-major without gaps. The columns of `b` must be neighbours.
///
/// # Panics
///
/// Where the shapes do not fit each other or their slices.
pub fn product(a: View<'_>, b: View<'_>, out: &mut [f32], onto: Onto<'_>) {
    assert!(
        b.rows == a.columns && a.fits() && b.fits(),
        "factors must fit each other and their slices"
    );
    assert!(
        b.right == 1 && out.len() == a.rows * b.columns,
        "the product must fit its slice"
    );
    // Where half a vector holds all columns, twice as many of them fit into a cycle.
    super::window::dispatch(
        if b.columns <= 8 { 8 } else { 16 },
        Product { a, b, out, onto },
    );
}

struct Product<'a> {
    a: View<'a>,
    b: View<'a>,
    out: &'a mut [f32],
    onto: Onto<'a>,
}

/// Where one part of a product reads and writes.
#[derive(Clone, Copy)]
struct Sites {
    a: *const f32,
    /// From row to row of `a`, and from column to column.
    a_steps: (usize, usize),
    b: *const f32,
    /// From row to row of `b`, and of the product.
    columns: (usize, usize),
    inner: usize,
    out: *mut f32,
    old: *const f32,
    keep: f32,
    scale: f32,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, b, out, onto } = self;
        let columns = b.columns;
        for (first, vectors) in blocks(columns.div_ceil(S::F32_LANES)) {
            let column = first * S::F32_LANES;
            let (_, ragged) = last_of(simd, columns - column, vectors);
            for part in parts(a.rows, rows(S::REGISTER_COUNT, vectors)) {
                let sites = sites(&a, &b, out, onto, part.start, column);
                let left = columns - column;
                // SAFETY: `product` has checked that rows and columns of both factors and the product lie in their
                // slices; a part and a block of vectors are parts of them, and the mask leaves out what lies behind
                // the last column.
                unsafe {
                    if ragged {
                        sized!(part.len(), vectors, ragged_part(simd, sites, left))
                    } else {
                        sized!(part.len(), vectors, whole_part(simd, sites, left))
                    }
                }
            }
        }
    }
}

/// What the last of some vectors holds of the columns that are left, and whether that is less than a vector.
#[inline(always)]
pub(super) fn last_of<S: Simd>(
    simd: S,
    columns_left: usize,
    vectors: usize,
) -> (MemMask<S::m32s>, bool) {
    let last = (columns_left - (vectors - 1) * S::F32_LANES).min(S::F32_LANES);
    let mask = simd.mask_between_m32s(0, last as u32).mask();
    (MemMask::new(mask), last < S::F32_LANES)
}

#[inline(always)]
fn sites(
    a: &View<'_>,
    b: &View<'_>,
    out: &mut [f32],
    onto: Onto<'_>,
    row: usize,
    column: usize,
) -> Sites {
    let start = row * b.columns + column;
    Sites {
        a: a.from(row, 0).as_ptr(),
        a_steps: (a.down, a.right),
        b: b.from(0, column).as_ptr(),
        columns: (b.down, b.columns),
        inner: a.columns,
        old: onto.old_in(out).wrapping_add(start),
        out: out[start..].as_mut_ptr(),
        keep: onto.keep,
        scale: onto.scale,
    }
}

#[inline(always)]
unsafe fn whole_part<S: Simd, const N: usize, const V: usize>(simd: S, sites: Sites, left: usize) {
    simd.vectorize(Part::<N, V, false> { sites, left });
}

#[inline(always)]
unsafe fn ragged_part<S: Simd, const N: usize, const V: usize>(simd: S, sites: Sites, left: usize) {
    simd.vectorize(Part::<N, V, true> { sites, left });
}

/// A part in a function of its own: what the loops around it keep in registers would cost its rows theirs.
///
/// **Invariant:** its sites lie in their slices.
struct Part<const N: usize, const V: usize, const RAGGED: bool> {
    sites: Sites,
    /// Columns that are left.
    left: usize,
}

impl<const N: usize, const V: usize, const RAGGED: bool> WithSimd for Part<N, V, RAGGED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (mask, _) = last_of(simd, self.left, V);
        // SAFETY: the invariant.
        unsafe { part::<S, N, V, RAGGED>(simd, self.sites, mask) }
    }
}

/// `N` rows of the product, `V` vectors wide; with `RAGGED` the last of them is as wide as the mask.
#[inline(always)]
unsafe fn part<S: Simd, const N: usize, const V: usize, const RAGGED: bool>(
    simd: S,
    sites: Sites,
    mask: MemMask<S::m32s>,
) {
    let Sites {
        a,
        a_steps: (down, right),
        b,
        columns: (b_down, out_down),
        inner,
        out,
        old,
        keep,
        scale,
    } = sites;
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[simd.splat_f32s(0.0); V]; N];
        for i in 0..inner {
            let (a, b) = (a.add(i * right), b.add(i * b_down));
            let vectors: [S::f32s; V] = std::array::from_fn(
                #[inline(always)]
                |v| fetch::<S, V, RAGGED>(simd, mask, v, b.add(v * S::F32_LANES)),
            );
            for (n, sums) in sums.iter_mut().enumerate() {
                let x = simd.splat_f32s(*a.add(n * down));
                for (sum, &w) in sums.iter_mut().zip(&vectors) {
                    *sum = simd.mul_add_e_f32s(x, w, *sum);
                }
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let at = n * out_down + v * S::F32_LANES;
                let places = (out.add(at), old.add(at));
                put::<S, V, RAGGED>(simd, mask, v, places, sum, (keep, scale));
            }
        }
    }
}

/// Writes vector `v` of `V` of a product onto what stands there.
#[inline(always)]
pub(super) unsafe fn put<S: Simd, const V: usize, const RAGGED: bool>(
    simd: S,
    mask: MemMask<S::m32s>,
    v: usize,
    (at, old): (*mut f32, *const f32),
    sum: S::f32s,
    (keep, scale): (f32, f32),
) {
    // SAFETY: the caller's.
    unsafe {
        let mut new = simd.mul_f32s(simd.splat_f32s(scale), sum);
        if keep != 0.0 {
            let old = fetch::<S, V, RAGGED>(simd, mask, v, old);
            new = simd.mul_add_e_f32s(simd.splat_f32s(keep), old, new);
        }
        if RAGGED && v + 1 == V {
            simd.mask_store_ptr_f32s(mask, at, new);
        } else {
            store::<S>(at, new);
        }
    }
}

/// Vector `v` of `V`; with `RAGGED` the last has zeros where the mask leaves something out, and does not touch it.
#[inline(always)]
pub(super) unsafe fn fetch<S: Simd, const V: usize, const RAGGED: bool>(
    simd: S,
    mask: MemMask<S::m32s>,
    v: usize,
    from: *const f32,
) -> S::f32s {
    // SAFETY: the caller's.
    unsafe {
        if RAGGED && v + 1 == V {
            simd.mask_load_ptr_f32s(mask, from)
        } else {
            load::<S>(from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    const B: [f32; 6] = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0];

    /// [1 2 3; 4 5 6] [1 0; 2 1; 0 3] = [5 11; 14 23]
    #[test]
    fn products_by_hand() {
        let mut out = [f32::NAN; 4];
        product(
            View::new(&A, 2, 3),
            View::new(&B, 3, 2),
            &mut out,
            Onto::REPLACE,
        );
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        let onto = Onto {
            keep: 2.0,
            scale: -1.0,
            old: None,
        };
        product(View::new(&A, 2, 3), View::new(&B, 3, 2), &mut out, onto);
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        // [1 4; 2 5; 3 6] [1 2 3; 4 5 6] = [17 22 27; 22 29 36; 27 36 45]
        let (view, mut out) = (View::new(&A, 2, 3), [0.0; 9]);
        product(view.transposed(), view, &mut out, Onto::REPLACE);
        assert_eq!(out, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    }

    /// Small integers: every order of addition is exact.
    #[test]
    fn sizes_around_blocks_and_vectors() {
        let value = |i: usize| ((i * 7) % 5) as f32 - 2.0;
        let (a, b): (Vec<f32>, Vec<f32>) = (
            (0..40 * 40).map(value).collect(),
            (0..40 * 80).map(value).collect(),
        );
        for rows in [1, 2, 13, 14, 15, 29] {
            for inner in [0, 1, 3, 17] {
                for columns in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 49, 70] {
                    let (left, right) = (
                        View::new(&a, inner, rows).transposed(),
                        View::new(&b, inner, columns),
                    );
                    let mut out = vec![1.0; rows * columns];
                    product(
                        left,
                        right,
                        &mut out,
                        Onto {
                            keep: 3.0,
                            scale: 2.0,
                            old: None,
                        },
                    );
                    for (at, &got) in out.iter().enumerate() {
                        let (row, column) = (at / columns, at % columns);
                        let term = |i: usize| a[i * rows + row] * b[i * columns + column];
                        let want = 3.0 + 2.0 * (0..inner).map(term).sum::<f32>();
                        assert_eq!(got, want, "{rows}x{inner}x{columns} at {row}, {column}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "must fit")]
    fn a_slice_that_is_too_short_is_refused() {
        product(
            View::new(&A[..5], 2, 3),
            View::new(&B, 3, 2),
            &mut [0.0; 4],
            Onto::REPLACE,
        );
    }
}
