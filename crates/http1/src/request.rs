use memchr::memchr;

use crate::error::{HeadError, RequestError};
use crate::field::Fields;
use crate::framing::{BodyLength, Framing, Version};
use crate::limits::{Limits, METHOD_BYTES, Slots};
use crate::octets::{is_target, is_token};
use crate::scan::{HeadScan, Line, Parsed, ScanError, starts_with_space};
use crate::target::{Target, is_authority};

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b> {
    /// The method; case counts.
    pub method: &'b str,
    /// What is asked for.
    pub target: Target<'b>,
    /// The client's version.
    pub version: Version,
    /// The value of the one `Host`, valid by [`is_authority`]. Only HTTP/1.0 may lack it. In absolute-form the target's
    /// authority counts instead.
    pub host: Option<&'b str>,
    /// Every field, hop-by-hop ones too.
    pub fields: Fields<'b>,
    /// How long the body is; never `UntilClose`.
    pub body: BodyLength,
    /// Whether the client may send another request on this connection: HTTP/1.1 without `Connection: close`.
    /// HTTP/1.0 is never kept alive, whatever it asks for.
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1). Never for HTTP/1.0, which
    /// does not know it, nor without a body to wait with.
    pub expect_continue: bool,
    /// The value of `Upgrade`, if `Connection` names it and the version is 1.1: a list of protocols.
    pub upgrade: Option<&'b str>,
    /// Bytes of the input the head took, its empty line and the one that may come before it included.
    pub len: usize,
}

impl<'b> RequestHead<'b> {
    /// Reads the head the input starts with.
    ///
    /// # Errors
    ///
    /// As soon as what is there cannot become a good head, be it whole or not.
    pub fn parse(
        input: &'b [u8],
        slots: &'b mut Slots<'b>,
        limits: &Limits,
        scan: &mut HeadScan,
    ) -> Result<Parsed<RequestHead<'b>>, RequestError> {
        let input = &input[..input.len().min(limits.head_bytes)];
        let check = |line: &[u8], state| check_request_line(line, state, limits);
        let len = match scan.find_end(input) {
            Ok(Some(len)) => len,
            Ok(None) => {
                scan.check_lines(input, check)?;
                if input.len() == limits.head_bytes {
                    return Err(HeadError::HeadTooLarge.into());
                }
                return Ok(Parsed::Partial);
            }
            Err(error) => {
                scan.check_lines(input, check)?;
                return Err(match error {
                    ScanError::ExtraEmptyLine => RequestError::ExtraEmptyLine,
                    ScanError::Head(error) => error.into(),
                });
            }
        };
        let mut tokens = httparse::Request::new(&mut []);
        let head = &input[scan.begin()..len];
        match tokens.parse_with_uninit_headers(head, slots) {
            Ok(httparse::Status::Complete(parsed)) if parsed == head.len() => {
                Self::of(tokens, len, limits).map(Parsed::Complete)
            }
            outcome => {
                // Which fault it is, is known by looking at the lines in their order.
                scan.check_lines(input, check)?;
                Err(match outcome {
                    Err(httparse::Error::TooManyHeaders) => HeadError::TooManyFields.into(),
                    _ => HeadError::BadFieldName.into(),
                })
            }
        }
    }

    #[inline]
    fn of(tokens: httparse::Request<'b, 'b>, len: usize, limits: &Limits) -> Result<Self, RequestError> {
        let (Some(method), Some(target), Some(version)) = (tokens.method, tokens.path, tokens.version) else {
            return Err(RequestError::BadRequestLine);
        };
        if method.len() > METHOD_BYTES {
            return Err(RequestError::BadMethod);
        }
        if target.len() > limits.target_bytes {
            return Err(RequestError::TargetTooLong);
        }
        if method == "CONNECT" {
            return Err(RequestError::Connect);
        }
        let target = Target::parse(method, target)?;
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };

        let headers: &'b [httparse::Header<'b>] = tokens.headers;
        let mut framing = Framing::default();
        let mut host = None;
        let mut expects = false;
        for header in headers {
            match header.name.len() {
                4 if header.name.eq_ignore_ascii_case("host") => {
                    if host.replace(parse_host(header.value)?).is_some() {
                        return Err(RequestError::RepeatedHost);
                    }
                }
                6 if header.name.eq_ignore_ascii_case("expect") => {
                    if !header.value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(RequestError::BadExpect);
                    }
                    expects = true;
                }
                _ => framing.note(header.name, header.value)?,
            }
        }
        if host.is_none() && version == Version::Http11 {
            return Err(RequestError::MissingHost);
        }
        let body = framing.announced(version)?;
        let has_body = !matches!(body, BodyLength::Empty | BodyLength::Length(0));
        let upgrade = framing.upgrade(version)?;
        if has_body && upgrade.is_some_and(|protocols| !protocols.eq_ignore_ascii_case("h2c")) {
            // Whether the bytes behind the head are the body or already the other protocol is a matter of opinion. For
            // h2c it is not: HTTP/2 starts behind the body (RFC 7540 section 3.2), and Java's HttpClient asks for it by
            // default with every POST.
            return Err(RequestError::UpgradeWithBody);
        }
        Ok(Self {
            method,
            target,
            version,
            host,
            fields: Fields::new(headers, framing.nominates),
            body,
            keep_alive: version == Version::Http11 && !framing.close,
            expect_continue: expects && has_body && version == Version::Http11,
            upgrade,
            len,
        })
    }
}

#[inline]
fn parse_host(value: &[u8]) -> Result<&str, RequestError> {
    std::str::from_utf8(value).ok().filter(|host| is_authority(host)).ok_or(RequestError::BadHost)
}

/// Checks as much of a request line as is there.
fn check_request_line(line: &[u8], state: Line, limits: &Limits) -> Result<(), RequestError> {
    if starts_with_space(line) {
        return Err(RequestError::LeadingWhitespace);
    }
    let Some(method_end) = memchr(b' ', &line[..line.len().min(METHOD_BYTES + 1)]) else {
        return match state {
            _ if line.len() > METHOD_BYTES => Err(RequestError::BadMethod),
            Line::Whole if is_token(line) => Err(RequestError::BadRequestLine),
            Line::Whole => Err(RequestError::BadMethod),
            Line::Begun => Ok(()),
        };
    };
    if !is_token(&line[..method_end]) {
        return Err(RequestError::BadMethod);
    }
    let rest = &line[method_end + 1..];
    let target_end = memchr(b' ', rest);
    let target = &rest[..target_end.unwrap_or(rest.len())];
    if target.len() > limits.target_bytes {
        return Err(RequestError::TargetTooLong);
    }
    if state == Line::Begun {
        return Ok(());
    }
    let version = match target_end {
        Some(end) => &rest[end + 1..],
        None => return Err(RequestError::BadRequestLine),
    };
    if !is_target(target) {
        return Err(RequestError::BadTarget);
    }
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(RequestError::UnsupportedVersion)
        }
        _ => Err(RequestError::BadVersion),
    }
}
