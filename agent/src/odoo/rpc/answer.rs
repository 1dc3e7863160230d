//! What is in an answer.

use serde::Deserialize;
use serde_json::Value;

use super::failure::Fault;

/// The longest message of Odoo that is shown, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

#[derive(Deserialize)]
struct Answer {
    id: Option<u64>,
    #[serde(default)]
    result: Value,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    #[serde(default)]
    message: String,
    data: Option<RpcErrorData>,
}

#[derive(Deserialize)]
struct RpcErrorData {
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: Value,
}

/// The result, or what Odoo refused; a text where this is no answer to call `id`.
pub fn decode(body: &[u8], id: u64) -> Result<Result<Value, Fault>, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|e| format!("the answer is not JSON-RPC: {e}"))?;
    if answer.id != Some(id) {
        return Err("the answer is to another call".to_owned());
    }
    let Some(error) = answer.error else { return Ok(Ok(answer.result)) };
    let (name, message) = match error.data {
        Some(data) => (data.name, data.message.as_str().map(str::to_owned)),
        None => (String::new(), None),
    };
    let message = message.filter(|message| !message.trim().is_empty()).unwrap_or(error.message);
    Ok(Err(Fault { name: one_line(&name), message: one_line(&message) }))
}

/// Text of others on one line, without control characters, and not too long.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let whole = words.join(" ");
    match whole.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &whole[..at]),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odoo_s_own_message_is_the_reason_and_cannot_fill_the_screen() {
        let body = br#"{"jsonrpc": "2.0", "id": 7, "error": {"code": 200, "message": "Odoo Server Error",
            "data": {"name": "odoo.exceptions.AccessError", "debug": "Traceback ...",
                     "message": "You are not allowed\n\n\u001b[2Jto create", "arguments": []}}}"#;
        let fault = decode(body, 7).unwrap().unwrap_err();
        assert_eq!(fault.name, "odoo.exceptions.AccessError");
        assert_eq!(fault.message, "You are not allowed [2Jto create");
        let long = format!(r#"{{"id": 7, "error": {{"message": "{}"}}}}"#, "x".repeat(9000));
        assert_eq!(decode(long.as_bytes(), 7).unwrap().unwrap_err().message.chars().count(), 301);
    }

    #[test]
    fn only_an_answer_to_this_call_counts() {
        assert_eq!(decode(br#"{"id": 7, "result": [1]}"#, 7), Ok(Ok(serde_json::json!([1]))));
        assert_eq!(decode(br#"{"id": 7}"#, 7), Ok(Ok(Value::Null)), "None is left out");
        assert!(decode(br#"{"id": 6, "result": [1]}"#, 7).is_err());
        assert!(decode(b"<html>502 Bad Gateway</html>", 7).is_err());
        assert!(decode(br#"{"id": 7, "result": [1"#, 7).is_err());
    }
}
