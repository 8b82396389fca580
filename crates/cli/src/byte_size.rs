//! Sizes as people type them: `4MiB`, `16KiB`, `65536`.

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSize(u32);

/// A text that is not a size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a size like 4MiB, 16KiB, or a number of bytes")]
pub(crate) struct ByteSizeError;

impl ByteSize {
    pub(crate) fn bytes(self) -> u32 {
        self.0
    }
}

/// Reads a size.
pub(crate) fn parse(text: &str) -> Result<ByteSize, ByteSizeError> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(word, bytes)| Some((text.strip_suffix(word)?, bytes)))
        .unwrap_or((text, 1));
    let number: u32 = number.trim_end().parse().map_err(|_| ByteSizeError)?;
    // Without the check, 4096MiB would wrap around to 0 in a release build.
    number.checked_mul(unit).map(ByteSize).ok_or(ByteSizeError)
}

/// A number of bytes of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LargeByteSize(i64);

impl LargeByteSize {
    pub(crate) fn bytes(self) -> i64 {
        self.0
    }
}

/// Reads a size that may be larger than memory: also `8GiB` and `1TiB`.
pub(crate) fn parse_large(text: &str) -> Result<LargeByteSize, ByteSizeError> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (number, shift) = units
        .into_iter()
        .find_map(|(word, shift)| Some((text.strip_suffix(word)?, shift)))
        .unwrap_or((text, 0));
    let number: u32 = number.trim_end().parse().map_err(|_| ByteSizeError)?;
    let bytes = i64::from(number).checked_mul(1 << shift);
    bytes.map(LargeByteSize).ok_or(ByteSizeError)
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, ByteSizeError, LargeByteSize, parse, parse_large};

    #[test]
    fn reads_sizes_of_what_is_stored() {
        for (text, bytes) in [("0", 0), ("8GiB", 8 << 30), ("1 TiB", 1 << 40)] {
            assert_eq!(parse_large(text), Ok(LargeByteSize(bytes)), "{text}");
        }
        for text in ["", "-1", "1PiB", "4294967295TiB"] {
            assert_eq!(parse_large(text), Err(ByteSizeError), "{text}");
        }
    }

    #[test]
    fn reads_what_people_type() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("16KiB", 16_384),
            ("4MiB", 4_194_304),
            ("4 MiB", 4_194_304),
        ] {
            assert_eq!(parse(text), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_other_texts() {
        for text in ["", "MiB", "4MB", "4m", "-1", "1.5MiB", "4096MiB", "4xMiB"] {
            assert_eq!(parse(text), Err(ByteSizeError), "{text}");
        }
    }
}
