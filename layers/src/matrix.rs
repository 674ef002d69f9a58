//! Products of row-major matrices, as layers need them.

use crate::kernel::{Onto, View, product, transpose};
use lyceum_core::wide;

/// A row-major matrix without gaps.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
}

/// Adds to what stands there.
const ADD: Onto<'static> = Onto {
    keep: 1.0,
    scale: 1.0,
    old: None,
};

impl<'a> Matrix<'a> {
    /// The first `rows * columns` values of a slice.
    ///
    /// # Panics
    ///
    /// If it is shorter.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values: &values[..rows * columns],
            rows,
            columns,
        }
    }

    fn view(self) -> View<'a> {
        View::new(self.values, self.rows, self.columns)
    }

    /// Writes `self other`.
    pub fn times(self, other: Matrix<'_>, out: &mut [f32]) {
        product(self.view(), other.view(), out, Onto::REPLACE);
    }

    /// Adds `self other` to `out`.
    pub fn times_added(self, other: Matrix<'_>, out: &mut [f32]) {
        product(self.view(), other.view(), out, ADD);
    }

    /// Writes `self' other`.
    pub fn turned_times(self, other: Matrix<'_>, out: &mut [f32]) {
        product(self.view().transposed(), other.view(), out, Onto::REPLACE);
    }

    /// Adds `self' other` to `out`.
    pub fn turned_times_added(self, other: Matrix<'_>, out: &mut [f32]) {
        product(self.view().transposed(), other.view(), out, ADD);
    }

    /// Writes `self other'`; `turned` holds the other matrix turned round.
    pub fn times_turned(self, other: Matrix<'_>, out: &mut [f32], turned: &mut Vec<f32>) {
        self.times(other.turned(turned), out);
    }

    /// The matrix turned round, laid out in a buffer that only ever grows.
    pub fn turned<'b>(self, buffer: &'b mut Vec<f32>) -> Matrix<'b> {
        let out = crate::room(buffer, self.values.len());
        transpose(self.values, self.columns, out);
        Matrix::new(out, self.columns, self.rows)
    }
}

/// Adds a bias to every row.
pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
            }
        },
    );
}

/// Writes the sum of all rows, row by row: the gradient of a bias.
pub fn bias_gradient(slope: &[f32], gradient: &mut [f32]) {
    gradient.fill(0.0);
    let width = gradient.len();
    wide(
        #[inline(always)]
        || {
            for row in slope.chunks_exact(width) {
                gradient.iter_mut().zip(row).for_each(|(g, s)| *g += s);
            }
        },
    );
}
