//! The programs in `examples/` run to their end.

use std::process::Command;

use crate::programs::built;

#[test]
fn examples_run() {
    let home = tempfile::tempdir().unwrap();
    for (name, says) in [("seed_usage", "Server available at: http://localhost:"), ("embedded_proxy", "this is agent")]
    {
        let program = built(&["-p", "mastra-router", "--example", name]);
        let output = Command::new(program).env("HOME", home.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(says), "{name}: {said}");
    }
}
