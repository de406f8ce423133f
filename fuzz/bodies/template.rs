//! Any text as a chat template, and any text in a conversation: rendered or refused, never a crash.
//!
//! An input is the template up to a 0xFF byte, then what the user says.

use gristmill_engine::template::{ChatTemplate, TemplateError};
use serde_json::{Map, json};

fn check(error: &TemplateError) {
    let message = error.to_string();
    // What a panic inside the engine would become.
    assert!(!message.contains("engine failed"), "{message}");
}

pub fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |&b| b == 0xFF);
    let source = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let said = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let template = match ChatTemplate::new(&source, "<s>", "</s>") {
        Ok(template) => template,
        Err(error) => return check(&error),
    };
    let call = json!({"id": "call00001", "type": "function",
        "function": {"name": "weather", "arguments": {"city": said, "days": 3, "exact": true}}});
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": said},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call00001", "name": "weather", "content": "{\"sky\": \"blue\"}"},
        {"role": "assistant", "content": [{"type": "text", "text": said}], "reasoning_content": "hm"},
        {"role": "user", "content": "And tomorrow?"},
    ]);
    let tools = json!([{"type": "function", "function": {"name": "weather", "description": "tells",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]);
    let mut extra = Map::new();
    extra.insert("enable_thinking".into(), json!(said.is_empty()));
    extra.insert("number".into(), json!(said.len() as f64 * 1.5));
    for (tools, prompt) in [(None, true), (Some(&tools), false)] {
        if let Err(error) = template.render_values(&messages, tools, prompt, &extra) {
            check(&error);
        }
    }
}
