//! The rules of optimizers in tensors: what `Update::apply` does, on the device.

use burn::tensor::Tensor;
use lyceum_core::{Conduct, Network, Optimizer, Update};

/// What a rule keeps of the steps before.
#[derive(Default)]
pub(crate) struct Kept {
    /// Velocities or first moments; empty at rest.
    pub(crate) first: Vec<Tensor<1>>,
    /// Second moments; empty at rest.
    pub(crate) second: Vec<Tensor<1>>,
    /// The call that they are of, and its steps that are in them.
    pub(crate) of: (u64, u64),
}

/// Whether a step can be taken on the device.
pub(crate) fn is_known(update: &Update<'_>) -> bool {
    use Optimizer::{Adam, AdamW, Nesterov, Sgd};
    let rule = update.optimizer;
    let known = matches!(
        rule,
        Sgd { .. } | Nesterov { .. } | Adam { .. } | AdamW { .. }
    );
    known && update.objective.is_empty()
}

/// The parameters after a step that has [begun](Update::begin). Those without a gradient have one of 0.
pub(crate) fn after(
    network: &Network,
    update: &Update<'_>,
    weights: Vec<Tensor<1>>,
    gradients: Vec<Option<Tensor<1>>>,
    kept: &mut Kept,
) -> Vec<Tensor<1>> {
    let conducts: Vec<Conduct> = {
        let entries = network.layout().entries().iter();
        entries
            .map(|entry| update.memory.conduct(entry.range().start))
            .collect()
    };
    let scale = update
        .clip
        .and_then(|limit| scale(limit, &conducts, &gradients));
    let (first, second) = update.optimizer.keeps();
    let zeros = || weights.iter().map(Tensor::zeros_like).collect();
    if first && kept.first.is_empty() {
        kept.first = zeros();
    }
    if second && kept.second.is_empty() {
        kept.second = zeros();
    }
    let sites = weights.into_iter().zip(gradients).zip(conducts);
    let step =
        |(place, ((w, gradient), conduct)): (usize, ((Tensor<1>, Option<Tensor<1>>), Conduct))| {
            let gradient = gradient.unwrap_or_else(|| w.zeros_like());
            match conduct {
                Conduct::Still => w,
                Conduct::Statistic => w - gradient,
                Conduct::Follow => {
                    let gradient = match &scale {
                        Some(scale) => gradient * scale.clone(),
                        None => gradient,
                    };
                    let moments = (kept.first.get_mut(place), kept.second.get_mut(place));
                    followed(update, w, gradient, moments)
                }
            }
        };
    sites.enumerate().map(step).collect()
}

/// What a gradient that is too long is multiplied by.
fn scale(limit: f32, conducts: &[Conduct], gradients: &[Option<Tensor<1>>]) -> Option<Tensor<1>> {
    let following = conducts.iter().zip(gradients);
    let following = following.filter(|(conduct, _)| **conduct == Conduct::Follow);
    let squares = following.filter_map(|(_, gradient)| gradient.clone());
    let squares = squares.map(|gradient| (gradient.clone() * gradient).sum());
    let norm = squares.reduce(|a, b| a + b)?.sqrt();
    Some((norm.recip() * limit).clamp_max(1.0))
}

/// One tensor after its step.
fn followed(
    update: &Update<'_>,
    w: Tensor<1>,
    gradient: Tensor<1>,
    (first, second): (Option<&mut Tensor<1>>, Option<&mut Tensor<1>>),
) -> Tensor<1> {
    let (rate, decay) = (update.rate, update.coupled_decay());
    let gradient = match decay == 0.0 {
        true => gradient,
        false => gradient + w.clone() * decay,
    };
    let w = match update.optimizer.decouples() && update.weight_decay != 0.0 {
        true => w * (1.0 - rate * update.weight_decay),
        false => w,
    };
    match (update.optimizer, first, second) {
        (Optimizer::Sgd { momentum }, Some(v), _) => {
            *v = v.clone() * momentum + gradient;
            w - v.clone() * rate
        }
        (Optimizer::Nesterov { momentum }, Some(v), _) => {
            *v = v.clone() * momentum + gradient.clone();
            w - (gradient + v.clone() * momentum) * rate
        }
        (
            Optimizer::Adam {
                beta1,
                beta2,
                epsilon,
            }
            | Optimizer::AdamW {
                beta1,
                beta2,
                epsilon,
            },
            Some(m),
            Some(v),
        ) => {
            let correct =
                |beta: f32| (1.0 - f64::from(beta).powi(update.memory.steps as i32)) as f32;
            *m = m.clone() * beta1 + gradient.clone() * (1.0 - beta1);
            *v = v.clone() * beta2 + gradient.clone() * gradient * (1.0 - beta2);
            let (m, v) = (m.clone() / correct(beta1), v.clone() / correct(beta2));
            w - m * rate / (v.sqrt() + epsilon)
        }
        _ => w - gradient * rate,
    }
}
