//! A strict HTTP/1.1 codec made for relaying.

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
pub use field::{Field, Fields};
pub use framing::{BodyLength, Version};
pub use limits::{Limits, MAX_FIELDS, Slots, slots};
pub use relay::{Io, Relay, RelayError, poll_fill};
pub use request::RequestHead;
pub use response::{RequestKind, ResponseHead};
pub use scan::{HeadScan, Parsed};
pub use target::{Target, is_authority, is_origin_form};
pub use write::{end_head, write_field, write_length, write_request_line, write_status_line};
