//! What tasks are made of, where that is not their samples.

/// What a data set says of the things that its tasks are made of, such as theorems, of which a sample may be a part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    /// What each class is called; empty where classes are numbers.
    pub names: Vec<String>,
    /// All that is known.
    pub all: Vec<Item>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// The class of the data that it belongs to; `None` for one that no class shows, which counts beside the others all the same.
    pub class: Option<u32>,
    /// How hard it is: infinite for what nobody could do, `None` where that is not known.
    pub difficulty: Option<f64>,
}
