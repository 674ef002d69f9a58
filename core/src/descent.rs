//! One step of descent: what acts on a gradient, where, and what a training call keeps for it.

use crate::{Layout, Optimizer, Resolved, ResolvedDivergence, Role, wide};
use std::ops::Range;

/// Everything an update needs besides the gradient. One per local training call.
#[derive(Debug)]
pub struct Update<'a> {
    /// The rule.
    pub optimizer: Optimizer,
    /// Learning rate of this step.
    pub rate: f32,
    /// Times the parameter, added to the gradient.
    pub weight_decay: f32,
    /// Largest norm of the gradient of the data loss, if it is clipped.
    pub clip: Option<f32>,
    /// Pulls and shifts.
    pub objective: &'a Resolved<'a>,
    /// Moments of the optimizer and gradient buffer; reused from call to call.
    pub memory: &'a mut Moments,
}

/// Buffers that live as long as a local training call.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// The gradient.
    pub grad: Vec<f32>,
    /// Velocity, or first moment. Empty until the rule needs it.
    pub first: Vec<f32>,
    /// Second moment. Empty until the rule needs it.
    pub second: Vec<f32>,
    /// Updates made.
    pub steps: u64,
    /// Calls that began with these buffers.
    pub calls: u64,
    /// What happens to each range of parameters.
    segments: Segments,
}

/// What an update does to each range of parameters; contiguous, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments(Vec<(Range<usize>, Conduct)>);

impl Segments {
    /// Of a layout in which only what has these roles moves.
    pub fn of(layout: &Layout, moves: impl Fn(Role) -> bool) -> Self {
        let mut segments: Vec<(Range<usize>, Conduct)> = Vec::new();
        for entry in layout.entries() {
            let conduct = match moves(entry.role) {
                true => Conduct::of(entry.role),
                false => Conduct::Still,
            };
            match segments.last_mut() {
                Some((range, last)) if *last == conduct => range.end = entry.range().end,
                _ => segments.push((entry.range(), conduct)),
            }
        }
        Self(segments)
    }
}

/// What an update does to a range of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It follows the rule.
    Follow,
    /// Its step is taken off as it is.
    Statistic,
    /// Nothing.
    Still,
}

impl Conduct {
    fn of(role: Role) -> Self {
        match role {
            Role::Trainable | Role::Local => Self::Follow,
            Role::Statistic | Role::LocalStatistic => Self::Statistic,
            Role::Frozen => Self::Still,
        }
    }
}

impl Moments {
    /// Buffers for one layout, at rest.
    pub fn new(layout: &Layout) -> Self {
        Self {
            grad: vec![0.0; layout.len()],
            segments: Segments::of(layout, |_| true),
            ..Self::default()
        }
    }

    /// From now on these ranges move, and the others stand still. Takes no memory once it has what the largest takes.
    pub fn follow(&mut self, segments: &Segments) {
        self.segments.0.clone_from(&segments.0);
    }

    /// What an update does to the parameter at a place; all of a tensor have the same conduct.
    pub fn conduct(&self, at: usize) -> Conduct {
        let of = self
            .segments
            .0
            .iter()
            .find(|(range, _)| range.contains(&at));
        of.map_or(Conduct::Still, |(_, conduct)| *conduct)
    }

    /// Forgets velocity and moments, keeps the memory: the start of a local training call.
    pub fn reset(&mut self) {
        self.first.fill(0.0);
        self.second.fill(0.0);
        self.steps = 0;
        self.calls += 1;
    }
}

/// Parameters that all passes of an update see before the next ones are fetched.
const BLOCK: usize = 1024;

impl Update<'_> {
    /// Changes `w` by the gradient in `memory.grad`, which is used up.
    ///
    /// Statistics only have their step taken off: no rate, decay, pull, shift, clipping or moment acts on them,
    /// and they do not count in the norm that is clipped.
    pub fn apply(&mut self, w: &mut [f32]) {
        self.begin(w.len());
        if let Some(limit) = self.clip {
            self.memory.clip(limit);
        }
        self.apply_range(0..w.len(), w);
    }

    /// The start of an update whose ranges are then changed one by one. Nothing may be clipped: the norm
    /// is not known before the last range is.
    pub fn begin(&mut self, len: usize) {
        self.memory.steps += 1;
        let (first, second) = self.optimizer.keeps();
        if first {
            self.memory.first.resize(len, 0.0);
        }
        if second {
            self.memory.second.resize(len, 0.0);
        }
    }

    /// Changes a range of `w` by the gradient there. One pass over memory, whatever the objective adds.
    pub fn apply_range(&mut self, range: Range<usize>, w: &mut [f32]) {
        let mut grad = std::mem::take(&mut self.memory.grad);
        self.apply_part(range.clone(), w, &mut grad[range], None);
        self.memory.grad = grad;
    }

    /// As [`apply_range`](Self::apply_range), by a gradient in a buffer of the caller's, as long as the range and used up.
    ///
    /// Where the parameters are logarithms of deviations, `variances` may hold `e^(2 w)`; then the gradient is that at the
    /// variances, `2 e^(2 w)` times which is the one at the logarithms.
    pub fn apply_part(
        &mut self,
        range: Range<usize>,
        w: &mut [f32],
        grad: &mut [f32],
        variances: Option<&[f32]>,
    ) {
        for index in 0..self.memory.segments.0.len() {
            let (segment, conduct) = &self.memory.segments.0[index];
            let at = segment.start.max(range.start)..segment.end.min(range.end);
            if at.is_empty() {
                continue;
            }
            let here = at.start - range.start..at.end - range.start;
            let grad = &mut grad[here.clone()];
            match conduct {
                Conduct::Still => {}
                Conduct::Statistic => {
                    let sites = w[at].iter_mut().zip(&*grad);
                    sites.for_each(|(w, step)| *w -= step);
                }
                Conduct::Follow => {
                    let variances = variances.map(|all| &all[here]);
                    wide(
                        #[inline(always)]
                        || self.follow(at.clone(), w, grad, variances),
                    );
                }
            }
        }
    }

    #[inline(always)]
    fn follow(
        &mut self,
        range: Range<usize>,
        w: &mut [f32],
        grad: &mut [f32],
        variances: Option<&[f32]>,
    ) {
        let first = range.start;
        for at in blocks(range) {
            let here = at.start - first..at.end - first;
            let (w, grad) = (&mut w[at.clone()], &mut grad[here.clone()]);
            let variances = variances.map(|all| &all[here]);
            if let Some(divergence) = self.lone_divergence() {
                divergence.descend((at.start, variances), self.rate, w, grad);
                continue;
            }
            for (g, variance) in grad.iter_mut().zip(variances.into_iter().flatten()) {
                *g *= 2.0 * variance;
            }
            let here = (at.start, variances);
            add_extra(self.coupled_decay(), self.objective, here, w, grad);
            if self.optimizer.decouples() && self.weight_decay != 0.0 {
                let keep = 1.0 - self.rate * self.weight_decay;
                w.iter_mut().for_each(|w| *w *= keep);
            }
            let (rate, steps) = (self.rate, self.memory.steps);
            let Moments { first, second, .. } = &mut *self.memory;
            let moments = (part(first, &at), part(second, &at));
            self.optimizer.apply((rate, steps), w, grad, moments);
        }
    }

    /// Whether all that becomes of a parameter that follows the rule is that rate times gradient is taken off it.
    pub fn is_plain_descent(&self) -> bool {
        self.optimizer == Optimizer::Sgd { momentum: 0.0 }
            && (self.weight_decay, self.clip) == (0.0, None)
            && self.objective.is_empty()
    }

    /// The decay that is part of the gradient.
    #[inline(always)]
    pub fn coupled_decay(&self) -> f32 {
        match self.optimizer.decouples() {
            true => 0.0,
            false => self.weight_decay,
        }
    }

    /// The divergence, where plain descent by it and by the data loss is all there is.
    #[inline(always)]
    fn lone_divergence(&self) -> Option<&ResolvedDivergence<'_>> {
        let Resolved {
            pulls,
            shifts,
            divergences,
        } = self.objective;
        let is_alone = pulls.is_empty() && shifts.is_empty() && self.weight_decay == 0.0;
        match &divergences[..] {
            [divergence] if is_alone && self.optimizer == (Optimizer::Sgd { momentum: 0.0 }) => {
                Some(divergence)
            }
            _ => None,
        }
    }

    /// Whether [`direct`](Self::direct) may change this range: the rule is linear in the gradient, nothing is
    /// clipped, and all of the range follows the rule.
    pub fn is_direct(&self, range: &Range<usize>) -> bool {
        let follows = |(segment, conduct): &(Range<usize>, Conduct)| {
            *conduct == Conduct::Follow && segment.start <= range.start && range.end <= segment.end
        };
        matches!(self.optimizer, Optimizer::Sgd { .. })
            && self.clip.is_none()
            && self.memory.segments.0.iter().any(follows)
    }

    /// Changes a range of `w` by a gradient that is never stored: `write(target, keep, scale)` must make the
    /// range of `target`, which is as long as `w`, `keep * old + scale * gradient`.
    ///
    /// Rounds once less than [`apply_range`](Self::apply_range) does.
    pub fn direct(
        &mut self,
        range: Range<usize>,
        w: &mut [f32],
        write: impl FnOnce(&mut [f32], f32, f32),
    ) {
        let (decay, objective, rate) = (self.weight_decay, self.objective, self.rate);
        let plain = decay == 0.0 && objective.is_empty();
        match self.optimizer {
            Optimizer::Sgd { momentum } if momentum != 0.0 => {
                write(&mut self.memory.first, momentum, 1.0);
                wide(
                    #[inline(always)]
                    || {
                        for at in blocks(range.clone()) {
                            let (w, velocity) =
                                (&mut w[at.clone()], &mut self.memory.first[at.clone()]);
                            add_extra(decay, objective, (at.start, None), w, velocity);
                            w.iter_mut()
                                .zip(&*velocity)
                                .for_each(|(w, v)| *w -= rate * v);
                        }
                    },
                );
            }
            _ if plain => write(w, 1.0, -rate),
            _ => {
                wide(
                    #[inline(always)]
                    || {
                        for at in blocks(range.clone()) {
                            let w = &mut w[at.clone()];
                            let mut extra = [0.0; BLOCK];
                            let extra = &mut extra[..at.len()];
                            add_extra(decay, objective, (at.start, None), w, extra);
                            w.iter_mut().zip(&*extra).for_each(|(w, e)| *w -= rate * e);
                        }
                    },
                );
                write(w, 1.0, -rate);
            }
        }
    }
}

/// A part of a moment; nothing of one that the rule does not keep.
#[inline(always)]
fn part<'a>(moment: &'a mut [f32], at: &Range<usize>) -> &'a mut [f32] {
    match moment.is_empty() {
        true => moment,
        false => &mut moment[at.clone()],
    }
}

fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range
        .step_by(BLOCK)
        .map(move |start| start..end.min(start + BLOCK))
}

/// Adds decay, pulls, shifts and divergences at a block of parameters, of which the place and, where they are at hand, the
/// variances are given.
#[inline(always)]
fn add_extra(
    decay: f32,
    objective: &Resolved<'_>,
    at: (usize, Option<&[f32]>),
    w: &[f32],
    grad: &mut [f32],
) {
    if decay != 0.0 {
        grad.iter_mut().zip(w).for_each(|(g, w)| *g += decay * w);
    }
    objective.add_block_with(at, w, grad);
}

impl Moments {
    /// Scales the gradient of what follows the rule down to a norm of at most `limit`.
    fn clip(&mut self, limit: f32) {
        let Self { grad, segments, .. } = self;
        let following = || segments.0.iter().filter(|(_, c)| *c == Conduct::Follow);
        let square = |range: &Range<usize>| {
            grad[range.clone()]
                .iter()
                .map(|&g| f64::from(g) * f64::from(g))
                .sum::<f64>()
        };
        let norm = following()
            .map(|(range, _)| square(range))
            .sum::<f64>()
            .sqrt();
        if norm > f64::from(limit) {
            let factor = (f64::from(limit) / norm) as f32;
            for (range, _) in following() {
                grad[range.clone()].iter_mut().for_each(|g| *g *= factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTEROV: [f32; 3] = [0.525, 0.462625, -0.273_836_88];
    const ADAM_W: [f32; 3] = [0.85, 0.780_866_3, 0.678_290_96];
    const RMS_PROP: [f32; 3] = [4e-8, 0.373_001_94, -0.393_785_96];
    const RMS_PROP_MOMENTUM: [f32; 3] = [4e-8, -0.526_998_02, -1.717_371_7];
    const ADAGRAD: [f32; 3] = [0.9, 0.921_486_2, 0.841_089_05];
    const LION: [f32; 3] = [0.85, 0.9075, 0.762_125];

    fn run(optimizer: Optimizer, grads: &[f32]) -> Vec<f32> {
        run_with(optimizer, 0.0, grads)
    }

    fn run_with(optimizer: Optimizer, weight_decay: f32, grads: &[f32]) -> Vec<f32> {
        let mut layout = Layout::default();
        layout.push("w", vec![1], Role::Trainable);
        let mut memory = Moments::new(&layout);
        let objective = Resolved::default();
        let mut w = [1.0_f32];
        grads
            .iter()
            .map(|&g| {
                memory.grad[0] = g;
                let mut update = Update {
                    optimizer,
                    rate: 0.1,
                    weight_decay,
                    clip: None,
                    objective: &objective,
                    memory: &mut memory,
                };
                update.apply(&mut w);
                w[0]
            })
            .collect()
    }

    /// v: 1, 1.9, 2.71; w: 1 - 0.1 - 0.19 - 0.271.
    #[test]
    fn heavy_ball_by_hand() {
        let w = run(Optimizer::Sgd { momentum: 0.9 }, &[1.0, 1.0, 1.0]);
        for (got, want) in w.iter().zip([0.9, 0.71, 0.439]) {
            assert!((got - want).abs() < 1e-6, "{w:?}");
        }
    }

    /// With a constant gradient both corrected moments are constant, so every step is the rate.
    #[test]
    fn adam_moves_by_the_rate_on_a_constant_gradient() {
        let w = run(
            Optimizer::Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 0.0,
            },
            &[0.5, 0.5, 0.5],
        );
        for (got, want) in w.iter().zip([0.9, 0.8, 0.7]) {
            assert!((got - want).abs() < 1e-5, "{w:?}");
        }
    }

    /// Gradients 2, -1, 3 with rate 0.1, from weight 1: what PyTorch 2.15 prints (`tests/independent/optimizers.py`).
    #[test]
    fn rules_come_to_what_pytorch_comes_to() {
        let moments = |beta1, beta2| (beta1, beta2, 1e-8);
        let (beta1, beta2, epsilon) = moments(0.9, 0.999);
        let rms = |momentum| Optimizer::RmsProp {
            decay: 0.99,
            momentum,
            epsilon,
        };
        for (optimizer, want) in [
            (Optimizer::Nesterov { momentum: 0.9 }, NESTEROV),
            (
                Optimizer::AdamW {
                    beta1,
                    beta2,
                    epsilon,
                },
                ADAM_W,
            ),
            (rms(0.0), RMS_PROP),
            (rms(0.9), RMS_PROP_MOMENTUM),
            (Optimizer::Adagrad { epsilon: 1e-10 }, ADAGRAD),
            (
                Optimizer::Lion {
                    beta1: 0.9,
                    beta2: 0.99,
                },
                LION,
            ),
        ] {
            let w = run_with(optimizer, 0.5, &[2.0, -1.0, 3.0]);
            for (got, want) in w.iter().zip(want) {
                assert!((got - want).abs() < 1e-6, "{optimizer:?}: {w:?}");
            }
        }
    }

    #[test]
    fn a_statistic_moves_by_its_step_and_by_nothing_else() {
        let mut layout = Layout::default();
        layout.push("w", vec![2], Role::Trainable);
        layout.push("mean", vec![1], Role::Statistic);
        layout.push("fixed", vec![1], Role::Frozen);
        let (anchor, shift) = ([9.0; 4], [5.0; 4]);
        let objective = Resolved {
            pulls: vec![(crate::ResolvedStrength::Uniform(2.0), &anchor)],
            shifts: vec![&shift],
            ..Resolved::default()
        };
        let adam = Optimizer::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        };
        for optimizer in [
            Optimizer::Sgd { momentum: 0.0 },
            Optimizer::Sgd { momentum: 0.9 },
            adam,
        ] {
            let mut memory = Moments::new(&layout);
            let mut w = [1.0, 1.0, 1000.0, 7.0];
            for mean in [900.0, 800.0, 700.0] {
                memory.grad = vec![3.0, 4.0, 100.0, 50.0];
                let before = w;
                Update {
                    optimizer,
                    rate: 0.1,
                    weight_decay: 0.5,
                    clip: Some(1.0),
                    objective: &objective,
                    memory: &mut memory,
                }
                .apply(&mut w);
                assert_eq!(w[2..], [mean, 7.0], "{optimizer:?}");
                assert!(w[..2].iter().zip(before).all(|(w, b)| *w != b));
                let moments = [&memory.first, &memory.second];
                assert!(moments.iter().all(|m| m.is_empty() || m[2..] == [0.0; 2]));
            }
        }
    }

    #[test]
    fn what_does_not_move_in_a_pass_stands_still_and_counts_in_no_norm() {
        let mut layout = Layout::default();
        layout.push("body", vec![1], Role::Trainable);
        layout.push("mean", vec![1], Role::Statistic);
        layout.push("head", vec![1], Role::Local);
        let mut memory = Moments::new(&layout);
        let mut step = |moves: fn(Role) -> bool| {
            memory.follow(&Segments::of(&layout, moves));
            memory.grad = vec![3.0, 100.0, 4.0];
            let mut w = [0.0; 3];
            Update {
                optimizer: Optimizer::Sgd { momentum: 0.0 },
                rate: 1.0,
                weight_decay: 0.0,
                clip: Some(2.0),
                objective: &Resolved::default(),
                memory: &mut memory,
            }
            .apply(&mut w);
            w
        };
        assert_eq!(step(Role::is_local), [0.0, 0.0, -2.0]);
        assert_eq!(step(|role| !role.is_local()), [-2.0, -100.0, 0.0]);
        let both = step(|_| true);
        assert!((both[0] + 1.2).abs() < 1e-6 && both[1] == -100.0 && (both[2] + 1.6).abs() < 1e-6);
    }

    /// Gradients 3 and 4 beside a step of 100: the norm is 5, within the limit.
    #[test]
    fn statistics_do_not_count_in_the_clipped_norm() {
        let mut layout = Layout::default();
        layout.push("w", vec![2], Role::Trainable);
        layout.push("mean", vec![1], Role::Statistic);
        let mut memory = Moments::new(&layout);
        memory.grad = vec![3.0, 4.0, 100.0];
        let mut w = [0.0; 3];
        Update {
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            rate: 1.0,
            weight_decay: 0.0,
            clip: Some(5.0),
            objective: &Resolved::default(),
            memory: &mut memory,
        }
        .apply(&mut w);
        assert_eq!(w, [-3.0, -4.0, -100.0]);
    }
}
