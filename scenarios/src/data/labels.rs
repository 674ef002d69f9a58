//! Labels as a table writes them, and the classes that they stand for. Numbers are compared digit by digit, never as
//! floating-point values, so that no two of them fall together.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Names that a message lists before it counts the others.
const LISTED: usize = 12;

/// How tables write that a value is missing, in small letters.
const MISSING: [&str; 8] = ["na", "n/a", "null", "none", "nil", "missing", "?", "-"];

/// Whether a cell says that its value is missing.
pub(super) fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell.trim().to_ascii_lowercase().as_str())
}

/// The labels of one or several files: given beforehand, or collected while the files are read.
pub(super) struct Labels {
    /// Number of every text: its class if the classes are given, else its place in `seen`.
    numbers: BTreeMap<String, u32>,
    /// Texts as they first appear; the given classes.
    seen: Vec<String>,
    given: Option<Given>,
}

/// Classes that are known before a file is read.
struct Given {
    /// Class of each value, if all names are numbers.
    values: Option<BTreeMap<Decimal, u32>>,
}

/// What the labels of all files come to.
pub(super) struct Classes {
    /// Class of each label's number.
    pub(super) of: Vec<u32>,
    /// Name of each class.
    pub(super) names: Vec<String>,
}

impl Labels {
    /// Whatever comes is a label.
    pub(super) fn open() -> Self {
        Self {
            numbers: BTreeMap::new(),
            seen: Vec::new(),
            given: None,
        }
    }

    /// Only these classes are known, in this order. The error is the second name of one class.
    pub(super) fn given(classes: &[String]) -> Result<Self, String> {
        let numbered = || (0..).zip(classes);
        let mut numbers = BTreeMap::new();
        for (class, name) in numbered() {
            if numbers.insert(name.clone(), class).is_some() {
                return Err(name.clone());
            }
        }
        let pairs = numbered().map(|(class, name)| Some((Decimal::parse(name)?, class)));
        let values: Option<BTreeMap<Decimal, u32>> = pairs.collect();
        if values.as_ref().is_some_and(|v| v.len() < classes.len()) {
            return Err(classes.join(", "));
        }
        Ok(Self {
            numbers,
            seen: classes.to_vec(),
            given: Some(Given { values }),
        })
    }

    /// The number of a label; none if the classes are given and it is not among them.
    pub(super) fn number(&mut self, text: &str) -> Option<u32> {
        if let Some(&number) = self.numbers.get(text) {
            return Some(number);
        }
        let number = match &self.given {
            None => {
                self.seen.push(text.to_owned());
                self.seen.len() as u32 - 1
            }
            Some(given) => {
                let values = given.values.as_ref()?;
                *values.get(&Decimal::parse(text)?)?
            }
        };
        self.numbers.insert(text.to_owned(), number);
        Some(number)
    }

    /// What a label can be, for messages.
    pub(super) fn expected(&self) -> String {
        let counted = (0..).zip(&self.seen);
        let counts = counted
            .into_iter()
            .all(|(n, name): (usize, _)| *name == n.to_string());
        match counts && !self.seen.is_empty() {
            true => format!("0 to {}", self.seen.len() - 1),
            false => format!("one of {}", listed(self.seen.iter())),
        }
    }

    /// Classes in ascending order, by value if all labels are numbers, otherwise as text; given ones as they were given.
    /// Texts of one value, such as 1 and 1.0, are one class, which is called as it is first written.
    pub(super) fn classes(self) -> Classes {
        if self.given.is_some() {
            return Classes {
                of: (0..self.seen.len() as u32).collect(),
                names: self.seen,
            };
        }
        let values: Option<Vec<Decimal>> = self.seen.iter().map(|t| Decimal::parse(t)).collect();
        let mut order: Vec<usize> = (0..self.seen.len()).collect();
        let compare = |a: &usize, b: &usize| match &values {
            Some(values) => values[*a].cmp(&values[*b]),
            None => self.seen[*a].cmp(&self.seen[*b]),
        };
        // Stable: of one value, the text that came first stays first.
        order.sort_by(compare);
        let (mut of, mut names) = (vec![0; order.len()], Vec::new());
        for (at, &number) in order.iter().enumerate() {
            if at == 0 || compare(&order[at - 1], &number) != Ordering::Equal {
                names.push(self.seen[number].clone());
            }
            of[number] = names.len() as u32 - 1;
        }
        Classes { of, names }
    }
}

/// Names for a message, the first of them if there are many.
pub(crate) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let shown: Vec<String> = names.take(LISTED).map(|name| format!("`{name}`")).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A number as it is written, of any length: plus or minus 0.d1d2d3... times a power of ten, without zeros at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    power: i64,
    digits: Vec<u8>,
}

impl Decimal {
    /// Reads a number such as `-1`, `1.50` or `2e3`; nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, text),
        };
        let (plain, power) = match unsigned.split_once(['e', 'E']) {
            Some((plain, power)) => (plain, power.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
        let digits = [whole.as_bytes(), part.as_bytes()].concat();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|&&d| d == b'0').count();
        let end = digits
            .iter()
            .rposition(|&d| d != b'0')
            .map_or(zeros, |p| p + 1);
        let digits = digits[zeros..end].to_vec();
        let zero = digits.is_empty();
        let before = whole.len() as i64 - zeros as i64;
        Some(Self {
            negative: negative && !zero,
            power: if zero {
                0
            } else {
                power.saturating_add(before)
            },
            digits,
        })
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sizes = || (self.power, &self.digits).cmp(&(other.power, &other.digits));
        let signs = self.sign().cmp(&other.sign());
        signs.then_with(|| match self.negative {
            true => sizes().reverse(),
            false => sizes(),
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_value_at_any_length() {
        let texts = [
            "-1e30",
            "-12",
            "-11.5",
            "-0.5",
            "0",
            "1e-9",
            "0.07",
            "0.5",
            "1",
            "9007199254740992",
            "9007199254740993",
            "1234567890123456781",
            "1234567890123456782",
            "1e25",
        ];
        let values: Vec<Decimal> = texts.iter().map(|t| Decimal::parse(t).unwrap()).collect();
        assert!(values.is_sorted_by(|a, b| a < b));
        for (one, other) in [
            ("1", "1.0"),
            ("1e3", "+1000"),
            ("-0", "0.00"),
            (".5", "5e-1"),
            ("007", "7."),
        ] {
            assert_eq!(Decimal::parse(one), Decimal::parse(other), "{one}, {other}");
        }
        for text in [
            "", "-", ".", "1x", "nan", "inf", "1 2", "1e", "--1", "0x1", "1e1.5",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    fn collect(texts: &[&str]) -> (Vec<u32>, Vec<String>) {
        let mut labels = Labels::open();
        let numbers: Vec<u32> = texts.iter().map(|t| labels.number(t).unwrap()).collect();
        let classes = labels.classes();
        let of = numbers.iter().map(|&n| classes.of[n as usize]).collect();
        (of, classes.names)
    }

    #[test]
    fn integers_beyond_53_bits_stay_apart() {
        let (of, names) = collect(&["9007199254740993", "9007199254740992", "9007199254740995"]);
        assert_eq!(of, [1, 0, 2]);
        assert_eq!(
            names,
            ["9007199254740992", "9007199254740993", "9007199254740995"]
        );
    }

    #[test]
    fn one_value_is_one_class_and_texts_are_ordered_as_text() {
        assert_eq!(
            collect(&["10", "2.0", "2"]),
            (vec![1, 0, 0], vec!["2.0".into(), "10".into()])
        );
        let (of, _) = collect(&["10", "2.0", "2", "x"]);
        assert_eq!(of, [0, 2, 1, 3]);
    }

    #[test]
    fn given_classes_keep_their_order_and_know_no_others() {
        let names = ["3", "1"].map(String::from);
        let mut labels = Labels::given(&names).unwrap();
        let numbers = ["1.0", "3", "2"].map(|t| labels.number(t));
        assert_eq!(numbers, [Some(1), Some(0), None]);
        assert_eq!(labels.expected(), "one of `3`, `1`");
        assert!(Labels::given(&["1", "1.0"].map(String::from)).is_err());
        let mut texts = Labels::given(&["cat", "1"].map(String::from)).unwrap();
        assert_eq!([texts.number("1.0"), texts.number("1")], [None, Some(1)]);
        let counted = Labels::given(&["0", "1", "2"].map(String::from)).unwrap();
        assert_eq!(counted.expected(), "0 to 2");
    }
}
