//! Matrices turned round, in squares that fit the registers.

use super::dispatch;
use pulp::{Simd, WithSimd};

/// Side of the squares that are turned in registers.
pub(super) const SIDE: usize = 8;

/// From rows x width to width x rows.
///
/// # Panics
///
/// Where `out` is not as long as `values`.
pub fn transpose(values: &[f32], width: usize, out: &mut [f32]) {
    assert_eq!(values.len(), out.len(), "nothing is left out");
    let rows = values.len().checked_div(width).unwrap_or(0);
    let from = (values, width);
    dispatch(
        SIDE,
        Transpose {
            from,
            to: (out, rows),
            rows,
            width,
        },
    );
}

/// A matrix of `rows` x `width` values, and where it goes: slices, and the steps from row to row of both.
struct Transpose<'a> {
    from: (&'a [f32], usize),
    to: (&'a mut [f32], usize),
    rows: usize,
    width: usize,
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            from,
            to,
            rows,
            width,
        } = self;
        turn(simd, from, to, (rows, width));
    }
}

/// Turns `rows` x `width` values round, square by square.
///
/// What stands behind the rows of `out` may be overwritten.
#[inline(always)]
pub(super) fn turn<S: Simd>(
    simd: S,
    (values, down): (&[f32], usize),
    (out, out_down): (&mut [f32], usize),
    (rows, width): (usize, usize),
) {
    // Lines of incomplete squares reach into the next column, which is written after them; so they come first.
    for row in (0..rows).step_by(SIDE).rev() {
        for column in (0..width).step_by(SIDE) {
            let from = (&values[row * down + column..], down);
            let to = (&mut out[column * out_down + row..], out_down);
            let size = (SIDE.min(rows - row), SIDE.min(width - column));
            if size == (SIDE, SIDE) {
                turn_square(simd, from, to);
            } else {
                turn_part(simd, from, to, size);
            }
        }
    }
}

/// Turns what of a square lies inside of the matrix.
#[inline(always)]
fn turn_part<S: Simd>(
    simd: S,
    (values, down): (&[f32], usize),
    (out, out_down): (&mut [f32], usize),
    (rows, width): (usize, usize),
) {
    let mut square = [0.0_f32; SIDE * SIDE];
    for (i, line) in square
        .as_chunks_mut::<SIDE>()
        .0
        .iter_mut()
        .enumerate()
        .take(rows)
    {
        // Whole lines are copied without a call.
        match values[i * down..]
            .first_chunk::<SIDE>()
            .filter(|_| width == SIDE)
        {
            Some(whole) => *line = *whole,
            None => line[..width].copy_from_slice(&values[i * down..][..width]),
        }
    }
    let mut turned = [0.0_f32; SIDE * SIDE];
    turn_square(simd, (&square, SIDE), (&mut turned, SIDE));
    for (j, line) in turned.as_chunks::<SIDE>().0.iter().enumerate().take(width) {
        let to = &mut out[j * out_down..];
        match to.first_chunk_mut::<SIDE>() {
            Some(whole) => *whole = *line,
            None => to[..rows].copy_from_slice(&line[..rows]),
        }
    }
}

/// Turns a whole square.
#[inline(always)]
fn turn_square<S: Simd>(
    simd: S,
    (values, down): (&[f32], usize),
    (out, out_down): (&mut [f32], usize),
) {
    let last = |down: usize| (SIDE - 1) * down + SIDE;
    assert!(
        last(down) <= values.len() && last(out_down) <= out.len(),
        "a square lies inside of its matrix"
    );
    #[cfg(target_arch = "x86_64")]
    if let Some(v3) = v3(simd) {
        // SAFETY: all of both squares has just been found to lie in the slices.
        return unsafe {
            turn_in_registers(v3, (values.as_ptr(), down), (out.as_mut_ptr(), out_down))
        };
    }
    let _ = simd;
    for i in 0..SIDE {
        for j in 0..SIDE {
            out[j * out_down + i] = values[i * down + j];
        }
    }
}

/// Vectors of eight values, where those at hand are of eight or sixteen.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn v3<S: Simd>(simd: S) -> Option<pulp::x86::V3> {
    let simd = &simd as &dyn std::any::Any;
    let of_sixteen = || Some(**simd.downcast_ref::<pulp::x86::V4>()?);
    simd.downcast_ref().copied().or_else(of_sixteen)
}

/// Halves are exchanged while they are read; then pairs, and fours.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn turn_in_registers(
    simd: pulp::x86::V3,
    (from, down): (*const f32, usize),
    (to, to_down): (*mut f32, usize),
) {
    use std::arch::x86_64::{__m128, __m256};
    let avx = simd.avx;
    for half in [0, SIDE / 2] {
        // Four values of row `i`, and of the row four below.
        let both = |i: usize| {
            // SAFETY: the caller's.
            let four = |row: usize| unsafe {
                from.add(row * down + half)
                    .cast::<__m128>()
                    .read_unaligned()
            };
            let upper = avx._mm256_castps128_ps256(four(i));
            avx._mm256_insertf128_ps::<1>(upper, four(i + SIDE / 2))
        };
        let [a, b, c, d] = [both(0), both(1), both(2), both(3)];
        let (ab0, ab1) = (avx._mm256_unpacklo_ps(a, b), avx._mm256_unpackhi_ps(a, b));
        let (cd0, cd1) = (avx._mm256_unpacklo_ps(c, d), avx._mm256_unpackhi_ps(c, d));
        const FIRST: i32 = 0b01_00_01_00;
        const SECOND: i32 = 0b11_10_11_10;
        let lines: [__m256; 4] = [
            avx._mm256_shuffle_ps::<FIRST>(ab0, cd0),
            avx._mm256_shuffle_ps::<SECOND>(ab0, cd0),
            avx._mm256_shuffle_ps::<FIRST>(ab1, cd1),
            avx._mm256_shuffle_ps::<SECOND>(ab1, cd1),
        ];
        for (j, line) in lines.into_iter().enumerate() {
            // SAFETY: the caller's.
            unsafe {
                to.add((half + j) * to_down)
                    .cast::<__m256>()
                    .write_unaligned(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_at_every_size_around_a_square() {
        for rows in (1..20).chain([32]) {
            for width in 1..20 {
                let values: Vec<f32> = (0..rows * width).map(|i| i as f32).collect();
                let mut out = vec![f32::NAN; values.len()];
                transpose(&values, width, &mut out);
                let want = (0..width).flat_map(|c| (0..rows).map(move |r| (r * width + c) as f32));
                assert!(out.iter().copied().eq(want), "{rows} x {width}");
            }
        }
    }
}
