//! What is compared: the published set-ups on repositories of Lean, and those of the reference beside the data.

/// What a set-up begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Random weights.
    Cold,
    /// One epoch over the library.
    Library,
}

/// A way to learn the tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) start: Start,
    /// Keys besides those of the catalogue file.
    pub(super) keys: &'static [&'static str],
    /// What the reference gives, and how far from it ours may be.
    pub(super) reference: &'static [(Value, f64, f64)],
    /// Its name in the paper's table 4.
    pub(super) published: Option<&'static str>,
}

/// What is compared with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Mean of R(i, i).
    Just,
    /// Mean of R(N, j).
    End,
    /// Mean of R(N, j) - R(j, j).
    Backward,
    /// Mean of the most since the own training, less R(N, j).
    Forgetting,
}

impl Value {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Just => "just trained",
            Self::End => "end",
            Self::Backward => "backward",
            Self::Forgetting => "FM",
        }
    }
}

/// The curriculum, alone.
pub(super) const CURRICULUM: &str = "single, curriculum";
/// In the place of the paper's popularity, which is not in the data.
pub(super) const BY_SIZE: &str = "single, by size";
pub(super) const WITH_EWC: &str = "single, curriculum, EWC";
pub(super) const MERGED: &str = "merged, curriculum";

const ALONE: &str = "scenario.progressive.begin=\"first\"";
const AFRESH: &str = "training.carry=false";
const REVERSED: &str =
    "scenario.progressive.order={ difficulty = { of = \"given\", first = \"hardest\" } }";
const SHARE: &str =
    "scenario.progressive.order={ difficulty = { of = \"given\", by = \"share-easy\" } }";
const SIZE: &str = "scenario.progressive.order=\"size\"";
const RANDOM: &str = "scenario.progressive.order=\"seeded\"";
const JOINT: &str = "scenario.progressive.method={ joint = {} }";
const ALL_ON: &str = "scenario.progressive.on=\"merged\"";
const EWC: &str = "scenario.progressive.method={ ewc = { lambda = 0.1, fisher = \"batched\", mode = \"online\" } }";
const STRONG_EWC: &str = "scenario.progressive.method={ ewc = { lambda = 1000, fisher = \"batched\", mode = \"online\" } }";
const REPLAY: &str = "scenario.progressive.method={ er = { memory = 2000 } }";
const NOT_BEFORE: &str = "evaluation.before=false";

const fn setup(name: &'static str, start: Start, keys: &'static [&'static str]) -> Setup {
    Setup {
        name,
        start,
        keys,
        reference: &[],
        published: None,
    }
}

const fn of_the_reference(
    name: &'static str,
    start: Start,
    keys: &'static [&'static str],
    reference: &'static [(Value, f64, f64)],
) -> Setup {
    Setup {
        reference,
        ..setup(name, start, keys)
    }
}

const fn of_the_paper(
    name: &'static str,
    keys: &'static [&'static str],
    published: &'static str,
) -> Setup {
    Setup {
        published: Some(published),
        ..setup(name, Start::Library, keys)
    }
}

/// How far a mean may be from the reference.
const NEAR: f64 = 0.015;
/// The same of the forgetting measure.
const NEAR_FM: f64 = 0.010;

pub(super) const SETUPS: &[Setup] = &[
    of_the_reference(
        "alone, cold",
        Start::Cold,
        &[ALONE, AFRESH, NOT_BEFORE],
        &[(Value::Just, 0.369, NEAR)],
    ),
    of_the_reference(
        "alone",
        Start::Library,
        &[ALONE, AFRESH, NOT_BEFORE],
        &[(Value::Just, 0.381, NEAR)],
    ),
    of_the_reference(
        "single, curriculum, cold",
        Start::Cold,
        &[],
        &[
            (Value::End, 0.392, NEAR),
            (Value::Just, 0.380, NEAR),
            (Value::Backward, 0.012, NEAR),
            (Value::Forgetting, 0.018, NEAR_FM),
        ],
    ),
    Setup {
        published: Some("LeanAgent"),
        ..of_the_reference(
            CURRICULUM,
            Start::Library,
            &[],
            &[
                (Value::End, 0.389, NEAR),
                (Value::Just, 0.379, NEAR),
                (Value::Backward, 0.011, NEAR),
                (Value::Forgetting, 0.020, NEAR_FM),
            ],
        )
    },
    of_the_reference(
        "single, reversed",
        Start::Library,
        &[REVERSED],
        &[
            (Value::End, 0.396, NEAR),
            (Value::Just, 0.379, NEAR),
            (Value::Backward, 0.018, NEAR),
            (Value::Forgetting, 0.039, NEAR_FM),
        ],
    ),
    of_the_reference(
        "all at once, cold, 1 epoch",
        Start::Cold,
        &[JOINT, "run.rounds=1", NOT_BEFORE],
        &[(Value::End, 0.392, NEAR)],
    ),
    of_the_reference(
        "all at once, cold, 3 epochs",
        Start::Cold,
        &[JOINT, "run.rounds=3", "evaluation.every=3", NOT_BEFORE],
        &[(Value::End, 0.427, NEAR)],
    ),
    of_the_reference(
        "all at once, 1 epoch",
        Start::Library,
        &[JOINT, "run.rounds=1", NOT_BEFORE],
        &[(Value::End, 0.404, NEAR)],
    ),
    of_the_reference(
        "all at once, 3 epochs",
        Start::Library,
        &[JOINT, "run.rounds=3", "evaluation.every=3", NOT_BEFORE],
        &[(Value::End, 0.427, NEAR)],
    ),
    setup("single, share of easy", Start::Library, &[SHARE]),
    setup("single, random", Start::Library, &[RANDOM]),
    setup("single, curriculum, replay", Start::Library, &[REPLAY]),
    setup(
        "single, curriculum, EWC 1000",
        Start::Library,
        &[STRONG_EWC],
    ),
    of_the_paper(BY_SIZE, &[SIZE], "S1"),
    of_the_paper("single, by size, EWC", &[SIZE, EWC], "S2"),
    of_the_paper(WITH_EWC, &[EWC], "S3"),
    of_the_paper("merged, by size", &[SIZE, ALL_ON], "S4"),
    of_the_paper(MERGED, &[ALL_ON], "S5"),
    of_the_paper("merged, by size, EWC", &[SIZE, ALL_ON, EWC], "S6"),
    of_the_paper("merged, curriculum, EWC", &[ALL_ON, EWC], "S7"),
];

/// The six measures of a set-up as the paper prints them: WF5, FM, CFR, EBWT, WP5, IP.
pub(super) fn of_the_table(published: &str) -> Option<[f64; 6]> {
    Some(match published {
        "LeanAgent" => [0.18, 0.85, 0.88, 1.21, 2.47, 1.02],
        "S1" => [7.60, 6.53, 0.87, 0.51, 0.89, 0.36],
        "S2" => [7.17, 4.04, 0.88, 1.04, 1.47, 0.26],
        "S3" => [0.73, 2.11, 0.85, 0.76, 3.42, 1.06],
        "S4" => [15.83, 10.50, 0.76, -0.20, 0.00, -1.50],
        "S5" => [2.23, 4.06, 0.94, 0.73, 0.09, -0.64],
        "S6" => [13.34, 11.44, 0.75, -1.34, 0.00, -1.71],
        "S7" => [5.82, 3.80, 0.90, -0.39, 0.11, -0.89],
        _ => return None,
    })
}
