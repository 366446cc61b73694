//! Caches that Python wrote, and that Python reads: `tools/fixtures/hub_cache.py` made the fixture.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::{Answer, Server};
use repghost_hub::{weights, Environment, Reference, Silent};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/hub_cache.json")).unwrap()
}

/// Variables of an environment below a folder.
fn environment(home: &Path, endpoint: &str) -> Environment {
    let home = home.to_str().unwrap();
    let set = [("HF_HOME", home.to_string()), ("TORCH_HOME", format!("{home}/torch")), ("HF_ENDPOINT", endpoint.into())];
    Environment::from_lookup(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()))
}

/// Files and links below `home` that belong to a repository.
fn entries(home: &Path) -> BTreeMap<String, Value> {
    let (mut found, mut open) = (BTreeMap::new(), vec![home.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            let name = path.strip_prefix(home).unwrap().to_str().unwrap().to_string();
            if path.is_symlink() {
                found.insert(name, serde_json::json!({"link": std::fs::read_link(&path).unwrap().to_str().unwrap()}));
            } else if path.is_dir() {
                open.push(path);
            } else if name.starts_with("hub/models--") {
                found.insert(name, serde_json::json!({"text": std::fs::read_to_string(&path).unwrap()}));
            }
        }
    }
    found
}

/// The hub of the fixture's script.
fn hub(fixture: &Value) -> Server {
    let text = |key: &str| fixture[key].as_str().unwrap().to_string();
    let (large, small, commit) = (text("large"), text("small"), text("commit"));
    let blob = |of: &str| {
        let entry = fixture["entries"].as_object().unwrap().iter().find(|(_, v)| v["text"] == of).unwrap();
        entry.0.rsplit('/').next().unwrap().to_string()
    };
    let (large_hash, small_hash) = (blob(&large), blob(&small));
    let size = large.len().to_string();
    let store = {
        let large = large.clone();
        Server::start(move |request, _| Answer::file(request, large.as_bytes()))
    };
    // By another name of this machine, as the hub's store is another machine.
    let address = store.url().replace("127.0.0.1", "localhost");
    Server::start(move |request, _| {
        let answer = match request.path.as_str() {
            "/org/net/resolve/main/model.safetensors" => Answer::status(302)
                .with("Location", &format!("{address}/large"))
                .with("X-Linked-Etag", &format!("\"{large_hash}\""))
                .with("X-Linked-Size", &size),
            "/org/net/resolve/main/sub/config.json" => {
                Answer::file(request, small.as_bytes()).with("ETag", &format!("\"{small_hash}\""))
            }
            _ => Answer::status(404),
        };
        answer.with("X-Repo-Commit", &commit)
    })
}

fn name(file: &str) -> Reference {
    Reference::parse(&format!("hf:org/net/{file}")).unwrap().unwrap()
}

#[test]
fn what_python_wrote_is_found_without_a_server() {
    let (fixture, home) = (fixture(), tempfile::tempdir().unwrap());
    for (name, entry) in fixture["entries"].as_object().unwrap() {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry["link"].as_str() {
            Some(link) => std::os::unix::fs::symlink(link, &path).unwrap(),
            None => std::fs::write(&path, entry["text"].as_str().unwrap()).unwrap(),
        }
    }
    // Nobody listens there.
    let environment = environment(home.path(), "http://127.0.0.1:1");
    for (file, content) in [("model.safetensors", "large"), ("sub/config.json", "small")] {
        let found = weights::fetch(&name(file), &environment, &mut Silent).unwrap();
        assert_eq!(std::fs::read_to_string(&found.path).unwrap(), fixture[content].as_str().unwrap());
        assert_eq!(found.place, weights::Origin::HubCache);
        let by_commit = name(&format!("{file}@{}", fixture["commit"].as_str().unwrap()));
        assert_eq!(weights::find(&by_commit, &environment).unwrap(), found);
    }
    assert_eq!(weights::find(&name("other.bin"), &environment), None);
    assert_eq!(weights::find(&name("model.safetensors@v2"), &environment), None);
    // A byte that changed is noticed.
    let blob = std::fs::canonicalize(weights::find(&name("model.safetensors"), &environment).unwrap().path).unwrap();
    let mut content = std::fs::read(&blob).unwrap();
    content[7] ^= 1;
    std::fs::write(&blob, content).unwrap();
    let error = weights::fetch(&name("model.safetensors"), &environment, &mut Silent).unwrap_err().to_string();
    assert!(
        error.contains("its SHA-256 is") && error.ends_with("the file is damaged; remove it, and it is fetched anew"),
        "{error}"
    );
}

#[test]
fn what_is_fetched_lies_as_python_lays_it() {
    let (fixture, home) = (fixture(), tempfile::tempdir().unwrap());
    let server = hub(&fixture);
    let environment = environment(home.path(), &server.url());
    for file in ["model.safetensors", "sub/config.json"] {
        let found = weights::fetch(&name(file), &environment, &mut Silent).unwrap();
        assert_eq!(found.place, weights::Origin::Fetched);
    }
    let wanted: BTreeMap<String, Value> = fixture["entries"].as_object().unwrap().clone().into_iter().collect();
    assert_eq!(entries(home.path()), wanted);
    // And is there from now on.
    let requests = server.requests().len();
    weights::fetch(&name("model.safetensors"), &environment, &mut Silent).unwrap();
    assert_eq!(server.requests().len(), requests);
}

/// With a Python that has `huggingface_hub` (`REPGHOST_PYTHON` names it), it finds the file without a server.
#[test]
fn python_finds_what_is_fetched_here() {
    let python = std::env::var("REPGHOST_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", "import huggingface_hub"]).output().is_ok_and(|o| o.status.success());
    let Some(python) = repghost_testing::need("huggingface_hub", has.then_some(python), "pip install huggingface_hub") else {
        return;
    };
    let (fixture, home) = (fixture(), tempfile::tempdir().unwrap());
    let server = hub(&fixture);
    let found = weights::fetch(&name("model.safetensors"), &environment(home.path(), &server.url()), &mut Silent).unwrap();
    let script = "import huggingface_hub as h; print(h.hf_hub_download('org/net', 'model.safetensors', local_files_only=True))";
    let run = Command::new(python).args(["-c", script]).env("HF_HOME", home.path()).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), found.path.to_str().unwrap());
}

#[test]
fn nothing_is_asked_for_where_that_is_forbidden() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Answer::status(500));
    let environment = Environment { offline: true, ..environment(home.path(), &server.url()) };
    let error = weights::fetch(&name("model.safetensors"), &environment, &mut Silent).unwrap_err().to_string();
    assert!(
        error.starts_with("hf:org/net/model.safetensors: not in ") && error.contains("HF_HUB_OFFLINE forbids to fetch it"),
        "{error}"
    );
    assert!(server.requests().is_empty());
}
