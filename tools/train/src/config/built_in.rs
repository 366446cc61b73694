//! Experiments that are part of the program, so that they are there in every folder, installed or not.
//!
//! They are found by name (`demo`, `imagenet/repghostnet_0.5x`) or by the path that they have in the project (`experiments/demo.yaml`),
//! where no file on disk has that path. Messages show them as `built-in/demo.yaml`.

use std::path::{Component, Path, PathBuf};

use include_dir::{include_dir, Dir, DirEntry};

static EXPERIMENTS: Dir = include_dir!("$CARGO_MANIFEST_DIR/experiments");

/// What their paths start with in messages.
const SHOWN: &str = "built-in";
/// The folder in the project.
const FOLDER: &str = "experiments";
const EXTENSION: &str = "yaml";

/// A built-in file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its path for messages: `built-in/demo.yaml`.
    pub shown: PathBuf,
    /// What is in it.
    pub text: &'static str,
}

/// The built-in file of a name or path; dots must be resolved.
pub fn find(path: &Path) -> Option<BuiltIn> {
    let parts = path.components().map(|c| match c {
        Component::Normal(part) => Some(part),
        _ => None,
    });
    let mut relative: PathBuf = parts.collect::<Option<PathBuf>>()?;
    for prefix in [SHOWN, FOLDER] {
        relative = relative.strip_prefix(prefix).map(Path::to_path_buf).unwrap_or(relative);
    }
    if relative.extension().is_none_or(|e| e != EXTENSION) {
        // Not `with_extension`: names hold dots (`repghostnet_0.5x`).
        relative.as_mut_os_string().push(".");
        relative.as_mut_os_string().push(EXTENSION);
    }
    let text = EXPERIMENTS.get_file(&relative)?.contents_utf8()?;
    Some(BuiltIn { shown: Path::new(SHOWN).join(relative), text })
}

/// Names and first comments of all that can be trained or swept over, in alphabetical order.
pub fn list() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&EXPERIMENTS, &mut found);
    found.sort();
    found
}

fn collect(folder: &Dir, found: &mut Vec<(String, String)>) {
    for entry in folder.entries() {
        match entry {
            // Bases are parts of others.
            DirEntry::Dir(inner) if inner.path().ends_with("_base_") => {}
            DirEntry::Dir(inner) => collect(inner, found),
            DirEntry::File(file) => {
                let Some(name) = file.path().to_str().and_then(|p| p.strip_suffix(".yaml")) else { continue };
                found.push((name.to_string(), first_comment(file.contents_utf8().unwrap_or_default())));
            }
        }
    }
}

/// The first sentence of a file's first comment, else its title.
fn first_comment(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    let comment: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let comment = comment.join(" ");
    let title = text.lines().find_map(|line| line.strip_prefix("title: "));
    let sentence = comment.split_inclusive(". ").next().unwrap_or_default().trim().trim_end_matches('.');
    match (sentence.is_empty(), title) {
        (true, Some(title)) => title.to_string(),
        _ => sentence.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_find_the_same_file() {
        let demo = find(Path::new("demo")).unwrap();
        assert_eq!(demo.shown, Path::new("built-in/demo.yaml"));
        for path in ["demo.yaml", "experiments/demo.yaml", "built-in/demo.yaml"] {
            assert_eq!(find(Path::new(path)), Some(demo.clone()), "{path}");
        }
        for path in ["", "nothing", "../demo", "/demo", "experiments", "_base_"] {
            assert_eq!(find(Path::new(path)), None, "{path}");
        }
    }

    /// The list in the program is the folder in the project: a file that was added is not forgotten in an old build.
    #[test]
    fn every_file_of_the_folder_is_in_the_program() {
        fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(&path, files),
                    false => files.push(path),
                }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        let mut files = Vec::new();
        walk(&root, &mut files);
        assert!(files.len() > 10);
        for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == EXTENSION)) {
            let found = find(file.strip_prefix(&root).unwrap());
            assert_eq!(found.map(|f| f.text.to_string()), Some(std::fs::read_to_string(file).unwrap()), "{}", file.display());
        }
        for (name, comment) in list() {
            assert!(!comment.is_empty() && !name.contains("_base_"), "{name}");
        }
    }
}
