//! What may be written, in both ways of writing texts.

use crate::engine::grounding::Hold;
use crate::engine::grounding::script::Script;
use crate::protocol::grounds::{Ground, MayBe, Shown};
use crate::protocol::message::Call;
use proptest::prelude::*;

const SHOP: &str = "fn total(items: &[u32]) -> u32 {\n\tlet mut n = 0;\n    n += 1;\n    n += 1;\n    say(\"done\");\n}\n";

fn ground(argument: &str, may_be: MayBe) -> Ground {
    Ground { tool: "edit".into(), argument: argument.into(), may_be }
}

/// What may be edited when the beginning of the file was shown.
fn grounds(shown: usize) -> Vec<Ground> {
    let shown = Shown { name: "shop.rs".into(), text: SHOP.into(), parts: std::iter::once(0..shown).collect() };
    vec![
        ground("path", MayBe::OneOf(vec!["shop.rs".into(), "shop_test.rs".into()])),
        ground("search", MayBe::PieceOf { argument: "path".into(), texts: vec![shown] }),
        ground("replace", MayBe::Unlike("search".into())),
    ]
}

fn raw() -> Script {
    Script::Raw { open: ">\n".into(), close: "\n</parameter>".into() }
}

/// Reads the last call of a text as a dialect's parser would.
fn read(script: &Script, text: &str) -> Option<Call> {
    let call = |arguments: String| Call { id: String::new(), name: "edit".into(), arguments };
    match script {
        Script::Json => Some(call(text.split_once("\"arguments\": ")?.1.to_owned())),
        Script::Raw { .. } => {
            let whole = text.split("<parameter=").skip(1).map(|part| {
                let (name, value) = part.split_once(">\n").unwrap();
                let value = value.split("\n</parameter>").next().unwrap_or_default();
                format!("{}:{}", serde_json::json!(name), serde_json::json!(value))
            });
            Some(call(format!("{{{}", whole.collect::<Vec<_>>().join(",")).trim_end_matches('"').to_owned()))
        }
    }
}

/// A call that edits, as it would be written.
fn call(script: &Script, path: &str, search: &str, replace: &str) -> String {
    match script {
        Script::Json => {
            let said = |text: &str| serde_json::json!(text).to_string();
            let (path, search, replace) = (said(path), said(search), said(replace));
            format!(
                "<tool_call>\n{{\"name\": \"edit\", \"arguments\": {{\"path\": {path}, \"search\":{search}, \"replace\" : {replace}}}}}"
            )
        }
        Script::Raw { .. } => [("path", path), ("search", search), ("replace", replace)]
            .map(|(name, value)| format!("<parameter={name}>\n{value}\n</parameter>\n"))
            .concat(),
    }
}

/// Whether a text can be written in pieces of this size.
fn can_be_written(script: &Script, grounds: &[Ground], text: &str, size: usize) -> bool {
    let mut hold = Hold::new(grounds, script);
    text.as_bytes().chunks(size).all(|piece| match hold.after(piece, &|text| read(script, text)) {
        Some(stand) => {
            hold.take(piece, stand);
            true
        }
        None => false,
    })
}

#[test]
fn an_edit_names_what_was_read_and_copies_what_stands_there_once() {
    let whole = grounds(SHOP.len());
    let part = grounds(SHOP.find("    n").unwrap());
    for script in [Script::Json, raw()] {
        for (path, search, replace, whole_fits, part_fits) in [
            ("shop.rs", "let mut n = 0;", "let n = 0;", true, true),
            ("shop.rs", "\tlet mut n = 0;\n    n += 1;", "x", true, false),
            ("shop.rs", "    say(\"done\");\n}", "", true, false),
            ("shop_test.rs", "anything", "x", true, true),
            ("shop", "let mut n = 0;", "x", false, false),
            ("other.rs", "let mut n = 0;", "x", false, false),
            ("shop.rs", "let mut n = 1;", "x", false, false),
            ("shop.rs", "    n += 1;", "x", false, false),
            ("shop.rs", "et mut n", "x", false, false),
            ("shop.rs", "let mu", "x", false, false),
            ("shop.rs", "let mut n = 0;", "let mut n = 0;", false, false),
            ("shop.rs", "", "x", false, false),
        ] {
            let text = call(&script, path, search, replace);
            for size in 1..9 {
                assert_eq!(can_be_written(&script, &whole, &text, size), whole_fits, "{text} by {size}");
                assert_eq!(can_be_written(&script, &part, &text, size), part_fits, "{text} by {size}");
            }
        }
    }
}

#[test]
fn the_order_of_the_arguments_does_not_matter() {
    let part = |name: &str, value: &str| format!("<parameter={name}>\n{value}\n</parameter>\n");
    let script = raw();
    for (parts, fits) in [
        ([("replace", "x"), ("path", "shop.rs"), ("search", "say")], true),
        ([("replace", "say"), ("path", "shop.rs"), ("search", "say")], false),
        ([("search", "say"), ("replace", "say"), ("path", "shop.rs")], false),
        ([("search", "say"), ("replace", "x"), ("path", "shop.rs")], true),
        ([("search", "say"), ("replace", "x"), ("path", "shop_test.rs")], false),
        ([("search", "n += 1;"), ("replace", "x"), ("path", "shop.rs")], false),
    ] {
        let text = parts.map(|(name, value)| part(name, value)).concat();
        assert_eq!(can_be_written(&script, &grounds(SHOP.len()), &text, 5), fits, "{text}");
    }
}

#[test]
fn what_is_no_call_is_not_held() {
    let text = "I will edit \"path\": \"nowhere.rs\" and <parameter=search>\n too";
    for script in [Script::Json, raw()] {
        let mut hold = Hold::new(&grounds(SHOP.len()), &script);
        for piece in text.as_bytes().chunks(3) {
            let stand = hold.after(piece, &|_| None).unwrap();
            hold.take(piece, stand);
        }
    }
}

proptest! {
    /// Whoever draws only from what may come next arrives at an edit that has one place.
    #[test]
    fn every_way_through_ends_at_one_place(picks in prop::collection::vec(any::<prop::sample::Index>(), 400), json: bool) {
        let script = if json { Script::Json } else { raw() };
        let words = [" ", "\n", "\\n", "\\", "n", "t", "\\t", "\"", "\\\"", "let", " mut", "n += 1;", "say", "</", "\n</parameter>", "\",", ";\n"];
        let bytes: Vec<String> = (33..127_u8).map(|byte| char::from(byte).to_string()).collect();
        let mut pieces: Vec<(Vec<u8>, usize)> =
            words.iter().map(|word| (*word).to_owned()).chain(bytes).enumerate().map(|(at, piece)| (piece.into_bytes(), at)).collect();
        pieces.sort();
        let opening = call(&script, "shop.rs", "", "").split(if json { "\"search\":\"" } else { "search>\n" }).next().unwrap().to_owned()
            + if json { "\"search\":\"" } else { "search>\n" };
        let mut hold = Hold::new(&grounds(SHOP.len()), &script);
        let stand = hold.after(opening.as_bytes(), &|text| read(&script, text)).unwrap();
        hold.take(opening.as_bytes(), stand);
        for pick in picks {
            let Some(next) = hold.next(&pieces) else { break };
            prop_assert!(!next.is_empty(), "a dead end: {:?}", String::from_utf8_lossy(&hold.text));
            let chosen = *pick.get(&next);
            let piece = &pieces.iter().find(|(_, at)| *at == chosen).unwrap().0;
            let stand = hold.after(piece, &|text| read(&script, text));
            prop_assert!(stand.is_some(), "what may come next is taken");
            hold.take(piece, stand.unwrap());
        }
        let text = String::from_utf8_lossy(&hold.text).into_owned();
        if hold.value.is_none() {
            let value = &text[opening.len()..];
            let search = match &script {
                Script::Json => serde_json::Deserializer::from_str(&format!("\"{value}")).into_iter::<String>().next().unwrap().unwrap(),
                Script::Raw { .. } => value.split("\n</parameter>").next().unwrap().to_owned(),
            };
            prop_assert_eq!(SHOP.matches(&search).count(), 1, "{:?}", search);
        }
    }
}
