//! Experiments: files that name each other as bases, and overrides. What resolves resolves to itself.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use repghost_train::config::Loaded;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    files: Vec<&'a str>,
    overrides: Vec<String>,
}

fuzz_target!(|input: Input| {
    let Some((top, bases)) = input.files.split_first() else { return };
    for (i, text) in bases.iter().take(3).enumerate() {
        repghost_fuzz::file(&format!("b{i}.yaml"), text.as_bytes());
    }
    let path = repghost_fuzz::file("e.yaml", top.as_bytes());
    let overrides: Vec<String> = input.overrides.into_iter().take(3).collect();
    match Loaded::read(&path, &overrides) {
        Ok(loaded) => {
            let text = loaded.to_yaml(false);
            let again = Loaded::parse(&text, &path, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(again.to_yaml(false), text);
        }
        Err(error) => repghost_fuzz::message(&error),
    }
});
