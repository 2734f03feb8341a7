//! What an application behind a stripped path prefix says of its own paths, put back under the prefix.

use std::borrow::Cow;

use http1::Fields;

/// The prefix that was taken off a request's path, and the hosts whose URLs are the application's own.
#[derive(Debug)]
pub(crate) struct Prefix {
    /// `/name`, or `/name/api`.
    pub(crate) path: Box<str>,
    /// The host the client asked, with its port.
    pub(crate) host: Box<str>,
    /// The target's host and port, which an application that does not look at `Host` makes its URLs of.
    pub(crate) target: Box<str>,
}

impl Prefix {
    /// The value a response field goes on with; `None` for as it is.
    pub(crate) fn rewrite(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        let value = std::str::from_utf8(value).ok()?;
        if name.eq_ignore_ascii_case("location") || name.eq_ignore_ascii_case("content-location") {
            self.location(value).map(String::into_bytes)
        } else if name.eq_ignore_ascii_case("set-cookie") {
            self.cookie(value).map(String::into_bytes)
        } else {
            None
        }
    }

    /// `/login` becomes `/name/login`, `http://host/login` too; URLs of other hosts and relative ones stay.
    fn location(&self, value: &str) -> Option<String> {
        if value.starts_with('/') && !value.starts_with("//") {
            return self.under(value).map(|path| format!("{}{path}", self.path));
        }
        let scheme_end = value.find("//")? + 2;
        if !matches!(&value[..scheme_end], "http://" | "https://" | "//") {
            return None;
        }
        let rest = &value[scheme_end..];
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let own = authority.eq_ignore_ascii_case(&self.host);
        if !own && !authority.eq_ignore_ascii_case(&self.target) {
            return None;
        }
        let path = &rest[authority.len()..];
        let prefix = if self.under(path).is_some() { &*self.path } else { "" };
        // The target's own host is not one the client should learn to go round the router by.
        Some(format!("{}{}{prefix}{path}", &value[..scheme_end], self.host))
    }

    /// The path, unless it is under the prefix already, as with applications that heed `X-Forwarded-Prefix`.
    fn under<'v>(&self, path: &'v str) -> Option<&'v str> {
        match path.strip_prefix(&*self.path) {
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => None,
            _ => Some(path),
        }
    }

    /// `Path=/x` becomes `Path=/name/x`. A `__Host-` cookie must have `Path=/` (RFC 6265bis, section 4.1.3.2) and is left.
    fn cookie(&self, value: &str) -> Option<String> {
        if value.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("__Host-")) {
            return None;
        }
        let mut changed = false;
        let parts: Vec<String> = value
            .split(';')
            .enumerate()
            .map(|(i, part)| {
                let (name, path) = part.split_once('=').unwrap_or((part, ""));
                let path = path.trim();
                if i == 0 || !name.trim().eq_ignore_ascii_case("path") || !path.starts_with('/') {
                    return part.to_owned();
                }
                match self.under(path) {
                    Some(path) => {
                        changed = true;
                        let path = if path == "/" { "" } else { path };
                        format!("{name}={}{path}", self.path)
                    }
                    None => part.to_owned(),
                }
            })
            .collect();
        changed.then(|| parts.join(";"))
    }
}

/// Gives `put` the fields of a response that go on to the client: all but those for the connection, and the framing, which
/// is each version's own.
pub(crate) fn response_fields<'b>(
    fields: &Fields<'b>,
    prefix: Option<&Prefix>,
    mut put: impl FnMut(&'b str, Cow<'b, [u8]>),
) {
    for field in fields.iter() {
        if fields.is_hop_by_hop(field.name) || field.name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        match prefix.and_then(|p| p.rewrite(field.name, field.value)) {
            Some(value) => put(field.name, value.into()),
            None => put(field.name, field.value.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(name: &str, value: &str) -> String {
        let prefix = Prefix { path: "/app".into(), host: "localhost:3000".into(), target: "127.0.0.1:4111".into() };
        match prefix.rewrite(name, value.as_bytes()) {
            Some(value) => String::from_utf8(value).unwrap(),
            None => value.to_owned(),
        }
    }

    #[test]
    fn locations() {
        for (value, want) in [
            ("/login", "/app/login"),
            ("/", "/app/"),
            ("/app/login", "/app/login"),
            ("/app", "/app"),
            ("/apple", "/app/apple"),
            ("login", "login"),
            ("?x=1", "?x=1"),
            ("//evil.test/x", "//evil.test/x"),
            ("//localhost:3000/x", "//localhost:3000/app/x"),
            ("http://localhost:3000/login", "http://localhost:3000/app/login"),
            ("http://localhost:3000", "http://localhost:3000/app"),
            ("http://localhost:3000/app/x", "http://localhost:3000/app/x"),
            ("http://127.0.0.1:4111/login", "http://localhost:3000/app/login"),
            ("https://example.test/login", "https://example.test/login"),
            ("/x?next=http://localhost:3000/y", "/app/x?next=http://localhost:3000/y"),
        ] {
            assert_eq!(rewritten("Location", value), want, "{value}");
        }
        assert_eq!(rewritten("X-Location", "/login"), "/login");
    }

    #[test]
    fn cookies() {
        for (value, want) in [
            ("a=b", "a=b"),
            ("a=b; Path=/; HttpOnly", "a=b; Path=/app; HttpOnly"),
            ("a=b; path=/x", "a=b; path=/app/x"),
            ("a=b; Path=/app/x", "a=b; Path=/app/x"),
            ("path=/x; Secure", "path=/x; Secure"),
            ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
            ("a=b; Domain=localhost; Path=/", "a=b; Domain=localhost; Path=/app"),
        ] {
            assert_eq!(rewritten("set-cookie", value), want, "{value}");
        }
    }
}
