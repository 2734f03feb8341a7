//! The head of an answer, which is all of it that a check looks at.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::target::Target;

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

/// Most bytes of a head.
struct Limits {
    head_bytes: usize,
}

/// The status line and `Location`, until the codec of the data path reads heads.
fn read_head(head: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let line = lines.next()?.strip_prefix("HTTP/1.")?.get(2..)?;
    let (status, reason) = line.split_once(' ').unwrap_or((line, ""));
    let status = status.parse().ok().filter(|s| (100..=599).contains(s))?;
    let printable: String = reason.trim().chars().filter(|c| !is_unprintable(*c)).take(REASON_MAX).collect();
    let reason = if printable.is_empty() { usual_reason(status).to_owned() } else { printable };
    let redirects = matches!(status, 301 | 302 | 303 | 307 | 308);
    let mut fields = lines.filter_map(|l| l.split_once(':')).filter(|_| redirects);
    let location = fields.find(|(n, _)| n.eq_ignore_ascii_case("location")).map(|(_, v)| v.trim().to_owned());
    Some(Answer { status, reason, location })
}

/// Control characters, and those that reorder the text around them: reasons end up in terminals and logs.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Reads up to the end of the first head that is not an interim one. No more than one head's limit is ever read, interim
/// heads included, so a server that sends those for ever is told from one that answers.
pub(super) async fn read_answer(stream: &mut (impl AsyncRead + Unpin), target: &Target) -> Result<Answer, String> {
    let limits = Limits { head_bytes: 64 * 1024 };
    let mut read = Vec::with_capacity(1024);
    let mut begin = 0;
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
            match parse(read.get(begin..).unwrap_or_default()) {
                Ok(Head::Partial) => break,
                Ok(Head::Interim(len)) => {
                    begin += len;
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

fn parse(input: &[u8]) -> Result<Head, &'static str> {
    let Some(end) = input.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(Head::Partial) };
    match read_head(&input[..end]).ok_or("the status line is malformed")? {
        // 101 is no interim answer: after it, something else than HTTP/1.1 is spoken, and nobody asked for that.
        answer if answer.status < 200 && answer.status != 101 => Ok(Head::Interim(end + 4)),
        answer => Ok(Head::Final(answer)),
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
