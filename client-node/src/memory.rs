//! Where a client of a run keeps what.

use crate::error::NodeError;
use lyceum_core::{AnyMethod, SlotName, codec};
use lyceum_scenarios::Scenario;
use std::sync::Arc;

/// The slots of a client, each named once for all clients.
pub(crate) struct Names {
    pub(crate) strategy: SlotName,
    pub(crate) model: SlotName,
    pub(crate) local: SlotName,
    pub(crate) place: SlotName,
    pub(crate) optimizer: SlotName,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            strategy: SlotName::new(SlotName::STRATEGY),
            model: SlotName::new(SlotName::MODEL),
            local: SlotName::new(SlotName::LOCAL),
            place: SlotName::new(SlotName::PLACE),
            optimizer: SlotName::new(SlotName::OPTIMIZER),
        }
    }
}

/// A continual method, and where clients keep what it remembers.
pub(crate) struct Method {
    pub(crate) rule: Arc<dyn AnyMethod>,
    pub(crate) slot: SlotName,
}

impl Method {
    /// Those of a scenario, in the order in which they act.
    pub(crate) fn all(scenario: &Scenario) -> Vec<Self> {
        let methods = scenario.methods();
        let method = |(name, rule)| Self {
            slot: SlotName::method(name),
            rule,
        };
        methods.map(method).collect()
    }
}

/// A memory whose owner cannot read it.
pub(crate) fn damaged(_: codec::CodecError) -> NodeError {
    NodeError::Data("a memory of a client that can be read")
}
