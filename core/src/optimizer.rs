//! The rules by which gradients change parameters.

use serde::{Deserialize, Serialize};

/// The rule by which a gradient changes the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// `v <- momentum v + g; w <- w - rate v` (heavy ball, as in PyTorch without dampening).
    Sgd {
        /// From 0 up to but not including 1.
        momentum: f32,
    },
    /// Adam with bias correction (Kingma and Ba 2015, algorithm 1).
    Adam {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
    },
    /// `v <- momentum v + g; w <- w - rate (g + momentum v)` (Sutskever et al. 2013, as PyTorch has it).
    Nesterov {
        /// From 0 up to but not including 1.
        momentum: f32,
    },
    /// Adam whose weight decay is no part of the gradient: `w <- (1 - rate decay) w` first (Loshchilov and Hutter 2019,
    /// algorithm 2).
    AdamW {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
    },
    /// `s <- decay s + (1 - decay) g^2; v <- momentum v + g / (sqrt(s) + epsilon); w <- w - rate v` (Tieleman and Hinton 2012).
    RmsProp {
        /// Decay of the mean square.
        decay: f32,
        /// From 0 up to but not including 1.
        momentum: f32,
        /// Added to the root of the mean square.
        epsilon: f32,
    },
    /// `s <- s + g^2; w <- w - rate g / (sqrt(s) + epsilon)` (Duchi, Hazan and Singer 2011).
    Adagrad {
        /// Added to the root of the sum of squares.
        epsilon: f32,
    },
    /// `w <- (1 - rate decay) w - rate sign(beta1 m + (1 - beta1) g); m <- beta2 m + (1 - beta2) g` (Chen et al. 2023,
    /// algorithm 2).
    Lion {
        /// Share of the momentum in a step.
        beta1: f32,
        /// Decay of the momentum.
        beta2: f32,
    },
}

impl Optimizer {
    /// Whether it keeps a first moment or velocity, and a second moment.
    pub fn keeps(self) -> (bool, bool) {
        match self {
            Self::Sgd { momentum: 0.0 } => (false, false),
            Self::Sgd { .. } | Self::Nesterov { .. } | Self::Lion { .. } => (true, false),
            Self::Adam { .. } | Self::AdamW { .. } => (true, true),
            Self::RmsProp { momentum, .. } => (momentum != 0.0, true),
            Self::Adagrad { .. } => (false, true),
        }
    }

    /// Whether weight decay acts on the weights by itself, and is no part of the gradient.
    pub fn decouples(self) -> bool {
        matches!(self, Self::AdamW { .. } | Self::Lion { .. })
    }

    /// Changes parameters by their gradient. Moments that the rule does not keep are empty.
    #[inline(always)]
    pub(crate) fn apply(
        self,
        (rate, steps): (f32, u64),
        w: &mut [f32],
        grad: &[f32],
        (first, second): (&mut [f32], &mut [f32]),
    ) {
        match self {
            Self::Sgd { momentum: 0.0 } => both(w, grad).for_each(|(w, g)| *w -= rate * g),
            Self::Sgd { momentum } => {
                for ((w, g), v) in both(w, grad).zip(first) {
                    *v = momentum * *v + g;
                    *w -= rate * *v;
                }
            }
            Self::Nesterov { momentum } => {
                for ((w, g), v) in both(w, grad).zip(first) {
                    *v = momentum * *v + g;
                    *w -= rate * (g + momentum * *v);
                }
            }
            Self::Adam {
                beta1,
                beta2,
                epsilon,
            }
            | Self::AdamW {
                beta1,
                beta2,
                epsilon,
            } => {
                let moments = (beta1, beta2, epsilon);
                adam((rate, steps), moments, (w, grad), (first, second));
            }
            Self::RmsProp {
                decay,
                momentum,
                epsilon,
            } => rms_prop((rate, decay, momentum, epsilon), (w, grad), (first, second)),
            Self::Adagrad { epsilon } => {
                for ((w, g), s) in both(w, grad).zip(second) {
                    *s += g * g;
                    *w -= rate * g / (s.sqrt() + epsilon);
                }
            }
            Self::Lion { beta1, beta2 } => {
                for ((w, g), m) in both(w, grad).zip(first) {
                    let way = beta1 * *m + (1.0 - beta1) * g;
                    *w -= rate * sign(way);
                    *m = beta2 * *m + (1.0 - beta2) * g;
                }
            }
        }
    }
}

#[inline(always)]
fn both<'a>(w: &'a mut [f32], grad: &'a [f32]) -> impl Iterator<Item = (&'a mut f32, &'a f32)> {
    w.iter_mut().zip(grad)
}

#[inline(always)]
fn adam(
    (rate, steps): (f32, u64),
    (beta1, beta2, epsilon): (f32, f32, f32),
    (w, grad): (&mut [f32], &[f32]),
    (first, second): (&mut [f32], &mut [f32]),
) {
    let correct = |beta: f32| (1.0 - f64::from(beta).powi(steps as i32)) as f32;
    let (c1, c2) = (correct(beta1), correct(beta2));
    for (((w, g), m), v) in both(w, grad).zip(first).zip(second) {
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        *w -= rate * (*m / c1) / ((*v / c2).sqrt() + epsilon);
    }
}

#[inline(always)]
fn rms_prop(
    (rate, decay, momentum, epsilon): (f32, f32, f32, f32),
    (w, grad): (&mut [f32], &[f32]),
    (first, second): (&mut [f32], &mut [f32]),
) {
    let sites = w.iter_mut().zip(grad).zip(second);
    let square = |s: &mut f32, g: f32| {
        *s = decay * *s + (1.0 - decay) * g * g;
        g / (s.sqrt() + epsilon)
    };
    match momentum == 0.0 {
        true => sites.for_each(|((w, g), s)| *w -= rate * square(s, *g)),
        false => {
            for (((w, g), s), v) in sites.zip(first) {
                *v = momentum * *v + square(s, *g);
                *w -= rate * *v;
            }
        }
    }
}

/// -1, 0 or 1; what is no number stays none.
#[inline(always)]
fn sign(value: f32) -> f32 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}
