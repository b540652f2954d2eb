//! How values compare: folded keys for `=`, GROUP BY and DISTINCT, keys to sort by, LIKE.

use super::{
    SqlError,
    constant::quoted,
    convert::convert,
    translate::Typed,
    typing::{Family, Kind, family, is_numeric},
};
use crate::model::sql_type::SqlType;

/// Whether several spellings of a value are equal.
pub(super) fn is_folded(typed: &Typed) -> bool {
    !typed.binary && matches!(&typed.kind, Kind::Value(sql_type) if family(sql_type) == Family::Text)
}

/// What equal values have in common: for GROUP BY, DISTINCT and comparisons.
pub(super) fn fold_key(typed: &Typed) -> Result<String, SqlError> {
    let Kind::Value(sql_type) = &typed.kind else {
        return if typed.kind == Kind::Null { Ok("NULL".into()) } else { Err(SqlError::syntax("condition")) };
    };
    Ok(match family(sql_type) {
        Family::Text if matches!(sql_type, SqlType::Text | SqlType::NText) => return Err(not_comparable(sql_type)),
        // As bytes, since columns carry a collation of their own in DuckDB.
        Family::Text if typed.binary => format!("encode(rtrim({}, ' '))", typed.sql),
        Family::Text => format!("tsql_fold({})", typed.sql),
        Family::Guid => format!("upper({})", typed.sql),
        Family::Xml | Family::Other => return Err(not_comparable(sql_type)),
        Family::Binary if *sql_type == SqlType::Image => return Err(not_comparable(sql_type)),
        Family::FineMoment if matches!(sql_type, SqlType::DateTimeOffset { .. }) => {
            return Err(SqlError::unsupported("comparing datetimeoffset"));
        }
        _ => typed.sql.clone(),
    })
}

fn not_comparable(sql_type: &SqlType) -> SqlError {
    let text =
        format!("The {sql_type} data type cannot be compared or sorted, except when using IS NULL or LIKE operator.");
    SqlError::new(306, 16, text)
}

/// What values are sorted by.
pub(super) fn order_key(typed: &Typed) -> Result<String, SqlError> {
    let key = fold_key(typed)?;
    Ok(match &typed.kind {
        // A letter with an accent comes after the bare letter, but before the next letter.
        Kind::Value(sql_type) if family(sql_type) == Family::Text && !typed.binary => {
            format!("tsql_order({})", typed.sql)
        }
        Kind::Value(SqlType::UniqueIdentifier) => format!("tsql_guid_order({})", typed.sql),
        _ => key,
    })
}

/// Both sides of a comparison in DuckDB's terms.
pub(super) fn comparable(left: &Typed, right: &Typed) -> Result<(String, String), SqlError> {
    let (Kind::Value(a), Kind::Value(b)) = (&left.kind, &right.kind) else {
        return Ok((fold_key(left)?, fold_key(right)?));
    };
    let clash = || SqlError::new(402, 16, format!("The data types {a} and {b} are incompatible in the comparison."));
    let side = |typed: &Typed, sql_type: &SqlType| -> Result<Typed, SqlError> {
        Ok(Typed { binary: typed.binary, ..Typed::value(convert(typed, sql_type)?, sql_type.clone()) })
    };
    let (left, right) = match (family(a), family(b)) {
        (Family::Text, Family::Text) => {
            let binary = left.binary || right.binary;
            (Typed { binary, ..left.clone() }, Typed { binary, ..right.clone() })
        }
        (Family::Text, Family::Binary | Family::Xml | Family::Other) => return Err(clash()),
        (Family::Text, _) => (side(left, b)?, right.clone()),
        (_, Family::Text) => (left.clone(), side(right, a)?),
        (Family::Bit, Family::Bit) => (left.clone(), right.clone()),
        (Family::Bit, _) if is_numeric(b) => (side(left, &SqlType::Int)?, right.clone()),
        (_, Family::Bit) if is_numeric(a) => (left.clone(), side(right, &SqlType::Int)?),
        _ if is_numeric(a) && is_numeric(b) => (left.clone(), right.clone()),
        (Family::FineMoment, Family::FineMoment) if a == b => (left.clone(), right.clone()),
        (Family::FineMoment, _) | (_, Family::FineMoment) => {
            return Err(SqlError::unsupported(format!("comparing {a} with {b}")));
        }
        (x, y) if x == y => (left.clone(), right.clone()),
        _ => return Err(clash()),
    };
    Ok((fold_key(&left)?, fold_key(&right)?))
}

/// `left op right`.
pub(super) fn compare(op: &str, left: &Typed, right: &Typed) -> Result<String, SqlError> {
    let (a, b) = comparable(left, right)?;
    let ordering = !matches!(op, "=" | "<>" | "!=");
    let text = |typed: &Typed| matches!(&typed.kind, Kind::Value(sql_type) if family(sql_type) == Family::Text);
    if ordering && text(left) && text(right) && !left.binary && !right.binary {
        return Ok(format!("(tsql_order({}) {op} tsql_order({}))", left.sql, right.sql));
    }
    Ok(format!("({a} {op} {b})"))
}

/// `text LIKE pattern`. Trailing blanks of the pattern count, unlike in comparisons.
pub(super) fn like(text: &Typed, pattern: &Typed, escape: Option<char>) -> Result<String, SqlError> {
    for side in [text, pattern] {
        if !matches!(&side.kind, Kind::Value(sql_type) if family(sql_type) == Family::Text) {
            return Err(SqlError::unsupported("LIKE on anything but text"));
        }
    }
    let binary = text.binary || pattern.binary;
    let fold = |sql: &str| if binary { sql.to_owned() } else { format!("lower({sql})") };
    if let Some(constant) = &pattern.constant {
        let regex = like_as_regex(constant, escape);
        let options = if binary { "s" } else { "si" };
        return Ok(format!("regexp_full_match({}, {}, '{options}')", text.sql, quoted(&regex)));
    }
    if escape.is_some() {
        return Err(SqlError::unsupported("LIKE with ESCAPE and a pattern that is not a constant"));
    }
    Ok(format!("({} LIKE tsql_like_pattern({}) ESCAPE '\u{1}')", fold(&text.sql), fold(&pattern.sql)))
}

/// A LIKE pattern with its classes as a regular expression.
fn like_as_regex(pattern: &str, escape: Option<char>) -> String {
    let mut regex = String::new();
    let mut characters = pattern.chars().peekable();
    let push = |regex: &mut String, character: char| {
        if !character.is_alphanumeric() && character != ' ' && character.is_ascii() {
            regex.push('\\');
        }
        regex.push(character);
    };
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => {
                if let Some(next) = characters.next() {
                    push(&mut regex, next);
                }
            }
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '[' => {
                let class: String = characters.by_ref().take_while(|next| *next != ']').collect();
                let (not, class) = class.strip_prefix('^').map_or(("", class.as_str()), |rest| ("^", rest));
                if class.is_empty() {
                    continue;
                }
                regex.push('[');
                regex.push_str(not);
                for inner in class.chars() {
                    if inner == '-' { regex.push('-') } else { push(&mut regex, inner) }
                }
                regex.push(']');
            }
            other => push(&mut regex, other),
        }
    }
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_regular_expressions() {
        assert_eq!(like_as_regex("%\"S\":\"Void\"%", None), ".*\\\"S\\\"\\:\\\"Void\\\".*");
        assert_eq!(like_as_regex("a[_]b_", None), "a[\\_]b.");
        assert_eq!(like_as_regex("50!%", Some('!')), "50\\%");
        assert_eq!(like_as_regex("[^a-c]x", None), "[^a-c]x");
    }
}
