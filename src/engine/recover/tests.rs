//! Each dialect whole, then everything that must stay text.

use crate::engine::recover::{recover, recover_or_begun};
use crate::protocol::turn::ToolCard;
use proptest::prelude::*;
use serde_json::{Value, json};

fn tools() -> Vec<ToolCard> {
    let card = |name: &str, properties: Value| ToolCard {
        name: name.into(),
        description: String::new(),
        parameters: json!({"type": "object", "properties": properties}),
    };
    let text = || json!({"type": "string"});
    vec![
        card(
            "read",
            json!({"path": text(), "start": {"type": "integer"}, "end": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}),
        ),
        card("write", json!({"path": text(), "content": text()})),
        card(
            "edit",
            json!({"path": text(), "edits": {"type": "array"}, "all": {"type": "boolean"}, "note": {"type": ["string", "null"]}}),
        ),
    ]
}

fn check(text: &str, left: &str, calls: &[(&str, Value)]) {
    let found = recover(text, &tools()).unwrap_or_else(|| panic!("nothing recovered from {text:?}"));
    let read: Vec<(&str, Value)> =
        found.calls.iter().map(|(n, a)| (n.as_str(), serde_json::from_str(a).expect("arguments are JSON"))).collect();
    assert_eq!(read, calls, "from {text:?}");
    assert_eq!(found.text, left, "from {text:?}");
}

fn check_stays(why: &str, text: &str) {
    assert_eq!(recover(text, &tools()), None, "{why}");
}

#[test]
fn hermes() {
    let read = ("read", json!({"path": "a.rs"}));
    check(
        "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"a.rs\"}}\n</tool_call>",
        "",
        std::slice::from_ref(&read),
    );
    check(
        "Let me look.\n<tool_call>{\"name\":\"read\",\"arguments\":{\"path\":\"a.rs\"}}",
        "Let me look.",
        std::slice::from_ref(&read),
    );
    check(
        "<tool_call>{\"name\":\"read\",\"arguments\":\"{\\\"path\\\":\\\"a.rs\\\"}\"}</tool_call>",
        "",
        std::slice::from_ref(&read),
    );
    let two = "<tool_call>{\"name\":\"read\",\"arguments\":{\"path\":\"a.rs\"}}</tool_call>\n<tool_call>{\"name\":\"read\",\"arguments\":{\"path\":\"b.rs\"}}</tool_call>\nThen I compare.";
    check(two, "Then I compare.", &[read, ("read", json!({"path": "b.rs"}))]);
    let inner = "<tool_call>{\"name\":\"write\",\"arguments\":{\"path\":\"a\",\"content\":\"x </tool_call> y\"}}</tool_call>";
    check(inner, "", &[("write", json!({"path": "a", "content": "x </tool_call> y"}))]);
}

#[test]
fn qwen_coder() {
    let call = "<function=read>\n<parameter=path>\nsrc/lib.rs\n</parameter>\n<parameter=start>\n3\n</parameter>\n</function>";
    let read = [("read", json!({"path": "src/lib.rs", "start": 3}))];
    check(&format!("Let me look.\n<tool_call>\n{call}\n</tool_call>"), "Let me look.", &read);
    check(&format!("{call}\n</tool_call>"), "", &read);
    check(call, "", &read);
    check(&format!("<tool_call>\n{call}"), "", &read);
    check(&format!("<tool_call>{call}</tool_call><tool_call>{call}</tool_call>"), "", &[read[0].clone(), read[0].clone()]);
}

#[test]
fn xml_values_take_the_type_of_their_schema() {
    let value = |tool: &str, key: &str, raw: &str| {
        let text = format!("<function={tool}><parameter={key}>{raw}</parameter></function>");
        let found = recover(&text, &tools()).expect("recovered");
        serde_json::from_str::<Value>(&found.calls[0].1).expect("JSON")[key].clone()
    };
    assert_eq!(value("write", "content", "\n42\n"), json!("42"), "text stays text");
    assert_eq!(value("write", "content", "\n\n  x\n\n"), json!("\n  x\n"), "one line end on each side is the template's");
    assert_eq!(value("write", "content", "\n<parameter>1</parameter>\n"), json!("<parameter>1</parameter>"));
    assert_eq!(value("read", "start", "\n7\n"), json!(7));
    assert_eq!(value("read", "start", "seven"), json!("seven"), "the schema check says what is wrong");
    assert_eq!(value("read", "end", "null"), json!(null));
    assert_eq!(value("edit", "edits", "[{\"search\": \"a\"}]"), json!([{"search": "a"}]));
    assert_eq!(value("edit", "all", "True"), json!(true));
    assert_eq!(value("edit", "note", "null"), json!("null"), "what may be text is text");
    assert_eq!(value("edit", "unheard_of", "1"), json!("1"));
}

#[test]
fn glm() {
    check(
        "I read it.\n<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>a.rs</arg_value>\n<arg_key>start</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
        "I read it.",
        &[("read", json!({"path": "a.rs", "start": 2}))],
    );
}

#[test]
fn mistral() {
    let read = |p: &str| ("read", json!({"path": p}));
    check("[TOOL_CALLS]read[ARGS]{\"path\": \"a\"}", "", &[read("a")]);
    check("Looking.[TOOL_CALLS]read[CALL_ID]abc123XYZ[ARGS]{\"path\": \"a\"}</s>", "Looking.", &[read("a")]);
    check("[TOOL_CALLS]read[ARGS]{\"path\":\"a\"}[TOOL_CALLS]read[ARGS]{\"path\":\"b\"}", "", &[read("a"), read("b")]);
    check("[TOOL_CALLS] [{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}]", "", &[read("a")]);
}

#[test]
fn bare_and_fenced_json() {
    let read = [("read", json!({"path": "a"}))];
    check("{\"name\": \"read\", \"parameters\": {\"path\": \"a\"}}", "", &read);
    check("<|python_tag|>{\"type\": \"function\", \"name\": \"read\", \"parameters\": {\"path\": \"a\"}}\n", "", &read);
    check("I read it.\n\n```json\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n```\n", "I read it.", &read);
    check("```tool_call\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n```", "", &read);
    let after_code =
        "The bug:\n```rust\nlet x = 1;\n```\nNow:\n```json\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n```";
    check(after_code, "The bug:\n```rust\nlet x = 1;\n```\nNow:", &read);
}

#[test]
fn a_thought_is_kept_and_not_obeyed() {
    let call = "<tool_call>{\"name\":\"read\",\"arguments\":{\"path\":\"a\"}}</tool_call>";
    check(&format!("<think>hm</think>\n{call}"), "<think>hm</think>", &[("read", json!({"path": "a"}))]);
    check_stays("only considered", &format!("<think>I could say {call}</think>\nDone."));
    check_stays("the thought is open", &format!("<think>I could say {call}"));
}

#[test]
fn what_is_not_certain_stays_text() {
    let call = "<tool_call>{\"name\":\"read\",\"arguments\":{\"path\":\"a\"}}</tool_call>";
    check_stays("an answer", "The bug is fixed.");
    check_stays("fenced example", &format!("You would write\n```\n{call}\n```"));
    check_stays("inline quote", &format!("The form is `{call}`."));
    check_stays("unknown tool", "<tool_call>{\"name\":\"open\",\"arguments\":{}}</tool_call>");
    check_stays("one of two is unknown", &format!("{call}<tool_call>{{\"name\":\"open\",\"arguments\":{{}}}}</tool_call>"));
    check_stays("cut-off JSON", "<tool_call>{\"name\":\"read\",\"arguments\":{\"path\":\"a");
    check_stays("cut-off second call", &format!("{call}\n<tool_call>{{\"name\":\"re"));
    check_stays("cut-off value", "<tool_call><function=write><parameter=path>a</parameter><parameter=content>fn main() {");
    check_stays("value without end", "<function=read><parameter=path>a</function>");
    check_stays("function without end", "<function=read><parameter=path>a</parameter>");
    check_stays(
        "twice the same parameter",
        "<function=read><parameter=path>a</parameter><parameter=path>b</parameter></function>",
    );
    check_stays("GLM without end", "<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>a</arg_value>");
    check_stays("Mistral without arguments", "[TOOL_CALLS]read[ARGS]{\"path\":");
    check_stays("two dialects", &format!("{call}[TOOL_CALLS]read[ARGS]{{\"path\":\"a\"}}"));
    check_stays("calls with an invented answer between", &format!("{call}\nThe file says x.\n{call}"));
    check_stays("prose round bare JSON", "Here: {\"name\": \"read\", \"parameters\": {\"path\": \"a\"}}");
    check_stays("JSON that is data", "{\"name\": \"read\", \"version\": 1, \"parameters\": {\"path\": \"a\"}}");
    check_stays("not the last block", "```json\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n```\nThat is the form.");
    check_stays("more than a call", "```json\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}, \"why\": 1}\n```");
    check_stays("another language", "```python\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n```");
    check_stays("open fence", "```json\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n");
    check_stays("arguments that are no object", "<tool_call>{\"name\":\"read\",\"arguments\":[1]}</tool_call>");
}

#[test]
fn every_beginning_of_a_call_stays_text() {
    let whole =
        "<tool_call>\n<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=content>\nx\n</parameter>\n</function>";
    for end in 0..whole.len() {
        check_stays(&whole[..end], &whole[..end]);
    }
    let whole = "[TOOL_CALLS]write[ARGS]{\"path\": \"a\", \"content\": \"x\"}";
    for end in 0..whole.len() {
        check_stays(&whole[..end], &whole[..end]);
    }
}

proptest! {
    #[test]
    fn any_content_comes_back_as_written(content in "[ -~\n äß<>]{0,80}") {
        let hermes = format!("<tool_call>\n{}\n</tool_call>", json!({"name": "write", "arguments": {"path": "p", "content": content}}));
        let found = recover(&hermes, &tools());
        // A thought's marks inside the content make it uncertain, which is the safe side.
        prop_assume!(!content.contains("think>"));
        let found = found.expect("recovered");
        prop_assert_eq!(&serde_json::from_str::<Value>(&found.calls[0].1).expect("JSON")["content"], &json!(content));

        let xml = format!("<tool_call>\n<function=write>\n<parameter=content>\n{content}\n</parameter>\n</function>\n</tool_call>");
        let found = recover(&xml, &tools()).expect("recovered");
        prop_assert_eq!(&serde_json::from_str::<Value>(&found.calls[0].1).expect("JSON")["content"], &json!(content));
    }

    #[test]
    fn never_panics(text in "(<tool_call>|</tool_call>|<function=read>|<parameter=path>|</parameter>|</function>|\\[TOOL_CALLS\\]|\\[ARGS\\]|read|\\{|\\}|\"|ß|\n|```json|```|<arg_key>|</arg_key>){0,24}") {
        let _ = recover(&text, &tools());
    }
}

#[test]
fn a_call_that_was_begun_is_answered_as_a_broken_one() {
    let begun = |text: &str| recover_or_begun(text, &tools()).map(|found| (found.text, found.calls));
    for broken in [
        "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\nb\"}}\n</tool_call>",
        "<tool_call>\n<function=read>\n<parameter=path>\nsrc/l",
        "[TOOL_CALLS]read[ARGS]{\"path\":",
    ] {
        let (text, calls) = begun(&format!("Let me look.\n{broken}")).unwrap_or_else(|| panic!("{broken}"));
        assert_eq!((text.as_str(), calls), ("Let me look.", vec![("read".to_owned(), broken.to_owned())]));
    }
    for words in [
        "Write `<tool_call>` first.",
        "Say <tool_call>{\"name\": \"read\"",
        "```\n<tool_call>\n{\"name\": \"read\"\n```",
        "<tool_call>\n{\"name\": \"nothing\"",
        "[TOOL_CALLS] read your files first.",
        "~~~\n<tool_call>\n{\"name\": \"read\"\n~~~",
    ] {
        assert_eq!(begun(words), None, "{words}");
    }
}
