//! The stored form of an activity: numbers in the variable-length form of LEB128, one after another, in base64.
//!
//! Most numbers are small, and most slots are empty; JSON would be five times the size and ten times the work.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// A stored activity that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored activity is malformed")]
pub struct Malformed;

/// Writes numbers.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// One number.
    pub fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A number that uses all of its bits, such as a fingerprint.
    pub fn wide(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A number of 32 bits that uses all of them.
    pub fn half(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// The stored text.
    pub fn finish(self) -> String {
        STANDARD_NO_PAD.encode(self.0)
    }
}

/// The bytes of a stored text.
pub fn bytes_of(text: &str) -> Result<Vec<u8>, Malformed> {
    STANDARD_NO_PAD.decode(text).map_err(|_| Malformed)
}

/// Reads numbers.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// One number.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            // The tenth byte holds one bit.
            if shift == 63 && part > 1 {
                return Err(Malformed);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A number that fits into 32 bits.
    pub fn narrow(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// How many things follow, at most `most`.
    pub fn length(&mut self, most: usize) -> Result<usize, Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        if length > most { Err(Malformed) } else { Ok(length) }
    }

    /// What [`Writer::wide`] wrote.
    pub fn wide(&mut self) -> Result<u64, Malformed> {
        let (head, rest) = self.0.split_first_chunk::<8>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*head))
    }

    /// What [`Writer::half`] wrote.
    pub fn half(&mut self) -> Result<u32, Malformed> {
        let (head, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*head))
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_round_trip(values in proptest::collection::vec(any::<u64>(), 0..50)) {
            let mut out = Writer::default();
            for value in &values {
                out.number(*value);
                out.wide(*value);
            }
            let bytes = bytes_of(&out.finish()).unwrap();
            let mut from = Reader::new(&bytes);
            for value in &values {
                prop_assert_eq!(from.number(), Ok(*value));
                prop_assert_eq!(from.wide(), Ok(*value));
            }
            prop_assert_eq!(from.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut from = Reader::new(&bytes);
            while from.number().is_ok() {}
        }
    }
}
