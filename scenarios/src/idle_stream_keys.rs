//! Keys of a stream of tasks that are right, and do nothing as the others are.

use crate::{idle_keys::idle, scenario::Scenario, task_stream::StreamChoice};
use lyceum_core::{Calendar, Reach, TaskId, TaskStream};
use std::collections::BTreeSet;

/// What begins the warning of tasks that a list leaves out.
pub const LEFT_OUT: &str = "tasks that never come";
/// Methods that say what of a model is trained, whatever samples it is trained on.
const OF_THE_MODEL: [&str; 2] = ["lora", "freeze"];

impl Scenario {
    pub(crate) fn idle_in_stream(&self) -> Vec<String> {
        let Some(stream) = &self.stream else {
            return Vec::new();
        };
        let arrival = &stream.arrival;
        let at = |key: &str| format!("scenario.{}.arrival.{key}", stream.kind.name);
        let once = arrival.repeats.is_some_and(|repeats| repeats.get() == 1);
        let mut all = idle_methods(stream);
        all.extend(idle_knowledge(stream));
        if once && arrival.repeated.is_some() {
            all.push(idle(&at("repeated"), "tasks come once: `repeats` = 1"));
        }
        if arrival.spread.is_some_and(|spread| spread.get() == 0.0) {
            all.push(idle(&at("spread"), "a spread of 0 is none"));
        }
        let together = |j: &&crate::streams::Joining| j.initial.get() as u64 == self.clients();
        if arrival.joining.as_ref().filter(together).is_some() {
            let why = "all clients are there from the first task on, so nobody joins";
            all.push(idle(&at("joining"), why));
        }
        all
    }

    /// What never happens in a stream, once its tasks are known.
    pub(crate) fn idle_tasks(&self, stream: &TaskStream) -> Vec<String> {
        let come: BTreeSet<TaskId> = stream.planned().iter().map(|visit| visit.task).collect();
        let tasks = (0..).map(TaskId).zip(stream.tasks());
        let left = tasks.filter(|(id, _)| !come.contains(id));
        let left: Vec<&str> = left.map(|(_, task)| task.name.as_str()).collect();
        let mut all = Vec::new();
        if !left.is_empty() {
            all.push(format!(
                "{LEFT_OUT}, as the order does not list them: {}",
                left.join(", ")
            ));
        }
        all.extend(self.never_after(stream));
        all
    }

    /// Methods that begin after more tasks than come to any client.
    fn never_after(&self, stream: &TaskStream) -> Vec<String> {
        let most = match stream.calendar() {
            Calendar::Same(visits) => visits.len(),
            Calendar::Each(all) => all.iter().map(|visits| visits.len()).max().unwrap_or(0),
        };
        let Some(choice) = &self.stream else {
            return Vec::new();
        };
        let late = choice.methods.iter().filter_map(|method| {
            let after = method.resolved.get("after")?.as_integer()?;
            (after >= most as i64).then(|| {
                format!(
                    "scenario.{}.method.{} never begins: `after` = {after}, and {most} tasks come to a client",
                    choice.kind.name, method.name
                )
            })
        });
        late.collect()
    }
}

/// Methods that hold on to nothing, beside others; and others beside one that shows all tasks from the start.
fn idle_methods(stream: &StreamChoice) -> Vec<String> {
    let key = |name: &str| format!("scenario.{}.method.{name}", stream.kind.name);
    let mut all = Vec::new();
    let others = |name: &str| {
        let names = stream.methods.iter().map(|method| method.name);
        names.filter(|other| *other != name).collect::<Vec<_>>()
    };
    let has = |name: &str| stream.methods.iter().any(|method| method.name == name);
    if has("naive") && !others("naive").is_empty() {
        let why = format!(
            "it holds on to nothing, and {} does",
            others("naive").join(", ")
        );
        all.push(idle(&key("naive"), why));
    }
    let shows_all = stream
        .methods
        .iter()
        .find(|m| m.plugin.needs().reach == Reach::Everything);
    if let Some(joint) = shows_all {
        let beside = others(joint.name);
        let beside = beside
            .iter()
            .filter(|name| **name != "naive" && !OF_THE_MODEL.contains(name));
        all.extend(beside.map(|name| {
            let why = format!(
                "`{}` shows the samples of all tasks from the start, and nothing is forgotten",
                joint.name
            );
            idle(&key(name), why)
        }));
    }
    all
}

/// Distances between posteriors, in units of a weight, that none has from another.
const FAR: f64 = 10.0;

/// Priors of a knowledge base that are the same, and a threshold beyond which no posterior lies.
fn idle_knowledge(stream: &StreamChoice) -> Vec<String> {
    let StreamChoice { kind, .. } = stream;
    let key = |name: &str| format!("scenario.{}.{name}", kind.name);
    let number = |value: &toml::Value| {
        let whole = value.as_integer().map(|whole| whole as f64);
        value.as_float().or(whole)
    };
    let priors = kind.resolved.get("priors").and_then(|list| list.as_array());
    let Some(priors) = priors else {
        return Vec::new();
    };
    let priors: Vec<f64> = priors.iter().filter_map(number).collect();
    let mut all = Vec::new();
    let again = (1..priors.len()).find(|&n| priors[..n].contains(&priors[n]));
    all.extend(again.map(|n| {
        format!(
            "`{}` names {} twice: posteriors that begin alike cost rounds and add nothing; name each deviation once",
            key("priors"),
            priors[n]
        )
    }));
    let widest = priors.iter().copied().fold(1.0, f64::max);
    let threshold = kind.resolved.get("threshold").and_then(number);
    let far = threshold.filter(|threshold| *threshold > FAR * widest);
    all.extend(far.map(|far| {
        format!(
            "`{}` = {far} is farther than posteriors lie apart, so that one stands for all of them and no preference makes a \
             difference: 0.001 to 0.1 are usual",
            key("threshold")
        )
    }));
    all
}
