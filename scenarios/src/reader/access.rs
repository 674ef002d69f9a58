//! The entries of tables and lists, and choices.

use super::{LISTED, Reader, Refusal, one_of, subject};
use crate::diagnostic::Fault;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor, value::StringDeserializer,
};
use std::{borrow::Cow, ops::Range};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

/// A table, key by key.
pub(super) struct Entries<'t> {
    entries: std::vec::IntoIter<(Spanned<Cow<'t, str>>, Spanned<DeValue<'t>>)>,
    next: Option<Reader<'t>>,
    free: bool,
}

impl<'t> Entries<'t> {
    pub(super) fn new(table: DeTable<'t>, free: bool) -> Self {
        let entries: Vec<_> = table.into_iter().collect();
        Self {
            entries: entries.into_iter(),
            next: None,
            free,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        let mut reader = Reader::new(key.get_ref(), value);
        reader.free = self.free;
        if reader.span.is_empty() {
            reader.span = key.span();
        }
        self.next = Some(reader);
        word(seed, key.get_ref(), &key.span()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let value = self
            .next
            .take()
            .expect("a value is asked for after its key");
        placed(seed, value)
    }
}

/// A list, value by value. Faults name the key of the list.
pub(super) struct Items<'t> {
    key: String,
    values: std::vec::IntoIter<Spanned<DeValue<'t>>>,
    free: bool,
}

impl<'t> Items<'t> {
    pub(super) fn new(key: String, values: DeArray<'t>, free: bool) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        Self {
            key,
            values: values.into_iter(),
            free,
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refusal> {
        let Some(value) = self.values.next() else {
            return Ok(None);
        };
        let key = match self.key.ends_with(LISTED) {
            true => self.key.clone(),
            false => format!("{}{LISTED}", self.key),
        };
        let mut reader = Reader::new(&key, value);
        reader.free = self.free;
        placed(seed, reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

/// Reads a value, and places the faults of types that say nothing of a place.
fn placed<'de, S: DeserializeSeed<'de>>(seed: S, value: Reader<'de>) -> Result<S::Value, Refusal> {
    let (key, span, word) = (value.key.clone(), value.span.clone(), value.word);
    seed.deserialize(value)
        .map_err(|refusal| refusal.at(&key, &span, word))
}

/// A key or the name of a choice.
fn word<'de, S: DeserializeSeed<'de>>(
    seed: S,
    text: &str,
    span: &Range<usize>,
) -> Result<S::Value, Refusal> {
    let reader: StringDeserializer<Refusal> = text.to_owned().into_deserializer();
    seed.deserialize(reader)
        .map_err(|refusal| refusal.at(text, span, false))
}

/// A choice: a table with one key, or that key as a word.
pub(super) struct Choice<'t> {
    name: String,
    span: Range<usize>,
    body: Reader<'t>,
}

impl<'t> Choice<'t> {
    pub(super) fn of(reader: Reader<'t>, choices: &[&str]) -> Result<Self, Refusal> {
        let expected = one_of(choices);
        let (key, span) = (subject(&reader.key), reader.span.clone());
        let refuse = |message: String, label: &str, span| {
            Err(Refusal(Fault::new(message, label, Some(span))))
        };
        let table = match reader.value {
            DeValue::Table(table) if !reader.word => table,
            DeValue::String(name) => {
                return Ok(Self {
                    body: Reader::of_word(&name, span.clone()),
                    name: name.into_owned(),
                    span,
                });
            }
            _ => return Err(reader.wrong(expected)),
        };
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut entries = entries.into_iter();
        match (entries.next(), entries.next()) {
            (None, _) => refuse(
                format!("{key} chooses nothing"),
                &format!("expected {expected}"),
                span,
            ),
            (Some((first, _)), Some((second, _))) => refuse(
                format!(
                    "more than one choice for {key}: `{}` and `{}`",
                    first.get_ref(),
                    second.get_ref()
                ),
                "keep only one of them",
                second.span(),
            ),
            (Some((name, value)), None) => Ok(Self {
                span: name.span(),
                body: Reader::of_choice(name.get_ref(), &name.span(), value),
                name: name.into_inner().into_owned(),
            }),
        }
    }
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Refusal;
    type Variant = Reader<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Reader<'de>), Refusal> {
        let choice = word(seed, &self.name, &self.span)?;
        Ok((choice, self.body))
    }
}

impl<'de> VariantAccess<'de> for Reader<'de> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        match self.word {
            true => Ok(()),
            false => {
                let label = format!("expected the word alone: \"{}\"", self.key);
                let message = format!("`{}` takes no values", self.key);
                Err(Refusal(Fault::new(message, label, Some(self.span))))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refusal> {
        placed(seed, self)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        de::Deserializer::deserialize_tuple(self, length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        de::Deserializer::deserialize_struct(self, "", fields, visitor)
    }
}
