//! Networks whose weights are normal distributions, each by itself.
//!
//! A variational network has the tensors of the plain one as means, in the same places and under the same names, and behind
//! them, once more as many values, the logarithms of the deviations: `0.weight` and `0.weight.rho`. Training draws
//! `w = mean + e^rho * noise` (Kingma and Welling 2014, section 2.4; Blundell et al. 2015, section 3.2, with the logarithm in place of
//! their softplus, as Pyro's positive parameters have it); tests take the means.

use super::Network;
use crate::{Layer, Layout, Role};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Ending of the tensors that hold logarithms of deviations.
const RHO: &str = "rho";

/// How the weights of a network are drawn in training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variational {
    /// Deviation of every weight before training.
    pub start: f32,
    /// Draws of all weights whose gradients a step takes the mean of; at least 1.
    pub draws: u32,
    /// Whether dense layers draw what they give instead of their weights: of independent normal weights, it is normal too
    /// (Kingma, Salimans and Welling 2015, equation 6).
    pub local: bool,
}

/// Where the halves of a posterior stand in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halves {
    /// Values of the plain network: means stand at `0..len`, logarithms of deviations at `len..2 * len`.
    pub len: usize,
}

impl Halves {
    /// Where the means stand.
    pub fn means(self) -> Range<usize> {
        0..self.len
    }

    /// Where the logarithms of the deviations stand.
    pub fn rhos(self) -> Range<usize> {
        self.len..2 * self.len
    }
}

impl Network {
    /// The same network with a normal distribution in the place of each trainable value. To be called before anything is
    /// [appended](Network::append).
    pub fn variational(mut self, how: Variational) -> Self {
        let plain: Vec<_> = self.layout.entries().to_vec();
        for entry in plain {
            let role = match entry.role {
                Role::Trainable | Role::Local => entry.role,
                // A running statistic is no distribution; its place here is never read.
                Role::Statistic | Role::LocalStatistic | Role::Frozen => Role::Frozen,
            };
            let name = format!("{}.{RHO}", entry.name);
            self.layout.push(name, entry.shape, role);
        }
        self.variational = Some(how);
        self
    }

    /// How its weights are drawn, where they are distributions.
    pub fn posterior(&self) -> Option<Variational> {
        self.variational
    }

    /// Where means and deviations stand, where its weights are distributions.
    pub fn halves(&self) -> Option<Halves> {
        self.layout.halves()
    }

    /// The network of the means alone, without anything that was appended.
    pub fn plain(&self) -> Self {
        let layers = self.layers.iter().zip(&self.shapes);
        let tensors = layers
            .map(|(layer, input)| layer.tensors(input).len())
            .sum();
        let mut plain = self.clone();
        plain.layout.truncate(tensors);
        plain.variational = None;
        plain
    }

    /// The first layer that cannot draw what it gives instead of its weights, by name and position.
    pub fn unlike_local(&self) -> Option<(usize, &str)> {
        let can = |layer: &Layer| {
            matches!(
                layer,
                Layer::Dense { .. }
                    | Layer::Relu {}
                    | Layer::Tanh {}
                    | Layer::Dropout { .. }
                    | Layer::Flatten {}
                    | Layer::Binary {}
            )
        };
        let mut layers = self.layers.iter().enumerate();
        let (at, layer) = layers.find(|(_, layer)| !can(layer))?;
        Some((at, layer.name()))
    }

    /// Where values that are distributions stand among the means.
    pub fn drawn(&self) -> Vec<Range<usize>> {
        let Some(halves) = self.halves() else {
            return Vec::new();
        };
        let mut drawn = self.plain().layout.ranges(follows);
        drawn.retain(|range| range.end <= halves.len);
        drawn
    }
}

impl Layout {
    /// Where means and deviations stand, where weights are distributions.
    pub fn halves(&self) -> Option<Halves> {
        let first = self.entries().iter().find(|entry| is_rho(&entry.name));
        first.map(|entry| Halves { len: entry.offset })
    }
}

fn is_rho(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, last)| last == RHO)
}

/// The logarithms of deviations of this layout, in the places of values that are distributions.
pub(super) fn start_spread(layout: &Layout, start: f32, values: &mut [f32]) {
    let rho = f64::from(start).ln() as f32;
    let spread = layout.entries().iter();
    let spread = spread.filter(|entry| is_rho(&entry.name) && follows(entry.role));
    spread.for_each(|entry| values[entry.range()].fill(rho));
}

fn follows(role: Role) -> bool {
    matches!(role, Role::Trainable | Role::Local)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Seed};

    fn network() -> Network {
        let norm = Layer::BatchNorm {
            momentum: 0.1,
            epsilon: 1e-5,
        };
        let layers = vec![Layer::Dense { units: 2 }, norm, Layer::Dense { units: 2 }];
        Network::new(&[3], 2, layers, Init::He).unwrap()
    }

    #[test]
    fn deviations_stand_behind_the_means() {
        let plain = network();
        let how = Variational {
            start: 0.5,
            draws: 1,
            local: false,
        };
        let mut posterior = network().variational(how);
        posterior.append("kept", vec![3], Role::Statistic);
        let len = plain.layout().len();
        assert_eq!(posterior.halves(), Some(Halves { len }));
        assert_eq!(posterior.layout().len(), 2 * len + 3);
        let find = |name: &str| posterior.layout().find(name).unwrap().clone();
        assert_eq!(find("2.bias.rho").offset, len + find("2.bias").offset);
        assert_eq!(find("1.mean.rho").role, Role::Frozen);
        assert_eq!(posterior.plain(), plain);
        let (own, means) = (posterior.initial(Seed(1)), plain.initial(Seed(1)));
        assert_eq!(own[..len], means[..]);
        assert_eq!(own[find("0.weight.rho").offset], 0.5_f32.ln());
        assert_eq!(own[find("1.mean.rho").offset], 0.0);
        assert_eq!(own[2 * len..], [0.0; 3]);
        let drawn: usize = posterior.drawn().iter().map(Range::len).sum();
        assert_eq!(drawn, len - 4);
        assert!(plain.drawn().is_empty() && plain.halves().is_none());
    }
}
