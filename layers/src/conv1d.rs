//! Convolution along the places of a sequence.

use crate::{
    conv2d::{Pad, one, yes},
    convolution::{Sizes, Window},
    padding::PaddingMode,
    patched,
};
use lyceum_core::{LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A window that goes along a sequence whose channels are rows (Waibel et al. 1989), in groups of channels if wanted.
///
/// In: `[inputs, places]`; out: `[channels, places']` with `places' = (places + 2 padding - dilation (kernel - 1) - 1) / stride + 1`,
/// rounded down. Tensors: `weight`, channels x inputs / groups x kernel, and `bias`, channels. The same as `Conv1d` of PyTorch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv1d {
    /// Number of output channels; a multiple of the groups.
    pub channels: usize,
    /// Length of the window.
    pub kernel: usize,
    /// Step of the window; 1 by default.
    #[serde(default = "one")]
    pub stride: usize,
    /// Length of the border at both ends, or "same" for as many places as before; 0 by default.
    #[serde(default)]
    pub padding: Pad<usize>,
    /// What the border holds; zeros by default.
    #[serde(default)]
    pub padding_mode: PaddingMode,
    /// Groups of channels that know nothing of each other; 1 by default.
    #[serde(default = "one")]
    pub groups: usize,
    /// Step between values below the window; 1 by default.
    #[serde(default = "one")]
    pub dilation: usize,
    /// Whether a bias is added; true by default.
    #[serde(default = "yes")]
    pub bias: bool,
}

impl Conv1d {
    /// As of an image of one line.
    fn sizes(&self, input: &[usize]) -> Result<Sizes, String> {
        let [inputs, places] = input.try_into().map_err(|_| {
            format!("needs a sequence (channels x places), but its input is {input:?}")
        })?;
        let across = Window {
            kernel: 1,
            stride: 1,
            dilation: 1,
            padding: Some(0),
        };
        let along = Window {
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            padding: match self.padding {
                Pad::Same(_) => None,
                Pad::Places(places) => Some(places),
            },
        };
        let axes = [
            across.over(1, self.padding_mode)?,
            along.over(places, self.padding_mode)?,
        ];
        Sizes::new(
            [inputs, self.channels, self.groups],
            axes,
            self.padding_mode,
        )
    }

    fn fitting(&self, input: &[usize]) -> Sizes {
        self.sizes(input).expect("asked for an input that fits")
    }
}

impl LayerKind for Conv1d {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        Ok(vec![self.channels, self.sizes(input)?.columns.results()])
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        self.fitting(input).tensors(&[self.kernel], self.bias)
    }

    fn multiplications(&self, input: &[usize], _: &[usize]) -> u64 {
        self.fitting(input).multiplications()
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        patched::operation(self.fitting(input))
    }
}
