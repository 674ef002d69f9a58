//! The list of all layers of this crate.

use crate::*;
use lyceum_core::LayerKind;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// Somebody who takes up kinds of layers.
pub trait Takes {
    /// Takes up a kind: its name in scenario files, and one line for lists.
    fn take<K>(&mut self, name: &'static str, summary: &'static str)
    where
        K: LayerKind + DeserializeOwned + Serialize + JsonSchema;
}

/// Gives every layer of this crate to somebody.
pub fn give(to: &mut impl Takes) {
    to.take::<Linear>(
        "linear",
        "the same dense layer at every place of a sequence",
    );
    to.take::<EmbeddingBag>(
        "embedding_bag",
        "a sum of vectors, one for each value: a linear map for values that are mostly zero",
    );
    to.take::<LayerNorm>("layer_norm", "normalises the values of each place");
    to.take::<RmsNorm>(
        "rms_norm",
        "divides the values of each place by the root of their mean square",
    );
}
