//! Promise: a client whose training diverges is refused by name, and the run goes on with the others.

use lyceum_core::{Event, Outcome};
use lyceum_metrics::EventReader;
use lyceum_scenarios::Scenario;
use std::{path::Path, process::Command};

/// Clients own classes of very different scale: client 0's inputs are huge, the others' harmless.
fn csv(folder: &Path, huge: impl Fn(u64) -> bool) -> String {
    let mut rows = String::from("a,b,label,client\n");
    for client in 0..4_u64 {
        for i in 0..20_u64 {
            let scale = if huge(client) { 1e18 } else { 1.0 };
            let (a, b) = ((i % 5) as f64 * scale, (i % 3) as f64 * scale);
            rows += &format!("{a},{b},{},{client}\n", i % 2);
        }
    }
    std::fs::write(folder.join("samples.csv"), rows).unwrap();
    format!(
        r#"
[run]
name = "divergence"
rounds = 3
[data]
clients = 4
set = {{ csv = {{ train = "{}/samples.csv", label = "label", client = "client", test_fraction = 0.25 }} }}
[data.partition.by_client]
[model.mlp]
hidden = [4]
[training]
rate = 0.1
batch = 4
[selection.all]
[strategy.fed_avg]
"#,
        folder.display()
    )
}

fn run(folder: &Path, text: &str) -> (Option<i32>, String) {
    std::fs::write(folder.join("s.toml"), text).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(["run", "s.toml", "--out", "out", "--quiet"])
        .current_dir(folder)
        .output()
        .unwrap();
    (
        out.status.code(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    )
}

#[test]
fn a_diverging_client_is_refused_by_name_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let text = csv(folder.path(), |client| client == 2);
    assert!(Scenario::read(&lyceum::registry(), "s", &text, &[]).is_ok());
    let (code, stderr) = run(folder.path(), &text);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.starts_with("warning: the features are not scaled"));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let mut refused = 0;
    for event in EventReader::open(&folder.path().join("out/events.jsonl")).unwrap() {
        match event.unwrap() {
            Event::Client { report, .. } => match report.outcome {
                Outcome::Refused(reason) => {
                    assert_eq!(report.client.0, 2, "{reason}");
                    refused += 1;
                }
                outcome => assert_eq!(outcome, Outcome::Accepted),
            },
            Event::RoundClosed {
                accepted, refused, ..
            } => assert_eq!((accepted, refused), (3, 1)),
            _ => {}
        }
    }
    assert_eq!(refused, 3);
}

#[test]
fn a_run_in_which_everybody_diverges_stops_with_the_last_good_model() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stderr) = run(folder.path(), &csv(folder.path(), |_| true));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("no update was accepted; client 0: its update is refused"),
        "{stderr}"
    );
    for advice in [
        "training diverged",
        "training.rate",
        "training.clip",
        "data.normalise",
    ] {
        assert!(stderr.contains(advice), "{advice}: {stderr}");
    }
    assert!(
        folder
            .path()
            .join("out/checkpoint/last_good.safetensors")
            .exists()
    );
    let summary = lyceum_metrics::Summary::read(&folder.path().join("out/summary.json")).unwrap();
    assert_eq!(summary.status, lyceum_metrics::Status::Stalled);
}

#[test]
fn a_diverging_digits_run_tells_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(crate::catalogue::folder().join("quickstart.toml")).unwrap();
    let (code, stderr) = run(folder.path(), &text.replace("rate = 0.05", "rate = 1e30"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("round 0"), "{stderr}");
    assert!(stderr.contains("training diverged"), "{stderr}");
    // Pixels are scaled by default: that is not what is wrong.
    assert!(!stderr.contains("data.normalise"), "{stderr}");
}
