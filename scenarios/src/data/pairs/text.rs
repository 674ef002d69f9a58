//! Texts as sparse rows: tokens and runs of three characters, hashed by CRC-32.

use lyceum_core::Sparse;

/// Tokens of a text: identifiers, the parts of those with `.` or `_` in them, and single symbols.
///
/// An identifier begins with a letter, a number that is no decimal digit, or `_`, and goes on with these, digits, `'` and `.`. White
/// space and `()[]{},:` are no tokens.
pub(super) fn tokens(text: &str, mut tell: impl FnMut(&str)) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match begins_word(first) {
            true => rest.find(|c| !goes_on(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        rest = behind;
        if begins_word(first) {
            tell(token);
            let parts = token.split(['.', '_']);
            let has_parts = token.contains(['.', '_']);
            parts
                .filter(|part| has_parts && !part.is_empty())
                .for_each(&mut tell);
        } else if !is_word(first) && !first.is_whitespace() && !"()[]{},:".contains(first) {
            tell(token);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn begins_word(c: char) -> bool {
    is_word(c) && !is_decimal(c)
}

fn goes_on(c: char) -> bool {
    is_word(c) || c == '\'' || c == '.'
}

/// Decimal digits: those of ASCII, and the mathematical ones.
fn is_decimal(c: char) -> bool {
    c.is_ascii_digit() || ('\u{1d7ce}'..='\u{1d7ff}').contains(&c)
}

/// Every run of three characters.
fn runs_of_three(text: &str, tell: impl FnMut(&str)) {
    let starts = text.char_indices().map(|(at, _)| at);
    let ends = text.char_indices().skip(2);
    let ends = ends.map(|(at, c)| at + c.len_utf8());
    starts.zip(ends).map(|(a, b)| &text[a..b]).for_each(tell);
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = match sum & 1 {
                0 => sum >> 1,
                _ => sum >> 1 ^ 0xedb8_8320,
            };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

static TABLE: [u32; 256] = table();

/// The CRC-32 of IEEE 802.3 of a byte and a text behind it.
fn crc32(first: u8, text: &str) -> u32 {
    let bytes = std::iter::once(first).chain(text.bytes());
    !bytes.fold(u32::MAX, |sum, byte| {
        sum >> 8 ^ TABLE[usize::from(sum as u8 ^ byte)]
    })
}

/// Counts what is in texts, by bucket.
pub(super) struct Counter {
    counts: Vec<u32>,
    met: Vec<u32>,
}

impl Counter {
    pub(super) fn new(buckets: usize) -> Self {
        Self {
            counts: vec![0; buckets],
            met: Vec::new(),
        }
    }

    /// How often each bucket is met in a text: buckets ascend.
    pub(super) fn count(&mut self, text: &str) -> Vec<(u32, u32)> {
        let Self { counts, met } = self;
        met.clear();
        let buckets = counts.len();
        let mut add = |kind: u8, piece: &str| {
            let bucket = crc32(kind, piece) as usize % buckets;
            if counts[bucket] == 0 {
                met.push(bucket as u32);
            }
            counts[bucket] += 1;
        };
        tokens(text, |token| add(b't', token));
        runs_of_three(text, |run| add(b'g', run));
        met.sort_unstable();
        let counted = met.iter();
        counted
            .map(|&b| (b, std::mem::take(&mut counts[b as usize])))
            .collect()
    }
}

/// Texts as counts of buckets.
pub(super) type Counts = Vec<Vec<(u32, u32)>>;

/// The logarithm of how rare each bucket is among texts: `ln((n + 1) / (df + 1))`.
pub(super) fn rarity<'a>(
    texts: impl ExactSizeIterator<Item = &'a Vec<(u32, u32)>>,
    buckets: usize,
) -> Vec<f32> {
    let all = texts.len();
    let mut with = vec![0_usize; buckets];
    texts
        .flatten()
        .for_each(|(bucket, _)| with[*bucket as usize] += 1);
    let rarity = |with: usize| ((all + 1) as f64 / (with + 1) as f64).ln() as f32;
    with.into_iter().map(rarity).collect()
}

/// Roots of counts times rarities, scaled to length 1.
pub(super) fn weigh(counts: &[(u32, u32)], rarity: &[f32]) -> Vec<(u32, f32)> {
    let value = |&(bucket, count): &(u32, u32)| {
        let root = (count as f32).sqrt();
        (bucket, root * rarity[bucket as usize])
    };
    let mut row: Vec<_> = counts
        .iter()
        .map(value)
        .filter(|(_, v)| *v != 0.0)
        .collect();
    let square: f32 = row.iter().map(|(_, v)| v * v).sum();
    let scale = 1.0 / square.sqrt().max(1e-9);
    row.iter_mut().for_each(|(_, v)| *v *= scale);
    row
}

/// Rows of texts, one behind the other.
pub(super) fn rows(counts: &Counts, rarity: &[f32]) -> Sparse {
    let mut rows = Sparse::default();
    for counts in counts {
        rows.push(weigh(counts, rarity).into_iter());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        tokens(text, |token| all.push(token.to_owned()));
        all
    }

    #[test]
    fn tokens_are_identifiers_with_their_parts_and_symbols() {
        assert_eq!(
            told("(h₁ : Nat.add_comm' a 12 = 𝟙_ b) ∧ x.1"),
            [
                "h₁",
                "Nat.add_comm'",
                "Nat",
                "add",
                "comm'",
                "a",
                "=",
                "_",
                "b",
                "∧",
                "x.1",
                "x",
                "1"
            ]
        );
        assert_eq!(told("1a ₂b"), ["a", "₂b"]);
    }

    /// The check value of the standard, and what zlib says.
    #[test]
    fn sums_are_those_of_the_standard() {
        assert_eq!(crc32(b'1', "23456789"), 0xcbf4_3926);
        assert_eq!(crc32(b't', "∀"), 0x719d_7d7a);
    }

    /// "ab ab": the token ab twice; runs "ab ", "b a", " ab".
    #[test]
    fn pieces_are_counted_and_weighed() {
        let mut counter = Counter::new(4096);
        let counts = counter.count("ab ab");
        assert_eq!(counts.iter().map(|(_, n)| n).sum::<u32>(), 5);
        assert!(counts.is_sorted());
        assert_eq!(counter.count("ab ab"), counts);
        let lonely = counter.count("xyz");
        let texts = [counts.clone(), lonely];
        let rarity = rarity(texts.iter(), 4096);
        let row = weigh(&counts, &rarity);
        let square: f32 = row.iter().map(|(_, v)| v * v).sum();
        assert!((square - 1.0).abs() < 1e-6);
        let ab = (crc32(b't', "ab") % 4096, 2);
        assert!(counts.contains(&ab));
        assert_eq!(rarity[ab.0 as usize], 1.5_f32.ln());
    }
}
