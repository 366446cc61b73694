//! Text on its way to a terminal.
//!
//! File names, class names and whatever else stands in a stranger's file may hold control characters, which move a terminal's cursor, hide
//! text or worse, and may be a megabyte long.

use std::borrow::Cow;
use std::io::{self, Write};

/// Longest line of an error or warning, in characters.
const LONGEST: usize = 2000;
/// Of a longer one so much is kept at its end, where the advice is.
const END: usize = 600;

/// One line: line breaks become spaces, control characters are escaped, and the middle of what is too long is left out.
pub fn line(text: &str) -> String {
    let joined = text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let escaped = escaped(&joined);
    let length = escaped.chars().count();
    if length <= LONGEST {
        return escaped.into_owned();
    }
    let start: String = escaped.chars().take(LONGEST - END).collect();
    let end: String = escaped.chars().skip(length - END).collect();
    format!("{start} […] {end}")
}

/// As [`line()`], with the line breaks that a list of problems has: those that two spaces follow.
pub fn lines(text: &str) -> String {
    text.split(BREAK).map(line).collect::<Vec<_>>().join(BREAK)
}

const BREAK: &str = "\n  ";

/// Control characters escaped but for line feeds and tabs, as JSON and YAML escape them.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_harmful(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those that turn the direction of writing.
fn is_harmful(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Prints text to the standard output.
///
/// # Errors
/// The system's.
pub fn print(text: &str) -> io::Result<()> {
    io::stdout().write_all(escaped(text).as_bytes())
}

/// The standard output, with everything that is written escaped.
#[derive(Debug, Default)]
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        print(&String::from_utf8_lossy(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_lines_are_one() {
        assert_eq!(line("a\u{1b}[31mb"), "a\\u001b[31mb");
        assert_eq!(line("a\r\n  b\n"), "a b");
        assert_eq!(line("x\u{202e}y\u{9b}1m"), "x\\u202ey\\u009b1m");
        assert_eq!(line("Größe: 分類 \u{1f642}"), "Größe: 分類 \u{1f642}");
        assert_eq!(lines("a\u{7}\n  also: b\nc"), "a\\u0007\n  also: b c");
        let json: String = serde_json::from_str(&escaped("\"\u{9b}\u{7f}\"")).unwrap();
        assert_eq!(json, "\u{9b}\u{7f}");
        assert_eq!(escaped("a\tb\n"), "a\tb\n");
    }

    #[test]
    fn what_is_long_keeps_its_ends() {
        let cut = line(&format!("start {} end", "x".repeat(1 << 20)));
        assert!(cut.starts_with("start x") && cut.ends_with("x end") && cut.contains("[…]"));
        assert!(cut.chars().count() < LONGEST + 10);
    }
}
