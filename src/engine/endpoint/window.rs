//! What a server says about itself: its model, the window it really has, whether it tokenizes.
//!
//! The window is the one that was allocated. What the model was trained for (`n_ctx_train`, LM Studio's
//! `max_context_length`) is never taken for it: a prompt sized by that is cut from the front without a word. Servers say it
//! in different places, so they are asked one after the other until one tells.

use crate::engine::EngineError;
use crate::engine::endpoint::http::{Http, Told};
use crate::engine::endpoint::refusal::{Known, Refusal};
use crate::protocol::turn::{EngineInfo, Profile};
use crate::units::Tokens;
use serde_json::{Value, json};

/// Asks a server about itself. `None`: it is still loading its model; ask again.
/// Two to three small requests for llama-server and vLLM, up to six for the others; Ollama is made to load the model,
/// because it has no window before.
pub async fn learn(http: &Http, wanted: Option<&str>) -> Result<Option<EngineInfo>, EngineError> {
    let props = http.get(&http.own("props")).await?;
    let models = http.get(&http.api("models")).await?;
    if [&props, &models].into_iter().filter_map(|told| told.as_ref().err()).any(Refusal::is_loading) {
        return Ok(None);
    }
    // A wrong key is better told now than after the person has written their task.
    if let Err(refusal) = &models
        && matches!(refusal.status, 401 | 403)
    {
        return Err(refusal.clone().into_error(Known::default()));
    }
    let (props, models) = (props.unwrap_or_default(), models.unwrap_or_default());
    let model = wanted.map(str::to_owned).or_else(|| first_model(&models)).unwrap_or_else(|| "default".into());
    let mut window = props_window(&props).or_else(|| models_window(&models, &model));
    if window.is_none() {
        window = lm_studio(http, &model).await?;
    }
    if window.is_none() {
        window = ollama(http, &model).await?;
    }
    let thinks = props["chat_template"].as_str().is_some_and(|template| template.contains("enable_thinking"));
    let exact = count(http, &model, "a").await?.is_some();
    Ok(Some(EngineInfo { model, window, exact, thinks, profile: Profile::Full, grounds: false, forks: 0 }))
}

/// Counts tokens with the server's tokenizer (llama-server's `/tokenize`, vLLM's of the same name); `None` without one.
pub async fn count(http: &Http, model: &str, text: &str) -> Result<Option<Tokens>, EngineError> {
    let body = json!({"model": model, "content": text, "prompt": text, "add_special": false, "add_special_tokens": false});
    Ok(http.ask(&http.own("tokenize"), &body).await?.ok().and_then(|told| tokenized(&told)))
}

fn tokenized(told: &Value) -> Option<Tokens> {
    let counted = told["count"].as_u64().or_else(|| told["tokens"].as_array().map(|tokens| tokens.len() as u64))?;
    u32::try_from(counted).ok().map(Tokens)
}

fn first_model(models: &Value) -> Option<String> {
    models["data"].as_array()?.first()?["id"].as_str().map(str::to_owned)
}

/// llama-server: the window of one slot, which is what a conversation gets.
fn props_window(props: &Value) -> Option<Tokens> {
    window(&props["default_generation_settings"], &["n_ctx"])
}

fn models_window(models: &Value, model: &str) -> Option<Tokens> {
    let list = models["data"].as_array()?;
    let entry = list.iter().find(|m| m["id"] == model).or_else(|| list.first().filter(|_| list.len() == 1))?;
    window(&entry["meta"], &["n_ctx"]).or_else(|| window(entry, &["n_ctx", "max_model_len", "context_length", "context_window"]))
}

/// LM Studio says it on a route of its own, once the model is loaded.
async fn lm_studio(http: &Http, model: &str) -> Result<Option<Tokens>, EngineError> {
    let told: Told = http.get(&http.own("api/v0/models")).await?;
    Ok(told.ok().and_then(|models| {
        let entry = models["data"].as_array()?.iter().find(|m| m["id"] == model)?;
        window(entry, &["loaded_context_length"])
    }))
}

/// Ollama says it of loaded models only, and cuts from the front what is longer: so it is made to load.
async fn ollama(http: &Http, model: &str) -> Result<Option<Tokens>, EngineError> {
    let Ok(running) = http.get(&http.own("api/ps")).await? else { return Ok(None) };
    if !running["models"].is_array() {
        return Ok(None);
    }
    if let Some(window) = running_window(&running, model) {
        return Ok(Some(window));
    }
    // A refusal here (no such model) is told again, and in place, by the first turn.
    let _ = http.ask(&http.own("api/generate"), &json!({"model": model, "stream": false})).await?;
    Ok(http.get(&http.own("api/ps")).await?.ok().and_then(|running| running_window(&running, model)))
}

fn running_window(running: &Value, model: &str) -> Option<Tokens> {
    let latest = format!("{model}:latest");
    let entry = running["models"].as_array()?.iter().find(|m| [model, &latest].iter().any(|name| m["name"] == *name))?;
    window(entry, &["context_length"])
}

/// The first of these fields that holds a window; zero is how some say "not known".
fn window(object: &Value, fields: &[&str]) -> Option<Tokens> {
    fields
        .iter()
        .filter_map(|field| object[*field].as_u64())
        .find(|n| *n > 0)
        .map(|n| Tokens(u32::try_from(n).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use crate::engine::endpoint::window::{first_model, models_window, props_window, running_window, tokenized};
    use crate::units::Tokens;
    use serde_json::json;

    #[test]
    fn the_window_is_the_one_that_was_allocated() {
        let models = |entry| models_window(&json!({"data": [entry]}), "m");
        assert_eq!(props_window(&json!({"default_generation_settings": {"n_ctx": 8192}})), Some(Tokens(8192)));
        assert_eq!(props_window(&json!({"default_generation_settings": {"n_ctx": 0}})), None);
        assert_eq!(props_window(&json!({"error": "Unexpected endpoint"})), None);
        assert_eq!(models(json!({"id": "m", "meta": {"n_ctx_train": 131_072, "n_ctx": 32768}})), Some(Tokens(32768)));
        assert_eq!(models(json!({"id": "m", "meta": {"n_ctx_train": 131_072}})), None);
        assert_eq!(models(json!({"id": "m", "max_model_len": 4096, "meta": null})), Some(Tokens(4096)));
        assert_eq!(models(json!({"id": "m", "context_length": 9})), Some(Tokens(9)));
        assert_eq!(models(json!({"id": "m", "context_window": 9})), Some(Tokens(9)));
        assert_eq!(models(json!({"id": "m", "max_context_length": 9})), None);
    }

    #[test]
    fn the_model_asked_for_is_the_one_measured() {
        let models = json!({"data": [{"id": "a", "max_model_len": 1}, {"id": "b", "max_model_len": 2}]});
        assert_eq!(first_model(&models).as_deref(), Some("a"));
        assert_eq!(models_window(&models, "b"), Some(Tokens(2)));
        assert_eq!(models_window(&models, "c"), None, "which of them it would be is not known");
        let one = json!({"data": [{"id": "a.gguf", "max_model_len": 1}]});
        assert_eq!(models_window(&one, "any"), Some(Tokens(1)), "a server of one model serves it under any name");
        let running = json!({"models": [{"name": "qwen3:latest", "context_length": 4096}]});
        assert_eq!(running_window(&running, "qwen3"), Some(Tokens(4096)));
        assert_eq!(running_window(&running, "qwen"), None);
    }

    #[test]
    fn both_tokenizers_are_read() {
        assert_eq!(tokenized(&json!({"tokens": [1, 2, 3]})), Some(Tokens(3)));
        assert_eq!(tokenized(&json!({"count": 4, "max_model_len": 9, "tokens": [1, 2, 3, 4]})), Some(Tokens(4)));
        assert_eq!(tokenized(&json!({"error": "no such route"})), None);
    }
}
