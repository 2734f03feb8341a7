//! The page that a browser gets while a target does not listen, and that turns into the application by itself.

use std::fmt::Write as _;

use super::page::escaped;

/// Sent with the requests of the page's own script: they are answered as the navigation was that loaded it.
pub(super) const FIELD: &str = "x-mastra-router-page";

/// What the page may do: run the one script that it has, which asks for the page's own URL.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; \
     script-src 'sha256-L8VJ66BZAuIi5wzyIWMcyeadTC2WpXdaVjWVVDv5EcU='";

/// Asks again and again for what the page was asked for, and shows what has changed, which a reader of screens is told. Once
/// the answer is the application's, or that of another page of ours, it is loaded: with GET, since only what was a GET gets
/// this page. The refresh by the browser, which works without scripts, is called off.
const SCRIPT: &str = "\
const look = async () => {
  try {
    const headers = { Accept: 'text/html', 'X-Mastra-Router-Page': '1' };
    const answer = await fetch(location.href, { headers, cache: 'no-store', redirect: 'manual' });
    if (!answer.headers.get('X-Mastra-Router-Error')) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (!page.getElementById('said')) return location.reload();
    document.title = page.title;
    for (const id of ['said', 'wrote', 'rest']) {
      const now = document.getElementById(id), next = page.getElementById(id);
      if (now.innerHTML !== next.innerHTML) now.innerHTML = next.innerHTML;
    }
  } catch {}
  setTimeout(look, 300);
};
addEventListener('load', () => setTimeout(() => { stop(); look(); }));";

const STYLE: &str = "\
:root{color-scheme:light dark;--dim:#0009;--line:#0002;--box:#0000000a;--dot:#2563eb}\
@media(prefers-color-scheme:dark){:root{--dim:#fffa;--line:#fff3;--box:#ffffff12;--dot:#60a5fa}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:12vh auto 2rem;padding:0 1.25rem}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}\
p{margin:.5rem 0;overflow-wrap:anywhere}\
.waits h1::before{content:'';display:inline-block;width:.6em;height:.6em;margin-right:.5em;border-radius:50%;background:var(--dot);animation:beat 1.2s ease-in-out infinite alternate}\
@keyframes beat{from{opacity:.25}}\
@media(prefers-reduced-motion:reduce){.waits h1::before{animation:none}}\
h2{font-size:.875rem;font-weight:600;color:var(--dim);margin:1.75rem 0 .5rem}\
pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;margin:0;padding:.75rem 1rem;background:var(--box);border:1px solid var(--line);border-radius:8px;white-space:pre-wrap;overflow-wrap:anywhere}\
.dim{color:var(--dim)}#rest{margin-top:1.5rem}small{font-size:.8125rem}";

/// Markup that the lines may take: with it, a page stays below 20 KB.
const OUTPUT_MOST: usize = 12 * 1024;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Waits,
    Ended,
}

/// The page, with the last lines of the command's output that have room.
pub(super) fn page(title: &str, detail: &str, hint: &str, code: &str, output: &[String], tone: Tone) -> String {
    let class = if tone == Tone::Waits { "waits" } else { "ended" };
    let title = escaped(title);
    let (detail, hint, wrote) = (escaped(detail), escaped(hint), written(output));
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title} · mastra-router</title><style>{STYLE}</style>\
         <main><div id=said role=status aria-live=polite><div class={class}><h1>{title}</h1></div><p>{detail}</p></div>\
         <div id=wrote>{wrote}</div><div id=rest class=dim><p>What to do: {hint}</p>\
         <p><small>{code} · mastra-router</small></p></div></main><script>{SCRIPT}</script></html>\n"
    )
}

fn written(output: &[String]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut size = 0;
    for line in output.iter().rev().map(|line| escaped(line)) {
        size += line.len() + 1;
        if size > OUTPUT_MOST {
            break;
        }
        lines.push(line);
    }
    lines.reverse();
    let mut wrote = String::new();
    if !lines.is_empty() {
        // The first line break of a pre is none.
        let _ = write!(wrote, "<h2>Its last lines</h2><pre tabindex=0 aria-label=Output>\n{}</pre>", lines.join("\n"));
    }
    wrote
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn the_policy_names_the_script() {
        let hash = ring::digest::digest(&ring::digest::SHA256, SCRIPT.as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
        assert!(SCRIPT.to_ascii_lowercase().contains(FIELD) && !SCRIPT.contains("</"));
    }

    #[test]
    fn a_page_is_small_and_of_one_piece() {
        for line in ["\"".repeat(400), "<".repeat(400), "ü".repeat(200), String::new()] {
            let page = page(&"\"".repeat(260), &"'".repeat(400), "hint", "503", &vec![line.clone(); 20], Tone::Waits);
            assert!(page.len() < 20_000, "{} with {line}", page.len());
        }
        let hostile = ["</pre><script>alert(1)</script>".to_owned(), "&lt;".to_owned()];
        let page = page("<b>", "<i>", "<u>", "503", &hostile, Tone::Ended);
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(!["<b>", "<i>", "<u>"].iter().any(|markup| page.contains(markup)), "{page}");
        assert!(page.contains("&amp;lt;</pre>"), "{page}");
    }
}
