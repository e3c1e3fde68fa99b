//! The start of a file: what a reader must know, and what people want to.

use core::fmt::{self, Write as _};

use serde_json::Value;

pub(crate) const MAGIC: [u8; 8] = *b"DRYTRACE";
pub(crate) const VERSION: u32 = 1;
/// Magic, version, length of the JSON.
pub(super) const FIXED_BYTES: usize = 16;
/// The JSON takes at most so many bytes.
pub(super) const JSON_BYTES_MAX: u32 = 1 << 16;

/// What operations name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Addresses,
    Ids,
}

/// The facts of the header that a reader acts upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) stage: Stage,
    /// `None` if the trace has no times.
    pub(crate) ticks_per_second: Option<u64>,
}

/// Room for every header that is written here.
pub(crate) const HEADER_BYTES_MAX: usize = 512;

/// Text written into bytes that have room for it.
struct Text<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl Header {
    /// The bytes of the header of a file that `writer` writes. Written without the heap, since a
    /// recorder may begin inside an allocation.
    pub(crate) fn write<'b>(
        self,
        writer: &str,
        clock: Option<&str>,
        bytes: &'b mut [u8; HEADER_BYTES_MAX],
    ) -> &'b [u8] {
        let mut text = Text {
            bytes: &mut bytes[FIXED_BYTES..],
            len: 0,
        };
        let stage = match self.stage {
            Stage::Addresses => "addresses",
            Stage::Ids => "ids",
        };
        let timed = self.ticks_per_second.is_some();
        // None of the words has a character that JSON would write otherwise, and all of them fit.
        let fits = write!(
            text,
            "{{\"stage\":\"{stage}\",\"timed\":{timed},\"ticks_per_second\":{},\"clock\":\"{}\",\
             \"recorder\":\"{writer}\",\"arch\":\"{}\",\"system\":\"{}\",\"pointer_bits\":{}}}",
            self.ticks_per_second.unwrap_or(0),
            clock.unwrap_or("none"),
            std::env::consts::ARCH,
            std::env::consts::OS,
            usize::BITS,
        );
        debug_assert!(fits.is_ok(), "the header fits");
        let length = text.len;
        let end = FIXED_BYTES + length;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(length as u32).to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
        &bytes[..end + 4]
    }

    /// The facts in `json`; keys that are not known are passed over.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, &'static str> {
        let json: Value =
            serde_json::from_slice(json).map_err(|_| "the header's JSON cannot be read")?;
        let stage = match json["stage"].as_str() {
            Some("addresses") => Stage::Addresses,
            Some("ids") => Stage::Ids,
            _ => return Err("the header's `stage` is neither `addresses` nor `ids`"),
        };
        let ticks_per_second = match (&json["timed"], json["ticks_per_second"].as_u64()) {
            (Value::Bool(false), _) => None,
            (Value::Bool(true), Some(ticks)) if ticks > 0 => Some(ticks),
            (Value::Bool(true), _) => return Err("the header names no clock"),
            _ => return Err("the header does not say whether the trace is timed"),
        };
        Ok(Self {
            stage,
            ticks_per_second,
        })
    }
}
