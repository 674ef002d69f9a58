//! Whole models against PyTorch. The files in `tests/golden` hold what `tests/independent/text_models.py` printed.

use super::{CharLstm, Gpt, Model, TextClassifier};
use lyceum_core::{Forward, Layer, Mode, Network, Seed};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{fs, path::Path};

#[derive(Deserialize)]
struct Case {
    settings: Value,
    input_shape: Vec<usize>,
    classes: usize,
    rows: usize,
    params: Vec<f32>,
    input: Vec<f32>,
    output: Vec<f64>,
}

/// What a layer makes of the values of all rows, one operation after the other.
fn value(layer: &Layer, place: usize, shape: &[usize], of: (&[f32], Vec<f32>, usize)) -> Vec<f32> {
    let (params, input, rows) = of;
    match layer {
        Layer::Open(open) => {
            let out: usize = open.kind().output(shape).unwrap().iter().product();
            let mut output = vec![f32::NAN; rows * out];
            open.kind().operation(place, shape).forward(Forward {
                params,
                input: &input,
                rows,
                mode: Mode::Evaluate,
                output: &mut output,
            });
            output
        }
        Layer::Dense { units } => {
            let (weight, bias) = params.split_at(units * shape[0]);
            let samples = input.chunks_exact(shape[0]);
            let unit = |x: &[f32], at: usize| {
                let line = &weight[at * shape[0]..][..shape[0]];
                let sum: f32 = line.iter().zip(x).map(|(w, x)| w * x).sum();
                sum + bias[at]
            };
            samples
                .flat_map(|x| (0..*units).map(move |at| unit(x, at)))
                .collect()
        }
        Layer::Relu {} => input.into_iter().map(|x| x.max(0.0)).collect(),
        Layer::Dropout { .. } => input,
        other => panic!("no model has a `{}`", other.name()),
    }
}

fn run(network: &Network, case: &Case) -> Vec<f32> {
    let mut kept = Vec::new();
    let mut now = case.input.clone();
    let layers = network.layers().iter().zip(network.shapes()).enumerate();
    for (place, (layer, shape)) in layers {
        let own = format!("{place}.");
        let entries = network.layout().entries().iter();
        let params: Vec<f32> = entries
            .filter(|entry| entry.name.starts_with(&own))
            .flat_map(|entry| case.params[entry.range()].to_vec())
            .collect();
        match layer {
            Layer::Fork {} => kept.push(now.clone()),
            Layer::Join {} => {
                let other = kept.pop().unwrap();
                now.iter_mut().zip(other).for_each(|(a, b)| *a += b);
            }
            _ => now = value(layer, place, shape, (&params, now, case.rows)),
        }
    }
    now
}

fn compare<M: Model + DeserializeOwned>(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let model: M = serde_json::from_value(case.settings.clone()).unwrap();
        let network = model.network(&case.input_shape, case.classes).unwrap();
        assert_eq!(network.layout().len(), case.params.len(), "{name}");
        let output = run(&network, &case);
        assert_eq!(output.len(), case.output.len(), "{name}");
        let scale = case.output.iter().fold(1.0_f64, |top, w| top.max(w.abs()));
        for (got, want) in output.iter().zip(&case.output) {
            let off = (f64::from(*got) - want).abs();
            assert!(off <= 1e-5 * scale, "{name}: {got}, PyTorch has {want}");
        }
    }
}

#[test]
fn char_lstm_is_what_pytorch_computes() {
    compare::<CharLstm>("char_lstm");
}

#[test]
fn gpt_is_what_pytorch_computes() {
    compare::<Gpt>("gpt");
}

#[test]
fn text_classifier_is_what_pytorch_computes() {
    compare::<TextClassifier>("text_classifier");
}

fn read<M: DeserializeOwned>(settings: Value) -> M {
    serde_json::from_value(settings).unwrap()
}

/// 80 x 8, then 4 x 256 x (8 + 256 + 2), 4 x 256 x (256 + 256 + 2) and 256 x 80 + 80.
#[test]
fn char_lstm_has_the_size_of_leafs_model_with_two_biases() {
    let model: CharLstm = read(json!({}));
    let network = model.network(&[80], 80).unwrap();
    assert_eq!(network.layout().len(), 640 + 272_384 + 526_336 + 20_560);
    assert_eq!(network.shapes().last().unwrap(), &[80]);
}

/// GPT-2 small has 124,439,808 parameters, with the head's weights in common with the embedding's.
#[test]
fn gpt_has_the_size_of_gpt_2_and_starts_like_it() {
    let model: Gpt = read(json!({ "layers": 12, "heads": 12, "width": 768 }));
    let network = model.network(&[1024], 50_257).unwrap();
    assert_eq!(network.layout().len() - 50_257 * 768, 124_439_808);
    assert_eq!(network.shapes().last().unwrap(), &[1024, 50_257]);
    let model: Gpt = read(json!({ "layers": 2, "heads": 2, "width": 64, "dropout": 0.1 }));
    let network = model.network(&[16], 10).unwrap();
    let start = network.initial(Seed(3));
    for (name, deviation) in [
        ("0.weight", 0.02),
        ("5.input_weight", 0.02),
        ("5.output_weight", 0.01),
    ] {
        let values = &start[network.layout().find(name).unwrap().range()];
        let square: f32 = values.iter().map(|v| v * v).sum();
        let found = (square / values.len() as f32).sqrt();
        assert!((found / deviation - 1.0).abs() < 0.1, "{name}: {found}");
    }
    assert!(network.has_dropout());
}

#[test]
fn sizes_that_make_no_sense_are_refused_in_words() {
    let of = |settings| {
        read::<Gpt>(settings)
            .network(&[8], 5)
            .unwrap_err()
            .to_string()
    };
    let heads = of(json!({ "layers": 1, "heads": 3, "width": 8 }));
    assert!(
        heads.contains("3 heads do not divide a width of 8"),
        "{heads}"
    );
    let layers = of(json!({ "layers": 5000, "heads": 2, "width": 8 }));
    assert!(layers.contains("from 1 to 1000"), "{layers}");
    let text: TextClassifier = read(json!({ "width": 4 }));
    let image = text.network(&[3, 8, 8], 5).unwrap_err().to_string();
    assert!(image.contains("needs flat values"), "{image}");
    let model: CharLstm = read(json!({}));
    let image = model.network(&[3, 8, 8], 5).unwrap_err().to_string();
    assert!(image.contains("needs a sequence of tokens"), "{image}");
}
