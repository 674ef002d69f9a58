//! Multi-head attention of a sequence to itself.

use crate::{
    embedding::check_deviation,
    matrix::{Matrix, add_bias, bias_gradient},
    positions::sequence,
    room,
    rotary::Rotary,
};
use lyceum_core::{Backward, Forward, Initial, LayerKind, Operation, Tensor, exp, wide};
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
    /// Of each row and head: places x places.
    shares: Vec<f32>,
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
            let shares = &mut self.shares[at * of_shares..][..of_shares];
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
            let shares = &self.shares[at * of_shares..][..of_shares];
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

/// Sixteen lanes at once, then over the lanes: an order that every width of vectors keeps.
#[inline(always)]
fn fold(values: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [start; 16];
    for chunk in chunks {
        let sites = lanes.iter_mut().zip(chunk);
        sites.for_each(|(lane, v)| *lane = join(*lane, *v));
    }
    let all = lanes.into_iter().fold(start, &join);
    rest.iter().fold(all, |sum, v| join(sum, *v))
}

/// How many places a place sees.
fn seen(place: usize, places: usize, causal: bool) -> usize {
    if causal { place + 1 } else { places }
}

/// From scores to shares, each line by itself; what a place does not see has no share.
fn softmax(scores: &mut [f32], places: usize, causal: bool) {
    wide(
        #[inline(always)]
        || {
            for (place, line) in scores.chunks_exact_mut(places).enumerate() {
                let (line, unseen) = line.split_at_mut(seen(place, places, causal));
                let top = fold(line, f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
                line.iter_mut().for_each(|s| *s = exp(*s - top));
                let share = 1.0 / fold(line, 0.0, |a, b| a + b);
                line.iter_mut().for_each(|s| *s *= share);
                unseen.fill(0.0);
            }
        },
    );
}

/// From slopes at shares to slopes at scores.
fn softmax_back(shares: &[f32], slopes: &mut [f32], places: usize, causal: bool) {
    wide(
        #[inline(always)]
        || {
            let lines = slopes.chunks_exact_mut(places);
            for (place, (slopes, shares)) in lines.zip(shares.chunks_exact(places)).enumerate() {
                let (slopes, unseen) = slopes.split_at_mut(seen(place, places, causal));
                slopes.iter_mut().zip(shares).for_each(|(s, p)| *s *= p);
                let mean = fold(slopes, 0.0, |a, b| a + b);
                slopes
                    .iter_mut()
                    .zip(shares)
                    .for_each(|(s, p)| *s -= mean * p);
                unseen.fill(0.0);
            }
        },
    );
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
        room(&mut self.shares, lines * self.heads * self.places);
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
