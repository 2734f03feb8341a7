//! How the proxy's own answers look: pages, and the list of routes in each form.

use std::fmt::Write as _;

use crate::name::BaseDomain;
use crate::route::Route;
use crate::table::RouteTable;

/// The routes as a list for people.
pub(crate) struct Routes<'t> {
    pub(super) table: &'t RouteTable,
    pub(super) base: &'t BaseDomain,
    pub(super) port: u16,
    /// Whether routes that do not say are asked over TLS.
    pub(super) https: bool,
}

impl Routes<'_> {
    /// Enough to find one's own; a page stays under 20 KB.
    const SHOWN: usize = 50;

    pub(super) fn shown(&self) -> impl Iterator<Item = &Route> {
        self.table.iter().take(Self::SHOWN).map(|route| &**route)
    }

    pub(super) fn url(&self, route: &Route) -> String {
        let prefix = route.spec.path_prefix.as_ref().map_or("/", |p| p.as_str());
        let (scheme, usual) = if route.spec.tls.unwrap_or(self.https) { ("https", 443) } else { ("http", 80) };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{}.{}{port}{prefix}", route.spec.name, self.base)
    }

    pub(super) fn html(&self) -> String {
        let mut list = String::from("<ul>");
        for route in self.shown() {
            let url = escaped(&self.url(route));
            let _ = write!(
                list,
                "<li><a href=\"{url}\">{url}</a> <span>{}</span></li>",
                escaped(&route.spec.target.to_string())
            );
        }
        list.push_str("</ul>");
        let more = self.table.len().saturating_sub(Self::SHOWN);
        if more > 0 {
            let _ = write!(list, "<p>and {more} more: <code>mastra-router list</code></p>");
        }
        list
    }

    pub(super) fn text(&self) -> String {
        let mut list = String::new();
        for route in self.shown() {
            let _ = writeln!(list, "{} -> {}", self.url(route), route.spec.target);
        }
        let more = self.table.len().saturating_sub(Self::SHOWN);
        if more > 0 {
            let _ = writeln!(list, "and {more} more: mastra-router list");
        }
        list
    }

    /// The URL of the route whose name is nearest to `name`, if one is near.
    pub(super) fn nearest(&self, name: &str) -> Option<String> {
        // Comparing is quadratic in the names' lengths: it is for tables a person could have typed.
        if name.is_empty() || name.len() > 63 || self.table.len() > 1000 {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let most = 1 + name.len() / 4;
        self.table
            .iter()
            .map(|route| (distance(&name, route.spec.name.as_str()), route))
            .filter(|(distance, _)| *distance <= most)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, route)| self.url(route))
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let here = (diagonal + usize::from(x != y)).min(left + 1).min(*slot + 1);
            diagonal = std::mem::replace(slot, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A page of the router's own, with nothing in it from elsewhere.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{} · mastra-router</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:44rem;margin:4rem auto;padding:0 1rem}}h1{{font-size:1.5rem}}h2{{font-size:1.1rem}}ul{{padding:0;list-style:none}}\
         li{{padding:.25rem 0}}code{{background:#8882;padding:.1em .35em;border-radius:4px}}span,small{{opacity:.65}}</style>\
         <main>{body}</main></html>\n",
        escaped(title)
    )
}

/// Text in which nothing is markup.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text as JSON has it.
pub(super) fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in
            [("shop", "shop", 0), ("shpo", "shop", 2), ("", "abc", 3), ("a", "b", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }
}
