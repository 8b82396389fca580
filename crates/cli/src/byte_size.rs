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

#[cfg(test)]
mod tests {
    use super::{ByteSize, ByteSizeError, parse};

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
