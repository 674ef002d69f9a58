//! Products with a factor of many zeros: values behind a ReLU, slopes in front of one, images with a background.
//!
//! What is marked as zero is stepped over. A sum of products begins at zero and its terms keep their order, so a finite
//! result has the bits that the dense product gives it: which of the two ran can be seen in the seconds alone.

use super::{
    Onto, View,
    near::near,
    product::{fetch, last_of, put},
    turn::turn,
    window::{load, parts, store},
};
use pulp::{Arch, MemMask, Simd, WithSimd};

/// Which values of a row-major matrix are not zero, 64 of a row to a word.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    words: Vec<u64>,
    rows: usize,
    width: usize,
}

/// Values that one word marks.
const WORD: usize = 64;

impl Marks {
    /// Marks a matrix of rows of `width` values without gaps, in the place of the last one.
    pub fn mark(&mut self, values: &[f32], width: usize) {
        let rows = values.len().checked_div(width).unwrap_or(0);
        let words = rows * width.div_ceil(WORD);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        (self.rows, self.width) = (rows, width);
        Arch::new().dispatch(Mark {
            values,
            width,
            words: &mut self.words[..words],
        });
    }

    /// Whether at most this share of the values is not zero.
    pub fn are_within(&self, share: f64) -> bool {
        let words = &self.words[..self.rows * self.words_of_row()];
        let count: usize = words.iter().map(|w| w.count_ones() as usize).sum();
        count as f64 <= share * (self.rows * self.width) as f64
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Places of a row that are not zero, ascending.
    pub fn places(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        let words = self.row(row).iter().enumerate();
        words.flat_map(|(at, &word)| {
            let mut word = word;
            std::iter::from_fn(move || {
                let place = (word != 0).then(|| at * WORD + word.trailing_zeros() as usize);
                word &= word.wrapping_sub(1);
                place
            })
        })
    }

    fn words_of_row(&self) -> usize {
        self.width.div_ceil(WORD)
    }

    fn row(&self, row: usize) -> &[u64] {
        let words = self.words_of_row();
        &self.words[row * words..][..words]
    }

    fn are_of(&self, matrix: &View<'_>) -> bool {
        (self.rows, self.width) == matrix.shape()
    }
}

struct Mark<'a> {
    values: &'a [f32],
    width: usize,
    words: &'a mut [u64],
}

impl WithSimd for Mark<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            values,
            width,
            words,
        } = self;
        let rows = values.chunks_exact(width.max(1));
        let words = words.chunks_exact_mut(width.div_ceil(WORD).max(1));
        for (row, words) in rows.zip(words) {
            for (word, values) in words.iter_mut().zip(row.chunks(WORD)) {
                *word = marked(simd, values);
            }
        }
    }
}

/// A bit for each of at most 64 values, the first one lowest.
#[inline(always)]
fn marked<S: Simd>(simd: S, values: &[f32]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if let Some(v3) = super::turn::v3(simd) {
        let (eights, rest) = values.as_chunks::<8>();
        let zero = v3.avx._mm256_setzero_ps();
        let word = eights.iter().enumerate().fold(0, |word, (at, eight)| {
            // Not equal, or not a number.
            const UNLIKE: i32 = std::arch::x86_64::_CMP_NEQ_UQ;
            let unlike = v3.avx._mm256_cmp_ps::<UNLIKE>(pulp::cast(*eight), zero);
            word | u64::from(v3.avx._mm256_movemask_ps(unlike) as u8) << (8 * at)
        });
        return word | one_by_one(rest).unbounded_shl(8 * eights.len() as u32);
    }
    let _ = simd;
    one_by_one(values)
}

#[inline(always)]
fn one_by_one(values: &[f32]) -> u64 {
    let bits = values.iter().enumerate();
    bits.fold(0, |word, (at, &v)| word | u64::from(v != 0.0) << at)
}

/// Writes `a b` onto `out` as [`product`](super::product) does, stepping over the zeros of `a`, which is row-major
/// without gaps. The columns of `b` must be neighbours.
///
/// # Panics
///
/// Where the shapes do not fit each other or their slices.
pub fn marked_product(
    (a, marks): (View<'_>, &Marks),
    b: View<'_>,
    out: &mut [f32],
    onto: Onto<'_>,
) {
    let ((rows, inner), (b_rows, columns)) = (a.shape(), b.shape());
    assert!(
        inner == b_rows && a.fits() && b.fits() && marks.are_of(&a),
        "factors and marks must fit each other and their slices"
    );
    assert!(
        a.is_dense() && b.has_neighbouring_columns() && out.len() == rows * columns,
        "the product must fit its slice"
    );
    Arch::new().dispatch(MarkedProduct {
        a,
        marks,
        b,
        out,
        onto,
    });
}

struct MarkedProduct<'a> {
    a: View<'a>,
    marks: &'a Marks,
    b: View<'a>,
    out: &'a mut [f32],
    onto: Onto<'a>,
}

/// Bytes of `b` that one block of columns may take, so that it stays in the first-level cache.
const NEAR: usize = 20 << 10;

/// Calls a function with `v` as a constant, for the given `v` in 1..=12.
macro_rules! wide_as {
    ($v:expr, $call:ident $args:tt) => {
        wide_as!($v, $call $args, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    ($v:expr, $call:ident $args:tt, $($size:literal)*) => {
        match $v {
            $($size => $call::<S, $size> $args,)*
            _ => unreachable!("blocks are no wider than the registers allow"),
        }
    };
}

pub(super) use wide_as;

/// Vectors of sums that leave room for a value and a product.
const fn most_vectors(registers: usize) -> usize {
    let spare = registers - 3;
    if spare < 12 { spare } else { 12 }
}

/// One row of a product, a block of columns wide.
#[derive(Clone, Copy)]
struct Line<'a> {
    words: &'a [u64],
    a: *const f32,
    b: *const f32,
    b_down: usize,
    out: *mut f32,
    /// To the row of the product that is written next.
    out_down: usize,
    old: *const f32,
    keep: f32,
    scale: f32,
}

impl WithSimd for MarkedProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            a,
            marks,
            b,
            out,
            onto,
        } = self;
        let ((rows, inner), (_, columns)) = (a.shape(), b.shape());
        let near = NEAR / (4 * S::F32_LANES * inner.max(1));
        let most = near.clamp(1, most_vectors(S::REGISTER_COUNT));
        for block in parts(columns.div_ceil(S::F32_LANES), most).filter(|b| !b.is_empty()) {
            let column = block.start * S::F32_LANES;
            let (mask, ragged) = last_of(simd, columns - column, block.len());
            for row in 0..rows {
                let line = Line {
                    words: marks.row(row),
                    a: a.from(row, 0).as_ptr(),
                    b: b.from(0, column).as_ptr(),
                    b_down: b.down(),
                    old: onto.old_in(out).wrapping_add(row * columns + column),
                    out: out[row * columns + column..].as_mut_ptr(),
                    out_down: columns,
                    keep: onto.keep,
                    scale: onto.scale,
                };
                // SAFETY: `marked_product` has checked that both factors and the product lie in their slices and that
                // the marks are those of `a`; a row and a block of vectors are parts of them, and the mask leaves out
                // what lies behind the last column.
                unsafe {
                    if ragged {
                        wide_as!(block.len(), ragged_line(simd, line, mask))
                    } else {
                        wide_as!(block.len(), whole_line(simd, line, mask))
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn whole_line<S: Simd, const V: usize>(simd: S, at: Line<'_>, mask: MemMask<S::m32s>) {
    // SAFETY: the caller's.
    unsafe { line::<S, V, false>(simd, at, mask) }
}

#[inline(always)]
unsafe fn ragged_line<S: Simd, const V: usize>(simd: S, at: Line<'_>, mask: MemMask<S::m32s>) {
    // SAFETY: the caller's.
    unsafe { line::<S, V, true>(simd, at, mask) }
}

/// One row of the product, `V` vectors wide; with `RAGGED` the last of them is as wide as the mask.
#[inline(always)]
unsafe fn line<S: Simd, const V: usize, const RAGGED: bool>(
    simd: S,
    line: Line<'_>,
    mask: MemMask<S::m32s>,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [simd.splat_f32s(0.0); V];
        for v in 0..V {
            near(line.old.wrapping_add(line.out_down + v * S::F32_LANES));
        }
        for (at, &word) in line.words.iter().enumerate() {
            let first = at * WORD;
            let from = (
                line.a.wrapping_add(first),
                line.b.wrapping_add(first * line.b_down),
            );
            add_marked::<S, V, RAGGED>(simd, mask, &mut sums, word, from, line.b_down);
        }
        for (v, &sum) in sums.iter().enumerate() {
            let at = v * S::F32_LANES;
            let places = (line.out.add(at), line.old.add(at));
            put::<S, V, RAGGED>(simd, mask, v, places, sum, (line.keep, line.scale));
        }
    }
}

/// Adds the marked of 64 values, each times its line of vectors.
#[inline(always)]
unsafe fn add_marked<S: Simd, const V: usize, const RAGGED: bool>(
    simd: S,
    mask: MemMask<S::m32s>,
    sums: &mut [S::f32s; V],
    mut word: u64,
    (values, lines): (*const f32, *const f32),
    down: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        while word != 0 {
            let i = word.trailing_zeros() as usize;
            word &= word - 1;
            let (x, line) = (simd.splat_f32s(*values.add(i)), lines.add(i * down));
            for (v, sum) in sums.iter_mut().enumerate() {
                let at = line.add(v * S::F32_LANES);
                *sum = simd.mul_add_e_f32s(x, fetch::<S, V, RAGGED>(simd, mask, v, at), *sum);
            }
        }
    }
}

/// Buffers of [`marked_product_turned`], which only ever grow.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    lines: Vec<f32>,
    sums: Vec<f32>,
}

/// Writes `w x'` to `out`, stepping over the zeros of `x`; both factors are row-major without gaps and as wide as each
/// other. The product, rows of `w` x rows of `x`, has no gaps either.
///
/// # Panics
///
/// Where the shapes do not fit each other or their slices.
pub fn marked_product_turned(
    w: View<'_>,
    (x, marks): (View<'_>, &Marks),
    out: &mut [f32],
    panel: &mut Panel,
) {
    let ((units, inner), (rows, width)) = (w.shape(), x.shape());
    assert!(
        inner == width && w.fits() && x.fits() && marks.are_of(&x),
        "factors and marks must fit each other and their slices"
    );
    assert!(
        w.is_dense() && x.is_dense() && out.len() == units * rows,
        "the product must fit its slice"
    );
    Arch::new().dispatch(MarkedTurned {
        w,
        x,
        marks,
        out,
        panel,
    });
}

struct MarkedTurned<'a> {
    w: View<'a>,
    x: View<'a>,
    marks: &'a Marks,
    out: &'a mut [f32],
    panel: &'a mut Panel,
}

/// Vectors of units side by side: with 64 lines of them a panel stays in the first-level cache.
const SIDE_BY_SIDE: usize = 7;

/// The first `len` values at a place where no vector crosses a cache line, of a buffer that only ever grows.
fn aligned(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    const LINE: usize = 64;
    let spare = LINE / size_of::<f32>();
    if buffer.len() < len + spare {
        buffer.resize(len + spare, 0.0);
    }
    // It may be more than what is spare where the pointer cannot be aligned: then speed alone is lost.
    let start = buffer.as_ptr().align_offset(LINE).min(spare);
    &mut buffer[start..start + len]
}

impl WithSimd for MarkedTurned<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            w,
            x,
            marks,
            out,
            panel,
        } = self;
        let ((units, inner), (rows, _)) = (w.shape(), x.shape());
        let vectors = units.div_ceil(S::F32_LANES);
        for block in parts(vectors, SIDE_BY_SIDE).filter(|block| !block.is_empty()) {
            let width = block.len() * S::F32_LANES;
            let first = block.start * S::F32_LANES;
            let count = width.min(units - first);
            let lines = aligned(&mut panel.lines, WORD * width);
            let sums = aligned(&mut panel.sums, rows * width);
            sums.fill(0.0);
            for (at, start) in (0..inner).step_by(WORD).enumerate() {
                let depth = WORD.min(inner - start);
                let from = (w.from(first, start), inner);
                turn(simd, from, (&mut *lines, width), (count, depth));
                for (row, sums) in sums.chunks_exact_mut(width).enumerate() {
                    let word = marks.row(row)[at];
                    let values = x.from(row, start).as_ptr();
                    // SAFETY: the marks are those of `x`, so they reach no further than its rows, nor than the lines of
                    // the panel that were just written; `sums` is a row as wide as the panel.
                    unsafe {
                        wide_as!(
                            block.len(),
                            add_to_row(simd, word, values, lines.as_ptr(), sums.as_mut_ptr())
                        )
                    }
                }
            }
            let out = (&mut out[first * rows..], rows);
            turn(simd, (&*sums, width), out, (rows, count));
        }
    }
}

#[inline(always)]
unsafe fn add_to_row<S: Simd, const V: usize>(
    simd: S,
    word: u64,
    values: *const f32,
    lines: *const f32,
    row: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums: [S::f32s; V] = std::array::from_fn(|v| load::<S>(row.add(v * S::F32_LANES)));
        let mask = MemMask::new(simd.mask_between_m32s(0, S::F32_LANES as u32).mask());
        let from = (values, lines);
        add_marked::<S, V, false>(simd, mask, &mut sums, word, from, V * S::F32_LANES);
        for (v, &sum) in sums.iter().enumerate() {
            store::<S>(row.add(v * S::F32_LANES), sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{product, transpose};

    /// Values of which about a third is zero, with a lone zero row and a lone row without a zero.
    fn values(rows: usize, width: usize) -> Vec<f32> {
        let value = |i: usize| match (i / width.max(1), i * 7919 % 257) {
            (1, _) => 0.0,
            (2, at) => at as f32 / 100.0 + 0.1,
            (_, at) if at < 90 => 0.0,
            (_, at) => (at as f32 - 170.0) / 77.0,
        };
        (0..rows * width).map(value).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn zeros_that_are_stepped_over_leave_the_bits_of_the_dense_product() {
        let mut marks = Marks::default();
        for rows in [1, 2, 3, 9] {
            for inner in [1, 31, 63, 64, 65, 130] {
                for columns in [1, 7, 8, 15, 16, 17, 100, 193, 784] {
                    let (a, b, old) = (
                        values(rows, inner),
                        values(inner, columns),
                        values(rows, columns),
                    );
                    marks.mark(&a, inner);
                    let (left, right) = (View::new(&a, rows, inner), View::new(&b, inner, columns));
                    let (keep, scale) = (0.5, -0.3);
                    for onto in [
                        Onto::REPLACE,
                        Onto {
                            keep,
                            scale,
                            old: None,
                        },
                        Onto {
                            keep,
                            scale,
                            old: Some(&old),
                        },
                    ] {
                        let start = values(rows, columns)
                            .iter()
                            .map(|v| v + 1.0)
                            .collect::<Vec<_>>();
                        let (mut dense, mut sparse) = (start.clone(), start);
                        product(left, right, &mut dense, onto);
                        marked_product((left, &marks), right, &mut sparse, onto);
                        assert_eq!(
                            bits(&dense),
                            bits(&sparse),
                            "{rows}x{inner}x{columns} {onto:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_turned_product_has_the_bits_of_the_dense_one() {
        let (mut marks, mut panel) = (Marks::default(), Panel::default());
        for units in [1, 7, 8, 33, 100, 120] {
            for width in [1, 31, 64, 65, 200] {
                for rows in [1, 2, 7, 8, 13] {
                    let (w, x) = (values(units, width), values(rows, width));
                    marks.mark(&x, width);
                    let mut columns = vec![0.0; x.len()];
                    transpose(&x, width, &mut columns);
                    let weights = View::new(&w, units, width);
                    let (mut dense, mut sparse) =
                        (vec![f32::NAN; units * rows], vec![f32::NAN; units * rows]);
                    product(
                        weights,
                        View::new(&columns, width, rows),
                        &mut dense,
                        Onto::REPLACE,
                    );
                    let x = (View::new(&x, rows, width), &marks);
                    marked_product_turned(weights, x, &mut sparse, &mut panel);
                    assert_eq!(bits(&dense), bits(&sparse), "{units}x{width}x{rows}");
                }
            }
        }
    }

    #[test]
    fn marks_count_what_is_not_zero() {
        let mut marks = Marks::default();
        marks.mark(&[0.0, -0.0, f32::NAN, 1.0], 2);
        assert!(marks.are_within(0.5) && !marks.are_within(0.49));
        marks.mark(&[], 3);
        assert!(marks.are_within(0.0));
    }

    #[test]
    #[should_panic(expected = "must fit")]
    fn marks_of_another_matrix_are_refused() {
        let mut marks = Marks::default();
        marks.mark(&[1.0; 6], 3);
        let (a, b) = (View::new(&[1.0; 6], 3, 2), View::new(&[1.0; 2], 2, 1));
        marked_product((a, &marks), b, &mut [0.0; 3], Onto::REPLACE);
    }
}
