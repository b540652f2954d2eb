//! `sql_variant`: what the server is asked for, and what of it is kept.
//!
//! Every value has a type of its own. The server sends one text for each: base type, precision, scale, length and collation,
//! each followed by `|`, then the value in a form that loses nothing ([`expression`]). It is kept as `type:value`
//! ([`decode`], FORMAT §5.2): `decimal(10,2):12.50`, `nvarchar(50) Turkish_CI_AS:Çay`, `varbinary(8):0x00FF`.
//!
//! Promises: the kept text gives back type, collation and value; a base type that is not known here, and a value that is
//! not of the form expected, is refused with the reason, never guessed.

use crate::model::text;

/// The expression for column `x` (quoted): text, `nvarchar(max)`, NULL for NULL.
///
/// All forms are ones Microsoft documents: numbers and times as text of fixed styles; the binary form of `float` alone is
/// the one of IEEE 754. Text comes as its UTF-16, in hex: the server knows the code page of the value's collation. Code page
/// text that would be cut, beyond 4,000 bytes, comes as the bytes it has, marked by `b`. A base type that is missing in this list
/// sends `?`.
pub(super) fn expression(x: &str) -> String {
    let property = |name: &str, length: u8| {
        format!("COALESCE(CAST(SQL_VARIANT_PROPERTY({x}, N'{name}') AS nvarchar({length})), N'')")
    };
    let hex = |bytes: String| format!("CONVERT(nvarchar(max), {bytes}, 2)");
    format!(
        "CASE WHEN {x} IS NULL THEN NULL ELSE CAST({base} AS nvarchar(max)) + N'|' + {precision} + N'|' + {scale} + N'|' \
         + {length} + N'|' + {collation} + N'|' + CASE \
         WHEN {base} IN (N'bit', N'tinyint', N'smallint', N'int', N'bigint', N'decimal', N'numeric', N'uniqueidentifier') \
         THEN CAST({x} AS nvarchar(60)) \
         WHEN {base} IN (N'money', N'smallmoney') THEN CAST(CAST({x} AS decimal(19,4)) AS nvarchar(60)) \
         WHEN {base} IN (N'real', N'float') THEN {float} \
         WHEN {base} = N'date' THEN CONVERT(nvarchar(60), CAST({x} AS date), 23) \
         WHEN {base} = N'time' THEN CONVERT(nvarchar(60), CAST({x} AS time(7)), 121) \
         WHEN {base} IN (N'datetime', N'smalldatetime') THEN CONVERT(nvarchar(60), CAST({x} AS datetime), 121) \
         WHEN {base} = N'datetime2' THEN CONVERT(nvarchar(60), CAST({x} AS datetime2(7)), 121) \
         WHEN {base} = N'datetimeoffset' THEN CONVERT(nvarchar(60), CAST({x} AS datetimeoffset(7)), 121) \
         WHEN {base} IN (N'char', N'varchar') AND DATALENGTH({x}) > 4000 THEN N'b' + {bytes} \
         WHEN {base} IN (N'char', N'varchar', N'nchar', N'nvarchar') THEN {units} \
         WHEN {base} IN (N'binary', N'varbinary') THEN {bytes} \
         ELSE N'?' END END",
        base = property("BaseType", 128),
        precision = property("Precision", 11),
        scale = property("Scale", 11),
        length = property("MaxLength", 11),
        collation = property("Collation", 128),
        float = hex(format!("CAST(CAST({x} AS float) AS binary(8))")),
        bytes = hex(format!("CAST({x} AS varbinary(8000))")),
        units = hex(format!("CAST(CAST({x} AS nvarchar(4000)) AS varbinary(8000))")),
    )
}

/// The kept text of a value that came as [`expression`] says.
///
/// # Errors
/// Why it cannot be kept.
pub(super) fn decode(sent: &str) -> Result<String, String> {
    let mut parts = sent.splitn(6, '|');
    let mut part = || parts.next().ok_or_else(|| "the server sent a sql_variant in another form".to_owned());
    let (base, precision, scale, length, collation, value) = (part()?, part()?, part()?, part()?, part()?, part()?);
    let wrong = || format!("a sql_variant of type {base} came in another form");
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    Ok(match base {
        "bit" if matches!(value, "0" | "1") => format!("bit:{value}"),
        "tinyint" | "smallint" | "int" | "bigint" => {
            let whole: i64 = value.parse().map_err(|_| wrong())?;
            format!("{base}:{whole}")
        }
        "decimal" | "numeric" => {
            let scale = number(scale)?;
            is_decimal(value, usize::from(scale)).then_some(()).ok_or_else(wrong)?;
            format!("decimal({},{scale}):{value}", number(precision)?)
        }
        "money" | "smallmoney" if is_decimal(value, 4) => format!("{base}:{value}"),
        "float" | "real" => format!("{base}:{}", float(base, value).ok_or_else(wrong)?),
        "date" if is_like(value, "0000-00-00") => format!("date:{value}"),
        "time" => format!("time({scale}):{}", clock(value, "00:00:00", number(scale)?).ok_or_else(wrong)?),
        "datetime" if is_like(value, "0000-00-00 00:00:00.000") => format!("datetime:{}", value.replace(' ', "T")),
        "smalldatetime" => format!("smalldatetime:{}", clock(value, "0000-00-00 00:00:00", 0).ok_or_else(wrong)?),
        "datetime2" => {
            format!("datetime2({scale}):{}", clock(value, "0000-00-00 00:00:00", number(scale)?).ok_or_else(wrong)?)
        }
        "datetimeoffset" => {
            let (local, offset) = value.rsplit_once(' ').filter(|(_, offset)| is_offset(offset)).ok_or_else(wrong)?;
            let local = clock(local, "0000-00-00 00:00:00", number(scale)?).ok_or_else(wrong)?;
            format!("datetimeoffset({scale}):{local}{offset}")
        }
        "uniqueidentifier" if is_guid(value) => format!("{base}:{}", value.to_uppercase()),
        "binary" | "varbinary" => format!("{base}({}):0x{}", number(length)?, hex_digits(value).ok_or_else(wrong)?),
        "char" | "varchar" | "nchar" | "nvarchar" => {
            let wide = base.starts_with('n');
            let declared = if wide { number(length)? / 2 } else { number(length)? };
            let head = format!("{base}({declared}) {collation}");
            match value.strip_prefix('b') {
                Some(bytes) if !wide => format!("{head} bytes:0x{}", hex_digits(bytes).ok_or_else(wrong)?),
                _ => {
                    let units = hex::decode(value).map_err(|_| wrong())?;
                    format!("{head}:{}", text::from_utf16le(&units).map_err(|_| wrong())?)
                }
            }
        }
        "bit" | "money" | "smallmoney" | "date" | "datetime" | "uniqueidentifier" => return Err(wrong()),
        other => return Err(format!("a sql_variant holds the type {other}, which cannot be kept without loss")),
    })
}

/// Whether `text` has the shape of `pattern`, in which `0` stands for any digit.
fn is_like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern.bytes())
            .all(|(byte, like)| if like == b'0' { byte.is_ascii_digit() } else { byte == like })
}

fn is_offset(text: &str) -> bool {
    is_like(text, "+00:00") || is_like(text, "-00:00")
}

/// A number with exactly `scale` decimals.
fn is_decimal(text: &str, scale: usize) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once('.') {
        Some((whole, decimals)) => digits(whole) && digits(decimals) && decimals.len() == scale,
        None => scale == 0 && digits(text),
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn hex_digits(text: &str) -> Option<String> {
    let whole = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| text.to_uppercase())
}

/// The shortest decimal that gives the same number of the same width.
fn float(base: &str, value: &str) -> Option<String> {
    let bytes: [u8; 8] = hex::decode(value).ok()?.try_into().ok()?;
    let wide = f64::from_be_bytes(bytes);
    if base == "float" {
        return Some(format!("{wide:?}"));
    }
    // Every real is a float; this finds it again.
    #[allow(clippy::cast_possible_truncation, reason = "checked in the next line to lose nothing")]
    let narrow = wide as f32;
    (f64::from(narrow).to_bits() == wide.to_bits()).then(|| format!("{narrow:?}"))
}

/// A time with seven decimals or none, shaped like `pattern` up to its point, with as many decimals as its type has.
fn clock(value: &str, pattern: &str, scale: u16) -> Option<String> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let scale = usize::from(scale);
    if !is_like(whole, pattern) || !decimals.bytes().all(|byte| byte.is_ascii_digit()) || scale > 7 {
        return None;
    }
    let kept = decimals.get(..scale)?;
    if decimals[scale..].bytes().any(|byte| byte != b'0') {
        return None;
    }
    let point = if scale == 0 { "" } else { "." };
    Some(format!("{}{point}{kept}", whole.replace(' ', "T")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_type_has_a_form() {
        for (sent, kept) in [
            ("bit|1|0|1||1", "bit:1"),
            ("tinyint|3|0|1||255", "tinyint:255"),
            ("bigint|19|0|8||-9223372036854775808", "bigint:-9223372036854775808"),
            (
                "numeric|38|38|17||-0.99999999999999999999999999999999999999",
                "decimal(38,38):-0.99999999999999999999999999999999999999",
            ),
            ("decimal|5|0|5||-12", "decimal(5,0):-12"),
            ("money|19|4|8||-922337203685477.5808", "money:-922337203685477.5808"),
            ("float|53|0|8||8000000000000000", "float:-0.0"),
            ("float|53|0|8||0000000000000001", "float:5e-324"),
            ("real|24|0|4||3FB99999A0000000", "real:0.1"),
            ("date|10|0|3||0001-01-01", "date:0001-01-01"),
            ("time|8|0|3||23:59:59.0000000", "time(0):23:59:59"),
            ("time|12|3|4||23:59:59.1230000", "time(3):23:59:59.123"),
            ("datetime|23|3|8||1753-01-01 00:00:00.003", "datetime:1753-01-01T00:00:00.003"),
            ("smalldatetime|16|0|4||2079-06-06 23:59:00.000", "smalldatetime:2079-06-06T23:59:00"),
            ("datetime2|27|7|8||9999-12-31 23:59:59.9999999", "datetime2(7):9999-12-31T23:59:59.9999999"),
            (
                "datetimeoffset|29|2|8||2026-03-01 12:05:00.1200000 -05:30",
                "datetimeoffset(2):2026-03-01T12:05:00.12-05:30",
            ),
            (
                "uniqueidentifier|0|0|16||6f9619ff-8b86-d011-b42d-00c04fc964ff",
                "uniqueidentifier:6F9619FF-8B86-D011-B42D-00C04FC964FF",
            ),
            ("varbinary|0|0|8||00ff", "varbinary(8):0x00FF"),
            ("varbinary|0|0|8||", "varbinary(8):0x"),
            ("nvarchar|0|0|100|Turkish_CI_AS|C700610079003DD8", "nvarchar(50) Turkish_CI_AS:Çay\u{FFFF}D83D"),
            ("varchar|0|0|20|Latin1_General_CI_AS|", "varchar(20) Latin1_General_CI_AS:"),
            ("varchar|0|0|8000|Greek_CI_AS|b41E1", "varchar(8000) Greek_CI_AS bytes:0x41E1"),
        ] {
            assert_eq!(decode(sent).as_deref(), Ok(kept), "{sent}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for sent in [
            "",
            "int|10|0|4|",
            "int|10|0|4||12x",
            "bit|1|0|1||2",
            "decimal|5|2|5||1.5",
            "money|19|4|8||1.5",
            "real|24|0|4||3FB999999999999A",
            "float|53|0|8||00",
            "date|10|0|3||01.01.2026",
            "time|12|3|4||23:59:59.1234000",
            "time|16|7|4||23:59:59.123",
            "datetimeoffset|29|2|8||2026-03-01 12:05:00.1200000",
            "uniqueidentifier|0|0|16||6f9619ff",
            "varbinary|0|0|8||0",
            "nvarchar|0|0|100|Turkish_CI_AS|C7",
            "nvarchar|0|0|100|Turkish_CI_AS|b41",
        ] {
            assert!(decode(sent).is_err(), "{sent}");
        }
        assert_eq!(
            decode("xml|0|0|0||?").unwrap_err(),
            "a sql_variant holds the type xml, which cannot be kept without loss"
        );
    }

    #[test]
    fn the_server_is_asked_for_every_base_type() {
        let text = expression("[x]");
        for base in [
            "bit",
            "tinyint",
            "smallint",
            "int",
            "bigint",
            "decimal",
            "numeric",
            "money",
            "smallmoney",
            "real",
            "float",
            "date",
            "time",
            "datetime",
            "smalldatetime",
            "datetime2",
            "datetimeoffset",
            "uniqueidentifier",
            "char",
            "varchar",
            "nchar",
            "nvarchar",
            "binary",
            "varbinary",
        ] {
            assert!(text.contains(&format!("N'{base}'")), "{base}");
        }
        assert!(text.ends_with("ELSE N'?' END END"));
    }
}
