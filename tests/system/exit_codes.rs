//! Promise: exit codes mean the same for all commands: 0 finished, 1 a failure, 2 bad input, 75 stopped and can be gone on
//! with, 130 Ctrl-C.

use crate::{catalogue, nodes::Federation};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

const FINISHED: i32 = 0;
const FAILED: i32 = 1;
const BAD_INPUT: i32 = 2;
const UNFINISHED: i32 = 75;
const INTERRUPTED: i32 = 130;

fn command(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"));
    command
        .args(args)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn lyceum(args: &[&str], folder: &Path) -> Output {
    command(args, folder).output().unwrap()
}

fn all_said(out: &Output) -> String {
    String::from_utf8_lossy(&[&out.stdout[..], &out.stderr[..]].concat()).into_owned()
}

/// Sends a signal once so many lines came; the exit code, and what was said.
fn stopped(mut child: Child, lines: usize, signal: &str) -> (Option<i32>, String) {
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    for _ in 0..lines {
        assert!(reader.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
    said += &std::io::read_to_string(reader).unwrap();
    let out = child.wait_with_output().unwrap();
    said += &String::from_utf8_lossy(&out.stdout);
    (out.status.code(), said)
}

fn quickstart() -> String {
    let file = catalogue::folder().join("quickstart.toml");
    file.to_string_lossy().into_owned()
}

#[test]
fn bad_input_is_2_whatever_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let quickstart = quickstart();
    let file = quickstart.as_str();
    let lines: [&[&str]; 28] = [
        &[],
        &["nonsense"],
        &["run"],
        &["run", "absent.toml"],
        &["run", file, "--set", "run.rounds=-1"],
        &["run", file, "--set", "nonsense"],
        &["run", file, "--seeds", "x"],
        &["run", file, "--jobs", "2"],
        &["run", file, "--threads", "0"],
        &["run", file, "--checkpoint-every", "-1"],
        &["check", "absent.toml"],
        &["check", file, "--set", "model.mlp.hidden=[0]"],
        &["schema", "more"],
        &["list", "more"],
        &["compare", "absent"],
        &["metrics", "absent"],
        &["coordinator", "absent.toml"],
        &["coordinator", file],
        &["coordinator", file, "--listen", "here"],
        &["node", "--coordinator", "here"],
        &["node", "--coordinator", "localhost:1"],
        &["identity", "show", "absent"],
        &["identity", "node", "n1", "--authority", "absent"],
        &["identity", "revoke", "x y"],
        &["status", "here"],
        &["simulate", "absent.toml"],
        &["reproduce", "continual", "nonsense"],
        &["bench", "--engine", "nonsense"],
    ];
    for args in lines {
        let out = lyceum(args, folder.path());
        let said = all_said(&out);
        assert_eq!(out.status.code(), Some(BAD_INPUT), "{args:?}: {said}");
        assert!(!said.is_empty(), "{args:?}");
    }
}

#[test]
fn what_only_tells_is_0_and_what_fails_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let quickstart = quickstart();
    let short = ["--quiet", "--set", "run.rounds=2"];
    let run = [&["run", &quickstart, "--out", "a"], &short[..]].concat();
    for args in [
        &["--help"][..],
        &["list"],
        &["schema"],
        &["check", &quickstart],
        &run,
        &["compare", "a"],
        &["identity", "init"],
        &[
            "simulate",
            &quickstart,
            "--worlds",
            "1",
            "--stack",
            "0",
            "--set",
            "run.rounds=1",
        ],
    ] {
        let out = lyceum(args, folder.path());
        assert_eq!(
            out.status.code(),
            Some(FINISHED),
            "{args:?}: {}",
            all_said(&out)
        );
    }
    // Nobody is there.
    let status = lyceum(&["status", "127.0.0.1:1"], folder.path());
    assert_eq!(status.status.code(), Some(FAILED));
    let node = [
        "node",
        "--coordinator",
        "nobody.invalid:1",
        "--insecure-loopback",
        "n",
        "--attempts",
        "1",
    ];
    let node = lyceum(&node, folder.path());
    assert_eq!(node.status.code(), Some(FAILED), "{}", all_said(&node));
}

#[test]
fn the_help_lists_the_exit_codes() {
    let help = lyceum(&["help"], Path::new("."));
    let text = all_said(&help);
    for code in [FINISHED, FAILED, BAD_INPUT, UNFINISHED, INTERRUPTED] {
        let line = |line: &str| line.split_whitespace().next() == Some(&code.to_string());
        assert!(text.lines().any(line), "{code}: {text}");
    }
}

#[test]
fn a_run_or_a_sweep_that_is_stopped_is_75_or_130_and_goes_on() {
    let quickstart = quickstart();
    let long = ["--set", "run.rounds=1500", "--set", "evaluation.every=1000"];
    for (signal, code) in [
        ("-TERM", UNFINISHED),
        ("-HUP", UNFINISHED),
        ("-INT", INTERRUPTED),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let args = [&["run", &quickstart, "--out", "a"], &long[..]].concat();
        let child = command(&args, folder.path()).spawn().unwrap();
        let (found, said) = stopped(child, 3, signal);
        assert_eq!(found, Some(code), "{signal}: {said}");
        assert!(said.contains("--resume"), "{said}");
        let again = [&args[..], &["--resume", "--quiet"]].concat();
        let out = lyceum(&again, folder.path());
        assert_eq!(out.status.code(), Some(FINISHED), "{}", all_said(&out));
    }
    let folder = tempfile::tempdir().unwrap();
    let seeds = [
        "run",
        &quickstart,
        "--out",
        "a",
        "--seeds",
        "0..64",
        "--jobs",
        "2",
    ];
    let args = [&seeds[..], &["--set", "run.rounds=200"]].concat();
    let child = command(&args, folder.path()).spawn().unwrap();
    let (found, said) = stopped(child, 1, "-TERM");
    assert_eq!(found, Some(UNFINISHED), "{said}");
    assert!(said.contains("runs are over"), "{said}");
}

#[test]
fn a_coordinator_that_is_stopped_is_75_or_130_and_a_node_that_is_asked_to_go_0() {
    for (signal, code) in [("-TERM", UNFINISHED), ("-INT", INTERRUPTED)] {
        let federation = Federation::new(&[]);
        let child = federation.coordinator().spawn().unwrap();
        let (found, said) = stopped(child, 2, signal);
        assert_eq!(found, Some(code), "{signal}: {said}");
    }
    for (signal, code) in [("-TERM", FINISHED), ("-INT", INTERRUPTED)] {
        let folder = tempfile::tempdir().unwrap();
        let waits = [
            "node",
            "--insecure-loopback",
            "n1",
            "--coordinator",
            "nobody.invalid:1",
        ];
        let mut node = command(&waits, folder.path());
        let (found, said) = stopped(node.spawn().unwrap(), 1, signal);
        assert_eq!(found, Some(code), "{signal}: {said}");
    }
}

/// Nobody comes before the round gives up; with a node the run would go on.
#[test]
fn a_coordinator_without_clients_stalls_with_75() {
    let federation = Federation::new(&[
        "deadline.close={after_s=0.1,min_clients=1,give_up_s=0.2}",
        "selection.uniform={per_round=2}",
    ]);
    let out = federation.coordinator().output().unwrap();
    let said = all_said(&out);
    assert_eq!(out.status.code(), Some(UNFINISHED), "{said}");
    assert!(said.contains("clients had answered"), "{said}");
}

/// A disk of its own, where the system lets a test have one.
#[test]
fn a_full_disk_is_75_and_the_run_goes_on_once_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let (lyceum, file) = (env!("CARGO_BIN_EXE_lyceum-under-test"), quickstart());
    let run = format!("{lyceum} run {file} --quiet --out disk/run --checkpoint-every 0");
    let script = format!(
        "mkdir disk && mount -t tmpfs -o size=64k tmpfs disk && {run} 2>first; echo first $?;
         mount -o remount,size=64m disk && {run} --resume; echo second $?"
    );
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .current_dir(folder.path())
        .output();
    let said = out.map(|out| all_said(&out)).unwrap_or_default();
    let first = std::fs::read_to_string(folder.path().join("first"));
    let Ok(first) = first.map_err(|e| println!("skipped: {e}: {said}")) else {
        return;
    };
    assert!(
        said.contains(&format!("first {UNFINISHED}")),
        "{said} {first}"
    );
    assert!(first.contains("free some space"), "{first}");
    assert!(said.contains(&format!("second {FINISHED}")), "{said}");
}

/// Also where it is no run that finds no space: it may be tried again, and nothing half-written is in its way.
#[test]
fn a_full_disk_is_75_for_every_command_and_leaves_no_stub() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut list = command(&["list"], Path::new("."));
    let out = list.stdout(full.unwrap()).output().unwrap();
    assert_eq!(out.status.code(), Some(UNFINISHED), "{}", all_said(&out));
    assert!(all_said(&out).contains("free some space"));

    let folder = tempfile::tempdir().unwrap();
    let lyceum = env!("CARGO_BIN_EXE_lyceum-under-test");
    let script = format!(
        "mkdir disk && mount -t tmpfs -o size=32k tmpfs disk && mkdir disk/a && {{ cat /dev/zero > disk/fill; }} 2>/dev/null;
         {lyceum} identity init disk/a 2>said; echo first $?; ls disk/a | wc -l > left;
         rm disk/fill; {lyceum} identity init disk/a; echo second $?"
    );
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .current_dir(folder.path())
        .output();
    let said = out.map(|out| all_said(&out)).unwrap_or_default();
    let Ok(left) = std::fs::read_to_string(folder.path().join("left")) else {
        println!("skipped: {said}");
        return;
    };
    assert!(said.contains(&format!("first {UNFINISHED}")), "{said}");
    assert!(said.contains(&format!("second {FINISHED}")), "{said}");
    assert_eq!(left.trim(), "0", "{said}");
}
