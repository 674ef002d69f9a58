//! Promise: bad input gets one readable error with file, line, column and what would be right; exit code 2;
//! no panic and no half-written folder.

use std::{fmt::Write, fs, process::Command};

const GOOD: &str = r#"[run]
name = "good"
rounds = 3

[data]
set = "digits"
clients = 10
[data.partition.iid]

[model.mlp]
hidden = [16]

[training]
rate = 0.1

[selection.uniform]
per_round = 4

[strategy.fed_avg]
"#;

/// What is broken, by replacing one text with another.
const BROKEN: [(&str, &str, &str); 33] = [
    ("rounds is a string", "rounds = 3", "rounds = \"three\""),
    ("rounds is zero", "rounds = 3", "rounds = 0"),
    ("rounds is negative", "rounds = 3", "rounds = -2"),
    ("rounds is missing", "rounds = 3\n", ""),
    ("unknown key in run", "rounds = 3", "rounds = 3\nround = 4"),
    (
        "unknown table",
        "[strategy.fed_avg]",
        "[strategy.fed_avg]\n[stategy]\nx = 1",
    ),
    (
        "run name is a path",
        "name = \"good\"",
        "name = \"../good\"",
    ),
    ("rate is NaN", "rate = 0.1", "rate = nan"),
    ("rate is infinite", "rate = 0.1", "rate = inf"),
    ("rate is negative", "rate = 0.1", "rate = -0.1"),
    ("rate is missing", "rate = 0.1", "batch = 8"),
    (
        "batch is a fraction",
        "rate = 0.1",
        "rate = 0.1\nbatch = 3.5",
    ),
    (
        "unknown engine",
        "rate = 0.1",
        "rate = 0.1\nengine = \"cuda\"",
    ),
    ("unknown loss", "rate = 0.1", "rate = 0.1\nloss = \"hinge\""),
    (
        "momentum of one",
        "rate = 0.1",
        "rate = 0.1\n[training.optimizer.sgd]\nmomentum = 1.0",
    ),
    (
        "unknown optimizer",
        "rate = 0.1",
        "rate = 0.1\n[training.optimizer.lion]",
    ),
    (
        "two strategies",
        "[strategy.fed_avg]",
        "[strategy.fed_avg]\n[strategy.fed_prox]\nmu = 0.1",
    ),
    (
        "unknown strategy",
        "[strategy.fed_avg]",
        "[strategy.fed_svg]",
    ),
    ("no strategy", "[strategy.fed_avg]\n", ""),
    (
        "unknown key in a strategy",
        "[strategy.fed_avg]",
        "[strategy.fed_prox]\nmu = 0.1\nnu = 0.2",
    ),
    (
        "negative mu",
        "[strategy.fed_avg]",
        "[strategy.fed_prox]\nmu = -1",
    ),
    (
        "more per round than clients",
        "per_round = 4",
        "per_round = 1000",
    ),
    (
        "fewer parts than clients",
        "clients = 10",
        "clients = 10\nparts = 5",
    ),
    ("no data set", "set = \"digits\"\n", ""),
    ("unknown data set", "set = \"digits\"", "set = \"digit\""),
    (
        "missing data files",
        "set = \"digits\"",
        "set = \"fashion-mnist\"",
    ),
    ("no partition", "[data.partition.iid]\n", ""),
    (
        "a partition that cannot hold",
        "[data.partition.iid]",
        "[data.partition.dirichlet]\nalpha = 0.1\nmin_samples = 1000",
    ),
    (
        "hidden layer without units",
        "hidden = [16]",
        "hidden = [16, 0]",
    ),
    (
        "a convolution larger than the image",
        "[model.mlp]\nhidden = [16]",
        "[model.cnn]\nlayers = [{ conv = { channels = 4, kernel = 9 } }]",
    ),
    (
        "groups that do not divide",
        "[model.mlp]\nhidden = [16]",
        "[model.cnn]\nlayers = [{ conv = { channels = 4, kernel = 3 } }, { group_norm = { groups = 3 } }]",
    ),
    (
        "an epsilon of zero",
        "[model.mlp]\nhidden = [16]",
        "[model.cnn]\nlayers = [{ batch_norm = { epsilon = 0 } }]",
    ),
    ("not TOML", "[run]", "[run\n"),
];

/// Exit code and standard error of running a file, and whether it left anything behind.
fn run(name: &str, bytes: &[u8], args: &[&str]) -> (Option<i32>, String, bool) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(["run", name, "--quiet"])
        .args(args)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let left = fs::read_dir(folder.path()).unwrap().count() > 1;
    (
        out.status.code(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
        left,
    )
}

#[test]
fn broken_scenarios_each_get_one_readable_error() {
    let mut all = String::new();
    for (what, from, to) in BROKEN {
        assert!(GOOD.contains(from), "{what}");
        let (code, stderr, left) = run("bad.toml", GOOD.replacen(from, to, 1).as_bytes(), &[]);
        writeln!(all, "## {what}\n{stderr}").unwrap();
        assert_eq!(code, Some(2), "{what}: {stderr}");
        assert!(!left, "{what}: something was written");
        assert_eq!(stderr.matches("error:").count(), 1, "{what}: {stderr}");
        assert!(stderr.contains("bad.toml:"), "{what}: {stderr}");
        assert!(!stderr.contains("panicked"), "{what}: {stderr}");
    }
    insta::assert_snapshot!("broken_scenarios", all);
}

#[test]
fn other_files_and_overrides_get_a_sentence_too() {
    let mut all = String::new();
    let bad = |name: &str, bytes: &[u8], args: &[&str]| {
        let (code, stderr, left) = run(name, bytes, args);
        assert_eq!((code, left), (Some(2), false), "{stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
        format!("## {name} {args:?}\n{stderr}\n")
    };
    all += &bad("empty.toml", b"", &[]);
    all += &bad("image.toml", &[b'a', b'\n', 0x89, 0xff, 0x00], &[]);
    all += &bad("list.toml", b"[1, 2, 3]\n", &[]);
    all += &bad(
        "good.toml",
        GOOD.as_bytes(),
        &["--set", "training.rate=fast"],
    );
    all += &bad("good.toml", GOOD.as_bytes(), &["--set", "training.rte=1"]);
    all += &bad("good.toml", GOOD.as_bytes(), &["--set", "nonsense"]);
    all += &bad("good.toml", GOOD.as_bytes(), &["--seeds", "5..1"]);
    all += &bad("good.toml", GOOD.as_bytes(), &["--threads", "0"]);
    all += &bad(
        "good.toml",
        GOOD.as_bytes(),
        &[
            "--set",
            "selection.power_of_choice={per_round=4,candidates=2}",
        ],
    );
    all += &bad(
        "good.toml",
        GOOD.as_bytes(),
        &["--set", "ordering.pace.cyclical={start=0.5,end=0.25}"],
    );
    all += &bad(
        "good.toml",
        GOOD.as_bytes(),
        &[
            "--set",
            "ordering.order=curriculum",
            "--set",
            "expert.rate=1e30",
            "--set",
            "ordering.score=expert-loss",
        ],
    );
    for set in [
        &["model.mlp.hidden=[9007199254740992, 9007199254740992]"][..],
        &["strategy.scaffold={}", "training.optimizer.adam={}"],
        &["data.set.mixture.inputs=4294967295"],
    ] {
        let args: Vec<&str> = set.iter().flat_map(|s| ["--set", *s]).collect();
        all += &bad("good.toml", GOOD.as_bytes(), &args);
    }
    insta::assert_snapshot!("other_faults", all);
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(["run", "nowhere.toml"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn several_faults_are_all_reported_at_once() {
    let text = GOOD
        .replace("rounds = 3", "rounds = 0")
        .replace("rate = 0.1", "rate = -1")
        .replace("per_round = 4", "per_round = 0");
    let (code, stderr, _) = run("bad.toml", text.as_bytes(), &[]);
    assert_eq!(
        (code, stderr.matches("error:").count()),
        (Some(2), 3),
        "{stderr}"
    );
}

#[test]
fn an_override_may_choose_another_variant() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.toml"), GOOD).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args([
            "check",
            "good.toml",
            "--set",
            "strategy.fed_prox.mu=0.1",
            "--set",
            "ordering.order=anti-curriculum",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(
        text.contains("3 rounds of fed_prox on digits, 10 clients"),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn an_engine_that_is_not_in_the_build_is_refused_with_those_that_are() {
    let args = ["--set", "training.engine=ndarray"];
    let (code, stderr, left) = run("good.toml", GOOD.as_bytes(), &args);
    if code == Some(0) {
        println!("skipped: this build has the engine ndarray");
        return;
    }
    assert_eq!((code, left), (Some(2), false), "{stderr}");
    assert!(
        stderr.contains("rebuild with `--features ndarray`"),
        "{stderr}"
    );
    assert!(stderr.contains("or use one of: fused, flex"), "{stderr}");
}
