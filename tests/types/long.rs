//! Values of tens of megabytes.

use arrow::array::AsArray as _;
use tillvault::{demo::ExactCell, model::text};

use crate::{
    cases::{column, number, table, utf16},
    till::{READERS, newest, rows, serve, take},
};

#[tokio::test]
async fn values_of_tens_of_megabytes_are_whole() {
    let long = format!("{}é🍮{}", "all of it. ".repeat(450_000), "\0 ".repeat(2_000_000));
    let bytes: Vec<u8> = (0..24_000_000_u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
    let cell = |plain: &[u8]| ExactCell { plain: Some(plain.to_vec()), converted: None };
    let units = utf16(&long);
    let columns = vec![
        column("Text", &"nvarchar(max)".parse().unwrap()),
        column("Old", &"ntext".parse().unwrap()),
        column("Bytes", &"varbinary(max)".parse().unwrap()),
    ];
    let heavy = vec![vec![number(1), cell(&units), cell(&units), cell(&bytes)]];
    let server = serve(vec![table("Heavy", columns, heavy)], true).await;
    for reader in READERS {
        let folder = tempfile::tempdir().unwrap();
        let (archive, outcome) = take(&server, reader, folder.path()).await;
        assert!(outcome.missing.is_empty(), "{:?}", outcome.missing);
        let entry = &newest(&archive).tables[0];
        let found = rows(&archive, entry);
        let nvarchar = found.column(1).as_string::<i32>().value(0);
        assert!(nvarchar == long, "{reader}: nvarchar(max)");
        assert!(found.column(2).as_string::<i32>().value(0) == long, "{reader}: ntext");
        assert!(found.column(3).as_binary::<i32>().value(0) == bytes, "{reader}: varbinary(max)");
        assert_eq!(text::to_utf16(nvarchar).len() * 2, units.len());
    }
}
