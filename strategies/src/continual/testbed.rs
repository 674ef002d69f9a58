//! A place to work at with a few numbers: softmax regression with its exact gradient.

use lyceum_core::{
    Affine, Batch, Features, Head, Init, Layer, Learner, Lens, Loss, Mode, Network, Noise,
    Optimizer, Purpose, Samples, Seed, Shard, Showing, Site, Stream, TaskId, TaskView, View,
};
use std::sync::Arc;

/// Logits `W x + b`; the parameters are the rows of `W`, then `b`.
pub(super) struct Linear {
    pub(super) weights: Vec<f32>,
    inputs: usize,
    classes: usize,
    /// Of each backward pass, which values would drop out.
    pub(super) modes: Vec<Option<Noise>>,
}

impl Linear {
    fn row(&self, x: &[f32]) -> Vec<f32> {
        let (matrix, bias) = self.weights.split_at(self.inputs * self.classes);
        let rows = matrix.chunks_exact(self.inputs).zip(bias);
        let logit = |(w, b): (&[f32], &f32)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b;
        rows.map(logit).collect()
    }
}

impl Learner for Linear {
    fn load(&mut self, params: &lyceum_core::Params) {
        self.weights.copy_from_slice(params);
    }

    fn params(&self) -> &[f32] {
        &self.weights
    }

    fn params_mut(&mut self) -> &mut [f32] {
        &mut self.weights
    }

    fn backward(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32]) -> f32 {
        self.modes.push(mode.noise());
        grad.fill(0.0);
        let (inputs, classes) = (self.inputs, self.classes);
        let share = 1.0 / batch.rows() as f32;
        let mut loss = 0.0;
        for (row, x) in batch.inputs.chunks_exact(inputs).enumerate() {
            let weight = batch.weights.get(row).copied().unwrap_or(1.0);
            let mut slope = vec![0.0; classes];
            let of_label = (lyceum_core::Target::Class(batch.labels[row]), weight);
            let z = self.row(x);
            let aims = &batch.aims;
            loss += share * aims.slope(batch.loss, row, &z, of_label, share, &mut slope);
            for (class, slope) in slope.iter().enumerate() {
                let of_class = &mut grad[class * inputs..][..inputs];
                of_class
                    .iter_mut()
                    .zip(x)
                    .for_each(|(g, x)| *g += slope * x);
                grad[classes * inputs + class] += slope;
            }
        }
        loss
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        let rows = batch.inputs.chunks_exact(self.inputs);
        rows.for_each(|x| out.extend(self.row(x)));
    }

    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clone_from(&batch.inputs);
    }

    fn seen_squares(&self) -> f64 {
        0.0
    }

    fn seen_logits(&mut self, _: &mut Vec<f32>) {}
}

/// Everything that a site borrows. All classes are in sight, the first two belong to task 0.
pub(super) struct Bed {
    pub(super) learner: Linear,
    pub(super) network: Network,
    pub(super) shard: Shard,
    pub(super) task: TaskView,
    pub(super) head: Head,
    rng: Stream,
    noise: Stream,
    batch: Batch,
}

impl Bed {
    /// All parameters zero.
    pub(super) fn new(inputs: usize, classes: usize, samples: &[(&[f32], u32)]) -> Self {
        let layers = vec![Layer::Dense { units: classes }];
        let network = Network::new(&[inputs], classes, layers, Init::Zero).unwrap();
        let pool = Samples {
            shape: vec![inputs],
            classes,
            features: Features::F32(samples.iter().flat_map(|(x, _)| x.to_vec()).collect()),
            labels: samples.iter().map(|(_, label)| *label).collect(),
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        };
        let shard = Shard {
            view: Some(View {
                lenses: vec![Lens::default()].into(),
                tasks: Showing::One(TaskId(0)),
            }),
            ..Shard::new(Arc::new(pool), (0..samples.len() as u32).collect())
        };
        Self {
            learner: Linear {
                weights: vec![0.0; network.layout().len()],
                inputs,
                classes,
                modes: Vec::new(),
            },
            network,
            shard,
            task: TaskView {
                task: TaskId(0),
                place: 0,
                classes: (0..classes as u32).collect(),
                before: [].into(),
            },
            head: Head::Shared,
            rng: Seed(5).once(Purpose::CONTINUAL),
            noise: Seed(5).once(Purpose::REFERENCE),
            batch: Batch::default(),
        }
    }

    /// The sets of classes: those of the view, and task 0 with the first two.
    pub(super) fn sets(&self) -> Arc<Vec<Vec<bool>>> {
        let classes = 0..self.network.classes() as u32;
        let flags = |of: &dyn Fn(u32) -> bool| classes.clone().map(of).collect();
        let (current, before) = (&self.task.classes, &self.task.before);
        Arc::new(vec![
            flags(&|c| current.contains(&c)),
            flags(&|c| before.contains(&c)),
            flags(&|c| current.contains(&c) || before.contains(&c)),
            flags(&|c| !before.contains(&c)),
            flags(&|c| c < 2),
        ])
    }

    pub(super) fn site(&mut self) -> Site<'_> {
        self.batch.aims.sets = self.sets();
        Site {
            learner: &mut self.learner,
            network: &self.network,
            sight: &self.shard,
            task: &self.task,
            rng: &mut self.rng,
            noise: &mut self.noise,
            fixed: &[],
            batch: &mut self.batch,
            loss: Loss::CrossEntropy,
            head: self.head,
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            rate: 0.1,
            rows: 10,
            seed: Seed(5),
        }
    }
}
