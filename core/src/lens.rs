//! How a task shows samples: pixels moved, turned, blurred by noise, and labels renamed. Data, not code, so that a
//! buffer needs to keep no more of a sample than its place and its task.

use crate::{Purpose, Seed, Ticket};
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// What a task does to the samples it shows, one after another, while a batch is packed.
///
/// **Invariant:** the same sample looks the same every time.
#[derive(Clone, Debug, Default)]
pub struct Lens {
    /// In this order, on converted values.
    pub pixels: Vec<Pixels>,
    /// The label that stands for each label of the data set; `None` keeps them.
    pub labels: Option<Arc<[u32]>>,
}

/// One change of a sample's values.
#[derive(Clone, Debug)]
pub enum Pixels {
    /// Value `i` becomes value `order[i]`. As long as the sample.
    Moved(Arc<[u32]>),
    /// Value `i` becomes a weighted sum of four: a picture turned or shifted, with bilinear weights.
    Mixed(Arc<[[(u32, f32); 4]]>),
    /// Adds normal noise that depends on the sample's place alone.
    Noisy {
        /// Standard deviation.
        deviation: f32,
        /// Sets the noise of one task apart from another's.
        seed: Seed,
    },
    /// `factor * value + shift`.
    Scaled {
        /// Multiplied first.
        factor: f32,
        /// Added then.
        shift: f32,
    },
    /// Value `i` becomes `factors[i] * value + shifts[i]`. As long as the sample.
    Skewed {
        /// Multiplied first.
        factors: Arc<[f32]>,
        /// Added then.
        shifts: Arc<[f32]>,
    },
}

impl Lens {
    /// Whether samples are shown as they are.
    pub fn is_plain(&self) -> bool {
        self.pixels.is_empty() && self.labels.is_none()
    }

    /// The label under which a class of the data set is shown.
    pub fn label(&self, label: u32) -> u32 {
        match &self.labels {
            Some(names) => names.get(label as usize).copied().unwrap_or(label),
            None => label,
        }
    }

    /// Changes the values of the sample at `index` of its pool. `spare` is grown where it is needed.
    pub fn apply(&self, index: usize, row: &mut [f32], spare: &mut Vec<f32>) {
        for change in &self.pixels {
            match change {
                Pixels::Moved(order) => {
                    copy(row, spare);
                    let places = row.iter_mut().zip(order.iter());
                    places.for_each(|(v, &from)| *v = spare[from as usize]);
                }
                Pixels::Mixed(taps) => {
                    copy(row, spare);
                    for (v, taps) in row.iter_mut().zip(taps.iter()) {
                        *v = taps
                            .iter()
                            .map(|&(from, share)| share * spare[from as usize])
                            .sum();
                    }
                }
                Pixels::Noisy { deviation, seed } => {
                    let mut rng = seed.stream(Purpose::STREAM, Ticket(index as u64), None);
                    for v in row.iter_mut() {
                        let draw: f32 = StandardNormal.sample(&mut rng);
                        *v += deviation * draw;
                    }
                }
                Pixels::Scaled { factor, shift } => {
                    row.iter_mut().for_each(|v| *v = factor * *v + shift);
                }
                Pixels::Skewed { factors, shifts } => {
                    let places = row.iter_mut().zip(factors.iter().zip(shifts.iter()));
                    places.for_each(|(v, (factor, shift))| *v = factor * *v + shift);
                }
            }
        }
    }
}

fn copy(row: &[f32], spare: &mut Vec<f32>) {
    spare.clear();
    spare.extend_from_slice(row);
}

impl Pixels {
    /// A picture (channels x height x width, or flat and square) turned by `degrees` against the clock around its
    /// middle, with bilinear weights and nothing from beyond its edge.
    pub fn rotated(shape: &[usize], degrees: f64) -> Option<Self> {
        let [channels, height, width] = picture(shape)?;
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (cy, cx) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let mut taps = Vec::with_capacity(channels * height * width);
        for channel in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let (dy, dx) = (y as f64 - cy, x as f64 - cx);
                    let from = (cy + cos * dy + sin * dx, cx - sin * dy + cos * dx);
                    taps.push(bilinear(from, [height, width], channel * height * width));
                }
            }
        }
        Some(Self::Mixed(taps.into()))
    }
}

/// Shape as channels x height x width; a flat sample counts as a square picture if it can be one.
fn picture(shape: &[usize]) -> Option<[usize; 3]> {
    match *shape {
        [channels, height, width] => Some([channels, height, width]),
        [flat] => {
            let side = flat.isqrt();
            (side * side == flat).then_some([1, side, side])
        }
        _ => None,
    }
}

fn bilinear((y, x): (f64, f64), [height, width]: [usize; 2], start: usize) -> [(u32, f32); 4] {
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = (y - top, x - left);
    let corner = |dy: f64, dx: f64, share: f64| {
        let (row, column) = (top + dy, left + dx);
        let inside = row >= 0.0 && column >= 0.0 && row < height as f64 && column < width as f64;
        match inside {
            true => (
                (start + row as usize * width + column as usize) as u32,
                share as f32,
            ),
            false => (start as u32, 0.0),
        }
    };
    [
        corner(0.0, 0.0, (1.0 - down) * (1.0 - right)),
        corner(0.0, 1.0, (1.0 - down) * right),
        corner(1.0, 0.0, down * (1.0 - right)),
        corner(1.0, 1.0, down * right),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(change: Pixels, row: &[f32]) -> Vec<f32> {
        let lens = Lens {
            pixels: vec![change],
            labels: None,
        };
        let mut row = row.to_vec();
        lens.apply(3, &mut row, &mut Vec::new());
        row
    }

    #[test]
    fn a_quarter_turn_moves_rows_to_columns() {
        let picture: Vec<f32> = (0..9).map(|v| v as f32).collect();
        let turned = seen(Pixels::rotated(&[1, 3, 3], 90.0).unwrap(), &picture);
        let want = [2.0, 5.0, 8.0, 1.0, 4.0, 7.0, 0.0, 3.0, 6.0];
        let near = turned.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "{turned:?}");
        assert!(Pixels::rotated(&[5], 90.0).is_none());
    }

    #[test]
    fn noise_depends_on_the_place_alone() {
        let noisy = |seed| Pixels::Noisy {
            deviation: 0.1,
            seed: Seed(seed),
        };
        assert_eq!(seen(noisy(1), &[0.5; 4]), seen(noisy(1), &[0.5; 4]));
        assert_ne!(seen(noisy(1), &[0.5; 4]), seen(noisy(2), &[0.5; 4]));
    }

    #[test]
    fn moving_and_scaling_do_what_they_say() {
        assert_eq!(
            seen(Pixels::Moved([2, 0, 1].into()), &[1.0, 2.0, 3.0]),
            [3.0, 1.0, 2.0]
        );
        assert_eq!(
            seen(
                Pixels::Scaled {
                    factor: 2.0,
                    shift: -1.0
                },
                &[1.0, 2.0]
            ),
            [1.0, 3.0]
        );
        let skewed = Pixels::Skewed {
            factors: [2.0, 0.5].into(),
            shifts: [0.0, 1.0].into(),
        };
        assert_eq!(seen(skewed, &[1.0, 2.0]), [2.0, 2.0]);
        let lens = Lens {
            pixels: vec![],
            labels: Some([1, 0].into()),
        };
        assert_eq!((lens.label(0), lens.label(1), lens.label(7)), (1, 0, 7));
    }
}
