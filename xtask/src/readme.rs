//! The console examples of README.md, run as a reader would.
//!
//! ```` ```console ```` blocks run in order in one shell. `$ ` starts a command, `> ` continues it,
//! `? N` says its exit status where it is not 0, and what follows is what it prints; `...` stands
//! for anything. `$ mastra-router serve &` runs on while the later commands do. Blocks marked
//! ```` ```console no-run ```` are left out, and a block marked `file=NAME` is written to that file.
//! The README says port 3000; the run takes a free one, so that nothing collides.
use crate::failure::Failure;
use crate::terminal;
use crate::workspace::Workspace;

mod block;
mod matcher;
mod session;

use block::Block;
use session::Session;

/// Runs every example and compares what it prints.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let path = workspace.path("README.md");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::failed(format!("README.md: {error}")))?;
    let blocks = block::parse(&text).map_err(Failure::failed)?;
    let mut session = Session::start(&workspace.release_binary(), &workspace.scratch("readme")?)?;
    let (mut right, mut wrong) = (0, 0);
    for block in &blocks {
        match block {
            Block::File { name, content } => session.write_file(name, content)?,
            Block::Console(commands) => {
                for command in commands {
                    match session.run(command) {
                        Ok(()) => right += 1,
                        Err(why) => {
                            wrong += 1;
                            terminal::line(&format!("README.md:{}: $ {}\n{why}", command.line, command.text));
                        }
                    }
                }
            }
        }
    }
    terminal::line(&format!("README.md: {right} examples as printed, {wrong} not"));
    if wrong > 0 { Err(Failure::failed(format!("{wrong} of the README's examples differ"))) } else { Ok(()) }
}
