use lyceum_core::*;
use std::time::Instant;
fn main() {
    let what = std::env::args().nth(1).unwrap_or("cnn".into());
    let name = std::env::args().nth(2).unwrap_or("fused".into());
    let rows: usize = std::env::args().nth(3).map_or(32, |v| v.parse().unwrap());
    let conv = |channels| Layer::Conv { channels, kernel: 3, stride: 1, padding: 0 };
    let pool = || Layer::MaxPool { size: 2, stride: None };
    let d = |units| Layer::Dense { units };
    let (shape, layers) = match &what[..] {
        "cnn" => (vec![1, 28, 28], vec![conv(16), Layer::Relu {}, pool(), conv(32), Layer::Relu {}, pool(), d(10)]),
        "c1" => (vec![1, 28, 28], vec![conv(16), d(10)]),
        "mlp" => (vec![784], vec![d(200), Layer::Relu {}, d(200), Layer::Relu {}, d(10)]),
        _ => (vec![784], vec![d(10)]),
    };
    let net = Network::new(&shape, 10, layers, Init::He).unwrap();
    let engine = lyceum_learner::engines().into_iter().find(|e| e.name == name).unwrap();
    let mut l = (engine.build)(&net).unwrap();
    l.load(&net.initial(Seed(1)));
    let mut batch = Batch::default();
    batch.inputs = (0..rows * net.inputs()).map(|i| ((i * 7919) % 255) as f32 / 255.0).collect();
    batch.labels = (0..rows as u32).map(|i| i % 10).collect();
    let mut m = Moments::new(net.layout());
    let obj = Resolved::default();
    let mut times = vec![];
    for i in 0..400 {
        let t = Instant::now();
        let mut u = Update { optimizer: Optimizer::Sgd { momentum: 0.0 }, rate: 0.01, weight_decay: 0.0, clip: None, objective: &obj, memory: &mut m };
        l.step(&batch, &mut u);
        if i > 20 { times.push(t.elapsed().as_secs_f64()); }
    }
    times.sort_by(f64::total_cmp);
    println!("{what} {name} {rows}: {:.1} us/step median, {:.1} min, {:.0} samples/s", times[times.len() / 2] * 1e6, times[0] * 1e6, rows as f64 / times[0]);
}
