//! The part of the catalog that describes the house: users, tills, numbers, states, printers, rules, stock.

use duckdb::types::Value;
use jiff::civil::Date;

use super::{
    at::At,
    catalog::{ROOMS, SALE, TABLES, USERS},
    desk::{Desk, cents, milli, text},
};

/// `Numerators.Id` of ticket numbers.
pub(super) const TICKET_NUMERATOR: i32 = 1;
/// `Numerators.Id` of order numbers.
pub(super) const ORDER_NUMERATOR: i32 = 2;

/// Stock items by Id: name, unit, price of a unit in pence.
pub(super) const STOCK: [(&str, &str, i64); 8] = [
    ("Beef rib", "kg", 1450),
    ("Cod fillet", "kg", 1180),
    ("Potatoes", "kg", 85),
    ("Flour", "kg", 70),
    ("House Red bottle", "btl", 620),
    ("House White bottle", "btl", 610),
    ("Lager keg", "l", 210),
    ("Eggs", "pc", 18),
];

/// Warehouses by Id.
pub(super) const WAREHOUSES: [&str; 2] = ["Kitchen Store", "Cellar"];

fn word(value: &str) -> Value {
    text(Some(value))
}

/// Writes it all.
pub(super) fn write(desk: &mut Desk) {
    write_versions(desk);
    write_people(desk);
    write_ticket_types(desk);
    write_states(desk);
    write_stock(desk);
    write_automation(desk);
    write_printing(desk);
    write_connections(desk);
}

fn write_versions(desk: &mut Desk) {
    for version in [1_i64, 2, 3, 25, 120] {
        let row = desk.row("VersionInfo");
        desk.add(row, [("Version", version.into())]);
    }
    let row = desk.row("__MigrationHistory");
    desk.add(
        row,
        [
            ("MigrationId", word("201411201234567_Initial")),
            ("ContextKey", word("Samba.Persistance.Data")),
            ("Model", Value::Blob((0..=255).collect())),
            ("ProductVersion", word("6.1.3-40302")),
        ],
    );
    for (name, value) in [
        ("PhoneNumberInputMask", "(###) ### ####"),
        ("WeightBarcodePrefix", ""),
        ("AutoBackup", "True"),
        ("Smtp Password", "demo-only"),
        ("Greeting", "Hoş geldiniz – welcome 🎄"),
    ] {
        desk.insert("ProgramSettingValues", [("Value", word(value)), ("Name", word(name))]);
    }
    desk.insert("ProgramSettingValues", [("Value", Value::Null), ("Name", word("QuantitySeparators"))]);
    desk.insert(
        "ForeignCurrencies",
        [("CurrencySymbol", word("€")), ("ExchangeRate", cents(117)), ("Rounding", cents(5)), ("Name", word("Euro"))],
    );
}

fn write_people(desk: &mut Desk) {
    for (name, admin) in [("Admin", true), ("Waiter", false), ("Porter", false)] {
        let id = desk
            .insert("UserRoles", [("IsAdmin", admin.into()), ("DepartmentId", Value::Int(1)), ("Name", word(name))]);
        for (value, permission) in
            [(i32::from(!admin), "OpenNavigation"), (0, "CreateTicket"), (i32::from(!admin), "VoidOrders")]
        {
            desk.insert(
                "Permissions",
                [("Value", value.into()), ("UserRoleId", id.into()), ("Name", word(permission))],
            );
        }
    }
    for (name, standard) in [("Server", true), ("Bar", false), ("Terrace", false)] {
        desk.insert(
            "Terminals",
            [("IsDefault", standard.into()), ("ReportPrinterId", Value::Int(1)), ("Name", word(name))],
        );
    }
    for (name, role, pin) in USERS {
        desk.insert("Users", [("PinCode", word(pin)), ("Name", word(name)), ("UserRole_Id", Value::Int(role))]);
    }
    for (name, expression) in [("Restaurant", "#"), ("Orders", "#"), ("Unused", "")] {
        let id = desk.next_id("Numerators");
        let row = desk.row("Numerators");
        desk.add(
            row,
            [
                ("Id", id.into()),
                ("LastUpdateTime", Value::Blob(row_version(i64::from(id)))),
                ("Number", Value::Int(0)),
                ("NumberFormat", word(expression)),
                ("Name", word(name)),
            ],
        );
    }
}

/// A `rowversion`: eight bytes, the highest first.
pub(super) fn row_version(count: i64) -> Vec<u8> {
    (2_000 + count).to_be_bytes().to_vec()
}

fn write_ticket_types(desk: &mut Desk) {
    let id = desk.insert(
        "TicketTypes",
        [
            ("ScreenMenuId", Value::Int(1)),
            ("TaxIncluded", true.into()),
            ("Name", word("Restaurant Ticket")),
            ("TicketNumerator_Id", TICKET_NUMERATOR.into()),
            ("OrderNumerator_Id", ORDER_NUMERATOR.into()),
            ("SaleTransactionType_Id", SALE.0.into()),
        ],
    );
    for (order, (kind, name)) in (0..).zip([(TABLES, "Tables"), (ROOMS, "Rooms")]) {
        desk.insert(
            "EntityTypeAssignments",
            [
                ("TicketTypeId", id.into()),
                ("EntityTypeId", kind.into()),
                ("EntityTypeName", word(name)),
                ("SortOrder", Value::Int(order)),
            ],
        );
    }
    desk.insert(
        "MenuAssignments",
        [("TicketTypeId", id.into()), ("MenuId", Value::Int(1)), ("TerminalName", word("Server"))],
    );
    for (order, (name, warehouse)) in (0..).zip([("Restaurant", 1), ("Bar", 2)]) {
        desk.insert(
            "Departments",
            [
                ("SortOrder", Value::Int(order)),
                ("PriceTag", Value::Null),
                ("WarehouseId", Value::Int(warehouse)),
                ("TicketTypeId", id.into()),
                ("ScreenMenuId", Value::Int(1)),
                ("Name", word(name)),
            ],
        );
    }
    let covers = desk.insert(
        "TicketTagGroups",
        [("FreeTagging", true.into()), ("DataType", Value::Int(1)), ("Name", word("Covers"))],
    );
    for (order, name) in (0..).zip(["1", "2", "3", "4", "5", "6"]) {
        desk.insert(
            "TicketTags",
            [("TicketTagGroupId", covers.into()), ("SortOrder", Value::Int(order)), ("Name", word(name))],
        );
    }
    desk.insert(
        "TicketTagGroups",
        [("SortOrder", Value::Int(1)), ("FreeTagging", true.into()), ("Name", word("Booking"))],
    );
}

fn write_states(desk: &mut Desk) {
    for (group, kind, names) in [
        ("Status", 0, &["New Orders", "Available", "Bill Requested"][..]),
        ("Status", 1, &["New", "New Orders", "Unpaid", "Locked", "Paid"]),
        ("Status", 2, &["New", "Submitted"]),
        ("GStatus", 2, &["Gift", "Void"]),
        ("Kitchen Print", 2, &["Printed", "Canceled"]),
    ] {
        for name in names {
            desk.insert(
                "States",
                [
                    ("GroupName", word(group)),
                    ("StateType", Value::Int(kind)),
                    ("Color", word("#FF808080")),
                    ("ShowOnEndOfDayReport", (group == "GStatus").into()),
                    ("Name", word(name)),
                ],
            );
        }
    }
    desk.insert("TaskTypes", [("Name", word("Kitchen Timer"))]);
}

fn write_stock(desk: &mut Desk) {
    desk.insert("WarehouseTypes", [("Name", word("Local Warehouses"))]);
    for (order, name) in (0..).zip(WAREHOUSES) {
        desk.insert(
            "Warehouses",
            [("WarehouseTypeId", Value::Int(1)), ("SortOrder", Value::Int(order)), ("Name", word(name))],
        );
    }
    for (name, unit, _) in STOCK {
        let warehouse = if unit == "btl" || unit == "l" { WAREHOUSES[1] } else { WAREHOUSES[0] };
        desk.insert(
            "InventoryItems",
            [
                ("GroupCode", word("Stock")),
                ("BaseUnit", word(unit)),
                ("TransactionUnit", Value::Null),
                ("TransactionUnitMultiplier", Value::Int(1)),
                ("Warehouse", word(warehouse)),
                ("Name", word(name)),
            ],
        );
    }
    let recipe = desk
        .insert("Recipes", [("FixedCost", cents(25)), ("Name", word("Fish & Chips")), ("Portion_Id", Value::Int(1))]);
    for (item, quantity) in [(2, 180), (3, 250), (4, 40)] {
        desk.insert(
            "RecipeItems",
            [("RecipeId", recipe.into()), ("Quantity", milli(quantity)), ("InventoryItem_Id", Value::Int(item))],
        );
    }
    desk.insert(
        "InventoryTransactionTypes",
        [
            ("TargetWarehouseTypeId", Value::Int(1)),
            ("DefaultTargetWarehouseId", Value::Int(1)),
            ("Name", word("Purchase")),
        ],
    );
}

fn write_automation(desk: &mut Desk) {
    let action = desk.insert(
        "AppActions",
        [
            ("ActionType", word("UpdateTicketState")),
            ("Parameter", word(r#"[{"Key":"StateName","Value":"Status"},{"Key":"State","Value":"Paid"}]"#)),
            ("Name", word("Mark Ticket as Paid")),
        ],
    );
    let rule = desk.insert(
        "AppRules",
        [
            ("EventName", word("TicketClosing")),
            ("RuleConstraints", word("")),
            ("EventConstraints", Value::Null),
            ("Name", word("Close Paid Ticket")),
        ],
    );
    desk.insert("AppRuleMaps", [("AppRuleId", rule.into())]);
    desk.insert(
        "ActionContainers",
        [("AppActionId", action.into()), ("AppRuleId", rule.into()), ("Name", word("Mark Ticket as Paid"))],
    );
    desk.insert(
        "AutomationCommands",
        [("ButtonHeader", word("Print\\rBill")), ("Values", word("")), ("Name", word("Print Bill"))],
    );
    desk.insert(
        "Scripts",
        [
            ("HandlerName", word("onLoad")),
            ("Code", word("function load() {\r\n\treturn 1;\r\n}")),
            ("Name", word("Startup")),
        ],
    );
}

fn write_connections(desk: &mut Desk) {
    desk.insert(
        "GraphqlClients",
        [
            ("Identifier", word("web-orders")),
            ("Secret", word("demo-only-secret")),
            ("ApplicationType", Value::Int(1)),
            ("Active", true.into()),
            ("RefreshTokenLifeTime", Value::Int(7_200)),
            ("AllowedOrigin", word("*")),
            ("Name", word("Web orders")),
        ],
    );
    // Never ran: an old minimum date (DOMAIN §8).
    let never = At::on(Date::constant(1900, 1, 1), 0);
    desk.insert(
        "Triggers",
        [("Expression", word("0 4 * * *")), ("LastTrigger", never.into()), ("Name", word("Nightly"))],
    );
    desk.insert(
        "ProductTimers",
        [("PriceDuration", cents(6_000)), ("MinTime", cents(100)), ("Name", word("Meeting room"))],
    );
}

fn write_printing(desk: &mut Desk) {
    for (name, share) in [("Kitchen Printer", "\\\\SERVER\\Kitchen"), ("Ticket Printer", "\\\\SERVER\\Bill")] {
        desk.insert(
            "Printers",
            [
                ("ShareName", word(share)),
                ("CodePage", Value::Int(857)),
                ("CharsPerLine", Value::Int(42)),
                ("Name", word(name)),
            ],
        );
    }
    // The fat column of many sites: templates of some kilobytes.
    let template = "[LAYOUT]\r\n<T>{TICKET NO}/{DATE}\r\n[ORDERS]\r\n<J>{QUANTITY} {NAME}|{PRICE}\r\n".repeat(60);
    for name in ["Kitchen Orders Template", "Ticket Template"] {
        desk.insert(
            "PrinterTemplates",
            [("Template", word(&template)), ("MergeLines", true.into()), ("Name", word(name))],
        );
    }
    desk.insert(
        "CustomReports",
        [
            ("Template", word("[Items:2,2]\n@{REPORT ORDER DETAILS:O.MenuItemName,O.Quantity.Sum}")),
            ("Name", word("Günlük Satış")),
        ],
    );
}
