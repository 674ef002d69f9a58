//! What clients of a run may keep from one of their rounds to the next.

use crate::{Diagnostic, Personal, Scenario};
use lyceum_core::{Contribution, Network, Passes, Shard, Sizes, SlotName, SlotSpec};
use lyceum_strategies::ordering::Ordering;

/// Training samples of a client, at most, where they are made on demand.
const ON_DEMAND: usize = 1 << 20;
/// Bytes that say where a client trained last.
const PLACE: u64 = 64;

impl Scenario {
    /// What clients add to a round, and what they may keep. `pool` are all training samples, where they lie in one place.
    pub fn contribution(&self, network: &Network, pool: Option<&Shard>) -> Contribution {
        let layout = network.layout();
        let mut contribution = self.strategy.plugin.contribution(layout);
        contribution.answers = network.answers() as u64;
        let slots = &mut contribution.slots;
        if self.keeps_models() {
            slots.push(SlotSpec::vector(SlotName::MODEL, layout.len()));
        }
        if layout.local_len() > 0 {
            slots.push(SlotSpec::vector(SlotName::LOCAL, layout.local_len()));
        }
        self.passes()
            .slots(layout)
            .for_each(|slot| slots.push(slot));
        let sizes = Sizes {
            values: layout.len(),
            classes: network.classes(),
            samples: pool.map_or(ON_DEMAND, |pool| pool.pool.len()),
            sample_bytes: pool.map_or(0, |pool| pool.pool.sample_bytes()),
        };
        if self.stream.is_some() {
            let memory = |name, most| SlotSpec::memory(SlotName::new(name), most);
            slots.push(memory(SlotName::PLACE, PLACE));
            // Two vectors of moments and a number of steps.
            slots.push(memory(SlotName::OPTIMIZER, sizes.models(2) + 8));
        }
        for (name, method) in self.methods() {
            let most = method.most_bytes(&sizes);
            slots.push(SlotSpec::memory(SlotName::method(name), most));
        }
        for slot in self.transforms().slots(&sizes) {
            slots.push(slot);
        }
        contribution
    }

    /// What clients do in a call: passes that `[personal]` asks for, and those of the strategy.
    pub fn passes(&self) -> Passes {
        let personal = self.personal.as_ref().map(Personal::passes);
        let strategy = self.strategy.plugin.client_half().passes();
        personal.unwrap_or_default().and(strategy)
    }

    /// A network whose parts stay with their clients as `[personal]` says.
    pub fn with_local(&self, mut network: Network) -> Result<Network, Diagnostic> {
        let Some(personal) = &self.personal else {
            return Ok(network);
        };
        let applied = personal.apply(&mut network);
        applied.map_err(|(message, label)| self.fault("personal.local", message, label))?;
        Ok(network)
    }

    /// Whether clients' last models stay from round to round, because a score needs them.
    pub fn keeps_models(&self) -> bool {
        self.ordering.as_ref().is_some_and(Ordering::needs_local)
    }
}
