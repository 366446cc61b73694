//! Tables that the page's script can sort.

use maud::{html, Markup};

/// A cell: what is shown, and the number it is sorted by where it is one.
pub struct Cell {
    content: Markup,
    number: Option<f64>,
    numeric: bool,
}

/// What stands where there is nothing.
pub const NOTHING: &str = "–";

impl Cell {
    /// Text, sorted by itself.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self { content: html! { (text.as_ref()) }, number: None, numeric: false }
    }

    /// Any content, sorted by its text.
    pub fn html(content: Markup) -> Self {
        Self { content, number: None, numeric: false }
    }

    /// A number with so many digits behind the point, or nothing.
    pub fn number(number: Option<f64>, digits: usize) -> Self {
        Self::shown(number, number.map_or(NOTHING.into(), |v| format!("{v:.digits$}")))
    }

    /// A number that is shown as this text.
    pub fn shown(number: Option<f64>, text: String) -> Self {
        Self { content: html! { (text) }, number, numeric: true }
    }

    /// A share from 0 to 1 with a bar behind it.
    pub fn bar(share: Option<f64>) -> Self {
        let Some(v) = share else { return Self::number(None, 3) };
        let style = format!("--share:{:.1}%", v.clamp(0.0, 1.0) * 100.0);
        Self { content: html! { span.share style=(style) { (format!("{v:.3}")) } }, number: Some(v), numeric: true }
    }
}

/// A table in a box of its own, which scrolls where the page is narrow. The first column names the row.
pub fn table(caption: &str, heads: &[String], rows: Vec<Vec<Cell>>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.sortable {
                caption { (caption) }
                thead { tr { @for (i, head) in heads.iter().enumerate() {
                    th scope="col" class=[rows.first().and_then(|r| r.get(i)).filter(|c| c.numeric).map(|_| "number")] { (head) }
                } } }
                tbody {
                    @for row in &rows { tr { @for (i, cell) in row.iter().enumerate() {
                        @if i == 0 {
                            th scope="row" data-v=[cell.number] { (cell.content) }
                        } @else {
                            td class=[cell.numeric.then_some("number")] data-v=[cell.number] { (cell.content) }
                        }
                    } } }
                }
            }
        }
    }
}

/// Heads as the table wants them.
pub fn heads<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_string).to_vec()
}

/// Seconds for people.
pub fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_numbers_carry_their_value() {
        let rows = vec![vec![Cell::text("<b>"), Cell::number(Some(0.5), 3), Cell::number(None, 3)]];
        let text = table("t", &heads(["a", "b", "c"]), rows).into_string();
        assert!(text.contains("&lt;b&gt;") && !text.contains("<b>"), "{text}");
        assert!(text.contains(r#"<td class="number" data-v="0.5">0.500</td><td class="number">–</td>"#), "{text}");
        assert!(text.contains(r#"<th scope="col" class="number">b</th>"#), "{text}");
    }

    #[test]
    fn durations() {
        assert_eq!([0.4, 59.6, 3599.0, 7380.0].map(duration), ["0 s", "1 min 00 s", "59 min 59 s", "2 h 03 min"]);
    }
}
