//! Queries, candidates that may answer them, and which of them do.

use crate::{Chain, Sparse};
use std::{ops::Range, sync::Arc};

/// What is looked for, and what may be found. Shared read-only by all samples that are pairs of both.
///
/// **Invariant:** rows hold places below `width`; candidates of queries, scopes and `common` are below the number of candidates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corpus {
    /// Values of a query, and of a candidate.
    pub width: usize,
    /// Features of the candidates.
    pub candidates: Sparse,
    /// Candidates before this one are seen by every query.
    pub common: u32,
    /// Ranges of candidates that queries may see besides, each list ascending and apart.
    pub scopes: Vec<Vec<[u32; 2]>>,
    queries: Sparse,
    /// Where the relevant candidates of each query end in the list of all.
    ends: Vec<usize>,
    relevant: Vec<u32>,
    /// Scope of each query, and the candidate before which it ends for it.
    sights: Vec<(u32, u32)>,
}

impl Corpus {
    /// Candidates that nobody asks for yet: rows of `width` values, how many of the first are common, and the scopes of queries.
    pub fn new(width: usize, candidates: Sparse, common: u32, scopes: Vec<Vec<[u32; 2]>>) -> Self {
        Self {
            width,
            candidates,
            common,
            scopes,
            ..Self::default()
        }
    }

    /// Appends a query: its features, the candidates that answer it, and what it sees besides the common ones: the part of a scope
    /// in front of a candidate.
    pub fn ask(
        &mut self,
        row: impl Iterator<Item = (u32, f32)>,
        mut relevant: Vec<u32>,
        sight: (u32, u32),
    ) {
        relevant.sort_unstable();
        relevant.dedup();
        self.queries.push(row);
        self.relevant.extend(relevant);
        self.ends.push(self.relevant.len());
        self.sights.push(sight);
    }

    /// Features of what is looked for.
    pub fn queries(&self) -> &Sparse {
        &self.queries
    }

    /// Candidates that answer a query, ascending.
    pub fn relevant(&self, query: u32) -> &[u32] {
        let query = query as usize;
        let start = query.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.relevant[start..self.ends[query]]
    }

    /// Candidates that a query may be answered by: ranges that ascend and are apart.
    pub fn seen(&self, query: u32) -> impl Iterator<Item = Range<u32>> + '_ {
        let (scope, before) = self.sights[query as usize];
        let own = self.scopes.get(scope as usize).into_iter().flatten();
        let own = own.map(move |[start, end]| *start.max(&self.common)..(*end).min(before));
        std::iter::once(0..self.common)
            .chain(own)
            .filter(|range| !range.is_empty())
    }

    /// Adds all of it to a chain.
    pub fn chained(&self, chain: &mut Chain) {
        for rows in [&self.queries, &self.candidates] {
            for (places, values) in (0..rows.len()).map(|row| rows.row(row)) {
                let places: Vec<u8> = places.iter().flat_map(|p| p.to_le_bytes()).collect();
                chain.add(&places).floats(values);
            }
        }
        let lists = self.relevant.iter().map(|&c| u64::from(c));
        let ends = self.ends.iter().map(|&end| end as u64);
        let scopes = self.scopes.iter().flatten().flatten();
        let scopes = scopes.map(|&c| u64::from(c));
        let sights = self.sights.iter().flat_map(|&(a, b)| [a.into(), b.into()]);
        let numbers = lists.chain(ends).chain(scopes).chain(sights);
        let numbers = numbers.chain([self.common.into(), self.width as u64]);
        numbers.for_each(|n| {
            chain.number(n);
        });
    }
}

/// Samples that are pairs of a query and a candidate: the values of both, the query's first.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    /// Where both stand.
    pub corpus: Arc<Corpus>,
    /// Query and candidate of each sample.
    pub of: Vec<[u32; 2]>,
    /// Most pairs of a query that a pass of training goes through, drawn anew for each; `None` for all.
    pub most: Option<u32>,
}

impl Pairs {
    /// Mean bytes of a pair as it is stored.
    pub(crate) fn mean_bytes(&self) -> usize {
        let mean = |rows: &Sparse| 8 * rows.kept().len().div_ceil(rows.len().max(1));
        mean(&self.corpus.queries) + mean(&self.corpus.candidates)
    }

    /// What of the query and of the candidate of a pair is not zero.
    pub(crate) fn kept(&self, index: usize) -> [(&[u32], &[f32]); 2] {
        let [query, candidate] = self.of[index];
        [
            self.corpus.queries.row(query as usize),
            self.corpus.candidates.row(candidate as usize),
        ]
    }

    /// Writes the values of a pair to `out`.
    #[inline(always)]
    pub(crate) fn pack(&self, index: usize, out: &mut [f32]) {
        let [query, candidate] = self.of[index];
        let (first, second) = out.split_at_mut(self.corpus.width);
        self.corpus.queries.spread(query as usize, first);
        self.corpus.candidates.spread(candidate as usize, second);
    }
}

/// Which rows of a batch of pairs belong to each other besides their own halves. Reused from step to step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kin {
    /// Rows `[i, j]`, not the same, of which the second's candidate answers the first's query; ascending by the first.
    pub rows: Vec<[u32; 2]>,
    /// Candidates of the batch with their rows, ascending.
    sorted: Vec<[u32; 2]>,
}

impl Kin {
    /// Forgets the rows.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Finds them among pairs at these places.
    pub(crate) fn find(&mut self, pairs: &Pairs, places: impl Iterator<Item = usize> + Clone) {
        self.rows.clear();
        self.sorted.clear();
        let rows = (0..).zip(places.clone());
        self.sorted
            .extend(rows.map(|(row, place)| [pairs.of[place][1], row]));
        self.sorted.sort_unstable();
        for (row, place) in (0..).zip(places) {
            for &candidate in pairs.corpus.relevant(pairs.of[place][0]) {
                let first = self.sorted.partition_point(|[other, _]| *other < candidate);
                let same = self.sorted[first..].iter();
                let same = same.take_while(|[other, _]| *other == candidate);
                let others = same.map(|[_, other]| *other).filter(|other| *other != row);
                self.rows.extend(others.map(|other| [row, other]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus {
        let mut candidates = Sparse::default();
        (0..9).for_each(|c| candidates.push([(c % 3, 1.0)].into_iter()));
        let scopes = vec![vec![], vec![[2, 4], [5, 9]]];
        let mut corpus = Corpus::new(3, candidates, 2, scopes);
        corpus.ask([(0, 0.5)].into_iter(), vec![3, 0], (1, 7));
        corpus.ask([(1, 0.5)].into_iter(), vec![1], (0, 9));
        corpus.ask([(2, 0.5)].into_iter(), vec![0, 3, 4], (1, 3));
        corpus
    }

    #[test]
    fn a_query_sees_the_common_ones_and_its_scope_up_to_itself() {
        let corpus = corpus();
        let seen = |query| corpus.seen(query).collect::<Vec<_>>();
        assert_eq!(seen(0), [0..2, 2..4, 5..7]);
        assert_eq!(seen(1), std::slice::from_ref(&(0..2)));
        assert_eq!(seen(2), [0..2, 2..3]);
        assert_eq!(corpus.relevant(0), [0, 3]);
        assert_eq!(corpus.relevant(2), [0, 3, 4]);
    }

    /// Pairs (0, 3), (2, 0), (1, 1), (0, 0), (2, 3): the queries 0 and 2 share the candidates 0 and 3.
    #[test]
    fn answers_of_other_rows_are_found() {
        let pairs = Pairs {
            corpus: Arc::new(corpus()),
            of: vec![[0, 3], [2, 0], [1, 1], [0, 0], [2, 3]],
            most: None,
        };
        let mut kin = Kin::default();
        kin.find(&pairs, 0..5);
        let mut rows = kin.rows.clone();
        rows.sort_unstable();
        let want = [
            [0, 1],
            [0, 3],
            [0, 4],
            [1, 0],
            [1, 3],
            [1, 4],
            [3, 0],
            [3, 1],
            [3, 4],
            [4, 0],
            [4, 1],
            [4, 3],
        ];
        assert_eq!(rows, want);
        let mut out = [9.0; 6];
        pairs.pack(4, &mut out);
        assert_eq!(out, [0.0, 0.0, 0.5, 1.0, 0.0, 0.0]);
    }
}
