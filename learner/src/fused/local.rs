//! Dense layers whose weights are normal distributions, and which draw what they give in the place of their weights.
//!
//! Of independent normal weights with means `M` and deviations `S`, what the layer gives for a row `x` is independent and normal as
//! well: with mean `M x + m` and variance `(S * S) (x * x) + s * s`, the bias being of mean `m` and deviation `s` (Kingma, Salimans and
//! Welling 2015, equation 6). One number is drawn for each row and unit, and rows draw numbers of their own, which makes the gradients
//! less noisy (their section 2.2).
//!
//! With `d` the slope at what a layer gives and `f = d * noise / (2 deviation)` that at its variance, gradients are `d x'` for the
//! means and `2 S * S * f (x * x)'` for the logarithms of the deviations; the slope at the input is `M' d + 2 x * (S * S)' f`.

use super::{
    dense::{self, Dense, marked, outer},
    kernel::{Marks, Onto, View, product, transpose},
    pointwise::{Activation, sum},
    room,
};
use lyceum_core::{Mode, Noise, Update, wide};
use std::{mem::take, ops::Range};

/// A dense layer that draws what it gives.
#[derive(Clone, Debug)]
pub(super) struct Local {
    /// The layer of the means. It has no activation of its own.
    pub(super) means: Dense,
    pub(super) activation: Option<Activation>,
    /// The layer of the variances, in a buffer of its own.
    spread: Dense,
    /// Position among the layers.
    layer: usize,
    /// From a mean to the logarithm of its deviation.
    shift: usize,
}

/// Buffers of one such layer, which only ever grow.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Whether the way forward drew.
    has_drawn: bool,
    /// The input turned round, and the squares of both.
    turned: Vec<f32>,
    squares: Vec<f32>,
    turned_squares: Vec<f32>,
    /// Of weights and bias, `e^(2 rho)`.
    variances: Vec<f32>,
    /// Variance of what the layer gives, units x rows; on the way back, the slope there.
    spread: Vec<f32>,
    /// What was drawn, units x rows; later by how much a variance moves what the layer gives.
    noise: Vec<f32>,
    /// The part of the slope at the input that comes from the variances.
    back: Vec<f32>,
    /// Gradients of some units.
    of_means: Vec<f32>,
    of_variances: Vec<f32>,
    seen: Marks,
    felt: Marks,
}

/// Weights whose variances, or gradients, stay near until they are used.
const NEAR: usize = 32 << 10;

impl Local {
    pub(super) fn new(means: Dense, layer: usize, shift: usize) -> Self {
        let weights = means.units * means.inputs;
        let spread = Dense {
            by_row: true,
            weights: 0..weights,
            bias: weights..weights + means.units,
            ..means.clone()
        };
        Self {
            activation: None,
            means,
            spread,
            layer,
            shift,
        }
    }

    /// Units whose weights stay near, one group after another.
    fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let (units, most) = (self.means.units, (NEAR / self.means.inputs.max(1)).max(1));
        (0..units)
            .step_by(most)
            .map(move |start| start..units.min(start + most))
    }

    /// Where the weights of some units stand among those of the layer.
    fn weights_of(&self, units: &Range<usize>) -> Range<usize> {
        units.start * self.means.inputs..units.end * self.means.inputs
    }

    /// Where the logarithms of deviations stand of some of the layer's parameters, weights first.
    fn rhos(&self, own: &Range<usize>) -> Range<usize> {
        let first = self.means.weights.start + self.shift;
        first + own.start..first + own.end
    }

    /// Parameters of the layer that are means.
    pub(super) fn params(&self) -> Range<usize> {
        self.means.weights.start..self.means.bias.end
    }

    /// Parameters of the layer that are logarithms of deviations.
    pub(super) fn spread_params(&self) -> Range<usize> {
        self.rhos(&(0..self.spread.bias.end))
    }

    pub(super) fn forward(
        &self,
        params: &[f32],
        input: &[f32],
        rows: usize,
        (mode, out): (Mode<'_>, &mut [f32]),
        (dense, own): (&mut dense::Scratch, &mut Scratch),
    ) {
        own.has_drawn = mode.noise().is_some();
        match mode.noise() {
            Some(noise) => self.draw(params, input, rows, (noise, out), (dense, own)),
            None => self.means.forward(params, input, rows, out, dense),
        }
        if let Some(activation) = self.activation {
            wide(
                #[inline(always)]
                || activation.apply(out.iter_mut(), |v| v),
            );
        }
    }

    /// Draws what stands in front of the activation.
    fn draw(
        &self,
        params: &[f32],
        input: &[f32],
        rows: usize,
        (noise, out): (Noise, &mut [f32]),
        (dense, own): (&mut dense::Scratch, &mut Scratch),
    ) {
        let turned = room(&mut own.turned, input.len());
        // Both layouts: columns for the way forward, rows for gradients.
        let across = if self.means.by_row {
            self.means.inputs
        } else {
            rows
        };
        transpose(input, across, turned);
        square(input, room(&mut own.squares, input.len()));
        square(turned, room(&mut own.turned_squares, input.len()));
        let variances = room(&mut own.variances, self.spread.bias.end);
        let spread = room(&mut own.spread, out.len());
        if self.means.by_row && self.means.sees_zeros(input, &mut own.seen) {
            variances_of(&params[self.spread_params()], variances);
            self.means.forward(params, input, rows, out, dense);
            let squares = &own.squares[..input.len()];
            self.spread.forward(variances, squares, rows, spread, dense);
        } else {
            let (x, squares) = match self.means.by_row {
                true => (&*turned, &own.turned_squares[..input.len()]),
                false => (input, &own.squares[..input.len()]),
            };
            self.products(params, (x, squares), rows, variances, (out, spread));
        }
        let drawn = room(&mut own.noise, out.len());
        noise.local(self.layer, drawn);
        move_by(drawn, spread, out);
    }

    /// Means and variances of what the layer gives, from columns, group by group: weights are read once.
    fn products(
        &self,
        params: &[f32],
        (x, squares): (&[f32], &[f32]),
        rows: usize,
        variances: &mut [f32],
        (out, spread): (&mut [f32], &mut [f32]),
    ) {
        let inputs = self.means.inputs;
        let (x, squares) = (View::new(x, inputs, rows), View::new(squares, inputs, rows));
        let means = &params[self.means.weights.clone()];
        for units in self.groups() {
            let (at, places) = (
                self.weights_of(&units),
                units.start * rows..units.end * rows,
            );
            let view = |values| View::new(values, units.len(), inputs);
            let own = &mut variances[at.clone()];
            variances_of(&params[self.rhos(&at)], own);
            product(view(&means[at]), x, &mut out[places.clone()], Onto::REPLACE);
            product(view(own), squares, &mut spread[places], Onto::REPLACE);
        }
        let bias = self.spread.bias.clone();
        variances_of(&params[self.rhos(&bias)], &mut variances[bias.clone()]);
        let means = params[self.means.bias.clone()].iter();
        let biases = means.zip(&variances[bias]);
        let lines = out
            .chunks_exact_mut(rows)
            .zip(spread.chunks_exact_mut(rows));
        for ((out, spread), (mean, variance)) in lines.zip(biases) {
            out.iter_mut().for_each(|v| *v += mean);
            spread.iter_mut().for_each(|v| *v += variance);
        }
    }

    /// Takes the slope from behind the activation to in front of it, and from there to the variances, and to the input if it is
    /// wanted.
    pub(super) fn slopes(
        &self,
        params: &[f32],
        (input, output): (&[f32], &[f32]),
        slope: &mut [f32],
        (rows, wanted): (usize, Option<&mut [f32]>),
        own: &mut Scratch,
    ) {
        if let Some(activation) = self.activation {
            wide(
                #[inline(always)]
                || activation.walk_back(output, slope),
            );
        }
        let felt = room(&mut own.spread, slope.len());
        if own.has_drawn {
            wide(
                #[inline(always)]
                || {
                    let sites = felt.iter_mut().zip(&*slope).zip(&own.noise);
                    sites.for_each(|((felt, slope), factor)| *felt = slope * factor);
                },
            );
        }
        let Some(next) = wanted else { return };
        let Dense { units, inputs, .. } = self.means;
        let turned = |values| View::new(values, units, inputs).transposed();
        let weights = turned(&params[self.means.weights.clone()]);
        product(weights, View::new(slope, units, rows), next, Onto::REPLACE);
        if own.has_drawn {
            let variances = turned(&own.variances[self.spread.weights.clone()]);
            let back = room(&mut own.back, next.len());
            product(variances, View::new(felt, units, rows), back, Onto::REPLACE);
            wide(
                #[inline(always)]
                || {
                    let sites = next.iter_mut().zip(input).zip(&*back);
                    sites.for_each(|((next, x), back)| *next += 2.0 * x * back);
                },
            );
        }
    }

    /// Writes all gradients times `scale` to their places.
    pub(super) fn gradients(
        &self,
        (input, slope): (&[f32], &[f32]),
        rows: usize,
        (grad, scale): (&mut [f32], f32),
        (dense, own): (&mut dense::Scratch, &mut Scratch),
    ) {
        if !own.has_drawn {
            let target = (&mut *grad, Onto::scaled(scale));
            (self.means).gradients(input, slope, rows, target, dense);
            return grad[self.spread_params()].fill(0.0);
        }
        let first = self.spread_params().start;
        let (of_means, of_rhos) = grad.split_at_mut(first);
        let variances = take(&mut own.variances);
        for part in self.parts() {
            let (means, rhos) = self.places(&part);
            let rhos = rhos.start - first..rhos.end - first;
            let of_rhos = &mut of_rhos[rhos];
            let targets = (&mut of_means[means], &mut *of_rhos);
            self.part_of_gradient(&part, (input, slope), rows, (targets, scale), own);
            let variances = &variances[self.own(&part)];
            wide(
                #[inline(always)]
                || {
                    let sites = of_rhos.iter_mut().zip(variances);
                    sites.for_each(|(g, variance)| *g *= 2.0 * variance);
                },
            );
        }
        own.variances = variances;
    }

    /// Changes the parameters by their gradients, one part after another.
    pub(super) fn update(
        &self,
        params: &mut [f32],
        (input, slope): (&[f32], &[f32]),
        rows: usize,
        update: &mut Update<'_>,
        own: &mut Scratch,
    ) {
        let mut of_means = take(&mut own.of_means);
        let mut of_variances = take(&mut own.of_variances);
        for part in self.parts() {
            let (means, rhos) = self.places(&part);
            let of_means = room(&mut of_means, means.len());
            let of_variances = room(&mut of_variances, rhos.len());
            let targets = (&mut *of_means, &mut *of_variances);
            self.part_of_gradient(&part, (input, slope), rows, (targets, 1.0), own);
            let variances = &own.variances[self.own(&part)];
            update.apply_part(means, params, of_means, None);
            update.apply_part(rhos, params, of_variances, Some(variances));
        }
        (own.of_means, own.of_variances) = (of_means, of_variances);
    }

    /// The layer's parameters, in parts that stay near.
    fn parts(&self) -> impl Iterator<Item = Part> {
        self.groups().map(Part::Weights).chain([Part::Bias])
    }

    /// Where a part stands among the layer's parameters.
    fn own(&self, part: &Part) -> Range<usize> {
        match part {
            Part::Weights(units) => self.weights_of(units),
            Part::Bias => self.spread.bias.clone(),
        }
    }

    /// Where the means and the logarithms of deviations of a part stand.
    fn places(&self, part: &Part) -> (Range<usize>, Range<usize>) {
        let own = self.own(part);
        let (first, rhos) = (self.means.weights.start, self.rhos(&own));
        (first + own.start..first + own.end, rhos)
    }

    /// Writes the gradients of a part times `scale`, at the means and at the variances.
    fn part_of_gradient(
        &self,
        part: &Part,
        (input, slope): (&[f32], &[f32]),
        rows: usize,
        ((of_means, of_variances), scale): ((&mut [f32], &mut [f32]), f32),
        own: &mut Scratch,
    ) {
        let felt = &own.spread[..slope.len()];
        match part {
            Part::Weights(units) => {
                let inputs = self.means.inputs;
                let (x, squares) = match self.means.by_row {
                    true => (input, &own.squares),
                    false => (&own.turned[..], &own.turned_squares),
                };
                let (x, squares) = (View::new(x, rows, inputs), View::new(squares, rows, inputs));
                let lines = units.start * rows..units.end * rows;
                let view = |slope| View::new(slope, units.len(), rows);
                let slope = &slope[lines.clone()];
                let may_be_zero = self.activation == Some(Activation::Relu);
                let marks = may_be_zero.then_some(&mut own.felt);
                let marks = marks.and_then(|marks| marked(slope, rows, marks));
                outer((view(slope), marks), x, of_means, Onto::scaled(scale));
                // A variance has no slope where there is none at what the layer gives.
                let felt = (view(&felt[lines]), marks);
                outer(felt, squares, of_variances, Onto::scaled(scale));
            }
            Part::Bias => {
                let write = |slope: &[f32], out: &mut [f32]| {
                    Onto::scaled(scale).write(out, slope.chunks_exact(rows).map(sum));
                };
                write(slope, of_means);
                write(felt, of_variances);
            }
        }
    }
}

/// A part of a layer's parameters.
enum Part {
    /// The weights of some units.
    Weights(Range<usize>),
    Bias,
}

/// Moves what a layer gives by its deviation times what was drawn, in whose place then stands what that is for the variance: half of
/// what was drawn, over the deviation.
fn move_by(drawn: &mut [f32], variances: &[f32], out: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            let sites = out.iter_mut().zip(&mut *drawn).zip(variances);
            for ((out, drawn), variance) in sites {
                let deviation = variance.sqrt();
                *out += deviation * *drawn;
                *drawn = 0.5 * *drawn / deviation;
            }
        },
    );
}

/// Writes the square of each value.
fn square(values: &[f32], out: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            let sites = out.iter_mut().zip(values);
            sites.for_each(|(square, x)| *square = x * x);
        },
    );
}

/// Writes `e^(2 rho)` of each logarithm of a deviation.
fn variances_of(rhos: &[f32], out: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            let sites = out.iter_mut().zip(rhos);
            sites.for_each(|(variance, rho)| *variance = variance_of(*rho));
        },
    );
}

/// Adding it to a number below 2^22 rounds that to the nearest integer, which then stands in the last bits.
const MAGIC: f32 = 1.5 * (1_u32 << 23) as f32;
/// Least and largest power of two that is kept: a variance is neither 0 nor infinite.
const POWERS: (f32, f32) = (-125.0, 127.0);
/// A polynomial for `2^r` of |r| <= 1/2, by its values at Chebyshev's points: off by less than 3e-7 of the value.
const SERIES: [f32; 6] = [
    0.001_339_086_3,
    0.009_676_032,
    0.055_503_57,
    0.240_221_07,
    std::f32::consts::LN_2,
    1.000_000_1,
];

/// `e^(2 rho)`, off by less than 2e-6 of it: what noise is scaled by needs no last place, and half the width makes vectors
/// of twice as many values.
#[inline(always)]
fn variance_of(rho: f32) -> f32 {
    // Written so that a value that is no number stays one.
    let power = rho * (2.0 * std::f32::consts::LOG2_E);
    let power = if power < POWERS.0 { POWERS.0 } else { power };
    let power = if power > POWERS.1 { POWERS.1 } else { power };
    let shifted = power + MAGIC;
    let r = power - (shifted - MAGIC);
    let series = SERIES[1..]
        .iter()
        .fold(SERIES[0], |sum, term| sum * r + term);
    let whole = shifted.to_bits().wrapping_sub(MAGIC.to_bits());
    series * f32::from_bits(whole.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variances_are_squares_of_deviations() {
        for step in -8000..8000 {
            let rho = step as f32 / 200.0;
            let (got, want) = (f64::from(variance_of(rho)), (2.0 * f64::from(rho)).exp());
            assert!((got / want - 1.0).abs() < 4e-6, "{rho}: {got} {want}");
        }
        assert!(variance_of(f32::NEG_INFINITY) > 0.0 && variance_of(f32::INFINITY).is_finite());
        assert!(variance_of(f32::NAN).is_nan());
        let many: Vec<f32> = (0..70).map(|i| i as f32 * 0.3 - 9.0).collect();
        let (mut all, each) = (vec![0.0; 70], many.iter().map(|rho| variance_of(*rho)));
        variances_of(&many, &mut all);
        assert_eq!(all, each.collect::<Vec<_>>());
    }
}
