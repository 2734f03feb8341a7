//! Where browsers keep their databases.

use std::path::{Path, PathBuf};

use super::machine::{Machine, Platform};
use super::nss::Database;

/// Programs whose database is the one in the home, and which may not have made it yet.
const CHROMES: [&str; 10] = [
    "google-chrome",
    "google-chrome-stable",
    "google-chrome-beta",
    "chrome",
    "chromium",
    "chromium-browser",
    "brave-browser",
    "microsoft-edge",
    "microsoft-edge-stable",
    "vivaldi",
];

/// Directories of Firefox profiles, below the home.
const FIREFOX: [&str; 3] =
    [".mozilla/firefox", "snap/firefox/common/.mozilla/firefox", ".var/app/org.mozilla.firefox/.mozilla/firefox"];

/// Databases of Chromium in a snap or a flatpak, below the home, with the name they are shown by.
const CONFINED: [(&str, &str); 5] = [
    ("Chromium (snap)", "snap/chromium/current/.pki/nssdb"),
    ("Chromium (flatpak)", ".var/app/org.chromium.Chromium/.pki/nssdb"),
    ("Chromium (flatpak)", ".var/app/org.chromium.Chromium/data/pki/nssdb"),
    ("Chrome (flatpak)", ".var/app/com.google.Chrome/.pki/nssdb"),
    ("Chrome (flatpak)", ".var/app/com.google.Chrome/data/pki/nssdb"),
];

/// Every database of the user's browsers, and the one that Chrome would read where it has none yet.
pub(super) fn databases(machine: &Machine) -> Vec<Database> {
    let mut found = Vec::new();
    if machine.platform == Platform::MacOs {
        profiles(machine, &machine.home.join("Library/Application Support/Firefox/Profiles"), &mut found);
        return found;
    }
    chrome(machine, &mut found);
    for (name, directory) in CONFINED {
        let directory = machine.home.join(directory);
        if is_database(&directory) {
            found.push(Database { machine: machine.clone(), name: name.to_owned(), directory });
        }
    }
    for directory in FIREFOX {
        profiles(machine, &machine.home.join(directory), &mut found);
    }
    profiles(machine, &machine.config_home.join("mozilla/firefox"), &mut found);
    found
}

/// Chrome reads `~/.pki/nssdb` where that directory is there, else its newer place, which it makes by itself. Where neither
/// is there yet, the old one is what both new and old versions read.
fn chrome(machine: &Machine, found: &mut Vec<Database>) {
    let (old, new) = (machine.home.join(".pki/nssdb"), machine.data_home.join("pki/nssdb"));
    let installed = CHROMES.iter().any(|name| machine.program(name).is_some());
    let mut places: Vec<PathBuf> = [&old, &new].into_iter().filter(|place| is_database(place)).cloned().collect();
    let read = if old.is_dir() || !new.is_dir() { old } else { new };
    if installed && !places.contains(&read) {
        places.push(read);
    }
    found.extend(places.into_iter().map(|directory| {
        let shown = match directory.strip_prefix(&machine.home) {
            Ok(below) => Path::new("~").join(below),
            Err(_) => directory.clone(),
        };
        Database { machine: machine.clone(), name: format!("Chrome {}", shown.display()), directory }
    }));
}

/// The profiles in a directory of Firefox; a profile's directory is called `<random>.<name>`.
fn profiles(machine: &Machine, directory: &Path, found: &mut Vec<Database>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| is_database(path));
    paths.sort();
    found.extend(paths.into_iter().map(|directory| {
        let file = directory.file_name().unwrap_or_default().to_string_lossy();
        let profile = file.split_once('.').map_or(&*file, |(_, name)| name);
        let confined = |part: &str, name| directory.components().any(|c| c.as_os_str() == part).then_some(name);
        let how = confined("snap", " (snap)").or_else(|| confined(".var", " (flatpak)")).unwrap_or_default();
        Database { machine: machine.clone(), name: format!("Firefox {profile}{how}"), directory }
    }));
}

fn is_database(directory: &Path) -> bool {
    ["cert9.db", "cert8.db"].iter().any(|file| directory.join(file).is_file())
}
