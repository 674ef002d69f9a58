//! Continual learning of many clients, each with tasks of its own.

use super::{AccuracyMatrix, mean_of};

/// A client's accuracy matrix and its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientMatrix {
    /// Training samples of the client, or any other weight.
    pub samples: f64,
    /// Task j is the client's own j-th task.
    pub matrix: AccuracyMatrix,
}

/// A measure averaged over clients by samples: sum of n(c) m(c) / sum of n(c).
///
/// `None` where a client with samples lacks the measure, or none has samples. Averaging measures and
/// taking the measure of [`weighted_matrix`] agree where the measure is linear (final average
/// accuracy, BWT), not where it takes a maximum (forgetting by max).
pub fn mean_over_clients(
    clients: &[ClientMatrix],
    measure: impl Fn(&AccuracyMatrix) -> Option<f64>,
) -> Option<f64> {
    weighted(
        clients
            .iter()
            .map(|client| (client.samples, measure(&client.matrix))),
    )
}

/// The matrix of means over clients by samples: R(i, j) = sum of n(c) R_c(i, j) / sum of n(c).
///
/// An entry is missing where a client with samples lacks it, so that no entry is a mean over other
/// clients than its neighbour. `None` without clients or with different numbers of tasks.
pub fn weighted_matrix(clients: &[ClientMatrix]) -> Option<AccuracyMatrix> {
    let tasks = clients.first()?.matrix.tasks();
    if clients.iter().any(|client| client.matrix.tasks() != tasks) {
        return None;
    }
    let mut mean = AccuracyMatrix::new(tasks);
    for task in 0..tasks {
        if let Some(value) = mean_over_clients(clients, |matrix| matrix.before(task)) {
            mean.set_before(task, value);
        }
        for learned in 0..tasks {
            let entry = mean_over_clients(clients, |matrix| matrix.after(learned, task));
            if let Some(value) = entry {
                mean.set(learned, task, value);
            }
        }
    }
    Some(mean)
}

/// Temporal knowledge retention of one client: KR_t = mean over its tasks j < N of
/// R(N, j) / R(j, j). 1 is no loss; `None` where a task was learned to 0.
///
/// Yang et al. 2023 (*Federated continual learning via knowledge fusion: a survey*, arXiv 2312.16475),
/// its temporal catastrophic forgetting; here averaged over all earlier tasks.
pub fn temporal_knowledge_retention(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of(
        matrix
            .earlier_tasks()
            .map(|task| ratio(matrix.at_end(task)?, matrix.just_learned(task)?)),
    )
}

/// Spatial knowledge retention of one client: KR_s = mean over its tasks of the accuracy of the
/// global model on the task / that of the client's own local model before aggregation.
///
/// Pairs are (global, local) at the same time. 1 is no loss by aggregation, more is gain from the
/// other clients; `None` without tasks or where the local model has 0. Yang et al. 2023, its spatial
/// catastrophic forgetting.
pub fn spatial_knowledge_retention(tasks: &[(f64, f64)]) -> Option<f64> {
    mean_of(tasks.iter().map(|&(global, local)| ratio(global, local)))
}

/// KR_t averaged over clients by samples.
pub fn mean_temporal_knowledge_retention(clients: &[ClientMatrix]) -> Option<f64> {
    mean_over_clients(clients, temporal_knowledge_retention)
}

/// KR_s averaged over clients by samples; a client is its samples and its pairs (global, local).
pub fn mean_spatial_knowledge_retention(clients: &[(f64, Vec<(f64, f64)>)]) -> Option<f64> {
    weighted(
        clients
            .iter()
            .map(|(samples, tasks)| (*samples, spatial_knowledge_retention(tasks))),
    )
}

fn ratio(value: f64, reference: f64) -> Option<f64> {
    (reference != 0.0).then(|| value / reference)
}

fn weighted(values: impl Iterator<Item = (f64, Option<f64>)>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (weight, value) in values.filter(|&(weight, _)| weight > 0.0) {
        sum += weight * value?;
        weights += weight;
    }
    (weights > 0.0).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::measures::tests::{close, three_tasks};
    use crate::continual::{backward_transfer, final_average_accuracy, forgetting_max};

    fn clients() -> Vec<ClientMatrix> {
        let other = AccuracyMatrix::from_rows(vec![vec![Some(0.5); 3]; 3]).unwrap();
        let pair = [(1.0, three_tasks()), (3.0, other)];
        pair.map(|(samples, matrix)| ClientMatrix { samples, matrix })
            .to_vec()
    }

    /// Final: (19/30 + 3 x 0.5) / 4 = 64/120. BWT: (-0.25 + 0) / 4.
    #[test]
    fn clients_count_by_samples() {
        let clients = clients();
        let found = mean_over_clients(&clients, final_average_accuracy);
        close(found, 64.0 / 120.0);
        close(mean_over_clients(&clients, backward_transfer), -0.0625);
        let mean = weighted_matrix(&clients).unwrap();
        close(final_average_accuracy(&mean), 64.0 / 120.0);
        close(backward_transfer(&mean), -0.0625);
        close(forgetting_max(&mean), 0.0625);
        assert_eq!(mean.before(0), None);
    }

    #[test]
    fn clients_of_different_lengths_have_no_common_matrix() {
        let mut clients = clients();
        clients[1].matrix = AccuracyMatrix::new(2);
        assert_eq!(weighted_matrix(&clients), None);
        assert_eq!(mean_over_clients(&clients, final_average_accuracy), None);
        clients[1].samples = 0.0;
        close(
            mean_over_clients(&clients, final_average_accuracy),
            19.0 / 30.0,
        );
        assert_eq!(weighted_matrix(&[]), None);
    }

    /// KR_t: (0.7/0.8 + 0.5/0.9) / 2 = (7/8 + 5/9) / 2 = 103/144; over clients (103/144 + 3) / 4.
    /// KR_s: (0.6/0.8 + 0.9/0.9) / 2 = 0.875; over clients (0.875 + 3 x 0.5) / 4 = 0.59375.
    #[test]
    fn retention_by_hand() {
        close(temporal_knowledge_retention(&three_tasks()), 103.0 / 144.0);
        close(
            mean_temporal_knowledge_retention(&clients()),
            (103.0 / 144.0 + 3.0) / 4.0,
        );
        let pairs = vec![(0.6, 0.8), (0.9, 0.9)];
        close(spatial_knowledge_retention(&pairs), 0.875);
        let clients = [(1.0, pairs), (3.0, vec![(0.4, 0.8)])];
        close(mean_spatial_knowledge_retention(&clients), 0.59375);
        assert_eq!(spatial_knowledge_retention(&[(0.5, 0.0)]), None);
    }
}
