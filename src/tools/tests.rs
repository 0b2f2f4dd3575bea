//! The tools as the loop calls them: raw calls in, answers out, on a project in a temporary directory.

mod checks;
mod edit_cases;
mod edits;
mod hostile;
mod outside;
mod patches;
mod reading;
mod running;

use crate::path::Root;
use crate::protocol::message::Call;
use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::tools::checks::Checks;
use crate::tools::{CheckedCall, Mode, Reads, Sizes, Toolbox, Workbench};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A project, the tools, and what one session has read.
struct Shop {
    _dir: tempfile::TempDir,
    toolbox: Toolbox,
    bench: Workbench,
}

impl Shop {
    /// A project with these files, in a session.
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join("in").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(dir.path().join("in")).unwrap();
        let bench = Workbench {
            root: Root::open(&dir.path().join("in")).unwrap(),
            sizes: Sizes::FULL,
            reads: Some(Reads::default()),
            logs: dir.path().join("logs"),
            jobs: Some(Arc::default()),
            checks: Checks::Off,
            max_seconds: 20,
            cancel: CancellationToken::new(),
        };
        Self { _dir: dir, toolbox: Toolbox::builtin(), bench }
    }

    /// The same, run alone: the caller is the user.
    fn alone(files: &[(&str, &str)]) -> Self {
        let mut shop = Self::new(files);
        shop.bench.reads = None;
        shop.bench.jobs = None;
        shop
    }

    fn call(&mut self, name: &str, arguments: Value) -> ToolAnswer {
        match check(&self.toolbox, name, &arguments.to_string()) {
            Ok(call) => self.toolbox.perform(&mut self.bench, &call),
            Err(failure) => panic!("{failure:?}"),
        }
    }

    /// The text of an answer that must be a success.
    fn ok(&mut self, name: &str, arguments: Value) -> String {
        let answer = self.call(name, arguments);
        assert!(answer.ok, "{}", answer.text);
        answer.text
    }

    /// The kind and text of an answer that must be a failure.
    fn fails(&mut self, name: &str, arguments: Value) -> (String, String) {
        let answer = self.call(name, arguments);
        assert!(!answer.ok, "{}", answer.text);
        (answer.error.expect("a failure says why").kind, answer.text)
    }

    fn file(&self, path: &str) -> String {
        fs::read_to_string(self.bench.root.as_path().join(path)).unwrap()
    }
}

fn check(toolbox: &Toolbox, name: &str, arguments: &str) -> Result<CheckedCall, ToolFailure> {
    toolbox.check(&Call { id: "1".into(), name: name.into(), arguments: arguments.into() }, Mode::CommandLine)
}

/// A file of the material that lies beside the project in development and in CI.
fn shared(path: &str) -> Option<PathBuf> {
    let beside = |dir: &Path| dir.join("shared").join(path);
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1).map(beside).find(|path| path.exists())
}
