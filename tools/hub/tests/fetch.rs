//! Fetching: connections that break, wrong bytes, refusals, data sets.

mod common;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::{Answer, Server};
use repghost_hub::sets::{self, Done, Part, Set};
use repghost_hub::{weights, Environment, HubError, Reference, Silent};
use sha2::{Digest, Sha256};

const COMMIT: &str = "00112233445566778899aabbccddeeff00112233";

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes that are no repetition.
fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn environment(home: &Path, server: &Server) -> Environment {
    Environment {
        hub_cache: home.join("hub"),
        torch_checkpoints: home.join("torch"),
        endpoint: server.url(),
        torch_endpoint: server.url(),
        offline: false,
        token: None,
        certificates: None,
    }
}

fn hub_file() -> Reference {
    Reference::parse("hf:org/net/a.bin").unwrap().unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The hub, whose answers with bytes `change` may alter; it gets the number of such answers before.
fn hub(content: Vec<u8>, change: impl Fn(Answer, usize) -> Answer + Send + 'static) -> Server {
    let etag = sha256(&content);
    let sent = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |request, _| {
        let answer = Answer::file(request, &content).with("X-Repo-Commit", COMMIT).with("ETag", &format!("\"{etag}\""));
        match request.method.as_str() {
            "GET" => change(answer, sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
            _ => answer,
        }
    })
}

#[test]
fn a_broken_connection_is_continued() {
    let home = tempfile::tempdir().unwrap();
    let server = hub(content(), |answer, number| if number < 2 { answer.cut(100_000) } else { answer });
    let found = weights::fetch(&hub_file(), &environment(home.path(), &server), &mut Silent).unwrap();
    assert_eq!(std::fs::read(found.path).unwrap(), content());
    let from: Vec<usize> = server.requests().iter().filter(|r| r.method == "GET").map(|r| r.from()).collect();
    assert_eq!(from, [0, 100_000, 200_000]);
}

#[test]
fn what_arrived_is_kept_for_the_next_try() {
    let home = tempfile::tempdir().unwrap();
    // Bytes once, then none.
    let server = hub(content(), |answer, number| match number {
        0 => answer.cut(120_000),
        _ => answer.cut(0),
    });
    let error = weights::fetch(&hub_file(), &environment(home.path(), &server), &mut Silent).unwrap_err();
    assert!(matches!(error, HubError::Network { .. }) && error.to_string().contains("120000 bytes are kept"), "{error}");
    assert_eq!(files(&home.path().join("hub/models--org--net/blobs")), [format!("{}.incomplete", sha256(&content()))]);
    assert_eq!(weights::find(&hub_file(), &environment(home.path(), &server)), None);
    let server = hub(content(), |answer, _| answer);
    let found = weights::fetch(&hub_file(), &environment(home.path(), &server), &mut Silent).unwrap();
    assert_eq!(std::fs::read(found.path).unwrap(), content());
    assert_eq!(server.requests().last().unwrap().from(), 120_000);
    assert_eq!(files(&home.path().join("hub/models--org--net/blobs")), [sha256(&content())]);
}

#[test]
fn a_server_that_cannot_continue_starts_anew() {
    let home = tempfile::tempdir().unwrap();
    let whole = content();
    let server = hub(content(), move |answer, number| match number {
        0 => answer.cut(1000),
        _ => Answer { status: 200, body: whole.clone(), ..Answer::default() },
    });
    let found = weights::fetch(&hub_file(), &environment(home.path(), &server), &mut Silent).unwrap();
    assert_eq!(std::fs::read(found.path).unwrap(), content());
}

#[test]
fn wrong_bytes_are_not_kept() {
    let home = tempfile::tempdir().unwrap();
    let server = hub(content(), |mut answer, _| {
        answer.body[5] ^= 1;
        answer
    });
    let error = weights::fetch(&hub_file(), &environment(home.path(), &server), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("its SHA-256 is") && error.ends_with("it was removed; fetch it again"), "{error}");
    assert!(files(&home.path().join("hub/models--org--net/blobs")).is_empty());
    assert_eq!(weights::find(&hub_file(), &environment(home.path(), &server)), None);
}

/// A server that never ends would fill the disk.
#[test]
fn more_bytes_than_stated_are_not_written() {
    let home = tempfile::tempdir().unwrap();
    let server = hub(content(), |mut answer, _| {
        answer.body.extend(std::iter::repeat_n(0, 10_000_000));
        answer
    });
    let error = weights::fetch(&hub_file(), &environment(home.path(), &server), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("it sends more bytes than it stated"), "{error}");
    let partial = home.path().join(format!("hub/models--org--net/blobs/{}.incomplete", sha256(&content())));
    assert_eq!(std::fs::metadata(partial).unwrap().len(), 0);
}

#[test]
fn refusals_have_a_way_out() {
    let home = tempfile::tempdir().unwrap();
    for (status, hint) in [(401, "set HF_TOKEN"), (404, "no such repository, revision or file"), (503, "try again later")] {
        let server = Server::start(move |_, _| Answer::status(status));
        let error = weights::fetch(&hub_file(), &environment(home.path(), &server), &mut Silent).unwrap_err().to_string();
        assert!(error.contains(&format!("the server answers {status}")) && error.contains(hint), "{error}");
    }
    let page = Server::start(|request, _| Answer::file(request, b"<html>"));
    let error = weights::fetch(&hub_file(), &environment(home.path(), &page), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("no X-Repo-Commit") && error.contains("HF_ENDPOINT"), "{error}");
    let odd = Server::start(|_, _| Answer::status(200).with("X-Repo-Commit", COMMIT).with("ETag", "\"../../x\""));
    let error = weights::fetch(&hub_file(), &environment(home.path(), &odd), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("no ETag"), "{error}");
    assert!(files(home.path()).is_empty(), "{:?}", files(home.path()));
}

#[test]
fn nobody_listening_is_one_line() {
    let (home, server) = (tempfile::tempdir().unwrap(), Server::start(|_, _| Answer::status(500)));
    let environment = Environment { endpoint: "http://127.0.0.1:1".into(), ..environment(home.path(), &server) };
    let error = weights::fetch(&hub_file(), &environment, &mut Silent).unwrap_err().to_string();
    assert!(error.starts_with("http://127.0.0.1:1/org/net/resolve/main/a.bin: ") && !error.contains('\n'), "{error}");
    assert!(
        error.ends_with("check the connection, HTTPS_PROXY and HF_ENDPOINT, or name a file that is on this machine"),
        "{error}"
    );
}

/// The token goes to the hub, not to the store that it redirects to.
#[test]
fn the_token_stays_with_the_hub() {
    let home = tempfile::tempdir().unwrap();
    let store = Arc::new(Server::start(|request, _| Answer::file(request, &content())));
    let address = store.url().replace("127.0.0.1", "localhost");
    let server = Server::start(move |_, _| {
        Answer::status(302)
            .with("Location", &format!("{address}/store"))
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-Etag", &format!("\"{}\"", sha256(&content())))
    });
    let environment = Environment { token: Some("secret".into()), ..environment(home.path(), &server) };
    weights::fetch(&hub_file(), &environment, &mut Silent).unwrap();
    assert!(server.requests().iter().all(|r| r.header("authorization") == Some("Bearer secret")));
    assert_eq!(store.requests().len(), 1);
    assert_eq!(store.requests()[0].header("authorization"), None);
}

#[test]
fn torchvision_files_are_compared_with_their_names() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(|request, _| Answer::file(request, &content()));
    let environment = environment(home.path(), &server);
    let file = format!("net-{}.pth", &sha256(&content())[..8]);
    let reference = Reference::parse(&format!("torch:{file}")).unwrap().unwrap();
    let found = weights::fetch(&reference, &environment, &mut Silent).unwrap();
    assert_eq!(found.path, home.path().join("torch").join(&file));
    assert_eq!(weights::fetch(&reference, &environment, &mut Silent).unwrap().place, weights::Origin::TorchCache);
    // A row of the table: these are not the bytes that torchvision published.
    let mask = Reference::parse("torchvision/maskrcnn_resnet50_fpn_coco").unwrap().unwrap();
    let error = weights::fetch(&mask, &environment, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("expected bf2d0c1e") && error.contains("it was removed"), "{error}");
    assert_eq!(server.requests().last().unwrap().path, "/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth");
    assert_eq!(files(&home.path().join("torch")), [file]);
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn set(server: &Server, archive: &[u8]) -> Set {
    let part =
        Part { name: "val", path: "zips/val.zip".into(), folder: "val", bytes: archive.len() as u64, sha256: sha256(archive) };
    Set { name: "tiny", about: "", variable: "TINY", base: server.url(), parts: vec![part] }
}

#[test]
fn a_set_is_fetched_resumed_checked_and_unpacked() {
    let home = tempfile::tempdir().unwrap();
    let archive = zip(&[("val/a.jpg", &content()), ("val/sub/b.jpg", b"b")]);
    let server = {
        let archive = archive.clone();
        Server::start(move |request, number| match number {
            0 => Answer::file(request, &archive).cut(1000),
            _ => Answer::file(request, &archive),
        })
    };
    let (set, out) = (set(&server, &archive), home.path().join("coco"));
    let environment = environment(home.path(), &server);
    let fetch = || sets::fetch(&set, &[], &out, false, &environment, &mut Silent);
    assert_eq!(fetch().unwrap(), [Done::Unpacked(out.join("val"))]);
    assert_eq!(server.requests()[1].from(), 1000);
    assert_eq!(std::fs::read(out.join("val/a.jpg")).unwrap(), content());
    assert_eq!(std::fs::read(out.join("val/sub/b.jpg")).unwrap(), b"b");
    assert_eq!(files(&out), ["val"], "archive and temporary folder are gone");
    let requests = server.requests().len();
    assert_eq!(fetch().unwrap(), [Done::Present(out.join("val"))]);
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn damaged_and_hostile_archives_leave_nothing() {
    let home = tempfile::tempdir().unwrap();
    let good = zip(&[("val/a", b"abc")]);
    let mut damaged = good.clone();
    // In the compressed bytes of the only file: its own checksum differs.
    damaged[36] ^= 0x55;
    for (archive, expected) in [
        (zip(&[("val/a", b"a"), ("../evil", b"b")]), "../evil is not in val/"),
        (zip(&[("other/a", b"a")]), "other/a is not in val/"),
        (b"no zip".to_vec(), "cannot be unpacked"),
        (damaged, "cannot be unpacked"),
    ] {
        let served = archive.clone();
        let server = Server::start(move |request, _| Answer::file(request, &served));
        let out = home.path().join("out");
        let environment = environment(home.path(), &server);
        let error = sets::fetch(&set(&server, &archive), &[], &out, false, &environment, &mut Silent).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(files(&out), ["val.zip"]);
        std::fs::remove_dir_all(&out).unwrap();
    }
    // Another size than was published.
    let server = Server::start(move |request, _| Answer::file(request, b"short"));
    let out = home.path().join("out");
    let error = sets::fetch(&set(&server, &good), &[], &out, false, &environment(home.path(), &server), &mut Silent);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("its size is 5, expected"), "{error}");
    assert!(files(&out).is_empty());
}
