//! What the bytes of records are made of, read.

use std::borrow::Cow;
use std::str::FromStr;

use unsigned_varint::{decode, encode};

use super::AuditError;
use crate::model::Reason;

/// What is not read yet of a record.
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    length: Length,
}

/// How lengths are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// LEB128, as short as can be.
    Varying,
    /// Four bytes, big-endian.
    Four,
}

const TOO_EARLY: AuditError = AuditError::Unreadable("it ends too early");

impl<'a> Decoder<'a> {
    pub const fn new(rest: &'a [u8], length: Length) -> Self {
        Self { rest, length }
    }

    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], AuditError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TOO_EARLY)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], AuditError> {
        self.take(N)?.try_into().map_err(|_| TOO_EARLY)
    }

    pub fn byte(&mut self) -> Result<u8, AuditError> {
        self.array().map(|[byte]| byte)
    }

    pub fn flag(&mut self) -> Result<bool, AuditError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(AuditError::Unreadable("a flag is neither 0 nor 1")),
        }
    }

    fn length(&mut self) -> Result<usize, AuditError> {
        let length = match self.length {
            Length::Varying => self.number()?,
            Length::Four => u32::from_be_bytes(self.array()?),
        };
        usize::try_from(length).map_err(|_| TOO_EARLY)
    }

    /// LEB128, in the one way in which it is written.
    fn number(&mut self) -> Result<u32, AuditError> {
        let (number, rest) =
            decode::u32(self.rest).map_err(|_| AuditError::Unreadable("a length is none"))?;
        let mut buffer = encode::u32_buffer();
        let written = encode::u32(number, &mut buffer);
        if self.rest.strip_prefix(written) != Some(rest) {
            return Err(AuditError::Unreadable("a length is none"));
        }
        self.rest = rest;
        Ok(number)
    }

    pub fn text(&mut self) -> Result<Cow<'static, str>, AuditError> {
        let length = self.length()?;
        let text = std::str::from_utf8(self.take(length)?);
        text.map(|text| Cow::Owned(text.to_owned()))
            .map_err(|_| AuditError::Unreadable("a text is not UTF-8"))
    }

    pub fn hex_digest(&mut self) -> Result<[u8; 32], AuditError> {
        let mut digest = [0; 32];
        let read = hex::decode_to_slice(&*self.text()?, &mut digest);
        read.map(|()| digest).map_err(|_| AuditError::Unreadable("a digest is none"))
    }

    pub fn parsed<T: FromStr>(&mut self, trouble: &'static str) -> Result<T, AuditError> {
        self.text()?.parse().map_err(|_| AuditError::Unreadable(trouble))
    }

    pub fn option<T>(
        &mut self,
        read: fn(&mut Self) -> Result<T, AuditError>,
    ) -> Result<Option<T>, AuditError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    pub fn reason(&mut self) -> Result<Reason, AuditError> {
        Reason::parse(&self.text()?).ok_or(AuditError::Unreadable("a reason is unknown"))
    }

    pub fn list<T>(&mut self, item: fn(&mut Self) -> Result<T, AuditError>) -> Result<Vec<T>, AuditError> {
        let length = self.length()?;
        // Not reserved up front: the length is believed only as far as items follow.
        (0..length).map(|_| item(self)).collect()
    }
}
