//! The only unsafe code of the crate: matrix products by the `gemm` crate.
#![allow(unsafe_code)]

use gemm::Parallelism;

/// A matrix inside a slice: `value(row, column) = values[row * down + column * right]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) down: usize,
    pub(super) right: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix whose rows follow each other without a gap.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            down: columns,
            right: 1,
        }
    }

    /// Rows become columns.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            down: self.right,
            right: self.down,
            ..self
        }
    }

    fn fits(&self) -> bool {
        fits(
            self.values.len(),
            self.rows,
            self.columns,
            self.down,
            self.right,
        )
    }
}

/// Whether the last value of a matrix lies inside a slice of `len` values.
fn fits(len: usize, rows: usize, columns: usize, down: usize, right: usize) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * down + (columns - 1) * right < len
}

/// Writes `a b` to `out`, or adds it if `add`; `out` is row-major with `down` values from row to row.
///
/// # Panics
///
/// Where the shapes do not fit each other or their slices.
pub(super) fn product(a: View<'_>, b: View<'_>, out: &mut [f32], down: usize, add: bool) {
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    assert!(
        b.rows == inner && a.fits() && b.fits(),
        "factors must fit each other and their slices"
    );
    assert!(
        down >= columns && fits(out.len(), rows, columns, down, 1),
        "the product must fit its slice"
    );
    // SAFETY: every index that `gemm` forms is `row * down + column * right` with row and column below
    // the matrix's sizes; `fits` has shown that the largest of them lies inside each slice. `out` is
    // borrowed exclusively, so it overlaps neither factor, and `down >= columns` keeps its rows apart.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            down as isize,
            add,
            a.values.as_ptr(),
            a.right as isize,
            a.down as isize,
            b.values.as_ptr(),
            b.right as isize,
            b.down as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_by_hand() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0];
        let mut out = [10.0; 4];
        // [1 2 3; 4 5 6] [1 0; 2 1; 0 3] = [5 11; 14 23]
        product(View::new(&a, 2, 3), View::new(&b, 3, 2), &mut out, 2, false);
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        product(View::new(&a, 2, 3), View::new(&b, 3, 2), &mut out, 2, true);
        assert_eq!(out, [10.0, 22.0, 28.0, 46.0]);
        let mut gram = [0.0; 4];
        product(
            View::new(&a, 2, 3),
            View::new(&a, 2, 3).transposed(),
            &mut gram,
            2,
            false,
        );
        assert_eq!(gram, [14.0, 32.0, 32.0, 77.0]);
    }

    #[test]
    #[should_panic(expected = "must fit")]
    fn a_slice_that_is_too_short_is_refused() {
        product(
            View::new(&[1.0; 5], 2, 3),
            View::new(&[1.0; 6], 3, 2),
            &mut [0.0; 4],
            2,
            false,
        );
    }
}
