//! A file that is not as it was written: what was whole is used, and what is not is kept.

use std::fs;

use mastra_router::LocalEdgeRouter;

use crate::desk::{Desk, JOURNAL, add, deployments, entries};

/// The file of a router with three routes, of which one was removed.
async fn sample() -> Vec<u8> {
    let desk = Desk::new();
    let router = desk.router();
    for name in ["first", "second", "third"] {
        add(&router, name).await;
    }
    mastra_router::EdgeRouterProvider::remove_route(&router, "second").await.unwrap();
    router.close().await;
    fs::read(desk.journal()).unwrap()
}

fn write(desk: &Desk, bytes: &[u8]) {
    fs::create_dir_all(desk.state()).unwrap();
    fs::write(desk.journal(), bytes).unwrap();
}

/// The state is one that goes on as if nothing had been.
async fn goes_on(desk: &Desk, router: LocalEdgeRouter) {
    let before = deployments(&router);
    add(&router, "new").await;
    router.close().await;
    let router = desk.router();
    assert_eq!(router.warnings(), [""; 0], "it is said once");
    assert_eq!(deployments(&router), [&before[..], &["new".to_owned()]].concat());
    router.close().await;
}

#[tokio::test]
async fn a_write_cut_off_at_any_byte_is_as_if_it_had_not_been() {
    let file = sample().await;
    let ends: Vec<usize> = file.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    let states: [&[&str]; 5] =
        [&[], &["first"], &["first", "second"], &["first", "second", "third"], &["first", "third"]];
    assert_eq!(ends.len(), 5);
    for length in 0..=file.len() {
        let desk = Desk::new();
        write(&desk, &file[..length]);
        let router = desk.router();
        // A file has its first line before it has its name.
        let Some(last) = ends.iter().rposition(|end| *end <= length) else {
            assert_eq!(deployments(&router), [""; 0]);
            assert_eq!((router.warnings().len(), desk.aside().len()), (1, 1), "{length}");
            continue;
        };
        assert_eq!(deployments(&router), states[last], "{length}");
        assert_eq!((router.warnings().len(), desk.aside().len()), (0, 0), "{length}");
        if length % 16 == 0 {
            goes_on(&desk, router).await;
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_kept_and_named() {
    let file = sample().await;
    let text = String::from_utf8(file.clone()).unwrap();
    let mut middle = file.clone();
    let at = file.len() / 2;
    middle[at] ^= 1;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (what, bytes, kind) in [
        ("empty", Vec::new(), "corrupt"),
        ("garbage", (0..4000_u32).map(|i| (i * 7 % 251) as u8).collect(), "corrupt"),
        ("zeros", vec![0; 4096], "corrupt"),
        ("another program's", b"{\"routes\": []}\n".to_vec(), "corrupt"),
        ("a changed byte in its middle", middle, "corrupt"),
        ("a line that was edited", text.replace("\"second\"", "\"sec0nd\"").into_bytes(), "corrupt"),
        ("a line too much", [lines[0], "\n", lines[1]].concat().into_bytes(), "corrupt"),
        ("without its first line", lines[1..].concat().into_bytes(), "corrupt"),
        ("newer", text.replacen("\"version\":3", "\"version\":4", 1).into_bytes(), "newer"),
        ("much newer", b"{\"format\":\"mastra-router routes\",\"version\":99,\"x\":[]}\n\x00\x01".to_vec(), "newer"),
    ] {
        let desk = Desk::new();
        write(&desk, &bytes);
        let router = desk.router();
        assert_eq!(deployments(&router), [""; 0], "{what}");
        let aside = desk.aside();
        assert_eq!(aside.len(), 1, "{what}");
        assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "{what}");
        let name = aside[0].display().to_string();
        assert!(name.contains(&format!("{JOURNAL}.{kind}-")), "{what}: {name}");
        assert_eq!(router.warnings().len(), 1, "{what}");
        assert!(router.warnings()[0].contains(&name), "{what}: {:?}", router.warnings());
        goes_on(&desk, router).await;
        assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "{what}: it stays as it is");
    }
}

#[tokio::test]
async fn a_damaged_last_line_costs_nothing_but_itself() {
    let file = sample().await;
    let last = file[..file.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for at in [last, last + 5, last + 14, file.len() - 2] {
        let desk = Desk::new();
        let mut bytes = file.clone();
        bytes[at] ^= 1;
        write(&desk, &bytes);
        let router = desk.router();
        assert_eq!(deployments(&router), ["first", "second", "third"], "{at}");
        let aside = desk.aside();
        assert_eq!(aside.len(), 1, "{at}");
        assert!(router.warnings()[0].contains(aside[0].to_str().unwrap()));
        goes_on(&desk, router).await;
        assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "{at}");
    }
}

#[tokio::test]
async fn one_that_was_put_aside_is_never_written_over() {
    let desk = Desk::new();
    for turn in 1..=3 {
        write(&desk, format!("garbage {turn}").as_bytes());
        drop(desk.router());
    }
    let mut kept: Vec<String> = desk.aside().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    kept.sort();
    assert_eq!(kept, ["garbage 1", "garbage 2", "garbage 3"]);
}

#[tokio::test]
async fn what_a_killed_router_was_writing_is_no_obstacle() {
    let desk = Desk::new();
    write(&desk, &sample().await);
    fs::write(desk.state().join("routes.journal.new"), "half of a").unwrap();
    let router = desk.router();
    assert_eq!(deployments(&router), ["first", "third"]);
    goes_on(&desk, router).await;
    let names: Vec<_> = entries(&desk.state()).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["routes.journal", "routes.lock"]);
}
