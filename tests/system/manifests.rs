//! Promise: what is under `k8s/` is what a cluster takes, names nothing that it should not, and is one thing in three forms: the
//! base, the chart, and what `lyceum cluster` prints.

use crate::{catalogue, nodes::lyceum, yaml};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::{Job, JobTemplateSpec},
    core::v1::{ConfigMap, Namespace, PodSpec, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s")
}

fn read(path: &str) -> String {
    fs::read_to_string(folder().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn documents(text: &str, what: &str) -> Vec<Value> {
    println!("{what}");
    yaml::documents(text)
}

/// YAML files below a folder, the chart's templates left out, which are none before they are rendered.
fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("templates") => {}
            true => found.extend(files(&path)),
            false if path.extension().is_some_and(|e| e == "yaml") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// What `kubectl` renders; `None`, with the reason, where there is none.
fn kustomized(path: &str) -> Option<Vec<Value>> {
    let out = Command::new("kubectl")
        .arg("kustomize")
        .arg(folder().join(path))
        .output();
    let Ok(out) = out else {
        println!("skipped {path}: there is no kubectl");
        return None;
    };
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{path}: {said}");
    Some(documents(&String::from_utf8_lossy(&out.stdout), path))
}

fn overlays() -> Vec<String> {
    let all = fs::read_dir(folder().join("overlays")).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut all: Vec<String> = all
        .map(|entry| format!("overlays/{}", name(entry.unwrap())))
        .collect();
    all.sort();
    all
}

fn kind(document: &Value) -> &str {
    document["kind"]
        .as_str()
        .unwrap_or_else(|| panic!("{document}: no kind"))
}

/// What a type takes is all that a document holds: whatever it does not know would be dropped without a word.
fn round_trip<T: Serialize + DeserializeOwned>(what: &str, document: &Value) {
    let typed: T =
        serde_json::from_value(document.clone()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let back = serde_json::to_value(typed).unwrap();
    same(what, document, &back);
}

/// As equal, but for what is left out as empty, and numbers that are written as text.
fn same(place: &str, given: &Value, back: &Value) {
    match (given, back) {
        (Value::Object(given), Value::Object(back)) => {
            for (key, value) in given {
                let empty =
                    value.as_object().is_some_and(serde_json::Map::is_empty) || value.is_null();
                match back.get(key) {
                    Some(found) => same(&format!("{place}.{key}"), value, found),
                    None => assert!(empty, "{place}: `{key}` is not known there"),
                }
            }
        }
        (Value::Array(given), Value::Array(back)) => {
            assert_eq!(given.len(), back.len(), "{place}");
            for (index, (given, back)) in given.iter().zip(back).enumerate() {
                same(&format!("{place}[{index}]"), given, back);
            }
        }
        (Value::Number(given), Value::String(back)) => {
            assert_eq!(&given.to_string(), back, "{place}")
        }
        (given, back) => assert_eq!(given, back, "{place}"),
    }
}

/// The keys that a custom resource may have, as deep as they are ours to write.
fn custom(document: &Value) {
    let schemas: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("cases/custom-resources.json")).unwrap();
    let name = format!(
        "{} {}",
        document["apiVersion"].as_str().unwrap(),
        kind(document)
    );
    let schema = schemas
        .get(&name)
        .unwrap_or_else(|| panic!("{name}: a kind that no schema is kept of"));
    fits(&name, &document["spec"], schema);
}

/// A schema is an object of keys, `"!key"` where one is required; a list of one for lists; a word for anything of that kind.
fn fits(place: &str, value: &Value, schema: &Value) {
    match schema {
        Value::Object(keys) => {
            let value = value
                .as_object()
                .unwrap_or_else(|| panic!("{place}: no object"));
            for (key, value) in value {
                let schema = keys.get(key).or_else(|| keys.get(&format!("!{key}")));
                let schema =
                    schema.unwrap_or_else(|| panic!("{place}: `{key}` is not known there"));
                fits(&format!("{place}.{key}"), value, schema);
            }
            for wanted in keys.keys().filter_map(|key| key.strip_prefix('!')) {
                assert!(value.contains_key(wanted), "{place}: `{wanted}` is missing");
            }
        }
        Value::Array(of) => {
            let all = value
                .as_array()
                .unwrap_or_else(|| panic!("{place}: no list"));
            all.iter().for_each(|value| fits(place, value, &of[0]));
        }
        Value::String(word) => match word.as_str() {
            "text" => assert!(value.is_string(), "{place}: {value}"),
            "number" => assert!(value.is_u64(), "{place}: {value}"),
            "yes or no" => assert!(value.is_boolean(), "{place}: {value}"),
            "quantity" => assert!(value.is_u64() || value.is_string(), "{place}: {value}"),
            "job" => round_trip::<JobTemplateSpec>(place, value),
            "anything" => {}
            word => panic!("{place}: the schema says `{word}`"),
        },
        other => panic!("{place}: the schema says {other}"),
    }
}

fn typed(document: &Value) {
    let version = document["apiVersion"].as_str().unwrap_or_default();
    let what = format!("{} {}", kind(document), document["metadata"]["name"]);
    match (version, kind(document)) {
        ("v1", "ConfigMap") => round_trip::<ConfigMap>(&what, document),
        ("v1", "Namespace") => round_trip::<Namespace>(&what, document),
        ("v1", "Service") => round_trip::<Service>(&what, document),
        ("v1", "ServiceAccount") => round_trip::<ServiceAccount>(&what, document),
        ("apps/v1", "StatefulSet") => round_trip::<StatefulSet>(&what, document),
        ("apps/v1", "Deployment") => round_trip::<Deployment>(&what, document),
        ("batch/v1", "Job") => round_trip::<Job>(&what, document),
        ("networking.k8s.io/v1", "NetworkPolicy") => round_trip::<NetworkPolicy>(&what, document),
        ("policy/v1", "PodDisruptionBudget") => round_trip::<PodDisruptionBudget>(&what, document),
        _ => custom(document),
    }
}

/// The pods of a document, and what they are called.
fn pods(document: &Value) -> Vec<PodSpec> {
    let templates = match kind(document) {
        "StatefulSet" | "Deployment" | "Job" => vec![&document["spec"]["template"]["spec"]],
        "JobSet" => {
            let jobs = document["spec"]["replicatedJobs"].as_array().unwrap();
            fn pod(job: &Value) -> &Value {
                &job["template"]["spec"]["template"]["spec"]
            }
            jobs.iter().map(pod).collect()
        }
        _ => Vec::new(),
    };
    let read = |template: &Value| serde_json::from_value(template.clone()).unwrap();
    templates.into_iter().map(read).collect()
}

/// What no pod may be: root, writable, with rights, with a token of the API, or of an image that changes.
fn is_confined(place: &str, pod: &PodSpec) {
    let security = pod.security_context.as_ref().unwrap();
    assert_eq!(security.run_as_non_root, Some(true), "{place}");
    assert!(security.run_as_user.is_some_and(|user| user > 0), "{place}");
    assert_eq!(
        security.seccomp_profile.as_ref().unwrap().type_,
        "RuntimeDefault",
        "{place}"
    );
    assert_eq!(pod.automount_service_account_token, Some(false), "{place}");
    for volume in pod.volumes.iter().flatten() {
        assert!(volume.host_path.is_none(), "{place}: a path of the host");
    }
    let first = pod.init_containers.iter().flatten();
    for container in first.chain(&pod.containers) {
        let place = format!("{place}/{}", container.name);
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false), "{place}");
        assert_eq!(security.read_only_root_filesystem, Some(true), "{place}");
        let dropped = security
            .capabilities
            .as_ref()
            .unwrap()
            .drop
            .as_ref()
            .unwrap();
        assert_eq!(dropped[..], ["ALL"], "{place}");
        let image = container.image.as_deref().unwrap();
        let version = image.rsplit('/').next().unwrap().split_once([':', '@']);
        let version = version
            .unwrap_or_else(|| panic!("{place}: {image} has no version"))
            .1;
        assert_ne!(version, "latest", "{place}");
        let resources = container.resources.as_ref().unwrap();
        assert!(
            resources.requests.is_some() && resources.limits.is_some(),
            "{place}"
        );
        // The command is real: what is not understood would end the pod.
        understood(&place, container.args.as_deref().unwrap());
        let probes = [&container.liveness_probe, &container.readiness_probe];
        for probe in probes.into_iter().flatten().filter_map(|p| p.exec.as_ref()) {
            let command = probe.command.as_deref().unwrap();
            assert_eq!(command[0], "lyceum", "{place}");
            understood(&place, &command[1..]);
        }
    }
}

/// Arguments of a container, held against the command itself: it reads them before it does anything.
fn understood(place: &str, args: &[String]) {
    let out = lyceum().args(args).arg("--help").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{place}: {args:?}: {said}");
}

fn holds(document: &Value) {
    typed(document);
    let place = format!("{} {}", kind(document), document["metadata"]["name"]);
    pods(document)
        .iter()
        .for_each(|pod| is_confined(&place, pod));
    let text = document.to_string();
    for never in [
        "PRIVATE KEY",
        "hostPath",
        "hostNetwork",
        "lyceum1.",
        ":latest",
    ] {
        assert!(!text.contains(never), "{place}: {never}");
    }
    assert_ne!(
        kind(document),
        "Secret",
        "{place}: secrets are made in the cluster"
    );
}

#[test]
fn every_file_is_yaml_and_every_object_of_the_base_is_typed_and_confined() {
    let all = files(&folder());
    assert!(all.len() > 20, "{all:?}");
    for path in &all {
        let name = path.display().to_string();
        assert!(
            !documents(&fs::read_to_string(path).unwrap(), &name).is_empty(),
            "{name}"
        );
    }
    let kustomization = &documents(&read("base/kustomization.yaml"), "base")[0];
    let resources = kustomization["resources"].as_array().unwrap();
    let mut kinds = BTreeSet::new();
    for resource in resources.iter().map(|r| r.as_str().unwrap()) {
        for document in documents(&read(&format!("base/{resource}")), resource) {
            kinds.insert(kind(&document).to_string());
            holds(&document);
        }
    }
    for wanted in [
        "StatefulSet",
        "Service",
        "Job",
        "ConfigMap",
        "NetworkPolicy",
        "PodDisruptionBudget",
    ] {
        assert!(kinds.contains(wanted), "{wanted}: {kinds:?}");
    }
}

#[test]
fn every_overlay_renders_to_objects_that_are_typed_and_confined() {
    for path in ["base".to_string()].into_iter().chain(overlays()) {
        for document in kustomized(&path).iter().flatten() {
            holds(document);
        }
    }
}

/// The chart's templates with values, by the part of Helm's language that they use.
fn chart(values: &BTreeMap<String, Value>) -> Vec<Value> {
    let mut names: Vec<_> = fs::read_dir(folder().join("chart/templates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let mut all = Vec::new();
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        all.extend(documents(&rendered(&text, values), &name));
    }
    all
}

fn rendered(template: &str, values: &BTreeMap<String, Value>) -> String {
    let text = |hole: &str| {
        let name = hole
            .trim()
            .strip_prefix(".Values.")
            .unwrap_or_else(|| panic!("{hole}"));
        match &values[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    };
    let (mut out, mut keeps) = (String::new(), vec![true]);
    for line in template.lines() {
        let order = line
            .trim()
            .strip_prefix("{{-")
            .and_then(|l| l.strip_suffix("}}"));
        let order = order.map(str::trim);
        if let Some(hole) = order.and_then(|o| o.strip_prefix("if ")) {
            keeps.push(!text(hole).is_empty());
        } else if order == Some("else") {
            let last = keeps.pop().unwrap();
            keeps.push(!last);
        } else if order == Some("end") {
            keeps.pop();
        } else if keeps.contains(&false) {
        } else if let Some((hole, how)) = order.and_then(|o| o.split_once('|')) {
            let spaces: usize = how
                .trim()
                .strip_prefix("nindent ")
                .unwrap()
                .parse()
                .unwrap();
            for line in text(hole).lines() {
                out += &format!("{}{line}\n", " ".repeat(spaces));
            }
        } else {
            let mut rest = line;
            while let Some((before, after)) = rest.split_once("{{") {
                let (hole, after) = after.split_once("}}").unwrap();
                out += before;
                out += &text(hole);
                rest = after;
            }
            out += &format!("{rest}\n");
        }
    }
    out
}

/// Objects by kind and name.
fn by_name(documents: Vec<Value>) -> BTreeMap<String, Value> {
    let name = |d: &Value| format!("{} {}", kind(d), d["metadata"]["name"]);
    documents.into_iter().map(|d| (name(&d), d)).collect()
}

fn base() -> BTreeMap<String, Value> {
    let kustomization = &documents(&read("base/kustomization.yaml"), "base")[0];
    let resources = kustomization["resources"].as_array().unwrap();
    let read = |r: &Value| documents(&read(&format!("base/{}", r.as_str().unwrap())), "base");
    by_name(resources.iter().flat_map(read).collect())
}

fn values() -> BTreeMap<String, Value> {
    let value = documents(&read("chart/values.yaml"), "values").remove(0);
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_chart_renders_to_the_base() {
    assert_eq!(by_name(chart(&values())), base());
    let out = Command::new("helm")
        .args(["template", "x"])
        .arg(folder().join("chart"))
        .output();
    match out {
        Err(_) => println!("skipped: there is no helm"),
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(
                out.status.success(),
                "{}",
                String::from_utf8_lossy(&out.stderr)
            );
            assert_eq!(by_name(documents(&text, "helm")), base());
        }
    }
}

fn printed(file: &Path, args: &[&str]) -> String {
    let out = lyceum()
        .arg("cluster")
        .arg(file)
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {said}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn what_the_command_prints_for_kubernetes_is_the_base_with_the_scenarios_values() {
    let file = catalogue::folder().join("quickstart.toml");
    let printed = by_name(documents(
        &printed(&file, &["--nodes", "5", "--for", "k8s"]),
        "printed",
    ));
    assert_eq!(
        printed.keys().collect::<Vec<_>>(),
        base().keys().collect::<Vec<_>>()
    );
    printed.values().for_each(holds);
    let nodes = &printed["Job \"lyceum-nodes\""]["spec"];
    assert_eq!(
        (&nodes["completions"], &nodes["parallelism"]),
        (&5.into(), &5.into())
    );
    let scenario = &printed["ConfigMap \"lyceum-scenario\""]["data"]["scenario.toml"];
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(scenario.as_str().unwrap().trim(), text.trim());
}

#[test]
fn what_the_command_prints_elsewhere_is_what_is_read_there() {
    let file = catalogue::folder().join("quickstart.toml");
    let compose = documents(
        &printed(&file, &["--nodes", "2", "--for", "compose"]),
        "compose",
    );
    let services = compose[0]["services"].as_object().unwrap();
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["coordinator", "node-0", "node-1"]);
    for (name, service) in services {
        let command: Vec<String> = serde_json::from_value(service["command"].clone()).unwrap();
        understood(name, &command);
    }
    let script = printed(&file, &["--nodes", "2", "--for", "slurm"]);
    assert!(script.starts_with("#!/usr/bin/env bash\n#"), "{script}");
    assert!(script.contains("#SBATCH --ntasks=3\n"), "{script}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.sh");
    fs::write(&path, &script).unwrap();
    match Command::new("bash").arg("-n").arg(&path).status() {
        Ok(status) => assert!(status.success()),
        Err(e) => println!("skipped: bash: {e}"),
    }
    let units = printed(&file, &["--nodes", "2", "--for", "systemd"]);
    for line in units
        .lines()
        .filter_map(|l| l.strip_prefix("ExecStart=/usr/local/bin/lyceum "))
    {
        let args: Vec<String> = line.split(' ').map(Into::into).collect();
        understood("systemd", &args);
    }
    assert_eq!(units.matches("ExecStart=").count(), 2);
}

/// A name in a query that is no function, label or number is that of a measure.
#[test]
fn every_query_of_the_dashboard_names_a_measure_that_is_served() {
    let dashboard: Value =
        serde_json::from_str(&read("overlays/monitoring/dashboard.json")).unwrap();
    let served: BTreeSet<String> = crate::health::measures();
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let named: Vec<&str> = query
                .split(word)
                .filter(|w| w.starts_with("lyceum_"))
                .collect();
            assert!(!named.is_empty(), "{query}");
            for name in named {
                assert!(
                    served.contains(name),
                    "{query}: {name} is not in {served:?}"
                );
            }
            queries += 1;
        }
    }
    assert!(queries >= 10);
}

#[test]
fn an_image_without_a_version_is_refused() {
    let file = catalogue::folder().join("quickstart.toml");
    for image in ["lyceum", "lyceum:latest", "host:5000/lyceum"] {
        let mut command = lyceum();
        command.arg("cluster").arg(&file);
        command.args(["--nodes", "1", "--for", "k8s", "--image", image]);
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("expected a version or a digest"), "{said}");
    }
}
