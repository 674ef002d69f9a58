//! When the tasks of a stream come to clients.

use lyceum_core::{
    Calendar, ClientId, Purpose, Seed, TaskId, Ticket, Visit, shuffle, units::Count,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// When tasks come to clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    /// Rounds that a task lasts; the run's rounds in equal parts by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds_per_task: Option<Count>,
    /// Whether all clients go through the tasks in one order; "same" by default.
    #[serde(default)]
    pub sequence: Sequence,
}

/// In which order clients go through the tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sequence {
    /// All in the stream's order.
    #[default]
    Same,
    /// Each in an order of its own, drawn from the seed.
    Own,
}

impl Arrival {
    /// The calendar of `clients` clients, and the order that tables follow, over `rounds` rounds.
    pub(crate) fn calendar(
        &self,
        order: &[u32],
        clients: u64,
        rounds: u64,
        seed: Seed,
    ) -> (Calendar, Arc<[Visit]>) {
        let length = match self.rounds_per_task {
            Some(length) => length.get() as u64,
            None => (rounds / order.len().max(1) as u64).max(1),
        };
        let visits = |order: &[u32]| -> Arc<[Visit]> {
            let visit = |(place, &task): (u64, &u32)| Visit {
                task: TaskId(task),
                place: place as u32,
                begins: place * length,
                ends: (place + 1) * length,
            };
            (0..).zip(order).map(visit).collect()
        };
        let reference = visits(order);
        let calendar = match self.sequence {
            Sequence::Same => Calendar::Same(reference.clone()),
            Sequence::Own => Calendar::Each(
                (0..clients)
                    .map(|client| {
                        let mut own = order.to_vec();
                        let client = Some(ClientId(client));
                        shuffle(
                            &mut own,
                            &mut seed.stream(Purpose::ARRIVAL, Ticket(0), client),
                        );
                        visits(&own)
                    })
                    .collect(),
            ),
        };
        (calendar, reference)
    }
}
