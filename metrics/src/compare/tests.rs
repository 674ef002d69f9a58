use super::*;
use crate::statistics::{interval, paired};
use crate::summary::Status;
use crate::{Conditions, Summary, SummaryBuilder};

fn run(label: &str, seed: u64, accuracy: f64) -> Labelled {
    let summary = Summary {
        seed,
        status: Status::Finished,
        final_accuracy: Some(accuracy),
        mean_last_10_accuracy: Some(accuracy - 0.01),
        mean_last_10_evaluations: 10,
        best_accuracy: None,
        ..SummaryBuilder::new().summary(Conditions::default())
    };
    Labelled {
        label: label.to_owned(),
        ..Labelled::named(summary)
    }
}

fn against(baseline: &str, runs: &[Labelled]) -> Comparison {
    let pair = |run: &Labelled| (run.label.clone(), baseline.to_owned());
    compare(runs, &runs.iter().map(pair).collect())
}

fn three_groups() -> Comparison {
    let mut paused = run("prox", 4, 0.9);
    if let Ok(summary) = &mut paused.outcome {
        summary.status = Status::Paused;
        (summary.rounds, summary.rounds_planned) = (5, 9);
    }
    paused.folder = Some("runs/prox-seed4".into());
    let runs = [
        run("avg", 1, 0.50),
        run("avg", 2, 0.60),
        run("prox", 2, 0.63),
        run("prox", 1, 0.51),
        paused,
        run("one|run", 1, 0.25),
    ];
    against("avg", &runs)
}

#[test]
fn differences_are_paired_by_seed() {
    let comparison = three_groups();
    let [avg, prox, one] = &comparison.rows[..] else {
        panic!("three groups");
    };
    assert_eq!((avg.runs, &avg.baseline), (2, &None));
    assert_eq!(avg.differences, [None, None]);
    assert_eq!(avg.values[0], interval(&[0.5, 0.6]));
    assert_eq!((prox.runs, prox.values[0]), (2, interval(&[0.63, 0.51])));
    assert_eq!(prox.baseline.as_deref(), Some("avg"));
    assert_eq!(prox.differences[0], paired(&[0.51, 0.63], &[0.5, 0.6]));
    assert_eq!(one.differences[0].unwrap().n, 1);
    assert_eq!(comparison.measures.len(), 2, "nobody has a best accuracy");
}

#[test]
fn the_text_is_aligned() {
    let expected = "\
left out: prox, seed 4 (runs/prox-seed4): paused after 5 of 9 rounds

group    runs        final %  mean last 10 evaluations %                  Δ final  Δ mean last 10 evaluations
avg         2  55.00 ± 63.53               54.00 ± 63.53                        -                           -
prox        2  57.00 ± 76.24               56.00 ± 76.24  +2.00 ± 12.71 (p 0.590)     +2.00 ± 12.71 (p 0.590)
one|run     1          25.00                       24.00                   -25.00                      -25.00

Δ: difference from avg, paired by seed
±: half of the 95 % interval
p: of the paired t test, corrected for 2 differences (Holm)
one|run: not paired with avg: seed 2
";
    assert_eq!(three_groups().to_string(), expected);
}

#[test]
fn markdown_has_the_same_cells() {
    let text = three_groups().to_markdown();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "* left out: prox, seed 4 (runs/prox-seed4): paused after 5 of 9 rounds"
    );
    assert_eq!(lines[3], "| --- | ---: | ---: | ---: | ---: | ---: |");
    assert_eq!(
        lines[6],
        "| one\\|run | 1 | 25.00 | 24.00 | -25.00 | -25.00 |"
    );
    assert_eq!(lines.len(), 12);
}

#[test]
fn files_hold_every_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = [run("a", 1, 0.5), run("b", 1, 0.75)];
    runs[1].settings = vec![("training.rate".to_owned(), "0.1".to_owned())];
    let comparison = against("a", &runs);
    comparison.write(folder.path(), "sweep").unwrap();
    let text = std::fs::read_to_string(folder.path().join("sweep.csv")).unwrap();
    assert_eq!(text, comparison.to_csv().unwrap());
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with(
            "label,training.rate,runs,baseline,final_accuracy,final_accuracy_half_width,\
             final_accuracy_difference,final_accuracy_difference_half_width,\
             final_accuracy_difference_p_holm,mean_"
        ),
        "{text}"
    );
    assert!(lines[1].starts_with("a,,1,,0.5,,,,,0.49,"), "{text}");
    assert!(
        lines[2].starts_with("b,0.1,1,a,0.75,,0.25,,,0.74,"),
        "{text}"
    );
    for end in ["parquet", "md"] {
        assert!(folder.path().join(format!("sweep.{end}")).exists());
    }
}

#[test]
fn each_group_may_have_a_baseline_of_its_own() {
    let runs = [
        run("rate=1,avg", 1, 0.5),
        run("rate=2,avg", 1, 0.5),
        run("rate=1,prox", 1, 0.6),
        run("rate=2,prox", 1, 0.7),
    ];
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let baselines = [
        pair("rate=1,prox", "rate=1,avg"),
        pair("rate=2,prox", "rate=2,avg"),
    ];
    let text = compare(&runs, &baselines.into()).to_string();
    assert!(text.contains("against"), "{text}");
    let last = text.lines().nth(4).unwrap();
    assert!(last.contains("+20.00"), "{text}");
    assert!(last.ends_with("rate=2,avg"), "{text}");
}

#[test]
fn further_measures_are_columns_where_any_run_has_them() {
    let mut runs = [run("a", 1, 0.5), run("b", 1, 0.5)];
    if let Ok(summary) = &mut runs[1].outcome {
        summary.measures.insert("forgetting".to_owned(), 0.125);
        summary.measures.insert("drift".to_owned(), 2.0);
    }
    let text = compare(&runs, &BTreeMap::new()).to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with("drift  forgetting %"), "{text}");
    assert!(lines[1].ends_with("    -             -"), "{text}");
    assert!(lines[2].ends_with("2.0000         12.50"), "{text}");
}

#[test]
fn a_failed_run_is_told_and_not_counted() {
    let mut runs = [run("a", 1, 0.5), run("a", 2, 0.7)];
    runs[1].outcome = Err("it stopped in round 3".to_owned());
    let comparison = compare(&runs, &BTreeMap::new());
    assert_eq!(comparison.rows[0].runs, 1);
    assert_eq!(
        comparison.left_out,
        ["a, seed 2: failed: it stopped in round 3"]
    );
}

/// Seed 1 lies in two folders; were it counted twice, the mean would be 0.6.
#[test]
fn a_seed_counts_once() {
    let mut runs = [run("avg", 1, 0.5), run("avg", 2, 0.8), run("avg", 1, 0.5)];
    runs[0].folder = Some("runs/a".into());
    runs[2].folder = Some("runs/b".into());
    let comparison = against("avg", &runs);
    assert_eq!(comparison.rows[0].runs, 2);
    assert_eq!(comparison.rows[0].values[0], interval(&[0.5, 0.8]));
    assert_eq!(
        comparison.left_out,
        ["avg, seed 1 (runs/b): this seed is there already, in runs/a; the same fingerprint"]
    );
    assert!(compare(&[], &BTreeMap::new()).rows.is_empty());
}

/// A run that stopped has measures of the rounds that it did; they are in no mean.
#[test]
fn a_run_that_stopped_is_in_no_number() {
    let mut stalled = run("avg", 2, 0.1);
    if let Ok(summary) = &mut stalled.outcome {
        summary.status = Status::Stalled;
        (summary.rounds, summary.rounds_planned) = (3, 9);
    }
    let comparison = against("avg", &[run("avg", 1, 0.5), stalled, run("avg", 2, 0.7)]);
    assert_eq!(comparison.rows[0].values[0], interval(&[0.5, 0.7]));
    let said = &comparison.left_out[..];
    assert_eq!(said, ["avg, seed 2: stalled after 3 of 9 rounds"]);
}

/// Four differences: the p-values of the table are Holm's of all of them, whatever the measure.
#[test]
fn p_values_are_corrected_for_all_differences_of_the_table() {
    let mut runs = Vec::new();
    for (seed, noise) in (1..).zip([0.00, 0.01, 0.03, 0.02]) {
        runs.push(run("avg", seed, 0.5));
        runs.push(run("prox", seed, 0.6 + noise));
        runs.push(run("nova", seed, 0.49 + noise));
    }
    let comparison = against("avg", &runs);
    let raw: Vec<f64> = comparison
        .rows
        .iter()
        .flat_map(|row| &row.differences)
        .filter_map(|cell| p_value(cell.as_ref()?))
        .collect();
    let given: Vec<f64> = comparison
        .rows
        .iter()
        .flat_map(|row| row.p_values.iter().flatten().copied())
        .collect();
    assert_eq!(raw.len(), 4);
    assert_eq!(given, holm(&raw));
    let one = against("avg", &runs[..1]);
    assert!(
        one.rows
            .iter()
            .all(|row| row.p_values.iter().all(Option::is_none))
    );
}

#[test]
fn why_a_measure_is_missing_is_said_once_a_group() {
    let mut runs = [run("a", 1, 0.5), run("a", 2, 0.6)];
    for run in &mut runs {
        if let Ok(summary) = &mut run.outcome {
            summary.unmeasured = vec!["forgetting is not measured: why".into()];
        }
    }
    let comparison = compare(&runs, &BTreeMap::new());
    assert_eq!(comparison.notes, ["a: forgetting is not measured: why"]);
}
