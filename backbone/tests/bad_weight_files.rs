//! Damaged and hostile weight files: each is refused with an error that names the cause, without any other effect.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use repghost_backbone::weights::pickle::PickleError;
use repghost_backbone::weights::{read, TensorError, WeightsError};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(name)).unwrap()
}

/// What reading a file of these bytes gives.
fn read_bytes(bytes: &[u8]) -> Result<repghost_backbone::weights::StateDict, WeightsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.pth");
    fs::write(&path, bytes).unwrap();
    read(&path)
}

fn error_of(bytes: &[u8]) -> WeightsError {
    match read_bytes(bytes) {
        Ok(state) => panic!("read {} tensors", state.len()),
        Err(e) => e,
    }
}

/// A zip as `torch.save` lays it out.
fn torch_zip(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut entries = vec![("archive/data.pkl".to_string(), pickle)];
    entries.extend(storages.iter().map(|(key, data)| (format!("archive/data/{key}"), *data)));
    zip_of(&entries.iter().map(|(n, d)| (n.as_str(), *d)).collect::<Vec<_>>(), CompressionMethod::Stored)
}

fn zip_of(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, data) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Writes pickles, opcode by opcode.
#[derive(Clone)]
struct Pickler(Vec<u8>);

impl Pickler {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    fn int(self, i: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&i.to_le_bytes())
    }

    fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    fn ints(self, items: &[i64]) -> Self {
        items.iter().fold(self.raw(b"("), |p, i| p.int(*i)).raw(b"t")
    }

    fn storage(self, class: &str, key: &str, elements: i64) -> Self {
        let p = self.raw(b"(").text("storage").global("torch", class).text(key).text("cpu");
        p.int(elements).raw(b"tQ")
    }

    /// A tensor of `stored` f32 elements under `key`.
    fn tensor(self, key: &str, stored: i64, offset: i64, size: &[i64], stride: &[i64]) -> Self {
        let p = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage("FloatStorage", key, stored);
        p.int(offset).ints(size).ints(stride).raw(b"\x89}tR")
    }

    fn stop(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// `{"w": tensor}`.
fn one_tensor(stored: i64, offset: i64, size: &[i64], stride: &[i64]) -> Vec<u8> {
    Pickler::new().raw(b"}").text("w").tensor("0", stored, offset, size, stride).raw(b"s").stop()
}

const FOUR: [u8; 16] = [0; 16];

#[test]
fn the_crafted_files_are_right_where_they_are_not_made_wrong() {
    let data: Vec<u8> = [1f32, 2., 3., 4.].iter().flat_map(|v| v.to_le_bytes()).collect();
    let state = read_bytes(&torch_zip(&one_tensor(4, 1, &[3], &[1]), &[("0", &data)])).unwrap();
    assert_eq!(Vec::<f32>::try_from(state.get("w").unwrap()).unwrap(), [2., 3., 4.]);
}

#[test]
fn files_of_other_kinds_are_named() {
    assert!(matches!(error_of(b""), WeightsError::Empty { .. }));
    assert!(matches!(error_of(b"not weights at all"), WeightsError::UnknownFormat { .. }));
    assert!(matches!(error_of(&[0u8; 4096]), WeightsError::UnknownFormat { .. }));
    assert!(matches!(error_of(&Pickler::new().text("hello").stop()), WeightsError::PlainPickle { .. }));
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(matches!(error_of(&tar), WeightsError::Tar { .. }));
    let other_zip = zip_of(&[("readme.txt", b"hello")], CompressionMethod::Stored);
    assert!(matches!(error_of(&other_zip), WeightsError::NoPickle { .. }));
    let gone = read(Path::new("no/such/file.pth")).unwrap_err();
    assert!(matches!(&gone, WeightsError::Io { .. }) && gone.to_string().starts_with("no/such/file.pth: "), "{gone}");
}

/// Every good file, cut at every byte: an error each time, and no panic.
#[test]
fn files_cut_off_anywhere_are_errors() {
    for name in ["kinds.safetensors", "kinds.pth", "kinds_legacy.pth", "checkpoint_legacy.pth", "views_legacy.pth"] {
        let whole = fixture(name);
        read_bytes(&whole).unwrap();
        for length in 0..whole.len() {
            assert!(read_bytes(&whole[..length]).is_err(), "{name} cut to {length} of {} bytes was read", whole.len());
        }
    }
}

/// Every good file with every byte changed: whatever comes of it, no panic and no memory beyond the file's own size.
#[test]
fn files_with_any_byte_changed_do_not_panic() {
    for name in ["kinds.safetensors", "kinds_legacy.pth", "checkpoint_legacy.pth", "views_legacy.pth", "views.pth"] {
        let whole = fixture(name);
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let _ = read_bytes(&bytes);
            }
        }
    }
}

#[test]
fn safetensors_that_lie_are_refused() {
    let file = |header: &str, data: &[u8]| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
    let lies = [
        file(r#"{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, &[0; 8]),
        file(r#"{"w":{"dtype":"F32","shape":[5],"data_offsets":[0,16]}}"#, &FOUR),
        file(r#"{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, &[0; 24]),
        file(r#"{"w":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,16]}}"#, &FOUR),
        file(r#"{"w":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}}"#, &FOUR),
        file(r#"{"w":"#, &FOUR),
        [&u64::MAX.to_le_bytes()[..], b"{"].concat(),
        [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat(),
    ];
    for (i, bytes) in lies.iter().enumerate() {
        let error = error_of(bytes);
        assert!(matches!(error, WeightsError::Safetensors { .. }), "lie {i}: {error}");
    }
    let rare = file(r#"{"w":{"dtype":"U16","shape":[8],"data_offsets":[0,16]}}"#, &FOUR);
    assert!(matches!(error_of(&rare), WeightsError::Tensor { source: TensorError::Kind(k), .. } if k == "U16"));
}

#[test]
fn impossible_tensors_are_refused_by_name() {
    let wrong = |pickle: Vec<u8>| match error_of(&torch_zip(&pickle, &[("0", &FOUR)])) {
        WeightsError::Tensor { name, source, .. } => {
            assert_eq!(name, "w");
            source
        }
        other => panic!("{other}"),
    };
    assert_eq!(wrong(one_tensor(4, 1, &[4], &[1])), TensorError::OutOfStorage { last: 4, storage: 4 });
    assert_eq!(wrong(one_tensor(4, 0, &[2, 2], &[3, 1])), TensorError::OutOfStorage { last: 4, storage: 4 });
    assert!(matches!(wrong(one_tensor(4, -1, &[1], &[1])), TensorError::Geometry { .. }));
    assert!(matches!(wrong(one_tensor(4, 0, &[-1], &[1])), TensorError::Geometry { .. }));
    assert!(matches!(wrong(one_tensor(4, 0, &[2], &[1, 1])), TensorError::Geometry { .. }));
    assert!(matches!(wrong(one_tensor(4, 0, &[i64::MAX, i64::MAX], &[0, 0])), TensorError::Geometry { .. }));
    assert!(matches!(wrong(one_tensor(4, 0, &[1 << 50], &[0])), TensorError::Expanded { .. }));
    let complex = Pickler::new().raw(b"}").text("w").global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
    let complex = complex.storage("ComplexFloatStorage", "0", 2).int(0).ints(&[2]).ints(&[1]).raw(b"\x89}tRs").stop();
    assert_eq!(wrong(complex), TensorError::Kind("torch.ComplexFloatStorage".into()));
}

#[test]
fn storages_that_are_not_as_claimed_are_refused() {
    let wrong = |pickle: Vec<u8>, storages: &[(&str, &[u8])]| match error_of(&torch_zip(&pickle, storages)) {
        WeightsError::Storage { key, reason, .. } => (key, reason),
        other => panic!("{other}"),
    };
    let (key, reason) = wrong(one_tensor(4, 0, &[4], &[1]), &[("1", &FOUR)]);
    assert_eq!((key.as_str(), reason.as_str()), ("0", "not in the file"));
    let (_, reason) = wrong(one_tensor(5, 0, &[4], &[1]), &[("0", &FOUR)]);
    assert_eq!(reason, "5 elements of torch.FloatStorage need 20 bytes, found 16");
    let (_, reason) = wrong(one_tensor(1 << 60, 0, &[4], &[1]), &[("0", &FOUR)]);
    assert!(reason.contains("need 4611686018427387904 bytes"), "{reason}");
    let huge = error_of(&torch_zip(&one_tensor(i64::MAX, 0, &[4], &[1]), &[("0", &FOUR)]));
    assert!(matches!(huge, WeightsError::Tensor { source: TensorError::Bytes { .. }, .. }), "{huge}");
    let folder_escape = Pickler::new().raw(b"}").text("w").tensor("../../etc/passwd", 4, 0, &[4], &[1]).raw(b"s").stop();
    assert_eq!(wrong(folder_escape, &[("0", &FOUR)]).1, "not in the file");
}

/// The classic: a reduce of `os.system`. Ours has nothing to call it with; the name is reported, the weights are read.
#[test]
fn nothing_in_a_pickle_is_executed() {
    let folder = tempfile::tempdir().unwrap();
    let witness = folder.path().join("executed");
    let command = format!("touch {}", witness.display());
    for module in ["os", "posix", "nt"] {
        let evil = Pickler::new().raw(b"}").text("evil").global(module, "system").raw(b"(").text(&command).raw(b"tRs");
        let evil = evil.text("w").tensor("0", 4, 0, &[4], &[1]).raw(b"s").stop();
        let state = read_bytes(&torch_zip(&evil, &[("0", &FOUR)])).unwrap();
        assert_eq!(state.names().collect::<Vec<_>>(), ["w"]);
        assert_eq!(state.foreign, [format!("{module}.system")]);
    }
    // As the whole file, and where a tensor's storage should be.
    let alone = Pickler::new().global("os", "system").raw(b"(").text(&command).raw(b"tR").stop();
    assert!(matches!(error_of(&torch_zip(&alone, &[])), WeightsError::WholeObject { class, .. } if class == "os.system"));
    let nested = Pickler::new().raw(b"}").text("w").global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
    let nested = nested.global("os", "system").raw(b"(").text(&command).raw(b"tR");
    let nested = nested.int(0).ints(&[1]).ints(&[1]).raw(b"\x89}tRs").stop();
    assert!(matches!(
        error_of(&torch_zip(&nested, &[])),
        WeightsError::Pickle { source: PickleError::Tensor { constructor, .. }, .. } if constructor == "torch._utils._rebuild_tensor_v2"
    ));
    assert!(!witness.exists());
}

#[test]
fn programs_that_go_wrong_are_refused() {
    let wrong = |pickle: Vec<u8>| match error_of(&torch_zip(&pickle, &[])) {
        WeightsError::Pickle { source, .. } => source,
        other => panic!("{other}"),
    };
    let p = Pickler::new;
    assert_eq!(wrong(p().raw(b"}").0), PickleError::Truncated { at: 3 });
    assert_eq!(wrong(p().stop()), PickleError::Stack { at: 2 });
    assert_eq!(wrong(p().raw(b"R").stop()), PickleError::Stack { at: 2 });
    assert_eq!(wrong(p().raw(b"t").stop()), PickleError::Mark { at: 2 });
    assert_eq!(wrong(p().raw(b"h\x07").stop()), PickleError::Memo { index: 7, at: 2 });
    assert_eq!(wrong(p().raw(b"i").stop()), PickleError::Opcode { opcode: b'i', at: 2 });
    assert_eq!(wrong(vec![0x80, 9, b'N', b'.']), PickleError::Protocol(9));
    assert_eq!(wrong(p().raw(b"X\xff\xff\xff\xff").stop()), PickleError::Truncated { at: 2 });
    assert_eq!(wrong(p().raw(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff").stop()), PickleError::Truncated { at: 2 });
    assert_eq!(wrong(p().raw(b"X\x01\0\0\0\xff").stop()), PickleError::Utf8 { at: 2 });
    assert!(matches!(wrong(p().raw(b"NNs").stop()), PickleError::Stack { .. }));
    assert!(matches!(wrong(p().raw(b"NNNs").stop()), PickleError::Type { .. }));
    assert!(matches!(wrong(p().raw(b"}(NNNu").stop()), PickleError::Type { .. }));
    assert!(matches!(wrong(p().raw(b"N)R").stop()), PickleError::Type { .. }));
    assert!(matches!(wrong(p().text("0").raw(b"Q").stop()), PickleError::Storage { .. }));
    assert!(matches!(wrong(p().raw(b"(tQ").stop()), PickleError::Storage { .. }));
    assert!(matches!(wrong(p().raw(&vec![b'N'; 1 << 23]).stop()), PickleError::TooManyValues { .. }));
}

#[test]
fn a_bomb_of_a_pickle_stays_small() {
    let bomb = vec![b'N'; (64 << 20) + 1];
    let bytes = zip_of(&[("archive/data.pkl", &bomb)], CompressionMethod::Deflated);
    assert!(bytes.len() < 1 << 20);
    assert!(matches!(error_of(&bytes), WeightsError::Pickle { source: PickleError::TooLong { .. }, .. }));
}

/// A million lists, each in the next; and a dict that holds itself.
#[test]
fn depth_and_cycles_do_no_harm() {
    let deep = vec![b']'; 1_000_000];
    let deep = Pickler::new().raw(&deep).raw(&vec![b'a'; 999_999]).stop();
    assert!(matches!(error_of(&torch_zip(&deep, &[])), WeightsError::NoStateDict { .. }));
    let cycle = Pickler::new().raw(b"}q\x00").text("model").raw(b"h\x00s").stop();
    let error = error_of(&torch_zip(&cycle, &[]));
    assert!(matches!(&error, WeightsError::NoStateDict { found, .. } if found == "model"), "{error}");
}

#[test]
fn files_without_a_state_dict_say_what_is_there() {
    let optimizer_only = Pickler::new().raw(b"}").text("epoch").int(3).raw(b"s").text("lr").int(1).raw(b"s").stop();
    let error = error_of(&torch_zip(&optimizer_only, &[]));
    assert!(matches!(&error, WeightsError::NoStateDict { found, .. } if found == "epoch, lr"), "{error}");
    let list = Pickler::new().raw(b"]").stop();
    assert!(matches!(error_of(&torch_zip(&list, &[])), WeightsError::NoStateDict { found, .. } if found == "a list"));
    let object = Pickler::new().raw(b"}").text("model").global("ultralytics", "Model").raw(b")\x81s").stop();
    assert!(
        matches!(error_of(&torch_zip(&object, &[])), WeightsError::WholeObject { class, .. } if class == "ultralytics.Model")
    );
}

#[test]
fn other_byte_orders_and_protocols_are_refused() {
    let pickle = one_tensor(4, 0, &[4], &[1]);
    let entries: [(&str, &[u8]); 3] = [("a/data.pkl", &pickle), ("a/data/0", &FOUR), ("a/byteorder", b"big")];
    let error = error_of(&zip_of(&entries, CompressionMethod::Stored));
    assert!(matches!(&error, WeightsError::ByteOrder { order, .. } if order == "big"), "{error}");
    let mut legacy = fixture("kinds_legacy.pth");
    // Behind the magic number stands the protocol: 80 02 4d e9 03 2e.
    assert_eq!(&legacy[15..21], &[0x80, 2, b'M', 0xe9, 3, b'.']);
    legacy[18] = 0xea;
    assert!(matches!(error_of(&legacy), WeightsError::LegacyProtocol { .. }));
}

/// Peak memory of this process so far, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Files of a few bytes to some MB that ask for gigabytes, each in its own way: refused, within a bound for all of them together.
#[cfg(target_os = "linux")]
#[test]
fn small_files_do_not_take_much_memory() {
    const BOUND: u64 = 1500 << 20;
    let before = peak_memory();

    // 200 views of one number, 2^24 elements each.
    let views =
        (0..200).fold(Pickler::new().raw(b"}"), |p, i| p.text(&format!("w{i}")).tensor("0", 1, 0, &[1 << 24], &[0]).raw(b"s"));
    let error = error_of(&torch_zip(&views.stop(), &[("0", &[0; 4])]));
    assert!(matches!(&error, WeightsError::Tensor { source: TensorError::Expanded { .. }, .. }), "{error}");

    // Storages of zeros, deflated to a thousandth: 16 times 64 MB.
    let zeros = vec![0u8; 64 << 20];
    let tensors = (0..16).fold(Pickler::new().raw(b"}"), |p, i| {
        p.text(&format!("w{i}")).tensor(&i.to_string(), 16 << 20, 0, &[16 << 20], &[1]).raw(b"s")
    });
    let pickle = tensors.stop();
    let names: Vec<String> = (0..16).map(|i| format!("archive/data/{i}")).collect();
    let mut entries: Vec<(&str, &[u8])> = vec![("archive/data.pkl", &pickle)];
    entries.extend(names.iter().map(|n| (n.as_str(), zeros.as_slice())));
    let error = error_of(&zip_of(&entries, CompressionMethod::Deflated));
    assert!(matches!(&error, WeightsError::Bomb { .. }), "{error}");

    let wrong = |pickle: Vec<u8>| match error_of(&torch_zip(&pickle, &[])) {
        WeightsError::Pickle { source, .. } => source,
        other => panic!("{other}"),
    };
    // One value remembered thirty million times; marks and copies of the top of the stack; numbers.
    let many = |opcode: u8| wrong(Pickler::new().raw(b"N").raw(&vec![opcode; 30 << 20]).stop());
    assert!(matches!(many(0x94), PickleError::Memo { .. }));
    assert!(matches!(many(b'('), PickleError::TooManyValues { .. }));
    assert!(matches!(many(b'2'), PickleError::TooManyValues { .. }));
    assert!(matches!(many(b'N'), PickleError::TooManyValues { .. }));
    // A name of 1 MB that is imported again and again.
    let long = "x".repeat(1 << 20);
    let names = Pickler::new().text(&long).raw(b"q\x00").text("y").raw(b"q\x01");
    let names = (0..4000).fold(names, |p, _| p.raw(b"h\x00h\x01\x93"));
    assert!(matches!(wrong(names.stop()), PickleError::TooLarge { .. }));

    let grown = peak_memory().saturating_sub(before);
    assert!(grown < BOUND, "{} MB more at the peak", grown >> 20);
}

/// What has no end or no beginning is refused before it is opened.
#[cfg(unix)]
#[test]
fn devices_pipes_and_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.pth");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [Path::new("/dev/zero"), &pipe, folder.path()] {
        let error = read(path).unwrap_err();
        assert!(matches!(&error, WeightsError::NotAFile { .. }), "{error}");
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}

/// The case file: 200 views of one number, 2^24 elements each, in 16 kB.
#[test]
fn the_shared_file_of_expanded_views_is_refused() {
    let Some(path) = repghost_testing::shared("cases/expand200one.pth") else { return };
    let error = read(&path).unwrap_err();
    assert!(matches!(&error, WeightsError::Tensor { source: TensorError::Expanded { .. }, .. }), "{error}");
}
