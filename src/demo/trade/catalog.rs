//! The catalog: everything that survives a clear (DOMAIN §2.2). Written once, when the till is opened for the first time.
//!
//! Ids are given out in the order of writing, so that the constants below hold on a fresh till.

use duckdb::types::Value;

use super::{
    at::At,
    catalog_setup,
    desk::{Desk, cents, text},
    json::{Object, array},
    menu::{DISHES, Dish, ORDER_TAGS, Tagging},
};

/// An account with its account type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// `AccountTypes.Id`.
    pub(super) kind: i32,
    /// `Accounts.Id`.
    pub(super) id: i32,
}

const fn account(kind: i32, id: i32) -> Account {
    Account { kind, id }
}

pub(super) const SALES: Account = account(1, 1);
pub(super) const RECEIVABLE: Account = account(2, 2);
pub(super) const DISCOUNT: Account = account(3, 3);
pub(super) const CASH: Account = account(4, 4);
pub(super) const CARD: Account = account(4, 5);
pub(super) const VOUCHER: Account = account(4, 6);
pub(super) const BANK: Account = account(4, 7);
pub(super) const VAT: Account = account(5, 8);
pub(super) const SERVICE: Account = account(6, 9);
/// The account type of rooms.
pub(super) const ROOM_ACCOUNTS: i32 = 8;

/// A transaction type: Id, name, source and target account.
pub(super) type TransactionKind = (i32, &'static str, Account, Account);

pub(super) const SALE: TransactionKind = (1, "Sale Transaction", SALES, RECEIVABLE);
pub(super) const TAX: TransactionKind = (2, "VAT Transaction", VAT, RECEIVABLE);
pub(super) const DISCOUNTING: TransactionKind = (3, "Discount Transaction", RECEIVABLE, DISCOUNT);
pub(super) const SERVICING: TransactionKind = (4, "Service Charge Transaction", SERVICE, RECEIVABLE);
pub(super) const PAY_CASH: TransactionKind = (5, "Payment Transaction", RECEIVABLE, CASH);
pub(super) const PAY_CARD: TransactionKind = (6, "Card Payment Transaction", RECEIVABLE, CARD);
pub(super) const PAY_VOUCHER: TransactionKind = (7, "Voucher Payment Transaction", RECEIVABLE, VOUCHER);
pub(super) const PAY_BANK: TransactionKind = (8, "Havale İşlemi", RECEIVABLE, BANK);
/// The target is replaced by the account of the ticket's room.
pub(super) const PAY_ROOM: TransactionKind = (9, "Customer Account Transaction", RECEIVABLE, account(ROOM_ACCOUNTS, 0));
pub(super) const CHANGE: TransactionKind = (10, "Change Transaction", CASH, RECEIVABLE);
/// The source is replaced by the account of the room that settles.
pub(super) const SETTLE_CASH: TransactionKind = (11, "Room Cash Payment", account(ROOM_ACCOUNTS, 0), CASH);
pub(super) const SETTLE_CARD: TransactionKind = (12, "Room Card Payment", account(ROOM_ACCOUNTS, 0), CARD);

/// All transaction types, by Id.
pub(super) const TRANSACTIONS: [TransactionKind; 12] = [
    SALE,
    TAX,
    DISCOUNTING,
    SERVICING,
    PAY_CASH,
    PAY_CARD,
    PAY_VOUCHER,
    PAY_BANK,
    PAY_ROOM,
    CHANGE,
    SETTLE_CASH,
    SETTLE_CARD,
];

/// Document types of the ledger besides tickets: room settlements by cash and by card.
pub(super) const SETTLEMENT_DOCUMENTS: [(i32, TransactionKind); 2] = [(1, SETTLE_CASH), (2, SETTLE_CARD)];

/// Payment types by Id: name and transaction type.
pub(super) const PAYMENT_TYPES: [(&str, TransactionKind); 5] = [
    ("Cash", PAY_CASH),
    ("Credit Card", PAY_CARD),
    ("Voucher", PAY_VOUCHER),
    ("Havale", PAY_BANK),
    ("Room Charge", PAY_ROOM),
];

/// Tax templates by Id: name, rate in hundredths of a percent.
pub(super) const TAXES: [(&str, i64); 2] = [("VAT 20", 2_000), ("VAT 0", 0)];

/// Users by Id: name, role, PIN.
pub(super) const USERS: [(&str, i32, &str); 6] = [
    ("Administrator", 1, "1234"),
    ("Anna", 2, "2001"),
    ("Ben", 2, "2002"),
    ("Çağla", 2, "2003"),
    ("Zoë", 2, "2004"),
    ("Night Porter", 3, "9000"),
];

/// Entity types by Id, at this site: 1 Customers, 2 Tables, 3 Rooms.
pub(super) const CUSTOMERS: i32 = 1;
pub(super) const TABLES: i32 = 2;
pub(super) const ROOMS: i32 = 3;

/// A dish as it is on the menu now.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: i32,
    pub(super) name: String,
    pub(super) dish: &'static Dish,
    pub(super) custom_tags: Option<String>,
    /// Index into [`TAXES`].
    pub(super) tax: usize,
}

/// A table, room or customer.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    pub(super) id: i32,
    pub(super) kind: i32,
    pub(super) name: String,
    /// The room's account; Id 0 for entities without one.
    pub(super) account: Account,
    pub(super) custom_data: Option<String>,
}

/// What the trade needs to know of the catalog.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    pub(super) items: Vec<Item>,
    pub(super) customers: Vec<Entity>,
    pub(super) tables: Vec<Entity>,
    pub(super) rooms: Vec<Entity>,
}

/// Writes the whole catalog and returns what the trade needs of it.
pub(super) fn write(desk: &mut Desk, opened: At) -> Catalog {
    catalog_setup::write(desk);
    let mut catalog = Catalog::default();
    write_accounts(desk);
    write_taxes(desk);
    write_payment_types(desk);
    write_entities(desk, &mut catalog, opened);
    write_menu(desk, &mut catalog);
    write_screen(desk, &catalog);
    write_modifiers(desk);
    catalog
}

fn word(value: &str) -> Value {
    text(Some(value))
}

fn write_accounts(desk: &mut Desk) {
    let kinds = [
        "Sales Accounts",
        "Receivable Accounts",
        "Discount Accounts",
        "Payment Accounts",
        "Tax Accounts",
        "Service Accounts",
        "Customer Accounts",
        "Room Accounts",
    ];
    for (order, name) in (0..).zip(kinds) {
        desk.insert("AccountTypes", [("SortOrder", Value::Int(order)), ("Name", word(name))]);
    }
    let accounts = [
        (SALES, "Sales"),
        (RECEIVABLE, "Receivables"),
        (DISCOUNT, "Discount"),
        (CASH, "Cash"),
        (CARD, "Credit Card"),
        (VOUCHER, "Voucher"),
        (BANK, "Banka Havalesi"),
        (VAT, "VAT"),
        (SERVICE, "Service Charge"),
    ];
    for (account, name) in accounts {
        let id = desk.insert("Accounts", [("AccountTypeId", account.kind.into()), ("Name", word(name))]);
        debug_assert_eq!(id, account.id);
    }
    for (order, (_, name, source, target)) in (0..).zip(TRANSACTIONS) {
        desk.insert(
            "AccountTransactionTypes",
            [
                ("SortOrder", Value::Int(order)),
                ("SourceAccountTypeId", source.kind.into()),
                ("TargetAccountTypeId", target.kind.into()),
                ("DefaultSourceAccountId", source.id.into()),
                ("DefaultTargetAccountId", target.id.into()),
                ("Name", word(name)),
            ],
        );
    }
    for (_, (transaction, name, ..)) in SETTLEMENT_DOCUMENTS {
        let id = desk.insert(
            "AccountTransactionDocumentTypes",
            [
                ("ButtonHeader", word(name)),
                ("MasterAccountTypeId", ROOM_ACCOUNTS.into()),
                ("DefaultAmount", word("[Balance]")),
                ("Name", word(name)),
            ],
        );
        let row = desk.row("AccountTransactionDocumentTypeAccountTransactionTypes");
        desk.add(
            row,
            [("AccountTransactionDocumentType_Id", id.into()), ("AccountTransactionType_Id", transaction.into())],
        );
    }
}

fn write_taxes(desk: &mut Desk) {
    for (order, (name, rate)) in (0..).zip(TAXES) {
        let id = desk.insert(
            "TaxTemplates",
            [
                ("SortOrder", Value::Int(order)),
                ("Rate", cents(rate)),
                ("Name", word(name)),
                ("AccountTransactionType_Id", TAX.0.into()),
            ],
        );
        desk.insert("TaxTemplateMaps", [("TaxTemplateId", id.into()), ("MenuItemGroupCode", Value::Null)]);
    }
    let calculations = [
        ("Discount", DISCOUNTING.0, 0, 1000, false, true),
        ("Service Charge 12.5%", SERVICING.0, 0, 1250, true, false),
        ("Round Up", SERVICING.0, 4, 5, true, false),
    ];
    let selector =
        desk.insert("CalculationSelectors", [("ButtonHeader", word("Adjust")), ("Name", word("Adjustments"))]);
    for (order, (name, transaction, method, amount, include_tax, decrease)) in (0..).zip(calculations) {
        let id = desk.insert(
            "CalculationTypes",
            [
                ("SortOrder", Value::Int(order)),
                ("CalculationMethod", Value::Int(method)),
                ("Amount", cents(amount)),
                ("IncludeTax", include_tax.into()),
                ("DecreaseAmount", decrease.into()),
                ("Name", word(name)),
                ("AccountTransactionType_Id", Value::Int(transaction)),
            ],
        );
        let row = desk.row("CalculationSelectorCalculationTypes");
        desk.add(row, [("CalculationSelector_Id", selector.into()), ("CalculationType_Id", id.into())]);
    }
}

fn write_payment_types(desk: &mut Desk) {
    for (order, (name, transaction)) in (0..).zip(PAYMENT_TYPES) {
        let target = transaction.3;
        let settings = (name == "Credit Card").then(|| {
            array([Object::new()
                .text("D", "")
                .text("N", "Terminal")
                .text("O", "")
                .text("S", "{\"key\":\"demo\"}")
                .end()])
        });
        let id = desk.insert(
            "PaymentTypes",
            [
                ("SortOrder", Value::Int(order)),
                ("ProcessorSettings", text(settings.as_deref())),
                ("ButtonHeader", word("")),
                ("Name", word(name)),
                ("AccountTransactionType_Id", transaction.0.into()),
                ("Account_Id", if target.id == 0 { Value::Null } else { target.id.into() }),
            ],
        );
        desk.insert("PaymentTypeMaps", [("PaymentTypeId", id.into())]);
    }
    desk.insert(
        "ChangePaymentTypes",
        [("Name", word("Cash Change")), ("AccountTransactionType_Id", CHANGE.0.into()), ("Account_Id", CASH.id.into())],
    );
}

fn write_entities(desk: &mut Desk, catalog: &mut Catalog, opened: At) {
    for (order, (one, many, accounts)) in
        (0..).zip([("Customer", "Customers", 7), ("Table", "Tables", 0), ("Room", "Rooms", ROOM_ACCOUNTS)])
    {
        let id = desk.insert(
            "EntityTypes",
            [
                ("SortOrder", Value::Int(order)),
                ("EntityName", word(one)),
                ("AccountTypeId", Value::Int(accounts)),
                ("PrimaryFieldName", word("Name")),
                ("Name", word(many)),
            ],
        );
        if one == "Customer" {
            desk.insert("EntityCustomFields", [("Name", word("Phone")), ("EntityType_Id", id.into())]);
        }
    }
    let people = [
        ("Mrs Okafor", "01632 960112"),
        ("Şebnem Yılmaz", "01632 960177"),
        ("José Núñez", "01632 960145"),
        ("O'Brien / Walsh", "01632 960190"),
        ("François Lefèvre", "01632 960128"),
        ("Wedding party\nHarris", "01632 960161"),
    ];
    for (name, phone) in people {
        let data = array([
            Object::new().text("Name", "Phone").text("Value", phone).end(),
            Object::new().text("Name", "Address").nullable("Value", None).end(),
        ]);
        let id = write_entity(desk, CUSTOMERS, name, 0, Some(&data), opened);
        catalog.customers.push(Entity {
            id,
            kind: CUSTOMERS,
            name: name.to_owned(),
            account: account(7, 0),
            custom_data: Some(data),
        });
    }
    let tables =
        (1..=24).map(|n| format!("T{n}")).chain((1..=5).map(|n| format!("Terrace {n}"))).chain(["Bar".to_owned()]);
    for name in tables {
        let id = write_entity(desk, TABLES, &name, 0, None, opened);
        catalog.tables.push(Entity { id, kind: TABLES, name, account: account(0, 0), custom_data: None });
    }
    for name in (1..=3).flat_map(|floor| (1..=12).map(move |door| format!("Room {floor}{door:02}"))) {
        let ledger = desk.insert("Accounts", [("AccountTypeId", ROOM_ACCOUNTS.into()), ("Name", word(&name))]);
        let id = write_entity(desk, ROOMS, &name, ledger, Some("[]"), opened);
        catalog.rooms.push(Entity {
            id,
            kind: ROOMS,
            name,
            account: account(ROOM_ACCOUNTS, ledger),
            custom_data: Some("[]".to_owned()),
        });
    }
}

fn write_entity(desk: &mut Desk, kind: i32, name: &str, ledger: i32, data: Option<&str>, opened: At) -> i32 {
    desk.insert(
        "Entities",
        [
            ("EntityTypeId", kind.into()),
            ("LastUpdateTime", opened.into()),
            ("SearchString", word(&name.to_lowercase())),
            ("CustomData", text(data)),
            ("AccountId", ledger.into()),
            ("Name", word(name)),
        ],
    )
}

fn custom_tags(tagging: Tagging) -> Option<String> {
    let tag = |name, value| Object::new().text("TN", name).nullable("TV", value).end();
    match tagging {
        Tagging::Full(course, code) => Some(array([
            tag("Kitchen Course", Some(course)),
            tag("Kitchen Print", Some("Y")),
            tag("NewBook GLA", Some(code)),
        ])),
        Tagging::Code(code) => Some(array([tag("NewBook GLA", Some(code))])),
        Tagging::NullCourse(code) => {
            Some(array([tag("Kitchen Course", None), tag("Kitchen Print", Some("Y")), tag("NewBook GLA", Some(code))]))
        }
        Tagging::Empty => Some(array([])),
        Tagging::Missing => None,
    }
}

fn write_menu(desk: &mut Desk, catalog: &mut Catalog) {
    desk.insert("MenuItemPriceDefinitions", [("PriceTag", word("HH")), ("Name", word("Happy Hour"))]);
    for (number, dish) in (1..).zip(DISHES) {
        let tags = custom_tags(dish.tagging);
        let id = desk.insert(
            "MenuItems",
            [
                ("GroupCode", text(dish.group)),
                ("Barcode", if number % 9 == 0 { word(&format!("5012345{number:06}")) } else { Value::Null }),
                ("Tag", if number % 5 == 0 { word("") } else { Value::Null }),
                ("CustomTags", text(tags.as_deref())),
                ("Name", word(dish.name)),
            ],
        );
        for (portion, price) in dish.portions {
            let portion_id = desk.insert(
                "MenuItemPortions",
                [("Name", text(*portion)), ("MenuItemId", id.into()), ("Multiplier", Value::Int(1))],
            );
            desk.insert("MenuItemPrices", [("MenuItemPortionId", portion_id.into()), ("Price", cents(*price))]);
            if dish.group == Some("Beer") {
                desk.insert(
                    "MenuItemPrices",
                    [("MenuItemPortionId", portion_id.into()), ("PriceTag", word("HH")), ("Price", cents(price - 50))],
                );
            }
        }
        let tax = usize::from(dish.group.is_none());
        catalog.items.push(Item { id, name: dish.name.to_owned(), dish, custom_tags: tags, tax });
    }
}

fn write_screen(desk: &mut Desk, catalog: &Catalog) {
    let menu = desk.insert("ScreenMenus", [("CategoryColumnCount", Value::Int(1)), ("Name", word("Restaurant Menu"))]);
    for (order, group) in (0..).zip(["Breakfast", "Food", "Wine", "Beer", "Spirits", "Soft Drinks", "Hot Drinks"]) {
        let category = desk.insert(
            "ScreenMenuCategories",
            [
                ("Name", word(group)),
                ("SortOrder", Value::Int(order)),
                ("ScreenMenuId", menu.into()),
                ("MenuItemFontSize", Value::Double(18.5)),
                ("MainFontSize", Value::Double(22.0)),
                ("MaxItems", Value::Int(60)),
            ],
        );
        for item in catalog.items.iter().filter(|item| item.dish.group == Some(group)) {
            desk.insert(
                "ScreenMenuItems",
                [
                    ("Name", word(&item.name)),
                    ("ScreenMenuCategoryId", category.into()),
                    ("MenuItemId", item.id.into()),
                    ("Quantity", Value::Int(1)),
                    ("FontSize", Value::Double(16.0)),
                ],
            );
        }
        desk.insert(
            "ScreenMenuItems",
            [
                ("Name", word("Print Bill")),
                ("ScreenMenuCategoryId", category.into()),
                ("MenuItemId", Value::Int(0)),
                ("FontSize", Value::Double(16.0)),
                ("AutomationCommand", word("Print Bill")),
            ],
        );
    }
}

fn write_modifiers(desk: &mut Desk) {
    for (order, (group, tags)) in (0..).zip(ORDER_TAGS) {
        let id = desk.insert(
            "OrderTagGroups",
            [
                ("SortOrder", Value::Int(order)),
                ("MaxSelectedItems", Value::Int(if *group == "Allergy" { 3 } else { 1 })),
                ("AddTagPriceToOrderPrice", (*group != "Extras").into()),
                ("FreeTagging", (*group == "Allergy").into()),
                ("Name", word(group)),
            ],
        );
        for (sort, (tag, price)) in (0..).zip(*tags) {
            desk.insert(
                "OrderTags",
                [
                    ("Name", word(tag)),
                    ("SortOrder", Value::Int(sort)),
                    ("OrderTagGroupId", id.into()),
                    ("Price", cents(*price)),
                ],
            );
        }
        desk.insert("OrderTagMaps", [("OrderTagGroupId", id.into()), ("MenuItemGroupCode", word("Food"))]);
    }
}
