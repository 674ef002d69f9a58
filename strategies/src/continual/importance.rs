//! How much each parameter matters to tasks that are over, and what it is then pulled to.

use lyceum_core::{Item, Params, Site, sample_distinct, units::Count, wide};
use serde::{Deserialize, Serialize};

/// Importances and an anchor: the quadratic `1/2 sum_i importance_i (w_i - anchor_i)^2`, up to a factor. Empty until a
/// task is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    weights: Params,
    anchor: Params,
}

impl Importance {
    /// Importance of each parameter; empty until a task is over.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// What parameters are pulled to; empty until a task is over.
    pub fn anchor(&self) -> &[f32] {
        &self.anchor
    }

    /// Adds a quadratic with an anchor of its own. The sum of quadratics is one again, up to a constant: its importance
    /// is the sum, its anchor the mean weighted by importance (Huszar 2018, equation 5). So memory and time of a step
    /// do not grow with the tasks.
    pub fn add(&mut self, weights: &[f32], anchor: &[f32]) {
        self.make_room(weights.len());
        let own = self.weights.make_mut().iter_mut();
        let places = own
            .zip(self.anchor.make_mut())
            .zip(weights.iter().zip(anchor));
        for ((weight, anchor), (more, to)) in places {
            *weight += more;
            if *more > 0.0 {
                *anchor += more / *weight * (to - *anchor);
            }
        }
    }

    /// Adds importances to `keep` times the ones before, and pulls all to a new anchor.
    pub fn move_to(&mut self, keep: f32, weights: &[f32], anchor: &[f32]) {
        self.make_room(weights.len());
        let own = self.weights.make_mut().iter_mut();
        own.zip(weights).for_each(|(w, more)| *w = keep * *w + more);
        self.anchor.make_mut().copy_from_slice(anchor);
    }

    /// As [`move_to`](Self::move_to), with importances below 0 read as 0.
    pub fn move_to_positive(&mut self, weights: &[f32], anchor: &[f32]) {
        self.move_to(1.0, weights, anchor);
        let own = self.weights.make_mut().iter_mut();
        own.for_each(|w| *w = w.max(0.0));
    }

    /// The pull `factor * importance * (w - anchor)`, once a task is over.
    pub fn pulls(&self, factor: f32) -> Vec<(Params, Params)> {
        if self.weights.is_empty() || factor == 0.0 {
            return Vec::new();
        }
        let strength: Vec<f32> = self.weights.iter().map(|w| factor * w).collect();
        vec![(strength.into(), self.anchor.clone())]
    }

    fn make_room(&mut self, len: usize) {
        if self.weights.is_empty() {
            (self.weights, self.anchor) = (Params::zeros(len), Params::zeros(len));
        }
    }
}

/// The samples in sight, or `most` of them, drawn without replacement.
pub(super) fn drawn(most: Option<Count>, site: &mut Site<'_>) -> Vec<Item> {
    let all = site.sight.len();
    match most.map(Count::get).filter(|most| *most < all) {
        None => site.sight.items().collect(),
        Some(most) => {
            let places = sample_distinct(all as u64, most, site.rng);
            let items = places.into_iter().map(|p| site.sight.item(p as usize));
            items.collect()
        }
    }
}

/// Adds `scale * gradient^2` to `sum`.
pub(super) fn add_squares(sum: &mut [f32], scale: f32, grad: &[f32]) {
    wide(
        #[inline(always)]
        || {
            let places = sum.iter_mut().zip(grad);
            places.for_each(|(sum, g)| *sum += scale * (g * g));
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1/2 (w - 1)^2 + 3/2 (w - 5)^2 has slope 4 w - 16, which is 4 (w - 4); the second parameter mattered to the first
    /// task only, the third to none.
    #[test]
    fn a_sum_of_quadratics_is_one() {
        let mut kept = Importance::default();
        assert!(kept.pulls(1.0).is_empty());
        kept.add(&[1.0, 2.0, 0.0], &[1.0, -1.0, 3.0]);
        kept.add(&[3.0, 0.0, 0.0], &[5.0, 7.0, 9.0]);
        assert_eq!(kept.weights(), [4.0, 2.0, 0.0]);
        assert_eq!(kept.anchor(), [4.0, -1.0, 0.0]);
        let pulls = kept.pulls(0.5);
        assert_eq!(pulls[0].0[..], [2.0, 1.0, 0.0]);
    }

    #[test]
    fn an_online_anchor_is_the_last_one() {
        let mut kept = Importance::default();
        kept.move_to(0.5, &[2.0, 0.0], &[1.0, 1.0]);
        kept.move_to(0.5, &[1.0, 1.0], &[3.0, 4.0]);
        assert_eq!(kept.weights(), [2.0, 1.0]);
        assert_eq!(kept.anchor(), [3.0, 4.0]);
        kept.move_to_positive(&[-5.0, 1.0], &[0.0, 0.0]);
        assert_eq!(kept.weights(), [0.0, 2.0]);
    }
}
