//! Where a redirect leads, as long as it stays on the target.

use crate::route::HealthPath;
use crate::target::Target;

/// The path that `location`, sent in answer to `base`, leads to; `None` where that is another host, port or scheme, or
/// cannot be asked for.
pub(super) fn follow(target: &Target, base: &HealthPath, location: &str) -> Option<HealthPath> {
    let location = location.split('#').next().unwrap_or_default();
    let path = match after_scheme(target, location) {
        Some(rest) => own_path(target, rest)?,
        // `mailto:`, `https:` and the like; a relative path with a colon in its first segment is not valid.
        None if scheme(location).is_some() => return None,
        None => match location.strip_prefix("//") {
            Some(rest) => own_path(target, rest)?,
            None => resolve(base.as_str(), location),
        },
    };
    HealthPath::parse(&path).ok().flatten()
}

fn scheme(location: &str) -> Option<&str> {
    let (scheme, _) = location.split_once(':')?;
    (!scheme.contains(['/', '?'])).then_some(scheme)
}

/// The scheme of the target's own URLs.
fn web_scheme(target: &Target) -> &'static str {
    if target.scheme().is_tls() { "https" } else { "http" }
}

fn after_scheme<'l>(target: &Target, location: &'l str) -> Option<&'l str> {
    let own = web_scheme(target);
    scheme(location).filter(|scheme| scheme.eq_ignore_ascii_case(own))?;
    location.get(own.len() + 1..)?.strip_prefix("//")
}

/// The path of `authority/path` if the authority is the target's.
fn own_path(target: &Target, rest: &str) -> Option<String> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let other = Target::parse_text(&format!("{}://{authority}", web_scheme(target))).ok()?;
    (other.authority() == target.authority()).then(|| resolve("/", path))
}

/// RFC 3986 section 5.2.2, for a reference without an authority.
fn resolve(base: &str, reference: &str) -> String {
    let base_path = base.split('?').next().unwrap_or_default();
    match reference {
        "" => base.to_owned(),
        _ if reference.starts_with('?') => format!("{base_path}{reference}"),
        _ if reference.starts_with('/') => without_dots(reference),
        _ => {
            let directory = base_path.rfind('/').map_or("", |slash| &base_path[..slash]);
            without_dots(&format!("{directory}/{reference}"))
        }
    }
}

fn without_dots(reference: &str) -> String {
    let (path, query) = reference.find('?').map_or((reference, ""), |at| reference.split_at(at));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_on_the_target() {
        let base = HealthPath::parse("/a/health?x=1").unwrap().unwrap();
        let table = [
            ("/ok", Some("/ok")),
            ("/ok?y#z", Some("/ok?y")),
            ("ok", Some("/a/ok")),
            ("./ok", Some("/a/ok")),
            ("../ok", Some("/ok")),
            ("../../../ok/.", Some("/ok/")),
            ("?y", Some("/a/health?y")),
            ("", Some("/a/health?x=1")),
            ("#top", Some("/a/health?x=1")),
            ("http://localhost:4111/ok", Some("/ok")),
            ("HTTP://LOCALHOST:4111/ok", Some("/ok")),
            ("http://localhost:4111", Some("/a/health?x=1")),
            ("//localhost:4111/ok", Some("/ok")),
            ("http://localhost:4112/ok", None),
            ("http://localhost/ok", None),
            ("http://127.0.0.1:4111/ok", None),
            ("http://user@localhost:4111/ok", None),
            ("https://localhost:4111/ok", None),
            ("//example.com/ok", None),
            ("http://169.254.169.254/latest", None),
            ("http:ok", None),
            ("mailto:a@b", None),
            ("/a b", None),
            ("/\u{fffd}", None),
        ];
        for (location, path) in table {
            let target = Target::parse("localhost", 4111).unwrap();
            let path = if location == "http://localhost:4111" { Some("/") } else { path };
            assert_eq!(follow(&target, &base, location).as_ref().map(HealthPath::as_str), path, "{location}");
        }
        let plain = Target::parse("::1", 80).unwrap();
        assert_eq!(follow(&plain, &base, "http://[::1]/ok").unwrap().as_str(), "/ok");
    }
}
