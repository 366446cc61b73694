//! One file from a server: continued where an earlier try ended, compared with its checksum, then renamed into place.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use crate::checksum::Checksum;
use crate::client::{header, network, refused, Client};
use crate::error::HubError;
use crate::progress::Progress;

/// Broken connections in a row, each after some bytes, before a try ends.
const MAX_BREAKS: usize = 5;
/// Bytes that are written at once.
const BLOCK: usize = 1 << 17;

/// A file to fetch.
pub struct Wanted<'a> {
    /// Its address.
    pub url: &'a str,
    /// For the server of the address only.
    pub token: Option<&'a str>,
    /// What people call it.
    pub what: &'a str,
    /// Where it grows; what is there is continued.
    pub partial: &'a Path,
    /// Where it goes when it is whole.
    pub path: &'a Path,
    /// Bytes, where they are known.
    pub size: Option<u64>,
    /// Its checksum, where one is known.
    pub checksum: Option<Checksum>,
}

/// Fetches a file, unless it is there. Another process that fetches the same one is waited for.
///
/// # Errors
/// No connection (what arrived is kept), a size or checksum that differs (nothing is kept), a full disk.
pub fn download(client: &Client, wanted: &Wanted, progress: &mut dyn Progress) -> Result<(), HubError> {
    let partial = wanted.partial;
    let mut file = OpenOptions::new().create(true).append(true).open(partial).map_err(HubError::io(partial))?;
    if file.try_lock().is_err() {
        progress.note(&format!("{}: another process fetches it; waiting", wanted.what));
        file.lock().map_err(HubError::io(partial))?;
    }
    if wanted.path.exists() {
        return Ok(());
    }
    let mut breaks = 0;
    loop {
        let before = length(&file, partial)?;
        match attempt(client, wanted, &mut file, progress) {
            Ok(()) => break,
            Err(error @ HubError::Network { .. }) => {
                let now = length(&file, partial)?;
                breaks = if now > before { 1 } else { breaks + 1 };
                // Without a byte in between it would go on like this.
                if now == before || breaks > MAX_BREAKS {
                    return Err(with_kept(error, now));
                }
                progress.note(&format!("{}: the connection broke; continuing at byte {now}", wanted.what));
            }
            Err(error) => return Err(error),
        }
    }
    check(wanted, &file).inspect_err(|_| {
        let _ = std::fs::remove_file(partial);
    })?;
    file.sync_all().map_err(HubError::io(partial))?;
    std::fs::rename(partial, wanted.path).map_err(HubError::io(wanted.path))
}

fn with_kept(error: HubError, bytes: u64) -> HubError {
    match error {
        HubError::Network { url, reason, .. } if bytes > 0 => {
            HubError::Network { url, reason, kept: format!("{bytes} bytes are kept, the next try continues from there; ") }
        }
        other => other,
    }
}

fn length(file: &File, path: &Path) -> Result<u64, HubError> {
    Ok(file.metadata().map_err(HubError::io(path))?.len())
}

/// One request. Returns when all bytes are there.
fn attempt(client: &Client, wanted: &Wanted, file: &mut File, progress: &mut dyn Progress) -> Result<(), HubError> {
    let clear = |file: &File| file.set_len(0).map_err(HubError::io(wanted.partial));
    let mut have = length(file, wanted.partial)?;
    match wanted.size {
        Some(size) if size == have => return Ok(()),
        // Of another file.
        Some(size) if size < have => {
            clear(file)?;
            have = 0;
        }
        _ => {}
    }
    let mut answer = client.get(wanted.url, wanted.token, have)?;
    if answer.status() == 416 {
        clear(file)?;
        have = 0;
        answer = client.get(wanted.url, wanted.token, 0)?;
    }
    let continues = header(answer.headers(), "content-range").is_some_and(|range| range.starts_with(&format!("bytes {have}-")));
    match answer.status().as_u16() {
        206 if continues => {}
        // The server cannot continue: from the start.
        200 | 206 if have > 0 => {
            clear(file)?;
            have = 0;
            if answer.status() == 206 {
                answer = client.get(wanted.url, wanted.token, 0)?;
            }
        }
        200 => {}
        status => return Err(refused(wanted.url, status)),
    }
    let announced = header(answer.headers(), "content-length").and_then(|n| n.parse::<u64>().ok()).map(|n| have + n);
    progress.start(wanted.what, announced.or(wanted.size), have);
    let rest = wanted.size.map_or(u64::MAX, |size| size.saturating_sub(have));
    let outcome = copy(answer.into_body().into_reader(), file, rest, wanted, progress);
    progress.end();
    let total = have + outcome?;
    match announced {
        Some(announced) if total < announced => Err(network(wanted.url, &"the connection ended early", String::new())),
        _ => Ok(()),
    }
}

/// At most `rest` bytes: a server that never ends would fill the disk.
fn copy(mut from: impl Read, to: &mut File, rest: u64, wanted: &Wanted, progress: &mut dyn Progress) -> Result<u64, HubError> {
    let mut block = vec![0; BLOCK];
    let mut total = 0;
    loop {
        let n = from.read(&mut block).map_err(|e| network(wanted.url, &e, String::new()))?;
        if n == 0 {
            return Ok(total);
        }
        if total + n as u64 > rest {
            to.set_len(0).map_err(HubError::io(wanted.partial))?;
            return Err(HubError::Answer { url: wanted.url.into(), problem: "it sends more bytes than it stated".into() });
        }
        to.write_all(&block[..n]).map_err(HubError::io(wanted.partial))?;
        total += n as u64;
        progress.advance(n as u64);
    }
}

/// Size and checksum of what arrived.
fn check(wanted: &Wanted, file: &File) -> Result<(), HubError> {
    const REMOVED: &str = "it was removed; fetch it again";
    let found = length(file, wanted.partial)?;
    if let Some(expected) = wanted.size.filter(|expected| *expected != found) {
        let (expected, found) = (expected.to_string(), found.to_string());
        return Err(HubError::Checksum { path: wanted.partial.into(), kind: "size", expected, found, advice: REMOVED });
    }
    match &wanted.checksum {
        Some(checksum) => checksum.verify(wanted.partial, REMOVED),
        None => Ok(()),
    }
}
