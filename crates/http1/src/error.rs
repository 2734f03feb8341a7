use std::error::Error;
use std::fmt;

/// What is wrong with a head, whichever side sent it: its lines, its fields, or the framing they announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadError {
    /// A line feed without a carriage return before it.
    LoneLineFeed,
    /// A carriage return without a line feed after it.
    LoneCarriageReturn,
    /// A control byte other than a tab in a value.
    ControlByte,
    /// A field line that begins with white space (obs-fold, RFC 9112 section 5.2).
    LineFolding,
    /// A field line without a name, without a colon, or with a name that is no token.
    BadFieldName,
    /// White space between a field's name and its colon (RFC 9112 section 5.1).
    SpaceBeforeColon,
    /// The head is larger than [`Limits::head_bytes`](crate::Limits::head_bytes).
    HeadTooLarge,
    /// The head has more than [`MAX_FIELDS`](crate::MAX_FIELDS) fields.
    TooManyFields,
    /// `Content-Length` is not one decimal number that fits 64 bits.
    BadContentLength,
    /// `Content-Length` comes more than once, be it with the same number.
    RepeatedContentLength,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.1).
    BothLengths,
    /// `Transfer-Encoding` is a list, has parameters, is repeated, or is no token.
    BadTransferEncoding,
    /// `Transfer-Encoding` is one coding other than `chunked`.
    UnknownTransferCoding,
    /// `Transfer-Encoding` in an HTTP/1.0 message (RFC 9112 section 6.1).
    TransferEncodingInHttp10,
    /// `Connection` is not a list of at most 32 tokens in 1024 bytes.
    BadConnection,
    /// `Upgrade` is repeated or not a list of protocols, while `Connection` asks for it.
    BadUpgrade,
}

impl HeadError {
    /// A stable code for logs and error answers.
    pub fn reason(&self) -> &'static str {
        self.describe().0
    }

    fn status(&self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::UnknownTransferCoding => 501,
            _ => 400,
        }
    }

    fn describe(&self) -> (&'static str, &'static str) {
        match self {
            Self::LoneLineFeed => ("lone_line_feed", "a line feed without a carriage return"),
            Self::LoneCarriageReturn => ("lone_carriage_return", "a carriage return without a line feed"),
            Self::ControlByte => ("control_byte", "a control byte in the head"),
            Self::LineFolding => ("line_folding", "a field line begins with white space"),
            Self::BadFieldName => ("bad_field_name", "a field line without a valid name"),
            Self::SpaceBeforeColon => ("space_before_colon", "white space before the colon of a field"),
            Self::HeadTooLarge => ("head_too_large", "the head is too large"),
            Self::TooManyFields => ("too_many_fields", "the head has too many fields"),
            Self::BadContentLength => ("bad_content_length", "Content-Length is not one number"),
            Self::RepeatedContentLength => ("repeated_content_length", "Content-Length is repeated"),
            Self::BothLengths => ("both_lengths", "both Content-Length and Transfer-Encoding"),
            Self::BadTransferEncoding => ("bad_transfer_encoding", "Transfer-Encoding is not exactly `chunked`"),
            Self::UnknownTransferCoding => ("unknown_transfer_coding", "the transfer coding is not known"),
            Self::TransferEncodingInHttp10 => ("transfer_encoding_in_http10", "Transfer-Encoding in HTTP/1.0"),
            Self::BadConnection => ("bad_connection", "Connection is not a list of at most 32 tokens"),
            Self::BadUpgrade => ("bad_upgrade", "Upgrade is not one list of protocols"),
        }
    }
}

/// What a client sent wrong. The connection cannot be used again: where its next request begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestError {
    /// Its lines, fields or framing.
    Head(HeadError),
    /// More than one empty line before the request line (RFC 9112 section 2.2 grants one).
    ExtraEmptyLine,
    /// White space before the request line.
    LeadingWhitespace,
    /// The method is no token, or longer than 32 bytes.
    BadMethod,
    /// The request line is not three words with one space between them; HTTP/0.9 is refused here.
    BadRequestLine,
    /// The method is CONNECT, which asks for a tunnel.
    Connect,
    /// The target has a form or a byte that is not accepted.
    BadTarget,
    /// The target is longer than [`Limits::target_bytes`](crate::Limits::target_bytes).
    TargetTooLong,
    /// The third word of the request line is no HTTP version.
    BadVersion,
    /// An HTTP version other than 1.0 and 1.1, the preface of HTTP/2 included.
    UnsupportedVersion,
    /// HTTP/1.1 without `Host` (RFC 9112 section 3.2).
    MissingHost,
    /// More than one `Host`.
    RepeatedHost,
    /// `Host` is not a host with an optional port.
    BadHost,
    /// `Expect` asks for something other than `100-continue`.
    BadExpect,
    /// A request to upgrade that also has a body.
    UpgradeWithBody,
}

impl RequestError {
    /// The status this is answered with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Head(error) => error.status(),
            Self::Connect => 405,
            Self::TargetTooLong => 414,
            Self::BadExpect => 417,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// A stable code for logs and error answers.
    pub fn reason(&self) -> &'static str {
        self.describe().0
    }

    fn describe(&self) -> (&'static str, &'static str) {
        match self {
            Self::Head(error) => error.describe(),
            Self::ExtraEmptyLine => ("extra_empty_line", "more than one empty line before the request"),
            Self::LeadingWhitespace => ("leading_whitespace", "white space before the request line"),
            Self::BadMethod => ("bad_method", "the method is not a token of at most 32 bytes"),
            Self::BadRequestLine => ("bad_request_line", "the request line is not `method target version`"),
            Self::Connect => ("connect", "CONNECT is not served"),
            Self::BadTarget => ("bad_target", "the request target is not valid"),
            Self::TargetTooLong => ("target_too_long", "the request target is too long"),
            Self::BadVersion => ("bad_version", "the HTTP version is not valid"),
            Self::UnsupportedVersion => ("unsupported_version", "the HTTP version is neither 1.0 nor 1.1"),
            Self::MissingHost => ("missing_host", "Host is missing"),
            Self::RepeatedHost => ("repeated_host", "Host is repeated"),
            Self::BadHost => ("bad_host", "Host is not a host with an optional port"),
            Self::BadExpect => ("bad_expect", "the expectation is not known"),
            Self::UpgradeWithBody => ("upgrade_with_body", "a request to upgrade has a body"),
        }
    }
}

/// What a server sent wrong. Nothing it sends after can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseError {
    /// Its lines, fields or framing.
    Head(HeadError),
    /// The first bytes are not those of HTTP/1 (an HTTP/0.9 answer, another protocol).
    NotHttp,
    /// An HTTP version other than 1.0 and 1.1.
    UnsupportedVersion,
    /// The rest of the status line is malformed.
    BadStatusLine,
    /// The status is not within 100 to 599.
    BadStatus,
}

impl ResponseError {
    /// A stable code for logs and error answers.
    pub fn reason(&self) -> &'static str {
        self.describe().0
    }

    fn describe(&self) -> (&'static str, &'static str) {
        match self {
            Self::Head(error) => error.describe(),
            Self::NotHttp => ("not_http", "the answer is not HTTP/1"),
            Self::UnsupportedVersion => ("unsupported_version", "the HTTP version is neither 1.0 nor 1.1"),
            Self::BadStatusLine => ("bad_status_line", "the status line is malformed"),
            Self::BadStatus => ("bad_status", "the status is not within 100 to 599"),
        }
    }
}

/// What is wrong with a body, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyError {
    /// A chunk size is not 1 to 16 hexadecimal digits.
    BadChunkSize,
    /// A chunk extension with a byte that is not printable ASCII, a space or a tab.
    BadChunkExtension,
    /// The chunk extensions of one body exceed 4 KiB.
    ChunkExtensionsTooLarge,
    /// A chunk's size line or data does not end in CRLF.
    BadChunkEnd,
    /// A trailer line is malformed.
    BadTrailer,
    /// The trailer section exceeds [`Limits::trailer_bytes`](crate::Limits::trailer_bytes) or
    /// [`MAX_FIELDS`](crate::MAX_FIELDS).
    TrailerTooLarge,
    /// The input ended before the body did.
    Truncated,
    /// Other than the announced number of bytes was written.
    LengthMismatch,
}

impl BodyError {
    /// A stable code for logs and error answers.
    pub fn reason(&self) -> &'static str {
        self.describe().0
    }

    fn describe(&self) -> (&'static str, &'static str) {
        match self {
            Self::BadChunkSize => ("bad_chunk_size", "a chunk size is not valid"),
            Self::BadChunkExtension => ("bad_chunk_extension", "a chunk extension is not valid"),
            Self::ChunkExtensionsTooLarge => ("chunk_extensions_too_large", "the chunk extensions are too large"),
            Self::BadChunkEnd => ("bad_chunk_end", "a chunk does not end in CRLF"),
            Self::BadTrailer => ("bad_trailer", "a trailer line is not valid"),
            Self::TrailerTooLarge => ("trailer_too_large", "the trailer section is too large"),
            Self::Truncated => ("truncated", "the input ended before the body did"),
            Self::LengthMismatch => ("length_mismatch", "the body is not as long as announced"),
        }
    }
}

impl From<HeadError> for RequestError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl From<HeadError> for ResponseError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

macro_rules! display {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.describe().1)
            }
        }

        impl Error for $name {}
    )*};
}

display!(HeadError RequestError ResponseError BodyError);
