//! A federation of three numbers: clients with quadratic losses, trained by plain gradient descent.

use lyceum_core::{
    AnyStrategy, ClientId, ClientRule, ClientTerm, ExactSum, Harvest, Layout, LocalWork, Params,
    Stall, StrategyRun, Vectors,
};
use std::{collections::BTreeMap, sync::Arc};

/// A client whose loss is half of `curvature` times the squared distance to `target`.
pub(super) struct Pupil {
    pub(super) target: [f32; 3],
    pub(super) curvature: f32,
    pub(super) samples: u64,
    pub(super) steps: u64,
}

pub(super) const PUPILS: [Pupil; 3] = [
    Pupil {
        target: [1.0, -1.0, 0.5],
        curvature: 1.0,
        samples: 10,
        steps: 5,
    },
    Pupil {
        target: [-2.0, 0.0, 0.25],
        curvature: 3.0,
        samples: 30,
        steps: 2,
    },
    Pupil {
        target: [0.0, 4.0, -1.0],
        curvature: 0.5,
        samples: 60,
        steps: 9,
    },
];

pub(super) const RATE: f32 = 0.1;

/// What a client did.
pub(super) struct Done {
    pub(super) client: u64,
    pub(super) delta: [f32; 3],
    pub(super) samples: u64,
    pub(super) travel: f64,
}

/// One run of a strategy, with the states of its clients.
pub(super) struct Federation {
    rule: Arc<dyn ClientRule>,
    pub(super) run: Box<dyn StrategyRun>,
    pub(super) global: Params,
    pub(super) states: BTreeMap<ClientId, Params>,
    population: u64,
}

impl Federation {
    /// Begins at zero.
    pub(super) fn new(strategy: Arc<dyn AnyStrategy>, population: u64) -> Self {
        Self::at([0.0; 3], strategy, population)
    }

    pub(super) fn at(global: [f32; 3], strategy: Arc<dyn AnyStrategy>, population: u64) -> Self {
        let global = Params::from(global.to_vec());
        Self {
            rule: strategy.client_half(),
            run: strategy.start(&global, &Layout::weights(3)),
            global,
            states: BTreeMap::new(),
            population,
        }
    }

    /// Settles and folds the work in the given order, then closes the round.
    pub(super) fn close(&mut self, works: &[Done]) -> Result<(), Stall> {
        let round = self.run.broadcast();
        let mut sum = ExactSum::new(&self.rule.lanes(), 3);
        let mut updates = Vec::new();
        for done in works {
            let client = ClientId(done.client);
            let settled = self.rule.settle(&LocalWork {
                client,
                delta: &Params::from(done.delta.to_vec()),
                received: &self.global,
                prior: None,
                samples: done.samples,
                steps: 1,
                travel: done.travel,
                state: self.states.get(&client),
                round: &round,
            });
            for (lane, (weight, values)) in settled.lanes.iter().enumerate() {
                sum.add(lane, *weight, values).unwrap();
            }
            let lanes = settled.lanes;
            updates.push(ClientTerm { client, lanes });
            if let Some(state) = settled.state {
                self.states.insert(client, state);
            }
        }
        updates.sort_by_key(|term| term.client);
        let harvest = Harvest {
            sum: &mut sum,
            updates: &updates,
            population: self.population,
            prior: None,
        };
        self.run.close(&mut self.global, harvest)
    }

    /// One round in which these pupils train.
    pub(super) fn train(&mut self, pupils: &[Pupil], cohort: &[usize]) {
        let works: Vec<Done> = cohort.iter().map(|&c| self.descend(pupils, c)).collect();
        self.close(&works).unwrap();
    }

    fn descend(&self, pupils: &[Pupil], client: usize) -> Done {
        let (pupil, id) = (&pupils[client], ClientId(client as u64));
        let objective = self.rule.objective(id, self.states.get(&id));
        let round = self.run.broadcast();
        let vectors = Vectors {
            global: &self.global,
            round: &round,
        };
        let resolved = objective.resolve(vectors).unwrap();
        let mut w = [0.0; 3];
        w.copy_from_slice(&self.global);
        for _ in 0..pupil.steps {
            let mut grad: [f32; 3] =
                std::array::from_fn(|i| pupil.curvature * (w[i] - pupil.target[i]));
            resolved.add_to(&w, &mut grad);
            (0..3).for_each(|i| w[i] -= RATE * grad[i]);
        }
        Done {
            client: id.0,
            delta: std::array::from_fn(|i| w[i] - self.global[i]),
            samples: pupil.samples,
            travel: f64::from(RATE) * pupil.steps as f64,
        }
    }
}

/// The minimum of the unweighted mean of the losses: targets weighted by curvature.
pub(super) fn optimum(pupils: &[Pupil]) -> [f32; 3] {
    let total: f32 = pupils.iter().map(|p| p.curvature).sum();
    std::array::from_fn(|i| {
        pupils
            .iter()
            .map(|p| p.curvature * p.target[i])
            .sum::<f32>()
            / total
    })
}

/// Largest difference of a coordinate.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}
