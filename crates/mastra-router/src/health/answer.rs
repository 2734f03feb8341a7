//! The head of an answer, which is all of it that a check looks at.

use std::fmt;

use http1::{HeadScan, Limits, Parsed, RequestKind, ResponseError, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::target::Target;
use crate::terminal::is_harmless;

/// Longest reason phrase that is shown to people.
const REASON_MAX: usize = 100;

/// What is kept of an answer's head.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status, not an interim one.
    pub status: u16,
    /// The reason phrase as sent, made printable, or the usual one of the status.
    reason: String,
    /// Where a redirect leads, as sent.
    pub location: Option<String>,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..=299).contains(&self.status)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " {}", self.reason) }
    }
}

impl From<&ResponseHead<'_>> for Answer {
    fn from(head: &ResponseHead<'_>) -> Self {
        let sent = String::from_utf8_lossy(head.reason);
        // Reasons end up in terminals and logs.
        let printable: String = sent.trim().chars().filter(|c| is_harmless(*c)).take(REASON_MAX).collect();
        let reason = if printable.is_empty() { usual_reason(head.status).to_owned() } else { printable };
        let redirects = matches!(head.status, 301 | 302 | 303 | 307 | 308);
        let location = head.fields.get("location").filter(|_| redirects).map(|l| String::from_utf8_lossy(l).into());
        Self { status: head.status, reason, location }
    }
}

/// Reads up to the end of the first head that is not an interim one. No more than one head's limit is ever read, interim
/// heads included, so a server that sends those for ever is told from one that answers.
pub(super) async fn read_answer(stream: &mut (impl AsyncRead + Unpin), target: &Target) -> Result<Answer, String> {
    let limits = Limits::default();
    let mut read = Vec::with_capacity(1024);
    let mut begin = 0;
    let mut scan = HeadScan::default();
    loop {
        let room = limits.head_bytes - read.len();
        if room == 0 {
            return Err(format!("{target} sent more than {} bytes without an answer", limits.head_bytes));
        }
        match stream.take(room as u64).read_buf(&mut read).await {
            Ok(0) if read.is_empty() => return Err(format!("{target} closed the connection without an answer")),
            Ok(0) => return Err(format!("{target} closed the connection before the end of its answer")),
            Ok(_) => {}
            Err(error) => return Err(format!("{target} broke the connection before its answer: {error}")),
        }
        loop {
            match parse(read.get(begin..).unwrap_or_default(), &limits, &mut scan) {
                Ok(Head::Partial) => break,
                Ok(Head::Interim(len)) => {
                    begin += len;
                    scan = HeadScan::default();
                }
                Ok(Head::Final(answer)) => return Ok(answer),
                Err(error) => return Err(format!("{target} did not answer in HTTP/1.1: {error}")),
            }
        }
    }
}

enum Head {
    Partial,
    /// An interim head of this length.
    Interim(usize),
    Final(Answer),
}

fn parse(input: &[u8], limits: &Limits, scan: &mut HeadScan) -> Result<Head, ResponseError> {
    if input.is_empty() {
        return Ok(Head::Partial);
    }
    match ResponseHead::parse(input, &mut http1::slots(), limits, scan, RequestKind::Other)? {
        Parsed::Partial => Ok(Head::Partial),
        // 101 is no interim answer: after it, something else than HTTP/1.1 is spoken, and nobody asked for that.
        Parsed::Complete(head) if head.status < 200 && head.status != 101 => Ok(Head::Interim(head.len)),
        Parsed::Complete(head) => Ok(Head::Final(Answer::from(&head))),
    }
}

/// The reason phrases of RFC 9110 for what a health path may say; others are shown by number alone.
fn usual_reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "",
    }
}
