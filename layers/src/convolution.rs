//! Shapes of convolutions: windows that go over images, each group of channels by itself.

use crate::padding::{Border, Frame, PaddingMode};
use lyceum_core::{Initial, Tensor, wide};
use std::ops::Range;

/// How a window goes along one side of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    side: usize,
    kernel: usize,
    pub(crate) stride: usize,
    dilation: usize,
    border: Border,
}

/// Settings of a window along one side, as a user gives them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    /// Width of the border on both sides; `None` for one that keeps the size.
    pub(crate) padding: Option<usize>,
}

impl Window {
    fn check(&self) -> Result<(), String> {
        crate::at_least_one("kernel", self.kernel)?;
        crate::at_least_one("stride", self.stride)?;
        crate::at_least_one("dilation", self.dilation)?;
        match self.padding {
            Some(padding) if padding > crate::LARGEST => Err(format!(
                "padding {padding} is too large: at most {}",
                crate::LARGEST
            )),
            None if self.stride != 1 => Err(format!(
                "padding \"same\" goes with a stride of 1 alone, but stride is {}: give the padding as a number",
                self.stride
            )),
            _ => Ok(()),
        }
    }

    /// Places from the first value under a window to the last, both included.
    fn reach(&self) -> usize {
        (self.kernel - 1).saturating_mul(self.dilation) + 1
    }

    /// The window on a side of this length.
    pub(crate) fn over(self, side: usize, mode: PaddingMode) -> Result<Axis, String> {
        self.check()?;
        let added = self.reach() - 1;
        let border = match self.padding {
            Some(padding) => (padding, padding),
            // An even window needs one more place after the image than before it.
            None => (added / 2, added - added / 2),
        };
        mode.check(border.0.max(border.1), side)?;
        let framed = side.saturating_add(border.0).saturating_add(border.1);
        match self.reach() <= framed {
            true => Ok(Axis {
                side,
                kernel: self.kernel,
                stride: self.stride,
                dilation: self.dilation,
                border,
            }),
            false => Err(format!(
                "a window over {} places does not fit into a side of {framed}, border included",
                self.reach()
            )),
        }
    }
}

impl Axis {
    fn framed(&self) -> usize {
        self.border.0 + self.side + self.border.1
    }

    /// Number of places that the window stops at.
    pub(crate) fn results(&self) -> usize {
        let reach = (self.kernel - 1) * self.dilation + 1;
        (self.framed() - reach) / self.stride + 1
    }
}

/// A convolution of images of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    inputs: usize,
    outputs: usize,
    pub(crate) groups: usize,
    pub(crate) lines: Axis,
    pub(crate) columns: Axis,
    mode: PaddingMode,
}

impl Sizes {
    /// A convolution, if its sizes go together.
    pub(crate) fn new(
        [inputs, outputs, groups]: [usize; 3],
        [lines, columns]: [Axis; 2],
        mode: PaddingMode,
    ) -> Result<Self, String> {
        crate::at_least_one("channels", outputs)?;
        crate::at_least_one("groups", groups)?;
        let mut channels = [("input channels", inputs), ("channels", outputs)].into_iter();
        if let Some((name, count)) = channels.find(|(_, count)| count % groups != 0) {
            return Err(format!(
                "{groups} groups do not divide {count} {name} evenly"
            ));
        }
        let framed = lines.framed().checked_mul(columns.framed());
        let framed = framed.and_then(|plane| plane.checked_mul(inputs));
        match framed {
            Some(values) if values <= crate::LARGEST => Ok(Self {
                inputs,
                outputs,
                groups,
                lines,
                columns,
                mode,
            }),
            _ => Err(format!(
                "makes an image with its border larger than {} values: use less padding",
                crate::LARGEST
            )),
        }
    }

    /// Input and output channels of a group.
    pub(crate) fn per_group(&self) -> [usize; 2] {
        [self.inputs / self.groups, self.outputs / self.groups]
    }

    pub(crate) fn channels(&self) -> [usize; 2] {
        [self.inputs, self.outputs]
    }

    /// Weights that a result is a sum over.
    pub(crate) fn taps(&self) -> usize {
        self.per_group()[0] * self.lines.kernel * self.columns.kernel
    }

    /// Number of weights.
    pub(crate) fn weights(&self) -> usize {
        self.outputs * self.taps()
    }

    /// Values of a sample.
    pub(crate) fn values(&self) -> usize {
        self.inputs * self.lines.side * self.columns.side
    }

    /// Results of a channel.
    pub(crate) fn places(&self) -> usize {
        self.lines.results() * self.columns.results()
    }

    pub(crate) fn frame(&self) -> Frame {
        let sides = [self.lines.side, self.columns.side];
        Frame::new(self.mode, sides, [self.lines.border, self.columns.border])
    }

    /// The plane of its group that a weight meets, and where in it the window of the first result lies.
    pub(crate) fn site(&self, tap: usize, stride: usize) -> (usize, usize) {
        let (rest, x) = (tap / self.columns.kernel, tap % self.columns.kernel);
        let (plane, y) = (rest / self.lines.kernel, rest % self.lines.kernel);
        let offset = y * self.lines.dilation * stride + x * self.columns.dilation;
        (plane, offset)
    }

    /// The lines, in whole or in part, of a run of places: where each begins below a window, and where it stands in the run.
    pub(crate) fn runs(
        &self,
        span: &Range<usize>,
        stride: usize,
    ) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (width, columns, lines) = (
            self.columns.results(),
            self.columns.stride,
            self.lines.stride,
        );
        let span = span.clone();
        (span.start / width..span.end.div_ceil(width)).map(move |line| {
            let from = span.start.max(line * width);
            let to = span.end.min((line + 1) * width);
            let offset = line * lines * stride + (from - line * width) * columns;
            (offset, from - span.start..to - span.start)
        })
    }

    /// Weights of this shape, and a bias if there is one.
    pub(crate) fn tensors(&self, window: &[usize], bias: bool) -> Vec<Tensor> {
        let [inputs, outputs] = self.per_group();
        let field: f64 = window.iter().map(|side| *side as f64).product();
        let fan_in = inputs as f64 * field;
        let start = Initial::Weight {
            fan_in,
            fan_out: outputs as f64 * field,
        };
        let shape = [&[self.outputs, inputs], window].concat();
        let weight = Tensor::trainable("weight", shape, start);
        let bias =
            bias.then(|| Tensor::trainable("bias", vec![self.outputs], Initial::Bias { fan_in }));
        std::iter::once(weight).chain(bias).collect()
    }

    /// Multiplications of one sample on its way forward.
    pub(crate) fn multiplications(&self) -> u64 {
        (self.outputs * self.places()) as u64 * self.taps() as u64
    }
}

/// Writes the sum of the slopes of each channel.
pub(crate) fn bias_gradient(slope: &[f32], places: usize, gradient: &mut [f32]) {
    gradient.fill(0.0);
    wide(
        #[inline(always)]
        || {
            for sample in slope.chunks_exact(gradient.len() * places) {
                let channels = sample.chunks_exact(places);
                for (sum, channel) in gradient.iter_mut().zip(channels) {
                    *sum += crate::sum(channel.iter().copied());
                }
            }
        },
    );
}
