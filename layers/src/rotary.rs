//! Rotary positions, with the same bits on every machine.

use std::f64::consts::{FRAC_1_PI, PI};

/// Natural logarithm of the base, 10000.
const LN_BASE: f64 = 9.210_340_371_976_184;

/// `e^x` for x from -20 to 0, in 64 bits: by its series at x / 1024, squared ten times.
fn power(x: f64) -> f64 {
    const HALVINGS: u32 = 10;
    let small = x / f64::from(1_u32 << HALVINGS);
    let near = (1..=10)
        .rev()
        .fold(1.0, |sum, n| 1.0 + sum * small / f64::from(n));
    (0..HALVINGS).fold(near, |value, _| value * value)
}

/// Sine and cosine of an angle below 2^30, in 64 bits.
fn sine_cosine(angle: f64) -> (f64, f64) {
    /// What `PI` is too small by.
    const REST: f64 = 1.224_646_799_147_353_2e-16;
    let turns = (angle * FRAC_1_PI).round();
    let x = (angle - turns * PI) - turns * REST;
    let square = x * x;
    let series = |first: u32| {
        let steps = (1..=11)
            .rev()
            .map(|n| f64::from((2 * n + first) * (2 * n + first - 1)));
        steps.fold(1.0, |sum, step| 1.0 - sum * square / step)
    };
    // Half a turn changes both signs.
    let sign = if turns % 2.0 == 0.0 { 1.0 } else { -1.0 };
    (sign * x * series(1), sign * series(0))
}

/// Cosines and sines of the angles `place * 10000^(-2 i / width)`, places x width/2 each.
#[derive(Debug)]
pub(crate) struct Rotary {
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rotary {
    pub(crate) fn new(places: usize, width: usize) -> Self {
        let half = width / 2;
        let rates: Vec<f64> = (0..half)
            .map(|i| power(-LN_BASE * (2 * i) as f64 / width as f64))
            .collect();
        let angles = (0..places).flat_map(|place| rates.iter().map(move |r| r * place as f64));
        let (sines, cosines) = angles
            .map(sine_cosine)
            .map(|(sine, cosine)| (sine as f32, cosine as f32))
            .unzip();
        Self {
            half,
            cosines,
            sines,
        }
    }

    /// Turns the vector of a place, in which value `i` and value `i + width/2` are a pair; `direction` is 1, or -1 for back.
    #[inline(always)]
    pub(crate) fn turn(&self, place: usize, direction: f32, vector: &mut [f32]) {
        let range = place * self.half..(place + 1) * self.half;
        let angles = self.cosines[range.clone()].iter().zip(&self.sines[range]);
        let (left, right) = vector.split_at_mut(self.half);
        for ((l, r), (cosine, sine)) in left.iter_mut().zip(right).zip(angles) {
            let sine = direction * sine;
            (*l, *r) = (*l * cosine - *r * sine, *r * cosine + *l * sine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_and_angles_are_those_of_the_library() {
        for step in 0..1000 {
            let x = -f64::from(step) * 0.02;
            assert!((power(x) / x.exp() - 1.0).abs() < 1e-12, "e^{x}");
            let angle = f64::from(step) * 1.37;
            let (sine, cosine) = sine_cosine(angle);
            assert!((sine - angle.sin()).abs() < 1e-12, "sin {angle}");
            assert!((cosine - angle.cos()).abs() < 1e-12, "cos {angle}");
        }
    }

    #[test]
    fn a_turn_and_its_opposite_leave_a_vector_as_it_was() {
        let rotary = Rotary::new(5, 4);
        let mut vector = [1.0, 2.0, 3.0, 4.0];
        rotary.turn(0, 1.0, &mut vector);
        assert_eq!(vector, [1.0, 2.0, 3.0, 4.0]);
        rotary.turn(3, 1.0, &mut vector);
        // By hand: the pair (1, 3) turns by 3.
        assert!((vector[0] - (3_f32.cos() - 3.0 * 3_f32.sin())).abs() < 1e-6);
        rotary.turn(3, -1.0, &mut vector);
        let off = vector.iter().zip([1.0, 2.0, 3.0, 4.0]);
        assert!(off.map(|(a, b)| (a - b).abs()).all(|off| off < 1e-6));
    }
}
