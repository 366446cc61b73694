//! What a server of weights answers: any statuses, headers and bytes, in any order, with connections that break.

#![no_main]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use repghost_hub::{weights, Environment, Reference, Silent};

/// Of no row of the table, so that only the hub's own statements are compared.
const NAME: &str = "hf:org/name/model.safetensors";

/// One answer. Redirects lead to this server alone.
#[derive(Arbitrary, Debug)]
struct Answer {
    status: Status,
    headers: Vec<Header>,
    body: Vec<u8>,
    /// Whether the length of the body is stated, and as what.
    length: Length,
}

#[derive(Arbitrary, Debug)]
enum Status {
    Ok,
    Partial,
    Found,
    Moved,
    NotFound,
    OutOfRange,
    Failed,
    Any(u16),
}

#[derive(Arbitrary, Debug)]
enum Header {
    Commit,
    CommitOf(String),
    Etag,
    EtagOf(String),
    LinkedEtag,
    LinkedEtagOf(String),
    LinkedSize(u64),
    ContentRange(u64, u64, u64),
    Location(String),
    Encoding(bool),
    Other(String, String),
}

#[derive(Arbitrary, Debug)]
enum Length {
    True,
    None,
    More(u8),
    Any(u64),
}

impl Answer {
    /// Header values with line breaks or other controls are no headers any more.
    fn bytes(&self) -> Vec<u8> {
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        let status = match self.status {
            Status::Ok => 200,
            Status::Partial => 206,
            Status::Found => 302,
            Status::Moved => 301,
            Status::NotFound => 404,
            Status::OutOfRange => 416,
            Status::Failed => 503,
            Status::Any(n) => n % 1000,
        };
        let mut text = format!("HTTP/1.1 {status:03} x\r\nconnection: close\r\n");
        for header in &self.headers {
            let line = match header {
                Header::Commit => format!("x-repo-commit: {}", "a".repeat(40)),
                Header::CommitOf(of) => format!("x-repo-commit: {}", plain(of)),
                Header::Etag => "etag: \"abc\"".into(),
                Header::EtagOf(of) => format!("etag: {}", plain(of)),
                Header::LinkedEtag => format!("x-linked-etag: \"{}\"", "b".repeat(64)),
                Header::LinkedEtagOf(of) => format!("x-linked-etag: {}", plain(of)),
                Header::LinkedSize(n) => format!("x-linked-size: {n}"),
                Header::ContentRange(from, to, of) => format!("content-range: bytes {from}-{to}/{of}"),
                Header::Location(to) => format!("location: /{}", plain(to).trim_start_matches('/')),
                Header::Encoding(chunked) => format!("transfer-encoding: {}", if *chunked { "chunked" } else { "gzip" }),
                Header::Other(name, value) => format!("{}: {}", plain(name).to_lowercase().replace("location", ""), plain(value)),
            };
            text.push_str(&line);
            text.push_str("\r\n");
        }
        match self.length {
            Length::True => text.push_str(&format!("content-length: {}\r\n", self.body.len())),
            Length::None => {}
            Length::More(n) => text.push_str(&format!("content-length: {}\r\n", self.body.len() + usize::from(n))),
            Length::Any(n) => text.push_str(&format!("content-length: {n}\r\n")),
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Answers of this input that are left, last first. Without one a connection is closed.
static ANSWERS: Mutex<Vec<Answer>> = Mutex::new(Vec::new());

/// The address of a server of this process.
fn endpoint() -> &'static str {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    ENDPOINT.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
        format!("http://{address}")
    })
}

fn answer(mut connection: TcpStream) {
    let Ok(reading) = connection.try_clone() else { return };
    for line in BufReader::new(reading).lines() {
        match line {
            Ok(line) if !line.is_empty() => {}
            Ok(_) => break,
            Err(_) => return,
        }
    }
    let next = ANSWERS.lock().expect("answers").pop();
    if let Some(next) = next {
        let _ = connection.write_all(&next.bytes());
    }
}

fuzz_target!(|answers: Vec<Answer>| {
    let endpoint = endpoint();
    *ANSWERS.lock().expect("answers") = answers.into_iter().take(16).rev().collect();
    let home = repghost_fuzz::folder().join("hub");
    let _ = std::fs::remove_dir_all(&home);
    let lookup = |name: &str| match name {
        "HF_ENDPOINT" => Some(endpoint.to_string()),
        "HF_HOME" | "HOME" | "TORCH_HOME" => Some(home.display().to_string()),
        _ => None,
    };
    let environment = Environment::from_lookup(lookup);
    let reference = Reference::parse(NAME).expect("a name").expect("no path");
    match weights::fetch(&reference, &environment, &mut Silent) {
        // What counts as fetched is found again without a server, and has the checksum that its name states.
        Ok(found) => {
            assert!(found.path.is_file());
            let again = weights::find(&reference, &environment).expect("what was fetched is in the cache");
            assert_eq!(again.path, found.path);
            weights::verify(&reference, &found.path).expect("its checksum");
        }
        Err(error) => {
            repghost_fuzz::message(&error);
            assert!(weights::find(&reference, &environment).is_none(), "{error}, and yet the cache has it");
        }
    }
});
