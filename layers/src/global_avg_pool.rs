//! The mean of every channel of an image.

use lyceum_core::{Backward, Forward, LayerKind, Operation, wide};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The mean of each channel over all places of an image (Lin, Chen and Yan 2014, section 3.2).
///
/// In: `[channels, height, width]`; out: `[channels]`. No tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool {}

impl LayerKind for GlobalAvgPool {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [channels, ..] = crate::image(input)?;
        Ok(vec![channels])
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        Box::new(Mean {
            places: input[1..].iter().product(),
        })
    }
}

#[derive(Debug)]
struct Mean {
    places: usize,
}

impl Operation for Mean {
    fn forward(&mut self, pass: Forward<'_>) {
        let share = 1.0 / self.places as f32;
        wide(
            #[inline(always)]
            || {
                let channels = pass.input.chunks_exact(self.places);
                for (out, channel) in pass.output.iter_mut().zip(channels) {
                    *out = share * crate::sum(channel.iter().copied());
                }
            },
        );
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let Some(next) = pass.wanted else { return };
        let share = 1.0 / self.places as f32;
        let channels = next.chunks_exact_mut(self.places);
        for (channel, slope) in channels.zip(&*pass.slope) {
            channel.fill(share * slope);
        }
    }
}
