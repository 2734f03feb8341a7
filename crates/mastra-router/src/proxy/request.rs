//! From a request, in whatever version of HTTP it came, to what is to be done with it.

use std::sync::Arc;

use http1::{BodyLength, Field, RequestKind, Version};

use super::Shared;
use super::answer::{self, Answer, Failure, Form};
use super::forward::{self, ConnectionFields, FieldFate};
use super::observed::Observed;
use super::rewrite::Prefix;
use super::worker;
use crate::event::RequestProtocol;
use crate::route::Route;
use crate::table::{Found, RouteTable};

/// The head of a request, its fields aside: valid by the rules of its version, and not yet judged.
pub(crate) struct Inbound<'r> {
    pub(crate) method: &'r str,
    /// The host that is asked, with its port; empty where an HTTP/1.0 client names none, which then leads nowhere.
    pub(crate) authority: &'r str,
    /// Path and query, or `*`.
    pub(crate) path: &'r str,
    pub(crate) body: BodyLength,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
    /// Routers that it has passed before. Counted over all of its fields: no client can have one taken for hop-by-hop.
    pub(crate) passed: u32,
    /// The `Sec-WebSocket-Accept` that the upstream must answer with, where the request asks for a WebSocket.
    pub(crate) accept_key: Option<Box<str>>,
    /// About how many bytes the head has.
    pub(crate) size: usize,
}

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
    /// There where somebody follows the requests.
    pub(crate) observed: Option<Box<Observed>>,
}

/// A request that is answered here.
pub(crate) struct Refused {
    pub(crate) answer: Answer,
    /// As in [`Plan`].
    pub(crate) observed: Option<Box<Observed>>,
}

/// The route that the last request of a connection led to: the next one mostly has the same host.
#[derive(Default)]
pub(crate) struct LastRoute {
    host: Vec<u8>,
    generation: u64,
    route: Option<Arc<Route>>,
}

/// What of a request belongs to its connection and not to it.
pub(crate) struct Context<'c> {
    pub(crate) last: &'c mut LastRoute,
    pub(crate) fields: &'c ConnectionFields,
    /// Port of the listener, for URLs in our own answers.
    pub(crate) port: u16,
    pub(crate) protocol: RequestProtocol,
}

/// Decides what is to be done: forward it, or answer it here. `fields` gives its end-to-end fields, as often as it is asked.
pub(crate) fn decide<'f, F, I>(
    inbound: &Inbound<'_>,
    fields: F,
    context: &mut Context<'_>,
    shared: &Shared,
) -> Result<Plan, Refused>
where
    F: Fn() -> I,
    I: Iterator<Item = Field<'f>>,
{
    let mut observed = Observed::begin(shared, inbound.method, inbound.authority, inbound.path, context.protocol);
    let hops = inbound.passed.saturating_add(1);
    let routed = route(inbound, context.last, hops, shared).and_then(|routed| {
        if shared.redirects(&routed.route) && !context.fields.is_tls() {
            return Err(Elsewhere::Https(routed.route));
        }
        Ok(routed)
    });
    if let Some(observed) = &mut observed
        && let Ok(Routed { route, .. }) | Err(Elsewhere::Https(route) | Elsewhere::Loop(route)) = &routed
    {
        observed.led_to(route);
    }
    match routed {
        Ok(Routed { route, strip }) => {
            Ok(Plan { observed, ..plan(inbound, fields, route, strip, hops, context.fields) })
        }
        Err(elsewhere) => {
            let form = Form::accepted(fields().find(|f| f.name.eq_ignore_ascii_case("accept")).map(|f| f.value));
            let answer = worker::with_table(|table, _| match &elsewhere {
                Elsewhere::Index => answer::index(form, &shared.routes(table, context.port)),
                Elsewhere::Https(_) => answer::to_https(&shared.https_authority(inbound.authority), inbound.path),
                Elsewhere::Loop(route) => {
                    let (name, target) = (route.spec.name.to_string(), route.spec.target.to_string());
                    Failure::Loop { name, target }.answer(form, &shared.routes(table, context.port))
                }
                Elsewhere::Failed(failure) => failure.answer(form, &shared.routes(table, context.port)),
            });
            Err(Refused { answer, observed })
        }
    }
}

struct Routed {
    route: Arc<Route>,
    strip: usize,
}

/// Why a request goes to no upstream.
enum Elsewhere {
    /// The list of routes was asked for.
    Index,
    /// The route is to be asked over TLS.
    Https(Arc<Route>),
    /// It has passed too many routers on its way to this route.
    Loop(Arc<Route>),
    Failed(Failure),
}

fn route(inbound: &Inbound<'_>, last: &mut LastRoute, hops: u32, shared: &Shared) -> Result<Routed, Elsewhere> {
    let authority = inbound.authority;
    let (route, strip) = worker::with_table(|table, generation| {
        if let Some(route) = &last.route
            && last.generation == generation
            && last.host == authority.as_bytes()
        {
            return Ok((route.clone(), 0));
        }
        let (route, strip, whole_host) = find(table, authority, inbound.path, shared)?;
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
        return Err(Elsewhere::Loop(route));
    }
    Ok(Routed { route, strip })
}

fn find(
    table: &RouteTable,
    authority: &str,
    path: &str,
    shared: &Shared,
) -> Result<(Arc<Route>, usize, bool), Elsewhere> {
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
    let failed = |failure| Err(Elsewhere::Failed(failure));
    match table.find(&shared.base, host, path) {
        Found::Route { route, strip, whole_host } => Ok((route.clone(), strip, whole_host)),
        Found::Index | Found::Router => Err(Elsewhere::Index),
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

pub(super) fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or(authority);
    }
    authority.split(':').next().unwrap_or(authority)
}

fn plan<'f, F, I>(
    inbound: &Inbound<'_>,
    fields: F,
    route: Arc<Route>,
    strip: usize,
    hops: u32,
    connection: &ConnectionFields,
) -> Plan
where
    F: Fn() -> I,
    I: Iterator<Item = Field<'f>>,
{
    let (method, host, path) = (inbound.method, inbound.authority, inbound.path);
    let stripped = path.get(..strip).unwrap_or("");
    let mut form = None;
    let (mut navigates, mut of_page) = (true, false);

    let mut out = Vec::with_capacity(inbound.size + 512);
    match forward::stripped_path(path, strip) {
        ("", path) => http1::write_request_line(&mut out, method, path),
        (slash, rest) => http1::write_request_line(&mut out, method, &[slash, rest].concat()),
    }
    let mut has_host = false;
    for field in fields() {
        match forward::fate(field.name) {
            FieldFate::Keep => {
                http1::write_field(&mut out, field.name, field.value);
                match field.name.len() {
                    6 if field.name.eq_ignore_ascii_case("accept") => {
                        form.get_or_insert_with(|| Form::accepted(Some(field.value)));
                    }
                    // Scripts that ask for HTML (htmx, Turbo) cannot use a page that refreshes itself; browsers say what
                    // a request is for.
                    14 if field.name.eq_ignore_ascii_case("sec-fetch-mode") => {
                        navigates = field.value.eq_ignore_ascii_case(b"navigate");
                    }
                    _ => {}
                }
            }
            FieldFate::Host => {
                http1::write_field(&mut out, field.name, host.as_bytes());
                has_host = true;
            }
            FieldFate::Page => of_page = true,
            FieldFate::Drop | FieldFate::Hops => {}
        }
    }
    if !has_host {
        http1::write_field(&mut out, "Host", host.as_bytes());
    }
    if inbound.accept_key.is_some() {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    connection.append(&mut out, host, stripped, hops);
    http1::write_length(&mut out, inbound.body);
    http1::end_head(&mut out);

    let form = form.unwrap_or(Form::Text);
    let prefix = (!stripped.is_empty()).then(|| {
        Box::new(Prefix { path: stripped.into(), host: host.into(), target: route.spec.target.authority().into() })
    });
    Plan {
        head: out,
        body: inbound.body,
        kind: if method == "HEAD" { RequestKind::Head } else { RequestKind::Other },
        idempotent: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"),
        keep_alive: inbound.keep_alive,
        version: inbound.version,
        accept_key: inbound.accept_key.clone(),
        prefix,
        form,
        navigates: (navigates || of_page) && form == Form::Html && matches!(method, "GET" | "HEAD"),
        route,
        observed: None,
    }
}
