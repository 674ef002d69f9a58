//! What does not go with a contrastive loss: everything that asks for logits of classes.

use crate::{
    registry::Chosen,
    scenario::{Scenario, Wrong},
};
use lyceum_core::{AnyMethod, Head};

/// Methods that look at no logit.
const WITHOUT_LOGITS: [&str; 7] = ["naive", "joint", "cumulative", "freeze", "l2", "si", "er"];
/// Methods whose Fisher information may be that of the loss of a batch, whatever the loss is of.
const OF_A_FISHER: [&str; 2] = ["ewc", "averaged_ewc"];

/// Whether a method asks for logits of classes.
fn asks_for_logits(method: &Chosen<dyn AnyMethod>) -> bool {
    let fisher = method.resolved.get("fisher").and_then(|f| f.as_str());
    let by_batches = OF_A_FISHER.contains(&method.name) && fisher == Some("batched");
    !by_batches && !WITHOUT_LOGITS.contains(&method.name)
}

impl Scenario {
    /// What asks for logits of classes where the outputs are embeddings of pairs.
    pub(crate) fn wrong_with_pairs(&self) -> Vec<Wrong> {
        if self.training.loss.contrastive().is_none() {
            return Vec::new();
        }
        let evaluation = &self.evaluation;
        let asks = [
            (evaluation.calibration, "evaluation.calibration"),
            (evaluation.f1, "evaluation.f1"),
            (evaluation.top.is_some(), "evaluation.top"),
            (evaluation.roc, "evaluation.roc"),
            (
                self.training.class_weights.is_some(),
                "training.class_weights",
            ),
        ];
        let asks = asks.into_iter().filter(|(asked, _)| *asked);
        let mut all: Vec<Wrong> = asks
            .map(|(_, key)| {
                let message = "asks for logits of classes, and a contrastive loss has none";
                let label = "leave it out: pairs are judged by recall and reciprocal rank";
                (key.into(), message.into(), label.into())
            })
            .collect();
        let scores = self.ordering.iter().filter_map(|o| o.sorts_by());
        if self.needs_expert() || scores.into_iter().any(|score| score.is_error()) {
            all.push((
                "training.loss".into(),
                "an expert, and an order by errors, ask for logits of classes".into(),
                "an order by a loss, which needs no expert, with a contrastive loss".into(),
            ));
        }
        if !self.data.real.is_empty() {
            all.push((
                "data.real".into(),
                "real clients have no pairs".into(),
                "leave out `[[data.real]]`, or the contrastive loss".into(),
            ));
        }
        all.extend(self.wrong_stream_of_pairs());
        all
    }

    fn wrong_stream_of_pairs(&self) -> Vec<Wrong> {
        let Some(stream) = &self.stream else {
            return Vec::new();
        };
        let at = format!("scenario.{}", stream.kind.name);
        let mut all = Vec::new();
        let mut methods = stream.methods.iter();
        if let Some(method) = methods.find(|m| asks_for_logits(m)) {
            let known = WITHOUT_LOGITS.join(", ");
            all.push((
                format!("{at}.method.{}", method.name),
                format!(
                    "`{}` asks for logits of classes, and a contrastive loss has none",
                    method.name
                ),
                format!("one of {known}, or `ewc` with `fisher = \"batched\"`"),
            ));
        }
        let rules = self.stream_rules(stream);
        if rules != Head::Shared {
            all.push((
                at.clone(),
                "opens some logits and closes others, and a contrastive loss has none".into(),
                "`progressive`: one repository a task".into(),
            ));
        }
        let rules_of_its_own = self.rule().is_some() && stream.kind.name != "progressive";
        if stream.kind.plugin.outputs().is_some() || rules_of_its_own || self.steering.is_some() {
            all.push((
                at,
                "has labels, or models, of its own".into(),
                "`progressive` with a contrastive loss: one repository a task".into(),
            ));
        }
        all
    }

    fn stream_rules(&self, stream: &crate::task_stream::StreamChoice) -> Head {
        let chosen = stream.head.map(crate::streams::HeadChoice::head);
        chosen.unwrap_or(stream.kind.plugin.rules().head)
    }
}
