//! Bad models and bad servers: how each run ends, what the model was told, and that no file was half written.

mod support;

use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::mpsc;
use support::machine::{Ended, Machine};
use support::server::{Answer, Asked, Gate, Server};
use support::tree::Moment;

const LIB: &str = "//! Sums.\n\npub fn sum(v: &[i64]) -> i64 {\n    let mut t = 0;\n    for i in 0..=v.len() {\n        t += v[i];\n    }\n    t\n}\n";

/// A machine with a small project, which has more to read than some windows hold.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.file("src/lib.rs", LIB);
    machine.file("Cargo.toml", "[package]\nname = \"sums\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    for at in 0..4 {
        let line = |n: usize| format!("line {n} of file {at}: the quick brown fox jumps over the lazy dog\n");
        machine.file(&format!("big{at}.txt"), &(0..400).map(line).collect::<String>());
    }
    machine
}

fn call(name: &str, arguments: Value) -> Value {
    json!({"calls": [{"name": name, "arguments": arguments}]})
}

fn read(path: &str) -> Value {
    call("read", json!({"path": path}))
}

fn said(text: &str) -> Value {
    json!({"text": text})
}

/// A run against a server, and all that can be asked about it afterwards.
struct Told {
    ended: Ended,
    server: Server,
}

/// Lets a server's model do a task. The project must come out of it as it went in.
#[track_caller]
fn run(server: Server) -> Told {
    let machine = machine();
    let before = Moment::of(&machine.project());
    let task = "fix the off-by-one bug in src/lib.rs";
    let ended = machine.agent(&["run", task, "--approve", "all", "--endpoint", &server.url()]);
    before.check(&machine.project(), &[]);
    Told { ended, server }
}

impl Told {
    /// Checks how it ended, and what line of stderr says why.
    #[track_caller]
    fn ends(&self, code: i32, says: &str) -> &Self {
        self.ended.check(code, says);
        assert!(code != 0 || !self.ended.out.trim().is_empty(), "a silent success: {:?}", self.ended);
        self
    }

    /// Checks that the model was told this.
    #[track_caller]
    fn model_heard(&self, words: &str) -> &Self {
        let asked = self.server.asked();
        let heard =
            asked.iter().any(|asked| asked.messages().iter().any(|m| m["content"].as_str().is_some_and(|c| c.contains(words))));
        assert!(heard, "the model did not hear `{words}`, but: {:#?}", self.server.results());
        self
    }

    /// Checks how many turns were asked for.
    #[track_caller]
    fn turns(&self, count: usize) -> &Self {
        assert_eq!(self.server.asked().len(), count, "{:?}", self.ended);
        self
    }
}

/// A server whose model says the same for ever.
fn ever(turn: Value) -> Server {
    Server::playing(vec![turn])
}

const THREE_BAD: &str = "error: the model made no call that could be run in 3 turns in a row";

#[test]
fn a_call_that_was_cut_off_is_not_run() {
    for (tool, arguments) in [("read", r#"{"path":"src/li"#), ("write", r#"{"path":"src/lib.rs","content":"pub fn"#)] {
        run(ever(call(tool, json!(arguments))))
            .ends(1, THREE_BAD)
            .model_heard(&format!(
                "The call of `{tool}` was cut off before it was whole, so nothing was run. It began: {arguments}"
            ))
            .turns(3);
    }
}

#[test]
fn a_call_of_a_turn_that_reached_its_limit_is_not_run() {
    let turn = json!({"stop": "length", "calls": [{"name": "write", "arguments": {"path": "new.txt", "content": "whole?"}}]});
    run(ever(turn)).ends(1, THREE_BAD).model_heard("The call of `write` was cut off before it was whole").turns(3);
}

#[test]
fn arguments_that_are_no_object_are_not_run() {
    run(ever(call("write", json!("{path: 'new.txt'}")))).ends(1, THREE_BAD).model_heard("are not a JSON object").turns(3);
}

#[test]
fn arguments_that_do_not_fit_the_tool_are_explained() {
    run(ever(call("edit", json!({"path": "src/lib.rs", "old_string": "0..=", "new_string": "0.."}))))
        .ends(1, THREE_BAD)
        .model_heard("old_string")
        .model_heard("search")
        .turns(3);
}

#[test]
fn an_unknown_tool_is_answered_with_the_known_ones() {
    run(ever(call("open_the_file", json!({"path": "src/lib.rs"}))))
        .ends(1, THREE_BAD)
        .model_heard("open_the_file")
        .model_heard("read, search, symbols, edit, write, run")
        .turns(3);
}

#[test]
fn a_call_written_as_text_is_made() {
    let xml = "Let me look.\n<tool_call>\n<function=read>\n<parameter=path>\nsrc/lib.rs\n</parameter>\n</function>\n</tool_call>";
    let hermes = "Let me look.\n<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"src/lib.rs\"}}\n</tool_call>";
    for text in [xml, hermes] {
        let told = run(Server::playing(vec![said(text), said("The bound is wrong.")]));
        told.ends(0, "read src/lib.rs").model_heard("for i in 0..=v.len()").turns(2);
        assert_eq!(told.ended.out, "The bound is wrong.\n");
        run(ever(said(text))).ends(1, "error: the model called `read` 5 times with the same arguments and result");
    }
}

#[test]
fn the_same_call_again_and_again_is_refused_and_then_the_end() {
    run(ever(read("src/lib.rs")))
        .ends(1, "error: the model called `read` 5 times with the same arguments and result")
        .model_heard("Not run: this call was made 2 times with the same result")
        .turns(5);
}

#[test]
fn an_empty_answer_is_asked_about_once() {
    run(ever(said(""))).ends(1, "error: the model gave an empty answer twice").model_heard("Your answer was empty.").turns(2);
    let thought = json!({"thinking": "The loop bound looks wrong."});
    let told = run(ever(thought));
    told.ends(1, "error: the model gave an empty answer twice").model_heard("You only thought and gave no answer.").turns(2);
    let thinks = |asked: &Asked| asked.body["chat_template_kwargs"]["enable_thinking"].clone();
    assert_eq!(told.server.asked().iter().map(thinks).collect::<Vec<_>>(), [json!(true), json!(false)]);
}

#[test]
fn a_stream_that_repeats_itself_is_cut() {
    let told = run(ever(said(&"I will now read the file.\n".repeat(2_000))));
    told.ends(1, "error: the model repeated itself without end").model_heard("You repeated yourself and were stopped.").turns(2);
    let turn = told.server.asked()[1].messages()[2].clone();
    assert!(turn["content"].as_str().unwrap().len() < 2_000, "what was said again is kept short: {turn}");
}

#[test]
fn thinking_goes_back_as_it_came() {
    let thinking = "THINK-MARK: the loop bound looks wrong, \n so read the file first. ";
    let turn = json!({"thinking": thinking, "calls": [{"name": "read", "arguments": {"path": "src/lib.rs"}}]});
    let told = run(Server::playing(vec![turn, said("It is wrong.")]));
    told.ends(0, "read src/lib.rs");
    assert_eq!(told.server.asked()[1].messages()[2]["reasoning_content"], thinking);
}

#[test]
fn what_was_not_read_is_not_edited_or_overwritten() {
    let edit = call("edit", json!({"path": "src/lib.rs", "search": "0..=v", "replace": "0..v"}));
    let write = call("write", json!({"path": "src/lib.rs", "content": "pub fn sum() {}\n"}));
    for (turn, words) in [
        (edit, "`src/lib.rs` has not been read in this session; nothing was changed"),
        (write.clone(), "`src/lib.rs` exists and has not been read whole, as it is now; nothing was changed"),
    ] {
        run(Server::playing(vec![turn, said("I could not do it.")])).ends(0, "nothing was changed").model_heard(words);
    }
    let part = call("read", json!({"path": "src/lib.rs", "start": 1, "end": 3}));
    run(Server::playing(vec![part, write, said("I could not do it.")]))
        .ends(0, "read whole")
        .model_heard("has not been read whole");
}

#[test]
fn a_stream_that_is_cut_runs_nothing() {
    for turn in [call("write", json!({"path": "new.txt", "content": "x\n"})), said("I will now"), said("")] {
        let cut = turn.clone();
        run(Server::new(32_768, move |_| Answer::Cut(cut.clone())))
            .ends(3, "error: the engine was lost: the server ended the stream in the middle of a reply");
        run(Server::new(32_768, move |_| Answer::Death(turn.clone()))).ends(3, "error: the engine was lost: ").turns(1);
    }
}

#[test]
fn a_server_that_dies_between_turns_leaves_what_was_done() {
    let machine = machine();
    let before = Moment::of(&machine.project());
    let server = Server::new(32_768, |asked| match asked.turns() {
        0 => Answer::Turn(read("src/lib.rs")),
        1 => Answer::Turn(call("edit", json!({"path": "src/lib.rs", "search": "0..=v.len()", "replace": "0..v.len()"}))),
        _ => Answer::Death(said("Now")),
    });
    let ended = machine.agent(&["run", "fix it", "--endpoint", &server.url(), "--output", "json"]);
    ended.check(3, "error: the engine was lost: ");
    assert_eq!(ended.json()["changes"], json!([{"path": "src/lib.rs", "change": "modified"}]));
    before.check(&machine.project(), &["src/lib.rs"]);
    assert_eq!(machine.text("src/lib.rs"), LIB.replace("0..=v", "0..v"));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let server = ever(said("x"));
    let url = server.url();
    drop(server);
    let machine = machine();
    let refused = format!("cannot reach `{url}`");
    machine.agent(&["run", "fix it", "--endpoint", &url]).check(3, &refused);
    machine.agent(&["fix", "--issue", "It is off by one.", "--endpoint", &url, "--output", "patch"]).check(3, &refused);
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    for (status, reason) in [(500, "CUDA out of memory"), (401, "Invalid API key"), (429, "Too many requests")] {
        let body = json!({"error": {"code": status, "message": reason}});
        run(Server::new(32_768, move |_| Answer::Refusal(status, body.clone())))
            .ends(3, &format!("error: the server refused ({status}): {reason}"))
            .turns(1);
    }
}

/// llama-server's refusal of a conversation that is longer than its window; a token is four bytes here.
fn over(asked: &Asked, window: usize) -> Option<Answer> {
    let prompt = asked.body.to_string().len() / 4;
    let message = format!("request ({prompt} tokens) exceeds the available context size ({window} tokens), try increasing it");
    let error =
        json!({"code": 400, "message": message, "type": "exceed_context_size_error", "n_prompt_tokens": prompt, "n_ctx": window});
    (prompt > window).then(|| Answer::Refusal(400, json!({"error": error})))
}

#[test]
fn a_window_that_the_server_told_is_never_exceeded() {
    const WINDOW: usize = 8_192;
    let refused = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&refused);
    let server = Server::new(8_192, move |asked| match over(asked, WINDOW) {
        Some(refusal) => {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            refusal
        }
        None => Answer::Turn(read(&format!("big{}.txt", asked.turns() % 4))),
    });
    let told = run(server);
    told.ends(4, "error: the limit of 50 steps is reached").ends(4, "the window is full: old results are one line each now");
    told.model_heard("For the rest, read with \"start\"").model_heard("[removed: read big");
    assert_eq!(refused.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn a_window_that_nobody_told_is_learnt_from_the_first_refusal() {
    const WINDOW: usize = 6_000;
    let server = Server::mute(|asked| match over(asked, WINDOW) {
        Some(refusal) => refusal,
        None if asked.messages().iter().any(|m| m["content"].as_str().is_some_and(|c| c.contains(" cut: the whole is "))) => {
            Answer::Turn(said("I have seen enough."))
        }
        None => Answer::Turn(read(&format!("big{}.txt", asked.turns() % 4))),
    });
    let told = run(server);
    told.ends(0, "the window is full: older steps became a list of what was done");
    assert_eq!(told.ended.out, "I have seen enough.\n");
}

#[test]
fn a_task_that_does_not_fit_at_all_is_a_budget_spent() {
    let told = run(Server::mute(|asked| over(asked, 100).unwrap()));
    told.ends(4, "error: the conversation needs ").ends(4, "and the window has 100").turns(1);
}

#[test]
fn a_huge_result_in_a_small_window_is_clipped_and_its_rest_can_be_had() {
    let turns = [call("run", json!({"command": "seq 100000"})), said("Many numbers.")];
    let told = run(Server::new(4_096, move |asked| over(asked, 4_096).unwrap_or(Answer::Turn(turns[asked.turns()].clone()))));
    told.ends(0, "run seq 100000").model_heard("exit code 0\n1\n2\n").model_heard("bytes are in ");
    assert!(told.server.results()[0].len() < 8_000);
}

#[test]
fn a_first_byte_that_is_late_is_waited_for() {
    let machine = machine();
    let gate = Gate::default();
    let (asked, told) = mpsc::channel();
    let held = gate.clone();
    let server = Server::new(32_768, move |_| {
        asked.send(()).unwrap();
        held.wait();
        Answer::Turn(said("Here at last."))
    });
    let mut agent = machine.agent_command(&["run", "hello", "--endpoint", &server.url()]);
    let mut child = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    told.recv().unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    gate.open();
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "Here at last.\n"), "{ended:?}");
    assert_eq!(server.asked().len(), 1, "and asks only once");
}

#[test]
fn a_bad_model_fixes_nothing_and_leaves_the_tree_as_it_was() {
    let bad = [
        call("read", json!("{\"path\":\"src/li")),
        call("write", json!("{\"path\":\"src/lib.rs\",\"content\":\"pub fn")),
        call("open_the_file", json!({})),
        said("<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"src/lib.rs\"}}\n</tool_call>"),
        said(""),
        said("I fixed it."),
        read("src/lib.rs"),
    ];
    let machine = machine();
    let before = Moment::of(&machine.project());
    let fix = ["fix", "--issue", "It is off by one.", "--test", "grep -q '0..v' src/lib.rs", "--output", "json", "--endpoint"];
    for turn in bad {
        let server = ever(turn.clone());
        let ended = machine.agent(&[&fix[..], &[&server.url()]].concat());
        ended.check(1, "unfixed: nothing was changed");
        assert_eq!(ended.json()["status"], "unfixed", "{turn}");
    }
    let server = Server::new(32_768, |_| Answer::Cut(call("write", json!({"path": "new.txt", "content": "x\n"}))));
    machine.agent(&[&fix[..], &[&server.url()]].concat()).check(3, "error: the engine was lost: ");
    before.check(&machine.project(), &[]);
}
