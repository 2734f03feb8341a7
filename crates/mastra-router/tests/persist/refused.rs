//! What a router does not start with, and leaves as it is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use mastra_router::LocalEdgeRouter;

use crate::desk::{Desk, JOURNAL, add, deployments, entries};

#[track_caller]
fn refused(desk: &Desk, part: &str) {
    let error = LocalEdgeRouter::new(desk.config.clone()).err().unwrap();
    assert_eq!(error.code(), "FILE_ERROR", "{error}");
    assert!(error.to_string().contains(part), "no {part:?} in {error}");
}

async fn saved() -> Desk {
    let desk = Desk::new();
    let router = desk.router();
    add(&router, "first").await;
    router.close().await;
    desk
}

#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let desk = saved().await;
    let elsewhere = desk.path("elsewhere");
    fs::rename(desk.journal(), &elsewhere).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    symlink(&elsewhere, desk.journal()).unwrap();
    refused(&desk, "symbolic link");
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
    assert!(fs::symlink_metadata(desk.journal()).unwrap().is_symlink());

    // One that leads nowhere makes no file there.
    fs::remove_file(&elsewhere).unwrap();
    refused(&desk, "symbolic link");
    assert!(!elsewhere.exists());

    fs::remove_file(desk.journal()).unwrap();
    fs::remove_file(desk.state().join("routes.lock")).unwrap();
    symlink(&elsewhere, desk.state().join("routes.lock")).unwrap();
    refused(&desk, "routes.lock");
    assert!(!elsewhere.exists());
}

#[tokio::test]
async fn what_is_no_file_is_not_read() {
    let desk = saved().await;
    fs::remove_file(desk.journal()).unwrap();
    fs::create_dir(desk.journal()).unwrap();
    refused(&desk, JOURNAL);
    fs::remove_dir(desk.journal()).unwrap();
    // It would wait for somebody who writes.
    rustix::fs::mknodat(rustix::fs::CWD, desk.journal(), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    refused(&desk, "regular file");
}

#[tokio::test]
async fn a_directory_of_others() {
    let desk = Desk::new();
    let real = desk.path("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, desk.state()).unwrap();
    refused(&desk, "symbolic link");
    fs::remove_file(desk.state()).unwrap();
    assert_eq!(entries(&real).len(), 0);

    fs::write(desk.state(), "mine").unwrap();
    refused(&desk, "state");
    assert_eq!(fs::read_to_string(desk.state()).unwrap(), "mine");
    fs::remove_file(desk.state()).unwrap();

    fs::create_dir(desk.state()).unwrap();
    for mode in [0o777, 0o770, 0o1777] {
        fs::set_permissions(desk.state(), fs::Permissions::from_mode(mode)).unwrap();
        refused(&desk, "other users can write to it");
    }
    fs::set_permissions(desk.state(), fs::Permissions::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(desk.state(), Some(12_345), None).unwrap();
        refused(&desk, "it belongs to another user");
        chown(desk.state(), Some(0), None).unwrap();
    }
    assert_eq!(entries(&desk.state()).len(), 0, "nothing was made in it");

    let above = desk.state();
    let above = above.parent().unwrap();
    fs::set_permissions(above, fs::Permissions::from_mode(0o777)).unwrap();
    refused(&desk, "every user can write to it");
    fs::remove_dir(desk.state()).unwrap();
    refused(&desk, "every user can write to it");
    assert!(!desk.state().exists(), "nothing was made there");
    fs::set_permissions(above, fs::Permissions::from_mode(0o1777)).unwrap();
    drop(desk.router());
}

#[tokio::test]
async fn a_file_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let desk = saved().await;
    chown(desk.journal(), Some(12_345), None).unwrap();
    let before = fs::read(desk.journal()).unwrap();
    refused(&desk, "it belongs to another user");
    assert_eq!(fs::read(desk.journal()).unwrap(), before);
    chown(desk.journal(), Some(0), None).unwrap();
    assert_eq!(deployments(&desk.router()), ["first"]);
}

/// Root writes where it likes, so there is nothing to see for it.
#[tokio::test]
async fn a_directory_that_cannot_be_written() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let desk = saved().await;
    fs::remove_file(desk.journal()).unwrap();
    fs::set_permissions(desk.state(), fs::Permissions::from_mode(0o500)).unwrap();
    refused(&desk, JOURNAL);
    fs::set_permissions(desk.state(), fs::Permissions::from_mode(0o700)).unwrap();
}
