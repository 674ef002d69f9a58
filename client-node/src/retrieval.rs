//! Judging by pairs: every query against all candidates that it sees.

use crate::{Worker, scores::CHUNK};
use lyceum_core::{Corpus, Pairs, Params, Retrieval, Shard, Standing, Tally, wide};
use lyceum_layers::{kernel::transpose, matrix::Matrix, room, to_length_1};
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// Queries whose scores are found together.
const QUERIES: usize = 32;
/// How many first candidates are looked at.
const FIRST: usize = 10;

/// Candidates as the last model embeds them, shared by the workers of a node.
#[derive(Debug, Default)]
pub(crate) struct LastEmbedded(Mutex<Option<(Params, Arc<Vec<f32>>)>>);

/// The scores of some queries. Buffers only ever grow.
#[derive(Default)]
struct Scores {
    /// Queries turned round, and scores as the product gives them: candidates x queries.
    turned: Vec<f32>,
    product: Vec<f32>,
    /// Scores of the common candidates, queries x candidates, and of those behind them that some query sees.
    common: Vec<f32>,
    own: Vec<f32>,
    /// Which candidates both are.
    ranges: [Range<u32>; 2],
}

impl Worker {
    /// Loads a model, or takes the one that the learner holds, and judges it by pairs.
    pub(crate) fn retrieve(
        &mut self,
        shard: &Shard,
        pairs: &Pairs,
        model: Option<&Params>,
    ) -> Tally {
        let candidates = match model {
            None => Arc::new(self.embed(&pairs.corpus)),
            Some(model) => {
                self.load(model);
                self.embedded(&pairs.corpus, model)
            }
        };
        let width = self.node.network.classes() / 2;
        let mut tally = Tally::new(self.node.network.classes());
        let mut found = Retrieval::default();
        let mut queries = vec![0.0; CHUNK * width];
        let mut scores = Scores::default();
        let positions: Vec<u32> = (0..shard.len() as u32).collect();
        for chunk in positions.chunks(CHUNK) {
            shard.pack(chunk, &mut self.batch);
            self.learner.logits(&self.batch, &mut self.logits);
            self.find_losses();
            let rows = self.logits.chunks_exact(2 * width);
            for (row, out) in rows.zip(queries.chunks_exact_mut(width)) {
                to_length_1(&row[..width], out);
            }
            for start in (0..chunk.len()).step_by(QUERIES) {
                let rows = start..chunk.len().min(start + QUERIES);
                let ids: Vec<u32> = rows
                    .clone()
                    .map(|r| pairs.of[shard.indices[chunk[r] as usize] as usize][0])
                    .collect();
                let some = &queries[rows.start * width..rows.end * width];
                scores.find(&pairs.corpus, &ids, &candidates, some);
                for (row, standing) in rows.zip(scores.standings(&pairs.corpus, &ids)) {
                    let label = self.batch.labels[row];
                    found.add(label, standing);
                    tally.add(label, standing.in_10 > 0, self.losses[row]);
                }
            }
        }
        tally.retrieval = Some(Box::new(found));
        tally
    }

    /// The candidates as a model embeds them, found once for all units that it is judged in.
    fn embedded(&mut self, corpus: &Corpus, model: &Params) -> Arc<Vec<f32>> {
        let node = self.node.clone();
        let last = node.embedded.0.lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((of, values)) if of.is_same(model) || **of == **model => values.clone(),
            _ => {
                let values = Arc::new(self.embed(corpus));
                *last = Some((model.clone(), values.clone()));
                values
            }
        }
    }

    /// All candidates as the learner's model embeds them, at length 1: candidates x width.
    fn embed(&mut self, corpus: &Corpus) -> Vec<f32> {
        let (all, width) = (corpus.candidates.len(), self.node.network.classes() / 2);
        let mut embedded = vec![0.0; all * width];
        let chunks = embedded.chunks_mut(CHUNK * width);
        for (start, out) in (0..).step_by(CHUNK).zip(chunks) {
            let end = (all as u32).min(start + CHUNK as u32);
            self.batch.pack_candidates(corpus, start..end);
            self.learner.logits(&self.batch, &mut self.logits);
            let rows = self.logits.chunks_exact(2 * width);
            for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
                to_length_1(&row[width..], out);
            }
        }
        embedded
    }
}

impl Scores {
    /// Finds the scores of queries, ids x width, with the candidates that some of them see.
    fn find(&mut self, corpus: &Corpus, ids: &[u32], candidates: &[f32], queries: &[f32]) {
        let (count, width) = (ids.len(), queries.len() / ids.len());
        let behind = ids.iter().flat_map(|&id| corpus.seen(id));
        let behind = behind.filter(|range| range.start >= corpus.common);
        let (start, end) = behind.fold((u32::MAX, 0), |(start, end), range| {
            (start.min(range.start), end.max(range.end))
        });
        let own = start.min(end)..end;
        self.ranges = [0..corpus.common, own];
        let queries = Matrix::new(queries, count, width).turned(&mut self.turned);
        let parts = [&mut self.common, &mut self.own];
        for (range, part) in self.ranges.iter().zip(parts) {
            let (start, end) = (range.start as usize, range.end as usize);
            if range.is_empty() {
                continue;
            }
            let candidates = &candidates[start * width..end * width];
            let product = room(&mut self.product, range.len() * count);
            Matrix::new(candidates, range.len(), width).times(queries, product);
            transpose(product, count, room(part, range.len() * count));
        }
    }

    /// Scores of a query with a range of candidates that it sees.
    fn line(&self, query: usize, range: Range<u32>) -> &[f32] {
        if range.is_empty() {
            return &[];
        }
        let is_common = range.start < self.ranges[0].end;
        let (all, values) = match is_common {
            true => (&self.ranges[0], &self.common),
            false => (&self.ranges[1], &self.own),
        };
        let at = query * all.len() + (range.start - all.start) as usize;
        &values[at..at + range.len()]
    }

    /// Where what answers each query stands. Of equal scores the first candidate stands before the others; what is no number
    /// stands nowhere.
    fn standings(&self, corpus: &Corpus, ids: &[u32]) -> Vec<Standing> {
        let queries = ids.iter().enumerate();
        queries.map(|query| self.standing(corpus, query)).collect()
    }

    fn standing(&self, corpus: &Corpus, (query, &id): (usize, &u32)) -> Standing {
        let relevant = corpus.relevant(id);
        let is_seen = |c: &u32| corpus.seen(id).any(|range| range.contains(c));
        let score = |c: u32| (self.line(query, c..c + 1)[0], c);
        let seen = relevant.iter().copied().filter(is_seen).map(score);
        let mut seen: Vec<(f32, u32)> = seen.filter(|(score, _)| !score.is_nan()).collect();
        seen.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        // What stands behind ten of them cannot be among the first ten.
        seen.truncate(FIRST);
        let before: Vec<u64> = seen
            .into_iter()
            .map(|own| self.before(corpus, (query, id), own))
            .collect();
        let within = |most: u64| before.iter().filter(|n| **n < most).count() as u64;
        Standing {
            relevant: relevant.len() as u64,
            in_1: within(1),
            in_10: within(FIRST as u64),
            first: before.first().map(|n| n + 1),
        }
    }

    /// How many candidates that a query sees stand before one of them.
    fn before(&self, corpus: &Corpus, (query, id): (usize, u32), (score, own): (f32, u32)) -> u64 {
        let count = |range: Range<u32>| {
            let middle = own.clamp(range.start, range.end);
            let ahead = self.line(query, range.start..middle);
            let behind = self.line(query, middle..range.end);
            wide(
                #[inline(always)]
                || {
                    let ahead: u32 = ahead.iter().map(|s| u32::from(*s >= score)).sum();
                    let behind: u32 = behind.iter().map(|s| u32::from(*s > score)).sum();
                    u64::from(ahead + behind)
                },
            )
        };
        corpus.seen(id).map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two common candidates and four behind them; both queries see the common ones, the first the next two, the second all.
    fn corpus() -> Corpus {
        let scopes = vec![vec![[2, 4]], vec![[2, 6]], vec![[4, 6]]];
        let mut corpus = Corpus::new(1, Default::default(), 2, scopes);
        corpus.ask(std::iter::empty(), vec![1, 3, 5], (0, 9));
        corpus.ask(std::iter::empty(), vec![0, 5], (1, 9));
        corpus.ask(std::iter::empty(), vec![5], (2, 9));
        corpus
    }

    /// Scores 3 1 4 1 5 9 of the first and their negatives of the second. The first query's own candidates have 1 and 1, behind 3 and
    /// 4, and sees no more of them; the second's have -3 and -9: behind -1, -1, and behind all others.
    #[test]
    fn standings_by_hand() {
        let (corpus, mut scores) = (corpus(), Scores::default());
        let candidates = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0];
        scores.find(&corpus, &[0, 1], &candidates, &[1.0, -1.0]);
        let found = scores.standings(&corpus, &[0, 1]);
        let want = |relevant, first| Standing {
            relevant,
            in_1: 0,
            in_10: 2,
            first: Some(first),
        };
        assert_eq!(found, [want(3, 3), want(2, 3)]);
        let before = |query, id, own: u32| {
            let score = scores.line(query, own..own + 1)[0];
            scores.before(&corpus, (query, id), (score, own))
        };
        assert_eq!((before(0, 0, 1), before(0, 0, 3)), (2, 3));
        assert_eq!((before(1, 1, 0), before(1, 1, 5)), (2, 5));
    }

    /// Scores 3 1 and, behind candidates that nobody sees, 5 4.
    #[test]
    fn what_nobody_sees_has_no_score() {
        let (corpus, mut scores) = (corpus(), Scores::default());
        let candidates = [3.0, 1.0, 9.0, 9.0, 5.0, 4.0];
        scores.find(&corpus, &[2], &candidates, &[1.0]);
        assert_eq!(scores.standings(&corpus, &[2])[0].first, Some(2));
    }

    #[test]
    fn a_model_that_diverged_finds_nothing_first() {
        let (corpus, mut scores) = (corpus(), Scores::default());
        scores.find(&corpus, &[1], &[f32::NAN; 6], &[1.0]);
        let found = scores.standings(&corpus, &[1]);
        let nothing = Standing {
            relevant: 2,
            ..Standing::default()
        };
        assert_eq!(found, [nothing]);
    }
}
