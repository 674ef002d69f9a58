//! Promise: a choice whose keys all have defaults may be a plain word, everywhere; and what is wrong in a scenario, in
//! settings or in arguments is told without a name of the code.

use crate::schema::jargon;
use lyceum_scenarios::{Scenario, Sweep};
use std::{fs, process::Command};

const GOOD: &str = r#"[run]
name = "good"
rounds = 6

[data]
set = "digits"
clients = 10
partition = "iid"

[model]
softmax = {}

[training]
rate = 0.1

[selection.uniform]
per_round = 4

[strategy.fed_avg]
"#;

/// A good scenario with a stream of tasks.
const STREAM: &str = "[scenario.class_incremental]\ntasks = 2\n";

fn read(text: &str, set: &[&str]) -> Result<Scenario, String> {
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    Scenario::read(&lyceum::registry(), "good.toml", text, &set).map_err(|e| e.to_string())
}

#[test]
fn a_word_is_the_table_with_its_defaults() {
    let gate = "data.validation=0.2";
    for (word, table) in [
        ("strategy=\"scaffold\"", "strategy.scaffold={}"),
        ("strategy=\"median\"", "strategy.median={}"),
        ("training.optimizer=\"adam\"", "training.optimizer.adam={}"),
        ("training.optimizer=\"sgd\"", "training.optimizer.sgd={}"),
        (
            "training.schedule=\"cosine\"",
            "training.schedule.cosine={}",
        ),
        (
            "training.schedule=\"constant\"",
            "training.schedule.constant={}",
        ),
        ("ordering.pace=\"all\"", "ordering.pace.all={}"),
        ("ordering.pace=\"linear\"", "ordering.pace.linear={}"),
        ("ordering.pace=\"cyclical\"", "ordering.pace.cyclical={}"),
        ("model=\"softmax\"", "model.softmax={}"),
        (
            "data.partition={by_difficulty={order=\"easy-first\"}}",
            "data.partition={by_difficulty={order=\"inc\"}}",
        ),
        (
            "data.partition={by_difficulty={order=\"hard-first\"}}",
            "data.partition={by_difficulty={order=\"dec\"}}",
        ),
        (
            "data.partition={by_difficulty={order=\"random\"}}",
            "data.partition={by_difficulty={order=\"rand\"}}",
        ),
        ("data.set=\"mixture\"", "data.set.mixture={}"),
        ("data.partition=\"iid\"", "data.partition.iid={}"),
        ("selection=\"all\"", "selection.all={}"),
        ("deadline=\"wait\"", "deadline.wait={}"),
        (
            "model.cnn.layers=[\"relu\"]",
            "model.cnn.layers=[{relu={}}]",
        ),
        (
            "scenario.class_incremental.method=\"naive\"",
            "scenario.class_incremental.method.naive={}",
        ),
        (
            "scenario.class_incremental.order=\"seeded\"",
            "scenario.class_incremental.order.seeded={}",
        ),
        (
            "scenario.class_incremental.gate=\"replace\"",
            "scenario.class_incremental.gate.replace={}",
        ),
        (
            "scenario={domain_incremental={tasks=2,shift=\"permuted\"}}",
            "scenario={domain_incremental={tasks=2,shift={permuted={}}}}",
        ),
    ] {
        let text = match word.starts_with("scenario.") {
            true => format!("{GOOD}{STREAM}"),
            false => GOOD.to_owned(),
        };
        let [word, table] = [word, table].map(|set| read(&text, &[gate, set]));
        let word = word.unwrap_or_else(|e| panic!("{e}"));
        let table = table.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(word.resolved(), table.resolved());
    }
}

#[test]
fn a_word_that_needs_keys_says_which() {
    for (set, needs) in [
        ("strategy=fed_prox", "`fed_prox` needs the key `mu`"),
        ("training.schedule=step", "`step` needs the key `every`"),
        ("deadline=close", "`close` needs the key `after_s`"),
        ("selection=uniform", "`uniform` needs the key `per_round`"),
    ] {
        let told = read(GOOD, &[set]).err().expect("a key is missing");
        assert!(told.contains(needs) && told.contains(" = { "), "{told}");
    }
}

#[test]
fn a_list_is_no_table() {
    for (set, told) in [
        ("strategy.fed_prox=[0.1]", "`fed_prox` is a list"),
        ("training=[0.1]", "`training` is a list"),
        ("training.step_decay=[1.0, 0.5]", "`step_decay` is a list"),
        ("selection.uniform=[4]", "`uniform` is a list"),
        ("evaluation=[1]", "`evaluation` is a list"),
        (
            "timeline=[{round=1,drop_clients=[0.1]}]",
            "`drop_clients` is a list",
        ),
        ("timeline=[[3]]", "a value in `timeline` is a list"),
        ("ordering.pace.linear=[0.1, 0.2]", "`linear` is a list"),
    ] {
        let shown = read(GOOD, &[set]).err().expect("lists are no tables");
        assert!(shown.contains(told), "{shown}");
        assert!(shown.contains("expected a table"), "{shown}");
        assert_eq!(jargon(&shown), None, "{shown}");
    }
}

/// What an entry of the timeline changes is judged where the entry says it.
#[test]
fn what_an_entry_changes_is_refused_at_its_own_value() {
    for (key, value, told) in [
        ("training.rate", "\"fast\"", "`rate` is a string"),
        ("training.rate", "-1", "-1 is out of range"),
        (
            "training.optimizer",
            "\"adamax\"",
            "unknown choice `adamax`",
        ),
        ("training.optimizer", "[1]", "`optimizer` is a list"),
        (
            "selection.uniform.per_round",
            "99",
            "more clients per round",
        ),
        ("model.softmax", "1", "cannot change during a run"),
        ("training.rate", "2024-01-01", "is a date"),
    ] {
        let line = format!("set = {{ \"{key}\" = ");
        let text = format!("{GOOD}[[timeline]]\nround = 2\n{line}{value} }}\n");
        let shown = read(&text, &[]).err().expect("a wrong value");
        assert!(shown.contains(told), "{shown}");
        let lines = text.lines().count();
        let at = format!("--> good.toml:{lines}:{}\n", line.len() + 1);
        assert!(shown.contains(&at), "{at}{shown}");
        assert_eq!(jargon(&shown), None, "{shown}");
    }
}

#[test]
fn a_sweep_is_refused_in_words() {
    for table in [
        "sweep = 3",
        "sweep.seeds = true",
        "sweep.seeds = [0.5]",
        "sweep.seeds = [\"x\"]",
        "sweep.seeds = [[1]]",
        "sweep.seeds = { a = 1 }",
        "sweep.seeds = 2024-01-01",
        "sweep.baseline = 3",
        "sweep.baseline = [\"a\"]",
        "sweep.over = [1]",
        "sweep.over.training.rate = 0.1",
        "sweep.over.training.rate = [\"x\"]",
        "sweep.over.training.rate = [[0.1]]",
        "sweep.over.strategy = [3]",
        "sweep.over.strategy = [\"fed_prox\"]",
        "sweep.over.model.cnn = [[1]]",
        "sweep.point = { label = \"a\" }",
        "sweep.point = [1]",
        "sweep.point = [{ label = 3 }]",
        "sweep.point = [{ label = \"a\", set = [1] }]",
        "sweep.point = [{ label = \"a\", set = { training = 3 } }]",
        "sweep.point = [{ label = \"a\", set = { training.rate = true } }]",
    ] {
        let text = format!("{table}\n{GOOD}");
        let sweep = Sweep::read(&lyceum::registry(), "good.toml", &text, &[], None);
        let shown = sweep.err().expect(table).to_string();
        assert!(shown.contains("--> good.toml:1:"), "{shown}");
        assert!(shown.contains('^'), "{shown}");
        let words: Vec<&str> = shown
            .lines()
            .filter(|line| !line.starts_with('1'))
            .collect();
        assert_eq!(
            jargon(&words.join("\n").replace("good.toml", "")),
            None,
            "{shown}"
        );
    }
}

/// Standard error of the command in a folder with a good scenario.
fn refused(settings: &str, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.toml"), GOOD).unwrap();
    if !settings.is_empty() {
        fs::write(folder.path().join("lyceum.toml"), settings).unwrap();
    }
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{told}");
    told
}

#[test]
fn settings_are_refused_in_words_where_they_stand() {
    let wrong = [
        "\"x\"",
        "-1",
        "1.5",
        "true",
        "[1]",
        "{ a = 1 }",
        "2024-01-01",
    ];
    for key in [
        "threads",
        "cache_mib",
        "transport.idle_s",
        "transport.stream_window",
    ] {
        for value in wrong {
            let line = format!("{key} = ");
            let told = refused(&format!("{line}{value}\n"), &[], &["check", "good.toml"]);
            assert!(
                told.contains(&format!("--> lyceum.toml:1:{}", line.len() + 1)),
                "{told}"
            );
            assert_eq!(jargon(&told.replace("lyceum.toml", "")), None, "{told}");
        }
        let name = format!("LYCEUM__{}", key.to_uppercase().replace('.', "__"));
        let told = refused("", &[(&name, "many")], &["check", "good.toml"]);
        assert!(told.contains(&format!("--> {name}:1:")), "{told}");
        assert_eq!(jargon(&told), None, "{told}");
    }
    for (settings, told) in [
        ("treads = 2", "unknown key `treads`"),
        ("transport = 3", "`transport` is 3"),
        ("transport.congestion = \"fast\"", "unknown choice `fast`"),
        ("data = 3", "`data` is 3"),
        ("heartbeat_s = \"x\"", "`heartbeat_s` is a string"),
    ] {
        let shown = refused(settings, &[], &["check", "good.toml"]);
        assert!(shown.contains(told), "{shown}");
    }
}

#[test]
fn arguments_are_refused_in_words() {
    for arguments in [
        &["run", "good.toml", "--threads", "many"][..],
        &["run", "good.toml", "--nodes", "0"],
        &["run", "good.toml", "--nodes", "1.5"],
        &["run", "good.toml", "--jobs", "99999999999"],
        &["run", "good.toml", "--checkpoint-every", "soon"],
        &["run", "good.toml", "--seeds", "x"],
        &["bench", "--runs", "0"],
        &["bench", "W99"],
        &["simulate", "good.toml", "--worlds", "-1"],
        &["coordinator", "good.toml", "--listen", "here"],
        &["coordinator", "good.toml", "--log", "loud"],
        &["identity", "token", "node", "--uses", "0"],
        &["identity", "token", "node", "--hours", "x"],
        &["identity", "node", "a", "--days", "0"],
    ] {
        let told = refused("", &[], arguments);
        let told: Vec<&str> = told.lines().filter(|l| !l.contains("Usage")).collect();
        let told = told
            .join("\n")
            .replace("invalid value", "")
            .replace("2001:db8::7", "");
        assert_eq!(jargon(&told), None, "{told}");
        for phrase in [
            "digit found",
            "literal",
            "non-zero",
            "..=",
            "target type",
            "parsing",
        ] {
            assert!(!told.contains(phrase), "{told}");
        }
    }
}

/// A seed is a whole number that TOML can hold, since the resolved scenario is TOML.
#[test]
fn a_number_beyond_toml_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for number in ["9223372036854775808", "18446744073709551615"] {
        let set = format!("run.seed={number}");
        let quickstart = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../scenarios/catalogue/quickstart.toml"
        );
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
            .args(["check", quickstart, "--set", &set])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains("up to 9223372036854775807"), "{text}");
    }
}

/// A folder whose log is lost still holds a run: nothing is written over it.
#[test]
fn a_run_without_its_log_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let quickstart = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../scenarios/catalogue/quickstart.toml"
    );
    let run = |more: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
            .args([
                "run",
                quickstart,
                "--quiet",
                "--out",
                "here",
                "--set",
                "run.rounds=3",
            ])
            .args(more)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    assert_eq!(run(&[]).status.code(), Some(0));
    let summary = || std::fs::read(folder.path().join("here/summary.json")).unwrap();
    let before = summary();
    std::fs::remove_file(folder.path().join("here/events.jsonl")).unwrap();
    let out = run(&["--set", "run.seed=99"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("holds a run already"));
    assert_eq!(summary(), before);
}
