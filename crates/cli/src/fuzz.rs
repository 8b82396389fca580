//! The bodies of the fuzz targets in `fuzz/` that are about what a command reads. They are in
//! this crate because what they call is private. Tests run them over the seeds and over
//! generated texts on every toolchain; only a fuzzer and tests compile them.
//!
//! A body panics when a property does not hold. It ends for any bytes.

use viridian_client::{ServerTarget, normalize_url};

pub use crate::deployment::fuzz_manifest as manifest;
use crate::{byte_size, deployment::fuzz_names, duration, enum_names, key_value};

/// Values of flags: durations, sizes, pairs, names of states.
pub fn flags(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(parsed) = duration::parse(&text) {
        for written in [duration::to_text(parsed), duration::to_words(parsed)] {
            assert_eq!(duration::parse(&written), Ok(parsed), "{text} as {written}");
        }
    }
    if let Ok(size) = byte_size::parse(&text) {
        assert_eq!(byte_size::parse(&size.bytes().to_string()), Ok(size));
    }
    if let Ok((key, value)) = key_value::parse(&text) {
        assert_eq!(format!("{key}={value}"), text);
    }
    // A name that is none is refused with those that there are.
    let states = [
        enum_names::parse_availability(&text).err(),
        enum_names::parse_lifecycle(&text).err(),
        enum_names::parse_status(&text).err(),
    ];
    for error in states.into_iter().flatten() {
        assert!(!error.to_string().is_empty());
    }
    fuzz_names(&text);
}

/// Addresses of servers.
pub fn addresses(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(url) = normalize_url(&text) else {
        assert!(ServerTarget::new(&text).is_err(), "{text}");
        return;
    };
    assert_eq!(
        normalize_url(&url).as_ref(),
        Ok(&url),
        "it is whole already"
    );
    let target = ServerTarget::new(&text).unwrap_or_else(|error| panic!("{url}: {error}"));
    assert_eq!(target.url(), url);
    assert!(!target.host().is_empty(), "{url}");
    assert_eq!(target.is_encrypted(), url.starts_with("https://"), "{url}");
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    type Body = fn(&[u8]);

    const TARGETS: [(&str, Body); 3] = [
        ("addresses", addresses),
        ("flags", flags),
        ("manifest", manifest),
    ];

    #[test]
    #[expect(
        clippy::print_stdout,
        reason = "a failure is of the last seed that was shown"
    )]
    fn each_target_has_a_body_that_takes_its_seeds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        for (target, body) in TARGETS {
            let file = folder.join(format!("fuzz_targets/{target}.rs"));
            let text =
                fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            let call = format!("viridian::fuzz::{target}(");
            assert!(text.contains(&call), "{file:?} does not call {call}");
            let seeds = fs::read_dir(folder.join("seeds").join(target)).expect(target);
            let seeds: Vec<_> = seeds.map(|seed| seed.expect(target).path()).collect();
            assert!(!seeds.is_empty(), "{target} has no seed");
            for seed in seeds {
                println!("{}", seed.display());
                body(&fs::read(&seed).expect(target));
            }
        }
    }
}
