//! Aggregation that a minority of wrong updates cannot steer, one file per algorithm.
//!
//! These rules see each client's update. They read them in blocks of coordinates, so that a round needs no more memory than
//! one block, however many clients it has and wherever their updates lie. Everything is computed in ascending order of the
//! clients, in `f64`, and rounded once per value.

mod geometric_median;
mod krum;
mod median;
mod trimmed_mean;

pub use geometric_median::GeometricMedian;
pub use krum::Krum;
pub use median::Median;
pub use trimmed_mean::TrimmedMean;

use lyceum_core::{Folded, Stall, Strategy, Updates, wide};

/// Values of a block: 16 MiB.
const BLOCK: usize = 1 << 22;
/// Coordinates that are gathered at a time, so that whole cache lines are used.
const TILE: usize = 16;

/// The updates of a round, of which there must be one.
fn updates<'a>(folded: &Folded<'a>) -> Result<&'a dyn Updates, Stall> {
    match folded.updates.is_empty() {
        true => Err(Stall("no update was accepted".into())),
        false => Ok(folded.updates),
    }
}

/// The updates of a round, of which the rule must have enough.
fn enough<'a>(rule: &impl Strategy, folded: &Folded<'a>) -> Result<&'a dyn Updates, Stall> {
    let updates = updates(folded)?;
    match rule.short_of(updates.len()) {
        Some(misfit) => Err(Stall(misfit.message)),
        None => Ok(updates),
    }
}

/// Goes through coordinates `0..len` block by block: the first coordinate of a block, and one row per update.
fn blocks(
    updates: &dyn Updates,
    len: usize,
    mut see: impl FnMut(usize, &[&[f32]]),
) -> Result<(), Stall> {
    let width = (BLOCK / updates.len().max(1)).clamp(1, len.max(1));
    let mut values = vec![0.0; updates.len() * width];
    for start in (0..len).step_by(width) {
        let width = width.min(len - start);
        for (index, row) in values
            .chunks_exact_mut(width)
            .take(updates.len())
            .enumerate()
        {
            updates.read(index, 0, start, row)?;
        }
        let rows: Vec<&[f32]> = values.chunks_exact(width).take(updates.len()).collect();
        see(start, &rows);
    }
    Ok(())
}

/// What `of` makes of the values of each coordinate, which it may put into another order.
fn per_coordinate(
    updates: &dyn Updates,
    len: usize,
    mut of: impl FnMut(&mut [f32]) -> f64,
) -> Result<Vec<f32>, Stall> {
    let count = updates.len();
    let (mut out, mut tile) = (Vec::with_capacity(len), vec![0.0; TILE * count]);
    blocks(updates, len, |_, rows| {
        let width = rows[0].len();
        for first in (0..width).step_by(TILE) {
            let last = width.min(first + TILE);
            for (index, row) in rows.iter().enumerate() {
                for (column, value) in row[first..last].iter().enumerate() {
                    tile[column * count + index] = *value;
                }
            }
            let columns = tile.chunks_exact_mut(count).take(last - first);
            out.extend(columns.map(|column| of(column) as f32));
        }
    })?;
    Ok(out)
}

/// The mean of updates with these weights, in the order of the clients.
fn weighted_mean(updates: &dyn Updates, len: usize, weights: &[f64]) -> Result<Vec<f32>, Stall> {
    let total: f64 = weights.iter().sum();
    let (mut out, mut sums) = (Vec::with_capacity(len), Vec::new());
    blocks(updates, len, |_, rows| {
        sums.clear();
        sums.resize(rows[0].len(), 0.0);
        for (row, weight) in rows
            .iter()
            .zip(weights)
            .filter(|(_, weight)| **weight > 0.0)
        {
            wide(
                #[inline(always)]
                || {
                    for (sum, value) in sums.iter_mut().zip(*row) {
                        *sum += weight * f64::from(*value);
                    }
                },
            );
        }
        out.extend(sums.iter().map(|sum| (sum / total) as f32));
    })?;
    Ok(out)
}

/// The squared Euclidean distance, in eight interleaved sums.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    wide(
        #[inline(always)]
        || {
            let mut sums = [0.0_f64; 8];
            let (a8, a) = a.as_chunks::<8>();
            let (b8, b) = b.as_chunks::<8>();
            for (a, b) in a8.iter().zip(b8) {
                for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                    let d = f64::from(*a) - f64::from(*b);
                    *sum += d * d;
                }
            }
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                let d = f64::from(*a) - f64::from(*b);
                *sum += d * d;
            }
            sums.iter().sum()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Bounds, ClientId, ClientTerm, ExactSum, Params, Reduction, Strategy};

    /// Updates of clients 0, 1, ..., one sample each.
    pub(super) fn terms(updates: &[&[f32]]) -> Vec<ClientTerm> {
        let term = |(client, values): (usize, &&[f32])| ClientTerm {
            client: ClientId(client as u64),
            lanes: vec![(1.0, values.to_vec().into())],
        };
        updates.iter().enumerate().map(term).collect()
    }

    /// The global model after a round that began at zero.
    pub(super) fn close<S: Strategy<State = ()>>(
        strategy: &S,
        updates: &Vec<ClientTerm>,
    ) -> Result<Vec<f32>, String> {
        assert_eq!(strategy.reduction(), Reduction::EachUpdate);
        let len = updates.first().map_or(1, |term| term.lanes[0].1.len());
        let mut global = Params::zeros(len);
        let folded = Folded {
            sum: &ExactSum::new(&[], 0),
            updates,
            population: 100,
            bounds: &Bounds::default(),
            prior: None,
        };
        let closed = strategy.close(&mut (), &mut global, &folded);
        closed.map(|()| global.to_vec()).map_err(|stall| stall.0)
    }

    fn everything(updates: &Vec<ClientTerm>) -> [Result<Vec<f32>, String>; 4] {
        [
            close(&Median::default(), updates),
            close(&TrimmedMean::default(), updates),
            close(&Krum::default(), updates),
            close(&GeometricMedian::default(), updates),
        ]
    }

    #[test]
    fn a_round_without_an_update_stalls() {
        for closed in everything(&Vec::new()) {
            assert_eq!(closed, Err("no update was accepted".into()));
        }
    }

    #[test]
    fn equal_updates_are_taken_as_they_are() {
        let updates = terms(&[&[0.5, -1.0, 3.0][..]; 5]);
        for closed in everything(&updates) {
            assert_eq!(closed, Ok(vec![0.5, -1.0, 3.0]));
        }
    }

    /// Eight honest updates near 1 and two that are far away: the mean would be near 20,000.
    #[test]
    fn a_minority_of_wrong_updates_does_not_move_the_model_far() {
        let mut rows: Vec<Vec<f32>> = (0..8)
            .map(|i| {
                (0..40)
                    .map(|j| 1.0 + 0.01 * ((i * 7 + j * 3) % 5) as f32)
                    .collect()
            })
            .collect();
        rows.push(vec![1e5; 40]);
        rows.push(vec![1e5; 40]);
        let updates = terms(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let krum = Krum {
            byzantine: 2,
            ..Krum::default()
        };
        let closed = [
            close(&Median::default(), &updates),
            close(&TrimmedMean::default(), &updates),
            close(&krum, &updates),
        ];
        for closed in closed {
            assert!(closed.unwrap().iter().all(|v| (1.0..1.1).contains(v)));
        }
        // Three steps of Weiszfeld's algorithm from the mean have gone most of the way.
        let geometric = close(&GeometricMedian::default(), &updates).unwrap();
        assert!(
            geometric.iter().all(|v| (1.0..2000.0).contains(v)),
            "{geometric:?}"
        );
    }

    #[test]
    fn blocks_cover_every_coordinate_once() {
        let rows: Vec<Vec<f32>> = (0..3)
            .map(|i| (0..37).map(|j| (i * 100 + j) as f32).collect())
            .collect();
        let updates = terms(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let largest = per_coordinate(&updates, 37, |column| {
            f64::from(column.iter().copied().fold(0.0, f32::max))
        });
        assert_eq!(largest.unwrap(), rows[2]);
        let mean = weighted_mean(&updates, 37, &[1.0, 0.0, 1.0]).unwrap();
        assert_eq!(mean, rows[1]);
    }

    #[test]
    fn distances_count_every_place_whatever_the_length() {
        for len in 0..30 {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let b: Vec<f32> = (0..len).map(|i| 2.0 * i as f32).collect();
            let want: f64 = (0..len).map(|i| (i * i) as f64).sum();
            assert_eq!(squared_distance(&a, &b), want);
        }
    }
}
