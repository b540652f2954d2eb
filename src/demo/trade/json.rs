//! JSON as .NET's `DataContractJsonSerializer` writes it into `nvarchar` columns (DOMAIN §6).
//!
//! Keys in alphabetical order (the caller gives them so; checked in debug builds), no white space, `/` escaped as `\/`,
//! text beyond ASCII as it is, default values left out by the caller.

use super::at::At;

/// One object under construction.
#[derive(Debug)]
pub(super) struct Object {
    text: String,
    last_key: &'static str,
}

impl Object {
    /// An object without keys.
    pub(super) fn new() -> Self {
        Self { text: String::from("{"), last_key: "" }
    }

    fn key(&mut self, key: &'static str) {
        debug_assert!(self.last_key < key, "{key} after {}", self.last_key);
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.last_key = key;
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    /// A text value.
    pub(super) fn text(mut self, key: &'static str, value: &str) -> Self {
        self.key(key);
        self.text.push('"');
        escape(value, &mut self.text);
        self.text.push('"');
        self
    }

    /// A text value or `null`.
    pub(super) fn nullable(mut self, key: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => {
                self.key(key);
                self.text.push_str("null");
                self
            }
        }
    }

    /// A whole number.
    pub(super) fn number(mut self, key: &'static str, value: i64) -> Self {
        self.key(key);
        self.text.push_str(&value.to_string());
        self
    }

    /// A number of hundredths, with two decimals.
    pub(super) fn cents(mut self, key: &'static str, value: i64) -> Self {
        self.key(key);
        self.text.push_str(&decimal(value));
        self
    }

    /// `true` or `false`.
    pub(super) fn flag(mut self, key: &'static str, value: bool) -> Self {
        self.key(key);
        self.text.push_str(if value { "true" } else { "false" });
        self
    }

    /// A date.
    pub(super) fn date(mut self, key: &'static str, value: At) -> Self {
        self.key(key);
        self.text.push('"');
        self.text.push_str(&value.json());
        self.text.push('"');
        self
    }

    /// The finished object.
    pub(super) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// Objects as an array.
pub(super) fn array(objects: impl IntoIterator<Item = String>) -> String {
    let mut text = String::from("[");
    for object in objects {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&object);
    }
    text.push(']');
    text
}

/// Hundredths with a point and two decimals: `-250` is `-2.50`.
pub(super) fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
}

fn escape(value: &str, text: &mut String) {
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '/' => text.push_str("\\/"),
            // SambaPOS's own writers leave line breaks raw inside strings; strict readers stumble over them.
            '\n' | '\r' | '\t' => text.push(letter),
            control if control < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn objects_look_as_dotnet_writes_them() {
        let at = At::on(date(2026, 3, 1), 12 * super::super::at::HOUR);
        let object = Object::new()
            .flag("AP", true)
            .date("D", at)
            .cents("PR", 150)
            .number("Q", 1)
            .text("TN", "Sharing/Platters")
            .text("TO", "say \"hi\"\nğ🎂\\")
            .nullable("TV", None)
            .end();
        assert_eq!(
            array([object]),
            "[{\"AP\":true,\"D\":\"\\/Date(1772366400000+0000)\\/\",\"PR\":1.50,\"Q\":1,\"TN\":\"Sharing\\/Platters\",\
             \"TO\":\"say \\\"hi\\\"\nğ🎂\\\\\",\"TV\":null}]"
        );
        assert_eq!(array([]), "[]");
        assert_eq!(decimal(-5), "-0.05");
    }
}
