//! Promise: what runs, and is surely not meant, is warned of before the first round, by `check` and by `run` alike.

use std::{fs, path::Path, process::Command};

const GOOD: &str = "[run]\nname = 'd'\nrounds = 2\n[data]\nset = 'digits'\nclients = 4\n[data.partition.iid]\n\
    [model.mlp]\nhidden = [4]\n[training]\nrate = 0.1\n[selection.all]\n[strategy.fed_avg]\n";

/// What a command says on standard error, and its exit code.
fn lyceum(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code(), said)
}

/// Both commands say the same, which has these warnings and no others.
fn warned(folder: &Path, set: &[&str], told: &[&str]) {
    fs::write(folder.join("d.toml"), GOOD).unwrap();
    let set: Vec<&str> = set.iter().flat_map(|item| ["--set", item]).collect();
    let check = lyceum(folder, &[&["check", "d.toml"], &set[..]].concat());
    let run = lyceum(folder, &[&["run", "d.toml", "--quiet"], &set[..]].concat());
    let _ = fs::remove_dir_all(folder.join("runs"));
    for (code, said) in [check, run] {
        assert_eq!(code, Some(0), "{set:?}: {said}");
        assert_eq!(
            said.matches("warning: ").count(),
            told.len(),
            "{set:?}: {said}"
        );
        for told in told {
            assert!(said.contains(told), "{set:?}: {said}, not {told}");
        }
    }
}

/// An IDX file of bytes.
fn idx(folder: &Path, name: &str, sizes: &[u32], values: &[u8]) {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes
        .iter()
        .for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(values);
    fs::write(folder.join(name), bytes).unwrap();
}

/// Pictures of 2 x 2 bytes with labels for training, and four with labels for tests.
fn pictures(folder: &Path, train: &[u8], test: &[u8]) -> String {
    for (name, labels) in [("train", train), ("test", test)] {
        let count = labels.len() as u32;
        let values: Vec<u8> = labels.iter().flat_map(|&l| [0, 255, 40 * l, 200]).collect();
        idx(folder, name, &[count, 2, 2], &values);
        idx(folder, &format!("{name}-labels"), &[count], labels);
    }
    "data.set.idx={train_images='train',train_labels='train-labels',test_images='test',test_labels='test-labels'}".into()
}

#[test]
fn labels_of_tests_that_nobody_learns_are_told_of_whatever_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let labels = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2];
    let set = pictures(folder.path(), &labels, &[0, 1, 2]);
    warned(folder.path(), &[&set], &[]);
    let set = pictures(folder.path(), &labels, &[0, 1, 3, 3]);
    let told =
        "2 of 4 test samples have a label that no training sample has, and cannot be told: `3`";
    warned(folder.path(), &[&set], &[told]);
}

#[test]
fn a_validation_set_that_takes_all_of_a_class_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut labels = vec![0; 40];
    labels.extend([1; 40]);
    labels.push(2);
    let set = pictures(folder.path(), &labels, &[0, 1, 2]);
    let told = "`validation` in [data] holds back every training sample of `2`";
    // Which samples are held back is drawn by the seed; with this one, the only sample of class 2 is.
    let seed = (0..50).find(|seed| {
        fs::write(folder.path().join("d.toml"), GOOD).unwrap();
        let seed = format!("run.seed={seed}");
        let args = [
            "check",
            "d.toml",
            "--set",
            &set,
            "--set",
            &seed,
            "--set",
            "data.validation=0.3",
        ];
        lyceum(folder.path(), &args).1.contains(told)
    });
    let seed = format!("run.seed={}", seed.expect("one of fifty seeds takes it"));
    warned(
        folder.path(),
        &[&set, &seed, "data.validation=0.3"],
        &[told],
    );
    warned(folder.path(), &[&set, &seed], &[]);
}

#[test]
fn pictures_that_are_scaled_twice_or_not_at_all_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let set = pictures(folder.path(), &[0, 1, 2, 0, 1, 2, 0, 1], &[0, 1, 2]);
    let scaled = |scale: &str| format!("data.set.idx.scale={scale}");
    warned(folder.path(), &[&set, &scaled("0.00392156862745098")], &[]);
    let small = "training.rate=1e-9";
    for (scale, told) in [
        ("1", "values go from 0 to 255"),
        ("255", "values go from 0 to 65025"),
    ] {
        warned(folder.path(), &[&set, small, &scaled(scale)], &[told]);
    }
    warned(
        folder.path(),
        &[&set, &scaled("1e-5")],
        &["values go from 0 to 0.003"],
    );
    warned(
        folder.path(),
        &[&set, &scaled("255"), "data.normalise=standard"],
        &[],
    );
}

#[test]
fn classes_outside_of_all_tasks_and_models_that_nobody_shares_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |classes: &str| {
        fs::write(folder.path().join("d.toml"), GOOD).unwrap();
        let set = format!("scenario.class_incremental.classes={classes}");
        let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
            .args(["check", "d.toml", "--set", &set])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(out.stderr.is_empty(), "{out:?}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    // Many a stream leaves classes out on purpose, so that is no warning.
    let told = "  outside   in no task of the stream: 8, 9\n";
    assert!(shown("[[0,1,2],[3,4,5,6,7]]").contains(told));
    assert!(!shown("[[0,1,2],[3,4,5,6,7,8,9]]").contains("outside"));
    let local = |names: &str| format!("personal.local={names}");
    warned(
        folder.path(),
        &[&local("['1','3']")],
        &["nothing of the model is shared"],
    );
    warned(folder.path(), &[&local("['3']")], &[]);
    warned(
        folder.path(),
        &["transform.clip=[{norm=1e-20}]"],
        &["leaves nothing of an update"],
    );
}

#[test]
fn a_deadline_in_one_process_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("d.toml"), GOOD).unwrap();
    let args = [
        "run",
        "d.toml",
        "--quiet",
        "--set",
        "deadline.close={after_s=60}",
    ];
    let (code, said) = lyceum(folder.path(), &args);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("in one process no client is late"), "{said}");
    let (code, said) = lyceum(
        folder.path(),
        &[&args[..], &["--nodes", "1", "--out", "n"]].concat(),
    );
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

/// The log of a run that was told of nothing, with a line of a task that joined.
#[test]
fn facts_that_end_in_mid_line_or_come_too_late_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("d.toml"), GOOD).unwrap();
    let stream = "scenario.class_incremental={classes=[[0,1,2,3],[4,5,6,7,8,9]]}";
    let run = ["run", "d.toml", "--quiet", "--set", stream, "--out"];
    let (code, said) = lyceum(folder.path(), &[&run[..], &["first"]].concat());
    assert_eq!(code, Some(0), "{said}");
    let log = fs::read_to_string(folder.path().join("first/events.jsonl")).unwrap();
    let late = r#"{"event":"answered","id":"x","round":5,"task":{"name":"late","classes":[1]},"worth":[]}"#;
    for (log, told) in [
        (
            format!("{log}{late}\n"),
            "tasks that join after the end of this run, whose last round is 1: `late` in round 6",
        ),
        (
            log[..log.len() - 9].to_owned(),
            "its last line is cut off and left out",
        ),
        (log.clone(), "that run was told nothing"),
    ] {
        fs::write(folder.path().join("told.jsonl"), log).unwrap();
        let (code, said) = lyceum(
            folder.path(),
            &[&run[..], &["out", "--facts", "told.jsonl"]].concat(),
        );
        fs::remove_dir_all(folder.path().join("out")).unwrap();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(
            (said.contains(told), said.is_empty()),
            (true, told.is_empty()),
            "{said}"
        );
    }
}

#[test]
fn settings_out_of_range_are_refused_by_every_command_that_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("d.toml"), GOOD).unwrap();
    let all: [(&[u8], &str); 6] = [
        (
            b"lease_s = 1",
            "lyceum.toml: `lease_s` is 1: expected at least three times heartbeat_s, which is 2",
        ),
        (b"heartbeat_s = 0", "lyceum.toml: `heartbeat_s` is 0"),
        (
            b"threads = 0",
            "lyceum.toml: `threads` is 0: expected 1 to 4096",
        ),
        (
            b"checkpoint_every = -1",
            "lyceum.toml: `checkpoint_every` is -1",
        ),
        (
            b"[transport]\nidle_s = 0",
            "lyceum.toml: `transport.idle_s` is 0",
        ),
        (
            b"runs = 'a\xff'",
            "this is not a text file\n --> lyceum.toml:1:10",
        ),
    ];
    for (text, told) in all {
        fs::write(folder.path().join("lyceum.toml"), text).unwrap();
        for command in ["check", "run"] {
            let (code, said) = lyceum(folder.path(), &[command, "d.toml"]);
            assert_eq!(code, Some(2), "{told}: {said}");
            assert!(said.contains(told), "{said}, not {told}");
        }
    }
}

/// A knowledge base whose posteriors all count as one, or begin alike.
#[test]
fn a_knowledge_base_that_cannot_grow_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let base = |keys: &str| format!("scenario.ibcl={{tasks=5,{keys}}}");
    let rounds = "run.rounds=15";
    for (keys, told) in [
        (
            "threshold=1e9",
            &["= 1000000000 is farther than posteriors lie apart"][..],
        ),
        ("threshold=11", &["`scenario.ibcl.threshold` = 11"]),
        ("threshold=1", &[]),
        ("priors=[20,30],threshold=250", &[]),
        (
            "priors=[0.2,0.3,0.2]",
            &["`scenario.ibcl.priors` names 0.2 twice"],
        ),
        (
            "priors=[0.2,0.2],threshold=20",
            &["names 0.2 twice", "`scenario.ibcl.threshold` = 20"],
        ),
    ] {
        warned(folder.path(), &[rounds, &base(keys)], told);
    }
}

/// What is said of points of a sweep is said of each once, with its label.
#[test]
fn a_sweep_is_warned_of_as_its_runs_are() {
    let folder = tempfile::tempdir().unwrap();
    for (table, told) in [
        (
            "[sweep.over]\ntraining.rate = [0.1, 1e-10]\n",
            &["warning: rate=", "moves no weight that counts"][..],
        ),
        ("[sweep.over]\ntraining.rate = [0.1, 0.2]\n", &[]),
        (
            "[[sweep.point]]\nlabel = 'a'\n[[sweep.point]]\nlabel = 'b'\n",
            &["the points `a` and `b` are one scenario"],
        ),
        ("[sweep]\n", &["names no point and at most one seed"]),
    ] {
        fs::write(folder.path().join("d.toml"), format!("{GOOD}{table}")).unwrap();
        for command in ["check", "run"] {
            let args = [command, "d.toml", "--quiet", "--out", "s"];
            let (code, said) = lyceum(folder.path(), &args);
            assert_eq!(code, Some(0), "{table}: {said}");
            let warnings = said.matches("warning: ").count();
            assert_eq!(warnings, usize::from(!told.is_empty()), "{said}");
            assert!(told.iter().all(|told| said.contains(told)), "{said}");
        }
        fs::remove_dir_all(folder.path().join("s")).unwrap();
    }
}

#[test]
fn texts_and_tables_that_a_model_misreads_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let line = |n: u32| format!("{{\"text\": \"a b c d e\", \"label\": \"{}\"}}\n", n % 2);
    let lines: String = (0..40).map(line).collect();
    fs::write(folder.path().join("t.jsonl"), lines).unwrap();
    let text = |keys: &str| format!("data.set.text={{train='t.jsonl',label='label',{keys}}}");
    let words = text("tokens='words',places=3");
    for (set, told) in [
        (
            [&*words, "model.mlp.hidden=[4]"],
            &["takes the numbers of tokens for measurements"][..],
        ),
        (
            [&*words, "model.text_classifier={width=2,vocabulary=9}"],
            &[],
        ),
        (
            [
                &*text("tokens='hashed'"),
                "model.text_classifier={width=2,vocabulary=9}",
            ],
            &["takes counts of words for tokens"],
        ),
        (
            [&*text("tokens='hashed'"), "model.text_classifier={width=2}"],
            &[],
        ),
        (
            [
                &*text("tokens='words',places=3,vocabulary=['x']"),
                "model.text_classifier={width=2,vocabulary=9}",
            ],
            &["no training text has a token of `vocabulary`"],
        ),
        (
            [
                &*text("tokens='hashed',separator=';'"),
                "model.text_classifier={width=2}",
            ],
            &["`data.set.text.separator` does nothing here"],
        ),
    ] {
        warned(folder.path(), &set, told);
    }
    let row = |n: u32| format!("{n},0.{},{}\n", n % 7, n % 2);
    let rows: String = (0..40).map(row).collect();
    for (name, head) in [
        ("p.csv", ",x,y\n"),
        ("q.csv", "n,x,y\n"),
        ("same.csv", "n,x,y\n"),
    ] {
        fs::write(folder.path().join(name), format!("{head}{rows}")).unwrap();
    }
    let slow = "data.normalise='standard'";
    let csv = |keys: &str| format!("data.set.csv={{label='y',{keys}}}");
    for (set, told) in [
        (
            csv("train='p.csv'"),
            &["p.csv: a column without a name is the feature 0"][..],
        ),
        (csv("train='q.csv'"), &[]),
        (
            csv("train='q.csv',test='same.csv'"),
            &["the test samples are the training samples"],
        ),
    ] {
        warned(folder.path(), &[&set, slow], told);
    }
}

#[test]
fn a_model_that_is_frozen_whole_and_folders_that_are_not_there_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let freeze = |layers: &str, after: u32| {
        format!(
            "scenario.class_incremental={{tasks=2,method={{freeze={{layers={layers},after={after}}}}}}}"
        )
    };
    warned(folder.path(), &[&freeze("[0,1]", 0)], &["nothing trains"]);
    warned(folder.path(), &[&freeze("[0]", 0)], &[]);
    let set = ["data.folders=['nowhere']", "data.set='digits'"];
    let told = ["`data.folders`", "nowhere: there is no such folder"];
    fs::write(folder.path().join("d.toml"), GOOD).unwrap();
    let (_, said) = lyceum(
        folder.path(),
        &["check", "d.toml", "--set", set[0], "--set", set[1]],
    );
    assert!(told.iter().all(|told| said.contains(told)), "{said}");
}
