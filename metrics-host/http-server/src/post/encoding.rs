//! `Content-Encoding` of request bodies.

use super::BodyError;
use flate2::{Decompress, FlushDecompress, Status, read::MultiGzDecoder};
use http::{HeaderMap, header};
use std::io::{self, Read};

/// The encodings of [`Encoding`], as in `Accept-Encoding`.
pub const ACCEPT_ENCODING: &str = "gzip, deflate, identity";

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is.
    Identity,
    /// One gzip member, or several.
    Gzip,
    /// A zlib stream; some senders leave its header and checksum out.
    Deflate,
}

impl Encoding {
    /// Returns the encoding in the header.
    ///
    /// # Errors
    /// If it is unknown, or if there are several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, BodyError> {
        let values = headers.get_all(header::CONTENT_ENCODING).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let list = values.join(",");
        let names = list.split(',').map(str::trim);
        let mut found = Self::Identity;
        for name in names.filter(|name| !name.is_empty()) {
            let next = match &*name.to_ascii_lowercase() {
                "identity" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                _ => return Err(BodyError::ContentEncoding(list)),
            };
            if found != Self::Identity {
                return Err(BodyError::ContentEncoding(list));
            }
            found = next;
        }
        Ok(found)
    }

    /// Decompresses a body to at most `limit` bytes.
    pub(super) fn decode(self, body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
        let expected = body.len().saturating_mul(4).min(limit);
        let mut decoded = Vec::with_capacity(expected);
        let read = match self {
            Self::Identity => body.take(limit as u64 + 1).read_to_end(&mut decoded),
            // One byte over the limit is enough to detect an excess.
            Self::Gzip => MultiGzDecoder::new(body)
                .take(limit as u64 + 1)
                .read_to_end(&mut decoded),
            Self::Deflate => inflate(body, limit, &mut decoded),
        };
        read.map_err(|error| BodyError::Unreadable(Box::new(error)))?;
        if decoded.len() > limit {
            return Err(BodyError::UnpacksTooLarge { limit });
        }
        Ok(decoded)
    }
}

/// Inflates the whole of `body`, and stops once it exceeds `limit`. The readers of flate2 take a body that ends early for
/// complete.
fn inflate(body: &[u8], limit: usize, decoded: &mut Vec<u8>) -> io::Result<usize> {
    let invalid = |text| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    let mut state = Decompress::new(has_zlib_header(body));
    loop {
        decoded.reserve(8 << 10);
        let read = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let before = (state.total_in(), decoded.len());
        let status = state.decompress_vec(&body[read..], decoded, FlushDecompress::None)?;
        match status {
            _ if decoded.len() > limit => return Ok(decoded.len()),
            Status::StreamEnd if state.total_in() < body.len() as u64 => {
                return invalid("bytes after the end of the deflate stream");
            }
            Status::StreamEnd => return Ok(decoded.len()),
            _ if (state.total_in(), decoded.len()) == before => {
                return invalid("the deflate stream is not complete");
            }
            _ => {}
        }
    }
}

/// Source: RFC 1950, section 2.2. A raw stream begins with another byte.
fn has_zlib_header(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => {
            method & 0xf == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use http::HeaderValue;
    use std::io::Write;

    fn of(values: &[&str]) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::CONTENT_ENCODING,
                HeaderValue::from_str(value).unwrap(),
            );
        }
        Encoding::of(&headers).ok()
    }

    #[test]
    fn one_encoding_is_known_in_any_case() {
        for (values, expected) in [
            (&[][..], Encoding::Identity),
            (&["identity"], Encoding::Identity),
            (&["Identity", ""], Encoding::Identity),
            (&["gzip"], Encoding::Gzip),
            (&["GZIP"], Encoding::Gzip),
            (&["x-gzip"], Encoding::Gzip),
            (&["identity, Gzip"], Encoding::Gzip),
            (&["Deflate"], Encoding::Deflate),
        ] {
            assert_eq!(of(values), Some(expected), "{values:?}");
        }
        for values in [
            &["br"][..],
            &["gzip, gzip"],
            &["gzip", "deflate"],
            &["zstd, identity"],
            &["gz ip"],
        ] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }

    fn packed(text: &[u8]) -> [(Encoding, Vec<u8>); 4] {
        let level = Compression::fast();
        let mut gzip = GzEncoder::new(Vec::new(), level);
        let mut zlib = ZlibEncoder::new(Vec::new(), level);
        let mut raw = DeflateEncoder::new(Vec::new(), level);
        let mut stored = DeflateEncoder::new(Vec::new(), Compression::none());
        for encoder in [
            &mut gzip as &mut dyn Write,
            &mut zlib,
            &mut raw,
            &mut stored,
        ] {
            encoder.write_all(text).unwrap();
        }
        [
            (Encoding::Gzip, gzip.finish().unwrap()),
            (Encoding::Deflate, zlib.finish().unwrap()),
            (Encoding::Deflate, raw.finish().unwrap()),
            (Encoding::Deflate, stored.finish().unwrap()),
        ]
    }

    #[test]
    fn a_body_is_decompressed_up_to_the_limit() {
        for length in [0, 1, 1_000, 100_000] {
            let text: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            for (encoding, body) in packed(&text) {
                assert_eq!(encoding.decode(&body, length).unwrap(), text);
                if length > 0 {
                    let error = encoding.decode(&body, length - 1).unwrap_err();
                    assert!(
                        matches!(error, BodyError::UnpacksTooLarge { .. }),
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_or_continued_is_unreadable() {
        for (encoding, body) in packed(&[b'x'; 300]) {
            for cut in 0..body.len() {
                let error = encoding.decode(&body[..cut], 300);
                assert!(
                    matches!(error, Err(BodyError::Unreadable(_))),
                    "{encoding:?} {cut} {error:?}"
                );
            }
            let longer = [&body[..], b"more"].concat();
            let error = encoding.decode(&longer, 300).unwrap_err();
            assert!(matches!(error, BodyError::Unreadable(_)), "{encoding:?}");
        }
    }
}
