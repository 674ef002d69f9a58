//! What happens to updates between a client's training and the server's rule.
//!
//! A transform is an immutable rule with two halves: one changes what a client adds to the sums, after its strategy's client
//! half settled it; the other sees the sums before the strategy closes the round. Authors implement [`Transform`]; holders
//! see its erased twin [`AnyTransform`], and a run's row of them as [`Transforms`].

use crate::{
    ClientId, ClientState, Harvest, Layout, Params, Purpose, Seed, Sizes, SlotName, SlotSpec,
    Stream, Ticket, codec, units::Misfit,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, sync::Arc};

/// A transform of updates.
pub trait Transform: Send + Sync + 'static {
    /// What a client keeps of it from one of its rounds to the next; `()` for nothing.
    type Memory: Serialize + DeserializeOwned + Default + Send + 'static;

    /// Keys that are in range each, but do not go together.
    fn misfit(&self) -> Option<Misfit> {
        None
    }

    /// Whether it has a meaning only where a client sends its change as it is, and nothing besides
    /// ([`ClientRule::sends_change_alone`](crate::ClientRule::sends_change_alone)); elsewhere a scenario with it is refused.
    fn wants_change_alone(&self) -> bool {
        false
    }

    /// Bytes that a client keeps of it at most. More are refused.
    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.plenty()
    }

    /// The client's half: changes what the client adds to the sums.
    fn on_client(&self, memory: &mut Self::Memory, update: &mut Outgoing<'_>);

    /// The server's half: sees what came of a round before the strategy does.
    fn on_server(&self, harvest: &mut Harvest<'_>, dice: &mut Stream) {
        let _ = (harvest, dice);
    }
}

/// A client's update on its way into the sums.
pub struct Outgoing<'a> {
    /// Weight and values per lane, in the order of the strategy's lanes.
    pub lanes: &'a mut [(f64, Params)],
    /// Names and roles of the values.
    pub layout: &'a Layout,
    /// The transform's own draws for this client and call.
    pub dice: &'a mut Stream,
}

/// A transform whose memory type is hidden. Implemented for every [`Transform`].
pub trait AnyTransform: Send + Sync {
    /// See [`Transform::misfit`].
    fn misfit(&self) -> Option<Misfit>;
    /// See [`Transform::wants_change_alone`].
    fn wants_change_alone(&self) -> bool;
    /// Bytes that a client keeps of it at most; `None` where it keeps nothing.
    fn keeps(&self, sizes: &Sizes) -> Option<u64>;
    /// Whether clients keep anything of it.
    fn remembers(&self) -> bool;
    /// See [`Transform::on_client`]. `memory` is what the client kept last time; what it keeps now comes back.
    fn on_client(
        &self,
        memory: Option<&[u8]>,
        update: &mut Outgoing<'_>,
    ) -> Result<Vec<u8>, codec::CodecError>;
    /// See [`Transform::on_server`].
    fn on_server(&self, harvest: &mut Harvest<'_>, dice: &mut Stream);
}

impl<T: Transform> AnyTransform for T {
    fn misfit(&self) -> Option<Misfit> {
        Transform::misfit(self)
    }

    fn wants_change_alone(&self) -> bool {
        Transform::wants_change_alone(self)
    }

    fn keeps(&self, sizes: &Sizes) -> Option<u64> {
        self.remembers().then(|| self.most_bytes(sizes))
    }

    fn remembers(&self) -> bool {
        size_of::<T::Memory>() > 0
    }

    fn on_client(
        &self,
        memory: Option<&[u8]>,
        update: &mut Outgoing<'_>,
    ) -> Result<Vec<u8>, codec::CodecError> {
        let mut memory = match memory {
            Some(bytes) => codec::decode(bytes)?,
            None => T::Memory::default(),
        };
        Transform::on_client(self, &mut memory, update);
        Ok(codec::encode(&memory))
    }

    fn on_server(&self, harvest: &mut Harvest<'_>, dice: &mut Stream) {
        Transform::on_server(self, harvest, dice);
    }
}

/// The transforms of a run, in the order in which clients apply them.
#[derive(Clone, Default)]
pub struct Transforms(Vec<Step>);

#[derive(Clone)]
struct Step {
    transform: Arc<dyn AnyTransform>,
    /// What it draws for.
    purpose: Purpose,
    /// Where clients keep what they keep of it.
    slot: SlotName,
}

impl Transforms {
    /// A row of transforms with their names. Each draws for a purpose of its own, by its name and how many of that name stand
    /// before it, so that another one in the row changes no draw.
    pub fn new<'n>(all: impl IntoIterator<Item = (&'n str, Arc<dyn AnyTransform>)>) -> Self {
        let mut names: Vec<&str> = Vec::new();
        let steps = all.into_iter().map(|(name, transform)| {
            let before = names.iter().filter(|other| **other == name).count();
            names.push(name);
            Step {
                transform,
                purpose: Purpose::named(&format!("transform {name} {before}")),
                slot: SlotName::transform(name, before),
            }
        });
        Self(steps.collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What clients may keep of them.
    pub fn slots(&self, sizes: &Sizes) -> impl Iterator<Item = SlotSpec> {
        self.0.iter().filter_map(|step| {
            let most = step.transform.keeps(sizes)?;
            Some(SlotSpec::memory(step.slot.clone(), most))
        })
    }

    /// The clients' halves, one after another. `before` is what the client kept last time; what it keeps now of them goes
    /// to `after`.
    pub fn on_client(
        &self,
        (seed, ticket, client): (Seed, Ticket, ClientId),
        (before, after): (&ClientState, &mut ClientState),
        lanes: &mut [(f64, Params)],
        layout: &Layout,
    ) -> Result<(), codec::CodecError> {
        for step in &self.0 {
            let mut dice = seed.stream(step.purpose, ticket, Some(client));
            let mut update = Outgoing {
                lanes,
                layout,
                dice: &mut dice,
            };
            let memory = before.bytes(&step.slot);
            let memory = step.transform.on_client(memory, &mut update)?;
            if step.transform.remembers() {
                after.put(step.slot.clone(), memory);
            }
        }
        Ok(())
    }

    /// The server's halves. What clients did last is undone first.
    pub fn on_server(&self, seed: Seed, ticket: Ticket, harvest: &mut Harvest<'_>) {
        for step in self.0.iter().rev() {
            let mut dice = seed.stream(step.purpose, ticket, None);
            step.transform.on_server(harvest, &mut dice);
        }
    }
}

impl fmt::Debug for Transforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let purposes = self.0.iter().map(|step| step.purpose);
        f.debug_list().entries(purposes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExactSum, Lane};
    use rand::Rng;

    /// Counts its calls, and adds the count to the first value.
    struct Count;

    impl Transform for Count {
        type Memory = u32;

        fn most_bytes(&self, _: &Sizes) -> u64 {
            4
        }

        fn on_client(&self, calls: &mut u32, update: &mut Outgoing<'_>) {
            *calls += 1;
            update.lanes[0].1.make_mut()[0] += *calls as f32;
        }
    }

    /// Doubles on the way up, and forgets the second value on the way in.
    struct Double;

    impl Transform for Double {
        type Memory = ();

        fn on_client(&self, (): &mut (), update: &mut Outgoing<'_>) {
            let values = update.lanes[0].1.make_mut();
            values.iter_mut().for_each(|value| *value *= 2.0);
        }

        fn on_server(&self, harvest: &mut Harvest<'_>, _: &mut Stream) {
            harvest.sum.forget(&(1..2));
        }
    }

    /// Replaces the first value by a draw.
    struct Draw;

    impl Transform for Draw {
        type Memory = ();

        fn on_client(&self, (): &mut (), update: &mut Outgoing<'_>) {
            let draw = update.dice.next_u32() as f32;
            update.lanes[0].1.make_mut()[0] = draw;
        }
    }

    fn row(all: Vec<(&'static str, Arc<dyn AnyTransform>)>) -> Transforms {
        Transforms::new(all)
    }

    fn sent(row: &Transforms, client: u64, state: &mut ClientState) -> Vec<f32> {
        let address = (Seed(1), Ticket(2), ClientId(client));
        let mut lanes = [(1.0, Params::from(vec![1.0, 3.0]))];
        let (layout, before) = (Layout::weights(2), std::mem::take(state));
        row.on_client(address, (&before, state), &mut lanes, &layout)
            .unwrap();
        lanes[0].1.to_vec()
    }

    #[test]
    fn the_order_is_that_of_the_row_and_memories_stay_with_their_transforms() {
        let first = row(vec![
            ("count", Arc::new(Count)),
            ("double", Arc::new(Double)),
        ]);
        let mut memories = ClientState::default();
        assert_eq!(sent(&first, 0, &mut memories), [4.0, 6.0]);
        assert_eq!(sent(&first, 0, &mut memories), [6.0, 6.0]);
        let last = row(vec![
            ("double", Arc::new(Double)),
            ("count", Arc::new(Count)),
        ]);
        assert_eq!(sent(&last, 0, &mut ClientState::default()), [3.0, 6.0]);
        let sizes = Sizes {
            values: 2,
            classes: 2,
            samples: 1,
            sample_bytes: 4,
        };
        let slots: Vec<SlotSpec> = first.slots(&sizes).collect();
        let name = SlotName::transform("count", 0);
        assert_eq!(slots, [SlotSpec::memory(name, 4)]);
        assert_eq!(memories.bytes("transform.count.0"), Some(&[2, 0, 0, 0][..]));
    }

    #[test]
    fn draws_are_addressed_and_another_transform_changes_none() {
        let draw = || ("draw", Arc::new(Draw) as Arc<dyn AnyTransform>);
        let alone = sent(&row(vec![draw()]), 0, &mut ClientState::default())[0];
        let behind = row(vec![("count", Arc::new(Count)), draw()]);
        assert_eq!(sent(&behind, 0, &mut ClientState::default())[0], alone);
        assert_ne!(
            sent(&row(vec![draw()]), 1, &mut ClientState::default())[0],
            alone
        );
        let twice = row(vec![draw(), draw()]);
        assert_ne!(sent(&twice, 0, &mut ClientState::default())[0], alone);
    }

    #[test]
    fn the_servers_half_sees_the_sum() {
        let mut sum = ExactSum::new(&[Lane::INTEGER], 2);
        sum.add(0, 2.0, &[1.0, 3.0]).unwrap();
        let updates = Vec::new();
        let mut harvest = Harvest {
            sum: &mut sum,
            updates: &updates,
            population: 1,
            prior: None,
        };
        let row = row(vec![("double", Arc::new(Double))]);
        row.on_server(Seed(1), Ticket(2), &mut harvest);
        assert_eq!(sum.mean(0), [1.0, 0.0]);
    }
}
