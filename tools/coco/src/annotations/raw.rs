//! What stands in the file, before anybody judges it.
//!
//! Every field that can be wrong is a [`Scalar`] or a [`RawBox`], which accept any JSON value and remember what they saw, so
//! that one bad record neither stops the parser nor hides the others. Segmentations, nine tenths of a COCO file, stay
//! borrowed text until somebody wants them. A 450 MB file parses in seconds, since no tree of values is built.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::AnnotationError;
use crate::contents::{mistaken_for, without_mark};

/// The three lists of an annotation file; `None` where the key is absent.
#[derive(serde::Deserialize)]
pub(crate) struct RawFile<'a> {
    #[serde(borrow)]
    pub images: Option<Vec<RawImage<'a>>>,
    #[serde(borrow)]
    pub annotations: Option<Vec<RawAnnotation<'a>>>,
    #[serde(borrow)]
    pub categories: Option<Vec<RawCategory<'a>>>,
}

/// An entry of `images`.
#[derive(serde::Deserialize)]
pub(crate) struct RawImage<'a> {
    #[serde(borrow, default)]
    pub id: Scalar<'a>,
    #[serde(borrow, default)]
    pub file_name: Scalar<'a>,
    #[serde(borrow, default)]
    pub height: Scalar<'a>,
    #[serde(borrow, default)]
    pub width: Scalar<'a>,
}

/// An entry of `annotations`, or of a detections file.
#[derive(serde::Deserialize)]
pub(crate) struct RawAnnotation<'a> {
    #[serde(borrow, default)]
    pub id: Scalar<'a>,
    #[serde(borrow, default)]
    pub image_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub category_id: Scalar<'a>,
    #[serde(default)]
    pub bbox: RawBox,
    #[serde(borrow, default)]
    pub area: Scalar<'a>,
    #[serde(borrow, default)]
    pub iscrowd: Scalar<'a>,
    #[serde(borrow, default)]
    pub score: Scalar<'a>,
    #[serde(borrow, default)]
    pub file_name: Scalar<'a>,
    #[serde(borrow)]
    pub segmentation: Option<&'a RawValue>,
}

/// An entry of `categories`.
#[derive(serde::Deserialize)]
pub(crate) struct RawCategory<'a> {
    #[serde(borrow, default)]
    pub id: Scalar<'a>,
    #[serde(borrow, default)]
    pub name: Scalar<'a>,
    #[serde(borrow, default)]
    pub supercategory: Scalar<'a>,
}

/// Whatever stands where one number, text or flag is expected.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// No key, or null.
    #[default]
    Missing,
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(Cow<'a, str>),
    /// A list or an object.
    Other(&'static str),
}

impl Scalar<'_> {
    /// As a number; `None` for what is none.
    pub fn number(&self) -> Option<f64> {
        match *self {
            Scalar::Int(value) => Some(value as f64),
            Scalar::Float(value) => Some(value),
            _ => None,
        }
    }

    /// As text; `None` for what is none.
    pub fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Scalar::Missing => f.write_str("missing"),
            Scalar::Int(value) => write!(f, "{value}"),
            Scalar::Float(value) => write!(f, "{value:?}"),
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::Text(text) => write!(f, "{text:?}"),
            Scalar::Other(kind) => f.write_str(kind),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Int))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(value))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Missing)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("a list"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an object"))
    }
}

/// Whatever stands where a box is expected. Elements that are no number are NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum RawBox {
    /// No key, or null.
    #[default]
    Missing,
    /// A list with its length and its first four elements.
    List(usize, [f64; 4]),
    /// No list.
    Other,
}

impl<'de> Deserialize<'de> for RawBox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BoxVisitor)
    }
}

struct BoxVisitor;

impl<'de> Visitor<'de> for BoxVisitor {
    type Value = RawBox;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawBox, A::Error> {
        let (mut count, mut values) = (0, [f64::NAN; 4]);
        while let Some(value) = seq.next_element::<Scalar>()? {
            if let (Some(slot), Some(number)) = (values.get_mut(count), value.number()) {
                *slot = number;
            }
            count += 1;
        }
        Ok(RawBox::List(count, values))
    }
    fn visit_unit<E>(self) -> Result<RawBox, E> {
        Ok(RawBox::Missing)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawBox, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(RawBox::Other)
    }
    fn visit_str<E>(self, _: &str) -> Result<RawBox, E> {
        Ok(RawBox::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<RawBox, E> {
        Ok(RawBox::Other)
    }
    fn visit_i64<E>(self, _: i64) -> Result<RawBox, E> {
        Ok(RawBox::Other)
    }
    fn visit_u64<E>(self, _: u64) -> Result<RawBox, E> {
        Ok(RawBox::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<RawBox, E> {
        Ok(RawBox::Other)
    }
}

/// Longest annotation or detections file; Objects365's has 1.3 GB.
const MAX_BYTES: u64 = 8 << 30;

/// The bytes of a file.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, AnnotationError> {
    repghost_files::read_bounded(path, MAX_BYTES).map_err(|source| AnnotationError::Read { path: path.to_owned(), source })
}

/// Parses `bytes` into `T`; a byte-order mark is passed over. Python writes NaN and Infinity into JSON; such bytes are first rewritten with
/// nulls, which a box reads as NaN, hence the `&mut`.
pub(crate) fn parse<'a, T: Deserialize<'a>>(path: &Path, bytes: &'a mut Vec<u8>) -> Result<T, AnnotationError> {
    if let Some(clean) = without_non_finite(bytes) {
        *bytes = clean;
    }
    serde_json::from_slice(without_mark(bytes)).map_err(|error| {
        let text = error.to_string();
        let reason = match without_mark(bytes).iter().find(|b| !b.is_ascii_whitespace()) {
            None => "it is empty".to_owned(),
            Some(_) if mistaken_for(bytes).is_some() => mistaken_for(bytes).unwrap_or_default().to_owned(),
            Some(b'[')
                if error.is_data() && text.starts_with("invalid type: integer") || text.starts_with("invalid type: map") =>
            {
                "it is a list; an object with images, annotations and categories is expected".to_owned()
            }
            Some(_) if error.is_eof() => format!("it ends too early ({text})"),
            Some(_) => text,
        };
        AnnotationError::Syntax { path: path.to_owned(), reason }
    })
}

/// Parses a JSON list of records, as a detections file is one.
pub(crate) fn parse_list<'a, T: Deserialize<'a>>(path: &Path, bytes: &'a mut Vec<u8>) -> Result<Vec<T>, AnnotationError> {
    if let Some(clean) = without_non_finite(bytes) {
        *bytes = clean;
    }
    serde_json::from_slice(without_mark(bytes)).map_err(|error| {
        let reason = match without_mark(bytes).iter().find(|b| !b.is_ascii_whitespace()) {
            Some(_) if mistaken_for(bytes).is_some() => mistaken_for(bytes).unwrap_or_default().to_owned(),
            Some(b'[') => error.to_string(),
            Some(b'{') => "it is an object; a JSON list of detections is expected (is it an annotation file?)".to_owned(),
            _ => format!("a JSON list of detections is expected ({error})"),
        };
        AnnotationError::Detections { path: path.to_owned(), reason }
    })
}

/// A copy of the bytes with Python's bare NaN, Infinity and -Infinity replaced by null, or `None` where there are none.
fn without_non_finite(bytes: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let bare = |at: usize| at > 0 && matches!(bytes[at - 1], b' ' | b',' | b':' | b'[' | b'-' | b'\n' | b'\t' | b'\r');
    let found = |word: &[u8]| memchr::memmem::find_iter(bytes, word).any(bare);
    if !found(b"NaN") && !found(b"Infinity") {
        return None;
    }
    let mut clean = Vec::with_capacity(bytes.len() + 64);
    let (mut at, mut in_string) = (0, false);
    while at < bytes.len() {
        let byte = bytes[at];
        if in_string && byte == b'\\' {
            clean.extend_from_slice(&bytes[at..bytes.len().min(at + 2)]);
            at += 2;
            continue;
        }
        in_string ^= byte == b'"';
        match WORDS.iter().find(|word| !in_string && bytes[at..].starts_with(word)) {
            Some(word) => {
                clean.extend_from_slice(b"null");
                at += word.len();
            }
            None => {
                clean.push(byte);
                at += 1;
            }
        }
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_kept_as_they_stand() {
        let text =
            r#"{"annotations": [{"id": 1.5, "image_id": "7", "bbox": [1, NaN, -Infinity], "iscrowd": true, "note": "NaN, x"}]}"#;
        let mut bytes = text.as_bytes().to_vec();
        let file: RawFile = parse(Path::new("x.json"), &mut bytes).unwrap();
        let record = &file.annotations.unwrap()[0];
        assert_eq!(record.id, Scalar::Float(1.5));
        assert_eq!(record.image_id.text(), Some("7"));
        assert_eq!(record.iscrowd, Scalar::Bool(true));
        assert!(matches!(record.bbox, RawBox::List(3, [x, y, z, _]) if x == 1.0 && y.is_nan() && z.is_nan()));
        assert!(file.images.is_none());
    }

    #[test]
    fn syntax_errors_say_what_is_there() {
        let message = |text: &str| match parse::<RawFile>(Path::new("a.json"), &mut text.as_bytes().to_vec()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(message("[1,2,3]").contains("it is a list"), "{}", message("[1,2,3]"));
        assert!(message("[{}]").contains("it is a list"), "{}", message("[{}]"));
        assert!(message("{\"images\": [{\"id\": 1, ").contains("ends too early"));
        assert!(message("  ").contains("empty"));
        assert!(message("\u{feff}  ").contains("empty"));
        assert!(message("<html>").contains("web page"));
        let marked = parse::<RawFile>(Path::new("a.json"), &mut "\u{feff}{\"images\": []}".as_bytes().to_vec())
            .map(|f| f.images.is_some());
        assert!(matches!(marked, Ok(true)));
    }
}
