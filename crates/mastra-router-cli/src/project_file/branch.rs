//! `[run]`, and how the branch of a linked git work tree enters a name.

use mastra_router::{RouteName, suggest_name};

use super::tables::RunTable;
use crate::config::Source;
use crate::failure::Failure;
use crate::run::stable_hash;

/// Longest label of a host name.
const LABEL_MAX: usize = 63;
const BRANCH: &str = "{branch}";
const NAME: &str = "{name}";

/// What a name becomes in a linked work tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BranchTemplate(String);

impl Default for BranchTemplate {
    fn default() -> Self {
        Self(format!("{BRANCH}.{NAME}"))
    }
}

impl BranchTemplate {
    fn parse(text: &str) -> Result<Self, String> {
        let rest = text.replace(BRANCH, "").replace(NAME, "");
        if let Some(unknown) = rest.find('{').and_then(|at| rest.get(at..)) {
            let unknown = unknown.split_inclusive('}').next().unwrap_or(unknown);
            return Err(format!("{unknown} stands for nothing; {BRANCH} and {NAME} do"));
        }
        if !text.contains(NAME) {
            return Err(format!("without {NAME}, all servers of a branch would have one name"));
        }
        let plain = text.replace(BRANCH, "b").replace(NAME, "n");
        match RouteName::parse(&plain) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// `name` in a work tree with this branch: each of its labels is valid, and cut with a hash where it is too long.
    pub(crate) fn apply(&self, branch: Option<&str>, name: &str) -> String {
        let Some(branch) = branch.and_then(label) else { return name.to_owned() };
        let whole = self.0.replace(BRANCH, &branch).replace(NAME, name);
        whole.split('.').filter_map(label).collect::<Vec<_>>().join(".")
    }
}

/// The name and the template of `[run]`.
pub(super) fn read(run: RunTable, source: &Source) -> Result<(Option<String>, BranchTemplate), Failure> {
    let name = match run.name {
        None => None,
        Some(name) => {
            let parsed = RouteName::parse(name.get_ref());
            let parsed = parsed.map_err(|error| source.placed(name.span().start, error.into()))?;
            Some(parsed.as_str().to_owned())
        }
    };
    let template = match run.branch {
        None => BranchTemplate::default(),
        Some(text) => {
            let parsed = BranchTemplate::parse(text.get_ref());
            parsed.map_err(|error| source.invalid(text.span().start, &error))?
        }
    };
    Ok((name, template))
}

/// The nearest valid label. One that had to be cut ends with a hash of the whole, so that two long names stay two.
pub(crate) fn label(text: &str) -> Option<String> {
    let nearest = suggest_name(text)?;
    // A hyphen at the cut is dropped.
    if text.len() <= LABEL_MAX || nearest.len() < LABEL_MAX - 1 {
        return Some(nearest);
    }
    let hash = format!("{:08x}", stable_hash(text.as_bytes()) >> 32);
    let kept = nearest.get(..LABEL_MAX - hash.len() - 1)?.trim_end_matches('-');
    Some(format!("{kept}-{hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for (text, expected) in [
            ("shop", Some("shop")),
            ("Feature/X_y", Some("feature-x-y")),
            ("路", None),
            ("router", Some("router-app")),
            ("!".repeat(80).as_str(), None),
        ] {
            assert_eq!(label(text).as_deref(), expected, "{text}");
        }
        let (a, b) = (label(&"x".repeat(64)).unwrap(), label(&"x".repeat(65)).unwrap());
        assert!(a != b && a.len() == 63 && b.len() == 63, "{a} {b}");
        assert_eq!(label(&"x".repeat(63)).unwrap(), "x".repeat(63));
    }

    #[test]
    fn templates() {
        let apply = |template: &str, branch, name| BranchTemplate::parse(template).unwrap().apply(branch, name);
        assert_eq!(apply("{branch}.{name}", Some("fix/ui"), "shop"), "fix-ui.shop");
        assert_eq!(apply("{name}-{branch}", Some("fix/ui"), "shop"), "shop-fix-ui");
        assert_eq!(apply("{name}", Some("fix/ui"), "shop"), "shop");
        assert_eq!(apply("{name}-{branch}", None, "shop"), "shop");
        let (a, b) = ("x".repeat(60), format!("{}y", "x".repeat(60)));
        let (a, b) = (apply("{name}-{branch}", Some(&a), "shop"), apply("{name}-{branch}", Some(&b), "shop"));
        assert!(a != b && a.len() == 63 && b.len() == 63, "{a} {b}");
        for bad in ["{branch}", "", "{name}{x}", "{name", "{branch}/{name}", ".{name}", "{name} x"] {
            assert!(BranchTemplate::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_name_of_a_branch_is_valid(text in ".{0,120}", branch in ".{0,120}") {
            if let Some(name) = label(&text) {
                for template in ["{branch}.{name}", "{name}-{branch}", "x.{branch}-{name}"] {
                    let whole = BranchTemplate::parse(template).unwrap().apply(Some(&branch), &name);
                    proptest::prop_assert!(RouteName::parse(&whole).is_ok(), "{whole}");
                }
            }
        }
    }
}
