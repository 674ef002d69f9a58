//! Model parameters as one flat vector, and the layout that names its ranges.

use crate::wide;
use serde::{Deserialize, Serialize};
use std::{ops::Deref, ops::Range, sync::Arc};

/// A flat `f32` vector that is cheap to share and copied only when a shared one is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(Arc<Vec<f32>>);

impl Params {
    /// A vector of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self(Arc::new(vec![0.0; len]))
    }

    /// Write access; copies first if somebody else holds the same vector.
    pub fn make_mut(&mut self) -> &mut [f32] {
        Arc::make_mut(&mut self.0).as_mut_slice()
    }

    /// The vector itself, if nobody else holds it.
    pub fn into_vec(self) -> Option<Vec<f32>> {
        Arc::try_unwrap(self.0).ok()
    }

    /// Whether both are one vector in memory; equal values elsewhere do not count.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The values as little-endian bytes, for hashing and files.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    /// Reads [`bytes`](Self::bytes); `None` unless they are whole values.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut values = vec![0.0_f32; bytes.len() / 4];
        bytemuck::try_cast_slice_mut::<f32, u8>(&mut values)
            .ok()
            .filter(|all| all.len() == bytes.len())?
            .copy_from_slice(bytes);
        Some(values.into())
    }

    /// Index of the first value that is infinite or not a number.
    pub fn first_not_finite(&self) -> Option<usize> {
        // Nearly always there is none, which one pass without a branch finds out.
        let all = wide(
            #[inline(always)]
            || self.0.iter().fold(true, |all, v| all & v.is_finite()),
        );
        match all {
            true => None,
            false => self.0.iter().position(|v| !v.is_finite()),
        }
    }
}

impl From<Vec<f32>> for Params {
    fn from(values: Vec<f32>) -> Self {
        Self(Arc::new(values))
    }
}

impl Deref for Params {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

/// What a range of parameters is for, which decides what may be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Follows the gradient, is decayed and pulled, is averaged.
    Trainable,
    /// Running statistics: averaged like weights, but neither decayed nor pulled, clipped or given moments.
    /// Their place in a gradient holds a step that is taken off them as it is (`Learner::backward`).
    Statistic,
    /// As [`Trainable`](Self::Trainable), but stays with its client: no sum has it.
    Local,
    /// As [`Statistic`](Self::Statistic), but stays with its client.
    LocalStatistic,
    /// Never changes.
    Frozen,
}

impl Role {
    /// Whether the tensor stays with its client.
    pub fn is_local(self) -> bool {
        matches!(self, Self::Local | Self::LocalStatistic)
    }

    /// Whether the tensor holds running statistics.
    pub fn is_statistic(self) -> bool {
        matches!(self, Self::Statistic | Self::LocalStatistic)
    }

    /// The same in the hands of its client alone.
    pub fn kept(self) -> Self {
        match self {
            Self::Trainable | Self::Local => Self::Local,
            Self::Statistic | Self::LocalStatistic => Self::LocalStatistic,
            Self::Frozen => Self::Frozen,
        }
    }
}

/// One named tensor inside the flat vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Dotted name, such as `1.weight`: position of the layer, then the tensor.
    pub name: String,
    /// Sizes, outermost first; values are stored row-major.
    pub shape: Vec<usize>,
    /// Index of the first value.
    pub offset: usize,
    /// What may be done to the range.
    pub role: Role,
}

impl Entry {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the values stand in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// Names, shapes, offsets and roles of the tensors of a flat vector.
///
/// **Invariant:** entries are contiguous, in ascending offset, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    entries: Vec<Entry>,
}

impl Layout {
    /// Whether every parameter follows the gradient: nothing is frozen, nothing a statistic.
    pub fn all_follow(&self) -> bool {
        let follows = |entry: &Entry| matches!(entry.role, Role::Trainable | Role::Local);
        self.entries.iter().all(follows)
    }

    /// Keeps with their clients the tensors that are named so.
    pub fn keep_local(&mut self, is_local: impl Fn(&Entry) -> bool) {
        let kept = |entry: &&mut Entry| is_local(entry);
        let kept = self.entries.iter_mut().filter(kept);
        kept.for_each(|entry| entry.role = entry.role.kept());
    }

    /// Number of values that stay with their clients.
    pub fn local_len(&self) -> usize {
        let local = self.entries.iter().filter(|entry| entry.role.is_local());
        local.map(Entry::len).sum()
    }

    /// The values of a vector that stay with their client, one after another.
    pub fn local_of(&self, values: &[f32]) -> Vec<f32> {
        let mut own = Vec::with_capacity(self.local_len());
        for at in self.ranges(Role::is_local) {
            own.extend_from_slice(&values[at]);
        }
        own
    }

    /// A vector with [`local_of`](Self::local_of) in its places; `None` where those are too few or too many.
    pub fn with_local(&self, values: &Params, own: &[f32]) -> Option<Params> {
        let (mut all, mut rest) = (values.clone(), own);
        let places = all.make_mut();
        for at in self.ranges(Role::is_local) {
            let (head, tail) = rest.split_at_checked(at.len())?;
            places[at].copy_from_slice(head);
            rest = tail;
        }
        rest.is_empty().then_some(all)
    }

    /// One trainable tensor of so many values, named `weights`.
    pub fn weights(len: usize) -> Self {
        let mut layout = Self::default();
        layout.push("weights", vec![len], Role::Trainable);
        layout
    }

    /// Appends a tensor behind the last one.
    pub fn push(&mut self, name: impl Into<String>, shape: Vec<usize>, role: Role) {
        let offset = self.len();
        self.entries.push(Entry {
            name: name.into(),
            shape,
            offset,
            role,
        });
    }

    /// Keeps the first `tensors` tensors.
    pub fn truncate(&mut self, tensors: usize) {
        self.entries.truncate(tensors);
    }

    /// The tensor of this name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// The tensor that a value belongs to.
    pub fn entry_at(&self, index: usize) -> Option<&Entry> {
        self.entries.iter().find(|e| e.range().contains(&index))
    }

    /// Where tensors of these roles stand, in ascending order; neighbours are one range.
    pub fn ranges(&self, of: impl Fn(Role) -> bool) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for entry in self.entries.iter().filter(|e| of(e.role) && !e.is_empty()) {
            let at = entry.range();
            match ranges.last_mut() {
                Some(last) if last.end == at.start => last.end = at.end,
                _ => ranges.push(at),
            }
        }
        ranges
    }

    /// The tensors in the order of their offsets.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of values in all tensors.
    pub fn len(&self) -> usize {
        self.entries.last().map_or(0, |e| e.range().end)
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
