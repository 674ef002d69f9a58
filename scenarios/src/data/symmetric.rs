//! Eigenvalues and eigenvectors of symmetric matrices, with the same bits on every machine: additions, multiplications, divisions and
//! roots in a fixed order, and nothing that a library decides.

use lyceum_core::wide;

/// Sweeps for one eigenvalue at most; two are usual.
const SWEEPS: usize = 60;

/// Eigenvalues, descending, and as many eigenvectors of length 1 as are asked for.
pub(super) struct Eigen {
    pub(super) values: Vec<f64>,
    /// The place of the largest magnitude, the first of several, is positive.
    pub(super) vectors: Vec<Vec<f64>>,
}

/// Decomposes a symmetric matrix, given row by row in full: Householder's reduction to three diagonals, then QL with implicit shifts
/// (Golub and Van Loan, *Matrix Computations*, 8.3). `None` where some value is no number.
pub(super) fn eigen(mut rows: Vec<Vec<f64>>, most: usize) -> Option<Eigen> {
    let size = rows.len();
    let reflectors = tridiagonal(&mut rows);
    let mut values: Vec<f64> = (0..size).map(|i| rows[i][i]).collect();
    let mut beside: Vec<f64> = (1..size).map(|i| rows[i][i - 1]).collect();
    beside.push(0.0);
    // Row k is the k-th eigenvector of the three diagonals.
    let mut vectors = rows;
    for (k, row) in vectors.iter_mut().enumerate() {
        row.fill(0.0);
        row[k] = 1.0;
    }
    wide(
        #[inline(always)]
        || ql(&mut values, &mut beside, &mut vectors),
    );
    let finite = values.iter().all(|value| value.is_finite());
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let vector = |place: &usize| {
        let mut vector = std::mem::take(&mut vectors[*place]);
        for reflector in reflectors.iter().rev() {
            reflect(&mut vector, reflector);
        }
        upright(&mut vector);
        vector
    };
    let found = Eigen {
        vectors: order.iter().take(most).map(vector).collect(),
        values: order.iter().map(|place| values[*place]).collect(),
    };
    finite.then_some(found)
}

/// A reflection `I - 2 v v'` that moves the last places alone.
struct Reflector(Vec<f64>);

/// Makes all but three diagonals zero; what was reflected, in order.
fn tridiagonal(rows: &mut [Vec<f64>]) -> Vec<Reflector> {
    let size = rows.len();
    let mut reflectors = Vec::new();
    for k in 0..size.saturating_sub(2) {
        let mut v: Vec<f64> = rows[k + 1..].iter().map(|row| row[k]).collect();
        let length = dot(&v, &v).sqrt();
        let first = if v[0] > 0.0 { -length } else { length };
        v[0] -= first;
        let square = dot(&v, &v);
        if square > 0.0 {
            let scale = 1.0 / square.sqrt();
            v.iter_mut().for_each(|x| *x *= scale);
            wide(
                #[inline(always)]
                || reflect_both(&mut rows[k + 1..], k + 1, &v),
            );
            rows[k + 1][k] = first;
        }
        reflectors.push(Reflector(v));
    }
    reflectors
}

/// `H A H` of the last rows and columns, where `H = I - 2 v v'`: less `v w' + w v'` with `w = 2 (A v - (v' A v) v)`.
#[inline(always)]
fn reflect_both(rows: &mut [Vec<f64>], from: usize, v: &[f64]) {
    let mut w: Vec<f64> = rows.iter().map(|row| 2.0 * dot(&row[from..], v)).collect();
    let along = dot(&w, v);
    w.iter_mut().zip(v).for_each(|(w, v)| *w -= along * v);
    for (row, (vi, wi)) in rows.iter_mut().zip(v.iter().zip(&w)) {
        let places = row[from..].iter_mut().zip(v.iter().zip(&w));
        places.for_each(|(a, (vj, wj))| *a -= vi * wj + wi * vj);
    }
}

fn reflect(vector: &mut [f64], Reflector(v): &Reflector) {
    let from = vector.len() - v.len();
    let along = 2.0 * dot(&vector[from..], v);
    let places = vector[from..].iter_mut().zip(v);
    places.for_each(|(x, v)| *x -= along * v);
}

/// Turns the three diagonals into one; the rows of `vectors` follow.
#[inline(always)]
fn ql(values: &mut [f64], beside: &mut [f64], vectors: &mut [Vec<f64>]) {
    for l in 0..values.len() {
        for _ in 0..SWEEPS {
            let small = |m: &usize| {
                let near = values[*m].abs() + values[*m + 1].abs();
                beside[*m].abs() <= f64::EPSILON * near
            };
            let end = (l..values.len() - 1).find(small);
            let end = end.unwrap_or(values.len() - 1);
            if end == l {
                break;
            }
            sweep(values, beside, vectors, (l, end));
        }
    }
}

#[inline(always)]
fn sweep(
    values: &mut [f64],
    beside: &mut [f64],
    vectors: &mut [Vec<f64>],
    (l, end): (usize, usize),
) {
    let half = (values[l + 1] - values[l]) / (2.0 * beside[l]);
    let root = (half * half + 1.0).sqrt();
    let root = if half >= 0.0 { root } else { -root };
    let mut g = values[end] - values[l] + beside[l] / (half + root);
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (l..end).rev() {
        let (f, b) = (s * beside[i], c * beside[i]);
        let r = (f * f + g * g).sqrt();
        beside[i + 1] = r;
        if r == 0.0 {
            values[i + 1] -= p;
            beside[end] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        g = values[i + 1] - p;
        let r = (values[i] - g) * s + 2.0 * c * b;
        p = s * r;
        values[i + 1] = g + p;
        g = c * r - b;
        let (low, high) = vectors.split_at_mut(i + 1);
        for (a, b) in low[i].iter_mut().zip(&mut high[0]) {
            let f = *b;
            *b = s * *a + c * f;
            *a = c * *a - s * f;
        }
    }
    values[l] -= p;
    beside[l] = g;
    beside[end] = 0.0;
}

/// Sums of eight lanes, then of these.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (whole_a, rest_a) = a.as_chunks::<8>();
    let (whole_b, rest_b) = b.as_chunks::<8>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        let lanes = lanes.iter_mut().zip(a.iter().zip(b));
        lanes.for_each(|(lane, (a, b))| *lane += a * b);
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Of a vector and its opposite the one whose largest magnitude is positive.
fn upright(vector: &mut [f64]) {
    let largest = vector
        .iter()
        .fold(0.0_f64, |most, x| match x.abs() > most.abs() {
            true => *x,
            false => most,
        });
    if largest < 0.0 {
        vector.iter_mut().for_each(|x| *x = -*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_by_two_by_hand() {
        let found = eigen(vec![vec![2.0, 1.0], vec![1.0, 2.0]], 2).unwrap();
        let root = 0.5_f64.sqrt();
        let near = |a: &[f64], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-14);
        assert!(near(&found.values, [3.0, 1.0]));
        assert!(near(&found.vectors[0], [root, root]));
        assert!((found.vectors[1][0] + found.vectors[1][1]).abs() < 1e-14);
        assert!(eigen(vec![vec![f64::NAN]], 1).is_none());
        assert_eq!(eigen(vec![vec![4.0]], 1).unwrap().vectors, [[1.0]]);
    }

    proptest! {
        #[test]
        fn every_vector_is_only_stretched_and_all_are_at_right_angles(
            size in 1_usize..40,
            rank in 1_usize..40,
            seed in prop::collection::vec(-1.0_f64..1.0, 1600),
        ) {
            let factor = |i: usize, k: usize| seed[(i * 37 + k * 11) % 1600];
            let entry = |i: usize, j: usize| -> f64 {
                (0..rank.min(size)).map(|k| factor(i, k) * factor(j, k)).sum()
            };
            let rows: Vec<Vec<f64>> =
                (0..size).map(|i| (0..size).map(|j| entry(i, j)).collect()).collect();
            let found = eigen(rows.clone(), size).unwrap();
            prop_assert!(found.values.is_sorted_by(|a, b| a >= b));
            for (k, (value, vector)) in found.values.iter().zip(&found.vectors).enumerate() {
                for (row, x) in rows.iter().zip(vector) {
                    prop_assert!((dot(row, vector) - value * x).abs() < 1e-10);
                }
                for other in &found.vectors[..k] {
                    prop_assert!(dot(vector, other).abs() < 1e-10);
                }
                prop_assert!((dot(vector, vector) - 1.0).abs() < 1e-10);
            }
        }
    }
}
