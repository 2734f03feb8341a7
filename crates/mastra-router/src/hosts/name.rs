//! Names that may stand in a hosts file: the one check that every written name passes.

use std::fmt;

/// Longest label, and longest name (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 253;
/// Domains that no registry will ever give away (RFC 6761, and ICANN's resolution of 2024 on `internal`).
const SAFE_SUFFIXES: [&str; 3] = ["localhost", "test", "internal"];
/// First labels that programs look up by themselves and believe: whoever has them configures the machine's proxy or tunnel.
const LOOKED_UP: [&str; 2] = ["wpad", "isatap"];

/// A host name of two labels or more, lower case, of letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HostName(Box<str>);

impl HostName {
    /// Reads a name, folding upper case.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(name: &str) -> Result<Self, &'static str> {
        if name.len() > NAME_MAX {
            return Err("it is longer than 253 characters");
        }
        let folded = name.to_ascii_lowercase();
        let mut labels = folded.split('.');
        if let Some(fault) = labels.find_map(label_fault) {
            return Err(fault);
        }
        let Some((first, _)) = folded.split_once('.') else { return Err("it has one label only") };
        if LOOKED_UP.contains(&first) {
            return Err("programs look this name up to configure themselves");
        }
        if folded.rsplit('.').next().is_some_and(reads_as_number) {
            return Err("its last label is a number, so it reads as an IP address");
        }
        Ok(Self(folded.into()))
    }

    /// Reads a name that is to be written: it also has to lie under a domain that is nobody's on the network, or under one
    /// of `suffixes`, and must not be the own name of this `machine`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse_ours(name: &str, suffixes: &[String], machine: &str) -> Result<Self, String> {
        let parsed = Self::parse(name)?;
        let allowed = || SAFE_SUFFIXES.into_iter().chain(suffixes.iter().map(String::as_str));
        if !allowed().any(|suffix| parsed.is_below(suffix)) {
            let all: Vec<&str> = allowed().collect();
            return Err(format!("it lies under none of {}", all.join(", ")));
        }
        if parsed.is_machine(machine) {
            return Err("it is this machine's own name".to_owned());
        }
        Ok(parsed)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn is_below(&self, suffix: &str) -> bool {
        let suffix = suffix.trim_end_matches('.').to_ascii_lowercase();
        self.0.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.') && !suffix.is_empty())
    }

    /// A machine called `ann` or `ann.example.com` is `ann.local` too.
    fn is_machine(&self, machine: &str) -> bool {
        let short = machine.split('.').next().unwrap_or(machine);
        !machine.is_empty() && (*self.0 == *machine || self.0.strip_suffix(".local") == Some(short))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// This machine's own name, lower case.
pub(super) fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase()
}

fn label_fault(label: &str) -> Option<&'static str> {
    match label.as_bytes() {
        [] => Some("a label is empty"),
        bytes if bytes.len() > LABEL_MAX => Some("a label is longer than 63 characters"),
        [b'-', ..] | [.., b'-'] => Some("a label starts or ends with a hyphen"),
        bytes if !bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) => {
            Some("only letters, digits and hyphens make a DNS label")
        }
        [b'x', b'n', b'-', b'-', ..] => match label.get(4..).and_then(punycode) {
            Some(decoded) if is_plain(&decoded) => None,
            _ => Some("an xn-- label does not stand for letters and digits of one script"),
        },
        _ => None,
    }
}

/// As browsers decide it: such a host is an IPv4 address to them, or an error (URL Standard, "ends in a number").
fn reads_as_number(label: &str) -> bool {
    let digits =
        |text: &str, hex: bool| text.bytes().all(|b| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() });
    digits(label, false) || label.strip_prefix("0x").is_some_and(|rest| digits(rest, true))
}

/// Whether a decoded label is one that cannot be taken for another: letters and digits in their plain form, and no ASCII
/// letters among those of the scripts that have twins of them. Stricter than IDNA 2008; dev servers live with it.
fn is_plain(label: &str) -> bool {
    let twins =
        label.chars().any(|c| matches!(c, '\u{370}'..='\u{52f}')) && label.chars().any(|c| c.is_ascii_lowercase());
    let plain = |c: char| (c.is_alphanumeric() || c == '-') && c.to_lowercase().eq([c]) && !is_compatibility_form(c);
    !label.is_ascii() && !twins && label.chars().all(plain)
}

/// Characters that Unicode has for the sake of older encodings, which are shown like others: wide letters, ligatures.
fn is_compatibility_form(c: char) -> bool {
    matches!(c,
        '\u{2000}'..='\u{2bff}' | '\u{3130}'..='\u{33ff}' | '\u{f900}'..='\u{ffff}' | '\u{1d400}'..='\u{1f9ff}'
        | '\u{2f800}'..='\u{2fa1f}')
}

/// Decodes what follows `xn--` (RFC 3492, section 6.2; the numbers are those of its section 5).
fn punycode(encoded: &str) -> Option<String> {
    let (basic, deltas) = encoded.rsplit_once('-').unwrap_or(("", encoded));
    let mut decoded: Vec<char> = basic.chars().collect();
    let (mut code, mut at, mut bias) = (128_u32, 0_u32, 72_u32);
    let mut digits = deltas.bytes().peekable();
    while digits.peek().is_some() {
        let (before, mut weight, mut k) = (at, 1_u32, 36_u32);
        loop {
            let digit = match digits.next()? {
                letter @ b'a'..=b'z' => letter - b'a',
                number @ b'0'..=b'9' => number - b'0' + 26,
                _ => return None,
            };
            let digit = u32::from(digit);
            at = at.checked_add(digit.checked_mul(weight)?)?;
            let threshold = k.saturating_sub(bias).clamp(1, 26);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(36 - threshold)?;
            k += 36;
        }
        let count = u32::try_from(decoded.len()).ok()?.checked_add(1)?;
        bias = adapted(at - before, count, before == 0);
        code = code.checked_add(at / count)?;
        at %= count;
        decoded.insert(usize::try_from(at).ok()?, char::from_u32(code)?);
        at += 1;
    }
    Some(decoded.into_iter().collect())
}

fn adapted(delta: u32, count: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / count;
    let mut k = 0;
    while delta > 35 * 26 / 2 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_be_written() {
        let suffixes = ["mastra.local".to_owned()];
        for (given, kept) in [
            ("shop.localhost", "shop.localhost"),
            ("Shop.TEST", "shop.test"),
            ("a.b.internal", "a.b.internal"),
            ("shop.mastra.local", "shop.mastra.local"),
            ("1.2.3.4.localhost", "1.2.3.4.localhost"),
            ("xn--mnchen-3ya.localhost", "xn--mnchen-3ya.localhost"),
            ("xn--n3h-a.test", ""),
            ("xn--e1afmkfd.test", "xn--e1afmkfd.test"),
            ("xn--fiqs8s.test", "xn--fiqs8s.test"),
            ("localhost", ""),
            ("mastra.local", ""),
            ("mastra.local.", ""),
            (".mastra.local", ""),
            ("shopmastra.local", ""),
            ("registry.npmjs.org", ""),
            ("wpad.test", ""),
            ("broadcasthost", ""),
            ("", ""),
            ("a b.test", ""),
            ("a\tb.test", ""),
            ("a\nb.test", ""),
            ("a#b.test", ""),
            ("a.test#", ""),
            ("a_b.test", ""),
            ("*.test", ""),
            ("-a.test", ""),
            ("a-.test", ""),
            ("a..test", ""),
            ("127.0.0.1", ""),
            ("::1", ""),
            ("ü.test", ""),
            ("xn--.test", ""),
            ("xn--abc-.test", ""),
            ("xn--abc.test-", ""),
            // A Cyrillic а among ASCII letters: "pаypal".
            ("xn--pypal-4ve.test", ""),
            // A wide "a", and a snowman.
            ("xn--3s9h.test", ""),
            ("xn--n3h.test", ""),
            ("xn--99999999999.test", ""),
        ] {
            let got = HostName::parse_ours(given, &suffixes, "ann");
            assert_eq!(got.as_ref().map_or("", HostName::as_str), kept, "{given}: {got:?}");
        }
        let label = |n| "x".repeat(n);
        assert!(HostName::parse(&format!("{}.test", label(63))).is_ok());
        assert!(HostName::parse(&format!("{}.test", label(64))).is_err());
        let long = [label(63), label(63), label(63), label(56), "test".to_owned()].join(".");
        assert_eq!(long.len(), 253);
        assert!(HostName::parse(&long).is_ok() && HostName::parse(&format!("a{long}")).is_err());
        for numeric in ["a.1", "a.0x7f", "a.0x", "1.2.3.4", "0x7f.1"] {
            assert!(
                HostName::parse_ours(numeric, &["1".into(), "0x7f".into(), "0x".into()], "ann").is_err(),
                "{numeric}"
            );
        }
    }

    #[test]
    fn what_punycode_says() {
        for (encoded, decoded) in [
            ("mnchen-3ya", Some("münchen")),
            ("e1afmkfd", Some("пример")),
            ("fiqs8s", Some("中国")),
            ("n3h", Some("☃")),
            ("pypal-4ve", Some("pаypal")),
            ("ihqwcrb4cv8a8dqg056pqjye", Some("他们为什么不说中文")),
            ("", Some("")),
            ("a", Some("\u{80}")),
            ("9", None),
        ] {
            assert_eq!(punycode(encoded).as_deref(), decoded, "{encoded}");
        }
    }

    #[test]
    fn the_machines_own_name() {
        let named = |name: &str, machine: &str| HostName::parse(name).unwrap().is_machine(machine);
        assert!(named("ann.local", "ann") && named("ann.example.test", "ann.example.test"));
        assert!(named("ann.local", "ann.example.test"));
        assert!(!named("ann.test", "ann") && !named("ben.local", "ann") && !named("ann.test", ""));
    }

    proptest::proptest! {
        #[test]
        fn no_name_breaks_a_line(name in "\\PC{0,80}|[a-z0-9.\\-\\x00-\\x2f]{0,60}\\.test") {
            if let Ok(parsed) = HostName::parse_ours(&name, &[], "ann") {
                let fit = parsed.as_str().bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
                proptest::prop_assert!(fit, "{name:?}");
                proptest::prop_assert_eq!(HostName::parse_ours(parsed.as_str(), &[], "ann"), Ok(parsed));
            }
        }

        #[test]
        fn any_label_decodes_or_not(label in "[a-z0-9-]{0,63}") {
            let _ = punycode(&label);
        }
    }
}
