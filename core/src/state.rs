//! What stays with a client between its rounds: slots by name, each of one owner.
//!
//! A slot holds a vector or bytes. It has one form: in memory, on the wire and in checkpoints. What slots a run has, and how
//! much each may hold, follows from the scenario ([`SlotSpecs`]), so that whatever comes from outside can be looked at.

use crate::{Chain, Params};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Borrow, collections::BTreeMap, fmt, ops::Deref, sync::Arc};

/// The name of a slot: its owner's kind and, where there may be several, the owner's own name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotName(Arc<str>);

impl SlotName {
    /// Bytes of a name, at most.
    pub const MOST: usize = 128;
    /// The vector of the strategy's rule, such as a SCAFFOLD control.
    pub const STRATEGY: &str = "strategy";
    /// The model that the client trained last, where a score needs it.
    pub const MODEL: &str = "model";
    /// The values of the model that stay with the client.
    pub const LOCAL: &str = "local";
    /// Where the client trained last in its stream of tasks.
    pub const PLACE: &str = "stream.place";
    /// The optimizer, where it goes on from call to call.
    pub const OPTIMIZER: &str = "stream.optimizer";
    const METHOD: &str = "method.";

    /// A slot by its whole name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// What a continual method of this name remembers.
    pub fn method(name: &str) -> Self {
        Self(format!("{}{name}", Self::METHOD).into())
    }

    /// What a training pass of this name leaves with the client.
    pub fn pass(name: &str) -> Self {
        Self(format!("pass.{name}").into())
    }

    /// What a client keeps of the transform of this name, the `before`-th of that name in the file.
    pub fn transform(name: &str, before: usize) -> Self {
        Self(format!("transform.{name}.{before}").into())
    }
}

impl Deref for SlotName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SlotName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes that are cheap to share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory(Arc<Vec<u8>>);

impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for Memory {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl de::Visitor<'_> for Read {
            type Value = Memory;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Memory, E> {
                Ok(bytes.to_vec().into())
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Memory, E> {
                Ok(bytes.into())
            }
        }
        deserializer.deserialize_byte_buf(Read)
    }
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// A vector.
    Floats(Params),
    /// Bytes that mean something to the owner alone.
    Bytes(Memory),
}

/// Of what kind a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// A vector.
    Floats,
    /// Bytes.
    Bytes,
}

impl SlotKind {
    /// A slot that holds these bytes; `None` where they are no whole values.
    pub fn slot(self, bytes: &[u8]) -> Option<Slot> {
        match self {
            Self::Floats => Params::from_bytes(bytes).map(Slot::Floats),
            Self::Bytes => Some(Slot::Bytes(bytes.to_vec().into())),
        }
    }

    fn amount(self, size: u64) -> String {
        match self {
            Self::Floats if size == 1 => "1 value".into(),
            Self::Floats => format!("{size} values"),
            Self::Bytes if size == 1 => "1 byte".into(),
            Self::Bytes => format!("{size} bytes"),
        }
    }
}

impl Slot {
    /// Of what kind it is.
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::Floats(_) => SlotKind::Floats,
            Self::Bytes(_) => SlotKind::Bytes,
        }
    }

    /// Its content, for hashing and files.
    pub fn content(&self) -> &[u8] {
        match self {
            Self::Floats(values) => values.bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// How much it holds: values of a vector, or bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Floats(values) => values.len() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl From<Params> for Slot {
    fn from(values: Params) -> Self {
        Self::Floats(values)
    }
}

impl From<Vec<u8>> for Slot {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// What the coordinator keeps for a simulated client between the rounds it takes part in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientState(BTreeMap<SlotName, Slot>);

impl ClientState {
    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A slot.
    pub fn get(&self, name: &str) -> Option<&Slot> {
        self.0.get(name)
    }

    /// The vector in a slot.
    pub fn floats(&self, name: &str) -> Option<&Params> {
        match self.get(name)? {
            Slot::Floats(values) => Some(values),
            Slot::Bytes(_) => None,
        }
    }

    /// The bytes in a slot.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.get(name)? {
            Slot::Floats(_) => None,
            Slot::Bytes(bytes) => Some(bytes),
        }
    }

    /// Fills a slot; what it held before is gone, and comes back.
    pub fn put(&mut self, name: SlotName, slot: impl Into<Slot>) -> Option<Slot> {
        self.0.insert(name, slot.into())
    }

    /// All slots, by their names.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = (&SlotName, &Slot)> {
        self.0.iter()
    }

    /// What it keeps in a stream of tasks, as one run of bytes: where it trained last, what each method remembers, and the
    /// optimizer.
    fn in_stream(&self, specs: &SlotSpecs) -> Option<Vec<u8>> {
        let place = self.bytes(SlotName::PLACE)?;
        let methods = specs.0.iter().map(|spec| &spec.name);
        let methods = methods.filter(|name| name.starts_with(SlotName::METHOD));
        let methods: Vec<&[u8]> = methods.filter_map(|name| self.bytes(name)).collect();
        let mut all = vec![1];
        all.extend(place);
        all.extend((methods.len() as u64).to_le_bytes());
        for method in methods {
            all.extend((method.len() as u64).to_le_bytes());
            all.extend(method);
        }
        let optimizer = self.bytes(SlotName::OPTIMIZER);
        all.push(optimizer.is_some().into());
        all.extend(optimizer.unwrap_or_default());
        Some(all)
    }
}

impl FromIterator<(SlotName, Slot)> for ClientState {
    fn from_iter<I: IntoIterator<Item = (SlotName, Slot)>>(slots: I) -> Self {
        Self(slots.into_iter().collect())
    }
}

/// How much a slot may hold: values of a vector, or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotSize {
    /// So much.
    Exactly(u64),
    /// So much, or less.
    AtMost(u64),
}

/// What a run knows of a slot before it is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSpec {
    /// Its name.
    pub name: SlotName,
    /// Of what kind it is.
    pub kind: SlotKind,
    /// How much it may hold.
    pub size: SlotSize,
}

impl SlotSpec {
    /// A vector of so many values.
    pub fn vector(name: &str, values: usize) -> Self {
        Self {
            name: SlotName::new(name),
            kind: SlotKind::Floats,
            size: SlotSize::Exactly(values as u64),
        }
    }

    /// Bytes, so many at most.
    pub fn memory(name: SlotName, most: u64) -> Self {
        Self {
            name,
            kind: SlotKind::Bytes,
            size: SlotSize::AtMost(most),
        }
    }

    fn takes(&self, slot: &Slot) -> bool {
        let size = slot.size();
        slot.kind() == self.kind
            && match self.size {
                SlotSize::Exactly(want) => size == want,
                SlotSize::AtMost(most) => size <= most,
            }
    }
}

impl fmt::Display for SlotSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            SlotSize::Exactly(size) => f.write_str(&self.kind.amount(size)),
            SlotSize::AtMost(size) => write!(f, "at most {}", self.kind.amount(size)),
        }
    }
}

/// Why a slot is none of a run's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SlotFault {
    /// Nobody owns it.
    #[error("its slot `{name}` has no owner in this run; expected {expected}")]
    Unknown {
        /// Its name.
        name: SlotName,
        /// The names that there are.
        expected: String,
    },
    /// It holds something else, or too much.
    #[error("its slot `{name}` holds {found}; expected {expected}")]
    Misfit {
        /// Its name.
        name: SlotName,
        /// How much it holds.
        found: String,
        /// What it may hold.
        expected: String,
    },
    /// A value is infinite or not a number.
    #[error("value {index} of its slot `{name}` is {value}; expected a finite number")]
    NotFinite {
        /// Its name.
        name: SlotName,
        /// Which value.
        index: usize,
        /// The value.
        value: f32,
    },
}

/// All slots that clients of a run may have, in the order of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSpecs(Vec<SlotSpec>);

impl SlotSpecs {
    /// Adds a slot behind the others.
    ///
    /// # Panics
    ///
    /// If there is one of that name.
    pub fn push(&mut self, spec: SlotSpec) {
        assert!(self.find(&spec.name).is_none(), "one owner per slot");
        self.0.push(spec);
    }

    /// Bytes that all slots of a client hold together, at most.
    pub fn most_bytes(&self) -> u64 {
        let bytes = |spec: &SlotSpec| {
            let (SlotSize::Exactly(size) | SlotSize::AtMost(size)) = spec.size;
            match spec.kind {
                SlotKind::Floats => size.saturating_mul(4),
                SlotKind::Bytes => size,
            }
        };
        self.0.iter().map(bytes).fold(0, u64::saturating_add)
    }

    /// The slot of this name.
    pub fn find(&self, name: &str) -> Option<&SlotSpec> {
        self.0.iter().find(|spec| *spec.name == *name)
    }

    /// Whether every slot of a state has an owner, and holds what that one may keep.
    pub fn check(&self, state: &ClientState) -> Result<(), SlotFault> {
        state.slots().try_for_each(|(name, slot)| {
            let spec = self.find(name).ok_or_else(|| self.unknown(name))?;
            match spec.takes(slot) {
                true => Ok(()),
                false => Err(SlotFault::Misfit {
                    name: name.clone(),
                    found: slot.kind().amount(slot.size()),
                    expected: spec.to_string(),
                }),
            }
        })
    }

    /// As [`check`](Self::check), for a state that somebody else sent: its vectors must be finite, too.
    pub fn check_received(&self, state: &ClientState) -> Result<(), SlotFault> {
        self.check(state)?;
        state.slots().try_for_each(|(name, slot)| match slot {
            Slot::Bytes(_) => Ok(()),
            Slot::Floats(values) => match values.first_not_finite() {
                None => Ok(()),
                Some(index) => Err(SlotFault::NotFinite {
                    name: name.clone(),
                    index,
                    value: values[index],
                }),
            },
        })
    }

    fn unknown(&self, name: &SlotName) -> SlotFault {
        let names: Vec<String> = self.0.iter().map(|s| format!("`{}`", s.name)).collect();
        let expected = match names.is_empty() {
            true => "none".into(),
            false => names.join(", "),
        };
        let name = name.clone();
        SlotFault::Unknown { name, expected }
    }

    /// Adds a state to a chain: first the vectors of the strategy and of the last model, empty where there is none, then
    /// what the client keeps in a stream, framed as words, then the other slots by their names.
    pub fn chain(&self, state: &ClientState, chain: &mut Chain) {
        for name in [SlotName::STRATEGY, SlotName::MODEL] {
            chain.add(state.get(name).map_or(&[], Slot::content));
        }
        let in_stream = state.in_stream(self);
        let framed = |name: &str| match name {
            SlotName::STRATEGY | SlotName::MODEL => true,
            SlotName::PLACE | SlotName::OPTIMIZER => in_stream.is_some(),
            other => in_stream.is_some() && other.starts_with(SlotName::METHOD),
        };
        if let Some(bytes) = &in_stream {
            let mut words = (bytes.len() as u32).to_le_bytes().to_vec();
            words.extend(bytes);
            words.resize(words.len().next_multiple_of(4), 0);
            chain.add(&words);
        }
        for (name, slot) in state.slots().filter(|(name, _)| !framed(name)) {
            chain.add(name.as_bytes()).add(slot.content());
        }
    }
}

/// What the memory of a method or of a transform may grow with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Values of the model.
    pub values: usize,
    /// Classes.
    pub classes: usize,
    /// Training samples of a client, at most.
    pub samples: usize,
    /// Bytes of a sample, as it is stored.
    pub sample_bytes: usize,
}

impl Sizes {
    /// Tasks of a stream that there is room for, wherever a memory grows with them.
    pub const TASKS: usize = 1024;

    /// Bytes of so many vectors of the model's length.
    pub fn models(&self, count: u64) -> u64 {
        count * (8 + 4 * self.values as u64)
    }

    /// Bytes of a buffer of so many samples, each named by place and task, and kept with so many numbers.
    pub fn buffer(&self, samples: usize, each: usize) -> u64 {
        let items = samples as u64;
        // Names and counts of groups, of which there are no more than samples, or a few empty ones.
        let groups = items.max((Self::TASKS + self.classes) as u64);
        let bytes = 32 * groups + items.saturating_mul(8 + 4 * each as u64);
        bytes + 64
    }

    /// Bytes of what says nothing of itself: sixteen models, and logits for every sample.
    pub fn plenty(&self) -> u64 {
        (1 << 16) + self.models(16) + self.buffer(self.samples, self.classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fingerprint, codec};

    fn specs() -> SlotSpecs {
        let mut specs = SlotSpecs::default();
        specs.push(SlotSpec::vector(SlotName::STRATEGY, 2));
        specs.push(SlotSpec::memory(SlotName::new(SlotName::PLACE), 16));
        specs.push(SlotSpec::memory(SlotName::method("er"), 4));
        specs
    }

    fn state(name: &str, slot: impl Into<Slot>) -> ClientState {
        [(SlotName::new(name), slot.into())].into_iter().collect()
    }

    fn fault(name: &str, slot: impl Into<Slot>) -> String {
        let fault = specs().check_received(&state(name, slot));
        fault.unwrap_err().to_string()
    }

    #[test]
    fn a_slot_is_looked_at_by_name_kind_size_and_values() {
        let specs = specs();
        assert_eq!(specs.check_received(&ClientState::default()), Ok(()));
        let two = || Params::from(vec![1.0, 2.0]);
        assert_eq!(specs.check_received(&state("strategy", two())), Ok(()));
        assert_eq!(
            specs.check_received(&state("method.er", vec![7; 4])),
            Ok(())
        );
        assert_eq!(
            fault("method.der", vec![7]),
            "its slot `method.der` has no owner in this run; expected `strategy`, `stream.place`, `method.er`"
        );
        assert_eq!(
            fault("method.er", vec![7; 5]),
            "its slot `method.er` holds 5 bytes; expected at most 4 bytes"
        );
        assert_eq!(
            fault("method.er", two()),
            "its slot `method.er` holds 2 values; expected at most 4 bytes"
        );
        assert_eq!(
            fault("strategy", Params::zeros(1)),
            "its slot `strategy` holds 1 value; expected 2 values"
        );
        assert_eq!(
            fault("strategy", Params::from(vec![1.0, f32::INFINITY])),
            "value 1 of its slot `strategy` is inf; expected a finite number"
        );
    }

    #[test]
    fn a_state_has_one_form_in_files() {
        let mut state = state("strategy", Params::from(vec![1.5]));
        state.put(SlotName::method("er"), vec![1, 2, 3]);
        let bytes = codec::encode(&state);
        assert_eq!(codec::decode::<ClientState>(&bytes).unwrap(), state);
        let text = |name: &str| 8 + name.len();
        // A number of slots, then name, kind and content of each.
        let each = text("method.er") + 4 + 8 + 3 + text("strategy") + 4 + 8 + 4;
        assert_eq!(bytes.len(), 8 + each);
    }

    /// Links of runs go on from before slots had names: a vector each of the strategy and the last model, then the
    /// memory as words, whose first is the number of bytes.
    #[test]
    fn the_chain_has_what_it_had_before_slots_had_names() {
        #[derive(Serialize)]
        struct Remembered {
            last: Option<(u32, u32, u64)>,
            methods: Vec<Vec<u8>>,
            optimizer: Option<u64>,
        }
        let last = (1_u32, 2_u32, 3_u64);
        for optimizer in [None, Some(9)] {
            let mut state = state("strategy", Params::from(vec![1.5, 2.5]));
            state.put(SlotName::new(SlotName::PLACE), codec::encode(&last));
            state.put(SlotName::method("er"), vec![4, 5, 6]);
            if let Some(optimizer) = optimizer {
                state.put(
                    SlotName::new(SlotName::OPTIMIZER),
                    codec::encode(&optimizer),
                );
            }
            let mut bytes = codec::encode(&Remembered {
                last: Some(last),
                methods: vec![vec![4, 5, 6]],
                optimizer,
            });
            let mut words = (bytes.len() as u32).to_le_bytes().to_vec();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            words.extend(bytes);
            let mut want = Fingerprint::default().extend();
            want.floats(&[1.5, 2.5]).add(&[]).add(&words);
            let mut chain = Fingerprint::default().extend();
            specs().chain(&state, &mut chain);
            assert_eq!(chain.link(), want.link());
        }
    }

    #[test]
    fn every_slot_is_in_the_chain() {
        let link = |state: &ClientState| {
            let mut chain = Fingerprint::default().extend();
            specs().chain(state, &mut chain);
            chain.link()
        };
        let all = [
            "strategy",
            "model",
            "method.er",
            "transform.clip.0",
            "other",
        ];
        for name in all {
            let mut one = state(SlotName::PLACE, vec![0; 4]);
            one.put(SlotName::new(name), vec![1; 4]);
            let mut other = one.clone();
            other.put(SlotName::new(name), vec![2; 4]);
            assert_ne!(link(&one), link(&other), "{name}");
        }
    }
}
