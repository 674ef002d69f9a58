//! Promise: the rule of a server acts on what follows gradients, and on nothing else. Running statistics and what methods want
//! averaged become the mean of the clients' with the strategy's own weights; what is frozen or local stays.

use lyceum_core::{
    AnyStrategy, Bounds, ClientId, ClientTerm, ExactSum, Grid, Harvest, Lane, Layout, LocalWork,
    Params, Purpose, Reduction, Role, Seed, Settled, StrategyRun, Stream,
};
use lyceum_scenarios::Scenario;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

const SCENARIO: &str = r#"
[run]
name = "rules"
rounds = 1
[data]
clients = 9
set = "digits"
[model.softmax]
[variational]
[training]
rate = 0.1
[selection.all]
[strategy.fed_avg]
"#;

/// Every strategy of the registry, with its defaults where it has them.
fn strategies() -> Vec<(&'static str, Arc<dyn AnyStrategy>)> {
    let registry = lyceum::registry();
    let read = |name| {
        let keys = if name == "fed_prox" { "mu = 0.1" } else { "" };
        let choice = format!("strategy={{ {name} = {{ {keys} }} }}");
        let scenario = Scenario::read(&registry, "s", SCENARIO, &[choice]).unwrap();
        (name, scenario.strategy.plugin)
    };
    let names = registry.strategies.entries().iter().map(|e| e.name);
    names.map(read).collect()
}

/// What a client brings back.
struct Work {
    client: u64,
    samples: u64,
    travel: f64,
    delta: Vec<f32>,
}

/// A federation of one strategy.
struct Play {
    strategy: Arc<dyn AnyStrategy>,
    bounds: Bounds,
    layout: Layout,
    run: Box<dyn StrategyRun>,
    global: Params,
    states: BTreeMap<u64, Params>,
}

impl Play {
    fn new(strategy: &Arc<dyn AnyStrategy>, layout: &Layout, global: Vec<f32>) -> Self {
        let global = Params::from(global);
        Self {
            bounds: Bounds::of(layout),
            run: strategy.clone().start(&global, layout),
            strategy: strategy.clone(),
            layout: layout.clone(),
            global,
            states: BTreeMap::new(),
        }
    }

    /// What a client adds to the sums, as a node settles it.
    fn settle(&mut self, work: &Work) -> Settled {
        let rule = self.strategy.client_half();
        let (round, client) = (self.run.broadcast(), ClientId(work.client));
        let settled = self.bounds.settle(work.delta.clone().into(), |delta| {
            rule.settle(&LocalWork {
                client,
                delta,
                received: &self.global,
                prior: None,
                samples: work.samples,
                steps: 3,
                travel: work.travel,
                state: self.states.get(&work.client),
                round: &round,
            })
        });
        if let Some(state) = &settled.state {
            self.states.insert(work.client, state.clone());
        }
        settled
    }

    /// A round; the weights that the strategy gave its clients.
    fn round(&mut self, works: &[Work]) -> Vec<f64> {
        let contribution = self.strategy.contribution(&self.layout);
        let grid = match contribution.reduction {
            Reduction::Sum => Grid::from(&self.layout),
            Reduction::EachUpdate => Grid::default(),
        };
        let mut sum = ExactSum::new(&contribution.lanes, grid);
        let (mut updates, mut weights) = (Vec::new(), Vec::new());
        for work in works {
            let settled = self.settle(work);
            weights.push(settled.lanes[0].0);
            match contribution.reduction {
                Reduction::Sum => {
                    let term = sum.admit(settled.lanes).unwrap();
                    sum.fold(&[term]).unwrap();
                }
                Reduction::EachUpdate => updates.push(ClientTerm {
                    client: ClientId(work.client),
                    lanes: settled.lanes,
                }),
            }
        }
        let harvest = Harvest {
            sum: &mut sum,
            updates: &updates,
            population: 9,
            prior: None,
        };
        self.run.close(&mut self.global, harvest).unwrap();
        weights
    }
}

fn number(rng: &mut Stream, below: u64) -> u64 {
    lyceum_core::sample_distinct(below, 1, rng)[0]
}

/// From -1 up to 1.
fn value(rng: &mut Stream) -> f32 {
    number(rng, 2001) as f32 / 1000.0 - 1.0
}

/// Tensors of all roles in any order.
fn a_layout(rng: &mut Stream) -> Layout {
    let mut roles = vec![Role::Trainable, Role::Statistic, Role::Local, Role::Frozen];
    roles.extend([Role::Trainable, Role::Statistic]);
    lyceum_core::shuffle(&mut roles, rng);
    let mut layout = Layout::default();
    for (index, role) in roles.into_iter().enumerate() {
        let len = 1 + number(rng, 4) as usize;
        layout.push(format!("{index}.tensor"), vec![len], role);
    }
    layout
}

fn works(layout: &Layout, large: f32, rng: &mut Stream) -> Vec<Work> {
    let statistics = layout.ranges(|role| role == Role::Statistic);
    let others = layout.ranges(|role| matches!(role, Role::Frozen | Role::Local));
    let work = |client| {
        let mut delta: Vec<f32> = (0..layout.len()).map(|_| value(rng)).collect();
        for at in &statistics {
            delta[at.clone()].iter_mut().for_each(|d| *d *= large);
        }
        for at in &others {
            delta[at.clone()].fill(0.0);
        }
        Work {
            client,
            samples: 1 + number(rng, 50),
            travel: (1 + number(rng, 40)) as f64 / 10.0,
            delta,
        }
    };
    (0..7).map(work).collect()
}

fn gather(values: &[f32], at: &[Range<usize>]) -> Vec<f32> {
    at.iter()
        .flat_map(|at| values[at.clone()].to_vec())
        .collect()
}

/// What FedAvg makes of statistics, with these weights.
fn averaged(before: &[f32], works: &[Work], weights: &[f64], at: &[Range<usize>]) -> Vec<f32> {
    let mut layout = Layout::default();
    let before = gather(before, at);
    layout.push("statistics", vec![before.len()], Role::Statistic);
    let mut sum = ExactSum::new(&[Lane::INTEGER], Grid::from(&layout));
    for (work, weight) in works.iter().zip(weights) {
        sum.add(0, *weight, &gather(&work.delta, at)).unwrap();
    }
    let means = sum.mean(0);
    let total: f64 = weights.iter().sum();
    for (place, mean) in means.iter().enumerate() {
        let terms = works.iter().zip(weights);
        let terms = terms.map(|(work, w)| w * f64::from(gather(&work.delta, at)[place]));
        let (want, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
        assert!(
            (f64::from(*mean) - want / total).abs() <= 1e-7 * size / total,
            "{mean}"
        );
    }
    let next = before.iter().zip(means);
    next.map(|(w, d)| (f64::from(*w) + f64::from(d)) as f32)
        .collect()
}

/// The parameters that the twin has: all that a rule may treat as weights, and statistics too where it sees single updates.
fn own(layout: &Layout, robust: bool) -> Vec<Range<usize>> {
    layout.ranges(|role| role == Role::Trainable || robust && role == Role::Statistic)
}

fn narrowed(work: &Work, at: &[Range<usize>]) -> Work {
    Work {
        delta: gather(&work.delta, at),
        ..*work
    }
}

#[test]
fn every_strategy_averages_what_is_no_weight_and_does_with_weights_what_it_always_did() {
    for (name, strategy) in strategies() {
        for seed in 0..25 {
            let rng = &mut Seed(seed).once(Purpose::CONTINUAL);
            let layout = a_layout(rng);
            let robust = strategy.contribution(&layout).reduction == Reduction::EachUpdate;
            let (statistics, own) = (
                layout.ranges(|role| role == Role::Statistic),
                own(&layout, robust),
            );
            let still = layout.ranges(|role| matches!(role, Role::Frozen | Role::Local));
            let start: Vec<f32> = (0..layout.len()).map(|_| value(rng)).collect();
            let narrow = gather(&start, &own);
            let mut twin = Play::new(&strategy, &Layout::weights(narrow.len()), narrow);
            let mut play = Play::new(&strategy, &layout, start.clone());
            for round in 0..4 {
                let large = [1.0, 1e3, 3e9, 1e25][round];
                let works = works(&layout, large, rng);
                let before = play.global.clone();
                let weights = play.round(&works);
                let narrow: Vec<Work> = works.iter().map(|w| narrowed(w, &own)).collect();
                twin.round(&narrow);
                assert_eq!(
                    gather(&play.global, &own),
                    *twin.global,
                    "{name} {seed} {round}"
                );
                if !robust {
                    let want = averaged(&before, &works, &weights, &statistics);
                    assert_eq!(
                        gather(&play.global, &statistics),
                        want,
                        "{name} {seed} {round}"
                    );
                }
                assert_eq!(
                    gather(&play.global, &still),
                    gather(&start, &still),
                    "{name}"
                );
                let vectors = play.run.broadcast();
                for vector in vectors.iter().chain(play.states.values()) {
                    let rest = gather(vector, &[statistics.clone(), still.clone()].concat());
                    assert!(rest.iter().all(|v| *v == 0.0), "{name}: {rest:?}");
                }
            }
        }
    }
}

/// With a rate of 1/2 a robust rule moves weights half of the way, and statistics all of it.
#[test]
fn the_rate_of_a_robust_rule_is_for_weights_alone() {
    let registry = lyceum::registry();
    for name in ["median", "trimmed_mean", "krum", "geometric_median"] {
        let with = |rate: f64| {
            let choice = format!("strategy={{ {name} = {{ rate = {rate:?} }} }}");
            let scenario = Scenario::read(&registry, "s", SCENARIO, &[choice]).unwrap();
            let rng = &mut Seed(3).once(Purpose::CONTINUAL);
            let layout = a_layout(rng);
            let start = vec![0.0; layout.len()];
            let mut play = Play::new(&scenario.strategy.plugin, &layout, start);
            play.round(&works(&layout, 1e3, rng));
            (layout, play.global)
        };
        let ((layout, half), (_, whole)) = (with(0.5), with(1.0));
        for entry in layout.entries() {
            let factor = if entry.role == Role::Trainable {
                0.5
            } else {
                1.0
            };
            let want = whole[entry.range()].iter().map(|v| factor * v);
            assert_eq!(
                half[entry.range()],
                want.collect::<Vec<f32>>(),
                "{name} {entry:?}"
            );
        }
    }
}

/// A frozen or local value that clients claim to have changed stays where it is.
#[test]
fn what_is_frozen_or_local_stays_whatever_clients_say() {
    for (name, strategy) in strategies() {
        let rng = &mut Seed(8).once(Purpose::CONTINUAL);
        let layout = a_layout(rng);
        let still = layout.ranges(|role| matches!(role, Role::Frozen | Role::Local));
        let start: Vec<f32> = (0..layout.len()).map(|_| value(rng)).collect();
        let mut play = Play::new(&strategy, &layout, start.clone());
        let mut works = works(&layout, 1.0, rng);
        for work in &mut works {
            still.iter().for_each(|at| work.delta[at.clone()].fill(5.0));
        }
        play.round(&works);
        assert_eq!(
            gather(&play.global, &still),
            gather(&start, &still),
            "{name}"
        );
    }
}
