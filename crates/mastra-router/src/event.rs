//! What happens to routes, and what the proxy answers, told to whoever listens. Events tell people; state drives routing.

use std::time::{Duration, SystemTime};

use crate::route::{RouteHealthStatus, RouteId, RouteInfo, RouteStatus};
use crate::terminal::is_harmless;

/// Something that happened. A listener that falls behind loses the oldest ones and reads the state anew.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouterEvent {
    /// A route was registered.
    Registered(RouteInfo),
    /// A route was changed.
    Updated(RouteInfo),
    /// A route was removed.
    Removed(RouteInfo),
    /// A check of a route ended.
    Checked {
        /// The route, with the status it has now.
        route: RouteInfo,
        /// The status it had before.
        before: RouteStatus,
        /// What the check found.
        health: RouteHealthStatus,
    },
    /// All routes were removed.
    Cleared,
}

/// A request, told when the head of its answer goes out. Of its text nothing moves the cursor or turns the direction of
/// reading: such characters stand as `\u{202e}`. Longer text than the limits is cut, and ends with `…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// When its head was read.
    pub at: SystemTime,
    /// The route it led to; `None` where it led to none.
    pub route_id: Option<RouteId>,
    /// That route's name.
    pub subdomain: Option<String>,
    /// Its method; that of a WebSocket over HTTP/2 is GET, as the target sees it. Empty, like host and path, where the
    /// request could not be read.
    pub method: String,
    /// The host that was asked, with its port where one was given.
    pub host: String,
    /// Path and query as they were received, 2048 bytes at most.
    pub path: String,
    /// Status of the answer. A WebSocket's is 101, and over HTTP/2 200.
    pub status: u16,
    /// What was spoken with the client.
    pub protocol: RequestProtocol,
    /// Time from the head of the request being read to the head of the answer being sent.
    pub latency: Duration,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestProtocol {
    /// HTTP/1.1, or 1.0.
    Http11,
    /// HTTP/2.
    Http2,
    /// A WebSocket, over either, that was opened.
    WebSocket,
}

impl RequestProtocol {
    /// `http/1.1`, `h2` or `websocket`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2",
            Self::WebSocket => "websocket",
        }
    }
}

impl std::fmt::Display for RequestProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Told of the requests that a proxy answers. Both methods are called on the path of a request: they must not wait.
pub trait RequestObserver: Send + Sync {
    /// Whether anybody listens. Of a request that was read while nobody did, nothing is told.
    fn is_watching(&self) -> bool;

    /// The head of an answer goes out.
    fn answered(&self, request: RequestInfo);
}

const METHOD_MOST: usize = 64;
/// A DNS name and a port are shorter.
const HOST_MOST: usize = 300;
const PATH_MOST: usize = 2048;

impl RequestInfo {
    /// A request that is not answered yet. The text is a client's.
    pub(crate) fn new(method: &str, host: &str, path: &str, protocol: RequestProtocol) -> Self {
        Self {
            at: SystemTime::now(),
            route_id: None,
            subdomain: None,
            method: shown(method, METHOD_MOST),
            host: shown(host, HOST_MOST),
            path: shown(path, PATH_MOST),
            status: 0,
            protocol,
            latency: Duration::ZERO,
        }
    }
}

/// `text` as it can be shown on a terminal, in `most` bytes.
fn shown(text: &str, most: usize) -> String {
    const CUT: char = '…';
    let mut out = String::with_capacity(text.len().min(most));
    // Where the text would have to end for the mark to find room.
    let mut end = 0;
    for c in text.chars() {
        if is_harmless(c) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
        if out.len() > most {
            out.truncate(end);
            out.push(CUT);
            break;
        }
        if out.len() + CUT.len_utf8() <= most {
            end = out.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_client_is_shown_and_bounded() {
        for (text, most, want) in [
            ("", 10, ""),
            ("/a?b=ü", 10, "/a?b=ü"),
            ("/\u{1b}[2J", 20, "/\\u{1b}[2J"),
            ("/\u{202e}x\u{7f}", 40, "/\\u{202e}x\\u{7f}"),
            ("0123456789", 10, "0123456789"),
            ("0123456789a", 10, "0123456…"),
            // Neither a character nor an escape is cut in two.
            ("012345ü789", 10, "012345…"),
            ("0123\u{202e}", 10, "0123…"),
            ("üüüüüü", 10, "üüü…"),
        ] {
            let shown = shown(text, most);
            assert_eq!(shown, want, "{text:?}");
            assert!(shown.len() <= most, "{text:?}");
        }
    }
}
