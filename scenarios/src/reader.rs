//! Typed values out of a document, with faults in the words of a scenario's author.
//!
//! What a key takes is said by its type; what is wrong is said here, at the value, and never in the words of the code:
//! a table is a table and no list, a choice is a table with one key or that key as a word, a whole number may be written
//! as 1e6.

mod access;
pub(crate) mod layers;

use crate::diagnostic::Fault;
use access::{Choice, Entries, Items};
use serde::de::{self, Expected, IntoDeserializer, Unexpected, Visitor};
use std::{
    fmt::{self, Display},
    ops::Range,
};
use toml::{
    Spanned,
    de::{DeFloat, DeInteger, DeTable, DeValue},
};

/// What the key of a list ends in, where one of its values is read.
const LISTED: &str = "[]";
/// Whole numbers up to here are the same as floating-point numbers.
const EXACT: f64 = (1_u64 << 53) as f64;

/// What a date is called.
const DATE: &str = "a date or a time";

/// A value with the key that it belongs to.
pub(crate) struct Reader<'t> {
    key: String,
    value: DeValue<'t>,
    span: Range<usize>,
    /// The value is a word that chose this table with its defaults.
    word: bool,
    /// The value stands in a table of any keys, and is kept as it is written.
    free: bool,
}

/// A fault as serde hands it on.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Fault);

impl<'t> Reader<'t> {
    /// A value of a key.
    pub(crate) fn new(key: &str, value: Spanned<DeValue<'t>>) -> Self {
        let span = value.span();
        Self {
            key: key.into(),
            value: value.into_inner(),
            span,
            word: false,
            free: false,
        }
    }

    /// The table that a word chose: one without a key.
    pub(crate) fn of_word(word: &str, span: Range<usize>) -> Self {
        Self {
            key: word.into(),
            value: DeValue::Table(DeTable::new()),
            span,
            word: true,
            free: false,
        }
    }

    /// The table of a choice, whose word stands at `span` if there is nothing but the word.
    pub(crate) fn of_choice(word: &str, span: &Range<usize>, value: Spanned<DeValue<'t>>) -> Self {
        let chosen = value.get_ref().as_table().is_some_and(DeTable::is_empty);
        match chosen && value.span() == *span {
            true => Self::of_word(word, span.clone()),
            false => Self::new(word, value),
        }
    }

    /// Reads a typed value.
    pub(crate) fn read<T: de::DeserializeOwned>(self) -> Result<T, Fault> {
        T::deserialize(self).map_err(|refusal| refusal.0)
    }

    fn wrong(&self, expected: impl Display) -> Refusal {
        let key = &self.key;
        let message = match self.word {
            true => format!("`{key}` says too little by itself"),
            false => format!("{} is {}", subject(key), noun(&self.value)),
        };
        let label = format!("expected {expected}");
        Refusal(Fault::new(message, label, Some(self.span.clone())))
    }

    /// The whole number, which may be written as 1e6.
    fn integer(&self) -> Result<i128, Refusal> {
        match &self.value {
            DeValue::Integer(number) => whole(number),
            DeValue::Float(number) => float(number)
                .filter(|v| v.fract() == 0.0 && v.abs() <= EXACT)
                .map(|v| v as i128),
            _ => None,
        }
        .ok_or_else(|| self.wrong("a whole number"))
    }

    fn within<T: TryFrom<i128>>(&self, least: i128, most: i128) -> Result<T, Refusal> {
        let number = self.integer()?;
        // TOML's whole numbers end here, and a resolved scenario must be TOML.
        let writable = i64::try_from(number).ok();
        let fitting = writable.and_then(|_| T::try_from(number).ok());
        fitting.ok_or_else(|| {
            let label = match (least, most > 1 << 53) {
                (0, true) if number < 0 => "expected a whole number, 0 or above".into(),
                (0, true) => format!("expected a whole number up to {}", i64::MAX),
                (_, true) => "expected a smaller whole number".into(),
                _ => format!("expected a whole number from {least} to {most}"),
            };
            let message = format!("{number} is out of range");
            Refusal(Fault::new(message, label, Some(self.span.clone())))
        })
    }

    fn number(&self) -> Result<f64, Refusal> {
        match &self.value {
            DeValue::Integer(number) => whole(number).map(|v| v as f64),
            DeValue::Float(number) => float(number),
            _ => None,
        }
        .ok_or_else(|| self.wrong("a number"))
    }

    /// What `visit` makes of it; a fault without a place stands here.
    fn here<T>(self, visit: impl FnOnce(Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let (key, span, word) = (self.key.clone(), self.span.clone(), self.word);
        visit(self).map_err(|refusal| refusal.at(&key, &span, word))
    }

    fn text<T>(
        self,
        expected: &str,
        visit: impl FnOnce(String) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.here(|me| match me.value {
            DeValue::String(text) => visit(text.into_owned()),
            _ => Err(me.wrong(expected)),
        })
    }

    fn list<T>(
        self,
        length: Option<usize>,
        visit: impl FnOnce(Items<'t>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.here(|me| {
            let fits = |found: usize| length.is_none_or(|length| length == found);
            match me.value {
                DeValue::Array(values) if fits(values.len()) => {
                    visit(Items::new(me.key, values, me.free))
                }
                DeValue::Array(ref values) => {
                    let label = format!("expected {} of them", length.unwrap_or_default());
                    let message = format!("`{}` has {} values", me.key, values.len());
                    Err(Refusal(Fault::new(message, label, Some(me.span))))
                }
                _ => Err(me.wrong("a list")),
            }
        })
    }

    /// A table of these keys, where they are known; one of any keys is `free`.
    fn table<T>(
        self,
        free: bool,
        keys: &[&str],
        visit: impl FnOnce(Entries<'t>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.here(|me| match me.value {
            DeValue::Table(table) => visit(Entries::new(table, free)),
            _ if (1..=KEYS).contains(&keys.len()) => {
                Err(me.wrong(format_args!("a table, of {}", keys.join(", "))))
            }
            _ => Err(me.wrong("a table")),
        })
    }
}

/// What a value is, in words; a number says itself.
/// Keys of a table that an error lists, at most.
const KEYS: usize = 10;

pub(crate) fn noun(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a string".into(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => DATE.into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// What a fault is about: a key, or a value in the list of a key.
fn subject(key: &str) -> String {
    match key.strip_suffix(LISTED) {
        Some(list) => format!("a value in `{list}`"),
        None => format!("`{key}`"),
    }
}

/// A whole number, as far as one can be read.
fn whole(number: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

fn float(number: &DeFloat<'_>) -> Option<f64> {
    number.as_str().parse().ok()
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),+ $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.here(|me| {
                visitor.$visit(me.within::<$type>(<$type>::MIN as i128, <$type>::MAX as i128)?)
            })
        })+
    };
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Refusal;

    integers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.here(|me| match me.value {
            DeValue::String(text) => visitor.visit_string(text.into_owned()),
            DeValue::Integer(_) => visitor.visit_i64(me.within(i64::MIN.into(), i64::MAX.into())?),
            // One of several types asks: a whole number is one for each of them.
            DeValue::Float(_) if !me.free && me.integer().is_ok() => {
                visitor.visit_i64(me.within(i64::MIN.into(), i64::MAX.into())?)
            }
            DeValue::Float(_) => visitor.visit_f64(me.number()?),
            DeValue::Boolean(truth) => visitor.visit_bool(truth),
            DeValue::Datetime(_) => {
                let message = format!("{} is {DATE}", subject(&me.key));
                let label = "no key takes one; a string stands in quotes";
                Err(Refusal(Fault::new(message, label, Some(me.span))))
            }
            DeValue::Array(values) => visitor.visit_seq(Items::new(me.key, values, me.free)),
            DeValue::Table(table) => visitor.visit_map(Entries::new(table, me.free)),
        })
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.here(|me| match me.value {
            DeValue::Boolean(truth) => visitor.visit_bool(truth),
            _ => Err(me.wrong("true or false")),
        })
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.here(|me| visitor.visit_f64(me.number()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let (expected, span) = ("a string of one character", self.span.clone());
        let key = self.key.clone();
        self.text(expected, |text| match text.chars().count() {
            1 => visitor.visit_string(text),
            count => {
                let message = format!("`{key}` has {count} characters");
                let label = format!("expected {expected}");
                Err(Refusal(Fault::new(message, label, Some(span))))
            }
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.text("a string", |text| visitor.visit_string(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.table(false, &[], |table| match table.is_empty() {
            true => visitor.visit_unit(),
            false => Err(de::Error::custom(
                "there are keys in it: expected an empty table",
            )),
        })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match layers::reader_of(name) {
            Some(read) => {
                self.here(|me| read(me).map_err(Refusal))?.made();
                visitor.visit_unit()
            }
            None => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.list(None, |items| visitor.visit_seq(items))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.list(Some(length), |items| visitor.visit_seq(items))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.table(true, &[], |table| visitor.visit_map(table))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.table(false, keys, |table| visitor.visit_map(table))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.here(|me| visitor.visit_enum(Choice::of(me, choices)?))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }
}

impl<'de> IntoDeserializer<'de, Refusal> for Reader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Refusal {
    /// The refusal with a place, where it has none.
    fn at(self, key: &str, span: &Range<usize>, word: bool) -> Self {
        let Self(mut fault) = self;
        if fault.span.is_none() {
            fault.span = Some(span.clone());
            if fault.message == UNFIT {
                fault.message = format!("{} takes no such value", subject(key));
            } else if let Some(type_) = fault.message.strip_prefix(OTHER_TYPE) {
                fault.message = format!("{} is {type_}", subject(key));
            }
            if let (true, Some(missing)) = (word, fault.message.strip_prefix(MISSING)) {
                let missing = missing.trim_end_matches(" is missing").trim_matches('`');
                let missing = missing.to_owned();
                fault.message = format!("`{key}` needs the key `{missing}`");
                fault.label =
                    format!("a table instead of the word: `{key} = {{ {missing} = ... }}`");
            }
        }
        Self(fault)
    }
}

/// What a fault begins with until it is known of which key it is.
const OTHER_TYPE: &str = "\0";
const UNFIT: &str = "\0unfit";
const MISSING: &str = "the key ";

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "no key at all".into(),
        [one] => one.clone(),
        [one, other] => format!("{one} or {other}"),
        _ => format!("one of {}", quoted.join(", ")),
    }
}

/// What was found, in words.
fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(truth) => truth.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a string".into(),
        Unexpected::Seq => "a list".into(),
        _ => "a table".into(),
    }
}

impl de::Error for Refusal {
    /// A sentence of a type's own: "what is wrong: expected what would be right".
    fn custom<T: Display>(message: T) -> Self {
        let message = message.to_string();
        if message.starts_with("expected ") {
            return Self(Fault::new(UNFIT, message, None));
        }
        let cut = message
            .find(", expected ")
            .or_else(|| message.find(": expected "));
        let (message, label) = cut.map_or((&*message, ""), |cut| {
            (&message[..cut], &message[cut + 2..])
        });
        Self(Fault::new(message, label, None))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let message = format!("{OTHER_TYPE}{}", found(&unexpected));
        Self(Fault::new(message, format!("expected {expected}"), None))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let message = format!("{length} values are not the right number");
        Self(Fault::new(message, format!("expected {expected}"), None))
    }

    fn unknown_variant(choice: &str, expected: &'static [&'static str]) -> Self {
        let label = format!("expected {}", one_of(expected));
        Self(Fault::new(
            format!("unknown choice `{choice}`"),
            label,
            None,
        ))
    }

    fn unknown_field(key: &str, expected: &'static [&'static str]) -> Self {
        let label = format!("expected {}", one_of(expected));
        Self(Fault::new(format!("unknown key `{key}`"), label, None))
    }

    fn missing_field(key: &'static str) -> Self {
        let message = format!("{MISSING}`{key}` is missing");
        Self(Fault::new(message, format!("add `{key} = ...` here"), None))
    }

    fn duplicate_field(key: &'static str) -> Self {
        let message = format!("the key `{key}` is there twice");
        Self(Fault::new(message, "keep only one of them", None))
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Refusal {}
