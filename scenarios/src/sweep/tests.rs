use super::*;

const FILE: &str = r#"
[run]
name = "many"
seed = 3
rounds = 3
[data]
set = "digits"
clients = 10
[data.partition.iid]
[model.softmax]
[training]
rate = 0.5
[selection.uniform]
per_round = 4
[strategy.fed_prox]
mu = 0.5
"#;

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.engines.push(lyceum_core::Engine {
        name: "fused",
        summary: "",
        build: |_| Err("none here".into()),
    });
    registry
}

fn with(table: &str, set: &[&str]) -> Result<Sweep, String> {
    let text = format!("{FILE}{table}");
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    Sweep::read(&registry(), "a.toml", &text, &set, None).map_err(|e| e.to_string())
}

fn single(set: &[&str]) -> Scenario {
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    Scenario::read(&registry(), "a.toml", FILE, &set).unwrap_or_else(|e| panic!("{e}"))
}

fn labels(sweep: &Sweep) -> Vec<&str> {
    sweep.points.iter().map(|p| p.label.as_str()).collect()
}

fn refused(table: &str, set: &[&str]) -> String {
    with(table, set).err().unwrap_or_else(|| panic!("{table}"))
}

const GRID: &str = r#"
[sweep]
seeds = "4..6"
[sweep.over]
"training.rate" = [0.1, 0.01]
strategy = ["fed_avg", { fed_prox = { mu = 0.1 } }]
[[sweep.point]]
label = "ours"
set = { training.batch = 7, strategy = { fed_dyn = {} } }
"#;

#[test]
fn a_grid_is_the_product_in_the_order_of_the_file() {
    let sweep = with(GRID, &[]).unwrap();
    let expected = [
        "rate=0.1,strategy=fed_avg",
        "rate=0.1,strategy=fed_prox+mu=0.1",
        "rate=0.01,strategy=fed_avg",
        "rate=0.01,strategy=fed_prox+mu=0.1",
        "ours",
    ];
    assert_eq!(labels(&sweep), expected);
    assert_eq!(
        (sweep.name.as_str(), &sweep.seeds[..]),
        ("many", &[4, 5][..])
    );
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        sweep.points[1].settings,
        [
            pair("training.rate", "0.1"),
            pair("strategy", "fed_prox+mu=0.1")
        ]
    );
}

#[test]
fn a_point_is_the_file_with_the_same_overrides() {
    let sweep = with(GRID, &["run.rounds=9"]).unwrap();
    let sets: [&[&str]; 5] = [
        &["training.rate=0.1", "strategy=fed_avg"],
        &["training.rate=0.1", "strategy={fed_prox={mu=0.1}}"],
        &["training.rate=0.01", "strategy=fed_avg"],
        &["training.rate=0.01", "strategy.fed_prox.mu=0.1"],
        &["training.batch=7", "strategy.fed_dyn={}"],
    ];
    for (point, set) in sweep.points.iter().zip(sets) {
        let set = [set, &["run.rounds=9", "run.seed=5"]].concat();
        let one = single(&set);
        assert_eq!(point.scenario(5).digest(), one.digest(), "{set:?}");
        assert_eq!(point.scenario(5).run.name, point.label);
    }
}

#[test]
fn a_resolved_point_reads_back_as_itself() {
    let scenario = with(GRID, &[]).unwrap().points[1].scenario(4);
    let text = scenario.resolved().to_string();
    let again = Scenario::read(&registry(), "b", &text, &[]);
    let again = again.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again.resolved(), scenario.resolved());
}

#[test]
fn a_file_without_the_table_is_one_point() {
    let sweep = with("", &[]).unwrap();
    assert_eq!((labels(&sweep), sweep.has_table), (vec!["many"], false));
    assert_eq!(sweep.seeds, [3]);
    let only_seeds = with("[sweep]\nseeds = [8, 7]\n", &[]).unwrap();
    assert_eq!(labels(&only_seeds), ["many"]);
    assert_eq!(only_seeds.seeds, [8, 7]);
}

#[test]
fn the_command_line_may_change_the_table_but_not_what_it_sets() {
    let set = ["sweep.over.strategy=[\"fed_avg\"]", "sweep.seeds=\"0..3\""];
    let sweep = with(GRID, &set).unwrap();
    assert_eq!((sweep.points.len(), sweep.seeds.len()), (3, 3));
    for set in ["training.rate=1", "strategy.fed_prox.mu=1", "run.seed=1"] {
        let text = refused(GRID, &[set]);
        assert!(text.contains("is set here and by the sweep"), "{text}");
        assert!(text.contains(&format!("--> --set {set}:1:")), "{text}");
    }
    assert!(
        with(
            "[sweep.over]\nstrategy.fed_prox.mu=[1]",
            &["strategy=fed_prox"]
        )
        .is_ok()
    );
}

#[test]
fn every_value_is_checked_and_shown_where_it_stands() {
    let text = refused(
        "[sweep.over]\n\"training.rate\" = [0.1, -7]\nselection.uniform.per_round = [1, 99]\n",
        &[],
    );
    assert_eq!(text.matches("error:").count(), 2, "each once: {text}");
    assert!(
        text.contains("\"training.rate\" = [0.1, -7]\n   |                         ^^"),
        "{text}"
    );
    let text = refused("[sweep.over]\nselection.uniform.per_round = [1, 99]\n", &[]);
    assert!(text.contains("^^ at most data.clients = 10"), "{text}");
    let text = refused("[sweep.over]\n\"training.rte\" = [1, 2]\n", &[]);
    assert!(text.contains("unknown key `rte`"), "{text}");
    assert!(text.contains("| ^^^^^^^^^^^^^^ "), "{text}");
    let text = refused(
        "[[sweep.point]]\nlabel = \"x\"\nset = { strategy = \"fad\" }",
        &[],
    );
    assert!(text.contains("^^^^^ expected one of fed_avg"), "{text}");
}

#[test]
fn a_wrong_table_gets_a_sentence() {
    let point = |label: &str| format!("[[sweep.point]]\nlabel = {label}\n");
    let long = format!("\"{}\"", "a".repeat(201));
    let thousand = format!("{:?}", (1..=1000).collect::<Vec<_>>());
    let cases = [
        ("[sweep]\nseed = [1]\n".into(), "unknown key `seed`"),
        (
            "[sweep]\nseeds = [1, 1]\n".into(),
            "the seed 1 is there twice",
        ),
        (
            "[sweep]\nseeds = \"5..1\"\n".into(),
            "there is no seed in it",
        ),
        ("[sweep]\nseeds = [-1]\n".into(), "-1 is out of range"),
        (
            "[sweep.over]\ntraining.rate = 1\n".into(),
            "`training.rate` is 1",
        ),
        ("[sweep.over]\ntraining.rate = []\n".into(), "has no values"),
        (
            "[sweep.over]\ntraining.rate = [1, 1]\n".into(),
            "two points have the label `rate=1`",
        ),
        (
            "[sweep.over]\nstrategy = {}\n".into(),
            "`strategy` is a table",
        ),
        (
            "[sweep.over]\nrun.seed = [1]\n".into(),
            "`run.seed` cannot be swept",
        ),
        (
            "[sweep.over]\n\"training..rate\" = [1]\n".into(),
            "is no key",
        ),
        (
            "[sweep.over]\nstrategy = [\"fed_avg\"]\n\"strategy.fed_prox.mu\" = [1]\n".into(),
            "are both swept",
        ),
        ("[[sweep.point]]\nset = {}\n".into(), "a point has no label"),
        (point("\"a b\""), "`a b` cannot label a point"),
        (
            point("\"a\"") + &point("\"a\""),
            "two points have the label `a`",
        ),
        (point(&long), "too long for a folder"),
        (point("\"a\"") + "sett = {}", "unknown key `sett`"),
        ("[sweep]\npoint = 3\n".into(), "points are a list of tables"),
        (
            "[sweep]\nbaseline = \"c\"\n".to_owned() + &point("\"a\"") + &point("\"b\""),
            "no point is called `c`",
        ),
        (
            format!("[sweep]\nseeds = \"0..11\"\nover.run.rounds = {thousand}"),
            "a sweep of 11000 runs",
        ),
    ];
    for (table, expected) in cases {
        let text = refused(&table, &[]);
        assert_eq!(text.matches("error:").count(), 1, "{table}{text}");
        assert!(text.contains(expected), "{table}{text}");
        assert!(text.contains('^'), "{table}{text}");
    }
}

#[test]
fn a_single_scenario_has_no_sweep() {
    let text = format!("{FILE}{GRID}");
    let refused = Scenario::read(&registry(), "a.toml", &text, &[]);
    let text = refused.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(text.contains("a sweep is many scenarios"), "{text}");
}

#[test]
fn keys_that_end_alike_are_written_out() {
    let table = "[sweep.over]\ntraining.rate = [1]\nexpert.rate = [1]\n";
    let sweep = with(table, &[]).unwrap();
    assert_eq!(labels(&sweep), ["training.rate=1,expert.rate=1"]);
}

#[test]
fn a_baseline_is_a_label_or_parts_of_labels() {
    let labels = [
        "rate=1,rule=a",
        "rate=1,rule=b",
        "rate=2,rule=a",
        "rate=2,rule=b",
        "c",
    ];
    let found = |baseline| -> Vec<Option<String>> {
        let map = baselines(&labels, baseline);
        labels.iter().map(|l| map.get(*l).cloned()).collect()
    };
    let all = |label: &str| vec![Some(label.to_owned()); 5];
    assert_eq!(found(None), all("rate=1,rule=a"));
    assert_eq!(found(Some("c")), all("c"));
    let text = |label: &str| Some(label.to_owned());
    assert_eq!(
        found(Some("rule=a")),
        [
            text("rate=1,rule=a"),
            text("rate=1,rule=a"),
            text("rate=2,rule=a"),
            text("rate=2,rule=a"),
            None
        ]
    );
    assert!(baselines(&labels, Some("d")).is_empty());
    assert!(baselines(&labels, Some("rule=z")).is_empty());
}

#[test]
fn seeds_are_a_range_or_a_list() {
    assert_eq!(seeds("0..3"), Ok(vec![0, 1, 2]));
    assert_eq!(seeds("1,7, 42"), Ok(vec![1, 7, 42]));
    for (bad, why) in [
        ("", "a range such as 0..5"),
        ("3..3", "there is no seed in it"),
        ("a", "a range such as 0..5"),
        ("1..b", "a range such as 0..5"),
        ("0..99999999", "at most 10000"),
        ("1,2,1", "the seed 1 is there twice"),
        ("18446744073709551615", "a range such as 0..5"),
    ] {
        let wrong = seeds(bad).unwrap_err();
        assert!(wrong.contains(why), "{bad}: {wrong}");
    }
}
