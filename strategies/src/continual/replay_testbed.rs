//! One client with points in the plane and a dense layer, to call the hooks of methods that replay.

use lyceum_core::{
    Affine, Batch, Draft, Features, Head, Init, Item, Layer, Learner, Loss, MEANS, Mode, Network,
    Noise, Optimizer, Purpose, Role, Samples, Seed, Shard, Showing, Site, Stream, TaskId, TaskView,
    View,
};
use std::sync::Arc;

/// The client and its model.
pub(super) struct Bed {
    pub(super) network: Network,
    pub(super) layer: DenseLayer,
    pub(super) pool: Arc<Samples>,
    pub(super) sight: Shard,
    pub(super) task: TaskView,
    pub(super) loss: Loss,
    rng: Stream,
    noise: Stream,
    batch: Batch,
}

/// `W x + b`, over two inputs.
pub(super) struct DenseLayer {
    params: Vec<f32>,
    classes: usize,
    seen: Vec<f32>,
    /// Of each backward pass, which values would drop out.
    pub(super) modes: Vec<Option<Noise>>,
}

impl Bed {
    /// Samples at these points, two labels a task in their order.
    pub(super) fn new(points: &[([f32; 2], u32)], classes: usize) -> Self {
        let layers = vec![Layer::Dense { units: classes }];
        let mut network = Network::new(&[2], classes, layers, Init::default()).unwrap();
        network.append(MEANS, vec![classes, 3], Role::Statistic);
        let pool = Arc::new(Samples {
            shape: vec![2],
            classes,
            features: Features::F32(points.iter().flat_map(|(p, _)| *p).collect()),
            labels: points.iter().map(|(_, l)| *l).collect(),
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        });
        let layer = DenseLayer {
            params: network.initial(Seed(3)),
            classes,
            seen: Vec::new(),
            modes: Vec::new(),
        };
        let mut bed = Self {
            sight: Shard::new(pool.clone(), Arc::default()),
            network,
            layer,
            pool,
            task: view(0),
            loss: Loss::CrossEntropy,
            rng: Seed(4).once(Purpose::CONTINUAL),
            noise: Seed(4).once(Purpose::REFERENCE),
            batch: Batch::default(),
        };
        bed.come_to(0);
        bed
    }

    /// The task with labels `2 task` and `2 task + 1` is in sight.
    pub(super) fn come_to(&mut self, task: u32) {
        self.task = view(task);
        let of_task = |index: &u32| self.pool.labels[*index as usize] / 2 == task;
        let all = 0..self.pool.len() as u32;
        let items: Vec<Item> = all.filter(of_task).map(|index| item(index, task)).collect();
        self.see(&items);
    }

    /// These samples are in sight.
    pub(super) fn see(&mut self, items: &[Item]) {
        let lenses = vec![Default::default(); self.layer.classes / 2].into();
        self.sight = Shard {
            pool: self.pool.clone(),
            indices: items.iter().map(|i| i.index).collect(),
            view: Some(View {
                lenses,
                tasks: Showing::Each(items.iter().map(|i| i.task).collect()),
            }),
        };
    }

    /// A model with dropout, whose masks are drawn from this seed.
    pub(super) fn drop_out(&mut self, seed: u64) {
        let classes = self.layer.classes;
        let layers = vec![
            Layer::Dropout { share: 0.5 },
            Layer::Dense { units: classes },
        ];
        self.network = Network::new(&[2], classes, layers, Init::default()).unwrap();
        self.network
            .append(MEANS, vec![classes, 3], Role::Statistic);
        self.noise = Seed(seed).once(Purpose::REFERENCE);
    }

    /// The first values of a mask of each backward pass, as bits; all of them are in training.
    pub(super) fn drawn(&self) -> Vec<Vec<bool>> {
        let mask = |noise: &Option<Noise>| {
            let mut mask = [0.0; 64];
            noise.expect("in training").mask(0, 0.5, &mut mask);
            mask.map(|value| value > 0.0).to_vec()
        };
        self.layer.modes.iter().map(mask).collect()
    }

    pub(super) fn layer_params(&self) -> &[f32] {
        self.layer.params()
    }

    pub(super) fn site(&mut self) -> Site<'_> {
        Site {
            learner: &mut self.layer,
            network: &self.network,
            sight: &self.sight,
            task: &self.task,
            rng: &mut self.rng,
            noise: &mut self.noise,
            fixed: &[],
            batch: &mut self.batch,
            loss: self.loss,
            head: Head::Shared,
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            rate: 0.1,
            rows: 2,
            seed: Seed(3),
        }
    }

    /// The rows that the course brings at these positions.
    pub(super) fn draft(&self, positions: &[u32]) -> Draft {
        let mut draft = Draft::default();
        draft.begin(self.layer.classes, &self.sight, positions, &[]);
        draft
    }
}

pub(super) fn item(index: u32, task: u32) -> Item {
    let task = TaskId(task);
    Item { index, task }
}

fn view(task: u32) -> TaskView {
    TaskView {
        task: TaskId(task),
        place: task,
        classes: (2 * task..2 * task + 2).collect(),
        before: (0..2 * task).collect(),
    }
}

impl Learner for DenseLayer {
    fn load(&mut self, params: &lyceum_core::Params) {
        self.params.copy_from_slice(params);
    }

    fn params(&self) -> &[f32] {
        &self.params
    }

    fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }

    fn backward(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32]) -> f32 {
        self.modes.push(mode.noise());
        let mut logits = Vec::new();
        self.logits(batch, &mut logits);
        let (classes, share) = (self.classes, 1.0 / batch.rows() as f32);
        let mut slope = vec![0.0; classes];
        let mut loss = 0.0;
        grad.fill(0.0);
        for (row, z) in logits.chunks_exact(classes).enumerate() {
            let weight = batch.weights.get(row).copied().unwrap_or(1.0);
            let label = (lyceum_core::Target::Class(batch.labels[row]), weight);
            loss += share
                * batch
                    .aims
                    .slope(batch.loss, row, z, label, share, &mut slope);
            for (class, slope) in slope.iter().enumerate() {
                grad[2 * class] += slope * batch.inputs[2 * row];
                grad[2 * class + 1] += slope * batch.inputs[2 * row + 1];
                grad[2 * classes + class] += slope;
            }
        }
        self.seen = logits;
        loss
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        let (w, b) = self.params.split_at(2 * self.classes);
        out.clear();
        for x in batch.inputs.chunks_exact(2) {
            let units = w.chunks_exact(2).zip(b);
            out.extend(units.map(|(w, b)| w[0] * x[0] + w[1] * x[1] + b));
        }
    }

    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(&batch.inputs);
    }

    fn seen_squares(&self) -> f64 {
        0.0
    }

    fn seen_logits(&mut self, out: &mut Vec<f32>) {
        out.clone_from(&self.seen);
    }
}
