//! What a client minimises besides its data loss, as data that can cross a wire.

use crate::{Divergence, Params, ResolvedDivergence};
use serde::{Deserialize, Serialize};

/// Where a vector is to be found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VectorRef {
    /// The global model that the assignment starts from; never shipped twice.
    Global,
    /// A vector sent along once for all clients of the round.
    Round(usize),
    /// The values themselves.
    Inline(Params),
}

/// How strongly a pull acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// The same for every parameter.
    Uniform(f32),
    /// One per parameter, such as a Fisher diagonal.
    Each(VectorRef),
}

/// Adds `strength * (w - anchor)` to the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    /// How strongly.
    pub strength: Strength,
    /// Towards what.
    pub anchor: VectorRef,
}

/// Pulls, then a constant shift, then divergences, added to the gradient of the data loss one after another
/// (in `f32` they do not collapse into one affine map).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Each adds `strength * (w - anchor)`.
    pub pulls: Vec<Pull>,
    /// Added as it is.
    pub shifts: Vec<VectorRef>,
    /// Each adds the gradient of a divergence from a prior.
    pub divergences: Vec<Divergence>,
}

/// The vectors an objective may refer to, on the machine that trains.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// The global model of the assignment.
    pub global: &'a [f32],
    /// The vectors of the round, in the order of the assignment.
    pub round: &'a [Params],
}

impl<'a> Vectors<'a> {
    /// Finds a vector. `None` when the assignment does not carry it.
    pub fn find(&self, reference: &'a VectorRef) -> Option<&'a [f32]> {
        match reference {
            VectorRef::Global => Some(self.global),
            VectorRef::Round(index) => self.round.get(*index).map(|p| &p[..]),
            VectorRef::Inline(params) => Some(params),
        }
    }
}

impl Objective {
    /// Adds what another one pulls and shifts by, behind what there is.
    pub fn also(&mut self, other: &Self) {
        self.pulls.extend_from_slice(&other.pulls);
        self.shifts.extend_from_slice(&other.shifts);
        self.divergences.extend_from_slice(&other.divergences);
    }

    /// Replaces every reference by the values it names. `None` when one is missing or has another length.
    pub fn resolve<'a>(&'a self, vectors: Vectors<'a>) -> Option<Resolved<'a>> {
        let find = |r| vectors.find(r).filter(|v| v.len() == vectors.global.len());
        let pulls = self.pulls.iter().map(|pull| {
            let strength = match &pull.strength {
                Strength::Uniform(s) => ResolvedStrength::Uniform(*s),
                Strength::Each(reference) => ResolvedStrength::Each(find(reference)?),
            };
            Some((strength, find(&pull.anchor)?))
        });
        let shifts = self.shifts.iter().map(find);
        let divergences = self.divergences.iter();
        let divergences = divergences.map(|d| ResolvedDivergence::new(d, find(&d.prior)?));
        Some(Resolved {
            pulls: pulls.collect::<Option<_>>()?,
            shifts: shifts.collect::<Option<_>>()?,
            divergences: divergences.collect::<Option<_>>()?,
        })
    }
}

/// A pull's strength with its values at hand.
#[derive(Clone, Copy, Debug)]
pub enum ResolvedStrength<'a> {
    /// The same for every parameter.
    Uniform(f32),
    /// One per parameter.
    Each(&'a [f32]),
}

/// An objective with its values at hand, for the step loop.
#[derive(Clone, Debug, Default)]
pub struct Resolved<'a> {
    /// Strength and anchor of each pull.
    pub pulls: Vec<(ResolvedStrength<'a>, &'a [f32])>,
    /// Constant shifts.
    pub shifts: Vec<&'a [f32]>,
    /// Divergences from priors.
    pub divergences: Vec<ResolvedDivergence<'a>>,
}

impl<'a> Resolved<'a> {
    /// Whether nothing is minimised besides the data loss.
    pub fn is_empty(&self) -> bool {
        self.pulls.is_empty() && self.shifts.is_empty() && self.divergences.is_empty()
    }

    /// Puts another prior in the place of that of every divergence; `false` where it is too short.
    pub fn set_prior(&mut self, prior: &'a [f32]) -> bool {
        let mut all = self.divergences.iter_mut();
        all.all(|divergence| divergence.set_prior(prior))
    }

    /// Says how many samples a call goes through, and how many a step: a divergence is shared out among them.
    pub fn charge(&mut self, samples: usize, rows: usize) {
        for divergence in &mut self.divergences {
            divergence.charge(samples, rows);
        }
    }

    /// Adds all pulls at `w` and all shifts to `grad`.
    pub fn add_to(&self, w: &[f32], grad: &mut [f32]) {
        self.add_block(0, w, grad);
    }

    /// As [`add_to`](Self::add_to), for the parameters from `start` on.
    #[inline(always)]
    pub fn add_block(&self, start: usize, w: &[f32], grad: &mut [f32]) {
        self.add_block_with((start, None), w, grad);
    }

    /// As [`add_block`](Self::add_block), with `e^(2 w)` where that is at hand.
    #[inline(always)]
    pub(crate) fn add_block_with(
        &self,
        (start, variances): (usize, Option<&[f32]>),
        w: &[f32],
        grad: &mut [f32],
    ) {
        let at = start..start + w.len();
        for (strength, anchor) in &self.pulls {
            let sites = grad.iter_mut().zip(w).zip(&anchor[at.clone()]);
            match strength {
                ResolvedStrength::Uniform(s) => sites.for_each(|((g, w), a)| *g += s * (w - a)),
                ResolvedStrength::Each(all) => sites
                    .zip(&all[at.clone()])
                    .for_each(|(((g, w), a), s)| *g += s * (w - a)),
            }
        }
        for shift in &self.shifts {
            grad.iter_mut()
                .zip(&shift[at.clone()])
                .for_each(|(g, s)| *g += s);
        }
        for divergence in &self.divergences {
            divergence.add_block((start, variances), w, grad);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_the_gradient_of_half_the_squared_distance() {
        let global = [1.0_f32, -2.0, 0.5];
        let pull = Pull {
            strength: Strength::Uniform(0.3),
            anchor: VectorRef::Global,
        };
        let objective = Objective {
            pulls: vec![pull],
            ..Objective::default()
        };
        let resolved = objective
            .resolve(Vectors {
                global: &global,
                round: &[],
            })
            .unwrap();
        let w = [1.5_f32, -1.0, 0.0];
        let mut grad = [0.0; 3];
        resolved.add_to(&w, &mut grad);
        let value = |w: &[f64; 3]| {
            (0..3)
                .map(|i| 0.15 * (w[i] - f64::from(global[i])).powi(2))
                .sum::<f64>()
        };
        for i in 0..3 {
            let (mut up, mut down) = (w.map(f64::from), w.map(f64::from));
            up[i] += 1e-4;
            down[i] -= 1e-4;
            let numeric = (value(&up) - value(&down)) / 2e-4;
            assert!(
                (numeric - f64::from(grad[i])).abs() < 1e-5,
                "{i}: {numeric} {}",
                grad[i]
            );
        }
    }

    #[test]
    fn a_missing_or_misshapen_vector_is_not_resolved() {
        let objective = |r| Objective {
            shifts: vec![r],
            ..Objective::default()
        };
        let vectors = Vectors {
            global: &[0.0; 3],
            round: &[],
        };
        assert!(objective(VectorRef::Round(0)).resolve(vectors).is_none());
        assert!(
            objective(VectorRef::Inline(vec![0.0; 2].into()))
                .resolve(vectors)
                .is_none()
        );
        assert!(objective(VectorRef::Global).resolve(vectors).is_some());
    }
}
