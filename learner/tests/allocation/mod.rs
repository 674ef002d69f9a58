//! Promise: a step of a size that was seen before allocates nothing.
#![allow(unsafe_code)]

use super::{
    batch,
    blocks::{residual_images, small_transformer},
    built, cnn, every_second_norm, mlp, normalised_cnn, params, train,
    variational::{local, variational},
};
use lyceum_core::{Batch, Mode, Moments, Network, Optimizer, Resolved, ResolvedStrength, Update};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting the calls of each thread.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn allocations(work: impl FnOnce()) -> u64 {
    let before = CALLS.with(Cell::get);
    work();
    CALLS.with(Cell::get) - before
}

fn steps(network: &Network, optimizer: Optimizer, clip: Option<f32>) {
    let anchor = params(network, 1);
    let objective = Resolved {
        pulls: vec![(ResolvedStrength::Uniform(0.1), &anchor)],
        shifts: vec![&anchor],
        ..Resolved::default()
    };
    let mut learner = built("fused", network).expect("the fused engine is always there");
    learner.load(&anchor.clone().into());
    let mut memory = Moments::new(network.layout());
    let batches: Vec<Batch> = [7, 3].map(|rows| batch(network, rows, true, 1)).into();
    let (mut logits, mut grad) = (Vec::new(), vec![0.0; anchor.len()]);
    let fixed = every_second_norm(network);
    let mut pass = || {
        for (batch, fixed) in batches.iter().zip([&[], &fixed[..]]) {
            let mut update = Update {
                optimizer,
                rate: 0.01,
                weight_decay: 0.01,
                clip,
                objective: &objective,
                memory: &mut memory,
            };
            learner.step(batch, train(1, fixed), &mut update);
            learner.backward(batch, Mode::Evaluate, &mut grad);
            learner.logits(batch, &mut logits);
        }
    };
    pass();
    assert_eq!(allocations(pass), 0, "{optimizer:?}, clip {clip:?}");
}

#[test]
fn a_steady_step_allocates_nothing() {
    assert_eq!(
        allocations(|| drop(black_box(Box::new(1)))),
        1,
        "the counter counts"
    );
    let adam = Optimizer::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
    };
    let momentum = |momentum| Optimizer::Sgd { momentum };
    let posteriors = [variational(mlp(), 2), local(mlp(), 1), local(mlp(), 2)];
    let plain = [
        mlp(),
        cnn(),
        normalised_cnn(),
        residual_images(),
        small_transformer(),
    ];
    for network in plain.into_iter().chain(posteriors) {
        for optimizer in [momentum(0.0), momentum(0.9), adam] {
            steps(&network, optimizer, None);
            steps(&network, optimizer, Some(0.5));
        }
    }
}
