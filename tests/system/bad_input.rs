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
        "rate = 0.1\n[training.optimizer.adamax]",
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

/// A table with one line put in the place of another.
fn table(line: usize, text: &str) -> String {
    let row = |at: usize| format!("0.{at},0.5,{}", ["x", "z"][at % 2]);
    let mut lines: Vec<String> = ["a,b,y".to_owned()]
        .into_iter()
        .chain((1..20).map(row))
        .collect();
    if line > 0 {
        lines[line - 1] = text.into();
    }
    lines.join("\n") + "\n"
}

#[test]
fn what_is_wrong_in_a_table_is_told_where_it_is() {
    let scenario = GOOD.replace(
        "set = \"digits\"",
        "set.csv = { train = \"t.csv\", label = \"y\" }",
    );
    for (line, text, set, told) in [
        (
            5,
            "\"0.1,0.2,x",
            "",
            "t.csv, line 5: a quote (\") opens here and is never closed",
        ),
        (
            5,
            "0.1,0.2,\"x",
            "",
            "t.csv, line 5: a quote (\") opens here and is never closed",
        ),
        (
            5,
            "0.1,,x",
            "",
            "t.csv, line 5, column `b`: it is empty: expected a number",
        ),
        (
            5,
            "0.1,NA,x",
            "",
            "`NA` is not a finite number: expected a number in every cell",
        ),
        (5, "0.1,\"0,5\",x", "", "expected a decimal point"),
        (
            5,
            "0.1,1e39,x",
            "",
            "t.csv, line 5, column `b`: 1e39 is too large: a model takes values up to 3.4e38",
        ),
        (
            1,
            "a;b;y",
            "",
            "if ';' divides its values, say `separator = \";\"`",
        ),
        (
            0,
            "",
            "data.set.csv.features=[\"a\",\"y\"]",
            "`y`, the column of the labels",
        ),
        (0, "", "data.set.csv.features=[]", "names no feature"),
        (
            0,
            "",
            "data.set.csv.features=[\"a\",\"a\"]",
            "names `a` twice",
        ),
        (
            0,
            "",
            "data.set.csv.train=\"\"",
            "names no file: expected its path",
        ),
        (
            0,
            "",
            "data.set.csv.train=\"inner\"",
            "is a folder: expected a file",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.csv"), table(line, text)).unwrap();
        fs::write(folder.path().join("bad.toml"), &scenario).unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        let set = if set.is_empty() { "run.seed=0" } else { set };
        let (code, said) = said(folder.path(), &["check", "bad.toml", "--set", set]);
        assert_eq!(code, Some(2), "{text}: {said}");
        assert!(said.contains(told), "{text}: {said}");
    }
}

/// Exit code and standard error of a command in a folder. No message ends with a system's number.
fn said(folder: &std::path::Path, args: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        !said.contains("os error") && !said.contains("panicked"),
        "{said}"
    );
    (out.status.code(), said)
}

#[test]
fn commands_say_what_is_wrong_and_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("good.toml"), GOOD).unwrap();
    assert_eq!(
        said(root, &["run", "good.toml", "--quiet", "--out", "r"]).0,
        Some(0)
    );
    fs::remove_file(root.join("r/rounds.csv")).unwrap();
    fs::create_dir(root.join("r/rounds.csv")).unwrap();
    assert_eq!(said(root, &["identity", "init"]).0, Some(0));
    fs::write(root.join("authority/authority.pem"), "hello").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("twice.toml"), "seed = 1\nseed = 2\n").unwrap();
    fs::write(root.join("deep.toml"), format!("a = {}\n", "[".repeat(500))).unwrap();
    let task = r#"{"event":"answered","id":"1","round":1,"task":{"name":"late","classes":[3]}}"#;
    let log = fs::read_to_string(root.join("r/events.jsonl")).unwrap();
    fs::write(root.join("told.jsonl"), format!("{log}{task}\n")).unwrap();
    let dotted = "[sweep.over]\nstrategy = ['fed_avg']\nstrategy.fed_prox.mu = [1, 2]\n";
    fs::write(root.join("dotted.toml"), dotted).unwrap();
    fs::write(root.join("no.text"), b"a\xff\n").unwrap();
    fs::create_dir(root.join("id")).unwrap();
    for file in ["identity.pem", "identity.key", "authority.pem"] {
        fs::copy(root.join("no.text"), root.join("id").join(file)).unwrap();
    }
    fs::create_dir(root.join("mine")).unwrap();
    fs::write(root.join("mine/scenario.toml"), "# mine\n").unwrap();
    fs::create_dir(root.join("odd")).unwrap();
    fs::write(root.join("odd/checkpoint"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("link")).unwrap();
    let absurd = "scenario.class_incremental={tasks=5,arrival={repeats=9007199254740992}}";
    for (args, code, told) in [
        (&["run", "none.toml"][..], 2, "there is no file none.toml"),
        (&["run", "r"], 2, "r is a folder: expected a scenario file"),
        (
            &["run", "good.toml", "--quiet", "--out", "r", "--resume"],
            2,
            "r/rounds.csv: a folder is where a file of the run belongs",
        ),
        (
            &["run", "good.toml", "--seeds", "1,1"],
            2,
            "the seed 1 is there twice",
        ),
        (
            &["run", "good.toml", "--seeds", "0..1000000000"],
            2,
            "at most 10000 runs",
        ),
        (
            &["run", "good.toml", "--threads", "-1"],
            2,
            "expected a whole number, 1 to 4096",
        ),
        (
            &["run", "good.toml", "--rounds", "3"],
            2,
            "keys of a scenario are set by --set",
        ),
        (
            &["run", "good.toml", "--out", "f", "--facts", "none.jsonl"],
            2,
            "error: none.jsonl: there is no such file or folder; name the events.jsonl",
        ),
        (
            &["check", "good.toml", "--set", "run.start_from=authority"],
            2,
            "authority is a folder",
        ),
        (&["check", "twice.toml"], 2, "the key `seed` is there twice"),
        (
            &["check", "deep.toml"],
            2,
            "lists and tables within each other go too deep",
        ),
        (
            &[
                "check",
                "good.toml",
                "--set",
                "data.clients=900",
                "--set",
                "data.validation=0.5",
            ],
            2,
            "validation samples leave",
        ),
        (
            &["check", "good.toml", "--set", "personal.local=['norms']"],
            2,
            "the model has no normalisation that `norms` could mean",
        ),
        (
            &[
                "node",
                "--insecure-loopback",
                "a",
                "--attempts",
                "1",
                "--coordinator",
                "127.0.0.1:0",
            ],
            2,
            "a port from 1 to 65535",
        ),
        (
            &["identity", "revoke", "node/n1"],
            2,
            "--list names the coordinator's file",
        ),
        (
            &["metrics", "empty"],
            2,
            "the file is empty, and the names of its columns are expected first",
        ),
        (
            &["check", "good.toml", "--set", absurd],
            2,
            "too many visits",
        ),
        (&["bench", "W1"], 2, "--data FOLDER names another place"),
        (
            &[
                "run",
                "good.toml",
                "--out",
                "f",
                "--set",
                "sweep.over={'training.rate'=[0.1]}",
                "--facts",
                "told.jsonl",
            ],
            2,
            "--facts told.jsonl: this is a sweep",
        ),
        (
            &["run", "good.toml", "--out", "f", "--facts", "empty"],
            2,
            "it is not the log of a run",
        ),
        (
            &["run", "good.toml", "--out", "f", "--facts", "told.jsonl"],
            2,
            "this scenario has no stream of tasks",
        ),
        (
            &[
                "coordinator",
                "good.toml",
                "--insecure-loopback",
                "--revoked",
                "none.txt",
            ],
            2,
            "--revoked none.txt: there is no such file",
        ),
        (
            &["identity", "token", "node", "--hours", "0"],
            2,
            "expected hours above 0",
        ),
        (
            &["identity", "node", "n1", "--out", "n1"],
            2,
            "authority.pem is not an authority's: there is no whole CERTIFICATE block in it",
        ),
        (
            &[
                "simulate",
                "good.toml",
                "--worlds",
                "2",
                "--stack",
                "0",
                "--set",
                "training.rate=1e6",
            ],
            1,
            "training diverged: lower training.rate",
        ),
        (&["status", "127.0.0.1:1"], 1, "nothing listens there"),
        (
            &["run", "good.toml", "--out", "."],
            2,
            "--out . holds the scenario file good.toml",
        ),
        (
            &["run", "good.toml", "--out", "mine"],
            2,
            "mine/scenario.toml: it is there, is of no run, and would be overwritten",
        ),
        (
            &["run", "good.toml", "--out", "odd"],
            2,
            "odd/checkpoint: a file is where a folder of the run belongs",
        ),
        (
            &["run", "good.toml", "--out", "link"],
            2,
            "link: it is a link to what is not there",
        ),
        (
            &["knowledge", "good.toml"],
            2,
            "good.toml: it is a file; the folder of a run is right",
        ),
        (
            &["identity", "show", "id"],
            2,
            "cannot read id/identity.pem: it is no text file: expected text in UTF-8",
        ),
        (
            &["identity", "revoke", "node/n1", "--list", "no.text"],
            2,
            "cannot read no.text: it is no text file",
        ),
        (
            &[
                "coordinator",
                "good.toml",
                "--insecure-loopback",
                "--out",
                "c",
                "--revoked",
                "no.text",
            ],
            2,
            "cannot read no.text: it is no text file",
        ),
        (
            &[
                "coordinator",
                "good.toml",
                "--insecure-loopback",
                "--identity",
                "id",
            ],
            2,
            "cannot be used with",
        ),
        (
            &["check", "dotted.toml"],
            2,
            "`strategy` was given as a list, and has keys here",
        ),
        (
            &[
                "check",
                "good.toml",
                "--set",
                "sweep.point=[{label='a'},{label='a',set={'training.rate'=0.2}}]",
            ],
            2,
            "give one of them another label",
        ),
        (
            &[
                "check",
                "good.toml",
                "--set",
                "data.partition={dirichlet={alpha=1,min_samples=100000}}",
            ],
            2,
            "use a smaller `min_samples`, or more samples",
        ),
        (
            &[
                "check",
                "good.toml",
                "--set",
                "training.class_weights=[0,0,0,0,0,0,0,0,0,0]",
            ],
            2,
            "no class counts",
        ),
        (
            &["ask", "r", "--judge", "global=1,global=1"],
            2,
            "the model `global` is there twice",
        ),
    ] {
        let (found, said) = said(root, args);
        assert_eq!(found, Some(code), "{args:?}: {said}");
        assert!(said.contains(told), "{args:?}: {said}");
    }
}

/// What `--set` said last is what can be taken back, so a fault that it made stands there.
#[test]
fn a_fault_that_an_override_made_stands_at_the_override() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("t.csv"), table(0, "")).unwrap();
    fs::write(root.join("big.csv"), table(5, "1e39,0.2,x")).unwrap();
    let owned = "a,who,y\n1,p,x\n2,q,z\n3,p,z\n4,q,x\n5,p,x\n6,q,z\n7,p,x\n8,q,z\n";
    fs::write(root.join("owned.csv"), owned).unwrap();
    let of = |set: &str| {
        GOOD.replace("set = \"digits\"\n", "")
            .replace("[model.mlp]", &format!("{set}\n[model.mlp]"))
    };
    let csv = of("[data.set.csv]\ntrain = \"t.csv\"\nlabel = \"y\"");
    let idx = of(
        "[data.set.idx]\ntrain_images = \"a\"\ntrain_labels = \"b\"\ntest_images = \"c\"\ntest_labels = \"d\"",
    );
    let by_owner = of("[data.set.csv]\ntrain = \"owned.csv\"\nlabel = \"y\"\nclient = \"who\"")
        .replace("clients = 10", "clients = 2")
        .replace("partition.iid", "partition.by_client")
        .replace("per_round = 4", "per_round = 1");
    for (text, set, told) in [
        (
            &csv,
            "data.set.csv.label=\"kind\"",
            "there is no column `kind`",
        ),
        (
            &csv,
            "data.set.csv.client=\"kind\"",
            "there is no column `kind`",
        ),
        (
            &csv,
            "data.set.csv.train=\"none.csv\"",
            "there is no file none.csv",
        ),
        (
            &csv,
            "data.set.csv.train=\"big.csv\"",
            "line 5, column `a`: 1e39 is too large",
        ),
        (
            &csv,
            "data.set.csv.test=\"none.csv\"",
            "there is no file none.csv",
        ),
        (
            &csv,
            "data.set.csv.train=\".\"",
            "it is a folder: expected a file",
        ),
        (
            &idx,
            "data.set.idx.train_images=\"none\"",
            "there is no file none",
        ),
        (
            &by_owner,
            "data.clients=5",
            "the data set has 2 clients, but 5 are asked for",
        ),
        (
            &csv,
            "data.set.csv.features=[\"a\",\"foo\"]",
            "there is no column `foo`",
        ),
        (
            &csv,
            "data.set.csv.classes=[\"well\"]",
            "is no class: expected",
        ),
        (
            &csv,
            "data.set.csv.train=\"/dev/null\"",
            "it is no file with contents of its own",
        ),
        (
            &GOOD.to_owned(),
            "data.set.digits.test_every=100000",
            "leaves no test sample",
        ),
        (
            &GOOD.to_owned(),
            "timeline=[{round=1,drop_clients={count=5000}}]",
            "more clients leave than there are",
        ),
        (
            &GOOD.to_owned(),
            "data.clients=5000",
            "samples cannot make 5000 parts",
        ),
        (
            &GOOD.to_owned(),
            "model.mlp.hidden=[1000000000000]",
            "layer 0 (dense)",
        ),
    ] {
        fs::write(root.join("bad.toml"), text).unwrap();
        let (code, said) = said(root, &["check", "bad.toml", "--set", set]);
        assert_eq!(code, Some(2), "{set}: {said}");
        assert!(said.contains(told), "{set}: {said}");
        assert!(
            said.contains(&format!("--> --set {set}:1:")),
            "{set}: {said}"
        );
    }
}

/// A fault of a value deep within one `--set`, or of a value of a sweep, stands at the value.
#[test]
fn a_fault_stands_at_its_own_value() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.toml"), GOOD).unwrap();
    let deep = "{conv={channels=2,kernel=99}}";
    for (set, value) in [
        (
            format!("model={{cnn={{layers=[{deep},{{relu={{}}}}]}}}}"),
            deep,
        ),
        (
            "timeline=[{round=1,drop_clients={count=5000}}]".to_owned(),
            "drop_clients",
        ),
        (
            "timeline=[{round=1,set={\"training.rat\"=0.1}}]".to_owned(),
            "0.1",
        ),
        (
            "sweep.over={\"data.clients\"=[5,50000]}".to_owned(),
            "50000",
        ),
    ] {
        let column = set.find(value).unwrap() + 1;
        let (code, said) = said(folder.path(), &["check", "good.toml", "--set", &set]);
        assert_eq!(code, Some(2), "{set}: {said}");
        let place = format!("--> --set {set}:1:{column}\n");
        assert!(said.contains(&place), "{set}: {said}");
    }
}

#[test]
fn what_does_not_fit_says_what_would() {
    for (set, told) in [
        (
            "model=\"logistic\"",
            &["tells two classes apart, and there are 10", "`softmax`"][..],
        ),
        (
            "variational=true",
            &[
                "`variational` is true",
                "such as `variational = { prior = 0.1",
            ],
        ),
        ("personal=true", &["`personal = { local = "]),
        (
            "deadline=true",
            &["`deadline = { close = { after_s = 30 } }`"],
        ),
        (
            "ordering=false",
            &["without a table `[ordering]` there is none"],
        ),
        (
            "scenario.domain_incremental={tasks=6,shift={groups={}}}",
            &[
                "10 classes cannot be dealt to 6 tasks of 2 groups each",
                "1 or 5 tasks, or list `groups`",
            ],
        ),
        (
            "scenario.class_incremental={tasks=3}",
            &[
                "10 classes cannot be dealt to 3 tasks in equal parts",
                "1, 2, 5 or 10 tasks, or `classes`",
            ],
        ),
        (
            "data.partition.by_difficulty={order=\"easy\"}",
            &["easy-first", "hard-first", "random"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bad.toml"), GOOD).unwrap();
        let (code, said) = said(folder.path(), &["check", "bad.toml", "--set", set]);
        assert_eq!(code, Some(2), "{set}: {said}");
        for told in told {
            assert!(said.contains(told), "{set}: {said}, not {told}");
        }
    }
}

/// A command line for `run` is one for `check`, and says the same of the file.
#[test]
fn check_takes_what_run_takes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.toml"), GOOD).unwrap();
    let words = [
        "good.toml",
        "--set",
        "run.rounds=2",
        "--threads",
        "2",
        "--out",
        "r",
        "--data",
        ".",
        "--resume",
        "--seeds",
        "0..2",
        "--jobs",
        "1",
        "--checkpoint-every",
        "5",
        "--quiet",
    ];
    assert_eq!(
        said(folder.path(), &[&["check"], &words[..]].concat()).0,
        Some(0)
    );
    let good = ["check", "good.toml"];
    let nodes = [&good[..], &["--nodes", "2"]].concat();
    assert_eq!(said(folder.path(), &nodes).0, Some(0));
    // It looks at what a run would be told, as the run does.
    let facts = [&good[..], &["--facts", "events.jsonl"]].concat();
    let (code, told) = said(folder.path(), &facts);
    assert!(
        code == Some(2) && told.contains("name the events.jsonl of a run's folder"),
        "{told}"
    );
    let (code, told) = said(folder.path(), &[&facts[..], &["--seeds", "0..2"]].concat());
    assert!(
        code == Some(2) && told.contains("without --seeds"),
        "{told}"
    );
    assert!(!folder.path().join("r").exists());
    let (code, told) = said(folder.path(), &["check", "good.toml", "--threads", "0"]);
    assert!(code == Some(2) && told.contains("1 to 4096"), "{told}");
}
