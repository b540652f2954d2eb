//! A ticket as rows: `Tickets`, `Orders`, `Payments` and the other children, with their JSON columns (DOMAIN §2.1, §6).

use duckdb::types::Value;

use super::{
    bill::{Fate, Line, LineTag, ROOM_CHARGE, Ticket, user_id, user_name},
    catalog::{DISCOUNTING, PAYMENT_TYPES, SALE, SERVICING, TAX, TAXES},
    desk::{Desk, cents, milli, text},
    json::{Object, array, decimal},
    ledger::Posting,
    menu::ORDER_TAGS,
};

/// The tables that hang on a ticket, with the column that refers to it.
const CHILDREN: [(&str, &str); 6] = [
    ("PaidItems", "TicketId"),
    ("Orders", "TicketId"),
    ("Payments", "TicketId"),
    ("ChangePayments", "TicketId"),
    ("Calculations", "TicketId"),
    ("TicketEntities", "Ticket_Id"),
];

/// Removes the rows of earlier steps of these tickets: (ticket Id, document Id) each.
pub(super) fn remove(desk: &mut Desk, stored: &[(i32, i32)]) {
    let (tickets, documents): (Vec<_>, Vec<_>) = stored.iter().copied().unzip();
    for (table, column) in CHILDREN {
        desk.remove(table, column, &tickets);
    }
    desk.remove("Tickets", "Id", &tickets);
    for table in ["AccountTransactionValues", "AccountTransactions"] {
        desk.remove(table, "AccountTransactionDocumentId", &documents);
    }
    desk.remove("AccountTransactionDocuments", "Id", &documents);
}

/// Adds every row of the ticket to the step.
pub(super) fn write(desk: &mut Desk, ticket: &Ticket) {
    write_ticket(desk, ticket);
    for line in &ticket.lines {
        write_line(desk, ticket, line);
    }
    write_calculations(desk, ticket);
    write_payments(desk, ticket);
    for (id, entity) in &ticket.entities {
        let row = desk.row("TicketEntities");
        desk.add(
            row,
            [
                ("Id", (*id).into()),
                ("EntityTypeId", entity.kind.into()),
                ("EntityId", entity.id.into()),
                ("AccountId", entity.account.id.into()),
                ("AccountTypeId", entity.account.kind.into()),
                ("EntityName", text(Some(&entity.name))),
                ("EntityCustomData", text(entity.custom_data.as_deref())),
                ("Ticket_Id", ticket.id.into()),
            ],
        );
    }
    for item in &ticket.paid_items {
        let row = desk.row("PaidItems");
        desk.add(
            row,
            [
                ("Id", item.id.into()),
                ("TicketId", ticket.id.into()),
                ("Key", Value::Text(item.item.to_string())),
                ("Quantity", milli(item.quantity)),
            ],
        );
    }
    write_ledger(desk, ticket);
}

fn write_ticket(desk: &mut Desk, ticket: &Ticket) {
    let row = desk.row("Tickets");
    let (state, changed) =
        if ticket.closed { ("Paid", ticket.last_payment) } else { ("New Orders", ticket.last_order) };
    let states = array([Object::new().date("D", changed).text("S", state).text("SN", "Status").text("SV", "").end()]);
    let logs = array(ticket.logs.iter().map(|log| {
        Object::new()
            .text("C", log.category)
            .date("D", log.at)
            .text("L", &log.text)
            .text("N", &ticket.number.to_string())
            .text("U", user_name(log.user))
            .end()
    }));
    desk.add(
        row,
        [
            ("Id", ticket.id.into()),
            ("LastUpdateTime", ticket.updated.into()),
            ("TicketVersion", ticket.updated.whole_second().into()),
            ("TicketUid", text(ticket.uid.as_deref())),
            ("TicketNumber", Value::Text(ticket.number.to_string())),
            ("Date", ticket.date.into()),
            ("LastOrderDate", ticket.last_order.into()),
            ("LastPaymentDate", ticket.last_payment.into()),
            ("IsClosed", ticket.closed.into()),
            ("IsLocked", (!ticket.closed && !ticket.lines.is_empty()).into()),
            ("RemainingAmount", cents(ticket.remaining())),
            ("TotalAmount", cents(ticket.total)),
            ("DepartmentId", ticket.department.into()),
            ("TerminalId", ticket.terminal.into()),
            ("TicketTypeId", Value::Int(1)),
            ("Note", text(ticket.note.as_deref())),
            ("LastModifiedUserName", text(Some(user_name(ticket.last_user)))),
            ("TicketTags", text(ticket.tags.as_deref())),
            ("TicketStates", Value::Text(states)),
            ("TicketLogs", Value::Text(logs)),
            ("LineSeparators", text(Some("[]"))),
            ("ExchangeRate", cents(100)),
            ("TaxIncluded", true.into()),
            ("TransactionDocument_Id", ticket.document.into()),
            ("TotalAmountPreTax", cents(ticket.plain)),
            ("CreatedUserName", text(Some(user_name(ticket.user)))),
        ],
    );
}

fn write_line(desk: &mut Desk, ticket: &Ticket, line: &Line) {
    let row = desk.row("Orders");
    let (tax_name, rate) = TAXES[line.tax];
    let tax_id = i64::try_from(line.tax).unwrap_or(0) + 1;
    let taxes = array([Object::new()
        .flag("AC", false)
        .number("AT", TAX.0.into())
        .number("RN", 0)
        .text("TN", tax_name)
        .cents("TR", rate)
        .number("TT", tax_id)
        .end()]);
    let is_void = !line.is_sold();
    desk.add(
        row,
        [
            ("Id", line.id.into()),
            ("TicketId", ticket.id.into()),
            ("WarehouseId", ticket.department.into()),
            ("DepartmentId", ticket.department.into()),
            ("TerminalId", ticket.terminal.into()),
            ("MenuItemId", line.item.into()),
            ("MenuItemName", text(Some(&line.name))),
            ("PortionName", text(line.portion)),
            ("Price", cents(line.price)),
            ("Quantity", milli(line.quantity)),
            ("PortionCount", Value::Int(1)),
            ("Locked", true.into()),
            ("CalculatePrice", line.is_charged().into()),
            ("DecreaseInventory", (!is_void && !line.refund).into()),
            ("IncreaseInventory", line.refund.into()),
            ("OrderNumber", line.order_number.into()),
            ("CreatingUserName", text(Some(user_name(line.user)))),
            ("CreatedDateTime", line.created.into()),
            ("LastUpdateDateTime", line.updated.into()),
            ("AccountTransactionTypeId", SALE.0.into()),
            ("PriceTag", if line.id % 7 == 0 { text(Some("")) } else { Value::Null }),
            ("OrderUid", text(line.uid.as_deref())),
            ("Taxes", Value::Text(taxes)),
            ("OrderTags", if line.tags.is_empty() { Value::Null } else { Value::Text(order_tags(line)) }),
            ("OrderStates", order_states(line).map_or(Value::Null, Value::Text)),
        ],
    );
}

fn order_tags(line: &Line) -> String {
    array((1_i64..).zip(&line.tags).map(|(place, LineTag { group, name, price, note })| {
        let mut tag = Object::new();
        if *price != 0 && ORDER_TAGS[*group].0 != "Extras" {
            tag = tag.flag("AP", true);
        }
        let number = i64::try_from(*group).unwrap_or(0) + 1;
        tag = tag.number("OI", number).text("OK", &format!("{number:03}{place:03}"));
        if *price != 0 {
            tag = tag.cents("PR", *price);
        }
        tag = tag.number("Q", 1).text("TN", ORDER_TAGS[*group].0);
        if let Some(note) = note {
            tag = tag.text("TO", note);
        }
        tag.text("TV", name).number("UI", user_id(line.user).into()).end()
    }))
}

fn order_states(line: &Line) -> Option<String> {
    let user = i64::from(user_id(line.user));
    let status = |state| {
        let object = Object::new().date("D", line.created).text("OK", "000000").text("S", state);
        object.text("SN", "Status").text("SV", "").number("U", user).end()
    };
    let special = |state, reason| {
        let object = Object::new().text("OK", "001001").text("S", state).text("SN", "GStatus");
        object.text("SV", reason).number("U", 1).end()
    };
    Some(match line.fate {
        Fate::Stateless => return None,
        Fate::Sold => array([status("Submitted")]),
        Fate::Void(reason) => array([status("New"), special("Void", reason)]),
        Fate::Gift(reason) => array([status("Submitted"), special("Gift", reason)]),
        Fate::Canceled => array([
            status("Submitted"),
            Object::new().text("S", "Canceled").text("SN", "Kitchen Print").text("SV", "").end(),
        ]),
    })
}

fn write_calculations(desk: &mut Desk, ticket: &Ticket) {
    for (order, calculation) in (0..).zip(&ticket.calculations) {
        let row = desk.row("Calculations");
        let (name, kind, transaction) = if calculation.discount {
            ("Discount", 1, DISCOUNTING.0)
        } else {
            ("Service Charge 12.5%", 2, SERVICING.0)
        };
        desk.add(
            row,
            [
                ("Id", calculation.id.into()),
                ("TicketId", ticket.id.into()),
                ("Name", text(Some(name))),
                ("Order", Value::Int(order)),
                ("CalculationTypeId", Value::Int(kind)),
                ("AccountTransactionTypeId", transaction.into()),
                ("CalculationType", Value::Int(0)),
                ("IncludeTax", (!calculation.discount).into()),
                ("DecreaseAmount", calculation.discount.into()),
                ("Amount", cents(calculation.rate)),
                ("CalculationAmount", cents(calculation.amount)),
            ],
        );
    }
}

fn write_payments(desk: &mut Desk, ticket: &Ticket) {
    for payment in &ticket.payments {
        let row = desk.row("Payments");
        let card = format!("**** **** **** {:04}", payment.id % 10_000);
        let kind = i32::try_from(payment.kind).unwrap_or(0) + 1;
        desk.add(
            row,
            [
                ("Id", payment.id.into()),
                ("TicketId", ticket.id.into()),
                ("PaymentTypeId", kind.into()),
                ("DepartmentId", ticket.department.into()),
                ("Name", text(Some(PAYMENT_TYPES[payment.kind].0))),
                ("Description", if payment.kind == ROOM_CHARGE { text(Some("To room")) } else { Value::Null }),
                ("Date", payment.date.into()),
                ("Amount", cents(payment.amount)),
                ("TenderedAmount", cents(payment.tendered)),
                ("UserId", user_id(payment.user).into()),
                ("TerminalId", ticket.terminal.into()),
                ("ExchangeRate", cents(100)),
                ("AccountTransaction_Id", payment.posting.id.into()),
                ("AccountTransaction_AccountTransactionDocumentId", ticket.document.into()),
                ("PaymentData", if payment.kind == 1 { Value::Text(card) } else { Value::Null }),
            ],
        );
    }
    if let Some(change) = &ticket.change {
        let row = desk.row("ChangePayments");
        desk.add(
            row,
            [
                ("Id", change.id.into()),
                ("TicketId", ticket.id.into()),
                ("ChangePaymentTypeId", Value::Int(1)),
                ("Name", text(Some("Cash Change"))),
                ("Date", change.date.into()),
                ("Amount", cents(change.amount)),
                ("UserId", user_id(change.user).into()),
                ("AccountTransaction_Id", change.posting.id.into()),
                ("AccountTransaction_AccountTransactionDocumentId", ticket.document.into()),
            ],
        );
    }
}

fn write_ledger(desk: &mut Desk, ticket: &Ticket) {
    let row = desk.row("AccountTransactionDocuments");
    desk.add(
        row,
        [
            ("Id", ticket.document.into()),
            ("Date", ticket.date.into()),
            ("UserId", user_id(ticket.user).into()),
            ("UserName", text(Some(user_name(ticket.user)))),
            ("Name", Value::Text(format!("Ticket Transaction [{}]", ticket.number))),
        ],
    );
    let singles = [&ticket.sale, &ticket.vat, &ticket.discounting, &ticket.servicing];
    let payments = ticket.payments.iter().map(|payment| &payment.posting);
    let change = ticket.change.as_ref().map(|change| &change.posting);
    let mut postings: Vec<&Posting> = singles.into_iter().flatten().chain(payments).chain(change).collect();
    postings.sort_by_key(|posting| posting.id);
    for posting in postings {
        posting.write(desk, ticket.document);
    }
}

/// What the log says of a payment.
pub(super) fn payment_log(kind: usize, amount: i64) -> String {
    format!("{} = {}", PAYMENT_TYPES[kind].0, decimal(amount))
}
