//! The keys of a schema as a list, for tables and explanations.

use serde_json::{Map, Value};

use crate::problem::join;
use crate::range::{type_of, Range};
use crate::schema::Schema;

/// One key.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Dotted key.
    pub path: String,
    /// What may stand there: `number`, `list of whole numbers`, `true or false`, `one of …`, `map`, each with `or null`.
    pub kind: String,
    /// The value where nobody sets one, as JSON. `None` where one has to be set.
    pub default: Option<Value>,
    /// What is counted or measured.
    pub unit: Option<String>,
    /// Bounds of the number, or of each number in the list; empty for none.
    pub range: String,
    /// What it does.
    pub meaning: String,
    /// The values to choose from, each with its meaning.
    pub values: Vec<(String, String)>,
}

/// A map and the keys right below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Dotted key of the map; empty for the whole.
    pub path: String,
    /// The value of `name` for which these keys are there.
    pub name: Option<String>,
    /// Whether the map is null unless somebody sets it.
    pub optional: bool,
    /// What the map is for.
    pub meaning: String,
    /// Its keys, those with keys of their own left out.
    pub keys: Vec<Key>,
}

impl Schema {
    /// All maps with their keys, in the order of the structs. A map that is chosen by its `name` occurs once for each name.
    pub fn sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        if let Some(root) = self.root() {
            let head = Section { path: String::new(), name: None, optional: false, meaning: meaning(root), keys: vec![] };
            self.section(root, head, &mut sections);
        }
        sections
    }

    fn section(&self, map: &Map<String, Value>, mut section: Section, out: &mut Vec<Section>) {
        let place = out.len();
        out.push(section.clone());
        let properties = map.get("properties").and_then(Value::as_object);
        for (field, schema) in properties.into_iter().flatten() {
            let Some(schema) = schema.as_object() else { continue };
            let path = join(&section.path, field);
            let maps = self.maps(schema);
            if maps.is_empty() || nullable(schema) {
                section.keys.push(self.key(path.clone(), schema));
            }
            for map in maps {
                let text = [meaning(schema), meaning(map)].into_iter().find(|t| !t.is_empty()).unwrap_or_default();
                let name = map.get("properties").and_then(|p| p.pointer("/name/const")).and_then(Value::as_str);
                let below = Section {
                    path: path.clone(),
                    name: name.map(str::to_string).or_else(|| section.name.clone()),
                    optional: section.optional || nullable(schema),
                    meaning: if name.is_some() { meaning(map) } else { text },
                    keys: vec![],
                };
                self.section(map, below, out);
            }
        }
        out[place] = section;
    }

    /// The maps that may stand at a key.
    fn maps<'a>(&'a self, schema: &'a Map<String, Value>) -> Vec<&'a Map<String, Value>> {
        let target = self.resolve(schema);
        let mut maps = if target.contains_key("properties") { vec![target] } else { self.alternatives(target) };
        // An alternative may itself be a list of alternatives.
        let nested: Vec<_> = maps.iter().flat_map(|m| self.alternatives(m)).collect();
        maps.extend(nested);
        maps.retain(|m| m.contains_key("properties"));
        maps
    }

    fn key(&self, path: String, schema: &Map<String, Value>) -> Key {
        let target = self.scalar(schema);
        let values = self.values(target);
        let or_null = if nullable(schema) { " or null" } else { "" };
        let own = meaning(schema);
        Key {
            path,
            kind: format!("{}{or_null}", self.kind(target)),
            default: schema.get("default").or_else(|| schema.get("const")).cloned(),
            unit: schema.get("x-unit").and_then(Value::as_str).map(str::to_string),
            range: self.bounds(target),
            meaning: if own.is_empty() { meaning(target) } else { own },
            values,
        }
    }

    /// The schema of a value, null aside.
    fn scalar<'a>(&'a self, schema: &'a Map<String, Value>) -> &'a Map<String, Value> {
        let target = self.resolve(schema);
        match self.alternatives(target).as_slice() {
            [one] if !target.contains_key("type") => one,
            _ => target,
        }
    }

    fn kind(&self, schema: &Map<String, Value>) -> String {
        if !self.values(schema).is_empty() {
            return "one of".into();
        }
        if schema.contains_key("const") {
            return "text".into();
        }
        match type_of(schema) {
            Some("boolean") => "true or false".into(),
            Some("integer") => "whole number".into(),
            Some("number") => "number".into(),
            Some("string") => "text".into(),
            Some("array") => {
                let items = schema.get("items").and_then(Value::as_object).map(|s| self.scalar(s));
                let of = items.map_or("values".into(), |s| plural(&self.kind(s)));
                match (schema.get("minItems"), schema.get("maxItems")) {
                    (Some(a), Some(b)) if a == b => format!("list of {a} {of}"),
                    _ => format!("list of {of}"),
                }
            }
            _ => "map".into(),
        }
    }

    /// Bounds of the number, or of the numbers in the list.
    fn bounds(&self, schema: &Map<String, Value>) -> String {
        match Range::of(schema) {
            Some(range) => range.words(),
            None => schema.get("items").and_then(Value::as_object).map_or(String::new(), |s| self.bounds(self.scalar(s))),
        }
    }

    fn values(&self, schema: &Map<String, Value>) -> Vec<(String, String)> {
        let plain = schema.get("enum").and_then(Value::as_array);
        let plain = plain.into_iter().flatten().filter_map(Value::as_str).map(|v| (v.to_string(), String::new()));
        let named = self.alternatives(schema).into_iter().filter_map(|s| {
            let value = s.get("const")?.as_str()?;
            Some((value.to_string(), meaning(s)))
        });
        let own: Vec<_> = plain.chain(named).collect();
        match (own.is_empty(), schema.get("items").and_then(Value::as_object)) {
            (true, Some(items)) => self.values(self.scalar(items)),
            _ => own,
        }
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "one of" => "names".into(),
        "true or false" => "true or false".into(),
        kind => match kind.strip_prefix("list ") {
            Some(rest) => format!("lists {rest}"),
            None => format!("{kind}s"),
        },
    }
}

/// Whether null may stand there.
fn nullable(schema: &Map<String, Value>) -> bool {
    let null = |v: &Value| v.as_str() == Some("null");
    let typed = schema.get("type").and_then(Value::as_array).is_some_and(|types| types.iter().any(null));
    let any = schema.get("anyOf").and_then(Value::as_array);
    typed || any.is_some_and(|any| any.iter().any(|s| s.get("type").is_some_and(null)))
}

/// The doc comment in one line, links as plain text.
fn meaning(schema: &Map<String, Value>) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("[`", "`").replace("`]", "`")
}
