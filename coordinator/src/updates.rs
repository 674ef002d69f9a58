//! The single updates of the round in flight, in memory up to a budget and beyond it wherever the driver says.

use lyceum_core::{ClientId, ClientTerm, Params, Stall, Updates};
use std::{fmt, io};

/// Room for what does not fit into memory.
pub trait Spill: Send {
    /// Adds bytes behind all others; where they begin.
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64>;
    /// Copies bytes from where they begin.
    fn read(&self, start: u64, out: &mut [u8]) -> io::Result<()>;
    /// Forgets all bytes.
    fn clear(&mut self) -> io::Result<()>;
    /// Room of the same kind for the model at this place among those that a round trains.
    fn beside(&self, place: usize) -> Box<dyn Spill>;
}

/// Where the values of a lane are.
enum Values {
    Memory(Params),
    Spilt(u64),
}

/// One client's weights and values, per lane.
type Entry = (ClientId, Vec<(f64, Values)>);

/// What clients of the round sent.
#[derive(Default)]
pub(crate) struct UpdateStore {
    /// Ascending once [`sort`](Self::sort) was called.
    entries: Vec<Entry>,
    /// Bytes of values in memory.
    held: u64,
    /// Where values go once more than so many bytes are in memory.
    spill: Option<(u64, Box<dyn Spill>)>,
    spilt: bool,
}

impl UpdateStore {
    /// Keeps at most `budget` bytes of values in memory.
    pub(crate) fn spill_to(&mut self, budget: u64, spill: Box<dyn Spill>) {
        self.spill = Some((budget, spill));
    }

    /// An empty store with as much memory, for the model at this place among those that a round trains.
    pub(crate) fn beside(&self, place: usize) -> Self {
        let spill = self.spill.as_ref();
        let spill = spill.map(|(budget, spill)| (*budget, spill.beside(place)));
        Self {
            spill,
            ..Self::default()
        }
    }

    /// Keeps an update.
    pub(crate) fn put(&mut self, term: ClientTerm) -> io::Result<()> {
        let mut lanes = Vec::with_capacity(term.lanes.len());
        for (weight, values) in term.lanes {
            let bytes = values.bytes().len() as u64;
            let place = match &mut self.spill {
                Some((budget, spill)) if self.held + bytes > *budget => {
                    self.spilt = true;
                    Values::Spilt(spill.append(values.bytes())?)
                }
                _ => {
                    self.held += bytes;
                    Values::Memory(values)
                }
            };
            lanes.push((weight, place));
        }
        self.entries.push((term.client, lanes));
        Ok(())
    }

    /// Puts the updates into the order of their clients.
    pub(crate) fn sort(&mut self) {
        self.entries.sort_unstable_by_key(|(client, _)| *client);
    }

    /// Forgets all updates.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.entries.clear();
        self.held = 0;
        match &mut self.spill {
            Some((_, spill)) if std::mem::take(&mut self.spilt) => spill.clear(),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for UpdateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateStore")
            .field("updates", &self.entries.len())
            .field("bytes_in_memory", &self.held)
            .finish_non_exhaustive()
    }
}

impl Updates for UpdateStore {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn client(&self, index: usize) -> ClientId {
        self.entries[index].0
    }

    fn weight(&self, index: usize, lane: usize) -> f64 {
        self.entries[index].1[lane].0
    }

    fn read(&self, index: usize, lane: usize, start: usize, out: &mut [f32]) -> Result<(), Stall> {
        match (&self.entries[index].1[lane].1, &self.spill) {
            (Values::Memory(values), _) => out.copy_from_slice(&values[start..start + out.len()]),
            (Values::Spilt(at), Some((_, spill))) => {
                let at = at + 4 * start as u64;
                let client = self.client(index);
                spill.read(at, bytemuck::cast_slice_mut(out)).map_err(|e| {
                    Stall(format!("the update of client {client} cannot be read: {e}"))
                })?;
            }
            (Values::Spilt(_), None) => unreachable!("nothing is spilt without a place for it"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Bytes(Vec<u8>);

    impl Spill for Bytes {
        fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
            let start = self.0.len() as u64;
            self.0.extend(bytes);
            Ok(start)
        }

        fn read(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
            let start = start as usize;
            out.copy_from_slice(&self.0[start..start + out.len()]);
            Ok(())
        }

        fn clear(&mut self) -> io::Result<()> {
            self.0.clear();
            Ok(())
        }

        fn beside(&self, _: usize) -> Box<dyn Spill> {
            Box::new(Self::default())
        }
    }

    fn term(client: u64) -> ClientTerm {
        let values = (0..3).map(|i| (10 * client + i) as f32).collect::<Vec<_>>();
        ClientTerm {
            client: ClientId(client),
            lanes: vec![(client as f64, values.into())],
        }
    }

    #[test]
    fn what_is_spilt_reads_like_what_is_not_and_memory_stays_within_the_budget() {
        for budget in [0, 11, 12, 24, 1000] {
            let mut store = UpdateStore::default();
            store.spill_to(budget, Box::new(Bytes::default()));
            for _ in 0..2 {
                store.clear().unwrap();
                [4, 1, 3]
                    .into_iter()
                    .for_each(|c| store.put(term(c)).unwrap());
                store.sort();
                assert!(store.held <= budget);
                assert_eq!(store.spilt, budget < 36);
                for (index, client) in [1, 3, 4].into_iter().enumerate() {
                    assert_eq!(store.client(index), ClientId(client));
                    assert_eq!(store.weight(index, 0), client as f64);
                    let mut out = [0.0; 2];
                    store.read(index, 0, 1, &mut out).unwrap();
                    assert_eq!(out, term(client).lanes[0].1[1..]);
                }
            }
        }
    }
}
