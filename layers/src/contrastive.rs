//! The contrastive loss of a batch of pairs.

use crate::{matrix::Matrix, room};
use lyceum_core::{exp_all, wide};

/// A batch of pairs as a model answers it.
#[derive(Clone, Copy, Debug)]
pub struct PairRows<'a> {
    /// Embeddings of the query and, behind them, of the candidate: rows x 2 width, row-major.
    pub outputs: &'a [f32],
    /// Number of pairs, at least 1.
    pub rows: usize,
    /// Rows `[i, j]` of which the second's candidate is left out for the first's query.
    pub kin: &'a [[u32; 2]],
    /// Weight of each row's loss; empty means 1 for all.
    pub weights: &'a [f32],
    /// What cosines are divided by.
    pub temperature: f32,
}

/// Computes the loss and its slope; its buffers only ever grow.
///
/// With `u` and `v` the queries and candidates of length 1, row `i` loses `-ln(e^(u_i v_i / T) / sum_j e^(u_i v_j / T))`; candidates that
/// are left out are in no sum. An embedding without length has no direction: its cosines are 0, and its slope is.
#[derive(Debug, Default)]
pub struct Contrast {
    queries: Vec<f32>,
    candidates: Vec<f32>,
    /// One over the length of each query, then of each candidate; 0 where there is none.
    scales: Vec<f32>,
    scores: Vec<f32>,
    turned: Vec<f32>,
    toward: Vec<f32>,
    each: Vec<f32>,
}

impl Contrast {
    /// The loss of each row.
    pub fn losses(&mut self, batch: PairRows<'_>) -> &[f32] {
        let width = self.take_up(batch);
        let PairRows { rows, .. } = batch;
        let queries = Matrix::new(&self.queries, rows, width);
        let candidates = Matrix::new(&self.candidates, rows, width);
        let scores = room(&mut self.scores, rows * rows);
        queries.times_turned(candidates, scores, &mut self.turned);
        let inverse = 1.0 / batch.temperature;
        wide(
            #[inline(always)]
            || scores.iter_mut().for_each(|s| *s *= inverse),
        );
        for [row, left_out] in batch.kin {
            scores[*row as usize * rows + *left_out as usize] = f32::NEG_INFINITY;
        }
        let each = room(&mut self.each, rows);
        for (row, (scores, loss)) in scores.chunks_exact_mut(rows).zip(&mut *each).enumerate() {
            *loss = softmax(scores, row);
        }
        each
    }

    /// The mean over the rows of weight times loss; writes its slope, rows x 2 width, to `slope`.
    pub fn slopes(&mut self, batch: PairRows<'_>, slope: &mut [f32]) -> (f32, &[f32]) {
        self.losses(batch);
        let PairRows { rows, weights, .. } = batch;
        let width = slope.len() / (2 * rows);
        let scores = room(&mut self.scores, rows * rows);
        let mut total = 0.0;
        for (row, scores) in scores.chunks_exact_mut(rows).enumerate() {
            let weight = weights.get(row).copied().unwrap_or(1.0);
            total += weight * self.each[row];
            let share = weight / (rows as f32 * batch.temperature);
            scores[row] -= 1.0;
            scores.iter_mut().for_each(|s| *s *= share);
        }
        let scores = Matrix::new(scores, rows, rows);
        let toward = room(&mut self.toward, rows * width);
        let (of_queries, of_candidates) = self.scales.split_at(rows);
        scores.times(Matrix::new(&self.candidates, rows, width), toward);
        let of = (&self.queries[..], of_queries);
        unscale(of, toward, width, |row, at| 2 * row * width + at, slope);
        scores.turned_times(Matrix::new(&self.queries, rows, width), toward);
        let of = (&self.candidates[..], of_candidates);
        let place = |row, at| (2 * row + 1) * width + at;
        unscale(of, toward, width, place, slope);
        (total / rows as f32, &self.each[..rows])
    }

    /// Takes up both halves of the outputs at length 1; their width.
    fn take_up(&mut self, batch: PairRows<'_>) -> usize {
        let PairRows { outputs, rows, .. } = batch;
        let width = outputs.len() / (2 * rows);
        let queries = room(&mut self.queries, rows * width);
        let candidates = room(&mut self.candidates, rows * width);
        let scales = room(&mut self.scales, 2 * rows);
        let (of_queries, of_candidates) = scales.split_at_mut(rows);
        for (row, pair) in outputs.chunks_exact(2 * width).take(rows).enumerate() {
            let at = row * width..(row + 1) * width;
            of_queries[row] = to_length_1(&pair[..width], &mut queries[at.clone()]);
            of_candidates[row] = to_length_1(&pair[width..], &mut candidates[at]);
        }
        width
    }
}

/// Writes a vector at length 1; one over its length, or 0 where it has none.
pub fn to_length_1(values: &[f32], out: &mut [f32]) -> f32 {
    let square: f32 = values.iter().map(|v| v * v).sum();
    let scale = match square > 0.0 {
        true => 1.0 / square.sqrt(),
        false => 0.0,
    };
    out.iter_mut().zip(values).for_each(|(o, v)| *o = scale * v);
    scale
}

/// Turns scores into probabilities; the negative logarithm of that of `own`.
fn softmax(scores: &mut [f32], own: usize) -> f32 {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let at = scores[own];
    let mut sum = 0.0;
    scores.iter_mut().for_each(|s| *s -= top);
    exp_all(scores);
    scores.iter().for_each(|s| sum += s);
    let share = 1.0 / sum;
    scores.iter_mut().for_each(|s| *s *= share);
    sum.ln() + top - at
}

/// Takes the slopes at vectors of length 1 to the vectors as they came: `(d - u (u d)) / length`.
fn unscale(
    (units, scales): (&[f32], &[f32]),
    slopes: &[f32],
    width: usize,
    place: impl Fn(usize, usize) -> usize,
    out: &mut [f32],
) {
    let rows = units.chunks_exact(width).zip(slopes.chunks_exact(width));
    for (row, ((unit, slope), scale)) in rows.zip(scales).enumerate() {
        let along: f32 = unit.iter().zip(slope).map(|(u, d)| u * d).sum();
        let out = &mut out[place(row, 0)..][..width];
        let values = unit.iter().zip(slope);
        out.iter_mut()
            .zip(values)
            .for_each(|(o, (u, d))| *o = (d - u * along) * scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        rows: usize,
        temperature: f32,
        outputs: Vec<f32>,
        kin: Vec<[u32; 2]>,
        weights: Vec<f32>,
        losses: Vec<f64>,
        loss: f64,
        slope: Vec<f64>,
    }

    fn close(found: &[f32], want: &[f64], what: &str) {
        assert_eq!(found.len(), want.len());
        for (at, (found, want)) in found.iter().zip(want).enumerate() {
            let off = (f64::from(*found) - want).abs();
            assert!(
                off < 2e-5 * want.abs().max(1.0),
                "{what} {at}: {found} {want}"
            );
        }
    }

    /// Losses and slopes that PyTorch computes of the same rows (`tests/independent/contrastive.py`).
    #[test]
    fn as_pytorch_has_it() {
        let text = include_str!("../tests/contrastive.json");
        let cases: Vec<Golden> = serde_json::from_str(text).expect("it was written so");
        let mut contrast = Contrast::default();
        for case in &cases {
            let batch = PairRows {
                outputs: &case.outputs,
                rows: case.rows,
                kin: &case.kin,
                weights: &case.weights,
                temperature: case.temperature,
            };
            close(contrast.losses(batch), &case.losses, "loss of row");
            let mut slope = vec![f32::NAN; case.outputs.len()];
            let (loss, _) = contrast.slopes(batch, &mut slope);
            close(&[loss], &[case.loss], "loss");
            close(&slope, &case.slope, "slope");
        }
    }

    /// Central differences of the mean loss, through the lengths.
    #[test]
    fn slopes_are_derivatives() {
        let outputs: Vec<f32> = (0..4 * 6)
            .map(|i| ((i * 7919) % 31) as f32 / 11.0 - 1.3)
            .collect();
        fn batch(outputs: &[f32]) -> PairRows<'_> {
            PairRows {
                outputs,
                rows: 4,
                kin: &[[0, 2], [3, 1]],
                weights: &[],
                temperature: 0.5,
            }
        }
        let mut contrast = Contrast::default();
        let mut slope = vec![0.0; outputs.len()];
        contrast.slopes(batch(&outputs), &mut slope);
        for at in 0..outputs.len() {
            let mut mean = |by: f32| {
                let mut moved = outputs.clone();
                moved[at] += by;
                let losses = contrast.losses(batch(&moved));
                losses.iter().map(|l| f64::from(*l)).sum::<f64>() / 4.0
            };
            let numeric = (mean(1e-2) - mean(-1e-2)) / 2e-2;
            let off = (numeric - f64::from(slope[at])).abs();
            assert!(off < 1e-3, "{at}: {numeric} {}", slope[at]);
        }
    }

    #[test]
    fn what_has_no_length_has_no_slope_and_a_lone_pair_loses_nothing() {
        let mut contrast = Contrast::default();
        let mut slope = [f32::NAN; 4];
        let batch = PairRows {
            outputs: &[0.0, 0.0, 1.0, 2.0],
            rows: 1,
            kin: &[],
            weights: &[],
            temperature: 0.1,
        };
        let (loss, _) = contrast.slopes(batch, &mut slope);
        assert_eq!((loss, slope), (0.0, [0.0; 4]));
    }
}
