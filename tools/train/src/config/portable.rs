//! An experiment that travels inside weights and exported files: without the folders of the author's disk.

use serde_yaml::Value;

/// Names of classes are no paths, whatever they look like.
const NO_PATHS: &str = "classes";

/// A resolved experiment with every absolute path cut to its last component, and without absolute defaults of variables
/// (`${COCO:-/data/coco}` becomes `${COCO}`). Relative paths stay. Text that is no YAML is returned as it is.
pub fn portable(resolved: &str) -> String {
    let Ok(mut tree) = serde_yaml::from_str::<Value>(resolved) else { return resolved.to_string() };
    if !cut_all(&mut tree) {
        return resolved.to_string();
    }
    serde_yaml::to_string(&tree).unwrap_or_default()
}

/// Whether anything was cut.
fn cut_all(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match cut(text) {
            Some(shorter) => {
                *text = shorter;
                true
            }
            None => false,
        },
        Value::Sequence(items) => items.iter_mut().map(cut_all).filter(|was_cut| *was_cut).count() > 0,
        Value::Mapping(map) => {
            let values = map.iter_mut().filter(|(key, _)| key.as_str() != Some(NO_PATHS)).map(|(_, value)| value);
            values.map(cut_all).filter(|was_cut| *was_cut).count() > 0
        }
        _ => false,
    }
}

/// The text without absolute folders; none where it has none.
fn cut(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(":-") {
        let end = rest[at..].find('}').map_or(rest.len(), |e| at + e);
        let default = &rest[at + 2..end];
        out.push_str(&rest[..if is_absolute(default) { at } else { end }]);
        rest = &rest[end..];
    }
    out.push_str(rest);
    if is_absolute(&out) {
        out = out.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default().to_string();
    }
    (out != text).then_some(out)
}

/// Absolute on Unix or Windows, or below a home folder.
fn is_absolute(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    path.starts_with(['/', '\\', '~']) || (drive && path[2..].starts_with(['/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_are_cut_and_others_stay() {
        for (text, expected) in [
            ("/home/ann/coco/val2017", "val2017"),
            ("/home/ann/coco/val2017/", "val2017"),
            (r"C:\Users\ann\val.json", "val.json"),
            ("~/coco/val.json", "val.json"),
            ("${COCO:-/home/ann/coco}/val2017", "${COCO}/val2017"),
            ("/home/ann/${SET:-/x}/y", "y"),
        ] {
            assert_eq!(cut(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["data/val", "${COCO:-data/coco}/val2017", "${COCO}/val2017", "retinanet", "a:b", ""] {
            assert_eq!(cut(text), None, "{text}");
        }
    }

    #[test]
    fn an_experiment_without_absolute_paths_is_returned_byte_for_byte() {
        let text = "data:\n  source: coco\n  classes: [\"/a\"]\n  val: {images: val, annotations: null}\n";
        assert_eq!(portable(text), text);
        let text = text.replace("images: val", "images: /home/ann/val");
        let tree: Value = serde_yaml::from_str(&portable(&text)).unwrap();
        assert_eq!(tree["data"]["val"]["images"], Value::from("val"));
        assert_eq!(tree["data"]["classes"][0], Value::from("/a"));
    }
}
