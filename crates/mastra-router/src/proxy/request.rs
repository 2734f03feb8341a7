//! From the bytes of a request to what is to be done with it.

use std::sync::Arc;

use http1::{BodyLength, Fields, HeadScan, Parsed, RequestHead, RequestKind, Target, Version};

use super::Shared;
use super::answer::{self, Answer, Failure, Form};
use super::forward::{self, ConnectionFields, FieldFate};
use super::rewrite::Prefix;
use super::upgrade;
use super::worker;
use crate::route::Route;
use crate::table::{Found, RouteTable};

/// A request that goes to an upstream.
pub(crate) struct Plan {
    pub(crate) route: Arc<Route>,
    /// The head as the upstream gets it.
    pub(crate) head: Vec<u8>,
    pub(crate) body: BodyLength,
    pub(crate) kind: RequestKind,
    /// Whether sending it twice does what sending it once does (RFC 9110, section 9.2.2).
    pub(crate) idempotent: bool,
    pub(crate) keep_alive: bool,
    pub(crate) version: Version,
    /// The `Sec-WebSocket-Accept` that the upstream must answer an upgrade with.
    pub(crate) accept_key: Option<Box<str>>,
    pub(crate) prefix: Option<Box<Prefix>>,
    pub(crate) form: Form,
    /// Whether a person looks at a page that can come back by itself.
    pub(crate) navigates: bool,
}

/// What is to be done.
pub(crate) enum Decision {
    /// The head is not complete.
    Partial,
    /// Forward it.
    Forward(Plan),
    /// Answer it here; `unread` is the body that follows.
    Answer { answer: Answer, kind: RequestKind, keep_alive: bool, unread: BodyLength },
}

/// The route that the last request of a connection led to: the next one mostly has the same host.
#[derive(Default)]
pub(crate) struct LastRoute {
    host: Vec<u8>,
    generation: u64,
    route: Option<Arc<Route>>,
}

/// Reads the head that `input` starts with and decides. Returns the bytes that it took, too.
pub(crate) fn decide(
    input: &[u8],
    scan: &mut HeadScan,
    last: &mut LastRoute,
    connection: &ConnectionFields,
    port: u16,
    shared: &Shared,
) -> (usize, Decision) {
    let mut slots = http1::slots();
    let head = match RequestHead::parse(input, &mut slots, &shared.limits, scan) {
        Ok(Parsed::Complete(head)) => head,
        Ok(Parsed::Partial) => return (0, Decision::Partial),
        Err(error) => {
            let failure = Failure::BadRequest { status: error.status(), reason: error.reason() };
            tracing::info!(reason = error.reason(), "request refused");
            // Nothing of such a request can be trusted, its wish for a form included.
            let answer = worker::with_table(|table, _| failure.answer(Form::Text, table, &shared.base, port));
            let unread = BodyLength::UntilClose;
            return (0, Decision::Answer { answer, kind: RequestKind::Other, keep_alive: false, unread });
        }
    };
    *scan = HeadScan::default();
    let kind = if head.method == "HEAD" { RequestKind::Head } else { RequestKind::Other };
    match route(&head, last, shared) {
        Ok(Routed { route, strip, hops }) => {
            let plan = plan(&head, route, strip, hops, kind, connection);
            (head.len, Decision::Forward(plan))
        }
        Err(outcome) => {
            let form = Form::accepted(head.fields.get("accept"));
            let answer = worker::with_table(|table, _| match &outcome {
                NoRoute::Index => answer::index(form, table, &shared.base, port),
                NoRoute::Failed(failure) => failure.answer(form, table, &shared.base, port),
            });
            (head.len, Decision::Answer { answer, kind, keep_alive: head.keep_alive, unread: head.body })
        }
    }
}

struct Routed {
    route: Arc<Route>,
    strip: usize,
    hops: u32,
}

enum NoRoute {
    Index,
    Failed(Failure),
}

fn route(head: &RequestHead<'_>, last: &mut LastRoute, shared: &Shared) -> Result<Routed, NoRoute> {
    let authority = authority(head);
    let passed = head.fields.iter().filter(|f| forward::fate(f.name) == FieldFate::Hops).map(|f| f.value);
    let hops = forward::hops(passed).saturating_add(1);
    let (route, strip) = worker::with_table(|table, generation| {
        if let Some(route) = &last.route
            && last.generation == generation
            && last.host == authority.as_bytes()
        {
            return Ok((route.clone(), 0));
        }
        let (route, strip, whole_host) = find(table, authority, path_of(head), shared)?;
        last.route = None;
        if whole_host {
            last.host.clear();
            last.host.extend_from_slice(authority.as_bytes());
            last.generation = generation;
            last.route = Some(route.clone());
        }
        Ok((route, strip))
    })?;
    if hops > shared.config.max_hops {
        let (name, target) = (route.spec.name.to_string(), route.spec.target.to_string());
        return Err(NoRoute::Failed(Failure::Loop { name, target }));
    }
    Ok(Routed { route, strip, hops })
}

fn find(
    table: &RouteTable,
    authority: &str,
    path: &str,
    shared: &Shared,
) -> Result<(Arc<Route>, usize, bool), NoRoute> {
    let host = without_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    let folded;
    let host = if host.bytes().any(|b| b.is_ascii_uppercase()) {
        folded = host.to_ascii_lowercase();
        &folded
    } else {
        host
    };
    let path = path.split('?').next().unwrap_or(path);
    let failed = |failure| Err(NoRoute::Failed(failure));
    match table.find(&shared.base, host, path) {
        Found::Route { route, strip, whole_host } => Ok((route.clone(), strip, whole_host)),
        Found::Index | Found::Router => Err(NoRoute::Index),
        Found::AmbiguousPath => failed(Failure::AmbiguousPath),
        Found::NoHost { ours } => failed(Failure::UnknownHost { host: shortened(host), ours }),
        Found::NoPath => failed(Failure::UnknownPath { host: shortened(host), path: shortened(path) }),
    }
}

/// What an error page repeats of a request is bounded.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The host a request is for, as sent: of the target where that is absolute, which then overrules `Host` (RFC 9112,
/// section 3.2.2). An HTTP/1.0 request may have none, and then leads nowhere.
fn authority<'b>(head: &RequestHead<'b>) -> &'b str {
    match head.target {
        Target::Absolute { authority, .. } => authority,
        _ => head.host.unwrap_or(""),
    }
}

fn path_of<'b>(head: &RequestHead<'b>) -> &'b str {
    match head.target {
        Target::Origin(path) | Target::Absolute { path, .. } => path,
        Target::Asterisk => "*",
    }
}

fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or(authority);
    }
    authority.split(':').next().unwrap_or(authority)
}

fn plan(
    head: &RequestHead<'_>,
    route: Arc<Route>,
    strip: usize,
    hops: u32,
    kind: RequestKind,
    connection: &ConnectionFields,
) -> Plan {
    let host = authority(head);
    let path = path_of(head);
    let stripped = path.get(..strip).unwrap_or("");
    let accept_key = upgrade::accept_key(head);

    let mut out = Vec::with_capacity(head.len + 512);
    match forward::stripped_path(path, strip) {
        ("", path) => http1::write_request_line(&mut out, head.method, path),
        (slash, rest) => http1::write_request_line(&mut out, head.method, &[slash, rest].concat()),
    }
    let mut has_host = false;
    for field in head.fields.iter() {
        if head.fields.is_hop_by_hop(field.name) {
            continue;
        }
        match forward::fate(field.name) {
            FieldFate::Keep => http1::write_field(&mut out, field.name, field.value),
            FieldFate::Host => {
                http1::write_field(&mut out, field.name, host.as_bytes());
                has_host = true;
            }
            FieldFate::Drop | FieldFate::Hops => {}
        }
    }
    if !has_host {
        http1::write_field(&mut out, "Host", host.as_bytes());
    }
    if accept_key.is_some() {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    connection.append(&mut out, host, stripped, hops);
    http1::write_length(&mut out, head.body);
    http1::end_head(&mut out);

    let prefix = (!stripped.is_empty()).then(|| {
        Box::new(Prefix { path: stripped.into(), host: host.into(), target: route.spec.target.authority().into() })
    });
    let form = Form::accepted(head.fields.get("accept"));
    Plan {
        head: out,
        body: head.body,
        kind,
        idempotent: matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"),
        keep_alive: head.keep_alive,
        version: head.version,
        accept_key,
        prefix,
        form,
        navigates: form == Form::Html && matches!(head.method, "GET" | "HEAD") && is_navigation(&head.fields),
        route,
    }
}

/// Scripts that ask for HTML (htmx, Turbo) cannot use a page that refreshes itself; browsers say what a request is for.
fn is_navigation(fields: &Fields<'_>) -> bool {
    fields.get("sec-fetch-mode").is_none_or(|mode| mode.eq_ignore_ascii_case(b"navigate"))
}
