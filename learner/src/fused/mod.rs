//! The fused engine: known layers on the processor, without a graph.
//!
//! Forward, backward and update run over one arena of buffers per learner, which only ever grow: a step
//! of a size that was seen before allocates nothing, takes no lock and starts no thread. The same inputs
//! give the same bits.
//!
//! Images are kept channels last, their channels padded to whole vectors; flat values are kept as columns
//! (width x rows), so that no product needs a transposed copy. An activation or a pooling is done where the
//! layer in front of it gives its result.

mod conv;
mod dense;
mod flatten;
mod local;
mod loss;
mod losses;
mod norm;
mod plan;
mod pointwise;
mod pool;

use kernel::{Onto, all_near, transpose};
use lyceum_core::{
    Backward, Batch, Features, Forward, Learner, Mode, Network, Noise, Operation, Params, Samples,
    Update, step_by_gradient, wide,
};
use lyceum_layers::{Contrast, kernel};
use plan::{Dropout, DropoutForm, Kind, Make, Op};

/// A learner for any network, on one thread.
#[derive(Debug)]
pub struct FusedLearner {
    network: Network,
    params: Vec<f32>,
    /// Parameters that were loaded, and stand in place of `params` until a step has written those.
    loaded: Option<Params>,
    ops: Vec<Op>,
    arena: Arena,
    /// Answers of the last step, for its logits.
    seen: usize,
    /// Sum of the squared losses of its rows, where it was one of training.
    squares: f64,
}

/// What is kept from step to step.
#[derive(Debug, Default)]
struct Arena {
    rooms: Vec<Room>,
    /// Slopes behind and in front of the operation that is walked back.
    slope: Vec<f32>,
    next: Vec<f32>,
    /// One row of logits, and of slopes.
    row: Vec<f32>,
    line: Vec<f32>,
    /// Weight of each answer, where a row has several.
    weights: Vec<f32>,
    /// The loss of pairs, and their outputs row by row.
    contrast: Contrast,
    by_row: Vec<f32>,
}

/// Buffers of one operation.
#[derive(Debug, Default)]
struct Room {
    output: Vec<f32>,
    /// Where in its window each maximum was found.
    found: Vec<u32>,
    /// A dropout mask, laid out as the output, and as it is drawn.
    mask: Vec<f32>,
    drawn: Vec<f32>,
    /// Whether the mask acted on the way forward.
    masked: bool,
    dense: dense::Scratch,
    local: local::Scratch,
    conv: conv::Scratch,
    norm: norm::Scratch,
    /// What a layer of a kind of its own does.
    open: Option<Box<dyn Operation>>,
    /// Its slope, where several operations go on from its result, and whether any has brought its part.
    gathered: Vec<f32>,
    is_fed: bool,
}

impl Room {
    fn of(op: &Op, make: Option<&Make<'_>>) -> Self {
        Self {
            open: op.kind.operation(make),
            ..Self::default()
        }
    }

    /// Takes up a part of the slope.
    fn feed(&mut self, part: &[f32]) {
        let gathered = room(&mut self.gathered, part.len());
        match std::mem::replace(&mut self.is_fed, true) {
            false => gathered.copy_from_slice(part),
            true => gathered.iter_mut().zip(part).for_each(|(g, p)| *g += p),
        }
    }
}

/// The first `len` values of a buffer that only ever grows, so that no step fills it anew.
fn room<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}

impl FusedLearner {
    /// A learner with all parameters zero.
    pub fn new(network: &Network) -> Self {
        Self::made(network, None)
    }

    /// A learner whose layers somebody else makes, all but those that it leaves.
    pub(crate) fn apart(network: &Network, make: &Make<'_>) -> Self {
        Self::made(network, Some(make))
    }

    fn made(network: &Network, make: Option<&Make<'_>>) -> Self {
        let ops = plan::ops(network, make.is_some());
        let rooms = ops.iter().map(|op| Room::of(op, make)).collect();
        Self {
            network: network.clone(),
            params: vec![0.0; network.layout().len()],
            loaded: None,
            ops,
            seen: 0,
            squares: 0.0,
            arena: Arena {
                rooms,
                ..Arena::default()
            },
        }
    }

    fn forward(&mut self, batch: &Batch, mode: Mode<'_>) {
        self.seen = self.answers(batch);
        let Self {
            params,
            loaded,
            ops,
            arena,
            ..
        } = self;
        let params = loaded.as_deref().unwrap_or(params);
        for (index, op) in ops.iter().enumerate() {
            let (before, after) = arena.rooms.split_at_mut(index);
            let input = op.input(op.source, ops, before, batch);
            if let Kind::Add { other } = op.kind {
                let other = op.input(other, ops, before, batch);
                let out = room(&mut after[0].output, input.len());
                let values = input.iter().zip(other);
                out.iter_mut()
                    .zip(values)
                    .for_each(|(o, (a, b))| *o = a + b);
            } else {
                op.forward(params, input, batch, mode, &mut after[0]);
            }
        }
    }

    /// Answers to a batch: one a row, or one for each place of its sequence.
    fn answers(&self, batch: &Batch) -> usize {
        batch.rows() * self.network.answers()
    }

    /// Logits of the last forward walk, classes x rows.
    fn logits_now<'a>(&'a self, batch: &'a Batch) -> &'a [f32] {
        match self.arena.rooms.last() {
            Some(room) => &room.output[..self.answers(batch) * self.network.classes()],
            None => &batch.inputs,
        }
    }

    /// The mean loss; writes its gradient times `scale` to `grad`.
    fn gradient(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32], scale: f32) -> f32 {
        if batch.rows() == 0 {
            grad.fill(0.0);
            self.squares = 0.0;
            return 0.0;
        }
        self.forward(batch, mode);
        let loss = self.loss(batch);
        self.walk_back(batch, Sink::Gradient(grad, scale));
        loss
    }

    /// Walks from the slope at the logits to the first tensor, through what the walk forward left behind, and brings every gradient to where it goes.
    fn walk_back(&mut self, batch: &Batch, mut sink: Sink<'_, '_>) {
        let Self {
            params,
            loaded,
            ops,
            arena,
            ..
        } = self;
        let rows = batch.rows();
        let Some(first) = ops.iter().position(Op::has_params) else {
            return;
        };
        arena.rooms.iter_mut().for_each(|room| room.is_fed = false);
        for index in (first..ops.len()).rev() {
            let op = &ops[index];
            let (before, after) = arena.rooms.split_at_mut(index);
            let own = &mut after[0];
            if op.gathered {
                std::mem::swap(&mut arena.slope, &mut own.gathered);
            }
            let slope = &mut arena.slope[..rows * op.width];
            let is_asked = |source: &usize| *source >= first;
            if let Kind::Add { other } = op.kind {
                // Where a side alone goes on from it, the slope goes on as it is.
                let gathers = |side: &usize| is_asked(side) && ops[*side].gathered;
                let sides = [other, op.source].into_iter().flatten();
                sides
                    .filter(gathers)
                    .for_each(|side| before[side].feed(slope));
                continue;
            }
            let asked = op.source.filter(is_asked);
            let input = op.input(op.source, ops, before, batch);
            let back = Back {
                input,
                slope,
                rows,
                wanted: asked.map(|_| room(&mut arena.next, input.len())),
            };
            let len = input.len();
            let params = (&mut params[..], loaded.as_deref());
            op.walk_back(params, back, own, &mut sink);
            match asked {
                Some(source) if ops[source].gathered => before[source].feed(&arena.next[..len]),
                _ => std::mem::swap(&mut arena.slope, &mut arena.next),
            }
        }
        // Every operation has written its own; the tensors of none come last.
        let used = ops.iter().map(Op::end).max().unwrap_or(0);
        match (sink, loaded.take()) {
            (Sink::Update(_), Some(loaded)) => params[used..].copy_from_slice(&loaded[used..]),
            (Sink::Update(_), None) => {}
            (Sink::Gradient(grad, _), unchanged) => {
                grad[used..].fill(0.0);
                *loaded = unchanged;
            }
        }
    }
}

/// Where gradients go.
enum Sink<'a, 'b> {
    /// To their places in a flat vector, times a factor.
    Gradient(&'a mut [f32], f32),
    /// Into the parameters, operation by operation, as soon as nothing asks for the old ones.
    Update(&'a mut Update<'b>),
}

/// What an operation sees on the way back.
struct Back<'a> {
    input: &'a [f32],
    /// Slope behind the operation; used up.
    slope: &'a mut [f32],
    rows: usize,
    /// Where the slope in front of it is to be written.
    wanted: Option<&'a mut [f32]>,
}

impl Op {
    /// What an operation before this one gave for a batch, or the batch.
    fn input<'a>(
        &self,
        source: Option<usize>,
        ops: &[Self],
        before: &'a [Room],
        batch: &'a Batch,
    ) -> &'a [f32] {
        match source {
            Some(source) => &before[source].output[..batch.rows() * ops[source].width],
            None => &batch.inputs,
        }
    }

    fn forward(
        &self,
        params: &[f32],
        input: &[f32],
        batch: &Batch,
        mode: Mode<'_>,
        own: &mut Room,
    ) {
        let rows = batch.rows();
        let out = room(&mut own.output, rows * self.width);
        match &self.kind {
            Kind::Open(_) => self.forward_open(params, input, (batch, mode), own),
            Kind::Arrange(image) => image.spread_rows(input, out),
            Kind::Transpose { width } => transpose(input, *width, out),
            Kind::Dense(dense) => dense.forward(params, input, rows, out, &mut own.dense),
            Kind::Local(local) => {
                let own = (&mut own.dense, &mut own.local);
                local.forward(params, input, rows, (mode, out), own);
            }
            Kind::Conv(conv) => {
                let found = room(
                    &mut own.found,
                    if conv.pool.is_some() { out.len() } else { 0 },
                );
                conv.forward(params, input, out, found, &mut own.conv);
            }
            Kind::MaxPool(pool) => {
                let found = room(&mut own.found, out.len());
                let places = out
                    .chunks_exact_mut(pool.results())
                    .zip(found.chunks_exact_mut(pool.results()));
                for (image, (out, found)) in input.chunks_exact(pool.values()).zip(places) {
                    pool.max(image, out, found);
                }
            }
            Kind::AvgPool(pool) => pool.means(input, out),
            Kind::Activation(activation) => {
                out.copy_from_slice(input);
                wide(
                    #[inline(always)]
                    || activation.apply(out.iter_mut(), |v| v),
                );
            }
            Kind::Dropout(dropout) => dropout.forward(input, rows, mode, own),
            Kind::Norm(norm) => norm.forward(params, input, rows, mode, out, &mut own.norm),
            Kind::Flatten(image) => image.as_columns(input, rows, out),
            Kind::Binary => behind_zeros(input, out),
            Kind::Rows { .. } => transpose(input, rows, out),
            Kind::Gather(image) => image.gather_rows(input, out),
            Kind::Add { .. } => unreachable!("takes two values, and is added up where both are"),
        }
    }

    fn forward_open(
        &self,
        params: &[f32],
        input: &[f32],
        (batch, mode): (&Batch, Mode<'_>),
        own: &mut Room,
    ) {
        let rows = batch.rows();
        let open = own.open.as_mut().expect("an open layer has an operation");
        if let (None, Some(few)) = (self.source, batch.few.rows()) {
            open.expect_few(few, input.len());
        }
        open.forward(Forward {
            params: &params[self.params.clone()],
            input,
            rows,
            mode,
            output: &mut own.output[..rows * self.width],
        });
    }

    fn walk_back(
        &self,
        (params, loaded): (&mut [f32], Option<&[f32]>),
        back: Back<'_>,
        own: &mut Room,
        sink: &mut Sink<'_, '_>,
    ) {
        let fetch = |params: &mut [f32]| {
            if let Some(loaded) = loaded {
                params[self.params.clone()].copy_from_slice(&loaded[self.params.clone()]);
            }
        };
        match (&self.kind, sink) {
            (Kind::Dense(dense), Sink::Update(update)) if update.is_direct(&self.params) => {
                let Back {
                    input,
                    slope,
                    rows,
                    wanted,
                } = back;
                let now = loaded.unwrap_or(params);
                dense.slopes(now, &own.output, slope, rows, wanted);
                let mut write = |target: &mut [f32], keep, scale, old| {
                    let target = (target, Onto { keep, scale, old });
                    dense.gradients(input, slope, rows, target, &mut own.dense);
                };
                if loaded.is_some() && update.is_plain_descent() {
                    write(params, 1.0, -update.rate, loaded);
                } else {
                    fetch(params);
                    let write = |target: &mut [f32], keep, scale| write(target, keep, scale, None);
                    update.direct(self.params.clone(), params, write);
                }
            }
            (Kind::Local(local), Sink::Update(update)) => {
                let Back { input, slope, .. } = back;
                let rows = back.rows;
                let (now, values) = (loaded.unwrap_or(params), (input, &own.output[..]));
                let next = (rows, back.wanted);
                local.slopes(now, values, slope, next, &mut own.local);
                if let Some(loaded) = loaded {
                    for half in [local.params(), local.spread_params()] {
                        params[half.clone()].copy_from_slice(&loaded[half]);
                    }
                }
                local.update(params, (input, slope), rows, update, &mut own.local);
            }
            (_, Sink::Gradient(grad, scale)) => {
                self.backward(loaded.unwrap_or(params), back, (grad, *scale), own);
            }
            (_, Sink::Update(update)) => {
                let grad = (&mut update.memory.grad[..], 1.0);
                self.backward(loaded.unwrap_or(params), back, grad, own);
                fetch(params);
                update.apply_range(self.params.clone(), params);
            }
        }
    }

    /// Writes the gradients of the parameters times `scale` to their places in `grad`, and the slope at the input.
    fn backward(
        &self,
        params: &[f32],
        back: Back<'_>,
        (grad, scale): (&mut [f32], f32),
        own: &mut Room,
    ) {
        let Back {
            input,
            slope,
            rows,
            wanted,
        } = back;
        match &self.kind {
            Kind::Dense(dense) => {
                dense.slopes(params, &own.output, slope, rows, wanted);
                let target = (&mut *grad, Onto::scaled(scale));
                dense.gradients(input, slope, rows, target, &mut own.dense);
            }
            Kind::Local(local) => {
                let values = (input, &own.output[..]);
                local.slopes(params, values, slope, (rows, wanted), &mut own.local);
                let own = (&mut own.dense, &mut own.local);
                local.gradients((input, slope), rows, (grad, scale), own);
            }
            Kind::Conv(conv) => {
                let values = (input, &own.output[..slope.len()], slope);
                conv.backward(params, values, &own.found, grad, wanted, &mut own.conv);
                self.scale(grad, scale);
            }
            Kind::Norm(norm) => {
                norm.backward(params, input, slope, rows, grad, wanted, &mut own.norm);
                self.scale(grad, scale);
            }
            Kind::Open(_) => {
                let pass = Backward {
                    params: &params[self.params.clone()],
                    input,
                    output: &own.output[..slope.len()],
                    slope,
                    rows,
                    gradient: &mut grad[self.params.clone()],
                    wanted,
                };
                let open = own.open.as_mut().expect("an open layer has an operation");
                open.backward(pass);
                self.scale(grad, scale);
            }
            kind => {
                if let Some(next) = wanted {
                    kind.walk_back(slope, rows, own, next);
                }
            }
        }
    }

    /// Behind the last of its parameters.
    fn end(&self) -> usize {
        match &self.kind {
            Kind::Local(local) => local.spread_params().end,
            _ => self.params.end,
        }
    }

    fn scale(&self, grad: &mut [f32], scale: f32) {
        if scale != 1.0 {
            let own = &mut grad[self.params.clone()];
            own.iter_mut().for_each(|g| *g *= scale);
        }
    }
}

/// A column, with one of zeros before it.
fn behind_zeros(input: &[f32], out: &mut [f32]) {
    let (zeros, values) = out.split_at_mut(input.len());
    zeros.fill(0.0);
    values.copy_from_slice(input);
}

impl Kind {
    /// Takes the slope to in front of a layer without parameters.
    fn walk_back(&self, slope: &[f32], rows: usize, own: &Room, next: &mut [f32]) {
        match self {
            Self::MaxPool(pool) => {
                let places = slope
                    .chunks_exact(pool.results())
                    .zip(own.found.chunks_exact(pool.results()));
                for (next, (slope, found)) in next.chunks_exact_mut(pool.values()).zip(places) {
                    pool.spread(slope, found, next);
                }
            }
            Self::AvgPool(pool) => {
                let slopes = slope.chunks_exact(pool.results());
                for (next, slope) in next.chunks_exact_mut(pool.values()).zip(slopes) {
                    pool.mean_backward(slope, next);
                }
            }
            Self::Activation(activation) => {
                next.copy_from_slice(slope);
                wide(
                    #[inline(always)]
                    || activation.walk_back(&own.output, next),
                );
            }
            Self::Dropout(_) if !own.masked => next.copy_from_slice(slope),
            Self::Dropout(_) => {
                let kept = slope.iter().zip(&own.mask);
                next.iter_mut().zip(kept).for_each(|(n, (s, m))| *n = s * m);
            }
            Self::Flatten(image) => image.spread_columns(slope, rows, next),
            Self::Binary => next.copy_from_slice(&slope[rows..]),
            Self::Arrange(image) => image.gather_rows(slope, next),
            Self::Transpose { width } => transpose(slope, slope.len() / width, next),
            Self::Rows { width } => transpose(slope, *width, next),
            Self::Gather(image) => {
                next.fill(0.0);
                image.spread_rows(slope, next);
            }
            Self::Dense(_)
            | Self::Add { .. }
            | Self::Open(_)
            | Self::Local(_)
            | Self::Conv(_)
            | Self::Norm(_) => {
                unreachable!("sums and layers with tensors are walked back by themselves")
            }
        }
    }
}

impl Dropout {
    fn forward(&self, input: &[f32], rows: usize, mode: Mode<'_>, own: &mut Room) {
        own.masked = mode.noise().is_some();
        let Some(noise) = mode.noise() else {
            return own.output[..input.len()].copy_from_slice(input);
        };
        self.draw(noise, rows, own);
        let kept = input.iter().zip(&own.mask);
        let out = own.output.iter_mut().zip(kept);
        out.for_each(|(o, (x, m))| *o = x * m);
    }

    /// Draws the mask of this step and lays it out as the values are.
    fn draw(&self, noise: Noise, rows: usize, own: &mut Room) {
        let drawn = room(&mut own.drawn, rows * self.width);
        noise.mask(self.layer, self.share, drawn);
        match self.form {
            DropoutForm::Images(image) => {
                image.spread_rows(drawn, room(&mut own.mask, rows * image.values()));
            }
            DropoutForm::Columns => {
                transpose(drawn, self.width, room(&mut own.mask, drawn.len()));
            }
            DropoutForm::Rows => room(&mut own.mask, drawn.len()).copy_from_slice(drawn),
        }
    }
}

impl Learner for FusedLearner {
    fn load(&mut self, params: &Params) {
        assert_eq!(
            params.len(),
            self.params.len(),
            "a value for each parameter"
        );
        // Whoever trains many clients from one model would count its users up and down for nothing.
        if !self.loaded.as_ref().is_some_and(|l| l.is_same(params)) {
            self.loaded = Some(params.clone());
        }
    }

    /// Asks for as much as stays near until it is packed.
    fn expect(&self, pool: &Samples, places: &mut dyn Iterator<Item = u32>) {
        const NEAR: usize = 64 << 10;
        let width = pool.width();
        let most = |size: usize| NEAR / (width * size).max(1);
        let values = |place: u32| place as usize * width..(place as usize + 1) * width;
        match &pool.features {
            Features::U8(all) => places.take(most(1)).for_each(|p| all_near(&all[values(p)])),
            Features::F32(all) => places.take(most(4)).for_each(|p| all_near(&all[values(p)])),
            Features::U16(all) => places.take(most(2)).for_each(|p| all_near(&all[values(p)])),
            Features::Sparse(_) | Features::Pairs(_) => {}
        }
    }

    fn params(&self) -> &[f32] {
        self.loaded.as_deref().unwrap_or(&self.params)
    }

    fn params_mut(&mut self) -> &mut [f32] {
        if let Some(loaded) = self.loaded.take() {
            self.params.copy_from_slice(&loaded);
        }
        &mut self.params
    }

    fn descend(
        &mut self,
        start: &Params,
        batch: &Batch,
        mode: Mode<'_>,
        rate: f32,
        out: &mut Vec<f32>,
    ) -> f32 {
        out.resize(start.len(), 0.0);
        self.load(start);
        self.gradient(batch, mode, out, -rate)
    }

    fn backward(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32]) -> f32 {
        self.gradient(batch, mode, grad, 1.0)
    }

    fn step(&mut self, batch: &Batch, mode: Mode<'_>, update: &mut Update<'_>) -> f32 {
        if batch.rows() == 0 || update.clip.is_some() {
            // A clipped gradient must be known as a whole before any of it is applied.
            return step_by_gradient(self, batch, mode, update);
        }
        self.forward(batch, mode);
        let loss = self.loss(batch);
        update.begin(self.params.len());
        self.walk_back(batch, Sink::Update(update));
        loss
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        if batch.rows() == 0 {
            return;
        }
        self.forward(batch, Mode::Evaluate);
        out.resize(self.answers(batch) * self.network.classes(), 0.0);
        transpose(self.logits_now(batch), self.answers(batch), out);
    }

    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        let Some(width) = self.network.features().filter(|_| batch.rows() > 0) else {
            return;
        };
        self.forward(batch, Mode::Evaluate);
        // A last dense layer is an operation of its own, and takes columns, or the rows of the batch; where every layer is one, rows.
        let (head, by_row) = match &self.ops[..] {
            [.., head, last] if matches!(last.kind, Kind::Transpose { .. }) => (Some(head), true),
            [.., last] => (Some(last), false),
            [] => (None, false),
        };
        let before = head.and_then(|op| op.source);
        match before.map(|index| &self.arena.rooms[index].output[..batch.rows() * width]) {
            Some(rows) if by_row => out.extend_from_slice(rows),
            Some(columns) => {
                out.resize(columns.len(), 0.0);
                transpose(columns, batch.rows(), out);
            }
            None => out.extend_from_slice(&batch.inputs),
        }
    }

    fn seen_squares(&self) -> f64 {
        self.squares
    }

    fn seen_logits(&mut self, out: &mut Vec<f32>) {
        out.clear();
        let classes = self.network.classes();
        if let Some(room) = self.arena.rooms.last() {
            out.resize(self.seen * classes, 0.0);
            transpose(&room.output[..self.seen * classes], self.seen, out);
        }
    }
}
