//! The manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::router::Desk;

/// The subcommands that `--help` lists for a command, and theirs.
fn commands(desk: &Desk, path: &[&str], found: &mut BTreeSet<String>) {
    found.insert(format!("{}.1", [&["mastra-router"], path].concat().join("-")));
    let help = desk.run([path, &["--help"]].concat()).ok().stdout;
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    for name in lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
        if !name.is_empty() && name != "help" {
            commands(desk, &[path, &[name]].concat(), found);
        }
    }
}

/// What groff has against a page; nothing where there is no groff.
fn complaints(page: &Path) -> String {
    match Command::new("groff").args(["-ww", "-man", "-Tascii"]).arg(page).output() {
        Ok(ran) => {
            assert!(ran.status.success(), "{}", page.display());
            String::from_utf8(ran.stderr).unwrap()
        }
        Err(_) => String::new(),
    }
}

#[test]
fn every_command_has_a_page() {
    let desk = Desk::new();
    // Made where it is not there, and its parents.
    let dir = desk.path("share/man/man1");
    let ran = desk.run(["man", "--dir", dir.to_str().unwrap()]).ok();
    let mut expected = BTreeSet::new();
    commands(&desk, &[], &mut expected);
    assert!(expected.len() > 40, "{expected:?}");
    let written: BTreeSet<String> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(written, expected);
    assert!(ran.stderr.starts_with(&format!("{} pages", expected.len())), "{ran:?}");
    for name in &written {
        let page = dir.join(name);
        let text = fs::read_to_string(&page).unwrap();
        let title = name.strip_suffix(".1").unwrap();
        assert!(text.contains(&format!(".TH {title} 1 ")), "{name}: {text}");
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"] {
            assert!(text.contains(&format!(".SH {heading}\n")), "no {heading} in {name}");
        }
        assert_eq!(text.matches(".nf\n").count() - text.matches(".SH NOTES\n").count(), 0, "{name}");
        assert_eq!(complaints(&page), "", "{name}");
    }
    // As often as one likes.
    desk.run(["man", "--dir", dir.to_str().unwrap()]).ok();
    assert!(!desk.home().exists());
}

#[test]
fn the_page_of_the_command_is_printed() {
    let desk = Desk::new();
    let page = desk.run(["man"]).ok();
    assert_eq!(page.stderr, "");
    for part in [".TH mastra-router 1 ", "MASTRA_ROUTER_HOME ", "Exit codes: 0 done", "mastra\\-router\\-open(1)"] {
        assert!(page.stdout.contains(part), "no {part}: {}", page.stdout);
    }
    assert!(!page.stdout.contains("help(1)") && !page.stdout.contains("hold(1)"), "{}", page.stdout);
    assert_eq!(complaints(&desk.write("page.1", &page.stdout)), "");
}

#[test]
fn a_directory_that_cannot_be_written() {
    let desk = Desk::new();
    desk.write("file", "");
    desk.run(["man", "--dir", "file"]).failed(1, "FILE_ERROR", &["cannot write in file"]);
    if rustix::process::geteuid().is_root() {
        return;
    }
    fs::create_dir(desk.path("closed")).unwrap();
    fs::set_permissions(desk.path("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    desk.run(["man", "--dir", "closed"]).failed(1, "FILE_ERROR", &["cannot write in closed"]);
}
