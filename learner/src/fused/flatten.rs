//! Between images (rows x height x width x stored channels) and flat values.

use super::kernel::dispatch;
use pulp::{Simd, WithSimd};

/// Where the values of an image stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image {
    pub(super) channels: usize,
    /// Channels of a stored position.
    pub(super) stored: usize,
    /// Positions of a channel.
    pub(super) plane: usize,
}

impl Image {
    /// Stored values of one image.
    pub(super) fn values(&self) -> usize {
        self.plane * self.stored
    }

    /// From rows x channels x plane, as batches and dropout masks come.
    pub(super) fn spread_rows(&self, rows: &[f32], out: &mut [f32]) {
        let images = rows
            .chunks_exact(self.channels * self.plane)
            .zip(out.chunks_exact_mut(self.values()));
        for (row, image) in images {
            for (channel, plane) in row.chunks_exact(self.plane).enumerate() {
                let places = image[channel..].iter_mut().step_by(self.stored);
                places.zip(plane).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// To (channels x plane) x rows, as flat layers want them.
    pub(super) fn as_columns(&self, images: &[f32], rows: usize, out: &mut [f32]) {
        for (row, image) in images.chunks_exact(self.values()).enumerate() {
            for (at, position) in image.chunks_exact(self.stored).enumerate() {
                for (channel, value) in position[..self.channels].iter().enumerate() {
                    out[(channel * self.plane + at) * rows + row] = *value;
                }
            }
        }
    }

    /// The way back of [`as_columns`](Self::as_columns); what pads the channels becomes zero.
    pub(super) fn spread_columns(&self, columns: &[f32], rows: usize, out: &mut [f32]) {
        for (row, image) in out.chunks_exact_mut(self.values()).enumerate() {
            for (at, position) in image.chunks_exact_mut(self.stored).enumerate() {
                let (used, padding) = position.split_at_mut(self.channels);
                for (channel, value) in used.iter_mut().enumerate() {
                    *value = columns[(channel * self.plane + at) * rows + row];
                }
                padding.fill(0.0);
            }
        }
    }
}

/// Side of the squares that [`transpose`] turns in registers.
const SIDE: usize = 8;

/// From rows x width to width x rows.
pub(super) fn transpose(values: &[f32], width: usize, out: &mut [f32]) {
    dispatch(8, Transpose { values, width, out });
}

struct Transpose<'a> {
    values: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { values, width, out } = self;
        let rows = values.len() / width.max(1);
        let columns = width - width % SIDE;
        // Lines of incomplete squares reach into the next column, which is written after them; so they come first.
        for row in (0..rows).step_by(SIDE).rev() {
            let count = SIDE.min(rows - row);
            for column in (0..columns).step_by(SIDE) {
                let mut lines = [[0.0_f32; SIDE]; SIDE];
                for (i, line) in lines.iter_mut().enumerate().take(count) {
                    line.copy_from_slice(&values[(row + i) * width + column..][..SIDE]);
                }
                for (j, line) in turned(simd, lines).iter().enumerate() {
                    let at = (column + j) * rows + row;
                    match out.get_mut(at..at + SIDE) {
                        Some(place) => place.copy_from_slice(line),
                        None => out[at..at + count].copy_from_slice(&line[..count]),
                    }
                }
            }
        }
        for column in columns..width {
            for row in 0..rows {
                out[column * rows + row] = values[row * width + column];
            }
        }
    }
}

/// A square with rows and columns exchanged.
#[inline(always)]
fn turned<S: Simd>(simd: S, lines: [[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    #[cfg(target_arch = "x86_64")]
    if let Some(v3) = (&simd as &dyn std::any::Any).downcast_ref::<pulp::x86::V3>() {
        return turned_in_registers(*v3, lines);
    }
    let _ = simd;
    std::array::from_fn(|j| std::array::from_fn(|i| lines[i][j]))
}

/// Pairs, then fours, then halves are exchanged.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn turned_in_registers(simd: pulp::x86::V3, lines: [[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    let avx = simd.avx;
    let [a, b, c, d, e, f, g, h] = lines.map(pulp::cast::<_, std::arch::x86_64::__m256>);
    let pairs = |x, y| (avx._mm256_unpacklo_ps(x, y), avx._mm256_unpackhi_ps(x, y));
    let ((ab0, ab1), (cd0, cd1)) = (pairs(a, b), pairs(c, d));
    let ((ef0, ef1), (gh0, gh1)) = (pairs(e, f), pairs(g, h));
    let fours = |x, y| {
        (
            avx._mm256_shuffle_ps::<0b01_00_01_00>(x, y),
            avx._mm256_shuffle_ps::<0b11_10_11_10>(x, y),
        )
    };
    let ((ad0, ad1), (ad2, ad3)) = (fours(ab0, cd0), fours(ab1, cd1));
    let ((eh0, eh1), (eh2, eh3)) = (fours(ef0, gh0), fours(ef1, gh1));
    let low = |x, y| avx._mm256_permute2f128_ps::<0x20>(x, y);
    let high = |x, y| avx._mm256_permute2f128_ps::<0x31>(x, y);
    [
        low(ad0, eh0),
        low(ad1, eh1),
        low(ad2, eh2),
        low(ad3, eh3),
        high(ad0, eh0),
        high(ad1, eh1),
        high(ad2, eh2),
        high(ad3, eh3),
    ]
    .map(pulp::cast)
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
