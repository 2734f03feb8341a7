use memchr::memchr;

use crate::octets::{is_token, trim};

/// A field line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'b> {
    /// The name in the case it was sent in.
    pub name: &'b str,
    /// The value without the white space around it: tabs, spaces, visible ASCII and bytes from 0x80.
    pub value: &'b [u8],
}

/// The fields of a head in order, case and repetition as received.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'b> {
    fields: &'b [httparse::Header<'b>],
    /// Whether `Connection` nominates a field that is not hop-by-hop by itself, which is rare.
    nominates: bool,
}

impl<'b> Fields<'b> {
    #[inline]
    pub(crate) fn new(fields: &'b [httparse::Header<'b>], nominates: bool) -> Self {
        Self { fields, nominates }
    }

    /// Every field, hop-by-hop ones too.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Field<'b>> + Clone + 'b {
        self.fields.iter().map(|field| Field { name: field.name, value: field.value })
    }

    /// The value of the first field of this name, in whatever case.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// How many fields there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// True for a field that belongs to this connection only and must not be forwarded (RFC 9110 section 7.6.1).
    ///
    /// Those are `Connection`, every field it nominates, and the ones that are for the connection even where they are
    /// not nominated: `Keep-Alive`, `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`, and the two that speak to
    /// the next proxy only, `Proxy-Authenticate` and `Proxy-Authorization` (sections 11.7.1 and 11.7.2). `Trailer` is
    /// not among them: it announces trailers, which are forwarded. Neither is `Content-Length`, which is framing:
    /// leave it out and write [`write_length`](crate::write_length) instead.
    #[inline]
    pub fn is_hop_by_hop(&self, name: &str) -> bool {
        is_for_connection(name) || (self.nominates && self.is_nominated(name))
    }

    #[cold]
    fn is_nominated(&self, name: &str) -> bool {
        self.fields
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case("connection"))
            .flat_map(|field| elements(field.value))
            .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Whether this is the name of a field: a token (RFC 9110 section 5.1). HTTP/2 has the same rule, and libraries of it take
/// more.
#[inline]
pub fn is_field_name(name: &str) -> bool {
    is_token(name.as_bytes())
}

/// True for the fields that are hop-by-hop without being nominated; see [`Fields::is_hop_by_hop`].
#[inline]
pub fn is_for_connection(name: &str) -> bool {
    match name.len() {
        2 => name.eq_ignore_ascii_case("te"),
        7 => name.eq_ignore_ascii_case("upgrade"),
        10 => name.eq_ignore_ascii_case("connection") || name.eq_ignore_ascii_case("keep-alive"),
        16 => name.eq_ignore_ascii_case("proxy-connection"),
        17 => name.eq_ignore_ascii_case("transfer-encoding"),
        18 => name.eq_ignore_ascii_case("proxy-authenticate"),
        19 => name.eq_ignore_ascii_case("proxy-authorization"),
        _ => false,
    }
}

/// The elements of a comma-separated list that are not empty (RFC 9110 section 5.6.1.2).
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        match memchr(b',', list) {
            Some(comma) => {
                rest = Some(&list[comma + 1..]);
                Some(trim(&list[..comma]))
            }
            None => {
                rest = None;
                Some(trim(list))
            }
        }
    })
    .filter(|element| !element.is_empty())
}
