//! Training passes of a call that leave their result with the client.

use crate::{
    Worker,
    call::ClientCall,
    error::NodeError,
    plan::Planned,
    scores::Scored,
    steps::{Lesson, Plain, Rule},
    trace::Trace,
};
use lyceum_core::{
    ClientState, Params, Pass, PassResult, Shard, SlotName, Start, SumError, Vectors,
};
use std::{borrow::Cow, ops::Range};

/// What passes leave with the client.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) state: ClientState,
    /// Steps of passes besides the shared one, and samples that went through them.
    pub(crate) steps: u64,
    pub(crate) trained: u64,
    /// A value that stays with the client and is no finite number.
    pub(crate) fault: Option<SumError>,
}

impl Kept {
    /// What a slot holds by now: of this call, or of the one before.
    fn slot<'a>(&'a self, call: &ClientCall<'a>, name: &SlotName) -> Option<&'a Params> {
        let now = self.state.floats(name);
        now.or_else(|| call.state().floats(name))
    }

    fn count(&mut self, trace: &Trace) {
        self.steps += trace.steps;
        self.trained += trace.trained;
    }

    /// Looks whether all that stays with the client, of a model in these ranges, is a number.
    pub(crate) fn look_at(&mut self, model: &[f32], ranges: &[Range<usize>]) {
        let mut places = ranges.iter().cloned().flatten();
        let index = match self.fault {
            Some(_) => None,
            None => places.find(|&index| !model[index].is_finite()),
        };
        self.fault = index
            .map(|index| SumError::Value {
                index,
                value: model[index],
            })
            .or(self.fault.take());
    }
}

impl Worker {
    /// The model that a pass starts from.
    pub(crate) fn start_of_pass<'a>(
        &self,
        call: &ClientCall<'a>,
        pass: &Pass,
        kept: &Kept,
    ) -> Result<Cow<'a, Params>, NodeError> {
        match &pass.start {
            Start::Global => Ok(Cow::Borrowed(&call.assignment().global)),
            Start::State(slot) => {
                let own = kept.slot(call, slot);
                Ok(own.map_or(Cow::Borrowed(call.start), |own| Cow::Owned(own.clone())))
            }
            Start::Splice(slot) => {
                // What the client brought along has its places already.
                let Some(own) = kept.state.floats(slot) else {
                    return Ok(Cow::Borrowed(call.start));
                };
                let start = self.node.network.layout().with_local(call.start, own);
                let start = start.ok_or(NodeError::Data("what stays with a client"))?;
                Ok(Cow::Owned(start))
            }
        }
    }

    /// Puts the optimizer at rest for a pass, in which what it says moves.
    pub(crate) fn begin_pass(&mut self, call: &ClientCall<'_>, planned: &Planned) {
        self.moments.reset();
        if !(planned.moves_all() && call.together.plan.is_one()) {
            self.moments.follow(&planned.segments);
        }
    }

    /// Takes a pass whose result stays with the client.
    pub(crate) fn take_pass(
        &mut self,
        call: &ClientCall<'_>,
        planned: &Planned,
        (shard, scored): (&Shard, &Scored),
        kept: &mut Kept,
    ) -> Result<(), NodeError> {
        let pass = &planned.pass;
        let start = self.start_of_pass(call, pass, kept)?;
        let vectors = Vectors {
            global: call.start,
            round: &call.assignment().vectors,
        };
        let mut objective = pass.objective.clone();
        let divergence = self.node.divergence(vectors.round);
        objective.divergences.extend(divergence);
        let objective = objective.resolve(vectors);
        let mut objective = objective.ok_or(NodeError::Data("a vector of the round"))?;
        let rows = self.node.training(call.round()).batch.get();
        objective.charge(shard.len(), rows);
        let course = self.order(call, planned, shard, &scored.scores);
        let rule = Rule::new(self.node.training(call.round()), &objective);
        let lesson = Lesson {
            shard,
            weights: &scored.weights,
            fixed: &planned.fixed,
        };
        self.begin_pass(call, planned);
        self.load(&start);
        let trace = self.walk(call, &course, rule, &mut Plain(lesson));
        kept.count(&trace);
        if let PassResult::State(slot) = &pass.result {
            let model = self.learner.params();
            kept.look_at(model, &planned.ranges);
            let layout = self.node.network.layout();
            let values: Params = pass.moves.values(layout, model).into();
            kept.state.put(slot.clone(), values);
        }
        Ok(())
    }
}
