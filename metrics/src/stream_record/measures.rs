//! Measures of a stream of tasks, and why some are missing.

use super::{END, Learned, StreamRecord, of_tasks};
use crate::continual::{
    ClientMatrix, backward_transfer, final_average_accuracy, forgetting_max, forward_transfer,
    learning_accuracy, mean_of_curve, mean_online_accuracy, mean_over_clients,
    mean_spatial_knowledge_retention, mean_temporal_knowledge_retention,
};
use lyceum_core::{ClientId, Round, TaskId};
use std::collections::BTreeMap;

/// What helps where a client was not judged.
const EVERY: &str = "; `every = 1` in `[evaluation]` judges every round";

fn not_judged(which: &str, round: u64) -> String {
    format!("round {round}, {which}, was not judged{EVERY}")
}

impl StreamRecord {
    /// What tables of runs show, by name: average accuracy, forgetting, transfers of the common order; of clients' own orders, where there are several
    /// clients; knowledge retention; accuracy over time.
    pub fn measures(&self) -> BTreeMap<String, f64> {
        let mut found = BTreeMap::new();
        let mut put = |name: &str, value: Option<f64>| {
            value.map(|value| found.insert(name.to_owned(), value));
        };
        put("average_accuracy", self.average_accuracy());
        if let Some(matrix) = self.curve().matrix() {
            put("mean_curve_accuracy", mean_of_curve(&matrix));
            put("learning_accuracy", learning_accuracy(&matrix));
            put("forgetting", forgetting_max(&matrix));
            put("backward_transfer", backward_transfer(&matrix));
            put("forward_transfer", forward_transfer(&matrix));
        }
        put("online_accuracy", self.online_accuracy());
        if self.learned.len() > 1 {
            let clients = self.client_matrices();
            put(
                "client_accuracy",
                mean_over_clients(&clients, final_average_accuracy),
            );
            put(
                "client_forgetting",
                mean_over_clients(&clients, forgetting_max),
            );
            put(
                "temporal_retention",
                mean_temporal_knowledge_retention(&clients),
            );
        }
        put(
            "spatial_retention",
            self.local_and_global()
                .and_then(|clients| mean_spatial_knowledge_retention(&clients)),
        );
        found
    }

    /// Which measures are missing because nobody was judged at the right time, and why, as sentences.
    pub fn unmeasured(&self) -> Vec<String> {
        let common = self.missing_row().map(|why| {
            format!(
                "learning accuracy, forgetting, transfers and the mean of the curve are not measured: {why}"
            )
        });
        let several = self.learned.len() > 1;
        let clients = self
            .missing_row_of_client()
            .filter(|_| several)
            .map(|why| format!("client forgetting and temporal retention are not measured: {why}"));
        let local = self.missing_global();
        let local = local.map(|why| format!("spatial retention is not measured: {why}"));
        [common, clients, local].into_iter().flatten().collect()
    }

    fn name(&self, task: TaskId) -> &str {
        let info = self.tasks.get(task.0 as usize);
        info.map_or("?", |info| &info.name)
    }

    /// Why a row of the common curve is missing.
    fn missing_row(&self) -> Option<String> {
        let curve = self.curve();
        let places = self.first_places();
        let missing = |row: &Vec<Option<f64>>| row.iter().all(Option::is_none);
        let at = curve.rows.iter().position(missing)?;
        let task = self.name(curve.tasks[at]);
        let Some(next) = places.get(at + 1) else {
            return Some(format!("the run has not come to task `{task}`"));
        };
        Some(match self.end(next - 1) {
            Some(end) if end > self.rounds_seen() || end == END => {
                format!("the run has not come to the end of task `{task}`")
            }
            Some(end) => not_judged(&format!("the last of task `{task}`"), end.saturating_sub(1)),
            None => "clients have the tasks in orders of their own, so there is no round in which one is over for all"
                .to_owned(),
        })
    }

    /// Rounds until the last evaluation.
    fn rounds_seen(&self) -> u64 {
        let last = self.judged.last_key_value();
        last.map_or(0, |(round, _)| round.0 + 1)
    }

    /// Why a row of a client's own curve is missing.
    fn missing_row_of_client(&self) -> Option<String> {
        let missing = |client: &ClientId| {
            let curve = self.curve_of(*client);
            let row = |row: &Vec<Option<f64>>| row.iter().all(Option::is_none);
            let at = curve.rows.iter().position(row)?;
            let task = self.name(curve.tasks[at]);
            Some(format!(
                "no evaluation came when task `{task}` was over for client {client}{EVERY}"
            ))
        };
        self.learned.keys().find_map(missing)
    }

    /// Why a client's own model has no global one beside it.
    fn missing_global(&self) -> Option<String> {
        let all = self.learned.iter();
        let mut all = all.flat_map(|(client, learned)| learned.iter().map(move |l| (client, l)));
        let unjudged = |own: &Learned| own.local.is_some() && !self.judged.contains_key(&own.to);
        let (client, own) = all.find(|(_, own)| unjudged(own))?;
        let task = self.name(own.task);
        let last = format!("client {client}'s last on task `{task}`");
        Some(not_judged(&last, own.to.0))
    }

    /// Mean over the tasks of the common order at the last evaluation, whenever they came.
    fn average_accuracy(&self) -> Option<f64> {
        let (_, last) = self.judged.last_key_value()?;
        let tasks = self.curve().tasks;
        let values = tasks
            .iter()
            .map(|t| last.get(t.0 as usize).copied().flatten());
        crate::mean(&values.collect::<Option<Vec<f64>>>()?)
    }

    /// Mean over time of the mean accuracy on all tasks that had begun.
    fn online_accuracy(&self) -> Option<f64> {
        let begun = |round: Round| {
            let visits = self.order.iter().filter(move |v| v.begins <= round.0);
            visits
                .map(|v| v.task.0 as usize)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let mean = |(round, row): (&Round, &Vec<Option<f64>>)| {
            let values = begun(*round)
                .into_iter()
                .map(|t| row.get(t).copied().flatten());
            let values: Vec<f64> = values.collect::<Option<_>>()?;
            Some((round.0 as f64, crate::mean(&values)?))
        };
        let points: Vec<(f64, f64)> = self.judged.iter().map(mean).collect::<Option<_>>()?;
        mean_online_accuracy(&points)
    }

    /// A matrix per client that has learned every one of its tasks when it was judged.
    pub fn client_matrices(&self) -> Vec<ClientMatrix> {
        let matrix = |(client, learned): (&ClientId, &Vec<Learned>)| {
            let samples = learned.iter().map(|l| l.samples).sum::<u64>() as f64;
            let matrix = self.curve_of(*client).matrix()?;
            Some(ClientMatrix { samples, matrix })
        };
        self.learned.iter().filter_map(matrix).collect()
    }

    /// For each client its samples, and for each of its tasks the accuracy of the global model and of its own, both after
    /// its last round on it. `None` where one of the global ones was not measured.
    fn local_and_global(&self) -> Option<Vec<SamplesAndPairs>> {
        let pair = |own: &Learned| {
            let local = own.local?;
            let row = self.judged.get(&own.to);
            Some(of_tasks(&[own.task], row)[0].map(|global| (global, local)))
        };
        let client = |learned: &Vec<Learned>| {
            let samples = learned.iter().map(|l| l.samples).sum::<u64>() as f64;
            let pairs: Option<Vec<_>> = learned.iter().filter_map(pair).collect();
            Some((samples, pairs?))
        };
        let clients: Option<Vec<_>> = self.learned.values().map(client).collect();
        let mut clients = clients?;
        clients.retain(|(_, pairs)| !pairs.is_empty());
        Some(clients)
    }
}

/// A client's samples, and the global and local accuracies of its tasks.
type SamplesAndPairs = (f64, Vec<(f64, f64)>);
