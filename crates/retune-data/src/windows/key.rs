//! Identifiers as 16 bytes: exact for short ones, a digest for long ones.

use sha2::{Digest as _, Sha256};

/// Up to 15 bytes of an identifier and their number; of a longer one the first 15 bytes of its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(pub [u8; 16]);

impl Key {
    /// No identifier.
    pub const NONE: Self = Self([0; 16]);

    /// [`Key::NONE`] for an empty text.
    pub fn of(text: &str) -> Self {
        let mut out = [0; 16];
        let bytes = text.as_bytes();
        if bytes.len() <= 15 {
            out[..bytes.len()].copy_from_slice(bytes);
            out[15] = bytes.len() as u8;
        } else {
            out.copy_from_slice(&Sha256::digest(bytes)[..16]);
            out[15] = u8::MAX;
        }
        Self(out)
    }

    pub fn of_optional(text: Option<&str>) -> Self {
        text.map_or(Self::NONE, Self::of)
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_texts_have_different_keys() {
        let long = "a".repeat(40);
        let texts = [
            "a",
            "a\0",
            "b",
            "123456789012345",
            "1234567890123456",
            &long,
            &long[1..],
        ];
        for (at, one) in texts.iter().enumerate() {
            for other in &texts[..at] {
                assert_ne!(Key::of(one), Key::of(other), "{one:?} {other:?}");
            }
            assert_eq!(Key::of(one), Key::of(one));
        }
        assert!(Key::of("").is_none() && !Key::of("0").is_none());
    }
}
