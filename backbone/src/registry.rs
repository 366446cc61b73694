//! From a name and settings to a network.
//!
//! Each family file carries its own rows ([`Member`]); here they are found by name, and settings that a network does not take are
//! refused. A user's own networks join with [`register`].

use std::sync::{PoisonError, RwLock};

use repghost_config::{Check, Checker};
use serde_json::{Map, Value};

use crate::backbone::Backbone;
use crate::config::{BackboneConfig, ReuseKind, TapStyle};
use crate::families::{DESCRIPTIONS, FAMILIES};
use crate::member::{Description, Member};

/// Rows that were registered at run time.
static REGISTERED: RwLock<Vec<Member>> = RwLock::new(vec![]);

/// Keys that every network takes.
const COMMON_KEYS: [&str; 2] = ["name", "dropout"];
/// The key that takes the styles of [`Member::taps`].
const TAPS: &str = "taps";
/// Levels of [`TapStyle::Torchvision`].
const TORCHVISION_LEVELS: [u32; 2] = [5, 5];
const RATIOS: [i64; 2] = [2, 4];

/// A setting that makes no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model.backbone.{key}: found {found}, expected {expected}")]
pub struct RegistryError {
    /// Key below `model.backbone`.
    pub key: String,
    /// The value there.
    pub found: String,
    /// The values that are allowed.
    pub expected: String,
}

impl RegistryError {
    fn new(key: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { key: key.into(), found: found.into(), expected: expected.into() }
    }
}

/// Every row: the families of this crate, then those that were registered.
pub fn members() -> Vec<Member> {
    let built_in = FAMILIES.iter().flat_map(|rows| rows.iter().copied());
    built_in.chain(REGISTERED.read().unwrap_or_else(PoisonError::into_inner).iter().copied()).collect()
}

/// What every row states about its settings, in the order of [`members`].
pub fn descriptions() -> Vec<Description> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    DESCRIPTIONS.into_iter().chain(registered.iter().map(Member::description)).collect()
}

/// Names that [`BackboneConfig::name`] takes.
pub fn names() -> Vec<&'static str> {
    descriptions().into_iter().map(|d| d.name).collect()
}

/// Adds a network to the registry of this process. From then on it is trained, fused, exported and analyzed like any other, under its
/// name in `model.backbone.name`.
///
/// # Errors
/// A name that is taken, and keys that [`BackboneConfig`] does not have.
pub fn register(member: Member) -> Result<(), RegistryError> {
    let known = object(&BackboneConfig::default());
    if let Some(key) = member.keys.iter().find(|key| !known.contains_key(**key)) {
        let expected = format!("keys of {}: {}", member.name, known.keys().cloned().collect::<Vec<_>>().join(", "));
        return Err(RegistryError::new("name", format!("'{key}'"), expected));
    }
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let mut taken = FAMILIES.iter().flat_map(|rows| rows.iter()).chain(registered.iter());
    if taken.any(|m| m.name == member.name) {
        return Err(RegistryError::new("name", format!("'{}'", member.name), "a name that no other network has"));
    }
    registered.push(member);
    Ok(())
}

impl Check for BackboneConfig {
    fn rules(&self, at: &mut Checker) {
        for problem in self.conflicts() {
            at.require(false, &problem.key, problem.found, problem.expected);
        }
    }
}

impl BackboneConfig {
    /// Whether the settings make a network.
    ///
    /// # Errors
    /// The first of [`BackboneConfig::problems`].
    pub fn check(&self) -> Result<(), RegistryError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is wrong with the settings: values out of range, an unknown name (the nearest one is suggested), settings that
    /// the network does not take.
    pub fn problems(&self) -> Vec<RegistryError> {
        let found = Check::check(self, "").err().map_or(vec![], |problems| problems.0);
        found.into_iter().map(|p| RegistryError { key: p.key, found: p.found, expected: p.expected }).collect()
    }

    /// What is wrong beyond single values' ranges.
    fn conflicts(&self) -> Vec<RegistryError> {
        let Some(member) = self.description() else { return vec![self.unknown_name()] };
        let mut problems = self.foreign_keys(&member);
        let mut refuse = |key: &str, found: String, expected: &str| {
            if problems.iter().all(|p| p.key != key) {
                problems.push(RegistryError::new(key, found, expected));
            }
        };
        if takes(&member, TAPS) && !member.taps.contains(&self.taps) {
            let styles: Vec<String> = member.taps.iter().map(tap_style).collect();
            refuse(TAPS, tap_style(&self.taps), &format!("{} for {}", styles.join(" or "), self.name));
        }
        if !RATIOS.contains(&self.ratio) {
            refuse("ratio", self.ratio.to_string(), "2 or 4");
        }
        if self.branches != Self::default().branches && self.reuse != ReuseKind::Add {
            refuse("branches", format!("{:?}", self.branches), "no such key unless reuse is add");
        }
        problems
    }

    /// Builds the network with a classifier of `classes` outputs. Initial weights come from torch's global generator.
    ///
    /// # Errors
    /// As [`BackboneConfig::check`]; no class.
    pub fn build_classifier(&self, classes: i64) -> Result<Backbone, RegistryError> {
        self.check()?;
        if classes < 1 {
            return Err(RegistryError::new("name", format!("a classifier of {classes} classes"), "at least 1 class"));
        }
        let member = members().into_iter().find(|m| m.name == self.name).ok_or_else(|| self.unknown_name())?;
        let net = (member.build)(self, classes);
        let (tapped, stated): (Vec<u32>, _) =
            (net.taps().iter().map(|t| t.level).collect(), self.levels_of(&member.description()));
        if tapped != stated {
            return Err(RegistryError::new(
                "name",
                format!("{}, which taps {tapped:?}", self.name),
                format!("{stated:?}, as in its row"),
            ));
        }
        Ok(net)
    }

    /// Builds the network without its classifier, as a detector uses it. Initial weights come from torch's global generator.
    ///
    /// # Errors
    /// As [`BackboneConfig::check`].
    pub fn build_features(&self) -> Result<Backbone, RegistryError> {
        let mut net = self.build_classifier(1)?;
        net.drop_classifier();
        Ok(net)
    }

    /// Levels of the network's taps, without building it; none for an unknown name, or taps that the network does not have.
    pub fn levels(&self) -> Option<Vec<u32>> {
        self.description().filter(|member| member.taps.contains(&self.taps)).map(|member| self.levels_of(&member))
    }

    fn levels_of(&self, member: &Description) -> Vec<u32> {
        match self.taps {
            TapStyle::StageEnd | TapStyle::Timm => member.levels.to_vec(),
            TapStyle::Torchvision => TORCHVISION_LEVELS.to_vec(),
        }
    }

    fn description(&self) -> Option<Description> {
        descriptions().into_iter().find(|d| d.name == self.name)
    }

    fn unknown_name(&self) -> RegistryError {
        let names = names();
        let near = names.iter().min_by_key(|n| strsim::damerau_levenshtein(n, &self.name.to_lowercase()));
        let hint = near.map_or(String::new(), |n| format!("; did you mean {n}?"));
        RegistryError::new("name", format!("'{}'", self.name), format!("one of {}{hint}", names.join(", ")))
    }

    /// Settings other than the default that `member` does not take.
    fn foreign_keys(&self, member: &Description) -> Vec<RegistryError> {
        let (ours, defaults) = (object(self), object(&Self::default()));
        let changed = ours.iter().filter(|(key, value)| defaults.get(*key) != Some(value));
        let mut problems = vec![];
        for (key, value) in changed.filter(|(key, _)| !takes(member, key)) {
            let takers: Vec<&str> = descriptions().iter().filter(|d| takes(d, key)).map(|d| d.name).collect();
            let expected = format!("no such key for {} (only {} take it)", self.name, takers.join(", "));
            problems.push(RegistryError::new(key, value.to_string().replace('"', ""), expected));
        }
        problems
    }
}

fn takes(member: &Description, key: &str) -> bool {
    COMMON_KEYS.contains(&key) || member.keys.contains(&key) || (key == TAPS && member.taps.len() > 1)
}

/// A value of `taps` as it stands in an experiment file.
fn tap_style(style: &TapStyle) -> String {
    serde_json::to_value(style).ok().and_then(|value| value.as_str().map(String::from)).unwrap_or_default()
}

/// The settings by key.
fn object(config: &BackboneConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NormKind;

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let error = BackboneConfig::named("resnet5O").check().unwrap_err();
        assert_eq!(error.key, "name");
        assert!(error.to_string().ends_with("did you mean resnet50?"), "{error}");
    }

    #[test]
    fn a_key_of_another_family_is_refused() {
        let refused = [
            ("branches", BackboneConfig { branches: vec![], ..BackboneConfig::named("resnet50") }),
            ("width", BackboneConfig { width: 0.5, ..BackboneConfig::named("repvgg_a0") }),
            ("ratio", BackboneConfig { ratio: 4, ..BackboneConfig::named("resnet50") }),
            ("ratio", BackboneConfig { ratio: 3, ..BackboneConfig::named("ghost_resnet50") }),
            ("norm", BackboneConfig { norm: NormKind::Frozen, ..BackboneConfig::named("ghostnet") }),
            ("norm_eps", BackboneConfig { norm_eps: Some(0.0), ..BackboneConfig::named("repvgg_a0") }),
            ("norm_eps", BackboneConfig { norm_eps: Some(-1e-5), ..BackboneConfig::named("resnet50") }),
            ("taps", BackboneConfig { taps: TapStyle::Timm, ..BackboneConfig::named("mobilenet_v2") }),
            ("taps", BackboneConfig { taps: TapStyle::Torchvision, ..BackboneConfig::default() }),
            ("taps", BackboneConfig { taps: TapStyle::Timm, ..BackboneConfig::named("mobilenet_v3_large") }),
            ("se", BackboneConfig { se: false, ..BackboneConfig::named("ghostnet") }),
            ("branches", BackboneConfig { branches: vec![], reuse: ReuseKind::Concat, ..BackboneConfig::default() }),
            ("dropout", BackboneConfig { dropout: Some(1.0), ..BackboneConfig::named("resnet18") }),
            ("width", BackboneConfig { width: f64::NAN, ..BackboneConfig::default() }),
        ];
        for (key, config) in refused {
            assert_eq!(config.check().unwrap_err().key, key, "{config:?}");
        }
        let error = BackboneConfig { width: 1.3, ..BackboneConfig::named("resnet50") }.check().unwrap_err();
        assert!(error
            .to_string()
            .starts_with("model.backbone.width: found 1.3, expected no such key for resnet50 (only repghostnet,"));
    }

    #[test]
    fn a_classifier_has_a_class() {
        let error = BackboneConfig::named("resnet18").build_classifier(0).unwrap_err().to_string();
        assert!(error.ends_with("found a classifier of 0 classes, expected at least 1 class"), "{error}");
    }

    #[test]
    fn all_problems_are_listed_at_once_and_each_key_once() {
        let config = BackboneConfig { width: 99.0, se: false, dropout: Some(2.0), ..BackboneConfig::named("resnet50") };
        let keys: Vec<String> = config.problems().into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["width", "dropout", "se"], "ranges first");
    }

    #[test]
    fn names_are_unique_and_keys_exist() {
        let names = names();
        let unique: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        let known = object(&BackboneConfig::default());
        let described: Vec<Description> = members().iter().map(Member::description).collect();
        assert_eq!(described, descriptions());
        for member in described {
            assert!(member.keys.iter().all(|k| known.contains_key(*k)), "{}: {:?}", member.name, member.keys);
        }
    }

    #[test]
    fn a_registered_network_is_built_by_name_and_taken_names_and_unknown_keys_are_refused() {
        let tiny =
            Member::new("registry_test_net", |_, classes| BackboneConfig::named("resnet18").build_classifier(classes).unwrap());
        let unknown = register(tiny.keys(&["depth"])).unwrap_err();
        assert!(unknown.to_string().contains("'depth'"), "{unknown}");
        register(tiny.keys(&["norm"])).unwrap();
        assert!(register(tiny).unwrap_err().to_string().contains("a name that no other network has"));
        assert!(register(Member { name: "resnet18", ..tiny }).is_err());
        assert!(names().contains(&"registry_test_net"));
        let config = BackboneConfig { width: 0.5, ..BackboneConfig::named("registry_test_net") };
        assert_eq!(config.check().unwrap_err().key, "width");
        assert_eq!(BackboneConfig::named("registry_test_net").build_features().unwrap().name, "resnet18");
    }
}
