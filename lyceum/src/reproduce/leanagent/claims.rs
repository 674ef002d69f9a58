//! Claims of the paper, and what the reference gives, beside what was found.

use super::{
    Found,
    setups::{BY_SIZE, CURRICULUM, MERGED, SETUPS, WITH_EWC, of_the_table},
};
use lyceum_metrics::{continual::lean_agent::LeanAgent, interval};

/// Shares in points.
const POINTS: f64 = 100.0;

/// The measures by place, with what makes them points.
const MEASURES: [(&str, f64); 6] = [
    ("WF5", POINTS),
    ("FM", POINTS),
    ("CFR", 1.0),
    ("EBWT", POINTS),
    ("WP5", POINTS),
    ("IP", POINTS),
];

/// What is claimed: the first set-up is better in a measure than the second.
struct Claim {
    text: &'static str,
    better: &'static str,
    other: &'static str,
    measure: usize,
    /// Whether less is better.
    less: bool,
}

const fn claim(
    text: &'static str,
    (better, other): (&'static str, &'static str),
    measure: usize,
    less: bool,
) -> Claim {
    Claim {
        text,
        better,
        other,
        measure,
        less,
    }
}

const BY_CURRICULUM: (&str, &str) = (CURRICULUM, BY_SIZE);
const BY_TASK: (&str, &str) = (CURRICULUM, MERGED);
const WITHOUT_EWC: (&str, &str) = (CURRICULUM, WITH_EWC);

const CLAIMS: [Claim; 10] = [
    claim(
        "curriculum: less windowed forgetting",
        BY_CURRICULUM,
        0,
        true,
    ),
    claim("curriculum: less forgetting", BY_CURRICULUM, 1, true),
    claim(
        "curriculum: more backward transfer",
        BY_CURRICULUM,
        3,
        false,
    ),
    claim(
        "curriculum: more windowed plasticity",
        BY_CURRICULUM,
        4,
        false,
    ),
    claim("curriculum: more plasticity", BY_CURRICULUM, 5, false),
    claim(
        "task by task: less forgetting than merged",
        BY_TASK,
        1,
        true,
    ),
    claim(
        "task by task: more backward transfer than merged",
        BY_TASK,
        3,
        false,
    ),
    claim(
        "task by task: more plasticity than merged",
        BY_TASK,
        5,
        false,
    ),
    claim("EWC forgets more", WITHOUT_EWC, 1, true),
    claim("EWC: less backward transfer", WITHOUT_EWC, 3, false),
];

fn of(measures: &LeanAgent, at: usize) -> Option<f64> {
    let LeanAgent {
        wf,
        fm,
        cfr,
        ebwt,
        wp,
        ip,
    } = *measures;
    [wf, fm, cfr, ebwt, wp, ip][at]
}

/// The lines of a set-up, by its name.
pub(super) type Runs = [(&'static str, Vec<Found>)];

fn runs<'a>(all: &'a Runs, name: &str) -> &'a [Found] {
    let found = all.iter().find(|(own, _)| *own == name);
    found.map_or(&[], |(_, found)| found)
}

/// Whether a difference is above 0, by its interval.
fn verdict(differences: &[f64]) -> &'static str {
    let Some(found) = interval(differences) else {
        return "not run";
    };
    let half = found.half_width.unwrap_or(f64::INFINITY);
    match found.mean {
        mean if mean - half > 0.0 => "holds",
        mean if mean + half < 0.0 => "does not hold",
        _ => "not decided",
    }
}

/// A mean with its 95 % interval.
pub(super) fn shown(values: &[f64], unit: f64, digits: usize) -> String {
    let Some(found) = interval(values) else {
        return "-".into();
    };
    let mean = unit * found.mean;
    match found.half_width {
        Some(half) => format!("{mean:.digits$} ± {:.digits$}", unit * half),
        None => format!("{mean:.digits$}"),
    }
}

/// The table of claims: what is claimed of two set-ups, both forms.
pub(super) fn claims(all: &Runs) -> Vec<Vec<String>> {
    let head = [
        "claim",
        "published",
        "as published, ours",
        "verdict",
        "standard, ours",
        "verdict",
    ];
    let mut lines = vec![head.map(String::from).to_vec()];
    for claim in &CLAIMS {
        let unit = MEASURES[claim.measure].1;
        let (better, other) = (runs(all, claim.better), runs(all, claim.other));
        let apart = |form: fn(&Found) -> &LeanAgent| -> Vec<f64> {
            let pairs = better.iter().zip(other);
            let difference = |(better, other): (&Found, &Found)| {
                let (better, other) = (
                    of(form(better), claim.measure)?,
                    of(form(other), claim.measure)?,
                );
                Some(if claim.less {
                    other - better
                } else {
                    better - other
                })
            };
            pairs.filter_map(difference).collect()
        };
        let in_table = |name: &str| {
            let setup = SETUPS.iter().find(|setup| setup.name == name)?;
            Some(of_the_table(setup.published?)?[claim.measure])
        };
        let published = in_table(claim.better).zip(in_table(claim.other));
        let published = published.map_or("-".into(), |(a, b)| format!("{a:.2} against {b:.2}"));
        let forms = [
            apart(|found| &found.published),
            apart(|found| &found.standard),
        ];
        let mut line = vec![claim.text.to_owned(), published];
        for differences in &forms {
            line.push(shown(differences, unit, 2));
            line.push(verdict(differences).to_owned());
        }
        lines.push(line);
    }
    lines
}

/// What the reference gives beside ours.
pub(super) fn references(all: &Runs) -> Vec<Vec<String>> {
    let head = ["set-up", "value", "reference", "within", "ours", "verdict"];
    let mut lines = vec![head.map(String::from).to_vec()];
    for setup in SETUPS {
        for (value, wanted, near) in setup.reference {
            let found: Vec<f64> = runs(all, setup.name)
                .iter()
                .filter_map(|found| found.value(*value))
                .collect();
            let mean = lyceum_metrics::mean(&found);
            let verdict = match mean {
                None => "not run",
                Some(mean) if (mean - wanted).abs() <= *near => "within",
                Some(_) => "OUTSIDE",
            };
            lines.push(vec![
                setup.name.into(),
                value.name().into(),
                format!("{wanted:.3}"),
                format!("{near:.3}"),
                shown(&found, 1.0, 3),
                verdict.into(),
            ]);
        }
    }
    lines
}

/// All set-ups with the six measures in one form, and the composite where it is that of the paper's table.
pub(super) fn measures(
    all: &Runs,
    form: fn(&Found) -> &LeanAgent,
    title: &str,
) -> Vec<Vec<String>> {
    let mut head = vec![title.to_owned(), "end".into(), "just trained".into()];
    head.extend(MEASURES.map(|(name, _)| name.to_owned()));
    head.push("composite of table 4".into());
    let mut lines = vec![head];
    let composites = composites(all, form);
    for (name, found) in all {
        if found.iter().all(|found| form(found).fm.is_none()) {
            continue;
        }
        let values = |of: &dyn Fn(&Found) -> Option<f64>| -> Vec<f64> {
            found.iter().filter_map(of).collect()
        };
        let mut line = vec![(*name).to_owned()];
        for value in [super::setups::Value::End, super::setups::Value::Just] {
            line.push(shown(&values(&|found| found.value(value)), 1.0, 3));
        }
        for (at, (_, unit)) in MEASURES.iter().enumerate() {
            line.push(shown(&values(&|found| of(form(found), at)), *unit, 2));
        }
        let composite = composites.iter().find(|(own, _)| own == name);
        line.push(composite.map_or("-".into(), |(_, score)| format!("{score:.2}")));
        lines.push(line);
    }
    lines
}

/// The composite of the set-ups of the paper's table, of the means over seeds.
fn composites(all: &Runs, form: fn(&Found) -> &LeanAgent) -> Vec<(&'static str, f64)> {
    let named = SETUPS.iter().filter(|setup| setup.published.is_some());
    let names: Vec<&'static str> = named.map(|setup| setup.name).collect();
    let mean = |name: &&'static str| {
        let found = runs(all, name);
        let at = |at: usize| {
            let values: Option<Vec<f64>> = found.iter().map(|f| of(form(f), at)).collect();
            lyceum_metrics::mean(&values?)
        };
        LeanAgent {
            wf: at(0),
            fm: at(1),
            cfr: at(2),
            ebwt: at(3),
            wp: at(4),
            ip: at(5),
        }
    };
    let means: Vec<LeanAgent> = names.iter().map(mean).collect();
    let scores = lyceum_metrics::continual::lean_agent::composites(&means);
    let scores = scores.unwrap_or_default().into_iter();
    names
        .into_iter()
        .zip(scores.map(|composite| composite.score))
        .collect()
}
