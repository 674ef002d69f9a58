use super::{DataError, DataSet, LoadContext, Source};
use crate::room::no_room;
use lyceum_core::units::{Count, Fraction, NonNegative};
use lyceum_core::{Affine, Features, Purpose, Samples, Seed, Stream, Ticket};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A generated mixture of Gaussian clusters with label noise: difficulty that can be seen without
/// any file.
///
/// Every class has several sub-clusters whose centres have independent normal coordinates. A sample
/// takes a class and a sub-cluster uniformly and adds `s` times a standard normal vector, with its
/// own `s`. Test labels are clean.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mixture {
    /// Values per sample (default 32).
    pub inputs: Count,
    /// Number of classes (default 10).
    pub classes: Count,
    /// Sub-clusters per class (default 3).
    pub clusters: Count,
    /// Standard deviation of the centres' coordinates, 0 or above (default 0.55).
    pub spread: NonNegative,
    /// Smallest standard deviation around a centre, 0 or above (default 0.5).
    pub noise_min: NonNegative,
    /// Largest standard deviation around a centre, at least `noise_min` (default 1.6).
    pub noise_max: NonNegative,
    /// Share of training labels that are replaced by a uniform one of all classes (default 0.2).
    pub label_noise: Fraction,
    /// Number of training samples (default 5,000).
    pub samples: Count,
    /// Number of test samples (default 4,000).
    pub test_samples: Count,
}

impl Default for Mixture {
    fn default() -> Self {
        let count = |n| Count::new(n).expect("defaults are in range");
        let number = |v| NonNegative::new(v).expect("defaults are in range");
        Self {
            inputs: count(32),
            classes: count(10),
            clusters: count(3),
            spread: number(0.55),
            noise_min: number(0.5),
            noise_max: number(1.6),
            label_noise: Fraction::new(0.2).expect("defaults are in range"),
            samples: count(5_000),
            test_samples: count(4_000),
        }
    }
}

/// Tickets of the streams: training samples do not move when there are more test samples.
const CENTRES: Ticket = Ticket(0);
const TRAIN: Ticket = Ticket(1);
const TEST: Ticket = Ticket(2);

impl DataSet for Mixture {
    fn is_generated(&self) -> bool {
        true
    }

    fn warnings(&self) -> Vec<String> {
        let noise = self.label_noise.get();
        let told = (noise == 1.0).then(|| {
            "`data.set.mixture.label_noise` = 1 replaces every training label by a random one: there is nothing to learn".to_owned()
        });
        told.into_iter().collect()
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        self.check()?;
        let centres = self.centres(context.seed);
        let draw = |ticket, amount: Count, noise| {
            let mut rng = context.seed.stream(Purpose::DATA, ticket, None);
            self.draw(&centres, amount.get(), noise, &mut rng)
        };
        Ok(Source::Pool {
            train: draw(TRAIN, self.samples, self.label_noise.get()),
            test: draw(TEST, self.test_samples, 0.0),
            natural: None,
        })
    }
}

impl Mixture {
    fn check(&self) -> Result<(), DataError> {
        let wrong = |key, problem: String| Err(DataError::Key { key, problem });
        if self.noise_min > self.noise_max {
            return wrong(
                "noise_min",
                format!("must be at most `noise_max`, {}", self.noise_max.get()),
            );
        }
        let most = |count: Count| count.get() as u64 > u64::from(u32::MAX);
        for (key, count) in [
            ("inputs", self.inputs),
            ("classes", self.classes),
            ("clusters", self.clusters),
            ("samples", self.samples),
            ("test_samples", self.test_samples),
        ] {
            if most(count) {
                return wrong(key, format!("must be at most {}", u32::MAX));
            }
        }
        let rows = [self.samples, self.test_samples];
        let largest = rows.map(Count::get).into_iter().fold(0, usize::max);
        let centres = self.classes.get().saturating_mul(self.clusters.get());
        if self.inputs.get().saturating_mul(largest.max(centres)) > 1 << 31 {
            return wrong(
                "inputs",
                "times the number of samples, or of clusters, must be at most 2^31 values".into(),
            );
        }
        let inputs = self.inputs.get() as u64;
        let samples = (self.samples.get() + self.test_samples.get()) as u64;
        let of_samples = (4 * inputs + 4) * samples;
        let of_centres = (8 * inputs + 48) * centres as u64;
        if let Some(why) = no_room(of_centres) {
            return wrong("clusters", format!("times `classes` and `inputs` {why}"));
        }
        no_room(of_samples + of_centres).map_or(Ok(()), |why| {
            wrong("samples", format!("times `inputs` {why}"))
        })
    }

    /// Centre of every sub-cluster, class by class.
    fn centres(&self, seed: Seed) -> Vec<Vec<f64>> {
        let mut rng = seed.stream(Purpose::DATA, CENTRES, None);
        let mut centre = || normals(self.inputs.get(), self.spread.get(), &mut rng);
        let amount = self.classes.get() * self.clusters.get();
        (0..amount).map(|_| centre()).collect()
    }

    fn draw(&self, centres: &[Vec<f64>], amount: usize, noise: f64, rng: &mut Stream) -> Samples {
        let (classes, clusters) = (self.classes.get(), self.clusters.get());
        let mut features = Vec::with_capacity(amount * self.inputs.get());
        let mut labels = Vec::with_capacity(amount);
        for _ in 0..amount {
            let class = rng.random_range(0..classes as u64);
            let cluster = rng.random_range(0..clusters as u64);
            let sd = rng.random_range(self.noise_min.get()..=self.noise_max.get());
            let centre = &centres[class as usize * clusters + cluster as usize];
            let around = normals(centre.len(), sd, rng);
            features.extend(centre.iter().zip(around).map(|(c, a)| (c + a) as f32));
            let flips = rng.random::<f64>() < noise;
            let label = if flips {
                rng.random_range(0..classes as u64)
            } else {
                class
            };
            labels.push(label as u32);
        }
        Samples {
            shape: vec![self.inputs.get()],
            classes,
            features: Features::F32(features),
            labels,
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        }
    }
}

fn normals(amount: usize, sd: f64, rng: &mut Stream) -> Vec<f64> {
    let draw = |_| -> f64 { StandardNormal.sample(rng) };
    (0..amount).map(draw).map(|z: f64| sd * z).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(set: &Mixture, seed: u64) -> (Samples, Samples) {
        let context = LoadContext {
            seed: Seed(seed),
            clients: 20,
            folders: Vec::new(),
        };
        match set.load(&context).unwrap() {
            Source::Pool { train, test, .. } => (train, test),
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_toy_check() {
        let (train, test) = load(&toml::from_str("").unwrap(), 1);
        assert_eq!((train.len(), test.len(), train.classes), (5_000, 4_000, 10));
        assert_eq!(train.shape, [32]);
        let Features::F32(values) = &train.features else {
            panic!("floats")
        };
        // 0.55^2 of the centres and the mean square of a uniform from 0.5 to 1.6.
        let expected = 0.3025 + (1.6_f64.powi(3) - 0.5_f64.powi(3)) / (3.0 * 1.1);
        let square: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
        let variance = square / values.len() as f64;
        assert!((variance - expected).abs() < 0.06, "{variance}, {expected}");
    }

    #[test]
    fn labels_are_noisy_in_training_and_clean_in_the_test() {
        let still = NonNegative::new(0.0).unwrap();
        let set = Mixture {
            noise_min: still,
            noise_max: still,
            ..Mixture::default()
        };
        let (train, test) = load(&set, 3);
        let wrong = |samples: &Samples| {
            let Features::F32(values) = &samples.features else {
                panic!("floats")
            };
            let rows = values.chunks_exact(32);
            let mut truth = std::collections::BTreeMap::<Vec<u32>, Vec<u32>>::new();
            for (row, &label) in rows.zip(&samples.labels) {
                let key = row.iter().map(|v| v.to_bits()).collect();
                truth.entry(key).or_default().push(label);
            }
            assert_eq!(truth.len(), 30);
            let minority = |labels: Vec<u32>| {
                let count = |class| labels.iter().filter(|&&l| l == class).count();
                labels.len() - (0..10).map(count).max().unwrap()
            };
            truth.into_values().map(minority).sum::<usize>()
        };
        assert_eq!(wrong(&test), 0);
        // A replaced label is the right one again in a tenth of the cases: 0.2 * 0.9 * 5,000.
        assert!((820..980).contains(&wrong(&train)), "{}", wrong(&train));
    }

    #[test]
    fn seeds_decide_and_test_samples_do_not_move_training_samples() {
        let set = Mixture::default();
        assert_eq!(load(&set, 1), load(&set, 1));
        assert_ne!(load(&set, 1).0, load(&set, 2).0);
        let more = Mixture {
            test_samples: Count::new(10).unwrap(),
            ..set.clone()
        };
        assert_eq!(load(&set, 1).0, load(&more, 1).0);
    }

    #[test]
    fn a_reversed_range_is_refused() {
        let set: Mixture = toml::from_str("noise_min = 2.0").unwrap();
        let error = set.check().unwrap_err().to_string();
        assert_eq!(error, "`noise_min` must be at most `noise_max`, 1.6");
    }
}
