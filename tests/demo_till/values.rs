use tiberius::{ColumnData, ColumnType, numeric::Numeric};

use crate::support::{connect, rows, table};

#[tokio::test]
async fn every_type_arrives_as_declared() {
    let server = crate::support::server().await;
    let types = table(
        "Kinds",
        &[
            ("Id", "int"),
            ("b", "bit?"),
            ("ti", "tinyint?"),
            ("si", "smallint?"),
            ("bi", "bigint?"),
            ("d", "decimal(38,10)?"),
            ("m", "money?"),
            ("f", "float?"),
            ("r", "real?"),
            ("da", "date?"),
            ("ti3", "time(3)?"),
            ("dt", "datetime?"),
            ("sdt", "smalldatetime?"),
            ("dt23", "datetime2(3)?"),
            ("dt27", "datetime2(7)?"),
            ("dto", "datetimeoffset(7)?"),
            ("v", "varchar(20)?"),
            ("nv", "nvarchar(20)?"),
            ("nmax", "nvarchar(max)?"),
            ("nt", "ntext?"),
            ("bin", "varbinary(20)?"),
            ("bmax", "varbinary(max)?"),
            ("rv", "rowversion"),
            ("g", "uniqueidentifier?"),
            ("x", "xml?"),
            ("c", "char(5)?"),
        ],
    );
    server.engine().add_table(&types).unwrap();
    let data = server.engine().connection().unwrap();
    data.execute_batch(
        "INSERT INTO dbo.Kinds VALUES
         (1, true, 255, -32768, -9223372036854775808, -1234567890123456789012345678.0123456789, -922337203685477.5808, 1e308, 1.5,
          '0001-01-01', '23:59:59.997', '2026-03-01 12:05:00.003', '2026-03-01 12:05:00', '1677-01-01 00:00:00.123',
          '1677-01-01T00:00:00.1234567', '2026-03-01 00:30:00.0000000+01:00',
          'Café €', 'Ünï', 'a' || chr(0) || '€😀', 'old', '\\x00\\xFF'::BLOB, '\\x01'::BLOB, '\\x00\\x00\\x00\\x00\\x00\\x00\\x07\\xD1'::BLOB,
          '6F9619FF-8B86-D011-B42D-00C04FC964FF', '<a/>', 'ab'),
         (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
          NULL, '\\x00\\x00\\x00\\x00\\x00\\x00\\x07\\xD2'::BLOB, NULL, NULL, NULL)",
    )
    .unwrap();
    let mut client = connect(&server).await;
    let found = rows(&mut client, "SELECT * FROM Kinds ORDER BY Id").await;
    let types: Vec<_> =
        found[0].columns().iter().map(|column| (column.name().to_owned(), column.column_type())).collect();
    assert_eq!(types[0], ("Id".into(), ColumnType::Int4));
    assert_eq!(types[5].1, ColumnType::Decimaln);
    assert_eq!(types[11].1, ColumnType::Datetimen);
    assert_eq!(types[22].1, ColumnType::BigBinary);
    let values: Vec<String> = found[0].cells().map(|(_, value)| format!("{value:?}")).collect();
    let row = &found[0];
    assert_eq!(row.get::<bool, _>("b"), Some(true));
    assert_eq!(row.get::<u8, _>("ti"), Some(255));
    assert_eq!(row.get::<i16, _>("si"), Some(-32768));
    assert_eq!(row.get::<i64, _>("bi"), Some(i64::MIN));
    assert_eq!(
        row.get::<Numeric, _>("d"),
        Some(Numeric::new_with_scale(-12_345_678_901_234_567_890_123_456_780_123_456_789, 10))
    );
    assert_eq!(row.get::<f64, _>("f"), Some(1e308));
    assert_eq!(row.get::<f32, _>("r"), Some(1.5));
    assert_eq!(row.get::<&str, _>("v"), Some("Café €"));
    assert_eq!(row.get::<&str, _>("nv"), Some("Ünï"));
    assert_eq!(row.get::<&str, _>("nmax"), Some("a\0€😀"));
    assert_eq!(row.get::<&str, _>("nt"), Some("old"));
    assert_eq!(row.get::<&str, _>("c"), Some("ab   "));
    assert_eq!(row.get::<&[u8], _>("bin"), Some(&[0u8, 0xFF][..]));
    assert_eq!(row.get::<&[u8], _>("bmax"), Some(&[1u8][..]));
    assert_eq!(row.get::<&[u8], _>("rv"), Some(&[0u8, 0, 0, 0, 0, 0, 7, 0xD1][..]));
    assert_eq!(row.get::<tiberius::Uuid, _>("g").unwrap().to_string(), "6f9619ff-8b86-d011-b42d-00c04fc964ff");
    let shown = |index: usize| values[index].as_str();
    assert!(shown(11).contains("46080") && shown(11).contains("13050001"), "datetime: {}", shown(11));
    assert!(shown(14).contains("increments: 1234567"), "datetime2(7): {}", shown(14));
    for (column, value) in found[1].cells() {
        let null = match value {
            ColumnData::I32(value) => value.is_none(),
            ColumnData::Binary(value) => value.is_none(),
            other => format!("{other:?}").contains("None"),
        };
        assert_eq!(null, !["Id", "rv"].contains(&column.name()), "{}: {value:?}", column.name());
    }
}
