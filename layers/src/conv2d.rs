//! Convolution of images in groups.

use crate::{
    convolution::{Sizes, Window},
    padding::PaddingMode,
    patched,
};
use lyceum_core::{LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, SeqAccess, Visitor},
};
use std::fmt;

/// A window that goes over an image (LeCun et al. 1998), in groups of channels if wanted (Krizhevsky et al. 2012): each result is
/// the sum of the window's weights times the values below it, of the input channels of its group. As many groups as input
/// channels make it depthwise (Howard et al. 2017).
///
/// In: `[inputs, height, width]`; out: `[channels, height', width']` with
/// `height' = (height + 2 padding - dilation (kernel - 1) - 1) / stride + 1`, rounded down. Tensors: `weight`, channels x
/// inputs / groups x kernel height x kernel width, and `bias`, channels. The same as `Conv2d` of PyTorch. For square windows
/// without groups and dilation, the layer `conv` spares the values a change of layout on either side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Number of output channels; a multiple of the groups.
    pub channels: usize,
    /// Side of the window, or [height, width].
    pub kernel: Pair,
    /// Step of the window, or [down, right]; 1 by default.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// Width of the border on every side, or [above and below, left and right], or "same" for an output of the size of the input;
    /// 0 by default.
    #[serde(default)]
    pub padding: Pad<Pair>,
    /// What the border holds; zeros by default.
    #[serde(default)]
    pub padding_mode: PaddingMode,
    /// Groups of channels that know nothing of each other; 1 by default.
    #[serde(default = "one")]
    pub groups: usize,
    /// Step between values below the window, or [down, right]; 1 by default.
    #[serde(default = "Pair::one")]
    pub dilation: Pair,
    /// Whether a bias is added; true by default.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// One number for both sides of an image, or one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Pair {
    /// The same along both.
    Both(usize),
    /// Along the height, and along the width.
    Each([usize; 2]),
}

impl Pair {
    pub(crate) fn one() -> Self {
        Self::Both(1)
    }

    /// Along the height, and along the width.
    pub fn sides(self) -> [usize; 2] {
        match self {
            Self::Both(side) => [side; 2],
            Self::Each(sides) => sides,
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::Both(0)
    }
}

/// Width of a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Pad<T> {
    /// So wide that the size stays.
    Same(Same),
    /// So many places.
    Places(T),
}

/// The word for a border that keeps the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Same {
    /// Keeps the size.
    Same,
}

/// A whole number from 0 that is written as another one, such as 1e2.
fn whole(number: f64) -> Option<u64> {
    let exact = number.fract() == 0.0 && (0.0..(1_u64 << 53) as f64).contains(&number);
    exact.then_some(number as u64)
}

/// What may be told as one number, or as more.
pub trait Sides<'de>: Sized {
    /// What is expected, in words.
    const WORDS: &'static str;
    /// The same on all sides.
    fn of_number(number: usize) -> Self;
    /// A number for each.
    fn of_list<A: SeqAccess<'de>>(numbers: A) -> Result<Self, A::Error>;
}

impl<'de> Sides<'de> for usize {
    const WORDS: &'static str = "a whole number";

    fn of_number(number: usize) -> Self {
        number
    }

    fn of_list<A: SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(de::Error::invalid_type(
            de::Unexpected::Seq,
            &"a whole number or \"same\"",
        ))
    }
}

impl<'de> Sides<'de> for Pair {
    const WORDS: &'static str = "a whole number or [height, width]";

    fn of_number(number: usize) -> Self {
        Self::Both(number)
    }

    fn of_list<A: SeqAccess<'de>>(mut numbers: A) -> Result<Self, A::Error> {
        let (first, second) = (numbers.next_element()?, numbers.next_element()?);
        let more = numbers.next_element::<IgnoredAny>()?.is_some();
        match (first, second) {
            (Some(first), Some(second)) if !more => Ok(Self::Each([first, second])),
            (first, second) => {
                let count = usize::from(first.is_some()) + usize::from(second.is_some());
                let count = count + usize::from(more);
                Err(de::Error::invalid_length(count, &"[height, width]"))
            }
        }
    }
}

// Not derived: a derived form would not say which number of a pair is wrong.
impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form {
            word: None,
            places: |pair| pair,
        })
    }
}

impl<'de, T: Sides<'de>> Deserialize<'de> for Pad<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form {
            word: Some(|| Self::Same(Same::Same)),
            places: Self::Places,
        })
    }
}

/// One number, one for each side, or the word "same" where it is taken.
struct Form<T, R> {
    word: Option<fn() -> R>,
    places: fn(T) -> R,
}

impl<'de, T: Sides<'de>, R> Visitor<'de> for Form<T, R> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WORDS)?;
        match self.word {
            Some(_) => f.write_str(" or \"same\""),
            None => Ok(()),
        }
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<R, E> {
        match self.word.filter(|_| word == "same") {
            Some(same) => Ok(same()),
            None => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<R, E> {
        match usize::try_from(number) {
            Ok(number) => Ok((self.places)(T::of_number(number))),
            Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<R, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<R, E> {
        match whole(number) {
            Some(number) => self.visit_u64(number),
            None => Err(E::invalid_type(de::Unexpected::Float(number), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, numbers: A) -> Result<R, A::Error> {
        T::of_list(numbers).map(self.places)
    }
}

impl<T: Default> Default for Pad<T> {
    fn default() -> Self {
        Self::Places(T::default())
    }
}

pub(crate) fn one() -> usize {
    1
}

pub(crate) fn yes() -> bool {
    true
}

impl Conv2d {
    fn sizes(&self, input: &[usize]) -> Result<Sizes, String> {
        let [inputs, height, width] = crate::image(input)?;
        let ([kernel, stride], dilation) = (
            [self.kernel, self.stride].map(Pair::sides),
            self.dilation.sides(),
        );
        let padding = match self.padding {
            Pad::Same(_) => [None; 2],
            Pad::Places(places) => places.sides().map(Some),
        };
        let axis = |at: usize, side: usize| {
            let window = Window {
                kernel: kernel[at],
                stride: stride[at],
                dilation: dilation[at],
                padding: padding[at],
            };
            window.over(side, self.padding_mode)
        };
        let axes = [axis(0, height)?, axis(1, width)?];
        Sizes::new(
            [inputs, self.channels, self.groups],
            axes,
            self.padding_mode,
        )
    }

    fn fitting(&self, input: &[usize]) -> Sizes {
        self.sizes(input).expect("asked for an input that fits")
    }
}

impl LayerKind for Conv2d {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let sizes = self.sizes(input)?;
        Ok(vec![
            self.channels,
            sizes.lines.results(),
            sizes.columns.results(),
        ])
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let window = self.kernel.sides();
        self.fitting(input).tensors(&window, self.bias)
    }

    fn multiplications(&self, input: &[usize], _: &[usize]) -> u64 {
        self.fitting(input).multiplications()
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        patched::operation(self.fitting(input))
    }
}
