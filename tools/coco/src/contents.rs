//! What a file is that is not what it should be: the first bytes of an archive, a web page, a Git LFS pointer.

/// Names what the bytes are and what to do, where they are a common thing in the wrong place; `None` for everything else.
pub fn mistaken_for(bytes: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 9] = [
        (b"\xff\xfe", "it is text in UTF-16; save it as UTF-8"),
        (b"\xfe\xff", "it is text in UTF-16; save it as UTF-8"),
        (b"PK\x03\x04", "it is a ZIP archive; unpack it"),
        (b"\x1f\x8b", "it is a gzip archive; unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7-Zip archive; unpack it"),
        (b"Rar!", "it is a RAR archive; unpack it"),
        (b"version https://git-lfs", "it is a Git LFS pointer, not the file itself; run `git lfs pull`"),
        (b"%PDF", "it is a PDF document"),
        (b"<?xml", "it is XML"),
    ];
    if let Some((_, what)) = STARTS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some(what);
    }
    if is_heif(bytes) {
        return Some("it is a HEIC or AVIF picture, whatever its name; convert it to JPEG or PNG");
    }
    let text = &bytes[bytes.iter().take_while(|b| b.is_ascii_whitespace()).count()..];
    let tag = |name: &[u8]| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    (tag(b"<!doctype") || tag(b"<html")).then_some("it is a web page (HTML); was the download refused?")
}

/// ISO base media files of still pictures, as phones write them.
fn is_heif(bytes: &[u8]) -> bool {
    const BRANDS: [&[u8]; 8] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif"];
    bytes.get(4..8) == Some(b"ftyp") && bytes.get(8..12).is_some_and(|brand| BRANDS.contains(&brand))
}

/// The bytes without UTF-8's byte-order mark.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_things_in_the_wrong_place_are_named() {
        for (bytes, part) in [
            (&b"\xff\xfe{\0"[..], "UTF-16"),
            (b"PK\x03\x04....", "ZIP"),
            (b"\n <!DOCTYPE html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\0\0\0\x18ftypheic\0\0", "HEIC"),
        ] {
            assert!(mistaken_for(bytes).is_some_and(|what| what.contains(part)), "{part}");
        }
        for bytes in [&b"{}"[..], b"", b"\x89PNG", b"\0\0\0\x18ftypisom"] {
            assert_eq!(mistaken_for(bytes), None);
        }
    }
}
