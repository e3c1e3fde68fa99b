//! A stream of zstd frames as a reader of their contents.
//!
//! What the decoder alone does not do is done here: frames one after the other and skippable
//! frames, as the zstd program writes and reads them; the check of the content checksum and of the
//! content size; and telling damaged data from an input that cannot be read.

use core::fmt;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::error::Fault;

const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Whether an input that starts with `first` is read as zstd.
pub(crate) fn is_zstd(first: &[u8]) -> bool {
    first == MAGIC
        || (first.len() == 4 && first[0] & 0xF0 == 0x50 && first[1..] == [0x2A, 0x4D, 0x18])
}

/// The fault behind an error of [`Frames`] or of a plain reader.
pub(crate) fn fault_of(error: io::Error) -> Fault {
    match error.downcast::<Damage>() {
        Ok(Damage(source)) => Fault::Compression(source),
        Err(error) => Fault::Io(error),
    }
}

/// Marks an error of the compressed data, as against one of the input.
#[derive(Debug)]
struct Damage(Box<dyn Error + Send + Sync>);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Damage {}

fn damage(source: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damage(source.into()))
}

/// The contents of all frames of `source`.
pub(crate) struct Frames<R> {
    source: BufReader<Watched<R>>,
    /// A decoder of its own for each frame: a used one reserves the whole window that the next
    /// frame's header names, a fresh one grows with the data.
    frame: Option<Frame>,
}

struct Frame {
    decoder: FrameDecoder,
    bytes: u64,
}

impl<R: Read> Frames<R> {
    pub(crate) fn new(source: R) -> Frames<R> {
        let source = BufReader::new(Watched {
            source,
            failure: None,
        });
        Frames {
            source,
            frame: None,
        }
    }

    /// Starts the next frame; `None` at the end of the source.
    fn start_frame(&mut self) -> io::Result<Option<Frame>> {
        while !self.source.fill_buf()?.is_empty() {
            let mut decoder = FrameDecoder::new();
            match decoder.reset(&mut self.source) {
                Ok(()) => return Ok(Some(Frame { decoder, bytes: 0 })),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.skip(u64::from(length))?,
                Err(error) => return Err(self.blame(error)),
            }
        }
        Ok(None)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.source).take(bytes), &mut io::sink())?;
        if skipped < bytes {
            Err(damage("a skippable frame is cut"))
        } else {
            Ok(())
        }
    }

    /// The input's own failure if it had one, or else damage.
    fn blame(&mut self, error: FrameDecoderError) -> io::Error {
        self.source
            .get_mut()
            .failure
            .take()
            .unwrap_or_else(|| damage(error))
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.start_frame()? {
                    Some(frame) => frame,
                    None => return Ok(0),
                },
            };
            if frame.decoder.can_collect() > 0 {
                let n = frame.decoder.read(out)?;
                frame.bytes += n as u64;
                self.frame = Some(frame);
                return Ok(n);
            }
            if frame.decoder.is_finished() {
                frame.check_end()?;
                continue;
            }
            let one = BlockDecodingStrategy::UptoBlocks(1);
            if let Err(error) = frame.decoder.decode_blocks(&mut self.source, one) {
                return Err(self.blame(error));
            }
            self.frame = Some(frame);
        }
    }
}

impl Frame {
    fn check_end(&self) -> io::Result<()> {
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(damage("the content checksum does not match"));
        }
        // The decoder says 0 both for an empty frame and for one that states no size.
        let stated = self.decoder.content_size();
        if stated != 0 && stated != self.bytes {
            return Err(damage("the content size does not match"));
        }
        Ok(())
    }
}

/// A reader that keeps its failure, which the decoder wraps into errors of its own.
struct Watched<R> {
    source: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.source.read(buffer);
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failure = Some(copy_of(error));
        }
        result
    }
}

fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
