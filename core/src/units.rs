//! Numbers with a range, so that a wrong one is refused where it stands in a file.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;

/// Two keys of one plugin that do not go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The key to point at, dotted from the plugin's own table.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: String,
}

macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident, $says:literal, $test:expr, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            /// Checks the range.
            pub fn new(value: f64) -> Option<Self> {
                let inside: fn(f64) -> bool = $test;
                (value.is_finite() && inside(value)).then_some(Self(value))
            }

            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = f64::deserialize(deserializer)?;
                Self::new(value).ok_or_else(|| {
                    de::Error::custom(format!(concat!("{} is out of range: expected ", $says), value))
                })
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

ranged! {
    /// A share: from 0 to 1, both included.
    Fraction, "a fraction from 0 to 1", |v| (0.0..=1.0).contains(&v),
    { "type": "number", "minimum": 0, "maximum": 1 }
}
ranged! {
    /// A number above 0 that 32 bits hold: as it is computed with, it is neither 0 nor infinite.
    Positive, "a number above 0, from 1.2e-38 to 3.4e38", |v| (1.2e-38..=3.4e38).contains(&v),
    { "type": "number", "minimum": 1.2e-38, "maximum": 3.4e38 }
}
ranged! {
    /// A number, 0 or above, that is finite in 32 bits.
    NonNegative, "a number from 0 to 3.4e38", |v| (0.0..=3.4e38).contains(&v),
    { "type": "number", "minimum": 0, "maximum": 3.4e38 }
}
ranged! {
    /// A decay such as a momentum: from 0 up to but not including 1.
    Decay, "a number from 0 up to but not including 1", |v| (0.0..1.0).contains(&v),
    { "type": "number", "minimum": 0, "exclusiveMaximum": 1 }
}
ranged! {
    /// A fraction above 0, up to 1.
    PositiveFraction, "a fraction above 0, up to 1", |v| v > 0.0 && v <= 1.0,
    { "type": "number", "exclusiveMinimum": 0, "maximum": 1 }
}
ranged! {
    /// A minority: from 0 up to but not including 0.5.
    Minority, "a fraction from 0 up to but not including 0.5", |v| (0.0..0.5).contains(&v),
    { "type": "number", "minimum": 0, "exclusiveMaximum": 0.5 }
}
ranged! {
    /// A percentage: from 0 to 100, both included.
    Percentage, "a percentage from 0 to 100", |v| (0.0..=100.0).contains(&v),
    { "type": "number", "minimum": 0, "maximum": 100 }
}
ranged! {
    /// An angle in degrees: from -360 to 360, both included.
    Angle, "an angle from -360 to 360 degrees", |v| (-360.0..=360.0).contains(&v),
    { "type": "number", "minimum": -360, "maximum": 360 }
}

/// An integer from 1 up to 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Count(u64);

impl Count {
    /// Checks the range.
    pub const fn new(value: u64) -> Option<Self> {
        if value >= 1 && value <= 1 << 53 {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = i64::deserialize(deserializer)?;
        u64::try_from(value)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| {
                let most = if value > 0 { ", and at most 2^53" } else { "" };
                de::Error::custom(format!(
                    "{value} is out of range: expected a whole number, 1 or above{most}"
                ))
            })
    }
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 9_007_199_254_740_992_u64 })
    }
}
