//! Convolution along the places of a sequence.

use crate::{
    conv2d::{Pad, one, yes},
    convolution::{Sizes, Window},
    kernel::transpose,
    padding::PaddingMode,
    patched, room,
};
use lyceum_core::{Backward, Forward, LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A window that goes along the places of a sequence (Waibel et al. 1989), in groups of channels if wanted.
///
/// In: `[places, inputs]`; out: `[places', channels]` with `places' = (places + 2 padding - dilation (kernel - 1) - 1) / stride + 1`,
/// rounded down. Tensors: `weight`, channels x inputs / groups x kernel, and `bias`, channels. The same as `Conv1d` of PyTorch, which has channels before places.
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
        let [places, inputs] = input.try_into().map_err(|_| {
            format!("needs a sequence (places x features), but its input is {input:?}")
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
        Ok(vec![self.sizes(input)?.columns.results(), self.channels])
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        self.fitting(input).tensors(&[self.kernel], self.bias)
    }

    fn multiplications(&self, input: &[usize], _: &[usize]) -> u64 {
        self.fitting(input).multiplications()
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        let sizes = self.fitting(input);
        Box::new(Turned {
            inputs: input[1],
            channels: self.channels,
            inner: patched::operation(sizes),
            input: Vec::new(),
            output: Vec::new(),
            slope: Vec::new(),
            next: Vec::new(),
        })
    }
}

/// A convolution of channels x places, between sequences of places x channels.
#[derive(Debug)]
struct Turned {
    inputs: usize,
    channels: usize,
    inner: Box<dyn Operation>,
    /// What goes in and comes out, and the slopes there, channels x places.
    input: Vec<f32>,
    output: Vec<f32>,
    slope: Vec<f32>,
    next: Vec<f32>,
}

/// Turns each sample round, whose lines are so wide.
fn turn(samples: &[f32], rows: usize, width: usize, out: &mut [f32]) {
    let size = samples.len() / rows;
    let samples = samples.chunks_exact(size).zip(out.chunks_exact_mut(size));
    samples.for_each(|(sample, out)| transpose(sample, width, out));
}

impl Operation for Turned {
    fn forward(&mut self, pass: Forward<'_>) {
        let rows = pass.rows;
        let input = room(&mut self.input, pass.input.len());
        turn(pass.input, rows, self.inputs, input);
        let output = room(&mut self.output, pass.output.len());
        self.inner.forward(Forward {
            params: pass.params,
            input,
            rows,
            mode: pass.mode,
            output,
        });
        let places = pass.output.len() / rows / self.channels;
        turn(output, rows, places, pass.output);
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let (rows, len) = (pass.rows, pass.input.len());
        let slope = room(&mut self.slope, pass.slope.len());
        turn(pass.slope, rows, self.channels, slope);
        let next = room(&mut self.next, len);
        self.inner.backward(Backward {
            params: pass.params,
            input: &self.input[..len],
            output: &self.output[..slope.len()],
            slope,
            rows,
            gradient: pass.gradient,
            wanted: pass.wanted.is_some().then_some(&mut *next),
        });
        if let Some(wanted) = pass.wanted {
            turn(next, rows, len / rows / self.inputs, wanted);
        }
    }
}
