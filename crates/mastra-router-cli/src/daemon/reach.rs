//! The router that a command talks to: the one that runs, or one that is started for it.

use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

use mastra_router::Home;
use mastra_router::control::ControlClient;
use tokio::net::UnixStream;

use super::door;
use super::spawn::{self, Found};
use crate::failure::Failure;
use crate::output::Output;

/// When a router that a command started ends, unless `MASTRA_ROUTER_IDLE_EXIT` says otherwise.
const IDLE_EXIT: &str = "10m";
/// How long a router that has the home, and does not answer yet, is waited for.
const ANSWER_MOST: Duration = Duration::from_secs(20);

/// How a command comes to its router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'r> {
    pub(crate) home: &'r Home,
    /// Whether one is started where none runs.
    pub(crate) may_start: bool,
    pub(crate) output: &'r Output,
}

impl<'r> Reach<'r> {
    pub(crate) fn new(home: &'r Home, no_start: bool, output: &'r Output) -> Self {
        let forbidden = std::env::var_os("MASTRA_ROUTER_NO_START").is_some_and(|v| !v.is_empty() && v != "0");
        Self { home, may_start: !(no_start || forbidden), output }
    }

    /// A client of the router, which runs when this returns.
    ///
    /// # Errors
    /// That of the start; where none is to be started, [`Unreachable`](mastra_router::RouterError::Unreachable).
    pub(crate) async fn client(&self) -> Result<ControlClient, Failure> {
        // A command may make several calls, and a router may be replaced between two.
        Ok(self.find().await?.with_patience(ANSWER_MOST))
    }

    async fn find(&self) -> Result<ControlClient, Failure> {
        let error = match ControlClient::connect(self.home).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        if !self.may_start {
            return self.client_in_a_moment().await.ok_or_else(|| error.into());
        }
        let idle_exit = idle_exit()?;
        match spawn::find_or_start(self.home, || self.command(&idle_exit), self.output).await? {
            Found::Started(ready) => {
                self.output.say(&format!("started the router (pid {}), {}", ready.pid, ready.url));
            }
            Found::Running(_) => {}
        }
        Ok(ControlClient::new(self.home))
    }

    /// Where one router takes another's place, the control socket is closed for a moment, but the door is open.
    async fn client_in_a_moment(&self) -> Option<ControlClient> {
        let began = Instant::now();
        while began.elapsed() < ANSWER_MOST {
            // Any other error, such as a reset, comes of a door that was there a moment ago.
            if let Err(error) = UnixStream::connect(door::path(self.home)).await
                && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            if let Ok(client) = ControlClient::connect(self.home).await {
                return Some(client);
            }
        }
        // Between the two looks at a door that changed hands, all may have come to an end.
        ControlClient::connect(self.home).await.ok()
    }

    /// A client of the router that takes the place of the one with this pid; `None` where that one just ends.
    pub(crate) async fn successor(&self, pid: u32) -> Option<ControlClient> {
        let client = match ControlClient::connect(self.home).await {
            Ok(client) => client,
            Err(_) => self.client_in_a_moment().await?,
        };
        // While it ends, one that makes no room for another goes on to answer.
        client.status().await.is_ok_and(|router| router.pid != pid).then_some(client)
    }

    /// The command line of a router for all projects: what was saved, and the user's own file, count; that of the project in
    /// whose directory it happens to be started does not.
    fn command(&self, idle_exit: &str) -> std::io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--home").arg(self.home.path());
        command.args(["serve", "--background=command", "--no-project-file", &format!("--idle-exit={idle_exit}")]);
        Ok(command)
    }
}

/// When the router that is started is to end by itself.
fn idle_exit() -> Result<String, Failure> {
    let Some(text) = std::env::var("MASTRA_ROUTER_IDLE_EXIT").ok().filter(|text| !text.is_empty()) else {
        return Ok(IDLE_EXIT.to_owned());
    };
    match crate::cli::idle_exit(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let hint = Some("set it to 10m, or never".to_owned());
            Err(Failure::usage("USAGE", format!("MASTRA_ROUTER_IDLE_EXIT={text}: {error}"), hint))
        }
    }
}
