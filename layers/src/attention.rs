//! Multi-head attention of a sequence to itself.

use crate::{
    embedding::check_deviation,
    matrix::{Matrix, add_bias, bias_gradient},
    positions::sequence,
    room,
    rotary::Rotary,
    softmax::{softmax, softmax_back},
};
use lyceum_core::{Backward, Forward, Initial, LayerKind, Mode, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Multi-head attention of the places of a sequence to each other (Vaswani et al. 2017, section 3.2.2).
///
/// For each head: `softmax(Q K' / sqrt(width / heads)) V`; heads lie side by side and go through one more dense layer. Shape stays:
/// `[places, width]`. Tensors as in PyTorch: `input_weight`, 3 width x width, for queries, then keys, then values; `input_bias`,
/// 3 width; `output_weight`, width x width; `output_bias`, width. As there, the first starts uniform by Glorot, the third uniform in
/// +-1/sqrt(width), biases at zero. Nothing drops out: put a `dropout` behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Number of heads; divides the width.
    pub heads: usize,
    /// Whether a place sees itself and those before it alone; true by default.
    #[serde(default = "yes")]
    pub causal: bool,
    /// Whether queries and keys turn with their place (Su et al. 2021, section 3.2.2, with base 10000); false by default. Value i and
    /// value i + half of a head are a pair, as in LLaMA; in the paper, neighbours are.
    #[serde(default)]
    pub rotary: bool,
    /// Whether biases are added; true by default.
    #[serde(default = "yes")]
    pub bias: bool,
    /// Standard deviation of normal initial weights, above 0; without it as described.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    /// The same for `output_weight` alone; that of the other weights by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_deviation: Option<f64>,
}

fn yes() -> bool {
    true
}

impl Attention {
    /// Attention with this many heads, else as by default.
    pub fn new(heads: usize) -> Self {
        Self {
            heads,
            causal: true,
            rotary: false,
            bias: true,
            deviation: None,
            output_deviation: None,
        }
    }
}

impl LayerKind for Attention {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [places, width] = sequence(input)?;
        let deviations = self.deviation.into_iter().chain(self.output_deviation);
        deviations.into_iter().try_for_each(check_deviation)?;
        if width.checked_rem(self.heads) != Some(0) {
            return Err(format!(
                "{} heads do not divide a width of {width}: heads must",
                self.heads
            ));
        }
        if self.rotary && !(width / self.heads).is_multiple_of(2) {
            return Err(format!(
                "rotary turns pairs, but a head has {} values: their number must be even",
                width / self.heads
            ));
        }
        match places
            .checked_mul(places)
            .and_then(|n| n.checked_mul(self.heads))
        {
            Some(..=crate::LARGEST) => Ok(vec![places, width]),
            _ => Err(format!(
                "{places} places are too many for {} heads: at most {} pairs of places in all",
                self.heads,
                crate::LARGEST
            )),
        }
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let width = crate::last(input);
        let start = |deviation: Option<f64>, bound: f64| match deviation {
            Some(deviation) => Initial::Normal { deviation },
            None => Initial::Uniform { bound },
        };
        let sides = width as f64;
        let input_start = start(self.deviation, (6.0 / (4.0 * sides)).sqrt());
        let output_deviation = self.output_deviation.or(self.deviation);
        let output_start = start(output_deviation, 1.0 / sides.sqrt());
        let bias = |name, len| {
            let tensor = || Tensor::trainable(name, vec![len], Initial::Constant(0.0));
            self.bias.then(tensor)
        };
        let lines = width.saturating_mul(3);
        let weight = Tensor::trainable("input_weight", vec![lines, width], input_start);
        let output = Tensor::trainable("output_weight", vec![width, width], output_start);
        std::iter::once(weight)
            .chain(bias("input_bias", lines))
            .chain([output])
            .chain(bias("output_bias", width))
            .collect()
    }

    fn multiplications(&self, input: &[usize], _: &[usize]) -> u64 {
        let [places, width] = [0, 1].map(|at| input.get(at).copied().unwrap_or(0) as u64);
        places * width * (4 * width + 2 * places)
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        let (places, width) = (input[0], input[1]);
        let size = width / self.heads;
        Box::new(AttentionOperation {
            places,
            width,
            heads: self.heads,
            causal: self.causal,
            bias: self.bias,
            rotary: self.rotary.then(|| Rotary::new(places, size)),
            turned: Vec::new(),
            projected: Vec::new(),
            parts: Vec::new(),
            shares: Vec::new(),
            keeps: true,
            mixed: Vec::new(),
            head: Head::default(),
            slopes: Vec::new(),
        })
    }
}

#[derive(Debug)]
struct AttentionOperation {
    places: usize,
    width: usize,
    heads: usize,
    causal: bool,
    bias: bool,
    rotary: Option<Rotary>,
    /// A matrix turned round.
    turned: Vec<f32>,
    /// Queries, keys and values side by side, or their slopes: (rows x places) x 3 width.
    projected: Vec<f32>,
    /// Of each row and head the queries, scaled, then keys and values: places x size each.
    parts: Vec<f32>,
    /// Of each row and head, if they are kept, else of the one at hand: places x places.
    shares: Vec<f32>,
    /// Whether shares are kept for the way back: not in tests, where there may be many rows and no way back.
    keeps: bool,
    /// What heads give, side by side: (rows x places) x width.
    mixed: Vec<f32>,
    head: Head,
    /// Slope at `mixed`.
    slopes: Vec<f32>,
}

/// Buffers of one head.
#[derive(Debug, Default)]
struct Head {
    out: Vec<f32>,
    shares: Vec<f32>,
    slopes: Vec<f32>,
}

/// The four tensors; biases may be empty.
struct Parts<T> {
    input_weight: T,
    input_bias: T,
    output_weight: T,
    output_bias: T,
}

impl AttentionOperation {
    fn lengths(&self) -> [usize; 3] {
        let bias = 3 * self.width * usize::from(self.bias);
        [3 * self.width * self.width, bias, self.width * self.width]
    }

    fn parts<'a>(&self, params: &'a [f32]) -> Parts<&'a [f32]> {
        let [a, b, c] = self.lengths();
        let (input_weight, rest) = params.split_at(a);
        let (input_bias, rest) = rest.split_at(b);
        let (output_weight, output_bias) = rest.split_at(c);
        Parts {
            input_weight,
            input_bias,
            output_weight,
            output_bias,
        }
    }

    fn parts_mut<'a>(&self, params: &'a mut [f32]) -> Parts<&'a mut [f32]> {
        let [a, b, c] = self.lengths();
        let (input_weight, rest) = params.split_at_mut(a);
        let (input_bias, rest) = rest.split_at_mut(b);
        let (output_weight, output_bias) = rest.split_at_mut(c);
        Parts {
            input_weight,
            input_bias,
            output_weight,
            output_bias,
        }
    }

    /// Values of a head at a place.
    fn size(&self) -> usize {
        self.width / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }

    /// Attends, row by row and head by head.
    fn attend(&mut self, rows: usize) {
        let (places, size, scale) = (self.places, self.size(), self.scale());
        let (of_parts, of_shares) = (places * size, places * places);
        for at in 0..rows * self.heads {
            let (row, head) = (at / self.heads, at % self.heads);
            let lines = &self.projected[row * places * 3 * self.width..];
            let parts = &mut self.parts[at * 3 * of_parts..][..3 * of_parts];
            let three = parts.chunks_exact_mut(of_parts);
            for (which, part) in three.enumerate() {
                let first = which * self.width + head * size;
                take(lines, (3 * self.width, first), size, part);
                if let (Some(rotary), 0 | 1) = (&self.rotary, which) {
                    for (place, vector) in part.chunks_exact_mut(size).enumerate() {
                        rotary.turn(place, 1.0, vector);
                    }
                }
                if which == 0 {
                    part.iter_mut().for_each(|q| *q *= scale);
                }
            }
            let part = |which: usize| Matrix::new(&parts[which * of_parts..], places, size);
            let slot = if self.keeps { at } else { 0 };
            let shares = &mut self.shares[slot * of_shares..][..of_shares];
            part(0).times_turned(part(1), shares, &mut self.turned);
            softmax(shares, places, self.causal);
            let out = room(&mut self.head.out, of_parts);
            Matrix::new(shares, places, places).times(part(2), out);
            let lines = &mut self.mixed[row * places * self.width..];
            put(out, size, lines, (self.width, head * size));
        }
    }

    /// From the slopes at what heads gave to those at queries, keys and values.
    fn attend_back(&mut self, rows: usize) {
        let (places, size, scale) = (self.places, self.size(), self.scale());
        let (of_parts, of_shares) = (places * size, places * places);
        for at in 0..rows * self.heads {
            let (row, head) = (at / self.heads, at % self.heads);
            let parts = &self.parts[at * 3 * of_parts..][..3 * of_parts];
            let part = |which: usize| Matrix::new(&parts[which * of_parts..], places, size);
            let slot = if self.keeps { at } else { 0 };
            let shares = &mut self.shares[slot * of_shares..][..of_shares];
            if !self.keeps {
                part(0).times_turned(part(1), shares, &mut self.turned);
                softmax(shares, places, self.causal);
            }
            let out = room(&mut self.head.out, of_parts);
            let from = &self.slopes[row * places * self.width..];
            take(from, (self.width, head * size), size, out);
            let slope = Matrix::new(out, places, size);
            let of_scores = room(&mut self.head.shares, of_shares);
            slope.times_turned(part(2), of_scores, &mut self.turned);
            softmax_back(shares, of_scores, places, self.causal);
            let of_scores = Matrix::new(of_scores, places, places);
            let three = room(&mut self.head.slopes, 3 * of_parts);
            let (queries, rest) = three.split_at_mut(of_parts);
            let (keys, values) = rest.split_at_mut(of_parts);
            of_scores.times(part(1), queries);
            queries.iter_mut().for_each(|q| *q *= scale);
            of_scores.turned_times(part(0), keys);
            Matrix::new(shares, places, places).turned_times(slope, values);
            let lines = &mut self.projected[row * places * 3 * self.width..];
            for (which, part) in three.chunks_exact_mut(of_parts).enumerate() {
                if let (Some(rotary), 0 | 1) = (&self.rotary, which) {
                    for (place, vector) in part.chunks_exact_mut(size).enumerate() {
                        rotary.turn(place, -1.0, vector);
                    }
                }
                let first = which * self.width + head * size;
                put(part, size, lines, (3 * self.width, first));
            }
        }
    }
}

/// Takes `size` values of each line, from the first on.
fn take(lines: &[f32], (width, first): (usize, usize), size: usize, to: &mut [f32]) {
    let both = to.chunks_exact_mut(size).zip(lines.chunks_exact(width));
    both.for_each(|(to, line)| to.copy_from_slice(&line[first..first + size]));
}

/// Puts `size` values into each line.
fn put(from: &[f32], size: usize, lines: &mut [f32], (width, first): (usize, usize)) {
    let both = from.chunks_exact(size).zip(lines.chunks_exact_mut(width));
    both.for_each(|(from, line)| line[first..first + size].copy_from_slice(from));
}

impl Operation for AttentionOperation {
    fn forward(&mut self, pass: Forward<'_>) {
        let (rows, width) = (pass.rows, self.width);
        let lines = rows * self.places;
        let tensors = self.parts(pass.params);
        let projected = room(&mut self.projected, lines * 3 * width);
        let weight = Matrix::new(tensors.input_weight, 3 * width, width);
        let input = Matrix::new(pass.input, lines, width);
        input.times_turned(weight, projected, &mut self.turned);
        if self.bias {
            add_bias(projected, tensors.input_bias);
        }
        room(&mut self.parts, lines * 3 * width);
        self.keeps = matches!(pass.mode, Mode::Train { .. });
        let kept = if self.keeps { rows * self.heads } else { 1 };
        room(&mut self.shares, kept * self.places * self.places);
        room(&mut self.mixed, lines * width);
        self.attend(rows);
        let weight = Matrix::new(tensors.output_weight, width, width);
        let mixed = Matrix::new(&self.mixed, lines, width);
        mixed.times_turned(weight, pass.output, &mut self.turned);
        if self.bias {
            add_bias(pass.output, tensors.output_bias);
        }
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let (rows, width) = (pass.rows, self.width);
        let lines = rows * self.places;
        let tensors = self.parts(pass.params);
        let gradient = self.parts_mut(pass.gradient);
        let slope = Matrix::new(pass.slope, lines, width);
        let mixed = Matrix::new(&self.mixed, lines, width);
        slope.turned_times(mixed, gradient.output_weight);
        let weight = Matrix::new(tensors.output_weight, width, width);
        slope.times(weight, room(&mut self.slopes, lines * width));
        if self.bias {
            bias_gradient(pass.slope, gradient.output_bias);
        }
        self.attend_back(rows);
        let projected = &self.projected[..lines * 3 * width];
        if self.bias {
            bias_gradient(projected, gradient.input_bias);
        }
        let slope = Matrix::new(projected, lines, 3 * width);
        slope.turned_times(Matrix::new(pass.input, lines, width), gradient.input_weight);
        if let Some(next) = pass.wanted {
            let weight = Matrix::new(tensors.input_weight, 3 * width, width);
            slope.times(weight, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::Noise;

    /// Output, gradient and slope at the input of three rows.
    fn bits(mode: Mode<'_>) -> Vec<u32> {
        let shape = [5, 4];
        let attention = Attention::new(2);
        let len = |t: &Tensor| t.shape.iter().product::<usize>();
        let count = attention.tensors(&shape).iter().map(len).sum();
        let values = |len: usize| (0..len).map(|i| ((i * 37 % 19) as f32 - 9.0) / 10.0);
        let (params, input): (Vec<f32>, Vec<f32>) = (values(count).collect(), values(60).collect());
        let mut operation = attention.operation(0, &shape);
        let (mut output, mut next) = (vec![0.0; 60], vec![0.0; 60]);
        operation.forward(Forward {
            params: &params,
            input: &input,
            rows: 3,
            mode,
            output: &mut output,
        });
        let mut gradient = vec![0.0; count];
        operation.backward(Backward {
            params: &params,
            input: &input,
            output: &output,
            slope: &mut input.clone(),
            rows: 3,
            gradient: &mut gradient,
            wanted: Some(&mut next),
        });
        let all = [output, gradient, next].concat();
        all.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn shares_that_are_worked_out_again_are_those_of_the_way_forward() {
        let noise = Noise::of_key(1);
        let train = Mode::Train { noise, fixed: &[] };
        assert_eq!(bits(train), bits(Mode::Evaluate));
    }

    #[test]
    fn heads_and_pairs_that_do_not_fit_are_refused() {
        let of = |heads, rotary| Attention {
            rotary,
            ..Attention::new(heads)
        };
        assert_eq!(of(2, true).output(&[5, 8]), Ok(vec![5, 8]));
        assert!(of(0, false).output(&[5, 8]).is_err());
        assert!(of(3, false).output(&[5, 8]).is_err());
        assert!(of(2, true).output(&[5, 6]).is_err());
        assert!(of(2, false).output(&[5]).is_err());
        assert!(of(1, false).output(&[1 << 20, 8]).is_err());
    }
}
