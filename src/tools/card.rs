//! One tool's words and schema, as its TOML file tells them, and the check of arguments against the schema.

use crate::protocol::tool::ToolFailure;
use crate::protocol::turn::ToolCard;
use crate::tools::{Effect, Mode};
use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// A tool as its file describes it.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) card: ToolCard,
    /// What a micro model is held to: less than the card, and never shown.
    micro: Option<Value>,
    /// What arguments must satisfy: more than the card says.
    schema: Value,
    pub(crate) effect: Effect,
    pub(crate) modes: Vec<Mode>,
    /// Compiled when the first call comes: a start pays for none of them.
    validator: OnceLock<Option<Validator>>,
}

/// A tool's file, but for the examples, which only its test runs.
#[derive(Deserialize)]
struct Written {
    name: String,
    effect: Effect,
    modes: Vec<Mode>,
    description: String,
    /// JSON in a string: TOML tables would lose the order that the model reads.
    parameters: String,
    #[serde(default)]
    micro: Option<String>,
}

/// Why a tool's file is not one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CardError {
    #[error("a tool's file is not valid")]
    Toml(#[from] toml::de::Error),
    #[error("the parameters of `{0}` are not JSON")]
    Parameters(String, #[source] serde_json::Error),
}

impl Tool {
    pub(crate) fn parse(text: &str) -> Result<Self, CardError> {
        let written: Written = toml::from_str(text)?;
        let json = |text: &String| serde_json::from_str(text).map_err(|e| CardError::Parameters(written.name.clone(), e));
        let schema: Value = json(&written.parameters)?;
        let micro = written.micro.as_ref().map(json).transpose()?;
        Ok(Self {
            micro,
            card: ToolCard { name: written.name, description: written.description, parameters: told(&schema) },
            schema: closed(schema),
            effect: written.effect,
            modes: written.modes,
            validator: OnceLock::new(),
        })
    }

    /// The card for a mode.
    pub(crate) fn told(&self, mode: Mode) -> ToolCard {
        match &self.micro {
            Some(parameters) if mode == Mode::Micro => ToolCard { parameters: parameters.clone(), ..self.card.clone() },
            _ => self.card.clone(),
        }
    }

    /// Reads raw arguments: JSON, wrong but unmistakable types made right, absent what is `null`, then the schema.
    pub(crate) fn arguments(&self, raw: &str) -> Result<Value, ToolFailure> {
        let mut value = self.parse_json(raw)?;
        coerce(&self.card.parameters, &mut value);
        let Value::Object(map) = &mut value else {
            return Err(self.refusal("the arguments are not a JSON object".into()));
        };
        let required = self.required();
        map.retain(|key, value| !value.is_null() || required.contains(&key.as_str()));
        let validator = self.validator.get_or_init(|| jsonschema::validator_for(&self.schema).ok());
        if let Some(error) = validator.as_ref().and_then(|v| v.validate(&value).err()) {
            return Err(self.refusal(self.sentence(&error)));
        }
        Ok(value)
    }

    fn parse_json(&self, raw: &str) -> Result<Value, ToolFailure> {
        let raw = if raw.trim().is_empty() { "{}" } else { raw };
        match serde_json::from_str(raw) {
            Ok(value) => Ok(value),
            Err(e) if e.is_eof() => Err(ToolFailure {
                kind: "arguments".into(),
                message: format!("the call of `{}` was cut off after {} bytes and was not run", self.card.name, raw.len()),
                hint: "Send the whole call again; if it is long, split it into smaller calls.".into(),
            }),
            Err(e) => Err(self.refusal(format!("the arguments are not valid JSON: {e}"))),
        }
    }

    /// A failure that says what the tool takes.
    pub(crate) fn refusal(&self, message: String) -> ToolFailure {
        let required = self.required();
        let properties = self.card.parameters["properties"].as_object().into_iter().flatten();
        let takes: Vec<String> = properties
            .map(|(name, schema)| {
                let mark = if required.contains(&name.as_str()) { "" } else { "?" };
                format!("{name}{mark}: {}", schema["type"].as_str().unwrap_or("any"))
            })
            .collect();
        ToolFailure {
            kind: "arguments".into(),
            message: format!("`{}` was not run: {message}", self.card.name),
            hint: format!("It takes {{{}}}. Send the call again.", takes.join(", ")),
        }
    }

    fn required(&self) -> Vec<&str> {
        self.card.parameters["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn sentence(&self, error: &jsonschema::ValidationError<'_>) -> String {
        let place = error.instance_path().to_string();
        let at = if place.is_empty() { String::new() } else { format!(" in `{}`", place.trim_start_matches('/')) };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                format!("there is no argument `{}`{at}", unexpected.join("`, `"))
            }
            ValidationErrorKind::Required { property } => format!("`{}` is missing{at}", property.as_str().unwrap_or_default()),
            // The value itself may be a whole file.
            _ => error.masked_with(format!("`{}`", place.trim_start_matches('/'))).to_string(),
        }
    }
}

/// What the model is told of a schema: all but the bounds of numbers, which cost six tokens each in every prompt and matter
/// in one call of thousands; that one is answered with the bound.
fn told(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            map.iter().filter(|(key, _)| *key != "minimum").map(|(key, value)| (key.clone(), told(value))).collect()
        }
        Value::Array(items) => items.iter().map(told).collect(),
        other => other.clone(),
    }
}

/// A schema that takes no argument it does not name. The model is not told: it would cost five tokens for every object, and
/// llama.cpp's grammars let no other argument through anyway.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(map) => {
            let is_object = map.get("type").is_some_and(|kind| kind == "object");
            map.values_mut().for_each(|value| *value = closed(value.take()));
            if is_object {
                map.insert("additionalProperties".into(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = closed(item.take())),
        _ => {}
    }
    schema
}

/// Makes wrong types right where only one meaning is possible: "12" for 12, 12 for "12", a list or object as JSON text.
fn coerce(schema: &Value, value: &mut Value) {
    let wanted = schema["type"].as_str().unwrap_or_default();
    let better = match (wanted, &*value) {
        ("integer", Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        ("integer", Value::Number(n)) if n.is_f64() => whole(n.as_f64()),
        ("string", Value::Number(n)) if !n.is_f64() => Some(Value::String(n.to_string())),
        ("array", Value::String(text)) => serde_json::from_str::<Vec<Value>>(text).ok().map(Value::Array),
        ("object", Value::String(text)) => serde_json::from_str::<Map<String, Value>>(text).ok().map(Value::Object),
        _ => None,
    };
    if let Some(better) = better {
        *value = better;
    }
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| coerce(&schema["properties"][key.as_str()], value)),
        Value::Array(items) => items.iter_mut().for_each(|item| coerce(&schema["items"], item)),
        _ => {}
    }
}

/// An integer that a model wrote as `12.0`.
fn whole(number: Option<f64>) -> Option<Value> {
    let number = number.filter(|n| n.fract() == 0.0 && n.abs() < 1e15)?;
    Some(Value::from(number as i64))
}
