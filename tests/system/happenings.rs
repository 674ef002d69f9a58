//! Promise: what the timeline does to a run is in its log and on the screen, numbered as in the file, and a run's
//! `scenario.toml` runs again from anywhere.

use crate::{
    catalogue,
    catalogue::read,
    determinism::{fingerprint, run_in},
};
use lyceum_core::{Event, Turnout};
use lyceum_metrics::{EventReader, Summary};
use std::{fs, path::Path, process::Command};

fn events(folder: &Path) -> Vec<Event> {
    let all = EventReader::open(&folder.join("events.jsonl")).unwrap();
    all.map(|event| event.unwrap()).collect()
}

/// Kind, round, clients, clients that are there, and the names.
type Told = (&'static str, u64, u64, u64, Vec<u64>);

fn told(events: &[Event]) -> Vec<Told> {
    let turned = |kind, t: &Turnout| {
        let who = t.who.iter().map(|client| client.0).collect();
        Some((kind, t.round.0, t.clients, t.present, who))
    };
    let tell = |event: &Event| match event {
        Event::ClientsJoined(turnout) => turned("joined", turnout),
        Event::ClientsLeft(turnout) => turned("left", turnout),
        Event::ClientsSilent(turnout) => turned("silent", turnout),
        Event::ClientsBack(turnout) => turned("back", turnout),
        Event::NobodySelected { round, present } => {
            Some(("nobody", round.0, 0, *present, Vec::new()))
        }
        Event::SettingsChanged { round, set } => {
            let set: Vec<_> = set.iter().map(|(k, v)| format!("{k}={v}")).collect();
            assert_eq!(
                set,
                [
                    "selection={ uniform = { per_round = 2 } }",
                    "training.rate=0.01"
                ]
            );
            Some(("set", round.0, 0, 0, Vec::new()))
        }
        _ => None,
    };
    events.iter().filter_map(tell).collect()
}

const TIMELINE: &str = "timeline=[\
    {round=2,add_clients=3},\
    {round=3,silence={share=1.0,rounds=2}},\
    {round=4,set={training={rate=0.01},selection={uniform={per_round=2}}}},\
    {round=6,drop_clients={share=1.0}}]";

#[test]
fn who_comes_goes_and_falls_silent_is_told_and_so_is_what_changes() {
    let set = [
        "run.rounds=8",
        "data.clients=6",
        TIMELINE,
        "selection.all={}",
    ];
    let scenario = read("quickstart", &set);
    let folder = tempfile::tempdir().unwrap();
    let summary = run_in(folder.path(), &scenario, 2, false);
    let all: Vec<u64> = (0..6).collect();
    let nobody = |round| ("nobody", round, 0, 0, vec![]);
    assert_eq!(
        told(&events(folder.path())),
        [
            ("joined", 2, 3, 6, vec![3, 4, 5]),
            ("silent", 3, 6, 6, all.clone()),
            ("set", 4, 0, 0, vec![]),
            ("back", 5, 6, 6, all.clone()),
            ("left", 6, 6, 0, all),
            nobody(6),
            nobody(7),
        ]
    );
    assert_eq!(summary.fingerprint, fingerprint(&scenario, 1));
}

fn lyceum(args: &[&str], folder: &Path) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{args:?}: {said}");
    said
}

/// The timeline's rounds are those of the screen, the first round is 0, and a silence is warned of once.
#[test]
fn the_screen_counts_as_the_file_does_and_warns_when_nobody_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = catalogue::folder().join("quickstart.toml");
    let set = [
        "run.rounds=8",
        "data.clients=6",
        TIMELINE,
        "selection.all={}",
    ];
    let mut args = vec!["run", file.to_str().unwrap(), "--out", "a"];
    set.iter().for_each(|set| args.extend(["--set", *set]));
    let said = lyceum(&args, folder.path());
    let lines: Vec<&str> = said.lines().collect();
    let begins = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    for start in [
        "round 0: test accuracy ",
        "round 7: test accuracy ",
        "round 2: 3 clients joined; 6 are there",
        "round 3: 6 clients fell silent",
        "warning: round 3: none of the 6 selected clients answered",
        "round 4: from now on selection = { uniform = { per_round = 2 } }, training.rate = 0.01",
        "round 5: 6 clients answer again",
        "round 6: 6 clients left; 0 are there",
        "warning: round 6: all clients have left",
        "warning: round 6: nobody is selected",
    ] {
        assert_eq!(begins(start), 1, "{start}: {said}");
    }
    assert_eq!(begins("warning: "), 3, "{said}");
    assert_eq!(begins("round 8"), 0, "{said}");
    assert!(
        lines
            .iter()
            .any(|l| l.contains(" training loss ") && l.ends_with("8 of 8 done"))
    );
}

const TABLE: &str = r#"
[run]
name = "table"
rounds = 3
start_from = "warm.safetensors"
[data]
clients = 2
folders = ["tables"]
set = { csv = { train = "small.csv", label = "y" } }
[data.partition.iid]
[model.softmax]
[training]
rate = 0.1
[selection.all]
[strategy.fed_avg]
"#;

fn small_table(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let rows: String = (0..60)
        .map(|i| format!("{},{},{}\n", i % 7, i % 5, i % 3))
        .collect();
    fs::write(folder.join("small.csv"), format!("a,b,y\n{rows}")).unwrap();
}

fn result(folder: &Path) -> Summary {
    Summary::read(&folder.join("summary.json")).unwrap()
}

/// Where samples and weights lie is in `scenario.toml`, and in no fingerprint.
#[test]
fn a_runs_own_scenario_runs_again_from_anywhere() {
    let [home, away] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (home, away) = (home.path(), away.path());
    let project = home.join("project");
    small_table(&project.join("tables"));
    let cold = TABLE.replace("start_from", "# start_from");
    fs::write(project.join("cold.toml"), cold).unwrap();
    lyceum(
        &["run", "project/cold.toml", "--quiet", "--out", "cold"],
        home,
    );
    let warm = home.join("cold/checkpoint/000003/global.safetensors");
    fs::copy(warm, project.join("warm.safetensors")).unwrap();
    fs::write(project.join("warm.toml"), TABLE).unwrap();
    lyceum(
        &["run", "project/warm.toml", "--quiet", "--out", "first"],
        home,
    );
    let first = result(&home.join("first"));
    assert_ne!(first.fingerprint, result(&home.join("cold")).fingerprint);

    let again = home.join("first/scenario.toml");
    lyceum(
        &["run", again.to_str().unwrap(), "--quiet", "--out", "again"],
        away,
    );
    assert_eq!(result(&away.join("again")).fingerprint, first.fingerprint);

    // The same samples and weights in other places, named in other ways.
    small_table(&away.join("elsewhere"));
    fs::copy(project.join("warm.safetensors"), away.join("w.safetensors")).unwrap();
    let path = away.join("elsewhere/small.csv");
    let other = TABLE
        .replace("warm.safetensors", "w.safetensors")
        .replace("\"small.csv\"", &format!("{path:?}"))
        .replace("folders", "# folders");
    fs::write(away.join("other.toml"), other).unwrap();
    lyceum(&["run", "other.toml", "--quiet", "--out", "other"], away);
    assert_eq!(result(&away.join("other")).fingerprint, first.fingerprint);

    // Other samples are another run.
    let rows = fs::read_to_string(&path).unwrap();
    fs::write(&path, rows.replacen("6,1,0", "6,2,0", 1)).unwrap();
    lyceum(&["run", "other.toml", "--quiet", "--out", "changed"], away);
    assert_ne!(result(&away.join("changed")).fingerprint, first.fingerprint);
}
