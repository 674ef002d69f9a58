//! Tasks, and when they come to whom.

use crate::{ClientId, Lens, Round, Samples, TaskId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One task of a stream.
#[derive(Clone, Debug)]
pub struct Task {
    /// For tables and events.
    pub name: String,
    /// Which training samples it shows.
    pub train: Members,
    /// Its probe: places in the test set, ascending.
    pub probe: Arc<[u32]>,
    /// Labels that it shows, ascending.
    pub classes: Arc<[u32]>,
    /// How it shows samples.
    pub lens: Lens,
}

/// Which samples of a pool belong to a task.
#[derive(Clone, Debug)]
pub enum Members {
    /// All of them.
    All,
    /// Those of some classes: one flag per class of the data set.
    Classes(Arc<[bool]>),
    /// Those at some places: one bit per place of the pool.
    Places(Arc<Bits>),
}

/// A set of places, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl FromIterator<u32> for Bits {
    fn from_iter<I: IntoIterator<Item = u32>>(places: I) -> Self {
        let mut bits = Vec::new();
        for place in places {
            let word = place as usize / 64;
            if bits.len() <= word {
                bits.resize(word + 1, 0);
            }
            bits[word] |= 1 << (place % 64);
        }
        Self(bits)
    }
}

impl Bits {
    /// Whether a place is in the set.
    pub fn contains(&self, place: u32) -> bool {
        let word = self.0.get(place as usize / 64).copied().unwrap_or(0);
        word >> (place % 64) & 1 == 1
    }
}

impl Members {
    /// Whether the sample at a place of a pool belongs to the task.
    pub fn contain(&self, pool: &Samples, place: u32) -> bool {
        match self {
            Self::All => true,
            Self::Classes(classes) => classes
                .get(pool.labels[place as usize] as usize)
                .copied()
                .unwrap_or(false),
            Self::Places(bits) => bits.contains(place),
        }
    }
}

/// The time that a client spends on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Which task.
    pub task: TaskId,
    /// Position in the client's own sequence, from 0; repeats count.
    pub place: u32,
    /// First round.
    pub begins: u64,
    /// One past the last round; the last visit of a client goes on to the end of the run.
    pub ends: u64,
}

/// When tasks come to clients.
#[derive(Clone, Debug)]
pub enum Calendar {
    /// To all at the same time.
    Same(Arc<[Visit]>),
    /// To each at its own.
    Each(Vec<Arc<[Visit]>>),
}

impl Calendar {
    /// All visits of a client, in the order of time.
    pub fn of(&self, client: ClientId) -> &[Visit] {
        match self {
            Self::Same(visits) => visits,
            Self::Each(all) => all.get(client.0 as usize).map_or(&[], |v| v),
        }
    }

    /// What a client is at in a round; `None` before its first task has come.
    pub fn at(&self, client: ClientId, round: Round) -> Option<&Visit> {
        let visits = self.of(client);
        let begun = visits.partition_point(|v| v.begins <= round.0);
        visits.get(begun.checked_sub(1)?)
    }
}

/// Which logits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Head {
    /// All, in training and in tests.
    #[default]
    Shared,
    /// Those of the classes that have been seen, in training and in tests.
    Seen,
    /// All in training, those of the sample's task in tests: task identity is known at test.
    Masked,
    /// Those of the sample's task, in training and in tests: a head for each task.
    Multi,
}

/// Which tasks' samples a client may train on; from little to much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The task that it is at.
    #[default]
    Task,
    /// The tasks of so many visits, the one under way included.
    Window(u32),
    /// Every task that has come to it so far.
    UpToNow,
    /// All tasks of the stream, from the start.
    Everything,
}

impl Reach {
    /// The first place of a client's sequence that it reaches back to.
    pub(crate) fn first(self, place: u32) -> u32 {
        match self {
            Self::Task => place,
            Self::Window(visits) => (place + 1).saturating_sub(visits),
            Self::UpToNow | Self::Everything => 0,
        }
    }
}
