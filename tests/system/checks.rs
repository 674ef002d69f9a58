//! Promise: what can never work is refused before the first round, at the key that says it; what may go wrong in a round
//! does not end the run.

use crate::{catalogue, determinism::run_in, determinism::run_until};
use lyceum_core::Event;
use lyceum_metrics::{EventReader, Status, Summary};
use lyceum_scenarios::Scenario;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// The case krum-too-few: four clients, of which Krum with one wrong one needs five.
const KRUM: &str = r#"[run]
name = "p"
rounds = 3
[data]
set = "digits"
clients = 4
partition = "iid"
[model.softmax]
[training]
batch = 10
rate = 0.1
[selection.all]
[strategy.krum]
byzantine = 1
"#;

/// The same with eight clients of whom a fifth does not answer.
const THIN: [&str; 3] = [
    "data.clients=8",
    "availability.dropout=0.2",
    "run.rounds=40",
];

fn lyceum(folder: &Path, command: &str, text: &str, set: &[&str], more: &[&str]) -> Output {
    fs::write(folder.join("p.toml"), text).unwrap();
    let overrides = set.iter().flat_map(|s| ["--set", s]);
    Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args([command, "p.toml"])
        .args(overrides)
        .args(more)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// What `check` says of a scenario, and its exit code.
fn check(text: &str, set: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = lyceum(folder.path(), "check", text, set, &[]);
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code(), told)
}

/// `check` refuses, and so does `run` without leaving anything behind.
fn refused(text: &str, set: &[&str]) -> String {
    let (code, told) = check(text, set);
    assert_eq!(code, Some(2), "{set:?}: {told}");
    let folder = tempfile::tempdir().unwrap();
    let out = lyceum(folder.path(), "run", text, set, &["--quiet"]);
    assert_eq!(out.status.code(), Some(2), "{set:?}");
    assert_eq!(String::from_utf8_lossy(&out.stderr), told);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{set:?}");
    assert!(told.contains('^'), "{told}");
    told
}

fn read(text: &str, set: &[&str]) -> Scenario {
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    Scenario::read(&lyceum::registry(), "p.toml", text, &set).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_robust_rule_with_too_few_clients_is_refused_before_the_first_round() {
    let told = refused(KRUM, &[]);
    assert!(told.contains("needs 5 updates, a round has 4"), "{told}");
    assert!(told.contains("--> p.toml:14:13\n"), "{told}");
    let trim = ["strategy={trimmed_mean={trim=0.4}}", "data.clients=2"];
    let told = refused(KRUM, &trim);
    assert!(told.contains("leaves out 1 of 2 updates"), "{told}");
    for (set, key) in [
        (&["strategy.krum={keep=9}", "data.clients=9"][..], "keep"),
        (
            &[
                "selection={uniform={per_round=6}}",
                "data.clients=20",
                "strategy.krum.byzantine=2",
            ],
            "byzantine",
        ),
        // Six times 0.4 are three whole clients at either end; nobody ever stays away.
        (
            &["strategy={trimmed_mean={trim=0.4}}", "data.clients=6"],
            "trim",
        ),
        // Two of four can answer at the most, and three are needed.
        (
            &[
                "strategy.krum.byzantine=0",
                "selection={uniform={per_round=2}}",
                "availability.dropout=0.5",
            ],
            "byzantine",
        ),
    ] {
        let told = refused(KRUM, set);
        assert!(told.contains(key), "{told}");
    }
    for set in [
        &["data.clients=5"][..],
        &["strategy={trimmed_mean={trim=0.4}}", "data.clients=5"],
        &[
            "strategy={trimmed_mean={trim=0.4}}",
            "data.clients=6",
            "availability.dropout=0.1",
        ],
        &["strategy=\"median\"", "data.clients=1"],
    ] {
        let (code, told) = check(KRUM, set);
        assert_eq!(code, Some(0), "{set:?}: {told}");
    }
}

/// Rounds that were skipped.
fn skipped(folder: &Path) -> Vec<u64> {
    let events = EventReader::open(&folder.join("events.jsonl")).unwrap();
    let skipped = |event: Result<Event, _>| match event.unwrap() {
        Event::RoundSkipped { round, .. } => Some(round.0),
        _ => None,
    };
    events.filter_map(skipped).collect()
}

#[test]
fn a_round_with_too_few_answers_leaves_the_model_as_it_is_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let scenario = read(KRUM, &THIN);
    let whole = run_in(&at("whole"), &scenario, 2, false);
    assert_eq!((whole.status, whole.rounds), (Status::Finished, 40));
    let thin = skipped(&at("whole"));
    // Fewer than five of eight answer with probability 0.056; four of these forty rounds are thin.
    assert!(thin.contains(&0) && thin.len() < 10, "{thin:?}");
    let again = run_in(&at("again"), &scenario, 1, false);
    assert_eq!(whole.fingerprint, again.fingerprint);
    run_until(&at("parts"), &scenario, 2, false, thin[thin.len() - 1]);
    let parts = run_in(&at("parts"), &scenario, 2, true);
    assert_eq!(whole.fingerprint, parts.fingerprint);
    assert_eq!(skipped(&at("parts")), thin);
}

#[test]
fn thin_rounds_are_skipped_on_nodes_as_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let set = [&THIN[..2], &["run.rounds=5"]].concat();
    let alone = run_in(&folder.path().join("alone"), &read(KRUM, &set), 2, false);
    assert!(!skipped(&folder.path().join("alone")).is_empty());
    let more = ["--quiet", "--nodes", "2", "--out", "nodes"];
    let out = lyceum(folder.path(), "run", KRUM, &set, &more);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let nodes = Summary::read(&folder.path().join("nodes/summary.json")).unwrap();
    assert_eq!(nodes.fingerprint, alone.fingerprint);
}

#[test]
fn what_never_happens_is_refused_where_it_is_said() {
    let tasks = |more: &str| format!("scenario.class_incremental={{tasks=5{more}}}");
    let gate = |keys: &str| tasks(&format!(",gate={{replace={{{keys}}}}}"));
    let (five, held) = (tasks(""), "data.validation=0.2");
    let long = tasks(",arrival={rounds_per_task=3}");
    let (slow, never) = (gate("min_rounds=3"), gate("threshold=1.0,patience=9"));
    for (set, told) in [
        (
            &["strategy=fed_avg", &*five][..],
            "task 3 of the stream never comes",
        ),
        (
            &["strategy=fed_avg", "run.rounds=10", &*long],
            "it would come in round 12",
        ),
        (
            &["strategy=fed_avg", "run.rounds=10", held, &*slow],
            "only 4 of 5 tasks",
        ),
        (
            &["strategy=fed_avg", "run.rounds=20", held, &*never],
            "only 3 of 5 tasks",
        ),
        (
            &[
                "strategy=fed_avg",
                "timeline=[{round=3,drop_clients={count=1}}]",
            ],
            "after the end of the run",
        ),
        (
            &[
                "strategy=fed_avg",
                "run.rounds=5",
                &*five,
                "timeline=[{round=2,hold_stream=2}]",
            ],
            "never comes",
        ),
        (
            &["strategy=fed_avg", "data.validation=0.0001"],
            "training samples are none",
        ),
        (
            &["strategy=fed_avg", "evaluation.clients_every=4"],
            "never be judged",
        ),
        (
            &["strategy=fed_avg", "evaluation.ahead=false"],
            "only in a stream",
        ),
        (
            &[
                "strategy=fed_avg",
                "deadline={close={after_s=1,min_clients=5}}",
            ],
            "5 clients never answer",
        ),
        (
            &[
                "strategy=fed_avg",
                "deadline={close={after_s=1,enough_clients=9}}",
            ],
            "9 clients never answer",
        ),
    ] {
        let shown = refused(KRUM, set);
        assert!(shown.contains(told), "{shown}");
    }
}

#[test]
fn a_run_that_starts_from_no_file_is_refused() {
    let set = ["strategy=fed_avg", "run.start_from=nowhere.safetensors"];
    let (code, told) = check(KRUM, &set);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("nowhere.safetensors:1:16"), "{told}");
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.safetensors");
    for (bytes, why) in [
        (
            &b"\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            "does not begin with the length of a header",
        ),
        (b"short", "shorter than it says"),
        (b"\x02\0\0\0\0\0\0\0{}", "the tensor `"),
    ] {
        fs::write(&broken, bytes).unwrap();
        let start = format!("run.start_from={}", broken.display());
        let (code, told) = check(KRUM, &["strategy=fed_avg", &start]);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn an_entry_of_the_timeline_is_refused_at_its_own_line() {
    let text = format!(
        "{KRUM}[[timeline]]\nround = 1\nadd_clients = 1\n[[timeline]]\nround = 7\nadd_clients = 1\n"
    );
    let told = refused(&text, &["data.clients=9"]);
    assert!(told.contains("--> p.toml:19:9\n"), "{told}");
}

#[test]
fn what_comes_to_little_is_a_warning() {
    for (set, told) in [
        (
            &[
                "strategy=fed_avg",
                "selection={uniform={per_round=3}}",
                "timeline=[{round=1,drop_clients={count=2}}]",
            ][..],
            "from round 1 on there are 2 clients, and selection.uniform wants 3 a round",
        ),
        (
            &[
                "strategy=fed_avg",
                "timeline=[{round=1,drop_clients={share=1.0}}]",
            ],
            "from round 1 on no client is there",
        ),
        (
            &[
                "strategy=fed_avg",
                "timeline=[{round=2,drop_clients={count=4}}]",
            ],
            "from round 2 on no client is there",
        ),
        (
            &["strategy=fed_avg", "availability.dropout=1"],
            "no client ever answers",
        ),
        (
            &["data.clients=6", "availability.dropout=0.5"],
            "leave the model as it is",
        ),
        (
            &[
                "data.clients=6",
                "timeline=[{round=2,drop_clients={count=3}}]",
            ],
            "from round 2 on 3 clients answer a round",
        ),
        (
            &[
                "strategy=fed_avg",
                "timeline=[{round=1,silence={share=1.0,rounds=9}}]",
            ],
            "from round 1 to 2 every client is silent",
        ),
        (
            &[
                "strategy=fed_avg",
                "scenario={class_incremental={tasks=2,method={gdumb={memory=3}}}}",
            ],
            "the buffer of scenario.class_incremental.method.gdumb holds 3 samples a client, fewer than the 10 classes",
        ),
    ] {
        let (code, shown) = check(KRUM, set);
        assert_eq!(code, Some(0), "{shown}");
        assert!(
            shown.starts_with("warning: ") && shown.contains(told),
            "{shown}"
        );
    }
    let catalogue = catalogue::folder().join("timeline-digits.toml");
    let (code, shown) = check(&fs::read_to_string(catalogue).unwrap(), &[]);
    assert_eq!((code, shown.as_str()), (Some(0), ""));
}
