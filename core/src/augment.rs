//! Samples changed at random while they are trained on, by addressed draws.

use crate::{
    Batch, Stream,
    units::{Count, Decay, Fraction, Positive},
};
use rand::RngExt;
use rand_distr::{Beta, Distribution};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One change of the samples of a step, on values as they reach the model. Tests see samples as they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {
    /// A window of the image's size, at a random place of the image with zeros around it.
    Crop(Crop),
    /// Left and right change places.
    Flip(Flip),
    /// A square of zeros around a random place, cut off at the edges (DeVries and Taylor 2017).
    Cutout(Cutout),
    /// Rows of a step are mixed with others of it, and so are their labels (Zhang et al. 2018).
    Mixup(Mixup),
    /// Tokens become another token, such as that for unknown ones.
    DropTokens(DropTokens),
}

/// Settings of `crop`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Zeros on every side; 4 by default.
    #[serde(default = "four")]
    pub padding: Count,
}

/// Settings of `flip`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// Share of samples; 0.5 by default.
    #[serde(default = "half")]
    pub share: Fraction,
}

/// Settings of `cutout`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cutout {
    /// Side of the square.
    pub size: Count,
}

/// Settings of `mixup`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    /// A step's share of the other rows is from Beta(alpha, alpha); 0.2 by default.
    #[serde(default = "fifth")]
    pub alpha: Positive,
}

/// Settings of `drop_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropTokens {
    /// Share of the tokens; 0.1 by default.
    #[serde(default = "tenth")]
    pub share: Decay,
    /// What they become; 0 by default.
    #[serde(default)]
    pub token: u32,
}

fn four() -> Count {
    Count::new(4).expect("4 is in range")
}
fn half() -> Fraction {
    Fraction::new(0.5).expect("0.5 is in range")
}
fn fifth() -> Positive {
    Positive::new(0.2).expect("0.2 is in range")
}
fn tenth() -> Decay {
    Decay::new(0.1).expect("0.1 is in range")
}

impl Augmentation {
    /// What of it does not go with samples of this shape: what is wrong, and what would be right.
    pub fn unfit(&self, shape: &[usize]) -> Option<(String, String)> {
        let name = match self {
            Self::Crop(_) => "crop",
            Self::Flip(_) => "flip",
            Self::Cutout(_) => "cutout",
            Self::Mixup(_) | Self::DropTokens(_) => return None,
        };
        let wrong = |message: String, right: &str| Some((message, right.to_owned()));
        let [_, height, width] = *shape else {
            let message = format!("`{name}` changes images, and samples are {shape:?}");
            return wrong(message, "expected samples of channels x height x width");
        };
        let side = height.min(width);
        match self {
            Self::Crop(crop) if crop.padding.get() >= side => wrong(
                format!(
                    "a padding of {} leaves windows without the image",
                    crop.padding.get()
                ),
                &format!("expected less than the image's side, {side}"),
            ),
            Self::Cutout(cutout) if cutout.size.get() >= 2 * side => wrong(
                format!("a square of {} covers the image", cutout.size.get()),
                &format!("expected less than twice the image's side, {side}"),
            ),
            _ => None,
        }
    }

    /// Changes a batch of samples of this shape, which fits.
    pub fn apply(&self, batch: &mut Batch, shape: &[usize], classes: usize, rng: &mut Stream) {
        let width = shape.iter().product::<usize>().max(1);
        let Batch { inputs, spare, .. } = batch;
        match *self {
            Self::Crop(Crop { padding }) => {
                for row in inputs.chunks_exact_mut(width) {
                    crop(row, shape, padding.get(), spare, rng);
                }
            }
            Self::Flip(Flip { share }) => {
                for row in inputs.chunks_exact_mut(width) {
                    if rng.random::<f64>() < share.get() {
                        row.chunks_exact_mut(shape[2]).for_each(<[f32]>::reverse);
                    }
                }
            }
            Self::Cutout(Cutout { size }) => {
                for row in inputs.chunks_exact_mut(width) {
                    cutout(row, shape, size.get(), rng);
                }
            }
            Self::DropTokens(DropTokens { share, token }) => {
                for value in inputs.iter_mut() {
                    if rng.random::<f64>() < share.get() {
                        *value = token as f32;
                    }
                }
            }
            Self::Mixup(Mixup { alpha }) => mixup(batch, classes, alpha.get(), rng),
        }
    }
}

fn crop(row: &mut [f32], shape: &[usize], padding: usize, spare: &mut Vec<f32>, rng: &mut Stream) {
    let (height, width) = (shape[1], shape[2]);
    let mut offset = || rng.random_range(0..=2 * padding as u64) as usize;
    let (down, right) = (offset(), offset());
    spare.clear();
    spare.extend_from_slice(row);
    for (channel, plane) in row.chunks_exact_mut(height * width).enumerate() {
        for (y, line) in plane.chunks_exact_mut(width).enumerate() {
            let from = (y + down).checked_sub(padding).filter(|y| *y < height);
            for (x, value) in line.iter_mut().enumerate() {
                let column = (x + right).checked_sub(padding).filter(|x| *x < width);
                *value = match (from, column) {
                    (Some(y), Some(x)) => spare[(channel * height + y) * width + x],
                    _ => 0.0,
                };
            }
        }
    }
}

fn cutout(row: &mut [f32], shape: &[usize], size: usize, rng: &mut Stream) {
    let (height, width) = (shape[1], shape[2]);
    let mut range = |side: usize| {
        let middle = rng.random_range(0..side as u64) as usize;
        let first = middle.saturating_sub(size / 2);
        first..(middle + size.div_ceil(2)).min(side)
    };
    let (lines, columns) = (range(height), range(width));
    for plane in row.chunks_exact_mut(height * width) {
        for line in plane
            .chunks_exact_mut(width)
            .take(lines.end)
            .skip(lines.start)
        {
            line[columns.clone()].fill(0.0);
        }
    }
}

/// Row `i` is mixed with the row that stands `shift` behind it, all by one share.
fn mixup(batch: &mut Batch, classes: usize, alpha: f64, rng: &mut Stream) {
    let rows = batch.rows();
    let beta = Beta::new(alpha, alpha).expect("alpha is above 0");
    let share = beta.sample(rng) as f32;
    let shift = rng.random_range(0..rows.max(1) as u64) as usize;
    let width = batch.inputs.len() / rows.max(1);
    batch.spare.clear();
    batch.spare.extend_from_slice(&batch.inputs);
    batch.goals.clear();
    batch.goals.resize(rows * classes, 0.0);
    for row in 0..rows {
        let other = (row + shift) % rows;
        let from = &batch.spare[other * width..(other + 1) * width];
        let to = &mut batch.inputs[row * width..(row + 1) * width];
        let sites = to.iter_mut().zip(from);
        sites.for_each(|(to, from)| *to = share * *to + (1.0 - share) * from);
        let goals = &mut batch.goals[row * classes..(row + 1) * classes];
        goals[batch.labels[row] as usize] += share;
        goals[batch.labels[other] as usize] += 1.0 - share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Purpose, Seed};

    fn batch(rows: usize, width: usize) -> Batch {
        Batch {
            inputs: (0..rows * width).map(|v| 1.0 + v as f32).collect(),
            labels: (0..rows as u32).collect(),
            ..Batch::default()
        }
    }

    fn applied(change: Augmentation, rows: usize, shape: &[usize], key: u64) -> Batch {
        let mut batch = batch(rows, shape.iter().product());
        let mut rng = Seed(key).once(Purpose::AUGMENT);
        change.apply(&mut batch, shape, rows, &mut rng);
        batch
    }

    #[test]
    fn a_crop_is_the_image_moved_by_at_most_its_padding() {
        let crop = Augmentation::Crop(Crop {
            padding: Count::new(1).expect("in range"),
        });
        let mut seen = std::collections::BTreeSet::new();
        for key in 0..60 {
            let moved = applied(crop, 1, &[1, 3, 3], key).inputs;
            // Where the middle of the image went.
            let at = moved
                .iter()
                .position(|v| *v == 5.0)
                .expect("it never leaves");
            seen.insert(at);
            let (dy, dx) = (at as i32 / 3 - 1, at as i32 % 3 - 1);
            for (place, value) in moved.iter().enumerate() {
                let (y, x) = (place as i32 / 3 - dy, place as i32 % 3 - dx);
                let inside = (0..3).contains(&y) && (0..3).contains(&x);
                let want = if inside { (1 + y * 3 + x) as f32 } else { 0.0 };
                assert_eq!(*value, want);
            }
        }
        assert_eq!(seen.len(), 9);
    }

    #[test]
    fn a_flip_turns_lines_round_and_a_cutout_is_one_square() {
        let all = Augmentation::Flip(Flip {
            share: Fraction::new(1.0).expect("in range"),
        });
        let flipped = applied(all, 1, &[1, 2, 2], 1).inputs;
        assert_eq!(flipped, [2.0, 1.0, 4.0, 3.0]);
        let cutout = Augmentation::Cutout(Cutout {
            size: Count::new(2).expect("in range"),
        });
        let zeros: Vec<usize> = (0..40)
            .map(|key| applied(cutout, 1, &[2, 4, 4], key).inputs)
            .map(|values| values.iter().filter(|v| **v == 0.0).count())
            .collect();
        assert!(zeros.iter().all(|n| [2, 4, 8].contains(n)), "{zeros:?}");
        assert!(zeros.contains(&8));
    }

    #[test]
    fn mixed_rows_have_mixed_labels() {
        let mixup = Augmentation::Mixup(Mixup { alpha: fifth() });
        let mixed = applied(mixup, 3, &[2], 7);
        for row in 0..3 {
            let goals = &mixed.goals[row * 3..(row + 1) * 3];
            assert!((goals.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            // A row is the mean of the rows by the shares of their labels.
            let want: f32 = goals.iter().zip([1.0, 3.0, 5.0]).map(|(g, v)| g * v).sum();
            assert!((mixed.inputs[row * 2] - want).abs() < 1e-5);
        }
    }

    #[test]
    fn what_changes_images_takes_no_other_samples() {
        let crop = Augmentation::Crop(Crop { padding: four() });
        assert!(crop.unfit(&[3, 32, 32]).is_none());
        assert!(crop.unfit(&[64]).is_some() && crop.unfit(&[1, 4, 4]).is_some());
        let drop = Augmentation::DropTokens(DropTokens {
            share: tenth(),
            token: 0,
        });
        assert!(drop.unfit(&[80]).is_none());
        let dropped = applied(drop, 100, &[10], 3).inputs;
        let zeros = dropped.iter().filter(|v| **v == 0.0).count();
        assert!((60..140).contains(&zeros), "{zeros}");
    }
}
