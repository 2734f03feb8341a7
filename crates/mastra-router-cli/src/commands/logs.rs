//! `logs`: what the router in the background has logged, whether it still runs or not.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use mastra_router::Home;
use serde_json::json;

use super::Outcome;
use crate::cli::Logs;
use crate::daemon::log;
use crate::failure::Failure;
use crate::output::Output;

/// How often a log that is followed is looked at: as soon as an eye expects it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn logs(args: &Logs, home: &Home, output: &Output) -> Outcome {
    let path = log::path(home);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("there is no log in {}: no router ran in the background", home.path().display());
            let hint = Some("mastra-router start".to_owned());
            return Err(Failure { hint, ..Failure::failed("NO_LOG", message) });
        }
        Err(error) => return Err(Failure::failed("IO_ERROR", format!("cannot read {}: {error}", path.display()))),
    };
    let mut reader = BufReader::new(file.try_clone()?);
    let mut last: VecDeque<String> = VecDeque::new();
    let mut keep = |line: String| {
        last.push_back(line);
        if last.len() > args.lines {
            last.pop_front();
        }
    };
    for earlier in log::all(&path).filter(|earlier| *earlier != path) {
        let Ok(earlier) = File::open(earlier) else { continue };
        lines(&mut BufReader::new(earlier), &mut keep)?;
    }
    let mut rest = lines(&mut reader, &mut keep)?;
    last.iter().for_each(|line| show(line, output));
    if !args.follow {
        if !rest.is_empty() {
            show(&rest, output);
        }
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
        // Looked at first: what is written to the old file before a new one takes its name is read below.
        let next = newer(&path, &file);
        let mut begun = std::mem::take(&mut rest);
        let end = lines(&mut reader, |line| show(&(std::mem::take(&mut begun) + &line), output))?;
        rest = begun + &end;
        if let Some(next) = next {
            file = next;
            reader = BufReader::new(file.try_clone()?);
            rest.clear();
        }
    }
}

/// Hands over every whole line, and returns the beginning of one that is being written.
fn lines(reader: &mut impl BufRead, mut take: impl FnMut(String)) -> io::Result<String> {
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).into_owned();
        match text.strip_suffix('\n') {
            Some(whole) => take(whole.to_owned()),
            None => return Ok(text),
        }
        line.clear();
    }
    Ok(String::new())
}

/// The file of this name where it is another one than `file`.
fn newer(path: &Path, file: &File) -> Option<File> {
    let next = File::open(path).ok()?;
    (next.metadata().ok()?.ino() != file.metadata().ok()?.ino()).then_some(next)
}

fn show(line: &str, output: &Output) {
    if output.json {
        output.json(&json!({ "line": line }));
    } else {
        output.line(line);
    }
}
