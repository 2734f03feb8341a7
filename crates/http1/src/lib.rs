//! A strict HTTP/1.1 codec made for relaying.
//!
//! It does no I/O and holds no payload: heads are parsed where they lie, bodies are described as pieces of the input, and
//! what goes out is written anew from what was understood. It knows nothing of routes or policy.
//!
//! | to | use |
//! |---|---|
//! | read a head | [`RequestHead::parse`], [`ResponseHead::parse`], with [`slots`], [`Limits`] and a [`HeadScan`] |
//! | look at its fields | [`Fields`], [`Fields::is_hop_by_hop`] |
//! | find the payload of a body | [`BodyReader`], [`Piece`] |
//! | write a head | [`write_request_line`] or [`write_status_line`], [`write_field`], [`write_length`], [`end_head`] |
//! | frame a body | [`BodyWriter`] |
//! | answer a fault | [`RequestError::status`], `reason()` of every error |
//! | hold HTTP/2's fields to the same rules | [`is_authority`], [`is_origin_form`], [`is_field_name`], [`is_trailer`] |
//!
//! # What is refused
//!
//! Whatever two parsers could read differently, because a proxy and the server behind it are two parsers:
//!
//! * **Lines**: any end of line but CRLF, control bytes, folded lines, white space before a colon or the first line, more
//!   than one empty line before a request, names that are no tokens. RFC 9112 section 2.2 lets a recipient take a lone
//!   line feed for an end of line, and some servers do so where others do not.
//! * **Lengths**: `Content-Length` that is not one decimal number of 64 bits, or comes twice, even with equal numbers; it
//!   and `Transfer-Encoding` together; any `Transfer-Encoding` but one `chunked`, or any at all in HTTP/1.0 (RFC 9112
//!   sections 6.1 and 6.3).
//! * **Chunks**: sizes that are not 1 to 16 hexadecimal digits, other ends than CRLF, extensions with control bytes or
//!   beyond 4 KiB a body. Extensions are dropped, and so are trailers that would be framing, routing or credentials.
//! * **Requests**: no `Host` (in HTTP/1.1), two, or one that is not a plain host with an optional port; CONNECT; targets
//!   that are no path, no absolute `http`, `https`, `ws` or `wss` URI, and not `OPTIONS *`; `#`, `"`, `<`, `>`, a `\` in
//!   the path, and bytes outside ASCII in targets; an upgrade with a body; expectations other than `100-continue`;
//!   versions other than 1.0 and 1.1, HTTP/0.9 and the preface of HTTP/2 included.
//! * **Responses**: whatever does not start like HTTP/1, a status outside 100 to 599, and the lines and lengths above.
//!
//! A fault is found as soon as it is there, in a head that is not whole too, and it is the same fault however the bytes
//! were cut into reads. Sizes are bounded by [`Limits`], [`MAX_FIELDS`] and [`METHOD_BYTES`]; a host has at most 253 bytes,
//! and `Connection` 32 options in 1 KiB.
//!
//! Let through, for a router to judge: `..`, `//` and percent-encoding in paths, and names with `_`.
//!
//! # Example
//!
//! A message on its way through:
//!
//! ```
//! use http1::*;
//!
//! let input = b"POST /a HTTP/1.1\r\nHost: a.localhost\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-End: 2\r\n\
//!     Transfer-Encoding: chunked\r\n\r\n5;ext\r\nhello\r\n0\r\n\r\n";
//! let mut out = Vec::new();
//!
//! let mut slots = slots();
//! let limits = Limits::default();
//! let Parsed::Complete(head) = RequestHead::parse(input, &mut slots, &limits, &mut HeadScan::default())? else {
//!     unreachable!("the whole head is there");
//! };
//! let Target::Origin(target) = head.target else { unreachable!("it starts with a slash") };
//! write_request_line(&mut out, head.method, target);
//! for field in head.fields.iter() {
//!     if !head.fields.is_hop_by_hop(field.name) && !field.name.eq_ignore_ascii_case("content-length") {
//!         write_field(&mut out, field.name, field.value);
//!     }
//! }
//! write_length(&mut out, head.body);
//! end_head(&mut out);
//!
//! let (mut reader, mut writer) = (BodyReader::new(head.body, &limits), BodyWriter::new(head.body));
//! let mut rest = &input[head.len..];
//! loop {
//!     match reader.read(rest)? {
//!         Piece::Data { skip, len } => {
//!             let mut room = [0; 20];
//!             out.extend_from_slice(writer.before(len, &mut room));
//!             out.extend_from_slice(&rest[skip..skip + len]);
//!             out.extend_from_slice(writer.after());
//!             rest = &rest[skip + len..];
//!         }
//!         Piece::More { skip: _ } => unreachable!("the whole body is there"),
//!         Piece::End { skip } => {
//!             rest = &rest[skip..];
//!             break;
//!         }
//!     }
//! }
//! writer.finish(reader.trailers(), &mut out)?;
//!
//! assert!(rest.is_empty());
//! assert_eq!(
//!     String::from_utf8_lossy(&out),
//!     "POST /a HTTP/1.1\r\nHost: a.localhost\r\nX-End: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
//!      5\r\nhello\r\n0\r\n\r\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod body_writer;
mod buffer;
mod error;
mod field;
mod framing;
mod limits;
mod octets;
mod relay;
mod request;
mod response;
mod scan;
mod target;
mod trailers;
mod write;

pub use body::{BodyReader, Piece};
pub use body_writer::BodyWriter;
pub use buffer::{Buffer, LARGE, SMALL};
pub use error::{BodyError, HeadError, RequestError, ResponseError};
pub use field::{Field, Fields, is_field_name, is_for_connection};
pub use framing::{BodyLength, Version};
pub use limits::{Limits, MAX_FIELDS, METHOD_BYTES, Slots, slots};
pub use relay::{Relay, RelayError, Source, poll_fill};
pub use request::RequestHead;
pub use response::{RequestKind, ResponseHead};
pub use scan::{HeadScan, Parsed};
pub use target::{Target, is_authority, is_origin_form};
pub use trailers::is_trailer;
pub use write::{end_head, write_field, write_length, write_request_line, write_status_line};
