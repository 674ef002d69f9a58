//! All measures of a matrix under their names.

use super::lean_agent::{LeanAgent, published, standard};
use super::{
    AccuracyMatrix, Scale, backward_transfer, final_average_accuracy, first_task,
    forgetting_just_learned, forgetting_max, forward_transfer, intransigence, learning_accuracy,
    mean_of_curve, plasticity_difference, plasticity_ratio, temporal_knowledge_retention,
};

/// A measure's name and value.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// As `docs/METRICS.md` has it.
    pub name: String,
    /// `None` where an entry that it needs was not measured.
    pub value: Option<f64>,
}

/// What is known of each task besides the matrix, in the order of the tasks. A list may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskValues {
    /// V: the validation value right after the task was learned.
    pub validation: Vec<Option<f64>>,
    /// The value of a learner trained on this task alone.
    pub expert: Vec<Option<f64>>,
    /// The value of a learner trained jointly on all tasks up to this one.
    pub joint: Vec<Option<f64>>,
}

/// Every measure of a matrix, in the order of a table. `window` is that of WF and WP.
pub fn measures(matrix: &AccuracyMatrix, tasks: &TaskValues, window: usize) -> Vec<Measure> {
    let first = first_task(matrix);
    let shares = matrix.scale() == Scale::Shares;
    let joint = of_scale(matrix, &tasks.joint);
    let expert = of_scale(matrix, &tasks.expert);
    let plain = [
        ("final_average_accuracy", final_average_accuracy(matrix)),
        ("mean_of_curve", mean_of_curve(matrix)),
        ("learning_accuracy", learning_accuracy(matrix)),
        ("forgetting_max", forgetting_max(matrix)),
        ("forgetting_just_learned", forgetting_just_learned(matrix)),
        ("backward_transfer", backward_transfer(matrix)),
        ("forward_transfer", forward_transfer(matrix)),
        (
            "temporal_knowledge_retention",
            temporal_knowledge_retention(matrix),
        ),
        ("intransigence", intransigence(matrix, joint)),
        ("plasticity_ratio", plasticity_ratio(matrix, expert)),
        (
            "plasticity_difference",
            plasticity_difference(matrix, expert),
        ),
        ("alpha", first.map(|first| first.alpha)),
        ("beta", first.map(|first| first.beta)),
        ("f", first.filter(|_| shares).map(|first| first.f)),
    ];
    let mut all: Vec<Measure> = plain
        .into_iter()
        .map(|(name, value)| named(name.to_owned(), value))
        .collect();
    let published = published(matrix, &tasks.validation, window);
    all.extend(lean_agent("published", &published, window));
    let standard = standard(matrix, &tasks.validation, window);
    all.extend(lean_agent("standard", &standard, window));
    all
}

/// Values to compare a matrix with; none where they are not in its unit.
fn of_scale<'a>(matrix: &AccuracyMatrix, values: &'a [Option<f64>]) -> &'a [Option<f64>] {
    match Scale::of(values.iter()) {
        Some(scale) if scale != matrix.scale() => &[],
        _ => values,
    }
}

/// Which measures are left out because of the unit of the values, as sentences.
pub fn out_of_scale(matrix: &AccuracyMatrix, tasks: &TaskValues) -> Vec<String> {
    let f = (matrix.scale() == Scale::Beyond).then_some(
        "f is for shares from 0 to 1: in percent it means nothing, and some value here is beyond 1",
    );
    let other = |values: &[Option<f64>]| {
        Scale::of(values.iter()).is_some_and(|scale| scale != matrix.scale())
    };
    let joint = other(&tasks.joint).then_some(
        "intransigence needs joint values in the unit of the matrix: one of both is in shares, the other is not",
    );
    let expert = other(&tasks.expert).then_some(
        "plasticity needs experts' values in the unit of the matrix: one of both is in shares, the other is not",
    );
    [f, joint, expert]
        .into_iter()
        .flatten()
        .map(String::from)
        .collect()
}

fn lean_agent(form: &str, measures: &LeanAgent, window: usize) -> [Measure; 6] {
    [
        (format!("wf{window}_{form}"), measures.wf),
        (format!("fm_{form}"), measures.fm),
        (format!("cfr_{form}"), measures.cfr),
        (format!("ebwt_{form}"), measures.ebwt),
        (format!("wp{window}_{form}"), measures.wp),
        (format!("ip_{form}"), measures.ip),
    ]
    .map(|(name, value)| named(name, value))
}

fn named(name: String, value: Option<f64>) -> Measure {
    Measure { name, value }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Equal to nine decimals, the accuracy to which formulas are checked.
    #[track_caller]
    pub(crate) fn close(found: Option<f64>, expected: f64) {
        let found = found.expect("a value");
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    /// R = [0.8 0.1 0.2; 0.6 0.9 0.3; 0.7 0.5 0.7], before any training 0.15 0.05 0.1.
    pub(crate) fn three_tasks() -> AccuracyMatrix {
        let rows = [[0.8, 0.1, 0.2], [0.6, 0.9, 0.3], [0.7, 0.5, 0.7]];
        let rows = rows.map(|row| row.map(Some).to_vec()).to_vec();
        AccuracyMatrix::from_rows(rows)
            .and_then(|matrix| matrix.with_before([0.15, 0.05, 0.1].map(Some).to_vec()))
            .expect("three rows of three")
    }

    /// The same matrix in percent: what is linear or a ratio goes along, F does not, and experts must be in percent, too.
    #[test]
    fn in_percent_f_means_nothing_and_references_must_be_in_percent() {
        let rows = [[80.0, 10.0, 20.0], [60.0, 90.0, 30.0], [70.0, 50.0, 70.0]];
        let rows = rows.map(|row| row.map(Some).to_vec()).to_vec();
        let percent = AccuracyMatrix::from_rows(rows).unwrap();
        let of = |matrix: &AccuracyMatrix, expert: f64, name: &str| {
            let values = TaskValues {
                expert: vec![Some(expert); 3],
                ..TaskValues::default()
            };
            let all = measures(matrix, &values, 2);
            all.iter().find(|m| m.name == name).unwrap().value
        };
        close(of(&percent, 80.0, "forgetting_max"), 25.0);
        close(of(&percent, 80.0, "plasticity_ratio"), 1.0);
        assert_eq!(of(&percent, 80.0, "f"), None);
        assert_eq!(of(&percent, 0.8, "plasticity_ratio"), None);
        assert_eq!(of(&three_tasks(), 80.0, "plasticity_difference"), None);
        close(of(&three_tasks(), 0.8, "plasticity_ratio"), 1.0);
        let nothing = TaskValues::default();
        assert_eq!(out_of_scale(&percent, &nothing).len(), 1);
        assert!(out_of_scale(&three_tasks(), &nothing).is_empty());
    }

    #[test]
    fn every_measure_has_a_name_of_its_own_and_may_be_missing() {
        let all = measures(&AccuracyMatrix::new(3), &TaskValues::default(), 2);
        let mut names: Vec<_> = all.iter().map(|measure| measure.name.as_str()).collect();
        assert!(names.contains(&"wf2_standard"));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 26);
        assert!(all.iter().all(|measure| measure.value.is_none()));
    }
}
