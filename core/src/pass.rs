//! A client's work in a round as a list of training passes, each with dice of its own.
//!
//! A pass starts from a model, moves some of it towards an objective, and leaves its result in one place. One of them, the
//! shared one, is what every client does: its change goes to the strategy. Others are asked for as data, by the strategy's
//! rule for clients or by a way of making models personal, and what they leave stays with the client.
//!
//! **Invariant:** another pass in the list changes no draw, and so no bit, of those that are there.

use crate::{Layout, Objective, Purpose, Role, SlotName, SlotSpec};
use std::ops::Range;

/// One training pass over a client's samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// What it is called, by which its draws are addressed. No two passes of a run have one name.
    pub name: String,
    /// The model that it starts from.
    pub start: Start,
    /// What of the model moves.
    pub moves: Moves,
    /// What is minimised besides the data loss. To the shared pass the objective of the strategy's rule comes as well.
    pub objective: Objective,
    /// How long it takes.
    pub length: Length,
    /// Where the result goes.
    pub result: PassResult,
}

/// The model that a pass starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The global model as the client received it.
    Global,
    /// The whole model that the client keeps in a slot; the global one as long as there is none.
    State(SlotName),
    /// The global model, with the values that the client keeps in a slot in the places that stay with it.
    Splice(SlotName),
}

/// What of a model moves in a pass. The rest stands still: nothing acts on it, and it counts in no norm. A batch normalisation
/// whose running statistics stand still normalises by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moves {
    /// Everything that can.
    #[default]
    All,
    /// What stays with its client.
    Local,
    /// What does not.
    Shared,
}

/// How long a pass takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// As the run's training says.
    #[default]
    Training,
    /// So many passes over the samples.
    Epochs(usize),
    /// So many steps.
    Steps(u64),
}

/// Where the result of a pass goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassResult {
    /// Its change goes to the strategy's lanes.
    Lanes,
    /// The values that it moves go to a slot of the client's state. Passes after it see them there.
    State(SlotName),
    /// Nowhere: it is judged, where the run judges clients' own models, and forgotten.
    Drop,
}

/// What a pass draws for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassDice {
    /// The order of its batches, and dropout masks.
    pub batches: Purpose,
    /// The random part of an ordering of samples.
    pub ordering: Purpose,
}

impl Moves {
    /// Whether what has this role may move.
    pub fn includes(self, role: Role) -> bool {
        match self {
            Self::All => true,
            Self::Local => role.is_local(),
            Self::Shared => !role.is_local(),
        }
    }

    /// Where what moves stands in a model.
    pub fn ranges(self, layout: &Layout) -> Vec<Range<usize>> {
        layout.ranges(|role| self.includes(role))
    }

    /// What stands still in a model.
    pub fn still(self, layout: &Layout) -> Vec<Range<usize>> {
        layout.ranges(|role| !self.includes(role))
    }

    /// The values that move, one after another.
    pub fn values(self, layout: &Layout, model: &[f32]) -> Vec<f32> {
        let ranges = self.ranges(layout);
        let mut values = Vec::with_capacity(ranges.iter().map(Range::len).sum());
        for at in ranges {
            values.extend_from_slice(&model[at]);
        }
        values
    }
}

impl Pass {
    /// What every client does: it trains the global model, with its own values in the places that stay with it, as long as the
    /// run's training says, and its change goes to the strategy.
    pub fn shared() -> Self {
        Self {
            name: "shared".into(),
            start: Start::Splice(SlotName::new(SlotName::LOCAL)),
            moves: Moves::All,
            objective: Objective::default(),
            length: Length::Training,
            result: PassResult::Lanes,
        }
    }

    /// What it draws for: the shared pass for what clients always drew for, another one for purposes of its own.
    pub fn dice(&self) -> PassDice {
        match self.result {
            PassResult::Lanes => PassDice {
                batches: Purpose::BATCHES,
                ordering: Purpose::ORDERING,
            },
            _ => PassDice {
                batches: Purpose::of_pass(&self.name, "batches"),
                ordering: Purpose::of_pass(&self.name, "ordering"),
            },
        }
    }

    /// The slot that its result goes to, for models of this layout.
    fn slot(&self, layout: &Layout) -> Option<SlotSpec> {
        let PassResult::State(name) = &self.result else {
            return None;
        };
        let values = self.moves.ranges(layout).iter().map(Range::len).sum();
        Some(SlotSpec::vector(name, values))
    }
}

/// A client's passes in their order, of which one is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Passes(Vec<Pass>);

impl Default for Passes {
    fn default() -> Self {
        Self(vec![Pass::shared()])
    }
}

impl Passes {
    /// A list of passes.
    ///
    /// # Panics
    ///
    /// Unless one pass yields lanes, and every pass has a name of its own.
    pub fn new(passes: Vec<Pass>) -> Self {
        let lanes = |pass: &&Pass| pass.result == PassResult::Lanes;
        assert_eq!(passes.iter().filter(lanes).count(), 1, "one pass is shared");
        for (at, pass) in passes.iter().enumerate() {
            let named = passes[..at].iter().any(|other| other.name == pass.name);
            assert!(!named, "no two passes have one name");
        }
        Self(passes)
    }

    /// With further ones behind these.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn and(mut self, more: Vec<Pass>) -> Self {
        self.0.extend(more);
        Self::new(self.0)
    }

    /// Those before the shared one, that one, and those after it.
    pub fn parts(&self) -> (&[Pass], &Pass, &[Pass]) {
        let lanes = |pass: &Pass| pass.result == PassResult::Lanes;
        let at = self.0.iter().position(lanes).expect("one pass is shared");
        (&self.0[..at], &self.0[at], &self.0[at + 1..])
    }

    /// The slots that results go to, besides that of the values of the model that stay with the client.
    pub fn slots(&self, layout: &Layout) -> impl Iterator<Item = SlotSpec> {
        let slots = self.0.iter().filter_map(|pass| pass.slot(layout));
        slots.filter(|slot| *slot.name != *SlotName::LOCAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(name: &str, moves: Moves, result: PassResult) -> Pass {
        Pass {
            name: name.into(),
            moves,
            result,
            ..Pass::shared()
        }
    }

    fn layout() -> Layout {
        let mut layout = Layout::default();
        layout.push("0.weight", vec![2], Role::Trainable);
        layout.push("1.mean", vec![1], Role::LocalStatistic);
        layout.push("2.weight", vec![3], Role::Local);
        layout
    }

    #[test]
    fn only_the_shared_pass_draws_for_what_clients_always_drew_for() {
        let shared = Pass::shared().dice();
        assert_eq!(shared.batches, Purpose::BATCHES);
        assert_eq!(shared.ordering, Purpose::ORDERING);
        let dice = |name| pass(name, Moves::All, PassResult::Drop).dice();
        // The name of a pass alone says what it draws for.
        let all = [shared, dice("shared"), dice("ditto"), dice("head")];
        let purposes = all.iter().flat_map(|dice| [dice.batches, dice.ordering]);
        let purposes: std::collections::BTreeSet<u64> = purposes.map(|p| p.0).collect();
        assert_eq!(purposes.len(), 8);
    }

    #[test]
    fn what_moves_follows_from_roles() {
        let (layout, model) = (layout(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(Moves::All.values(&layout, &model), model);
        assert_eq!(Moves::Shared.values(&layout, &model), [0.0, 1.0]);
        assert_eq!(Moves::Local.values(&layout, &model), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(
            Moves::Local.still(&layout),
            [std::ops::Range { start: 0, end: 2 }]
        );
        assert!(Moves::All.still(&layout).is_empty());
    }

    #[test]
    fn passes_have_a_slot_each_for_what_they_move() {
        let state = |name| PassResult::State(SlotName::new(name));
        let passes = Passes::new(vec![
            pass("head", Moves::Local, state(SlotName::LOCAL)),
            Pass::shared(),
        ]);
        assert_eq!(passes.slots(&layout()).count(), 0);
        let passes = passes.and(vec![pass("own", Moves::All, state("pass.own"))]);
        let slots: Vec<SlotSpec> = passes.slots(&layout()).collect();
        assert_eq!(slots, [SlotSpec::vector("pass.own", 6)]);
        let (before, shared, after) = passes.parts();
        assert_eq!((before.len(), after.len()), (1, 1));
        assert_eq!(*shared, Pass::shared());
    }

    #[test]
    #[should_panic(expected = "one pass is shared")]
    fn two_shared_passes_are_none() {
        Passes::default().and(vec![pass("other", Moves::All, PassResult::Lanes)]);
    }
}
