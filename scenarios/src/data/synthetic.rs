use super::{DataError, DataSet, LoadContext, Source};
use crate::room::no_room;
use lyceum_core::units::{Count, NonNegative};
use lyceum_core::{
    Affine, ClientId, Features, Federation, Probe, Purpose, Roster, Samples, Seed, Shard, Stream,
    Ticket,
};
use rand_distr::{Distribution, LogNormal, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};

/// Synthetic(alpha, beta): a softmax regression of its own for every client.
///
/// Li et al., "Federated Optimization in Heterogeneous Networks" (MLSys 2020), section 5.1, after
/// Shamir et al. (2014). Client k draws `u ~ N(0, alpha)`, every weight and bias from `N(u, 1)`,
/// `B ~ N(0, beta)`, every coordinate of its mean `v` from `N(B, 1)`; its inputs are `N(v, S)` with
/// the diagonal covariance `S[j] = j^-1.2` (j from 1), and a label is the argmax of its softmax.
///
/// Alpha and beta are variances, as the paper's text has it. The authors' code hands them to numpy
/// as standard deviations: their Synthetic(0.5, 0.5) is 0.25 and 0.25 here; 0 and 1 are the same.
///
/// Made on demand: a client's samples exist only while somebody holds them, so memory does not
/// depend on the number of clients.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Synthetic {
    /// How much models differ between clients: variance of `u`, 0 or above (default 1).
    pub alpha: NonNegative,
    /// How much inputs differ between clients: variance of `B`, 0 or above (default 1).
    pub beta: NonNegative,
    /// Whether all clients share one model, drawn from `N(0, 1)`, and inputs around 0; then alpha
    /// and beta are not used (default false).
    pub iid: bool,
    /// Training samples of every client; by default each draws `50 + floor(lognormal(4, 2))`, as in
    /// the authors' code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Count>,
    /// No client has more training samples than this (default 10,000).
    pub max_samples: Count,
    /// Values per sample (default 60).
    pub inputs: Count,
    /// Number of classes (default 10).
    pub classes: Count,
    /// The first so many clients contribute to the test set (default 100).
    pub test_clients: Count,
    /// Test samples of each of them (default 20).
    pub test_samples: Count,
}

impl Default for Synthetic {
    fn default() -> Self {
        let count = |n| Count::new(n).expect("defaults are in range");
        let one = NonNegative::new(1.0).expect("defaults are in range");
        Self {
            alpha: one,
            beta: one,
            iid: false,
            samples: None,
            max_samples: count(10_000),
            inputs: count(60),
            classes: count(10),
            test_clients: count(100),
            test_samples: count(20),
        }
    }
}

/// Ticket of a client's number of samples, model and training samples.
const TRAIN: Ticket = Ticket(0);
/// Ticket of a client's test samples, which therefore do not depend on the training samples.
const TEST: Ticket = Ticket(1);

impl DataSet for Synthetic {
    fn is_generated(&self) -> bool {
        true
    }

    fn warnings(&self) -> Vec<String> {
        let plain = Self::default();
        let apart = (self.alpha, self.beta) != (plain.alpha, plain.beta);
        let idle = "`alpha` and `beta` of data.set.synthetic do nothing here: with `iid` all clients share one model";
        let idle = (self.iid && apart).then(|| idle.to_owned());
        idle.into_iter().collect()
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        self.check()?;
        self.fits(context.clients)?;
        let mut clients = Clients {
            set: self.clone(),
            seed: context.seed,
            clients: context.clients,
            deviations: deviations(self.inputs.get()),
            shared: None,
            test: Arc::new(self.gather(Vec::new(), Vec::new())),
        };
        if self.iid {
            let mut rng = context.seed.stream(Purpose::DATA, TRAIN, None);
            clients.shared = Some(self.model(0.0, &mut rng));
        }
        clients.test = Arc::new(clients.test_samples());
        Ok(Source::OnDemand(Arc::new(clients)))
    }
}

/// Standard deviations of the inputs around their mean: `j^-0.6`. Rounded to f32, so that the last
/// bit of a platform's power function does not matter.
fn deviations(inputs: usize) -> Vec<f64> {
    let deviation = |j: usize| f64::from((j as f64).powf(-0.6) as f32);
    (1..=inputs).map(deviation).collect()
}

impl Synthetic {
    fn check(&self) -> Result<(), DataError> {
        for (key, count) in [
            ("samples", self.samples.unwrap_or(self.max_samples)),
            ("max_samples", self.max_samples),
            ("inputs", self.inputs),
            ("classes", self.classes),
            ("test_samples", self.test_samples),
        ] {
            if count.get() as u64 > u64::from(u32::MAX) {
                return Err(DataError::Key {
                    key,
                    problem: format!("must be at most {}", u32::MAX),
                });
            }
        }
        match self.samples {
            Some(samples) if samples > self.max_samples => Err(DataError::Key {
                key: "samples",
                problem: format!("must be at most `max_samples`, {}", self.max_samples.get()),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses test samples, and a client's model, that memory cannot hold.
    fn fits(&self, clients: u64) -> Result<(), DataError> {
        let (inputs, classes) = (self.inputs.get() as u64, self.classes.get() as u64);
        let of_model = inputs.saturating_mul(classes).saturating_mul(8);
        let judged = clients.min(self.test_clients.get() as u64);
        let tests = judged.saturating_mul(self.test_samples.get() as u64);
        let of_tests = tests.saturating_mul(4 * inputs + 4);
        let (key, bytes) = match of_tests > of_model {
            true => ("test_samples", of_tests),
            false => ("inputs", of_model),
        };
        no_room(bytes).map_or(Ok(()), |problem| Err(DataError::Key { key, problem }))
    }

    /// The first draw of a client's stream: its number of training samples.
    fn amount(&self, rng: &mut Stream) -> usize {
        let law = LogNormal::new(4.0, 2.0).expect("the deviation is above 0");
        let drawn = (law.sample(rng) as usize).saturating_add(50);
        let amount = self.samples.map_or(drawn, Count::get);
        amount.min(self.max_samples.get())
    }

    fn model(&self, mean: f64, rng: &mut Stream) -> Model {
        let (inputs, classes) = (self.inputs.get(), self.classes.get());
        let mut row = |length| {
            (0..length)
                .map(|_| mean + normal(rng))
                .collect::<Vec<f64>>()
        };
        Model {
            weights: (0..classes).map(|_| row(inputs)).collect(),
            bias: row(classes),
        }
    }

    fn gather(&self, features: Vec<f32>, labels: Vec<u32>) -> Samples {
        Samples {
            shape: vec![self.inputs.get()],
            classes: self.classes.get(),
            features: Features::F32(features),
            labels,
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        }
    }
}

fn normal(rng: &mut Stream) -> f64 {
    StandardNormal.sample(rng)
}

/// What decides the labels.
struct Model {
    /// One row of weights per class.
    weights: Vec<Vec<f64>>,
    bias: Vec<f64>,
}

impl Model {
    /// The class of the largest output, the first of equal ones. The softmax keeps the order.
    fn label(&self, input: &[f32]) -> u32 {
        let mut best = (0, f64::NEG_INFINITY);
        for (class, (weights, bias)) in self.weights.iter().zip(&self.bias).enumerate() {
            let products = weights.iter().zip(input).map(|(w, &x)| w * f64::from(x));
            let output = bias + products.sum::<f64>();
            if output > best.1 {
                best = (class as u32, output);
            }
        }
        best.0
    }
}

/// All clients of one run.
struct Clients {
    set: Synthetic,
    seed: Seed,
    clients: u64,
    deviations: Vec<f64>,
    /// The model of all clients, if they share one.
    shared: Option<Model>,
    test: Arc<Samples>,
}

/// A client's own part of the distribution.
struct Task {
    /// None if all clients share one.
    model: Option<Model>,
    /// Mean of the inputs.
    mean: Vec<f64>,
}

impl Clients {
    fn stream(&self, ticket: Ticket, client: ClientId) -> Stream {
        self.seed.stream(Purpose::DATA, ticket, Some(client))
    }

    /// Draws what follows the number of samples in a client's stream.
    fn task(&self, rng: &mut Stream) -> Task {
        let inputs = self.set.inputs.get();
        if self.shared.is_some() {
            return Task {
                model: None,
                mean: vec![0.0; inputs],
            };
        }
        let level = self.set.alpha.get().sqrt() * normal(rng);
        let model = self.set.model(level, rng);
        let centre = self.set.beta.get().sqrt() * normal(rng);
        Task {
            model: Some(model),
            mean: (0..inputs).map(|_| centre + normal(rng)).collect(),
        }
    }

    fn draw(&self, task: &Task, amount: usize, rng: &mut Stream, into: &mut (Vec<f32>, Vec<u32>)) {
        let Some(model) = task.model.as_ref().or(self.shared.as_ref()) else {
            return;
        };
        let (features, labels) = into;
        features.reserve(amount * task.mean.len());
        for _ in 0..amount {
            let begin = features.len();
            let coordinates = task.mean.iter().zip(&self.deviations);
            features.extend(coordinates.map(|(mean, sd)| (mean + sd * normal(rng)) as f32));
            labels.push(model.label(&features[begin..]));
        }
    }

    fn test_samples(&self) -> Samples {
        let mut drawn = (Vec::new(), Vec::new());
        for client in 0..self.clients.min(self.set.test_clients.get() as u64) {
            let mut rng = self.stream(TRAIN, ClientId(client));
            self.set.amount(&mut rng);
            let task = self.task(&mut rng);
            let mut rng = self.stream(TEST, ClientId(client));
            self.draw(&task, self.set.test_samples.get(), &mut rng, &mut drawn);
        }
        self.set.gather(drawn.0, drawn.1)
    }
}

impl Roster for Clients {
    fn clients(&self) -> u64 {
        self.clients
    }

    fn samples(&self, client: ClientId) -> usize {
        self.set.amount(&mut self.stream(TRAIN, client))
    }
}

impl Federation for Clients {
    fn shard(&self, client: ClientId) -> Cow<'_, Shard> {
        let mut rng = self.stream(TRAIN, client);
        let amount = self.set.amount(&mut rng);
        let task = self.task(&mut rng);
        let mut drawn = (Vec::new(), Vec::new());
        self.draw(&task, amount, &mut rng, &mut drawn);
        Cow::Owned(Shard::whole(Arc::new(self.set.gather(drawn.0, drawn.1))))
    }

    fn probe(&self, probe: Probe) -> Option<&Arc<Samples>> {
        (probe == Probe::Test).then_some(&self.test)
    }

    fn pooled(&self) -> Option<Shard> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, clients: u64) -> Arc<dyn Federation> {
        let set: Synthetic = toml::from_str(text).unwrap();
        let context = LoadContext {
            seed: Seed(1),
            clients,
            folders: Vec::new(),
        };
        match set.load(&context).unwrap() {
            Source::OnDemand(federation) => federation,
            _ => unreachable!(),
        }
    }

    fn values(samples: &Samples) -> &[f32] {
        match &samples.features {
            Features::F32(values) => values,
            _ => unreachable!(),
        }
    }

    #[test]
    fn a_client_is_the_same_whenever_it_is_asked_for_and_however_many_there_are() {
        let few = load("", 10);
        let many = load("", 1_000_000_000_000);
        assert_eq!(many.clients(), 1_000_000_000_000);
        for client in [0, 3, 9].map(ClientId) {
            let shard = few.shard(client);
            assert_eq!(shard.pool, many.shard(client).pool);
            assert_eq!(shard.len(), few.samples(client));
            assert!(shard.len() >= 50);
        }
        assert!(many.samples(ClientId(999_999_999_999)) >= 50);
        assert_ne!(few.shard(ClientId(0)).pool, few.shard(ClientId(1)).pool);
        assert!(few.pooled().is_none() && few.probe(Probe::Validation).is_none());
    }

    #[test]
    fn the_number_of_samples_is_fixed_or_capped() {
        assert_eq!(load("samples = 7", 1).samples(ClientId(0)), 7);
        let capped = load("max_samples = 60", 50);
        let amounts: Vec<_> = (0..50).map(|c| capped.samples(ClientId(c))).collect();
        assert!(amounts.iter().all(|n| (50..=60).contains(n)));
        assert!(amounts.contains(&60));
        let free = load("max_samples = 1000000", 500);
        let mut amounts: Vec<_> = (0..500).map(|c| free.samples(ClientId(c)) - 50).collect();
        amounts.sort_unstable();
        assert!(
            (35..85).contains(&amounts[250]),
            "median of lognormal(4, 2): {}",
            amounts[250]
        );
    }

    #[test]
    fn test_samples_come_from_the_first_clients_and_not_from_training() {
        let federation = load("samples = 30\ntest_clients = 3\ntest_samples = 5", 10);
        let test = federation.probe(Probe::Test).unwrap();
        assert_eq!(
            (test.len(), test.shape.as_slice(), test.classes),
            (15, [60].as_slice(), 10)
        );
        let longer = load("samples = 3000\ntest_clients = 3\ntest_samples = 5", 10);
        assert_eq!(test, longer.probe(Probe::Test).unwrap());
        let shard = federation.shard(ClientId(0));
        assert_ne!(values(&shard.pool)[..60], values(test)[..60]);
        assert_eq!(load("", 2).probe(Probe::Test).unwrap().len(), 40);
    }

    #[test]
    fn inputs_shrink_along_the_diagonal_and_spread_with_beta() {
        let federation = load("samples = 4000", 1);
        let shard = federation.shard(ClientId(0));
        let sd = |column: usize| {
            let column = values(&shard.pool).iter().skip(column).step_by(60);
            let column: Vec<f64> = column.map(|&v| f64::from(v)).collect();
            let mean = column.iter().sum::<f64>() / 4000.0;
            (column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4000.0).sqrt()
        };
        assert!((sd(0) - 1.0).abs() < 0.05, "{}", sd(0));
        assert!((sd(59) - 60_f64.powf(-0.6)).abs() < 0.01, "{}", sd(59));
        let spread = |beta: &str| {
            let federation = load(&format!("samples = 1\nbeta = {beta}"), 300);
            let level = |c| {
                let shard = federation.shard(ClientId(c));
                f64::from(values(&shard.pool).iter().sum::<f32>()) / 60.0
            };
            (0..300).map(|c| level(c).powi(2)).sum::<f64>() / 300.0
        };
        assert!(
            (3.0..5.2).contains(&spread("4.0")),
            "a variance: {}",
            spread("4.0")
        );
        assert!(spread("0.0") < 0.1);
    }

    #[test]
    fn equal_clients_share_one_model() {
        let federation = load("iid = true\nsamples = 2000", 3);
        let histogram = |client| {
            let shard = federation.shard(ClientId(client));
            let mut held = [0_i32; 10];
            (0..shard.len()).for_each(|i| held[shard.label(i) as usize] += 1);
            held
        };
        let (a, b) = (histogram(0), histogram(1));
        assert_ne!(a, b);
        assert!(
            a.iter().zip(b).all(|(a, b)| (a - b).abs() < 150),
            "{a:?} {b:?}"
        );
    }
}
