//! Finding the examples in a Markdown text.

/// A fenced block that matters here, in the order of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Console(Vec<Command>),
    File { name: String, content: String },
}

/// One command of a console block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Where it stands in the text, for messages.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) background: bool,
    pub(super) status: i32,
    pub(super) expected: String,
}

/// An error names the line.
pub(super) fn parse(markdown: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((opened, line)) = lines.next() {
        let Some((fence, info)) = opening(line) else { continue };
        let mut body = Vec::new();
        loop {
            match lines.next() {
                None => return Err(format!("README.md:{}: this block never ends", opened + 1)),
                Some((_, line)) if closes(line, fence) => break,
                Some((number, line)) => body.push((number + 1, line)),
            }
        }
        let mut words = info.split_whitespace();
        let language = words.next().unwrap_or_default();
        let attributes: Vec<&str> = words.collect();
        if let Some(name) = attributes.iter().find_map(|word| word.strip_prefix("file=")) {
            let content = body.iter().map(|(_, line)| format!("{line}\n")).collect();
            blocks.push(Block::File { name: name.to_owned(), content });
        } else if language == "console" && !attributes.contains(&"no-run") {
            blocks.push(Block::Console(commands(&body)?));
        }
    }
    Ok(blocks)
}

fn commands(body: &[(usize, &str)]) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    for &(line, text) in body {
        if let Some(text) = text.strip_prefix("$ ") {
            commands.push(Command {
                line,
                text: text.to_owned(),
                background: false,
                status: 0,
                expected: String::new(),
            });
            continue;
        }
        let Some(command) = commands.last_mut() else {
            return Err(format!("README.md:{line}: a console block starts with a `$ ` command"));
        };
        let fresh = command.expected.is_empty();
        if let (true, Some(more)) = (fresh, text.strip_prefix("> ")) {
            command.text.push('\n');
            command.text.push_str(more);
        } else if let (true, Some(status)) = (fresh, text.strip_prefix("? ")) {
            command.status = status.trim().parse().map_err(|_| format!("README.md:{line}: `{text}` is no status"))?;
        } else {
            command.expected.push_str(text);
            command.expected.push('\n');
        }
    }
    for command in &mut commands {
        if let Some(text) = command.text.strip_suffix(" &") {
            command.text = text.to_owned();
            command.background = true;
        }
    }
    Ok(commands)
}

fn opening(line: &str) -> Option<(usize, &str)> {
    let line = line.trim_start();
    let ticks = line.len() - line.trim_start_matches('`').len();
    (ticks >= 3).then(|| (ticks, line[ticks..].trim()))
}

fn closes(line: &str, ticks: usize) -> bool {
    opening(line).is_some_and(|(these, info)| these >= ticks && info.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: usize, text: &str, expected: &str) -> Command {
        Command { line, text: text.into(), background: false, status: 0, expected: expected.into() }
    }

    #[test]
    fn console_blocks_become_commands() {
        let text = "# x\n```console\n$ one\nout 1\n\nout 2\n$ two \\\n> more\n? 3\n```\ntext\n```sh\n$ not this\n```\n";
        let two = Command { status: 3, ..command(7, "two \\\nmore", "") };
        assert_eq!(parse(text), Ok(vec![Block::Console(vec![command(3, "one", "out 1\n\nout 2\n"), two])]));
    }

    #[test]
    fn a_command_can_stay_in_the_background() {
        let blocks = parse("```console\n$ serve &\nready\n```");
        let serve = Command { background: true, ..command(2, "serve", "ready\n") };
        assert_eq!(blocks, Ok(vec![Block::Console(vec![serve])]));
    }

    #[test]
    fn no_run_is_left_out_and_files_are_kept() {
        let text = "```console no-run\n$ rm -rf /\n```\n```toml file=a.toml\nx = 1\n\n```\n";
        assert_eq!(parse(text), Ok(vec![Block::File { name: "a.toml".into(), content: "x = 1\n\n".into() }]));
    }

    #[test]
    fn a_longer_fence_holds_a_shorter_one() {
        assert_eq!(parse("````md\n```console\n$ x\n```\n````\n"), Ok(vec![]));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        assert_eq!(parse("\n```console\n$ x\n"), Err("README.md:2: this block never ends".into()));
        assert_eq!(
            parse("```console\nout\n```"),
            Err("README.md:2: a console block starts with a `$ ` command".into())
        );
    }
}
