//! What the proxy answers by itself: why a request got nowhere, and the list of routes.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::page::{Routes, escaped, json_string, page};
use super::waiting;

/// Why the proxy answers in an upstream's place. One `match` makes a response of it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request can be read in more than one way, or breaks a limit.
    BadRequest { status: u16, reason: &'static str },
    /// The path may mean another one to the upstream.
    AmbiguousPath,
    /// No route has this host.
    UnknownHost { host: String, ours: bool },
    /// No route begins with this path.
    UnknownPath { host: String, path: String },
    /// The request has passed too many routers.
    Loop { name: String, target: String },
    /// Nothing listens, and a browser is waiting: the page comes back by itself. `first` where it has not listened before.
    Starting { name: String, target: String, first: bool, output: Vec<String> },
    /// Nothing listens, and the command behind the route has ended. A page comes back by itself, where a browser waits.
    Ended { name: String, target: String, how: String, output: Vec<String>, comes_back: bool },
    /// Nothing listened for as long as a restart may take.
    Refused { name: String, target: String, waited_secs: u64 },
    /// The connection could not be made.
    Unreachable { name: String, target: String, error: String },
    /// The target speaks no TLS, or shows a certificate that is not believed.
    NoTls { name: String, target: String, error: String },
    /// The connection was not made in time.
    TimedOut { name: String, target: String },
    /// The upstream closed before it answered.
    NoAnswer { name: String, target: String },
    /// What the upstream answered is not HTTP, or can be read in more than one way.
    BadAnswer { name: String, target: String, reason: &'static str },
    /// No descriptors are left.
    Overloaded,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// What a client that sent this `Accept` can read best.
    pub(crate) fn accepted(accept: Option<&[u8]>) -> Self {
        let accept = accept.unwrap_or_default();
        let has = |needle: &[u8]| memchr::memmem::find(accept, needle).is_some();
        if has(b"text/html") {
            Self::Html
        } else if has(b"application/json") || has(b"application/problem+json") {
            Self::Json
        } else {
            Self::Text
        }
    }

    fn content_type(self, problem: bool) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json if problem => "application/problem+json",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// Fields of every answer of the proxy's own: it says what is now.
pub(crate) const ALWAYS: [(&str, &str); 2] = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")];

/// What a page of the proxy's own may do, which is nothing.
const NOTHING: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A response of the proxy's own.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) content_type: &'static str,
    /// Fields beyond those that every answer has.
    pub(crate) fields: Vec<(&'static str, Cow<'static, str>)>,
    pub(crate) body: String,
}

struct Said {
    status: u16,
    code: &'static str,
    title: String,
    detail: String,
    hint: &'static str,
}

impl Failure {
    fn said(&self) -> Said {
        let say =
            |status, code, title: &str, detail: String, hint| Said { status, code, title: title.into(), detail, hint };
        match self {
            Self::BadRequest { status: 405, reason } => {
                say(405, "BAD_REQUEST", "Method not allowed", format!("The request was refused ({reason})."), "")
            }
            Self::BadRequest { status, reason } => say(
                *status,
                "BAD_REQUEST",
                reason_phrase(*status),
                format!("The request was refused ({reason}): two servers could read it differently, or it breaks a limit."),
                "",
            ),
            Self::AmbiguousPath => say(
                400,
                "AMBIGUOUS_PATH",
                "Ambiguous path",
                "The path has dot segments and is routed by its prefix, so it could mean another route to the application.".into(),
                "send the path without . and .. segments",
            ),
            Self::UnknownHost { host, .. } => say(
                404,
                "ROUTE_NOT_FOUND",
                "No such route",
                format!("No route answers at {host}."),
                "mastra-router add NAME PORT, or mastra-router list",
            ),
            Self::UnknownPath { host, path } => say(
                404,
                "ROUTE_NOT_FOUND",
                "No such route",
                format!("No route answers at {host}{path}."),
                "mastra-router add NAME PORT, or mastra-router list",
            ),
            Self::Loop { name, target } => say(
                508,
                "LOOP_DETECTED",
                "Requests go in a circle",
                format!("The application behind {name} ({target}) sends its requests back to the router."),
                "let its own proxy change the Host header (Vite, webpack: changeOrigin: true) or point it at the port of the server it means",
            ),
            Self::Starting { name, target, first, output } => say(
                503,
                "TARGET_STARTING",
                &if *first { format!("Starting {name}") } else { format!("Waiting for {name}") },
                if *first {
                    format!("Nothing listens on {target} yet. This page turns into the application by itself.")
                } else {
                    format!("Nothing listens on {target} any more. This page turns into the application by itself.")
                },
                if output.is_empty() {
                    "start the application, or see what it says where it was started"
                } else {
                    "wait, or see all that it says where it was started"
                },
            ),
            Self::Ended { name, target, how, .. } => say(
                502,
                "TARGET_ENDED",
                &format!("{name} has ended"),
                format!("The command behind {name} {how}, and nothing listens on {target}."),
                "see what it says where it was started, and start it again",
            ),
            Self::Refused { name, target, waited_secs } => say(
                502,
                "TARGET_REFUSED",
                "The application is not running",
                format!("Nothing listened on {target}, where {name} leads, for {waited_secs} seconds."),
                "start the application, or move the route: mastra-router update NAME --target PORT",
            ),
            Self::Unreachable { name, target, error } => say(
                502,
                "TARGET_UNREACHABLE",
                "The application cannot be reached",
                format!("Connecting to {target}, where {name} leads, failed: {error}."),
                "check the route's target: mastra-router health NAME",
            ),
            Self::NoTls { name, target, error } => say(
                502,
                "TARGET_TLS",
                "No secure connection to the application",
                format!("{target}, where {name} leads, cannot be spoken to over TLS: {error}."),
                "trust its certificate, or do without: mastra-router update NAME --target https+insecure://HOST:PORT",
            ),
            Self::TimedOut { name, target } => say(
                504,
                "TARGET_TIMEOUT",
                "The application does not answer",
                format!("{target}, where {name} leads, did not accept a connection in time."),
                "check the route's target: mastra-router health NAME",
            ),
            Self::NoAnswer { name, target } => say(
                502,
                "TARGET_CLOSED",
                "The application closed the connection",
                format!("{target}, where {name} leads, closed the connection before it answered."),
                "see what the application says where it was started",
            ),
            Self::BadAnswer { name, target, reason } => say(
                502,
                "BAD_ANSWER",
                "The application's answer cannot be understood",
                format!("{target}, where {name} leads, answered with something that is no valid HTTP/1.1 ({reason})."),
                "check that the port is that of an HTTP server",
            ),
            Self::Overloaded => say(
                503,
                "OVERLOADED",
                "Too many connections",
                "The router has no file descriptors left.".into(),
                "raise the limit of open files: ulimit -n",
            ),
        }
    }

    /// Makes the response. It names other routes only where the host that was asked lies under our own domain:
    /// a page of somewhere else, whose name was pointed at this machine, learns nothing.
    pub(crate) fn answer(&self, form: Form, routes: &Routes<'_>) -> Answer {
        let said = self.said();
        let routes = match self {
            Self::UnknownHost { ours: true, .. } | Self::UnknownPath { .. } => Some(routes),
            _ => None,
        };
        let nearest = match (self, routes) {
            (Self::UnknownHost { host, .. }, Some(routes)) => routes.nearest(routes.base.name_in(host).unwrap_or(host)),
            (Self::UnknownPath { path, .. }, Some(routes)) => routes.nearest(path.split('/').nth(1).unwrap_or("")),
            _ => None,
        };
        let mut fields = vec![("X-Mastra-Router-Error", said.code.into())];
        match self {
            Self::Starting { .. } | Self::Ended { comes_back: true, .. } => {
                fields.extend([("Retry-After", "1".into()), ("Refresh", "1".into())]);
            }
            Self::Overloaded => fields.push(("Retry-After", "1".into())),
            Self::BadRequest { status: 405, .. } => {
                fields.push(("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".into()));
            }
            _ => {}
        }
        let waits = match self {
            Self::Starting { output, .. } => Some((output, waiting::Tone::Waits)),
            Self::Ended { output, comes_back: true, .. } => Some((output, waiting::Tone::Ended)),
            _ => None,
        };
        let policy = match (form, waits) {
            (Form::Html, Some(_)) => waiting::POLICY,
            _ => NOTHING,
        };
        fields.push(("Content-Security-Policy", policy.into()));
        let body = match form {
            Form::Html if let Some((output, tone)) = waits => {
                let Said { title, detail, hint, status, code } = &said;
                waiting::page(title, detail, hint, &format!("{status} · {code}"), output, tone)
            }
            Form::Html => page(&said.title, &failure_html(&said, nearest.as_deref(), routes)),
            Form::Json => failure_json(&said, nearest.as_deref()),
            Form::Text => failure_text(&said, nearest.as_deref(), routes),
        };
        let reason = reason_phrase(said.status);
        Answer { status: said.status, reason, content_type: form.content_type(true), fields, body }
    }
}

/// The list of routes, at the root of the bare base domain.
pub(crate) fn index(form: Form, routes: &Routes<'_>) -> Answer {
    let table = routes.table;
    let body = match form {
        Form::Html if table.is_empty() => page(
            "Routes",
            "<h1>No routes yet</h1><p>Give a server a name: <code>mastra-router add shop 5173</code></p>",
        ),
        Form::Html => page("Routes", &format!("<h1>Routes</h1>{}", routes.html())),
        Form::Json => {
            let urls: Vec<String> = routes.shown().map(|r| json_string(&routes.url(r))).collect();
            format!("{{\"routes\":[{}],\"total\":{}}}\n", urls.join(","), table.len())
        }
        Form::Text if table.is_empty() => "No routes yet: mastra-router add shop 5173\n".to_owned(),
        Form::Text => routes.text(),
    };
    Answer {
        status: 200,
        reason: "OK",
        content_type: form.content_type(false),
        fields: vec![("Content-Security-Policy", NOTHING.into())],
        body,
    }
}

/// The same URL over TLS. 308 keeps the method and the body (RFC 9110, section 15.4.9).
pub(crate) fn to_https(authority: &str, path: &str) -> Answer {
    let path = if path.starts_with('/') { path } else { "/" };
    let url = format!("https://{authority}{path}");
    let body = format!("308: this is served at {url}\n");
    let fields = vec![("Location", url.into()), ("Content-Security-Policy", NOTHING.into())];
    Answer { status: 308, reason: "Permanent Redirect", content_type: Form::Text.content_type(false), fields, body }
}

fn failure_html(said: &Said, nearest: Option<&str>, routes: Option<&Routes<'_>>) -> String {
    let mut body = format!("<h1>{}</h1><p>{}</p>", escaped(&said.title), escaped(&said.detail));
    if let Some(url) = nearest {
        let url = escaped(url);
        let _ = write!(body, "<p>Did you mean <a href=\"{url}\">{url}</a>?</p>");
    }
    if !said.hint.is_empty() {
        let _ = write!(body, "<p>What to do: <code>{}</code></p>", escaped(said.hint));
    }
    if let Some(routes) = routes.filter(|r| !r.table.is_empty()) {
        let _ = write!(body, "<h2>Routes</h2>{}", routes.html());
    }
    let _ = write!(body, "<p><small>{} · {} · mastra-router</small></p>", said.status, said.code);
    body
}

fn failure_json(said: &Said, nearest: Option<&str>) -> String {
    let mut body = format!(
        "{{\"type\":\"about:blank\",\"title\":{},\"status\":{},\"detail\":{},\"code\":{}",
        json_string(&said.title),
        said.status,
        json_string(&said.detail),
        json_string(said.code)
    );
    if !said.hint.is_empty() {
        let _ = write!(body, ",\"hint\":{}", json_string(said.hint));
    }
    if let Some(url) = nearest {
        let _ = write!(body, ",\"nearest\":{}", json_string(url));
    }
    body.push_str("}\n");
    body
}

fn failure_text(said: &Said, nearest: Option<&str>, routes: Option<&Routes<'_>>) -> String {
    let mut body = format!("{} {}: {}\n", said.status, said.code, said.detail);
    if let Some(url) = nearest {
        let _ = writeln!(body, "did you mean {url} ?");
    }
    if !said.hint.is_empty() {
        let _ = writeln!(body, "hint: {}", said.hint);
    }
    if let Some(routes) = routes.filter(|r| !r.table.is_empty()) {
        let _ = write!(body, "\nroutes:\n{}", routes.text());
    }
    body
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::BaseDomain;
    use crate::table::RouteTable;

    #[test]
    fn forms() {
        for (accept, form) in [
            (None, Form::Text),
            (Some("*/*"), Form::Text),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Form::Html),
            (Some("application/json"), Form::Json),
            (Some("application/problem+json"), Form::Json),
        ] {
            assert_eq!(Form::accepted(accept.map(str::as_bytes)), form, "{accept:?}");
        }
    }

    #[test]
    fn nothing_of_a_request_is_markup() {
        let host = "<script>\"'&\u{1b}".to_owned();
        let failure = Failure::UnknownHost { host, ours: false };
        let (base, table) = (BaseDomain::parse("localhost").unwrap(), RouteTable::default());
        let routes = Routes { table: &table, base: &base, port: 3000, https: false };
        let html = failure.answer(Form::Html, &routes).body;
        assert!(!html.contains("<script"), "{html}");
        let json = failure.answer(Form::Json, &routes).body;
        assert!(json.contains("<script>\\\"'&\\u001b"), "{json}");
    }
}
