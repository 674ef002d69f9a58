//! Activations: each value by itself, at any shape.

use crate::squash::{normal, sigmoid, tanh};
use lyceum_core::{Backward, Forward, LayerKind, Operation, wide};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// Gaussian error linear unit: `x` times the probability that a standard normal number is below `x` (Hendrycks and Gimpel 2016).
///
/// Shape stays. No tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gelu {
    /// How the probability is worked out; exactly, "none", by default.
    #[serde(default)]
    pub approximate: Approximate,
}

/// How a GELU is worked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Approximate {
    /// By the error function.
    #[default]
    None,
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, as in GPT-2.
    Tanh,
}

/// Sigmoid linear unit, also swish: `x / (1 + e^-x)` (Elfwing, Uchibe and Doya 2018).
///
/// Shape stays. No tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silu {}

/// `x` from 0 up, `slope x` below (Maas, Hannun and Ng 2013).
///
/// Shape stays. No tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeakyRelu {
    /// Slope below 0, any finite number; 0.01 by default.
    #[serde(default = "hundredth")]
    pub slope: f64,
}

fn hundredth() -> f64 {
    0.01
}

/// `1 / (1 + e^-x)`.
///
/// Shape stays. No tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sigmoid {}

impl LayerKind for Gelu {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }

    fn operation(&self, _: usize, _: &[usize]) -> Box<dyn Operation> {
        match self.approximate {
            Approximate::None => Box::new(Pointwise(GeluCurve)),
            Approximate::Tanh => Box::new(Pointwise(GeluTanhCurve)),
        }
    }
}

impl LayerKind for Silu {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }

    fn operation(&self, _: usize, _: &[usize]) -> Box<dyn Operation> {
        Box::new(Pointwise(SiluCurve))
    }
}

impl LayerKind for LeakyRelu {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match (self.slope as f32).is_finite() {
            true => Ok(input.to_vec()),
            false => Err(format!(
                "slope {} is out of range: a finite 32-bit number",
                self.slope
            )),
        }
    }

    fn operation(&self, _: usize, _: &[usize]) -> Box<dyn Operation> {
        Box::new(Pointwise(LeakyCurve(self.slope as f32)))
    }
}

impl LayerKind for Sigmoid {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }

    fn operation(&self, _: usize, _: &[usize]) -> Box<dyn Operation> {
        Box::new(Pointwise(SigmoidCurve))
    }
}

/// A function of one value.
trait Curve: Debug + Send {
    fn value(&self, x: f32) -> f32;

    /// Its derivative where it goes from `x` to `y`.
    fn slope(&self, x: f32, y: f32) -> f32;
}

#[derive(Debug)]
struct Pointwise<C>(C);

impl<C: Curve> Operation for Pointwise<C> {
    fn forward(&mut self, pass: Forward<'_>) {
        wide(
            #[inline(always)]
            || {
                let sites = pass.output.iter_mut().zip(pass.input);
                sites.for_each(|(y, x)| *y = self.0.value(*x));
            },
        );
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let Some(next) = pass.wanted else { return };
        wide(
            #[inline(always)]
            || {
                let values = pass.input.iter().zip(pass.output);
                let sites = next.iter_mut().zip(&*pass.slope).zip(values);
                sites.for_each(|((n, s), (x, y))| *n = s * self.0.slope(*x, *y));
            },
        );
    }
}

#[derive(Debug)]
struct GeluCurve;

impl Curve for GeluCurve {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * normal(x).0
    }

    #[inline(always)]
    fn slope(&self, x: f32, _: f32) -> f32 {
        let (below, density) = normal(x);
        below + x * density
    }
}

#[derive(Debug)]
struct GeluTanhCurve;

/// `sqrt(2 / pi)`.
const INNER: f32 = 0.797_884_6;
const CUBE: f32 = 0.044_715;

impl GeluTanhCurve {
    #[inline(always)]
    fn tanh(x: f32) -> f32 {
        tanh(INNER * (x + CUBE * x * x * x))
    }
}

impl Curve for GeluTanhCurve {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        0.5 * x * (1.0 + Self::tanh(x))
    }

    #[inline(always)]
    fn slope(&self, x: f32, _: f32) -> f32 {
        let tanh = Self::tanh(x);
        let inner = INNER * (1.0 + 3.0 * CUBE * x * x);
        0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner
    }
}

#[derive(Debug)]
struct SiluCurve;

impl Curve for SiluCurve {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * sigmoid(x)
    }

    #[inline(always)]
    fn slope(&self, x: f32, y: f32) -> f32 {
        let share = sigmoid(x);
        share + y * (1.0 - share)
    }
}

#[derive(Debug)]
struct LeakyCurve(f32);

impl Curve for LeakyCurve {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x < 0.0 { self.0 * x } else { x }
    }

    #[inline(always)]
    fn slope(&self, x: f32, _: f32) -> f32 {
        if x > 0.0 { 1.0 } else { self.0 }
    }
}

#[derive(Debug)]
struct SigmoidCurve;

impl Curve for SigmoidCurve {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        sigmoid(x)
    }

    #[inline(always)]
    fn slope(&self, _: f32, y: f32) -> f32 {
        y * (1.0 - y)
    }
}
