//! Ledger rows: a document holds transactions, a transaction holds exactly two values (DOMAIN §7 "Ledger").

use super::{
    at::At,
    catalog::{Account, TransactionKind},
    desk::{Desk, cents, text},
};

/// One ledger transaction with the Ids of its two values. It keeps its Ids while its amount is updated in place.
#[derive(Clone, Debug)]
pub(super) struct Posting {
    pub(super) id: i32,
    values: [i32; 2],
    kind: i32,
    name: &'static str,
    source: Account,
    target: Account,
    date: At,
    /// Signed pence; a negative amount is stored with source and target swapped.
    pub(super) amount: i64,
}

impl Posting {
    /// A transaction of its type's default accounts.
    pub(super) fn new(desk: &mut Desk, kind: TransactionKind, date: At, amount: i64) -> Self {
        let (number, name, source, target) = kind;
        let id = desk.next_id("AccountTransactions");
        let values = [desk.next_id("AccountTransactionValues"), desk.next_id("AccountTransactionValues")];
        Self { id, values, kind: number, name, source, target, date, amount }
    }

    /// Replaces the source account.
    pub(super) fn from(mut self, source: Account) -> Self {
        self.source = source;
        self
    }

    /// Replaces the target account.
    pub(super) fn to(mut self, target: Account) -> Self {
        self.target = target;
        self
    }

    /// Adds the transaction and its values to the step.
    pub(super) fn write(&self, desk: &mut Desk, document: i32) {
        let reversed = self.amount < 0;
        let (source, target) = if reversed { (self.target, self.source) } else { (self.source, self.target) };
        let amount = self.amount.abs();
        let row = desk.row("AccountTransactions");
        desk.add(
            row,
            [
                ("Id", self.id.into()),
                ("AccountTransactionDocumentId", document.into()),
                ("Amount", cents(amount)),
                ("ExchangeRate", cents(100)),
                ("AccountTransactionTypeId", self.kind.into()),
                ("SourceAccountTypeId", source.kind.into()),
                ("TargetAccountTypeId", target.kind.into()),
                ("IsReversed", reversed.into()),
                ("Reversable", true.into()),
                ("Name", text(Some(self.name))),
            ],
        );
        for (id, account, debit, credit) in [(self.values[0], source, 0, amount), (self.values[1], target, amount, 0)] {
            let row = desk.row("AccountTransactionValues");
            desk.add(
                row,
                [
                    ("Id", id.into()),
                    ("AccountTransactionId", self.id.into()),
                    ("AccountTransactionDocumentId", document.into()),
                    ("AccountTypeId", account.kind.into()),
                    ("AccountId", account.id.into()),
                    ("Date", self.date.into()),
                    ("Debit", cents(debit)),
                    ("Credit", cents(credit)),
                    ("Exchange", cents(debit - credit)),
                    ("Name", text(Some(self.name))),
                ],
            );
        }
    }
}

/// Sets the amount of a singleton transaction: made when first needed, updated in place, dropped at zero.
pub(super) fn repost(posting: &mut Option<Posting>, desk: &mut Desk, kind: TransactionKind, date: At, amount: i64) {
    match posting {
        Some(_) if amount == 0 => *posting = None,
        Some(posting) => posting.amount = amount,
        None if amount == 0 => {}
        None => *posting = Some(Posting::new(desk, kind, date, amount)),
    }
}
