//! Matrix products by the `gemm` crate.

use gemm::Parallelism;

/// A matrix inside a slice: `value(row, column) = values[row * down + column * right]`.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct View<'a> {
    pub(in super::super) values: &'a [f32],
    pub(in super::super) rows: usize,
    pub(in super::super) columns: usize,
    pub(in super::super) down: usize,
    pub(in super::super) right: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix whose rows follow each other without a gap.
    pub(in super::super) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            down: columns,
            right: 1,
        }
    }

    /// Rows become columns.
    pub(in super::super) fn transposed(self) -> Self {
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

/// What becomes of the values that a product meets where it is written: `keep * old + scale * new`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Onto {
    pub(in super::super) keep: f32,
    pub(in super::super) scale: f32,
}

impl Onto {
    /// Old values are not even read.
    pub(in super::super) const REPLACE: Self = Self {
        keep: 0.0,
        scale: 1.0,
    };

    /// `keep * old + scale * new` of one value.
    pub(in super::super) fn write(self, old: &mut f32, new: f32) {
        let kept = if self.keep == 0.0 {
            0.0
        } else {
            self.keep * *old
        };
        *old = kept + self.scale * new;
    }
}

/// Writes `a b` onto `out`, which is row-major without gaps.
///
/// # Panics
///
/// Where the shapes do not fit each other or their slices.
pub(in super::super) fn product(a: View<'_>, b: View<'_>, out: &mut [f32], onto: Onto) {
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    assert!(
        b.rows == inner && a.fits() && b.fits(),
        "factors must fit each other and their slices"
    );
    assert!(
        out.len() == rows * columns,
        "the product must fit its slice"
    );
    // SAFETY: every index that `gemm` forms is `row * down + column * right` with row and column below
    // the matrix's sizes; `fits` has shown that the largest of them lies inside each slice. `out` is
    // borrowed exclusively, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns as isize,
            onto.keep != 0.0,
            a.values.as_ptr(),
            a.right as isize,
            a.down as isize,
            b.values.as_ptr(),
            b.right as isize,
            b.down as isize,
            onto.keep,
            onto.scale,
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
        };
        product(View::new(&A, 2, 3), View::new(&B, 3, 2), &mut out, onto);
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        let view = View::new(&A, 2, 3);
        product(view, view.transposed(), &mut out, Onto::REPLACE);
        assert_eq!(out, [14.0, 32.0, 32.0, 77.0]);
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
