//! A continual-learning method of our own, with a memory and a way to answer of its own.

use lyceum::core::{
    ContinualMethod, Draft, Network, Predict, Predictor, Rows, Site, Sizes, units::Fraction,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Samples that a client has trained on before count less, and answers do not favour classes with long weights: a logit is
/// divided by the length of its class's weights (after Zhao et al. 2020).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreshFirst {
    /// What a sample counts once it was seen; 1 the first time.
    again: Fraction,
}

/// One bit for each training sample: whether the client has seen it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    bits: Vec<u8>,
    /// Samples of this call.
    #[serde(skip)]
    now: Vec<u32>,
}

impl Seen {
    fn has(&self, sample: u32) -> bool {
        let byte = self.bits.get(sample as usize / 8);
        byte.is_some_and(|byte| byte >> (sample % 8) & 1 == 1)
    }

    fn note(&mut self) {
        for sample in std::mem::take(&mut self.now) {
            let byte = sample as usize / 8;
            self.bits.resize(self.bits.len().max(byte + 1), 0);
            self.bits[byte] |= 1 << (sample % 8);
        }
    }
}

impl ContinualMethod for FreshFirst {
    type State = Seen;

    /// A length, and a bit for each sample.
    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        8 + sizes.samples.div_ceil(8) as u64
    }

    fn predict(&self) -> Option<Arc<dyn Predict>> {
        Some(Arc::new(EvenWeights))
    }

    fn rows(&self, seen: &mut Seen, draft: &mut Draft, _: &mut Site<'_>) {
        for row in 0..draft.own() {
            let sample = draft.items[row].index;
            seen.now.push(sample);
            if seen.has(sample) {
                draft.weights[row] *= self.again.get() as f32;
            }
        }
    }

    fn end_call(&self, seen: &mut Seen, _: &mut Site<'_>) {
        seen.note();
    }
}

/// Logits over the lengths of their classes' weights.
struct EvenWeights;

impl Predict for EvenWeights {
    fn take_up(&self, network: &Network, params: &[f32]) -> Result<Box<dyn Predictor>, String> {
        let mut entries = network.layout().entries().iter();
        let head = entries
            .rfind(|entry| entry.shape.len() == 2 && entry.shape[0] == network.classes())
            .ok_or("its last layer is not dense")?;
        let rows = params[head.range()].chunks_exact(head.shape[1]);
        let length = |row: &[f32]| row.iter().map(|w| w * w).sum::<f32>().sqrt();
        let lengths = rows.map(|row| length(row).max(f32::MIN_POSITIVE)).collect();
        Ok(Box::new(Lengths(lengths)))
    }
}

struct Lengths(Vec<f32>);

impl Predictor for Lengths {
    fn score(&mut self, scores: &mut [f32], _: &mut Rows<'_>) {
        for row in scores.chunks_exact_mut(self.0.len()) {
            row.iter_mut().zip(&self.0).for_each(|(z, len)| *z /= len);
        }
    }
}
