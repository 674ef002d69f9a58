//! Gradients that are turned so that they do not increase the loss of earlier tasks.

use lyceum_core::{Layout, Role, wide};

/// Sets to zero what follows no gradient, so that it neither counts nor is changed.
pub(super) fn keep_trainable(grad: &mut [f32], layout: &Layout) {
    let still = |role: Role| role == Role::Frozen || role.is_statistic();
    for entry in layout.entries().iter().filter(|e| still(e.role)) {
        grad[entry.range()].fill(0.0);
    }
}

/// Takes from `grad` its part against `reference`, if there is one (Chaudhry et al. 2019, equation 11).
pub(super) fn away_from(grad: &mut [f32], reference: &[f32]) {
    let along = dot(grad, reference);
    let square = dot(reference, reference);
    if along < 0.0 && square > 0.0 {
        add(grad, (-along / square) as f32, reference);
    }
}

/// The nearest vector to `grad` whose product with every reference is at least 0 (Lopez-Paz and Ranzato 2017, equation
/// 11); a margin above 0 of one leans it further towards that. As it is if none is violated.
pub(super) fn into_cone(grad: &mut [f32], references: &[impl AsRef<[f32]>], margins: &[f64]) {
    let along = references.iter().map(|r| dot(grad, r.as_ref()));
    let along: Vec<f64> = along.collect();
    if along.iter().all(|&a| a >= 0.0) {
        return;
    }
    let shares = shares(&gram(references), &along, margins);
    for (reference, share) in references.iter().zip(shares) {
        add(grad, share as f32, reference.as_ref());
    }
}

/// Makes `grad` the sum of all gradients times their shares, of which the last is its own.
pub(super) fn weigh(grad: &mut [f32], others: &[impl AsRef<[f32]>], shares: &[f64]) {
    let own = shares.last().map_or(1.0, |share| *share as f32);
    grad.iter_mut().for_each(|g| *g *= own);
    for (other, share) in others.iter().zip(shares) {
        add(grad, *share as f32, other.as_ref());
    }
}

/// Added to the diagonal of the products, so that there is one solution; the value of the authors' code.
const RIDGE: f64 = 1e-3;
/// Sweeps at most; a handful of tasks needs a few dozen.
const SWEEPS: usize = 10_000;
/// Largest move of a sweep that counts as none.
const STILL: f64 = 1e-12;

fn gram(references: &[impl AsRef<[f32]>]) -> Vec<Vec<f64>> {
    let mut gram = vec![vec![0.0; references.len()]; references.len()];
    for (i, a) in references.iter().enumerate() {
        for (j, b) in references.iter().enumerate().take(i + 1) {
            gram[i][j] = dot(a.as_ref(), b.as_ref());
            gram[j][i] = gram[i][j];
        }
        gram[i][i] += RIDGE;
    }
    gram
}

/// The `v >= margins` with the least `v' G v / 2 + along' v`: one share after another is set to its best value given the
/// others (Hildreth 1957), until none moves.
fn shares(gram: &[Vec<f64>], along: &[f64], margins: &[f64]) -> Vec<f64> {
    let mut shares = margins.to_vec();
    for _ in 0..SWEEPS {
        let mut moved = 0.0_f64;
        for (i, row) in gram.iter().enumerate() {
            let slope = along[i] + row.iter().zip(&shares).map(|(g, v)| g * v).sum::<f64>();
            let next = (shares[i] - slope / row[i]).max(margins[i]);
            moved = moved.max((next - shares[i]).abs() / next.abs().max(1.0));
            shares[i] = next;
        }
        if moved <= STILL {
            break;
        }
    }
    shares
}

/// Values of one sum in single precision. Fixed, so that no result depends on the machine.
const BLOCK: usize = 1024;
const LANES: usize = 16;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    wide(
        #[inline(always)]
        || {
            let blocks = a.chunks(BLOCK).zip(b.chunks(BLOCK));
            blocks.map(|(a, b)| f64::from(block(a, b))).sum()
        },
    )
}

#[inline(always)]
fn block(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

fn add(grad: &mut [f32], share: f32, reference: &[f32]) {
    wide(
        #[inline(always)]
        || {
            let pairs = grad.iter_mut().zip(reference);
            pairs.for_each(|(g, r)| *g += share * r);
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gradient_against_the_reference_becomes_orthogonal_to_it() {
        let mut grad = [1.0, -2.0];
        away_from(&mut grad, &[0.0, 4.0]);
        assert_eq!(grad, [1.0, 0.0]);
        away_from(&mut grad, &[1.0, 1.0]);
        assert_eq!(grad, [1.0, 0.0], "one along it stays");
        away_from(&mut grad, &[0.0, 0.0]);
        assert_eq!(grad, [1.0, 0.0]);
    }

    #[test]
    fn two_violated_tasks_by_hand() {
        let mut grad = [-1.0, -2.0, 5.0];
        let references = [vec![1.0, 0.0, 0.0], vec![0.0, 2.0, 0.0]];
        into_cone(&mut grad, &references, &[0.0; 2]);
        assert!(grad[0].abs() < 2e-3 && grad[1].abs() < 2e-3, "{grad:?}");
        assert_eq!(grad[2], 5.0);
        let mut along = [1.0, 1.0, 0.0];
        into_cone(&mut along, &references, &[1.0; 2]);
        assert_eq!(
            along,
            [1.0, 1.0, 0.0],
            "nothing is violated, so nothing changes"
        );
    }

    #[test]
    fn a_margin_leans_towards_every_reference() {
        let mut grad = [-1.0, 3.0];
        into_cone(&mut grad, &[vec![1.0, 0.0], vec![0.0, 1.0]], &[1.0; 2]);
        assert!(grad[0].abs() < 1e-2 && grad[1] == 4.0, "{grad:?}");
    }

    proptest! {
        /// The conditions of Karush, Kuhn and Tucker: no share below the margin, no slope below 0, one of both tight.
        #[test]
        fn shares_are_optimal(
            rows in prop::collection::vec(prop::collection::vec(-2.0_f32..2.0, 12), 1..7),
            grad in prop::collection::vec(-2.0_f32..2.0, 12),
            margin in 0.0_f64..1.0,
        ) {
            let gram = gram(&rows);
            let along: Vec<f64> = rows.iter().map(|r| dot(&grad, r)).collect();
            let shares = shares(&gram, &along, &vec![margin; along.len()]);
            for ((row, &share), along) in gram.iter().zip(&shares).zip(along) {
                let slope = along + row.iter().zip(&shares).map(|(g, v)| g * v).sum::<f64>();
                prop_assert!(share >= margin);
                prop_assert!(slope > -1e-6, "slope {}", slope);
                prop_assert!(slope < 1e-6 || share - margin < 1e-9);
            }
        }

        #[test]
        fn no_earlier_task_loses(
            rows in prop::collection::vec(prop::collection::vec(-2.0_f32..2.0, 40), 1..5),
            grad in prop::collection::vec(-2.0_f32..2.0, 40),
        ) {
            let mut turned = grad;
            into_cone(&mut turned, &rows, &vec![0.0; rows.len()]);
            for row in &rows {
                prop_assert!(dot(&turned, row) > -0.05, "{}", dot(&turned, row));
            }
        }
    }
}
