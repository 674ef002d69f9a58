//! Divergences of a variational model from a prior, as part of what a client minimises.
//!
//! For normal distributions, value by value (Kingma and Welling 2014, appendix B, for any prior):
//! `KL = ln(sp / s) + (s^2 + (m - mp)^2) / (2 sp^2) - 1/2`, so its gradient is `(m - mp) / sp^2` for a mean and, for the logarithm
//! of a deviation, `s^2 / sp^2 - 1`.

use crate::{Halves, VectorRef, exp};
use serde::{Deserialize, Serialize};

/// Adds the gradient of `KL(model || prior)`, shared out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// Means and logarithms of deviations, as the model has them.
    pub prior: VectorRef,
    /// Where they stand.
    pub halves: Halves,
    /// How it is shared out.
    pub charge: Charge,
}

/// How much of a divergence a step pays, whose data loss is a mean over its rows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Charge {
    /// All of it once an epoch: divided by the number of samples. The evidence lower bound (Blundell et al. 2015, section 3.4).
    #[default]
    Elbo,
    /// All of it in every step: divided by the rows of a step, as IBCL's published code has it. It weighs too much by the number of steps an
    /// epoch.
    EachBatch,
}

impl Halves {
    /// `KL(model || prior)` in nats, summed over the weights in 64 bits. A weight that is as it was before, such as a running
    /// statistic's, adds nothing.
    pub fn divergence(self, model: &[f32], prior: &[f32]) -> f64 {
        let values = |all: &[f32]| -> Vec<f64> { all.iter().map(|v| f64::from(*v)).collect() };
        let (m, mp) = (values(&model[self.means()]), values(&prior[self.means()]));
        let (r, rp) = (values(&model[self.rhos()]), values(&prior[self.rhos()]));
        let one = |i: usize| {
            let (variance, of_prior) = ((2.0 * r[i]).exp(), (2.0 * rp[i]).exp());
            rp[i] - r[i] + (variance + (m[i] - mp[i]).powi(2)) / (2.0 * of_prior) - 0.5
        };
        (0..self.len).map(one).sum()
    }
}

/// A divergence with its values at hand.
#[derive(Clone, Debug)]
pub struct ResolvedDivergence<'a> {
    prior: &'a [f32],
    /// Of the prior, 1 over the variance; one a mean.
    precision: Vec<f32>,
    /// Mean and precision, where they are the same for all.
    uniform: Option<(f32, f32)>,
    halves: Halves,
    charge: Charge,
    share: f32,
}

impl<'a> ResolvedDivergence<'a> {
    /// `None` where the prior is too short for what it is to hold.
    pub(crate) fn new(divergence: &Divergence, prior: &'a [f32]) -> Option<Self> {
        Self::of(prior, divergence.halves, divergence.charge)
    }

    fn of(prior: &'a [f32], halves: Halves, charge: Charge) -> Option<Self> {
        let rhos = prior.get(halves.rhos())?;
        let precision: Vec<f32> = rhos.iter().map(|rho| exp(-2.0 * rho)).collect();
        let means = &prior[halves.means()];
        let is_uniform = |all: &[f32]| all.iter().all(|value| *value == all[0]);
        let are_uniform = !means.is_empty() && is_uniform(means) && is_uniform(&precision);
        Some(Self {
            prior,
            uniform: are_uniform.then(|| (means[0], precision[0])),
            precision,
            halves,
            charge,
            share: 1.0,
        })
    }

    pub(crate) fn set_prior(&mut self, prior: &'a [f32]) -> bool {
        let Some(other) = Self::of(prior, self.halves, self.charge) else {
            return false;
        };
        let share = self.share;
        *self = Self { share, ..other };
        true
    }

    pub(crate) fn charge(&mut self, samples: usize, rows: usize) {
        let among = match self.charge {
            Charge::Elbo => samples,
            Charge::EachBatch => rows.min(samples),
        };
        self.share = 1.0 / among.max(1) as f32;
    }

    /// Changes parameters by a step of plain descent by the gradient of the data loss and this one. With variances, as
    /// [`apply_part`](crate::Update::apply_part) has them, which are of logarithms alone.
    ///
    /// One pass, with the bits of adding one gradient to the other before.
    #[inline(always)]
    pub(crate) fn descend(
        &self,
        (start, variances): (usize, Option<&[f32]>),
        rate: f32,
        w: &mut [f32],
        grad: &mut [f32],
    ) {
        let (len, end, share) = (self.halves.len, start + w.len(), self.share);
        let mean = |w: &mut f32, g: f32, mp: f32, precision: f32| {
            *w -= rate * (g + share * (*w - mp) * precision);
        };
        let rho = |w: &mut f32, g: f32, variance: f32, precision: f32| {
            *w -= rate * (2.0 * variance * g + share * (variance * precision - 1.0));
        };
        match (variances, self.uniform) {
            (None, Some((mp, precision))) if end <= len => {
                let sites = w.iter_mut().zip(&*grad);
                sites.for_each(|(w, g)| mean(w, *g, mp, precision));
            }
            (None, None) if end <= len => {
                let prior = self.prior[start..end].iter().zip(&self.precision[start..]);
                let sites = w.iter_mut().zip(&*grad).zip(prior);
                sites.for_each(|((w, g), (mp, precision))| mean(w, *g, *mp, *precision));
            }
            (Some(variances), Some((_, precision))) => {
                let sites = w.iter_mut().zip(&*grad).zip(variances);
                sites.for_each(|((w, g), variance)| rho(w, *g, *variance, precision));
            }
            (Some(variances), None) => {
                let sites = w.iter_mut().zip(&*grad).zip(variances);
                let sites = sites.zip(&self.precision[start - len..]);
                sites.for_each(|(((w, g), variance), p)| rho(w, *g, *variance, *p));
            }
            _ => {
                self.add_block((start, variances), w, grad);
                w.iter_mut().zip(&*grad).for_each(|(w, g)| *w -= rate * g);
            }
        }
    }

    /// Adds the gradient at parameters that stand from `start` on; their variances may be at hand, where they are logarithms of
    /// deviations.
    #[inline(always)]
    pub(crate) fn add_block(
        &self,
        (start, variances): (usize, Option<&[f32]>),
        w: &[f32],
        grad: &mut [f32],
    ) {
        let (len, end, share) = (self.halves.len, start + w.len(), self.share);
        let means = start.min(len)..end.min(len);
        let here = 0..means.len();
        let sites = grad[here.clone()].iter_mut().zip(&w[here]);
        let prior = self.prior[means.clone()].iter().zip(&self.precision[means]);
        for ((g, m), (mp, precision)) in sites.zip(prior) {
            *g += share * (m - mp) * precision;
        }
        let rhos = start.clamp(len, 2 * len)..end.clamp(len, 2 * len);
        if rhos.is_empty() {
            return;
        }
        let here = rhos.start - start..rhos.end - start;
        let precision = &self.precision[rhos.start - len..];
        let sites = grad[here.clone()].iter_mut().zip(precision);
        match variances {
            Some(variances) => {
                for ((g, precision), variance) in sites.zip(&variances[here]) {
                    *g += share * (variance * precision - 1.0);
                }
            }
            None => {
                for ((g, precision), rho) in sites.zip(&w[here]) {
                    *g += share * (exp(2.0 * rho) * precision - 1.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Objective, Vectors};

    const MODEL: [f32; 6] = [0.3, -1.2, 0.0, -0.5, 0.2, -1.0];
    const PRIOR: [f32; 6] = [0.1, 0.4, 0.0, -0.7, 0.5, -1.0];

    fn kl(model: &[f64]) -> f64 {
        let one = |i: usize| {
            let (m, s) = (model[i], model[3 + i].exp());
            let (mp, sp) = (f64::from(PRIOR[i]), f64::from(PRIOR[3 + i]).exp());
            (sp / s).ln() + (s * s + (m - mp).powi(2)) / (2.0 * sp * sp) - 0.5
        };
        (0..3).map(one).sum()
    }

    fn gradient(charge: Charge, cut: usize) -> Vec<f32> {
        let objective = Objective {
            divergences: vec![Divergence {
                prior: VectorRef::Inline(PRIOR.to_vec().into()),
                halves: Halves { len: 3 },
                charge,
            }],
            ..Objective::default()
        };
        let vectors = Vectors {
            global: &MODEL,
            round: &[],
        };
        let mut resolved = objective.resolve(vectors).unwrap();
        resolved.charge(40, 8);
        assert!(!resolved.is_empty());
        let mut grad = vec![0.0; 6];
        resolved.add_block(0, &MODEL[..cut], &mut grad[..cut]);
        resolved.add_block(cut, &MODEL[cut..], &mut grad[cut..]);
        grad
    }

    /// A prior that is not the same for all weights, in the place of one that is: the step of plain descent goes by the new one.
    #[test]
    fn another_prior_counts_in_every_way_to_step() {
        let objective = |prior: [f32; 6]| Objective {
            divergences: vec![Divergence {
                prior: VectorRef::Inline(prior.to_vec().into()),
                halves: Halves { len: 3 },
                charge: Charge::Elbo,
            }],
            ..Objective::default()
        };
        let vectors = Vectors {
            global: &MODEL,
            round: &[],
        };
        let (first, own) = (
            objective([0.0, 0.0, 0.0, -0.1, -0.1, -0.1]),
            objective(PRIOR),
        );
        let mut changed = first.resolve(vectors).unwrap();
        changed.charge(40, 8);
        assert!(changed.set_prior(&PRIOR) && !changed.set_prior(&PRIOR[..5]));
        let mut want = own.resolve(vectors).unwrap();
        want.charge(40, 8);
        let step = |resolved: &crate::Resolved<'_>, at: std::ops::Range<usize>| {
            let (mut w, mut grad) = (MODEL[at.clone()].to_vec(), vec![0.5; at.len()]);
            resolved.divergences[0].descend((at.start, None), 0.1, &mut w, &mut grad);
            w
        };
        for at in [0..3, 0..6, 3..6] {
            assert_eq!(step(&changed, at.clone()), step(&want, at));
        }
    }

    /// The integral of `q ln(q / p)`, weight by weight, by the trapezoid rule.
    #[test]
    fn the_divergence_equals_its_integral() {
        let density = |m: f64, s: f64, x: f64| {
            (-0.5 * ((x - m) / s).powi(2)).exp() / (s * (2.0 * std::f64::consts::PI).sqrt())
        };
        let integral = |i: usize| {
            let (m, s) = (f64::from(MODEL[i]), f64::from(MODEL[3 + i]).exp());
            let (mp, sp) = (f64::from(PRIOR[i]), f64::from(PRIOR[3 + i]).exp());
            let step = s / 500.0;
            let terms = (-6000..=6000).map(|k| {
                let x = m + f64::from(k) * step;
                let log_ratio =
                    (sp / s).ln() - 0.5 * ((x - m) / s).powi(2) + 0.5 * ((x - mp) / sp).powi(2);
                density(m, s, x) * log_ratio * step
            });
            terms.sum::<f64>()
        };
        let want: f64 = (0..3).map(integral).sum();
        let got = Halves { len: 3 }.divergence(&MODEL, &PRIOR);
        assert!((got - want).abs() < 1e-6, "{got} {want}");
        assert!((kl(&MODEL.map(f64::from)) - want).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_equals_finite_differences_of_the_divergence() {
        for cut in 0..6 {
            let elbo = gradient(Charge::Elbo, cut);
            let each = gradient(Charge::EachBatch, cut);
            for i in 0..6 {
                let moved = |by: f64| {
                    let mut model = MODEL.map(f64::from);
                    model[i] += by;
                    kl(&model)
                };
                let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((40.0 * f64::from(elbo[i]) - numeric).abs() < 1e-5, "{i}");
                assert!((8.0 * f64::from(each[i]) - numeric).abs() < 1e-5, "{i}");
            }
        }
    }
}
