//! The training passes of a run, and what a network makes of each.

use lyceum_core::{Moves, Network, Pass, PassDice, Passes, Segments};
use std::ops::Range;

/// A pass, and what follows from it for one network.
pub(crate) struct Planned {
    pub(crate) pass: Pass,
    pub(crate) dice: PassDice,
    pub(crate) segments: Segments,
    /// One flag a layer: which batch normalisations stand still. Empty where none does.
    pub(crate) fixed: Vec<bool>,
    /// Where what moves stands.
    pub(crate) ranges: Vec<Range<usize>>,
}

/// What clients of a run do, in this order.
pub(crate) struct Plan {
    pub(crate) before: Vec<Planned>,
    /// The pass whose change goes to the strategy.
    pub(crate) shared: Planned,
    pub(crate) after: Vec<Planned>,
}

impl Planned {
    fn new(pass: &Pass, network: &Network) -> Self {
        let (layout, moves) = (network.layout(), pass.moves);
        Self {
            dice: pass.dice(),
            segments: Segments::of(layout, |role| moves.includes(role)),
            fixed: network.fixed(&moves.still(layout)),
            ranges: moves.ranges(layout),
            pass: pass.clone(),
        }
    }

    /// Whether everything moves that can.
    pub(crate) fn moves_all(&self) -> bool {
        self.pass.moves == Moves::All
    }
}

impl Plan {
    pub(crate) fn new(passes: &Passes, network: &Network) -> Self {
        let planned = |pass| Planned::new(pass, network);
        let (before, shared, after) = passes.parts();
        Self {
            before: before.iter().map(planned).collect(),
            shared: planned(shared),
            after: after.iter().map(planned).collect(),
        }
    }

    /// Whether the shared pass is all that clients do.
    pub(crate) fn is_one(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}
