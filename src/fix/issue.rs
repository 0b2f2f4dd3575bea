//! Where the words of an issue come from: the command line, a file, standard input, or GitHub through `gh`.

use crate::fix::FixError;
use crate::sandbox::process::{Command, Line, run};
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An issue, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueText {
    pub text: String,
    /// The number or URL that it was named by.
    pub reference: Option<String>,
}

/// What `--issue` may be.
#[derive(Debug, PartialEq, Eq)]
enum Spec<'a> {
    Stdin,
    File(&'a str),
    /// A number, or a URL.
    GitHub(&'a str),
    Text(&'a str),
}

fn parse(spec: &str) -> Spec<'_> {
    let trimmed = spec.trim();
    let number = trimmed.strip_prefix('#').unwrap_or(trimmed);
    match trimmed.split_once('@') {
        _ if trimmed == "-" => Spec::Stdin,
        Some(("", file)) => Spec::File(file),
        _ if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => Spec::GitHub(number),
        _ if !trimmed.contains(char::is_whitespace) && (trimmed.starts_with("https://") || trimmed.starts_with("http://")) => {
            Spec::GitHub(trimmed)
        }
        _ => Spec::Text(spec),
    }
}

/// Resolves TEXT, `@FILE`, `-`, NUMBER or URL. A number is one of the repository that `dir` is in; only then, and for a URL, does
/// anything ask the network, through `gh`.
pub fn resolve_issue(spec: &str, dir: &Path) -> Result<IssueText, FixError> {
    let (text, reference) = match parse(spec) {
        Spec::Text(text) => (text.to_owned(), None),
        Spec::File(file) => {
            let read = std::fs::read(file).map_err(|source| FixError::Read { path: file.into(), source })?;
            (String::from_utf8_lossy(&read).into_owned(), None)
        }
        Spec::Stdin => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|source| FixError::Read { path: "-".into(), source })?;
            (String::from_utf8_lossy(&bytes).into_owned(), None)
        }
        Spec::GitHub(reference) => (from_github(reference, dir)?, Some(reference.to_owned())),
    };
    if text.trim().is_empty() { Err(FixError::EmptyIssue) } else { Ok(IssueText { text, reference }) }
}

fn from_github(reference: &str, dir: &Path) -> Result<String, FixError> {
    let failed = |reason: String| FixError::GitHub { reference: reference.to_owned(), reason };
    let argv = ["gh", "issue", "view", reference, "--json", "title,body,comments"];
    let command = Command {
        line: Line::Argv(argv.map(Into::into).to_vec()),
        dir: dir.to_owned(),
        env: vec![("GH_PROMPT_DISABLED".into(), "1".into())],
        limit: Duration::from_secs(60),
        keep: 4 << 20,
        log: None,
    };
    let done = run(&command, &CancellationToken::new()).map_err(|_| FixError::NoGh)?;
    let output = done.output.text();
    if done.timed_out {
        return Err(failed("`gh` gave no answer within a minute".into()));
    }
    if done.code != Some(0) {
        return Err(failed(output.lines().next().unwrap_or("`gh` failed").to_owned()));
    }
    // What `gh` has to say beside its answer (an update, a deprecated variable) comes in the same stream.
    let issue = output.lines().find_map(|line| serde_json::from_str(line).ok().filter(Value::is_object));
    Ok(words(&issue.ok_or_else(|| failed("`gh` answered something that is no issue".into()))?))
}

/// Puts title, body and comments one after the other, each comment under its author.
fn words(issue: &Value) -> String {
    let part = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
    let mut text = format!("{}\n\n{}", part(&issue["title"]), part(&issue["body"]));
    for comment in issue["comments"].as_array().into_iter().flatten() {
        text.push_str(&format!("\n\nComment by {}:\n{}", part(&comment["author"]["login"]), part(&comment["body"])));
    }
    text.trim().to_owned()
}

/// Names the instance that a prediction is for: `owner__name-NUMBER` where the issue has a number, else the directory's name.
/// `origin` is the repository's `owner/name`.
pub fn instance(reference: Option<&str>, origin: Option<&str>, dir_name: &str) -> String {
    let Some(reference) = reference else { return dir_name.to_owned() };
    let parts: Vec<&str> = reference.trim_end_matches('/').split('/').collect();
    match (parts.as_slice(), origin) {
        ([.., owner, name, "issues" | "pull", number], _) => format!("{owner}__{name}-{number}"),
        ([number], Some(origin)) => format!("{}-{number}", origin.replacen('/', "__", 1)),
        ([number], None) => format!("{dir_name}-{number}"),
        _ => dir_name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::fix::issue::{Spec, instance, parse, resolve_issue, words};
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn what_the_user_typed_is_told_apart() {
        assert_eq!(parse("-"), Spec::Stdin);
        assert_eq!(parse("@bug.md"), Spec::File("bug.md"));
        assert_eq!(parse("42"), Spec::GitHub("42"));
        assert_eq!(parse("#42"), Spec::GitHub("42"));
        assert_eq!(parse("https://github.com/a/b/issues/7"), Spec::GitHub("https://github.com/a/b/issues/7"));
        assert_eq!(parse("https://x.org/ is down"), Spec::Text("https://x.org/ is down"));
        assert_eq!(parse("mail a@b.org fails"), Spec::Text("mail a@b.org fails"));
        assert_eq!(parse("404 on start"), Spec::Text("404 on start"));
    }

    #[test]
    fn a_file_is_read_and_nothing_is_no_issue() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bug.md");
        std::fs::write(&file, "It is off by one.").unwrap();
        let spec = format!("@{}", file.display());
        assert_eq!(resolve_issue(&spec, Path::new(".")).unwrap().text, "It is off by one.");
        std::fs::write(&file, " \n").unwrap();
        assert_eq!(resolve_issue(&spec, Path::new(".")).unwrap_err().to_string(), "the issue is empty");
        let missing = resolve_issue("@/nowhere/bug.md", Path::new(".")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read the issue from `/nowhere/bug.md`");
    }

    #[test]
    fn a_github_issue_is_read_with_its_comments() {
        let issue =
            json!({"title": "Crash", "body": "On start.", "comments": [{"author": {"login": "ann"}, "body": "Here too."}]});
        assert_eq!(words(&issue), "Crash\n\nOn start.\n\nComment by ann:\nHere too.");
    }

    #[test]
    fn an_instance_is_named_as_the_benchmarks_do() {
        assert_eq!(instance(Some("https://github.com/psf/requests/issues/12/"), None, "x"), "psf__requests-12");
        assert_eq!(instance(Some("12"), Some("psf/requests"), "x"), "psf__requests-12");
        assert_eq!(instance(Some("12"), None, "shop"), "shop-12");
        assert_eq!(instance(None, Some("psf/requests"), "shop"), "shop");
    }
}
