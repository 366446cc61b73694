//! What every key means, from the schema: for the terminal, for `docs/keys.md`, and as a JSON schema for editors.

use repghost_config::{Key, Section};
use serde_json::{json, Value};

use super::error::ConfigError;
use super::node::Origin;
use super::suggest;
use super::validate::schema;

/// First lines of `docs/keys.md`.
const HEAD: &str = "\
# Keys of an experiment file

Made by `repghost-det config --explain --markdown` from the code; a test compares the two. `repghost-det config --explain KEY` shows one
key, or all below it. How files inherit and how keys are set: [experiments.md](experiments.md).
";

/// All maps of an experiment with their keys.
pub fn sections() -> Vec<Section> {
    schema().sections()
}

/// All keys, or those at and below `key`, as text for a terminal.
///
/// # Errors
/// [`ConfigError::UnknownKey`] where there is no such key.
pub fn text(key: Option<&str>) -> Result<String, ConfigError> {
    let mut out = String::new();
    for section in sections() {
        let whole = key.is_none_or(|key| below(&section.path, key));
        let keys: Vec<&Key> = section.keys.iter().filter(|k| whole || Some(k.path.as_str()) == key).collect();
        if whole && !section.path.is_empty() {
            out += &format!("{}\n    {}\n", title(&section), section.meaning);
        }
        for key in keys {
            out += &entry(key, section.name.as_deref());
        }
    }
    match (out.is_empty(), key) {
        (true, Some(key)) => Err(unknown(key)),
        _ => Ok(out),
    }
}

/// All keys as Markdown.
pub fn markdown() -> String {
    let mut out = String::from(HEAD);
    for section in sections() {
        let level = if section.path.contains('.') { "###" } else { "##" };
        match section.path.is_empty() {
            true => out += "\n## The whole file\n",
            false => out += &format!("\n{level} {}\n", title(&section)),
        }
        out += &format!("\n{}\n", cell(&section.meaning));
        if section.keys.is_empty() {
            continue;
        }
        out += "\n| key | type | default | range, unit | meaning |\n|---|---|---|---|---|\n";
        for key in &section.keys {
            let last = key.path.rsplit('.').next().unwrap_or_default();
            let default = default_text(key).map_or(String::new(), |d| format!("`{d}`"));
            let choices = key.values.iter().map(|(value, meaning)| match meaning.is_empty() {
                true => format!("`{value}`"),
                false => format!("<br>`{value}`: {meaning}"),
            });
            let choices: Vec<String> = choices.collect();
            let separator = if choices.iter().all(|c| c.starts_with('`')) { ", " } else { "" };
            let choices = if choices.is_empty() { String::new() } else { format!(" {}", choices.join(separator)) };
            out += &format!(
                "| `{last}` | {} | {} | {} | {}{} |\n",
                cell(&key.kind),
                cell(&default),
                cell(&range_and_unit(key)),
                cell(&key.meaning),
                cell(&choices)
            );
        }
    }
    out
}

/// A JSON schema for experiment files as people write them: with `_base_` and `_delete_`, and without a duty to write anything.
pub fn file_schema() -> Value {
    let mut schema = schema().json().clone();
    for_files(&mut schema);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let text = "Files to inherit from, relative to this one; the later wins, this file comes last.";
        if let Some(batch_size) = properties.get_mut("train").and_then(|t| t.pointer_mut("/properties/batch_size")) {
            let number = batch_size.take();
            *batch_size = json!({ "description": number["description"], "anyOf": [number, { "const": "auto" }] });
        }
        properties.insert(
            "_base_".into(),
            json!({ "description": text, "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] }),
        );
    }
    schema
}

fn for_files(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // A file may leave out what its base sets, the name of a head too, so several alternatives may fit.
            object.remove("required");
            if let Some(alternatives) = object.remove("oneOf") {
                object.insert("anyOf".into(), alternatives);
            }
            object.values_mut().for_each(for_files);
            let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) else { return };
            let text = "Replace the inherited map instead of merging into it.";
            properties.insert("_delete_".into(), json!({ "type": "boolean", "description": text }));
        }
        Value::Array(items) => items.iter_mut().for_each(for_files),
        _ => {}
    }
}

/// The maps that are null, or another head's, as comments for `config --defaults`: below their keys stands what they would hold.
pub(super) fn hidden_maps() -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for section in sections().into_iter().filter(|s| s.optional) {
        let parent = out.iter_mut().find(|(path, _)| below(&section.path, path));
        let values = section.keys.iter().map(|k| {
            let last = k.path.strip_prefix(&section.path).unwrap_or(&k.path).trim_start_matches('.');
            format!("{last}: {}", default_text(k).unwrap_or_default())
        });
        let values = values.collect::<Vec<_>>().join(", ");
        match parent {
            Some(_) => {}
            None => out.push((section.path, format!("{{{values}}}"))),
        }
    }
    out
}

/// The keys of heads that are not chosen, as comment lines.
pub(super) fn other_heads(chosen: &str) -> String {
    let mut out = String::new();
    for section in sections().iter().filter(|s| s.name.as_deref().is_some_and(|name| name != chosen)) {
        let name = section.name.as_deref().unwrap_or_default();
        for key in section.keys.iter().filter(|k| !k.path.ends_with(".name")) {
            out += &format!("# {name}: {}={}\n", key.path, default_text(key).unwrap_or_default());
        }
    }
    out
}

fn below(path: &str, key: &str) -> bool {
    path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

fn title(section: &Section) -> String {
    let optional = if section.optional { ", null unless set" } else { "" };
    match &section.name {
        Some(name) => format!("{} (name: {name}{optional})", section.path),
        None if section.optional => format!("{} (null unless set)", section.path),
        None => section.path.clone(),
    }
}

fn entry(key: &Key, name: Option<&str>) -> String {
    let of = name.map_or(String::new(), |name| format!(" (name: {name})"));
    let mut facts = vec![key.kind.clone()];
    facts.extend(default_text(key).map(|d| format!("default {d}")));
    facts.extend(Some(range_and_unit(key)).filter(|r| !r.is_empty()));
    let mut out = format!("{}{of}\n    {}\n    {}\n", key.path, facts.join("; "), key.meaning);
    for (value, meaning) in &key.values {
        out += &format!("      {value}{}{meaning}\n", if meaning.is_empty() { "" } else { ": " });
    }
    out
}

fn range_and_unit(key: &Key) -> String {
    let unit = key.unit.clone().unwrap_or_default();
    [key.range.clone(), unit].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The default as YAML in one line.
fn default_text(key: &Key) -> Option<String> {
    key.default.as_ref().map(|value| {
        let yaml = serde_yaml::to_value(value).unwrap_or_default();
        super::node::Node::from_value(yaml, &Origin::Default).map_or_else(|e| e, |node| node.inline())
    })
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn unknown(key: &str) -> ConfigError {
    let sections = sections();
    let all = sections.iter().flat_map(|s| s.keys.iter().map(|k| k.path.as_str()).chain([s.path.as_str()]));
    let mut all: Vec<&str> = all.filter(|p| !p.is_empty()).collect();
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_string();
    let same_end: Vec<&str> = all.iter().copied().filter(|p| last(p) == last(key)).take(3).collect();
    let hint = match same_end.as_slice() {
        [] => {
            all.dedup();
            suggest::nearest(key, all.iter().copied()).map_or(String::new(), |near| format!("; did you mean {near}?"))
        }
        some => format!("; did you mean {}?", some.join(" or ")),
    };
    ConfigError::UnknownKey { key: key.to_string(), origin: Origin::CommandLine, hint }
}

/// The dotted keys whose last part is `word`: where a `--word` that is no flag would belong.
pub fn keys_named(word: &str) -> Vec<String> {
    let word = word.replace('-', "_");
    let mut found: Vec<String> = Vec::new();
    for key in sections().iter().flat_map(|s| &s.keys) {
        if key.path.rsplit('.').next() == Some(&word) && !found.contains(&key.path) {
            found.push(key.path.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Experiment;

    /// Every value of every head's experiment, and every map below a null, is a key that is explained, and every explained key exists.
    #[test]
    fn explained_keys_and_real_keys_are_the_same() {
        let sections = sections();
        let explained: Vec<&str> = sections.iter().flat_map(|s| &s.keys).map(|k| k.path.as_str()).collect();
        let value = serde_yaml::to_value(Experiment::default()).unwrap();
        let tree = super::super::Node::from_value(value, &Origin::Default).unwrap();
        for (key, _) in tree.leaves() {
            assert!(explained.contains(&key.as_str()), "{key} is not explained");
        }
        for key in [
            "train.ema.decay",
            "data.augment.iou_crop.trials",
            "data.classify.rand_augment.magnitude",
            "model.head.rpn.nms_thresh",
        ] {
            assert!(explained.contains(&key), "{key}");
        }
    }

    #[test]
    fn no_key_is_without_a_meaning_and_a_default() {
        for section in sections() {
            assert!(!section.meaning.is_empty(), "{} has no description", section.path);
            for key in section.keys {
                assert!(!key.meaning.is_empty(), "{} has no description", key.path);
                assert!(key.default.is_some(), "{} has no default", key.path);
            }
        }
    }

    #[test]
    fn a_key_is_explained_and_a_slip_is_recognised() {
        let lr = text(Some("train.optimizer.lr")).unwrap();
        assert!(lr.starts_with("train.optimizer.lr\n    number; default 0.01; above 0\n"), "{lr}");
        let head = text(Some("model.head.rpn")).unwrap();
        assert!(head.contains("model.head.rpn.nms_thresh (name: mask_rcnn)") && !head.contains("focal"), "{head}");
        let error = text(Some("train.lr")).unwrap_err().to_string();
        assert!(error.ends_with("did you mean train.optimizer.lr?"), "{error}");
        assert_eq!(keys_named("epochs"), ["train.epochs"]);
    }

    #[test]
    fn the_schema_of_files_knows_inheritance() {
        let schema = file_schema();
        assert!(schema.pointer("/properties/_base_").is_some());
        let optimizer = schema.pointer("/$defs/OptimizerConfig/properties").and_then(Value::as_object);
        assert!(optimizer.is_some_and(|p| p.contains_key("_delete_") && p.contains_key("lr")));
        fn required(value: &Value) -> bool {
            match value {
                Value::Object(o) => o.contains_key("required") || o.values().any(required),
                Value::Array(a) => a.iter().any(required),
                _ => false,
            }
        }
        assert!(!required(&schema));
    }
}
