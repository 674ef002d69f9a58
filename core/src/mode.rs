//! What a pass through a network does where training and tests differ.

use crate::{Layer, Network, Purpose, Seed, Stream, Ticket};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// What a stream of [`Purpose::WEIGHTS`] is of: the numbers of a draw, or the key of a further one.
const WEIGHTS: u64 = 0;
const FURTHER: u64 = 1;

/// How a network is gone through. Whoever asks for a gradient says it each time: there is no default, and nothing is
/// left over from the pass before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode<'a> {
    /// As in a step of training: values drop out, and batch normalisations take the statistics of the batch.
    Train {
        /// Which values drop out.
        noise: Noise,
        /// One flag a layer: whether it is a batch normalisation that is frozen. It normalises by its running
        /// statistics, which stay as they are. Empty where none is ([`Network::fixed`]).
        fixed: &'a [bool],
    },
    /// As in tests: nothing drops out, and batch normalisations take their running statistics, which stay as they are.
    Evaluate,
}

impl<'a> Mode<'a> {
    /// A step of training with noise of its own, drawn from `rng` if the network has a use for it.
    pub fn train(network: &Network, rng: &mut Stream, fixed: &'a [bool]) -> Self {
        let noise = Noise::draw(network, rng);
        Self::Train { noise, fixed }
    }

    /// Which values drop out, if any do.
    pub fn noise(self) -> Option<Noise> {
        match self {
            Self::Train { noise, .. } => Some(noise),
            Self::Evaluate => None,
        }
    }

    /// Whether a batch normalisation, by its position among the layers, takes the statistics of the batch.
    pub fn is_by_batch(self, layer: usize) -> bool {
        match self {
            Self::Train { fixed, .. } => !fixed.get(layer).is_some_and(|fixed| *fixed),
            Self::Evaluate => false,
        }
    }
}

/// The key of the random numbers of one pass: dropout masks, and draws of weights that are distributions, or of what they
/// give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise(u64);

impl Noise {
    /// The noise of a key, the same for equal keys: for tests and benches. Runs draw theirs.
    pub fn of_key(key: u64) -> Self {
        Self(key)
    }

    /// The next noise of a stream. Networks that have no use for it take nothing from it.
    pub fn draw(network: &Network, rng: &mut Stream) -> Self {
        match network.is_noisy() {
            true => Self(rng.next_u64()),
            false => Self(0),
        }
    }

    /// The noise of a further draw of the weights in the same pass; of the first one, the pass's own.
    pub fn of_draw(self, draw: u32) -> Self {
        match draw {
            0 => self,
            _ => Self(self.weights(draw, FURTHER).next_u64()),
        }
    }

    /// Standard normal numbers for a draw of all weights, the same on every engine.
    pub fn normal(self, out: &mut [f32]) {
        let mut rng = self.weights(0, WEIGHTS);
        out.fill_with(|| StandardNormal.sample(&mut rng));
    }

    /// Standard normal numbers for what dense layer `layer` gives, unit by unit and in each of them row by row.
    pub fn local(self, layer: usize, out: &mut [f32]) {
        let mut rng = Seed(self.0).stream(Purpose::LOCAL, Ticket(layer as u64), None);
        out.fill_with(|| StandardNormal.sample(&mut rng));
    }

    fn weights(self, draw: u32, part: u64) -> Stream {
        let address = Ticket(u64::from(draw) << 1 | part);
        Seed(self.0).stream(Purpose::WEIGHTS, address, None)
    }

    /// Writes the dropout mask of layer `layer`: 0 or `1 / (1 - share)`, the same on every engine.
    pub fn mask(self, layer: usize, share: f64, out: &mut [f32]) {
        let mut rng = Seed(self.0).stream(Purpose::DROPOUT, Ticket(layer as u64), None);
        let keep = (1.0 / (1.0 - share)) as f32;
        out.fill_with(|| {
            if rng.random::<f64>() < share {
                0.0
            } else {
                keep
            }
        });
    }
}

impl Network {
    /// Which layers are batch normalisations that are frozen, where parameters in these ranges are: those whose running
    /// mean or variance is. For [`Mode::Train`]; empty if none is.
    ///
    /// A layer of which the weight and the bias alone are frozen still normalises by the batch.
    pub fn fixed(&self, frozen: &[Range<usize>]) -> Vec<bool> {
        let is_frozen = |tensor: String| {
            let own = self.layout().find(&tensor).map(|entry| entry.range());
            let meets = |own: &Range<usize>| {
                let meets = |range: &Range<usize>| range.start < own.end && own.start < range.end;
                frozen.iter().any(meets)
            };
            own.as_ref().is_some_and(meets)
        };
        let layers = self.layers().iter().enumerate();
        let fixed: Vec<bool> = layers
            .map(|(at, layer)| {
                matches!(layer, Layer::BatchNorm { .. })
                    && (is_frozen(format!("{at}.mean")) || is_frozen(format!("{at}.variance")))
            })
            .collect();
        match fixed.contains(&true) {
            true => fixed,
            false => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Init;

    fn network(share: Option<f64>) -> Network {
        let norm = || Layer::BatchNorm {
            momentum: 0.1,
            epsilon: 1e-5,
        };
        let mut layers = vec![norm(), Layer::Dense { units: 2 }, norm()];
        layers.extend(share.map(|share| Layer::Dropout { share }));
        layers.push(Layer::Dense { units: 2 });
        Network::new(&[3], 2, layers, Init::He).unwrap()
    }

    fn range(network: &Network, tensor: &str) -> Range<usize> {
        network.layout().find(tensor).unwrap().range()
    }

    #[test]
    fn a_normalisation_is_frozen_with_either_of_its_statistics() {
        let network = network(None);
        let fixed = |tensors: &[&str]| {
            let ranges: Vec<_> = tensors.iter().map(|t| range(&network, t)).collect();
            network.fixed(&ranges)
        };
        assert!(fixed(&[]).is_empty());
        assert!(fixed(&["0.weight", "0.bias", "1.weight", "2.bias"]).is_empty());
        assert_eq!(fixed(&["0.mean"]), [true, false, false, false]);
        assert_eq!(fixed(&["2.variance"]), [false, false, true, false]);
        let all = 0..network.layout().len();
        assert_eq!(
            network.fixed(std::slice::from_ref(&all)),
            [true, false, true, false]
        );
    }

    #[test]
    fn passes_in_training_draw_noise_of_their_own_and_others_none() {
        let network = network(Some(0.5));
        let mut rng = Seed(1).once(Purpose::BATCHES);
        let mut noise = || Mode::train(&network, &mut rng, &[]).noise().unwrap();
        assert_ne!(noise(), noise());
        assert_eq!(Mode::Evaluate.noise(), None);
    }

    #[test]
    fn a_network_without_dropout_takes_nothing_from_the_stream() {
        let mut rng = Seed(1).once(Purpose::BATCHES);
        Noise::draw(&network(None), &mut rng);
        assert_eq!(rng.next_u64(), Seed(1).once(Purpose::BATCHES).next_u64());
    }

    #[test]
    fn layers_beyond_the_flags_go_by_the_batch() {
        let train = Mode::Train {
            noise: Noise::of_key(1),
            fixed: &[true, false],
        };
        assert_eq!([0, 1, 2].map(|l| train.is_by_batch(l)), [false, true, true]);
        assert!(!Mode::Evaluate.is_by_batch(1));
    }
}
