//! Which apps are started, and after which others.

use std::collections::HashMap;

use super::app::App;
use crate::config::nearest;
use crate::failure::{Exit, Failure};

/// These apps with what they depend on, each after those; all of them where none is named.
///
/// # Errors
/// `UNKNOWN_APP` and `DEPENDENCY_CYCLE`.
pub(crate) fn ordered(apps: Vec<App>, wanted: &[String]) -> Result<Vec<App>, Failure> {
    let at: HashMap<&str, usize> = apps.iter().enumerate().map(|(at, app)| (app.key.as_str(), at)).collect();
    let find = |key: &str| at.get(key).copied().ok_or_else(|| unknown(key, &apps));
    // Everything that is written is looked at, whatever is to be started.
    let mut edges: Vec<Vec<usize>> = Vec::new();
    for app in &apps {
        let needed = app.depends_on.iter().map(|needed| {
            find(&needed.key).map_err(|mut failure| {
                failure.message = format!("{}: apps.{}: depends_on: {}", needed.place, app.key, failure.message);
                failure
            })
        });
        edges.push(needed.collect::<Result<_, _>>()?);
    }
    let mut walk = Walk { apps: &apps, edges: &edges, marks: vec![Mark::New; apps.len()], order: Vec::new() };
    for start in 0..apps.len() {
        walk.visit(start, &mut Vec::new())?;
    }
    let mut order = walk.order;
    if !wanted.is_empty() {
        let mut walk = Walk { apps: &apps, edges: &edges, marks: vec![Mark::New; apps.len()], order: Vec::new() };
        for key in wanted {
            let start = find(key).map_err(|failure| Failure { exit: Exit::NotFound, ..failure })?;
            walk.visit(start, &mut Vec::new())?;
        }
        order = walk.order;
    }
    let mut apps: Vec<Option<App>> = apps.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| apps.get_mut(at)?.take()).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

struct Walk<'a> {
    apps: &'a [App],
    edges: &'a [Vec<usize>],
    marks: Vec<Mark>,
    order: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, at: usize, path: &mut Vec<usize>) -> Result<(), Failure> {
        let key = |at: &usize| self.apps.get(*at).map_or("", |app| app.key.as_str());
        match self.marks.get(at) {
            Some(Mark::New) => {}
            Some(Mark::Open) => {
                let begin = path.iter().position(|other| *other == at).unwrap_or_default();
                // The last edge of it, or of one app that waits for itself the only one.
                let last = path.last().and_then(|last| self.apps.get(*last));
                let closing = last.and_then(|app| app.depends_on.iter().find(|needed| needed.key == key(&at)));
                let place = closing.map(|needed| format!("{}: ", needed.place)).unwrap_or_default();
                let circle = path.iter().skip(begin).chain([&at]).map(key).collect::<Vec<_>>().join(" → ");
                return Err(Failure::usage(
                    "DEPENDENCY_CYCLE",
                    format!("{place}these apps wait for each other: {circle}"),
                    Some(format!(
                        "take one of them out of a depends_on, such as that of apps.{}",
                        last.map_or("", |app| &app.key)
                    )),
                ));
            }
            Some(Mark::Done) | None => return Ok(()),
        }
        self.mark(at, Mark::Open);
        path.push(at);
        for next in self.edges.get(at).into_iter().flatten() {
            self.visit(*next, path)?;
        }
        path.pop();
        self.mark(at, Mark::Done);
        self.order.push(at);
        Ok(())
    }

    fn mark(&mut self, at: usize, mark: Mark) {
        if let Some(slot) = self.marks.get_mut(at) {
            *slot = mark;
        }
    }
}

fn unknown(key: &str, apps: &[App]) -> Failure {
    let hint = match nearest(key, apps.iter().map(|app| app.key.as_str())) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("there are {}", apps.iter().map(|app| app.key.as_str()).collect::<Vec<_>>().join(", ")),
    };
    Failure::usage("UNKNOWN_APP", format!("there is no app {key:?}"), Some(hint))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::app::{AppCommand, Dependency};
    use super::*;

    fn apps(text: &str) -> Vec<App> {
        let app = |line: &str| {
            let (key, needs) = line.split_once(':').unwrap();
            let dependency = |need: &str| Dependency { key: need.to_owned(), place: format!("{key}→{need}") };
            let depends_on = needs.split_whitespace().map(dependency).collect();
            let app = App::new(key.to_owned(), AppCommand::Shell("true".to_owned()), PathBuf::new());
            App { depends_on, ..app }
        };
        text.split(',').map(app).collect()
    }

    fn order(text: &str, wanted: &[&str]) -> Result<String, String> {
        let wanted: Vec<String> = wanted.iter().map(|key| (*key).to_owned()).collect();
        let ordered = ordered(apps(text), &wanted).map_err(|f| format!("{} {} {:?}", f.code, f.message, f.hint))?;
        Ok(ordered.iter().map(|app| app.key.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_is_needed_comes_first() {
        let shop = "web:api,api:db cache,db:,cache:,other:";
        assert_eq!(order(shop, &[]).unwrap(), "db cache api web other");
        assert_eq!(order(shop, &["api"]).unwrap(), "db cache api");
        assert_eq!(order(shop, &["other", "db", "other"]).unwrap(), "other db");
    }

    #[test]
    fn mistakes_are_named() {
        let said = order("a:b,b:c,c:a,d:", &["d"]).unwrap_err();
        assert!(said.starts_with("DEPENDENCY_CYCLE c→a: ") && said.contains("a → b → c → a"), "{said}");
        assert!(said.contains("that of apps.c"), "{said}");
        assert!(order("x:a,a:a", &[]).unwrap_err().contains("CYCLE a→a: these apps wait for each other: a → a"));
        let said = order("web:apii,api:", &[]).unwrap_err();
        assert!(
            said.starts_with("UNKNOWN_APP web→apii: apps.web: depends_on: ")
                && said.contains("did you mean \\\"api\\\"?"),
            "{said}"
        );
        let said = order("web:,api:", &["zzz"]).unwrap_err();
        assert!(said.starts_with("UNKNOWN_APP there is no app") && said.contains("there are web, api"), "{said}");
    }
}
