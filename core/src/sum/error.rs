use crate::{Layout, Role};

/// Why a vector was not added.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SumError {
    /// A value is infinite, not a number, or too large to be a model update.
    #[error("value {value} at index {index} is not a finite number below 2^20")]
    Value {
        /// Where.
        index: usize,
        /// What.
        value: f32,
    },
    /// A weight is negative, not finite, or too large for its lane.
    #[error("weight {0} does not fit its lane")]
    Weight(f64),
    /// A vector has another length, or there is no such lane.
    #[error("lane {lane} with {len} values does not exist")]
    Shape {
        /// Which lane.
        lane: usize,
        /// How many values.
        len: usize,
    },
    /// The sum itself would overflow.
    #[error("the sum is full")]
    Full,
}

impl SumError {
    /// Says it with the name of the tensor, where a value of such a model is to blame.
    pub fn told(&self, layout: &Layout) -> String {
        let Self::Value { index, value } = *self else {
            return self.to_string();
        };
        let Some(entry) = layout.entry_at(index) else {
            return self.to_string();
        };
        let limit = match entry.role {
            Role::Statistic => "",
            _ => " below 2^20 (1,048,576)",
        };
        let name = &entry.name;
        format!("`{name}` would change by {value}, which is not a finite number{limit}")
    }
}
