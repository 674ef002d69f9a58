//! What of personal models does not go together.

use crate::{
    personal::Personal,
    scenario::{Scenario, Wrong},
};

impl Scenario {
    /// What of `[personal]` does not go together.
    pub(crate) fn wrong_in_personal(&self) -> Vec<Wrong> {
        let streams = self.stream.is_some();
        if streams && self.evaluation.personal {
            let message = "clients in a stream of tasks are judged on the task that they are at";
            let label = "`local = true` instead";
            return vec![("evaluation.personal".into(), message.into(), label.into())];
        }
        let Some(Personal {
            local,
            ditto,
            fed_rep,
        }) = &self.personal
        else {
            return Vec::new();
        };
        let faults = [
            (
                local.is_none() && ditto.is_none() && fed_rep.is_none(),
                "personal",
                "nothing is personal",
                "`local`, such as `local = [\"head\"]`, or a table `[personal.ditto]` or `[personal.fed_rep]`",
            ),
            (
                ditto.is_some() && local.is_some(),
                "personal.ditto",
                "each client has a whole model of its own with Ditto, and parts of the global one besides",
                "one of `ditto` and `local`",
            ),
            (
                ditto.is_some() && fed_rep.is_some(),
                "personal.ditto",
                "two ways of making models personal",
                "one of `ditto` and `fed_rep`",
            ),
            (
                streams && ditto.is_some(),
                "personal.ditto",
                "clients in a stream of tasks train no second model",
                "leave it out, or name parts that stay with clients in `personal.local`",
            ),
            (
                streams && fed_rep.is_some(),
                "personal.fed_rep",
                "clients in a stream of tasks train all parts of the model at once",
                "leave it out; `local = [\"head\"]` keeps heads with clients",
            ),
        ];
        let there = faults.into_iter().filter(|(there, ..)| *there);
        there
            .map(|(_, key, message, label)| (key.into(), message.into(), label.into()))
            .collect()
    }
}
