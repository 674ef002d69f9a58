//! Where the rule of a strategy acts: on what follows gradients, and on nothing else.

use crate::{ExactSum, Layout, Params, Prior, Reduction, Role, Settled, Stall, Updates};
use std::ops::Range;

/// What came of a round.
#[derive(Clone, Copy, Debug)]
pub struct Folded<'a> {
    /// Lanes as the client half named them; all empty where the strategy asks for each update.
    pub sum: &'a ExactSum,
    /// Each update, where the strategy asks for them; none otherwise.
    pub updates: &'a dyn Updates,
    /// Number of clients in the federation, idle ones included.
    pub population: u64,
    /// Where a rule acts.
    pub bounds: &'a Bounds,
    /// The clients' prior, where weights are distributions.
    pub prior: Option<Prior<'a>>,
}

impl Folded<'_> {
    /// `global += rate * direction`; a running statistic goes along its direction as far as that leads, whatever the rate.
    pub fn advance(&self, global: &mut Params, rate: f64, direction: &[f32]) {
        self.bounds.advance(global, rate, direction);
    }
}

/// What was collected in a round, to be closed.
#[derive(Debug)]
pub struct Harvest<'a> {
    /// Lanes as the client half named them. What is not the rule's is taken out of it.
    pub sum: &'a mut ExactSum,
    /// Each update, where the strategy asks for them; none otherwise.
    pub updates: &'a dyn Updates,
    /// Number of clients in the federation, idle ones included.
    pub population: u64,
    /// The clients' prior, where weights are distributions.
    pub prior: Option<Prior<'a>>,
}

/// The ranges of a model that no rule of a server may treat as weights.
///
/// Every strategy runs inside of it. On the client's side a rule sees no change in these ranges, and on the server's no sum,
/// so that momenta, moments and controls of them stay zero. Running statistics, which tensors that methods want averaged
/// are as well, become the mean of the clients' by their weights in lane 0; frozen and local values stay. A strategy to
/// which single updates are shown sees those of statistics too, and applies its own rule to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Running statistics.
    averaged: Vec<Range<usize>>,
    /// What is frozen or stays with its client.
    still: Vec<Range<usize>>,
}

impl Bounds {
    /// Of the rules for models of this layout.
    pub fn of(layout: &Layout) -> Self {
        Self {
            averaged: layout.ranges(|role| role == Role::Statistic),
            still: layout.ranges(|role| role == Role::Frozen || role.is_local()),
        }
    }

    fn others(&self) -> impl Iterator<Item = &Range<usize>> {
        self.averaged.iter().chain(&self.still)
    }

    /// What a client adds to the sums: `rule` settles its change, and that of its statistics goes to lane 0 as it is.
    pub fn settle(&self, mut delta: Params, rule: impl FnOnce(&Params) -> Settled) -> Settled {
        if self.others().next().is_none() {
            return rule(&delta);
        }
        let (len, values) = (delta.len(), delta.make_mut());
        let averaged = self.averaged.iter();
        let steps: Vec<Vec<f32>> = averaged.map(|at| values[at.clone()].to_vec()).collect();
        self.others().for_each(|at| values[at.clone()].fill(0.0));
        let mut settled = rule(&delta);
        // Nearly always it is lane 0, too, which is then not copied to be written.
        drop(delta);
        if let Some((_, own)) = settled.lanes.first_mut().filter(|lane| lane.1.len() == len) {
            let own = own.make_mut();
            for (at, step) in self.averaged.iter().zip(&steps) {
                own[at.clone()].copy_from_slice(step);
            }
        }
        settled
    }

    /// Closes a round: `rule` changes what follows gradients.
    pub(crate) fn close(
        &self,
        global: &mut Params,
        harvest: Harvest<'_>,
        reduction: Reduction,
        rule: impl FnOnce(&mut Params, &Folded<'_>) -> Result<(), Stall>,
    ) -> Result<(), Stall> {
        let mut kept = self.still_values(global);
        if reduction == Reduction::Sum {
            kept.extend(self.means(global, harvest.sum));
        }
        self.others().for_each(|at| harvest.sum.forget(at));
        let folded = Folded {
            sum: harvest.sum,
            updates: harvest.updates,
            population: harvest.population,
            bounds: self,
            prior: harvest.prior,
        };
        rule(global, &folded)?;
        if !kept.is_empty() {
            let global = global.make_mut();
            for (at, values) in kept {
                global[at].copy_from_slice(&values);
            }
        }
        Ok(())
    }

    fn still_values(&self, global: &Params) -> Vec<(Range<usize>, Vec<f32>)> {
        let value = |at: &Range<usize>| (at.clone(), global[at.clone()].to_vec());
        self.still.iter().map(value).collect()
    }

    /// The next statistics: the mean steps of lane 0, added as they are.
    fn means(&self, global: &Params, sum: &ExactSum) -> Vec<(Range<usize>, Vec<f32>)> {
        let weight = sum.weight(0);
        let next = |at: &Range<usize>| {
            let mut values = vec![0.0; at.len()];
            if weight > 0.0 {
                sum.divided_range(0, weight, at.clone(), &mut values);
            }
            step(&global[at.clone()], &mut values);
            (at.clone(), values)
        };
        self.averaged.iter().map(next).collect()
    }

    /// `global += rate * direction` where values follow gradients, `global += direction` for statistics.
    pub(crate) fn advance(&self, global: &mut Params, rate: f64, direction: &[f32]) {
        let (global, mut from) = (global.make_mut(), 0);
        let mut go = |to: usize, rate: f64| {
            let sites = global[from..to].iter_mut().zip(&direction[from..to]);
            for (w, d) in sites {
                *w = (f64::from(*w) + rate * f64::from(*d)) as f32;
            }
            from = to;
        };
        for at in &self.averaged {
            go(at.start, rate);
            go(at.end, 1.0);
        }
        go(direction.len(), rate);
    }
}

/// `from + direction`, which takes the place of the direction.
fn step(from: &[f32], direction: &mut [f32]) {
    for (d, w) in direction.iter_mut().zip(from) {
        *d = (f64::from(*w) + f64::from(*d)) as f32;
    }
}
