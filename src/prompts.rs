//! The prompts' templates.
