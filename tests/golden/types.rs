//! The table of the golden archive that has a column of every type.

use crate::tables::{Field, State, dbo, some, state};

/// Name and type; least, greatest, the empty or usual zero, something telling.
const COLUMNS: &[(&str, &str, [&str; 4])] = &[
    ("bit", "bit", ["false", "true", "false", "true"]),
    ("tinyint", "tinyint", ["0", "255", "1", "128"]),
    ("smallint", "smallint", ["-32768", "32767", "0", "-1"]),
    ("int", "int", ["-2147483648", "2147483647", "0", "-1"]),
    ("bigint", "bigint", ["-9223372036854775808", "9223372036854775807", "0", "-1"]),
    ("decimal 1", "decimal(1,0)", ["-9", "9", "0", "-1"]),
    ("decimal 9", "decimal(9,2)", ["-9999999.99", "9999999.99", "0.00", "-0.01"]),
    ("decimal 10", "decimal(10,5)", ["-99999.99999", "99999.99999", "0.00000", "21474.83648"]),
    ("decimal 18", "decimal(18,4)", ["-99999999999999.9999", "99999999999999.9999", "0.0000", "12.5000"]),
    ("decimal 19", "decimal(19,0)", ["-9999999999999999999", "9999999999999999999", "0", "9223372036854775808"]),
    (
        "decimal 38",
        "decimal(38,0)",
        [
            "-99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999",
            "0",
            "18446744073709551616",
        ],
    ),
    (
        "decimal 38 38",
        "decimal(38,38)",
        [
            "-0.99999999999999999999999999999999999999",
            "0.99999999999999999999999999999999999999",
            "0.00000000000000000000000000000000000000",
            "0.00000000000000000000000000000000000001",
        ],
    ),
    ("money", "money", ["-922337203685477.5808", "922337203685477.5807", "0.0000", "12.3400"]),
    ("smallmoney", "smallmoney", ["-214748.3648", "214748.3647", "0.0000", "-0.0001"]),
    ("real", "real", ["-3.4028235e38", "3.4028235e38", "-0.0", "1e-45"]),
    ("float", "float", ["-1.7976931348623157e308", "1.7976931348623157e308", "-0.0", "5e-324"]),
    ("date", "date", ["0001-01-01", "9999-12-31", "1970-01-01", "1582-10-15"]),
    ("time 0", "time(0)", ["00:00:00", "23:59:59", "00:00:00", "12:05:09"]),
    ("time 6", "time(6)", ["00:00:00", "23:59:59.999999", "00:00:00", "12:05:09.000001"]),
    ("time 7", "time(7)", ["00:00:00", "23:59:59.9999999", "00:00:00", "12:05:09.0000001"]),
    (
        "datetime",
        "datetime",
        ["1753-01-01T00:00:00", "9999-12-31T23:59:59.997", "1970-01-01T00:00:00", "2026-03-29T02:30:00.007"],
    ),
    (
        "smalldatetime",
        "smalldatetime",
        ["1900-01-01T00:00:00", "2079-06-06T23:59:00", "1970-01-01T00:00:00", "2026-10-25T02:30:00"],
    ),
    (
        "datetime2 0",
        "datetime2(0)",
        ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "1970-01-01T00:00:00", "1677-09-21T00:12:43"],
    ),
    (
        "datetime2 6",
        "datetime2(6)",
        ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "1970-01-01T00:00:00", "2262-04-11T23:47:16.854776"],
    ),
    (
        "datetime2 7",
        "datetime2(7)",
        [
            "0001-01-01T00:00:00.0000000",
            "9999-12-31T23:59:59.9999999",
            "1970-01-01T00:00:00.0000000",
            "2026-03-01T12:05:00.1234567",
        ],
    ),
    (
        "datetimeoffset 0",
        "datetimeoffset(0)",
        [
            "0001-01-01T00:00:00+00:00",
            "9999-12-31T23:59:59-14:00",
            "1970-01-01T00:00:00+00:00",
            "2026-03-01T12:05:00+14:00",
        ],
    ),
    (
        "datetimeoffset 7",
        "datetimeoffset(7)",
        [
            "0001-01-01T00:00:00.0000000+00:00",
            "9999-12-31T23:59:59.9999999+00:00",
            "1970-01-01T00:00:00.0000000+00:00",
            "2026-03-01T12:05:00.1200000-03:30",
        ],
    ),
    ("char", "char(3)", ["   ", "zzz", "   ", "a  "]),
    ("varchar", "varchar(10)", ["", "zzzzzzzzzz", "", "a "]),
    ("varchar max", "varchar(max)", ["", "é", "", "line\r\nline\ttab"]),
    ("text", "text", ["", "ÿ", "", "\\N"]),
    ("nchar", "nchar(3)", ["   ", "\u{fffd}zz", "   ", "Ç  "]),
    ("nvarchar", "nvarchar(50)", ["", "\u{ffff}", "", "a\0b"]),
    ("nvarchar max", "nvarchar(max)", ["", "\u{10ffff}", "", "e\u{301} é 😀 İıŞş"]),
    ("ntext", "ntext", ["", "東京", "", "\u{feff}x"]),
    ("xml", "xml", ["", "<a b=\"c\">ü</a>", "", "<?x?>"]),
    (
        "uniqueidentifier",
        "uniqueidentifier",
        [
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "00000000-0000-0000-0000-000000000000",
            "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        ],
    ),
    ("binary", "binary(4)", ["00000000", "ffffffff", "00000000", "0a000000"]),
    ("varbinary", "varbinary(8)", ["", "ffffffffffffffff", "", "00"]),
    ("varbinary max", "varbinary(max)", ["", "ff", "", "0000000000000000000000"]),
    ("image", "image", ["", "ff", "", "504e47"]),
    ("rowversion", "rowversion", ["0000000000000000", "ffffffffffffffff", "0000000000000000", "00000000000007d1"]),
];

/// One column for every type, at its ends.
pub(crate) fn everything() -> State {
    let mut declared = vec![("Id", "int not null identity")];
    declared.extend(COLUMNS.iter().map(|(name, sql_type, _)| (*name, *sql_type)));
    declared.push(("never", "nvarchar(max)"));
    let mut rows: Vec<Vec<Field>> = (0..4)
        .map(|at: usize| {
            let values = COLUMNS.iter().map(|(_, _, values)| some(values[at]));
            [some(at + 1)].into_iter().chain(values).chain([None]).collect()
        })
        .collect();
    // Id 5 has nothing but its key; Id 6000 and above come in a block of their own.
    for id in [5, 6_000] {
        rows.push([some(id)].into_iter().chain(std::iter::repeat_n(None, COLUMNS.len() + 1)).collect());
    }
    state(dbo("Everything", &declared, &["Id"]), &rows)
}
