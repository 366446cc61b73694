//! What the two XML formats share.

use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use crate::annotations::AnnotationError;

/// Parses a file's text. Entities are not expanded, so that a small file cannot become a large one.
pub(super) fn parse<'a>(path: &Path, format: &'static str, text: &'a str) -> Result<Document<'a>, AnnotationError> {
    let options = ParsingOptions { allow_dtd: false, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|e| AnnotationError::Format {
        path: path.to_owned(),
        format,
        reason: e.to_string(),
    })
}

/// The line of an element, from 1.
pub(super) fn line_of(node: &Node) -> usize {
    node.document().text_pos_at(node.range().start).row as usize
}

/// The first child element of a name.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|n| n.has_tag_name(name))
}

/// The text of a child element; empty where there is none.
pub(super) fn text<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    child(node, name).and_then(|n| n.text()).unwrap_or_default().trim()
}

/// The number in a child element.
pub(super) fn number(node: Node, name: &str) -> Option<f64> {
    text(node, name).parse().ok()
}
