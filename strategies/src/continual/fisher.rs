//! The diagonal of the Fisher information of a model, as mean over samples. It is that of the model as it is tested:
//! nothing drops out, and batch normalisations take their running statistics (as in the code of van de Ven et al. 2022).

use super::importance::{add_squares, drawn};
use lyceum_core::{Item, Mode, Site, exp, units::Count};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose labels a Fisher information is of, and what is squared. They differ by factors, so a strength goes with one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fisher {
    /// The model's own: all classes, by the probability that the model gives them (Kirkpatrick et al. 2017; Martens
    /// 2020, section 5). A backward pass per sample and class.
    #[default]
    Exact,
    /// The model's own, by one class per sample, drawn from what the model says.
    Sampled,
    /// The true labels; per sample.
    Empirical,
    /// The true labels, the square of the mean gradient of a batch: quick, and smaller the larger the batch.
    Batched,
}

/// How a Fisher information is estimated.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// Of what.
    pub fisher: Fisher,
    /// Samples per batch of [`Fisher::Batched`].
    pub batch: usize,
    /// Samples that are used at most.
    pub samples: Option<Count>,
}

impl Estimate {
    /// The diagonal at the learner's parameters, over the samples in sight, with the classes that the head opens.
    pub fn diagonal(&self, site: &mut Site<'_>) -> Vec<f32> {
        let items = drawn(self.samples, site);
        let len = site.learner.params().len();
        let mut sum = Squares {
            sum: vec![0.0; len],
            grad: vec![0.0; len],
        };
        match self.fisher {
            Fisher::Exact => sum.over_classes(&items, site),
            Fisher::Sampled => sum.over_drawn_labels(&items, site),
            Fisher::Empirical => sum.over_batches(&items, 1, site),
            Fisher::Batched => sum.over_batches(&items, self.batch, site),
        }
        sum.sum
    }
}

/// A mean of squared gradients in the making.
struct Squares {
    sum: Vec<f32>,
    grad: Vec<f32>,
}

impl Squares {
    fn over_batches(&mut self, items: &[Item], size: usize, site: &mut Site<'_>) {
        let share = 1.0 / items.len().div_ceil(size) as f32;
        for batch in items.chunks(size) {
            site.pack(batch);
            self.add(share, site);
        }
    }

    fn over_classes(&mut self, items: &[Item], site: &mut Site<'_>) {
        let share = 1.0 / items.len() as f32;
        for (item, said) in said(items, site) {
            site.pack(&[item]);
            for (class, &probability) in (0..).zip(&said) {
                if probability > 0.0 {
                    site.batch.labels[0] = class;
                    self.add(share * probability, site);
                }
            }
        }
    }

    fn over_drawn_labels(&mut self, items: &[Item], site: &mut Site<'_>) {
        let share = 1.0 / items.len() as f32;
        for (item, said) in said(items, site) {
            site.pack(&[item]);
            site.batch.labels[0] = draw(&said, site.rng.random());
            self.add(share, site);
        }
    }

    /// Adds the squared gradient of the batch.
    fn add(&mut self, share: f32, site: &mut Site<'_>) {
        site.learner
            .backward(site.batch, Mode::Evaluate, &mut self.grad);
        add_squares(&mut self.sum, share, &self.grad);
    }
}

/// Items with the probability that the model gives each class: the softmax over the classes that the head opens.
fn said(items: &[Item], site: &mut Site<'_>) -> Vec<(Item, Vec<f32>)> {
    let mut logits = Vec::new();
    site.logits(items, &mut logits);
    let rows = logits.chunks_exact(site.network.classes());
    let said = |(&item, z): (&Item, &[f32])| (item, softmax(z, site.open(item)));
    items.iter().zip(rows).map(said).collect()
}

fn softmax(z: &[f32], open: Option<&[bool]>) -> Vec<f32> {
    let is_open = |class: usize| open.is_none_or(|open| open[class]);
    let top = (0..z.len()).filter(|&c| is_open(c)).map(|c| z[c]);
    let top = top.fold(f32::NEG_INFINITY, f32::max);
    let part = |class: usize| match is_open(class) {
        true => exp(z[class] - top),
        false => 0.0,
    };
    let mut parts: Vec<f32> = (0..z.len()).map(part).collect();
    let sum: f32 = parts.iter().sum();
    parts.iter_mut().for_each(|p| *p /= sum);
    parts
}

/// The class at `point` of 0 to 1, where each class is as wide as it is probable.
fn draw(said: &[f32], mut point: f32) -> u32 {
    let hit = said.iter().position(|p| {
        point -= p;
        point < 0.0
    });
    let likeliest = || lyceum_core::argmax(said);
    hit.unwrap_or_else(likeliest) as u32
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};

    fn diagonal(bed: &mut Bed, fisher: Fisher, batch: usize) -> Vec<f32> {
        let estimate = Estimate {
            fisher,
            batch,
            samples: None,
        };
        estimate.diagonal(&mut bed.site())
    }

    /// Two classes, one input x, weights (w, 0): the model says class 0 with p = 1 / (1 + e^-wx). The slope at its logit
    /// is p - 1 or p, so its square is (1-p)^2 with probability p and p^2 with 1-p: p (1-p) in the mean, times x^2 for
    /// the weight and 1 for the bias. The logits are opposite, so class 1 has the same.
    #[test]
    fn exact_is_the_variance_of_the_label_times_the_square_of_the_input() {
        let mut bed = Bed::new(1, 2, &[(&[2.0], 0)]);
        bed.learner.weights = vec![0.7, 0.0, 0.0, 0.0];
        let p = 1.0 / (1.0 + (-1.4_f32).exp());
        let want = p * (1.0 - p);
        let got = diagonal(&mut bed, Fisher::Exact, 1);
        for (got, square) in got.iter().zip([4.0, 4.0, 1.0, 1.0]) {
            assert!((got - want * square).abs() < 1e-6, "{got}");
        }
    }

    #[test]
    fn sampled_comes_to_exact() {
        let samples: Vec<(&[f32], u32)> = vec![(&[2.0], 0); 4000];
        let mut bed = Bed::new(1, 2, &samples);
        bed.learner.weights = vec![0.7, 0.0, 0.0, 0.0];
        let exact = diagonal(&mut bed, Fisher::Exact, 1);
        let sampled = diagonal(&mut bed, Fisher::Sampled, 1);
        // A deviation of 0.011 for the first.
        assert!(
            (exact[0] - sampled[0]).abs() < 0.05,
            "{exact:?} {sampled:?}"
        );
    }

    /// At zero the slopes of the two samples are (1/2, -1/2) and (-1/2, 1/2): squares of 1/4 one by one, 0 together.
    #[test]
    fn empirical_squares_samples_and_batched_their_means() {
        let mut bed = Bed::new(1, 2, &[(&[1.0], 0), (&[1.0], 1)]);
        assert_eq!(diagonal(&mut bed, Fisher::Empirical, 9), [0.25; 4]);
        assert_eq!(diagonal(&mut bed, Fisher::Batched, 1), [0.25; 4]);
        assert_eq!(diagonal(&mut bed, Fisher::Batched, 2), [0.0; 4]);
    }

    #[test]
    fn classes_that_the_head_shuts_do_not_matter() {
        let mut bed = Bed::new(1, 3, &[(&[1.0], 0)]);
        bed.head = lyceum_core::Head::Multi;
        let got = diagonal(&mut bed, Fisher::Exact, 1);
        assert_eq!(got, [0.25, 0.25, 0.0, 0.25, 0.25, 0.0]);
    }

    #[test]
    fn the_cap_uses_as_many_samples() {
        let mut bed = Bed::new(1, 2, &[(&[1.0], 0), (&[3.0], 0), (&[5.0], 1)]);
        let estimate = Estimate {
            fisher: Fisher::Empirical,
            batch: 1,
            samples: Count::new(1),
        };
        let got = estimate.diagonal(&mut bed.site());
        assert!([1.0, 9.0, 25.0].map(|x| x / 4.0).contains(&got[0]));
    }

    #[test]
    fn a_drawn_class_is_never_one_without_probability() {
        assert_eq!(draw(&[0.0, 1.0, 0.0], 0.0), 1);
        assert_eq!(draw(&[0.0, 0.9999999, 0.0], 0.99999999), 1);
        assert_eq!(draw(&[0.5, 0.5], 0.5), 1);
    }

    #[test]
    fn every_pass_is_one_of_evaluation() {
        let mut bed = Bed::new(1, 2, &[(&[1.0], 0), (&[3.0], 0), (&[5.0], 1)]);
        for fisher in [
            Fisher::Exact,
            Fisher::Sampled,
            Fisher::Empirical,
            Fisher::Batched,
        ] {
            diagonal(&mut bed, fisher, 2);
        }
        // Three samples and two classes; three; three; two batches.
        assert_eq!(bed.learner.modes, [None; 6 + 3 + 3 + 2]);
    }
}
