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
    to.take::<SparseLinear>(
        "sparse_linear",
        "a sum of vectors, one for each value: a linear map for values that are mostly zero",
    );
    to.take::<LayerNorm>("layer_norm", "normalises the values of each place");
    to.take::<RmsNorm>(
        "rms_norm",
        "divides the values of each place by the root of their mean square",
    );
    to.take::<GlobalAvgPool>("global_avg_pool", "the mean of every channel of an image");
    to.take::<Conv2d>(
        "conv2d",
        "convolution of images in groups, with dilation and any border",
    );
    to.take::<Conv1d>("conv1d", "convolution along the places of a sequence");
    to.take::<Gelu>("gelu", "Gaussian error linear unit");
    to.take::<Silu>("silu", "x times its logistic function, also swish");
    to.take::<LeakyRelu>("leaky_relu", "ReLU with a slope below zero");
    to.take::<Sigmoid>("sigmoid", "the logistic function");
    to.take::<Embedding>("embedding", "a vector for each token of a sequence");
    to.take::<Positions>("positions", "adds a learned vector to each place");
    to.take::<Rnn>(
        "rnn",
        "recurrent units, which may leak at rates that are learned",
    );
    to.take::<Gru>("gru", "gated recurrent units");
    to.take::<Lstm>("lstm", "long short-term memory");
    to.take::<Attention>(
        "attention",
        "multi-head attention of the places of a sequence to each other",
    );
    to.take::<PoolPlaces>(
        "pool_places",
        "mean, largest or last of the places of a sequence",
    );
    to.take::<EmbeddingBag>(
        "embedding_bag",
        "sum or mean of vectors by counts, of which most are zero",
    );
}
