//! `mastra-router.toml`, as far as it says what the servers of a project are: `[run]` and `[apps.<name>]`.

mod app;
mod branch;
mod order;
mod schema;
mod tables;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(crate) use self::app::{App, AppCommand};
pub(crate) use self::branch::{BranchTemplate, label};
pub(crate) use self::order::ordered;
pub(crate) use self::schema::{SCHEMA, SCHEMA_URL};
pub(crate) use self::tables::{AppTables, RunTable};
use crate::config::ConfigFile;
use crate::failure::Failure;
use crate::repository::up_to_root_or_top;

/// What the file is called.
pub(crate) const FILE_NAME: &str = "mastra-router.toml";

/// A file that was read.
#[derive(Debug)]
pub(crate) struct ProjectFile {
    /// The directory it is in.
    pub(crate) root: PathBuf,
    /// `[run] name`.
    pub(crate) name: Option<String>,
    pub(crate) branch: BranchTemplate,
    pub(crate) apps: Vec<App>,
}

impl ProjectFile {
    /// The [`nearest`] file, read.
    ///
    /// # Errors
    /// Where there is one that is not valid.
    pub(crate) fn above(dir: &Path) -> Result<Option<Self>, Failure> {
        nearest(dir).map(|path| Self::read(&path)).transpose()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A failure that names the file and the place in it.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let (file, source) = ConfigFile::parse(path, "mastra-router up FILE")?;
        let root = path.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let apps = app::read(file.apps, &root, &source)?;
        let (name, branch) = branch::read(file.run, &source)?;
        Ok(Self { root, name, branch, apps })
    }

    /// What a server in `dir` is called: as `[run]` says, else as the one app that is run there.
    pub(crate) fn name_in(&self, dir: &Path) -> Option<&str> {
        if self.name.is_some() {
            return self.name.as_deref();
        }
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let mut there = self.apps.iter().filter(|app| app.dir == dir);
        there.next().filter(|_| there.next().is_none()).map(|app| app.name.as_str())
    }
}

/// The nearest file of `dir` and the directories above it, up to the root of the git repository. Commands are run as it says:
/// above the directory that was chosen, a file of somebody else's is not heeded.
pub(crate) fn nearest(dir: &Path) -> Option<PathBuf> {
    let mut files = up_to_root_or_top(dir).map(|above| above.join(FILE_NAME)).enumerate();
    files.find(|(steps, path)| path.is_file() && (*steps == 0 || is_ours(path))).map(|(_, path)| path)
}

/// Whether a file is of this user or of root.
pub(crate) fn is_ours(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    path.metadata().is_ok_and(|found| found.uid() == own || found.uid() == 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(text: &str) -> Result<ProjectFile, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("web")).unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, text).unwrap();
        ProjectFile::read(&path).map_err(|f| {
            let message = f.message.replace(&format!("{}/", dir.path().display()), "");
            format!("{} {message} ({})", f.code, f.hint.unwrap_or_default())
        })
    }

    #[test]
    fn every_key() {
        let file = read(
            "listen = \"127.0.0.1:0\"\n[run]\nname = \"shop\"\nbranch = \"{name}-{branch}\"\n\
             [apps.web]\ncommand = \"npm run dev\"\ndir = \"web\"\nport = 4000\nhealth = \"/up\"\ndepends_on = [\"api\"]\nwake = true\nidle = \"90s\"\n\
             [apps.web.env]\nA = \"x\"\nB = 1\nC = true\n\
             [apps.api]\ncommand = [\"node\", \"a b.js\"]\nname = \"shop\"\npath_prefix = \"/api\"\nstrip_prefix = false\n",
        )
        .unwrap();
        assert_eq!(file.name.as_deref(), Some("shop"));
        let [web, api] = &file.apps[..] else { panic!("two apps") };
        assert_eq!(
            (web.key.as_str(), web.port, web.health.as_deref(), web.wake, web.idle),
            ("web", Some(4000), Some("/up"), true, Some(Duration::from_secs(90)))
        );
        assert_eq!((api.wake, api.idle), (false, Some(Duration::from_secs(15 * 60))));
        assert_eq!(read("[apps.x]\ncommand = \"x\"\nidle = \"never\"\n").unwrap().apps[0].idle, None);
        assert!(web.dir.ends_with("web") && api.dir == file.root);
        assert_eq!(web.env, [("A", "x"), ("B", "1"), ("C", "true")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(api.command, AppCommand::Words(vec!["node".to_owned(), "a b.js".to_owned()]));
        assert_eq!(
            (api.name.as_str(), api.path_prefix.as_deref(), api.strip_prefix),
            ("shop", Some("/api"), Some(false))
        );
        assert_eq!(web.url_variable(), "WEB_URL");
        let [needed] = &web.depends_on[..] else { panic!("one app") };
        assert!(needed.key == "api" && needed.place.ends_with(":10:15"), "{needed:?}");
    }

    #[test]
    fn mistakes_have_their_place() {
        let app = "[apps.web]\ncommand = \"x\"\n";
        for (text, parts) in [
            ("[apps.web]\ncomand = \"x\"\n", &["toml:2:1", "unknown field `comand`", "did you mean \"command\"?"][..]),
            ("[aps.web]\ncommand = \"x\"\n", &["toml:1:2", "did you mean \"apps\"?"]),
            ("[run]\nnam = \"x\"\n", &["toml:2:1", "did you mean \"name\"?"]),
            ("[apps.web]\ndir = \"web\"\n", &["toml:1:1", "command"]),
            ("[apps.web]\ncommand = 1\n", &["toml:2:11", "command: it takes a command"]),
            ("[apps.web]\ncommand = \"  \"\n", &["toml:2:11", "nothing to run"]),
            ("[apps.web]\ncommand = []\n", &["toml:2:11", "nothing to run"]),
            ("[apps.a_b]\ncommand = \"x\"\n", &["INVALID_NAME", "toml:1:1", "use \"a-b\""]),
            (&format!("{app}name = \"a b\"\n"), &["INVALID_NAME", "toml:3:8"]),
            (&format!("{app}dir = \"nowhere\"\n"), &["toml:3:7", "nowhere is no directory"]),
            (&format!("{app}port = 70000\n"), &["toml:3:8", "port"]),
            (&format!("{app}port = 0\n"), &["toml:3:8", "from 1 to 65535"]),
            (&format!("{app}health = \"up\"\n"), &["INVALID_FIELD", "toml:3:10"]),
            (&format!("{app}path_prefix = \"/..\"\n"), &["INVALID_FIELD", "toml:3:15"]),
            (&format!("{app}depends_on = \"api\"\n"), &["toml:3:14"]),
            (&format!("{app}env = {{ A = [] }}\n"), &["toml:3:"]),
            (&format!("{app}env = {{ \"A=B\" = \"x\" }}\n"), &["toml:3:9", "cannot be a variable"]),
            (&format!("{app}wake = \"yes\"\n"), &["toml:3:8"]),
            (&format!("{app}wake = true\nidle = \"soon\"\n"), &["toml:4:8", "idle: it takes a time"]),
            (&format!("{app}idle = 15\n"), &["toml:3:8", "idle"]),
            (&format!("{app}port = 9\n[apps.b]\ncommand = \"x\"\nport = 9\n"), &["toml:4:1", "web has port 9"]),
            (&format!("{app}[apps.b]\ncommand = \"x\"\nname = \"web\"\n"), &["toml:3:1", "apps.web"]),
            (&format!("{app}[apps.b-c]\ncommand = \"x\"\n[apps.\"b.c\"]\ncommand = \"x\"\n"), &["variable"]),
            ("[run]\nname = \"a b\"\n", &["INVALID_NAME", "toml:2:8"]),
            ("[run]\nbranch = \"{branch}\"\n", &["toml:2:10", "{name}"]),
            ("[run]\nbranch = \"{brunch}.{name}\"\n", &["toml:2:10", "{brunch}"]),
        ] {
            let said = read(text).unwrap_err();
            for part in parts {
                assert!(said.contains(part), "no {part} for {text:?}: {said}");
            }
        }
    }

    #[test]
    fn the_nearest_file_up_to_the_repository() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("repo/.git")).unwrap();
        std::fs::create_dir_all(path("repo/web/src")).unwrap();
        std::fs::write(path(FILE_NAME), "[run]\nname = \"above\"\n").unwrap();
        let name = |dir: &str| ProjectFile::above(&path(dir)).unwrap().and_then(|file| file.name);
        assert_eq!(name("repo/web/src"), None, "what is above the repository is another's");
        std::fs::write(path("repo").join(FILE_NAME), "[run]\nname = \"repo\"\n").unwrap();
        assert_eq!(name("repo/web/src").as_deref(), Some("repo"));
        std::fs::write(path("repo/web").join(FILE_NAME), "[run]\nname = \"web\"\n").unwrap();
        assert_eq!(name("repo/web/src").as_deref(), Some("web"));
        assert_eq!(name("repo").as_deref(), Some("repo"));
        std::fs::write(path("repo/web").join(FILE_NAME), "[").unwrap();
        assert!(ProjectFile::above(&path("repo/web")).is_err());
    }
}
