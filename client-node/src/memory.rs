//! What a client keeps in its own words: of its methods, and of the transforms of its updates.

use crate::error::NodeError;
use lyceum_core::{ClientState, Memory, codec};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The memories of a client. Those of transforms are in the bytes only where a transform has any.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept<'a> {
    /// Of its continual methods, if it is in a stream.
    pub(crate) methods: Option<Cow<'a, [u8]>>,
    /// Of each transform, in the order of the scenario.
    pub(crate) transforms: Vec<Vec<u8>>,
}

pub(crate) fn damaged(_: codec::CodecError) -> NodeError {
    NodeError::Data("a memory of a client that can be read")
}

impl<'a> Kept<'a> {
    /// What a client kept last time.
    pub(crate) fn read(
        state: &'a ClientState,
        transforms_remember: bool,
    ) -> Result<Self, NodeError> {
        let Some(memory) = &state.memory else {
            return Ok(Self::default());
        };
        let bytes = memory.bytes().ok_or(NodeError::Data("a client's memory"))?;
        match transforms_remember {
            true => codec::decode(bytes).map_err(damaged),
            false => Ok(Self {
                methods: Some(Cow::Borrowed(bytes)),
                transforms: Vec::new(),
            }),
        }
    }

    /// To be kept until next time.
    pub(crate) fn write(self, transforms_remember: bool) -> Option<Memory> {
        match transforms_remember {
            true => Some(Memory::new(&codec::encode(&self))),
            false => self.methods.map(|bytes| Memory::new(&bytes)),
        }
    }
}
