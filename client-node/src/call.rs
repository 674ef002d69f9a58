//! What a local training call is about.

use crate::plan::Plan;
use lyceum_core::{
    Assignment, ClientId, ClientRule, ClientState, ExactSum, Job, Params, Round, Shard, TaskStream,
};

/// What the clients of a unit have in common.
#[derive(Clone, Copy)]
pub(crate) struct Together<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) rule: &'a dyn ClientRule,
    /// The node's stream in the stage of the unit.
    pub(crate) stream: Option<&'a TaskStream>,
    pub(crate) sum: &'a ExactSum,
    /// What each of them does.
    pub(crate) plan: &'a Plan,
}

/// One client's local training call.
#[derive(Clone, Copy)]
pub(crate) struct ClientCall<'a> {
    pub(crate) together: Together<'a>,
    pub(crate) client: ClientId,
    job: &'a Job,
    /// The model that it starts from: the global one, with what stays with the client in its places.
    pub(crate) start: &'a Params,
    /// All of its samples.
    pub(crate) whole: &'a Shard,
}

impl<'a> ClientCall<'a> {
    pub(crate) fn new(
        together: Together<'a>,
        client: ClientId,
        job: &'a Job,
        (start, whole): (&'a Params, &'a Shard),
    ) -> Self {
        Self {
            together,
            client,
            job,
            start,
            whole,
        }
    }

    pub(crate) fn assignment(&self) -> &'a Assignment {
        self.together.assignment
    }

    pub(crate) fn round(&self) -> Round {
        self.together.assignment.round
    }

    /// What the client left behind last time.
    pub(crate) fn state(&self) -> &'a ClientState {
        &self.job.state
    }
}
