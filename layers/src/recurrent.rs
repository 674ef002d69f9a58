//! What recurrent layers share: products with all places at once, then one place after the other.

use crate::{
    cell::{BackStep, Cell, Step},
    matrix::Matrix,
    panels::{LANES, Panels, Sizes, Ways, for_panels, gather, scatter, split},
    room,
};
use lyceum_core::{Backward, Forward, Initial, Operation, Tensor, wide};

/// The shape that comes out, or what is wrong.
pub(crate) fn output(units: usize, last: bool, input: &[usize]) -> Result<Vec<usize>, String> {
    crate::at_least_one("units", units)?;
    let [places, _] = crate::positions::sequence(input)?;
    Ok(match last {
        true => vec![units],
        false => vec![places, units],
    })
}

/// Weights for the input and the state, then a bias for both: as PyTorch has them, and drawn as there.
pub(crate) fn tensors(gates: usize, units: usize, input: &[usize]) -> Vec<Tensor> {
    let rows = gates.saturating_mul(units);
    let bound = 1.0 / (units as f64).sqrt();
    let tensor = |name, shape| Tensor::trainable(name, shape, Initial::Uniform { bound });
    vec![
        tensor("input_weight", vec![rows, crate::last(input)]),
        tensor("hidden_weight", vec![rows, units]),
        tensor("input_bias", vec![rows]),
        tensor("hidden_bias", vec![rows]),
    ]
}

pub(crate) fn multiplications(gates: usize, units: usize, input: &[usize]) -> u64 {
    let [places, features] = [0, 1].map(|at| input.get(at).copied().unwrap_or(0) as u64);
    places * (gates as u64) * (units as u64) * (features + units as u64)
}

/// A recurrent layer with its buffers. A *step* is a place in the order in which the state goes through them.
#[derive(Debug)]
pub(crate) struct Recurrent<C> {
    cell: C,
    sizes: Sizes,
    input_weight: Panels,
    hidden_weight: Panels,
    /// Both biases, panel by panel.
    biases: [Vec<f32>; 2],
    own: Vec<f32>,
    /// steps x rows x features.
    inputs: Vec<f32>,
    /// panels x steps x rows x gates.
    gates: Vec<f32>,
    /// Slopes at the products with the state, if they are other ones: as `gates`.
    hidden_slopes: Vec<f32>,
    /// panels x steps x rows x kept.
    kept: Vec<f32>,
    /// steps x rows x units.
    states: Vec<f32>,
    /// Products of a panel with the state.
    hidden: Vec<f32>,
    /// Slope at the state before, rows x units.
    state_slope: Vec<f32>,
    /// panels x rows.
    carry: Vec<f32>,
    /// State before, new state or its slope, of a panel.
    lanes: [Vec<f32>; 2],
    zeros: Vec<f32>,
    weight_gradient: Vec<f32>,
    input_slopes: Vec<f32>,
}

impl<C: Cell> Recurrent<C> {
    pub(crate) fn new(cell: C, units: usize, ways: Ways, input: &[usize]) -> Self {
        Self {
            cell,
            sizes: Sizes {
                places: input[0],
                features: input[1],
                units,
                gates: C::GATES,
                ways,
            },
            input_weight: Panels::default(),
            hidden_weight: Panels::default(),
            biases: [const { Vec::new() }; 2],
            own: Vec::new(),
            inputs: Vec::new(),
            gates: Vec::new(),
            hidden_slopes: Vec::new(),
            kept: Vec::new(),
            states: Vec::new(),
            hidden: Vec::new(),
            state_slope: Vec::new(),
            carry: Vec::new(),
            lanes: [const { Vec::new() }; 2],
            zeros: Vec::new(),
            weight_gradient: Vec::new(),
            input_slopes: Vec::new(),
        }
    }

    /// Makes room for everything, and lays parameters and input out.
    fn prepare(&mut self, pass: &Forward<'_>) {
        let Self { sizes, .. } = *self;
        let (rows, lines) = (pass.rows, sizes.lines());
        let steps = sizes.places * rows;
        let [input_weight, hidden_weight, input_bias, hidden_bias, own] = split(pass.params, sizes);
        self.input_weight.fill(input_weight, sizes.features, sizes);
        self.hidden_weight.fill(hidden_weight, sizes.units, sizes);
        for (to, from) in self.biases.iter_mut().zip([input_bias, hidden_bias]) {
            let to = room(to, sizes.panels() * lines);
            for_panels(sizes, |line, first, count| {
                to[line..][..count].copy_from_slice(&from[first..][..count]);
            });
        }
        room(&mut self.own, sizes.panels() * LANES)[..own.len()].copy_from_slice(own);
        let inputs = room(&mut self.inputs, steps * sizes.features);
        for (step, inputs) in inputs.chunks_exact_mut(rows * sizes.features).enumerate() {
            let samples = pass.input.chunks_exact(sizes.places * sizes.features);
            for (to, sample) in inputs.chunks_exact_mut(sizes.features).zip(samples) {
                let from = sizes.place(step) * sizes.features;
                to.copy_from_slice(&sample[from..][..sizes.features]);
            }
        }
        room(&mut self.gates, sizes.panels() * steps * lines);
        room(&mut self.kept, sizes.panels() * steps * C::KEPT * LANES);
        room(&mut self.states, steps * sizes.units);
        room(&mut self.hidden, rows * lines);
        room(
            &mut self.zeros,
            rows * sizes.units.max(LANES * C::KEPT.max(1)),
        );
        for lanes in &mut self.lanes {
            room(lanes, rows * LANES);
        }
    }

    fn step(&mut self, step: usize, rows: usize) {
        let Self { sizes, .. } = *self;
        let (lines, units) = (sizes.lines(), sizes.units);
        let steps = sizes.places * rows;
        let width = rows * units;
        let (done, new) = self.states.split_at_mut(step * width);
        let before = match step {
            0 => &self.zeros[..width],
            _ => &done[(step - 1) * width..],
        };
        let hidden = &mut self.hidden[..rows * lines];
        for panel in 0..sizes.panels() {
            match step {
                0 => hidden.fill(0.0),
                _ => {
                    let weights = self.hidden_weight.turned(panel, units, sizes);
                    Matrix::new(before, rows, units).times(weights, hidden);
                }
            }
            let [lanes_before, state] = &mut self.lanes;
            gather(before, units, sizes.units_of(panel), lanes_before);
            let kept = &mut self.kept[panel * steps * C::KEPT * LANES..];
            let (kept_before, kept) = kept.split_at_mut(step * rows * C::KEPT * LANES);
            let kept_before = match step {
                0 => &self.zeros[..rows * C::KEPT * LANES],
                _ => &kept_before[(step - 1) * rows * C::KEPT * LANES..],
            };
            let mut at = Step {
                gates: &mut self.gates[(panel * steps + step * rows) * lines..][..rows * lines],
                hidden,
                biases: self.biases.each_ref().map(|b| &b[panel * lines..][..lines]),
                own: &self.own[panel * LANES..][..LANES],
                before: &lanes_before[..rows * LANES],
                kept_before,
                kept: &mut kept[..rows * C::KEPT * LANES],
                state: &mut state[..rows * LANES],
            };
            let cell = &self.cell;
            wide(
                #[inline(always)]
                || cell.forward(&mut at),
            );
            scatter(at.state, units, sizes.units_of(panel), &mut new[..width]);
        }
    }

    /// What comes out of the states.
    fn give(&self, rows: usize, output: &mut [f32]) {
        let Self { sizes, .. } = *self;
        let width = rows * sizes.units;
        let mut states = self.states.chunks_exact(width).take(sizes.places);
        if sizes.ways.last {
            states
                .next_back()
                .into_iter()
                .for_each(|s| output.copy_from_slice(s));
            return;
        }
        for (step, states) in states.enumerate() {
            let samples = output.chunks_exact_mut(sizes.places * sizes.units);
            for (sample, state) in samples.zip(states.chunks_exact(sizes.units)) {
                let to = sizes.place(step) * sizes.units;
                sample[to..][..sizes.units].copy_from_slice(state);
            }
        }
    }

    /// Adds the slope that came out at a step to that of the state.
    fn take_slope(&mut self, step: usize, rows: usize, slope: &[f32]) {
        let Self { sizes, .. } = *self;
        let states = &mut self.state_slope[..rows * sizes.units];
        let add = |to: &mut [f32], from: &[f32]| to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
        if sizes.ways.last {
            if step + 1 == sizes.places {
                add(states, slope);
            }
            return;
        }
        let samples = slope.chunks_exact(sizes.places * sizes.units);
        for (state, sample) in states.chunks_exact_mut(sizes.units).zip(samples) {
            let from = sizes.place(step) * sizes.units;
            add(state, &sample[from..][..sizes.units]);
        }
    }

    fn step_back(&mut self, step: usize, rows: usize, own_gradient: &mut [f32]) {
        let Self { sizes, .. } = *self;
        let (lines, units) = (sizes.lines(), sizes.units);
        let steps = sizes.places * rows;
        let width = rows * units;
        let before = match step {
            0 => &self.zeros[..width],
            _ => &self.states[(step - 1) * width..][..width],
        };
        for panel in 0..sizes.panels() {
            let [lanes_before, slope] = &mut self.lanes;
            let own_units = sizes.units_of(panel);
            gather(before, units, own_units, lanes_before);
            gather(&self.state_slope[..width], units, own_units, slope);
            let kept = &self.kept[panel * steps * C::KEPT * LANES..];
            let kept_of =
                |step: usize| &kept[step * rows * C::KEPT * LANES..][..rows * C::KEPT * LANES];
            let gates = (panel * steps + step * rows) * lines;
            let mut own = [0.0; LANES];
            let mut at = BackStep {
                gates: &mut self.gates[gates..][..rows * lines],
                hidden: match C::SPLIT {
                    true => &mut self.hidden_slopes[gates..][..rows * lines],
                    false => &mut [],
                },
                own: &self.own[panel * LANES..][..LANES],
                before: &lanes_before[..rows * LANES],
                kept_before: match step {
                    0 => &self.zeros[..rows * C::KEPT * LANES],
                    _ => kept_of(step - 1),
                },
                kept: kept_of(step),
                slope: &slope[..rows * LANES],
                carry: &mut self.carry[panel * rows * LANES..][..rows * LANES],
                own_gradient: &mut own,
            };
            let cell = &self.cell;
            wide(
                #[inline(always)]
                || cell.backward(&mut at),
            );
            let sites = own_gradient.iter_mut().skip(own_units.0).zip(own);
            sites.for_each(|(g, own)| *g += own);
        }
        self.slope_of_state(step, rows);
    }

    /// The slope at the state before a step, from those at its products.
    fn slope_of_state(&mut self, step: usize, rows: usize) {
        let Self { sizes, .. } = *self;
        if step == 0 {
            return;
        }
        let steps = sizes.places * rows;
        let out = &mut self.state_slope[..rows * sizes.units];
        let slopes = if C::SPLIT {
            &self.hidden_slopes
        } else {
            &self.gates
        };
        for panel in 0..sizes.panels() {
            let from = (panel * steps + step * rows) * sizes.lines();
            let slope = Matrix::new(&slopes[from..], rows, sizes.lines());
            let weights = self.hidden_weight.lines(panel, sizes.units, sizes);
            match panel {
                0 => slope.times(weights, out),
                _ => slope.times_added(weights, out),
            }
        }
    }

    /// The gradients of weights and biases, all places at once.
    fn gradients(&mut self, rows: usize, gradient: &mut [f32]) {
        let Self { sizes, .. } = *self;
        let (lines, steps) = (sizes.lines(), sizes.places * rows);
        let [input_len, hidden_len, rows_len, _] = sizes.lengths();
        let (of_input, rest) = gradient.split_at_mut(input_len);
        let (of_hidden, rest) = rest.split_at_mut(hidden_len);
        let (input_bias, hidden_bias) = rest.split_at_mut(rows_len);
        let wider = sizes.features.max(sizes.units);
        let room = room(&mut self.weight_gradient, lines * wider);
        for panel in 0..sizes.panels() {
            let (unit, count) = sizes.units_of(panel);
            let from = panel * steps * lines;
            let input = &self.gates[from..][..steps * lines];
            let hidden = match C::SPLIT {
                true => &self.hidden_slopes[from..][..steps * lines],
                false => input,
            };
            let put = |from: &[f32], width: usize, to: &mut [f32]| {
                for (gate, from) in from.chunks_exact(LANES * width).enumerate() {
                    let at = (gate * sizes.units + unit) * width;
                    to[at..][..count * width].copy_from_slice(&from[..count * width]);
                }
            };
            let out = &mut room[..lines * sizes.features];
            let inputs = Matrix::new(&self.inputs, steps, sizes.features);
            Matrix::new(input, steps, lines).turned_times(inputs, out);
            put(out, sizes.features, of_input);
            let out = &mut room[..lines * sizes.units];
            let states = Matrix::new(&self.states, steps - rows, sizes.units);
            Matrix::new(&hidden[rows * lines..], steps - rows, lines).turned_times(states, out);
            put(out, sizes.units, of_hidden);
            let out = &mut room[..lines];
            crate::matrix::bias_gradient(input, out);
            put(out, 1, input_bias);
            crate::matrix::bias_gradient(hidden, out);
            put(out, 1, hidden_bias);
        }
    }

    /// The slope at what went in.
    fn slope_of_input(&mut self, rows: usize, next: &mut [f32]) {
        let Self { sizes, .. } = *self;
        let (lines, steps) = (sizes.lines(), sizes.places * rows);
        let out = room(&mut self.input_slopes, steps * sizes.features);
        for panel in 0..sizes.panels() {
            let slope = Matrix::new(&self.gates[panel * steps * lines..], steps, lines);
            let weights = self.input_weight.lines(panel, sizes.features, sizes);
            match panel {
                0 => slope.times(weights, out),
                _ => slope.times_added(weights, out),
            }
        }
        for (step, slopes) in out.chunks_exact(rows * sizes.features).enumerate() {
            let samples = next.chunks_exact_mut(sizes.places * sizes.features);
            for (sample, slope) in samples.zip(slopes.chunks_exact(sizes.features)) {
                let to = sizes.place(step) * sizes.features;
                sample[to..][..sizes.features].copy_from_slice(slope);
            }
        }
    }
}

impl<C: Cell> Operation for Recurrent<C> {
    fn forward(&mut self, pass: Forward<'_>) {
        self.prepare(&pass);
        let Self { sizes, .. } = *self;
        let steps = sizes.places * pass.rows;
        let inputs = Matrix::new(&self.inputs, steps, sizes.features);
        let gates = self.gates.chunks_exact_mut(steps * sizes.lines());
        for (panel, gates) in gates.take(sizes.panels()).enumerate() {
            let weights = self.input_weight.turned(panel, sizes.features, sizes);
            inputs.times(weights, gates);
        }
        for step in 0..sizes.places {
            self.step(step, pass.rows);
        }
        self.give(pass.rows, pass.output);
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let Self { sizes, .. } = *self;
        let rows = pass.rows;
        let tensors: usize = sizes.lengths().iter().sum();
        let (gradient, own_gradient) = pass.gradient.split_at_mut(tensors);
        own_gradient.fill(0.0);
        if C::SPLIT {
            let len = sizes.panels() * sizes.places * rows * sizes.lines();
            room(&mut self.hidden_slopes, len);
        }
        room(&mut self.carry, sizes.panels() * rows * LANES).fill(0.0);
        room(&mut self.state_slope, rows * sizes.units).fill(0.0);
        for step in (0..sizes.places).rev() {
            self.take_slope(step, rows, pass.slope);
            self.step_back(step, rows, own_gradient);
        }
        self.gradients(rows, gradient);
        if let Some(next) = pass.wanted {
            self.slope_of_input(rows, next);
        }
    }
}
