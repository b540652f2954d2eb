//! Every SQL Server type at its extremes, and names that need quoting.

use arrow::{
    array::AsArray as _,
    datatypes::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int64Type, Time64MicrosecondType,
        Time64NanosecondType, TimestampMicrosecondType,
    },
};
use tillvault::{
    demo::{EngineOptions, schema},
    model::table::{KeyRange, Table},
    source::{Source as _, TableSelection},
};

use super::till::{connect, fill, read, start, stored};

const EVERY_TYPE: &str = "
CREATE TABLE [dbo].[EveryType] (
    [Id] int NOT NULL,
    [Bit] bit NULL, [Tiny] tinyint NULL, [Small] smallint NULL, [Big] bigint NULL,
    [Dec38] decimal(38,0) NULL, [Dec38s] decimal(38,38) NULL, [Dec5] decimal(5,2) NULL,
    [Money] money NULL, [SmallMoney] smallmoney NULL,
    [Real] real NULL, [Float] float NULL,
    [Date] date NULL, [Time0] time(0) NULL, [Time6] time(6) NULL, [Time7] time(7) NULL,
    [DateTime] datetime NULL, [SmallDateTime] smalldatetime NULL,
    [Fine3] datetime2(3) NULL, [Fine7] datetime2(7) NULL, [Zone] datetimeoffset(7) NULL,
    [Char] char(5) NULL, [VarChar] varchar(50) NULL, [VarCharMax] varchar(max) NULL, [Text] text NULL,
    [NChar] nchar(5) NULL, [NVarChar] nvarchar(50) NULL, [NVarCharMax] nvarchar(max) NULL, [NText] ntext NULL,
    [Binary] binary(4) NULL, [VarBinary] varbinary(50) NULL, [VarBinaryMax] varbinary(max) NULL, [Image] image NULL,
    [Guid] uniqueidentifier NULL, [Xml] xml NULL, PRIMARY KEY ([Id]));
";

const LEAST: &str = "INSERT INTO dbo.\"EveryType\" VALUES (
    1, false, 0, -32768, -9223372036854775808,
    '-99999999999999999999999999999999999999', '-0.99999999999999999999999999999999999999', -999.99,
    '-922337203685477.5808', -214748.3648, -3.4e38, -1.79e308,
    DATE '0001-01-01', TIME '00:00:00', TIME '00:00:00', '00:00:00.0000000',
    TIMESTAMP '1753-01-01 00:00:00', TIMESTAMP '1900-01-01 00:00:00',
    TIMESTAMP '0001-01-01 00:00:00', '0001-01-01T00:00:00.0000000', '0001-01-01T00:00:00.0000000+00:00',
    'abcde', '', '', '', 'abcde', '', '', '',
    unhex('00000000'), unhex(''), unhex(''), unhex(''),
    '00000000-0000-0000-0000-000000000000', '<a/>')";

const MOST: &str = "INSERT INTO dbo.\"EveryType\" VALUES (
    2, true, 255, 32767, 9223372036854775807,
    '99999999999999999999999999999999999999', '0.99999999999999999999999999999999999999', 999.99,
    '922337203685477.5807', 214748.3647, 3.4e38, 1.79e308,
    DATE '9999-12-31', TIME '23:59:59', TIME '23:59:59.999999', '23:59:59.9999999',
    TIMESTAMP '9999-12-31 23:59:59.997', TIMESTAMP '2079-06-06 23:59:00',
    TIMESTAMP '9999-12-31 23:59:59.999', '9999-12-31T23:59:59.9999999', '2026-03-01T12:05:00.1234567-05:30',
    'ABCDE', 'Müller ', 'Müller', 'Müller', 'ÄÖÜßé', '🍮 flan', repeat('🍮é', 100000), 'long ago',
    unhex('FFFFFFFF'), unhex('00FF00'), unhex(repeat('00FF', 100000)), unhex('FF'),
    '6F9619FF-8B86-D011-B42D-00C04FC964FF', '<a>é</a>')";

#[tokio::test]
async fn every_type_is_exact_at_its_extremes() {
    let tables = schema::parse(EVERY_TYPE).unwrap();
    let server = start(&tables, EngineOptions::default()).await;
    let connection = server.engine().connection().unwrap();
    connection.execute_batch(LEAST).unwrap();
    connection.execute_batch(MOST).unwrap();
    connection.execute_batch("INSERT INTO dbo.\"EveryType\" (\"Id\") VALUES (3)").unwrap();
    let mut till = connect(&server).await;
    let found = till.tables(&TableSelection::default()).await.unwrap();
    assert_eq!(found, tables);
    assert_eq!(found[0].key, ["Id"]);

    let rows = read(&mut till, &found[0], KeyRange::ALL).await.unwrap();
    let expected = stored(server.engine(), &found[0], "true");
    for (index, column) in found[0].columns.iter().enumerate() {
        assert_eq!(rows.column(index), expected.column(index), "{}", column.name);
    }

    // Some by value, so that the demo till and this test cannot be wrong in the same way.
    let column = |name: &str| rows.column_by_name(name).unwrap();
    assert_eq!(column("Tiny").as_primitive::<Int16Type>().value(1), 255);
    assert_eq!(column("Big").as_primitive::<Int64Type>().value(0), i64::MIN);
    assert_eq!(column("Dec38").as_primitive::<Decimal128Type>().value(1), 10_i128.pow(38) - 1);
    assert_eq!(column("Dec38s").as_primitive::<Decimal128Type>().value(0), 1 - 10_i128.pow(38));
    assert_eq!(column("Money").as_primitive::<Decimal128Type>().value(0), i128::from(i64::MIN));
    assert_eq!(column("SmallMoney").as_primitive::<Decimal128Type>().value(1), i128::from(i32::MAX));
    assert!((column("Real").as_primitive::<Float32Type>().value(0) - -3.4e38).abs() < f32::EPSILON);
    assert!((column("Float").as_primitive::<Float64Type>().value(1) - 1.79e308).abs() < f64::EPSILON);
    assert_eq!(column("Date").as_primitive::<Date32Type>().value(0), -719_162);
    assert_eq!(column("Time6").as_primitive::<Time64MicrosecondType>().value(1), 86_399_999_999);
    assert_eq!(column("Time7").as_primitive::<Time64NanosecondType>().value(1), 86_399_999_999_900);
    assert_eq!(column("DateTime").as_primitive::<TimestampMicrosecondType>().value(1), 253_402_300_799_997_000);
    assert_eq!(column("Fine7").as_string::<i32>().value(1), "9999-12-31T23:59:59.9999999");
    assert_eq!(column("Zone").as_string::<i32>().value(1), "2026-03-01T12:05:00.1234567-05:30");
    assert_eq!(column("Guid").as_string::<i32>().value(1), "6F9619FF-8B86-D011-B42D-00C04FC964FF");
    assert_eq!(column("VarChar").as_string::<i32>().value(1), "Müller ");
    assert_eq!(column("NVarCharMax").as_string::<i32>().value(1), "🍮é".repeat(100_000));
    assert_eq!(column("VarBinaryMax").as_binary::<i32>().value(1), [0, 255].repeat(100_000));
    assert!(found[0].columns.iter().skip(1).all(|name| column(&name.name).is_null(2)));
}

#[tokio::test]
async fn odd_names_are_quoted() {
    let tables = schema::parse(
        "CREATE TABLE [dbo].[Order Details] ([Id] int NOT NULL, [Group] int NULL, [two words] nvarchar(50) NULL, [Größe] int NULL, PRIMARY KEY ([Id]));
         CREATE TABLE [dbo].[select] ([Key] int NOT NULL, [From] nvarchar(50) NULL, PRIMARY KEY ([Key]));",
    )
    .unwrap();
    // A bracket cannot be written in the script; add it to the names.
    let mut tables: Vec<Table> = tables;
    tables[0].name.name = "Order ]Details[".into();
    tables[0].columns[1].name = "Gr]oup".into();
    let server = start(&tables, EngineOptions::default()).await;
    for table in &tables {
        fill(server.engine(), table, 700);
    }
    let mut till = connect(&server).await;
    let found = till.tables(&TableSelection::default()).await.unwrap();
    assert_eq!(found, tables);
    for table in &found {
        assert_eq!(read(&mut till, table, KeyRange::ALL).await.unwrap(), stored(server.engine(), table, "true"));
    }
}

#[tokio::test]
async fn a_type_that_cannot_be_kept_is_named_and_the_next_table_goes_on() {
    let tables = schema::parse(
        "CREATE TABLE [dbo].[Places] ([Id] int NOT NULL, [Where] vector NULL, PRIMARY KEY ([Id]));
         CREATE TABLE [dbo].[Plain] ([Id] int NOT NULL, [Name] nvarchar(50) NULL, PRIMARY KEY ([Id]));",
    )
    .unwrap();
    let server = start(&tables, EngineOptions::default()).await;
    fill(server.engine(), &tables[1], 3);
    let mut till = connect(&server).await;
    let found = till.tables(&TableSelection::default()).await.unwrap();
    assert_eq!(found[0].unsupported().unwrap().name, "Where");
    let error = read(&mut till, &found[0], KeyRange::ALL).await.unwrap_err();
    assert_eq!(error.message(), "cannot keep table Places: column Where has the type vector");
    assert_eq!(read(&mut till, &found[1], KeyRange::ALL).await.unwrap().num_rows(), 3);
}
