//! The tools' files and the checking of calls.

use crate::tools::tests::check;
use crate::tools::{BUILTIN, Effect, Mode, Toolbox};
use serde_json::json;

/// All that a tool's file may hold.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(rename = "effect")]
    _effect: Effect,
    #[serde(rename = "modes")]
    _modes: Vec<Mode>,
    description: String,
    #[serde(rename = "parameters")]
    _parameters: String,
    #[serde(rename = "micro")]
    _micro: Option<String>,
    /// Raw arguments that must pass.
    accepts: Vec<String>,
    rejects: Vec<String>,
}

#[test]
fn every_example_does_as_its_file_says() {
    let toolbox = Toolbox::builtin();
    for text in BUILTIN {
        let Written { name, description, accepts, rejects, .. } = toml::from_str(text).unwrap();
        assert!(!description.is_empty() && !accepts.is_empty() && !rejects.is_empty(), "{name}");
        for example in accepts {
            assert!(check(&toolbox, &name, &example).is_ok(), "{name} {example}: {:?}", check(&toolbox, &name, &example));
        }
        for example in rejects {
            let failure = check(&toolbox, &name, &example).expect_err(&example);
            assert_eq!(failure.kind, "arguments", "{name} {example}");
        }
    }
}

#[test]
fn the_files_are_lean_and_strict() {
    let toolbox = Toolbox::builtin();
    for tool in &toolbox.tools {
        let schema = &tool.card.parameters;
        jsonschema::validator_for(schema).unwrap();
        assert_eq!(schema["type"], "object", "{}", tool.card.name);
        let text = schema.to_string();
        assert!(!text.contains("additionalProperties") && !text.contains("minimum"), "{}: not for the model", tool.card.name);
        assert!(!text.contains("oneOf") && !text.contains("anyOf"), "{}: alternatives are dear in a grammar", tool.card.name);
        assert!(tool.modes.contains(&Mode::CommandLine), "{}", tool.card.name);
    }
    // With the system prompt and the environment this must stay below 1,000 tokens.
    let cards = serde_json::to_string(&toolbox.cards(Mode::Chat)).unwrap();
    assert!(cards.len() <= 2_100, "{} bytes", cards.len());
}

#[test]
fn a_mode_offers_its_tools_in_a_fixed_order() {
    let names = |mode| Toolbox::builtin().cards(mode).into_iter().map(|c| c.name).collect::<Vec<_>>();
    assert_eq!(names(Mode::Chat), ["read", "search", "symbols", "edit", "write", "run"]);
    assert_eq!(names(Mode::Fix), names(Mode::Chat));
    assert_eq!(names(Mode::Review), ["read", "search", "symbols"]);
    assert_eq!(names(Mode::Micro), ["read", "search", "edit", "run"]);
}

#[test]
fn what_a_micro_model_is_held_to_is_a_part_of_what_the_tools_take() {
    for card in Toolbox::builtin().cards(Mode::Micro) {
        let whole = Toolbox::builtin().cards(Mode::CommandLine).into_iter().find(|c| c.name == card.name).unwrap();
        let names = |card: &crate::protocol::turn::ToolCard| card.parameters["properties"].as_object().unwrap().clone();
        for (name, schema) in names(&card) {
            assert_eq!(schema["type"], names(&whole)[&name]["type"], "{} {name}", card.name);
        }
        let required = |card: &crate::protocol::turn::ToolCard| card.parameters["required"].as_array().unwrap().clone();
        assert!(required(&whole).iter().all(|name| required(&card).contains(name)), "{}", card.name);
    }
}

#[test]
fn the_schema_keeps_its_order() {
    let cards = Toolbox::builtin().cards(Mode::Chat);
    let edit = cards.iter().find(|c| c.name == "edit").unwrap();
    let names: Vec<&String> = edit.parameters["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["path", "search", "replace", "occurrence", "edits"]);
}

fn refused(name: &str, arguments: &str) -> (String, String) {
    let failure = check(&Toolbox::builtin(), name, arguments).unwrap_err();
    (failure.kind, format!("{} {}", failure.message, failure.hint))
}

#[test]
fn refusals_say_what_to_send() {
    let (kind, text) = refused("bash", "{}");
    assert_eq!(
        (kind.as_str(), text.as_str()),
        ("unknown_tool", "there is no tool `bash` The tools are read, search, symbols, edit, write, run, patch.")
    );
    for (name, arguments, says) in [
        ("read", r#"{"path":"a","offset":3}"#, "no argument `offset` It takes {path: string, start?: integer, end?: integer}."),
        ("read", "{}", "`path` is missing"),
        ("read", "", "`path` is missing"),
        ("read", r#"{"path":"a","start":"ten"}"#, "was not run: `start` is not of type \"integer\" It takes"),
        ("read", r#"{"path" "a"}"#, "line 1 column 9"),
        ("read", "[1]", "not a JSON object"),
        ("read", r#"{"path":"a","#, "cut off after 12 bytes and was not run Send the whole call again"),
        ("write", r#"{"path":"a","content":"fn ma"#, "cut off"),
        ("edit", r#"{"path":"a","search":"x"}"#, "`replace` is missing"),
        ("edit", r#"{"path":"a","edits":[{"search":"x"}]}"#, "`replace` is missing in `edits/0`"),
    ] {
        let (kind, text) = refused(name, arguments);
        assert!(kind == "arguments" && text.contains(says), "{name} {arguments}: {text}");
    }
}

#[test]
fn wrong_types_with_one_meaning_are_made_right() {
    let arguments = |name, raw| check(&Toolbox::builtin(), name, raw).unwrap().arguments;
    assert_eq!(arguments("read", r#"{"path":"a","start":"12","end":14.0}"#), json!({"path":"a","start":12,"end":14}));
    assert_eq!(arguments("read", r#"{"path":"a","start":null}"#), json!({"path":"a"}));
    assert_eq!(arguments("search", r#"{"pattern":404}"#), json!({"pattern":"404"}));
    let pair = json!({"search":"x","replace":"y"});
    assert_eq!(
        arguments("edit", r#"{"path":"a","edits":"[{\"search\":\"x\",\"replace\":\"y\"}]"}"#),
        json!({"path":"a","edits":[pair]})
    );
}

#[test]
fn a_tool_of_another_mode_is_unknown() {
    let call =
        crate::protocol::message::Call { id: "1".into(), name: "write".into(), arguments: r#"{"path":"a","content":""}"#.into() };
    assert_eq!(Toolbox::builtin().check(&call, Mode::Review).unwrap_err().kind, "unknown_tool");
}
