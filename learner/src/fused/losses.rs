//! The loss of a batch, and its slope at the logits (classes x rows).

use super::{Arena, FusedLearner, kernel::transpose, loss, room};
use lyceum_core::{Batch, Contrastive, Loss, Target};
use lyceum_layers::PairRows;

impl FusedLearner {
    /// Weighted mean loss; leaves its slope at the logits, classes x rows.
    pub(super) fn loss(&mut self, batch: &Batch) -> f32 {
        let labelled = batch.goals.is_empty();
        match batch.loss {
            Loss::Contrastive(how) => self.contrastive_loss(batch, how),
            _ if !batch.aims.is_empty() => self.aimed_loss(batch),
            Loss::CrossEntropy if labelled => self.cross_entropy(batch),
            Loss::Sigmoid if labelled => self.sigmoid_loss(batch),
            kind => {
                let wanted = batch.wanted();
                self.by_row(batch, |row, z, (weight, share), slope| {
                    slope.fill(0.0);
                    let loss = kind.slope(z, wanted.of(row), None, weight * share, slope);
                    (weight * loss, loss)
                }) * self.share(batch)
            }
        }
    }

    /// What an answer's loss counts in the mean.
    fn share(&self, batch: &Batch) -> f32 {
        1.0 / self.answers(batch) as f32
    }

    fn cross_entropy(&mut self, batch: &Batch) -> f32 {
        let (rows, classes) = (self.answers(batch), self.network.classes());
        let (each, share) = (self.network.answers(), self.share(batch));
        let Arena {
            rooms,
            slope,
            row,
            line,
            weights,
            ..
        } = &mut self.arena;
        let logits = rooms.last().map_or(&batch.inputs[..], |room| &room.output);
        let slope = room(slope, rows * classes);
        let mut of_answers = &batch.weights[..];
        if each > 1 {
            let of_row = |w: &f32| std::iter::repeat_n(*w, each);
            weights.clear();
            weights.extend(batch.weights.iter().flat_map(of_row));
            of_answers = weights;
        }
        let labels = (batch.answers(), of_answers);
        let logits = &logits[..rows * classes];
        let (total, squares) = loss::softmax_slopes(logits, labels, share, slope, (row, line));
        self.squares = squares;
        share * total
    }

    fn sigmoid_loss(&mut self, batch: &Batch) -> f32 {
        let labels = batch.answers();
        self.by_row(batch, |row, z, (weight, share), slope| {
            slope.copy_from_slice(z);
            let loss = loss::sigmoid_slope(slope, labels[row] as usize, weight * share);
            (weight * loss, loss)
        }) * self.share(batch)
    }

    /// For rows that are masked or matched.
    fn aimed_loss(&mut self, batch: &Batch) -> f32 {
        let (each, wanted) = (self.network.answers(), batch.wanted());
        let total = self.by_row(batch, |row, z, (weight, share), slope| {
            let wanted: (Target<'_>, f32) = (wanted.of(row), weight);
            let aims = &batch.aims;
            let loss = aims.slope(batch.loss, row / each, z, wanted, share, slope);
            (loss, loss)
        });
        total / self.answers(batch) as f32
    }

    /// Sum of what each answer counts. `of_row` is told the answer, its logits, its weight and its share of the mean; it writes the slope,
    /// and says what the answer counts and its loss by itself.
    fn by_row(
        &mut self,
        batch: &Batch,
        mut of_row: impl FnMut(usize, &[f32], (f32, f32), &mut [f32]) -> (f32, f32),
    ) -> f32 {
        let (rows, classes) = (self.answers(batch), self.network.classes());
        let (each, share) = (self.network.answers(), self.share(batch));
        let Arena {
            rooms,
            slope,
            row: own,
            line,
            ..
        } = &mut self.arena;
        let logits = rooms.last().map_or(&batch.inputs[..], |room| &room.output);
        let slope = room(slope, rows * classes);
        own.resize(classes, 0.0);
        line.resize(classes, 0.0);
        let (mut total, mut squares) = (0.0, 0.0);
        for row in 0..rows {
            let weight = batch.weights.get(row / each).copied().unwrap_or(1.0);
            for (to, from) in own.iter_mut().zip(logits[row..].iter().step_by(rows)) {
                *to = *from;
            }
            let (counts, loss) = of_row(row, own, (weight, share), line);
            total += counts;
            squares += loss::square(loss);
            for (to, from) in slope[row..].iter_mut().step_by(rows).zip(&*line) {
                *to = *from;
            }
        }
        self.squares = squares;
        total
    }

    /// For pairs, whose candidates are those of the batch.
    fn contrastive_loss(&mut self, batch: &Batch, how: Contrastive) -> f32 {
        let (rows, width) = (batch.rows(), self.network.classes());
        let Arena {
            rooms,
            slope,
            contrast,
            by_row,
            next,
            ..
        } = &mut self.arena;
        let outputs = rooms.last().map_or(&batch.inputs[..], |room| &room.output);
        let by_row = room(by_row, rows * width);
        transpose(&outputs[..rows * width], rows, by_row);
        let pairs = PairRows {
            outputs: by_row,
            rows,
            kin: &batch.kin.rows,
            weights: &batch.weights,
            temperature: how.temperature.get() as f32,
        };
        let slopes = room(next, rows * width);
        let (loss, each) = contrast.slopes(pairs, slopes);
        self.squares = each.iter().map(|l| loss::square(*l)).sum();
        transpose(slopes, width, room(slope, rows * width));
        loss
    }
}
