//! Loading one snapshot: normalise in DuckDB, stage what changed by binary COPY, merge, in one transaction.
//!
//! Keys and hashes of all tickets are compared first; only tickets that are new or changed travel to the server, so a load
//! after a quiet quarter of an hour sends next to nothing.

use std::{path::Path, time::Instant};

use bytes::Bytes;
use futures::SinkExt;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_postgres::{Client, GenericClient, Transaction};

use super::{
    Replica, Scope, blocking,
    connect::failed,
    copy::{Encoder, HEADER, TRAILER},
    merge::{CHILDREN, Comparison, Merge, Vanished},
    normalise::{Facts, Normaliser},
    views,
};
use crate::{
    archive::snapshot::{Snapshot, SnapshotKind},
    error::{Error, Kind, OrFail, Result},
    observe::{Event, Observer},
};

/// Tables without which the tickets of a snapshot cannot be trusted: a bill without its lines is no bill.
const NEEDED: &[&str] = &["Tickets", "Orders", "MenuItems"];
/// Tables a till may lack, but that must not have failed to be read. Nor may one be gone that was there before: a till hides a
/// table from a login that lost the right to it, and a bill would lose its payments.
const EXPECTED: &[&str] = &["Payments", "ChangePayments", "Calculations", "TicketEntities"];

/// Loads of more tickets than this refresh the planner's statistics.
const MANY_TICKETS: u64 = 1_000;

/// What one load did. Counts are tickets (bills), each with all its lines, payments and derived transactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LoadOutcome {
    /// Number of the snapshot.
    pub snapshot: u64,
    /// Tickets seen for the first time.
    pub inserted: u64,
    /// Known tickets whose content changed, or that had vanished and came back.
    pub updated: u64,
    /// Live tickets that vanished with a clear; they stay in every report.
    pub cleared: u64,
    /// Live tickets that vanished alone; they stay in the tables and out of the reports.
    pub deleted: u64,
    /// Wall time.
    pub seconds: f64,
    /// Oddities of the till's data that changed no figure; each was reported as an event, too.
    pub notes: Vec<String>,
    /// What a person should look at; each was reported as an event, too.
    pub warnings: Vec<String>,
}

/// The newest loaded snapshot.
pub(crate) struct Newest {
    pub(crate) number: u64,
    row: i64,
    archive: String,
}

impl Replica {
    /// Loads a snapshot of the archive in `root`. A number that was loaded already, or an older one, changes nothing.
    ///
    /// # Errors
    /// `Damage` when a chunk is missing or unreadable; `Replica` when the server fails, or when the rows there come from
    /// another archive. Then nothing was changed, except that the failure is noted in `sambapos_replication_settings`.
    pub async fn load(&mut self, root: &Path, snapshot: &Snapshot, observer: &dyn Observer) -> Result<LoadOutcome> {
        let began = Instant::now();
        let result = self.load_once(root, snapshot).await;
        match result {
            Ok(mut outcome) => {
                outcome.seconds = began.elapsed().as_secs_f64();
                for message in &outcome.notes {
                    observer.event(Event::Note { message: message.clone() });
                }
                for message in &outcome.warnings {
                    observer.event(Event::Warning { message: message.clone() });
                }
                observer.event(Event::SnapshotLoaded { snapshot: snapshot.snapshot });
                Ok(outcome)
            }
            Err(error) => {
                // The load's own failure is what matters; that this note may fail as well adds nothing.
                let _ = note_failure(&self.client, &self.schema, self.config.kitchen_id, error.message()).await;
                Err(error)
            }
        }
    }

    async fn load_once(&mut self, root: &Path, snapshot: &Snapshot) -> Result<LoadOutcome> {
        let scope = self.scope();
        let schema = self.schema.clone();
        let nothing = LoadOutcome { snapshot: snapshot.snapshot, ..LoadOutcome::default() };
        if is_loaded(newest(&self.client, &schema, &scope).await?.as_ref(), snapshot)? {
            return Ok(nothing);
        }
        let normaliser = {
            let (root, snapshot, config) = (root.to_owned(), snapshot.clone(), self.config.clone());
            blocking(move || Normaliser::run(&root, &snapshot, &config)).await?
        };
        let manifest = format!("snapshots/{:06}.json.zst", snapshot.snapshot);
        let file = root.join(&manifest);
        let (normaliser, facts, sha256) = blocking(move || {
            let (facts, sha256) = (normaliser.facts()?, normaliser.sha256(&file));
            Ok((normaliser, facts, sha256))
        })
        .await?;

        let begun = |cause| failed("the load cannot begin", cause);
        let transaction = self.client.transaction().await.map_err(begun)?;
        // One load at a time; a load that waited looks again at what is there.
        let lock = format!("tillvault load {schema} {} {}", scope.kitchen, scope.database);
        transaction.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&lock]).await.map_err(begun)?;
        let before = newest(&transaction, &schema, &scope).await?;
        if is_loaded(before.as_ref(), snapshot)? {
            return Ok(nothing);
        }
        let archive = ArchiveRow { snapshot, facts, manifest, sha256 }.insert(&transaction, &schema, &scope).await?;
        let merge = Merge {
            transaction: &transaction,
            schema: &schema,
            scope: &scope,
            epoch: i32::try_from(snapshot.epoch).unwrap_or(i32::MAX),
            archive,
            previous: before.map(|before| before.row),
        };
        let mut remarks = Remarks::default();
        let (compared, vanished) = merge_all(&merge, normaliser, snapshot, facts, &mut remarks).await?;
        let written = compared.inserted + compared.replaced;
        note_success(&transaction, &schema, &scope, snapshot, facts, &self.config, written).await?;
        transaction.commit().await.map_err(|cause| failed("the load cannot be committed", cause))?;
        if written > MANY_TICKETS {
            for table in super::TABLES {
                // Statistics only speed queries up; the server gathers them by itself in time.
                let _ = self.client.batch_execute(&format!("ANALYZE {schema}.{table}")).await;
            }
        }
        Ok(LoadOutcome {
            inserted: compared.inserted,
            updated: compared.replaced + compared.revived,
            cleared: vanished.cleared,
            deleted: vanished.deleted,
            notes: remarks.notes,
            warnings: remarks.warnings,
            ..nothing
        })
    }
}

/// What a load has to say besides its counts.
#[derive(Default)]
struct Remarks {
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// Stages and merges everything the snapshot can be trusted with.
async fn merge_all(
    merge: &Merge<'_>,
    normaliser: Normaliser,
    snapshot: &Snapshot,
    facts: Facts,
    remarks: &mut Remarks,
) -> Result<(Comparison, Vanished)> {
    let distrust = match distrust(snapshot, facts) {
        Some(reason) => Some(reason),
        None => merge.lost(EXPECTED.iter().filter(|name| !readable(snapshot, name))).await?.map(|name| {
            format!(
                "snapshot {} lacks table {name}, which earlier ones have: its tickets were not loaded, nothing counts as vanished",
                snapshot.snapshot
            )
        }),
    };
    let mut refused = 0;
    let (mut normaliser, _) = stage(merge, normaliser, "aggregates", None, &mut refused).await?;
    // A snapshot whose bills are incomplete changes no bill.
    let compared = if distrust.is_some() { Comparison::default() } else { merge.compare().await? };
    let wanted = compared.wanted.clone();
    normaliser = blocking(move || normaliser.want(&wanted).map(|()| normaliser)).await?;
    let mut columns = Vec::new();
    for (table, key) in
        [("tickets", "natural_key")].into_iter().chain(CHILDREN.iter().map(|child| (*child, "ticket_key")))
    {
        let names;
        (normaliser, names) = stage(merge, normaliser, table, Some(key), &mut refused).await?;
        columns.push((table, names));
    }
    let (normaliser, menu) = stage(merge, normaliser, "menu_items", None, &mut refused).await?;
    let (_, accounts) = stage(merge, normaliser, "accounts", None, &mut refused).await?;
    for (column, count) in merge.unread().await? {
        remarks.notes.push(format!("{column}: {count} changed rows hold text that is no JSON; the text is kept"));
    }
    if refused > 0 {
        remarks.notes.push(format!(
            "{refused} JSON texts were left out because PostgreSQL would not take them; the archive holds them"
        ));
    }
    let large = merge.too_large().await?;
    if large > 0 {
        remarks.warnings.push(format!("{large} changed lines are worth more than 13 digits and have no total"));
    }
    let mut vanished = Vanished::default();
    if let Some(reason) = distrust {
        remarks.warnings.push(reason);
    } else {
        merge.tickets(&columns).await?;
        vanished = merge.vanished(facts.oldest_closed.map(|time| time.to_string())).await?;
        note_vanished(snapshot, vanished, &mut remarks.warnings);
    }
    if readable(snapshot, "MenuItems") {
        merge.catalog("menu_items", &menu, true, &[]).await?;
    }
    if readable(snapshot, "Accounts") && readable(snapshot, "AccountTransactionValues") {
        let as_of = format!("'{}'::timestamp", snapshot.till_time);
        merge.catalog("accounts", &accounts, false, &[("balance_as_of", as_of)]).await?;
    }
    Ok((compared, vanished))
}

/// Why the tickets of a snapshot are not to be trusted, if so: an empty or failed read is never taken for a clear (DOMAIN §3.1).
fn distrust(snapshot: &Snapshot, facts: Facts) -> Option<String> {
    let number = snapshot.snapshot;
    let lost = NEEDED
        .iter()
        .find(|name| !readable(snapshot, name))
        .or_else(|| EXPECTED.iter().find(|name| is_missing(snapshot, name)));
    if let Some(name) = lost {
        return Some(format!(
            "snapshot {number} lacks table {name}: its tickets were not loaded, nothing counts as vanished"
        ));
    }
    (facts.menu_items == 0).then(|| {
        format!("snapshot {number} has an empty menu: its tickets were not loaded, nothing counts as vanished")
    })
}

fn is_missing(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.missing.iter().any(|missing| missing.table.eq_ignore_ascii_case(name))
}

fn readable(snapshot: &Snapshot, name: &str) -> bool {
    views::entry(snapshot, name).is_some() && !is_missing(snapshot, name)
}

fn note_vanished(snapshot: &Snapshot, vanished: Vanished, warnings: &mut Vec<String>) {
    let number = snapshot.snapshot;
    if vanished.deleted > 0 {
        warnings.push(format!(
            "{} tickets vanished by snapshot {number} while older and newer ones stayed: kept as deleted, out of reports",
            vanished.deleted
        ));
    }
    if vanished.cleared > 0 && snapshot.clear.is_none() {
        warnings.push(format!(
            "{} tickets vanished by snapshot {number} without another sign of a clear: kept as cleared, in all reports",
            vanished.cleared
        ));
    }
}

/// Copies one output table into its staging table; returns the columns.
async fn stage(
    merge: &Merge<'_>,
    normaliser: Normaliser,
    table: &'static str,
    ticket_key: Option<&'static str>,
    refused: &mut u64,
) -> Result<(Normaliser, Vec<String>)> {
    let (normaliser, columns) =
        blocking(move || normaliser.columns(table).map(|columns| (normaliser, columns))).await?;
    merge.stage(table, &columns).await?;
    let broken = |cause| failed(&format!("the rows of {table} cannot be copied"), cause);
    let list = columns.join(", ");
    let transaction = merge.transaction;
    let shape = transaction.prepare(&format!("SELECT {list} FROM pg_temp.stage_{table}")).await.map_err(broken)?;
    let shape = shape.columns().iter().map(|column| (column.name().to_owned(), column.type_().clone())).collect();
    let sink = transaction
        .copy_in::<_, Bytes>(&format!("COPY pg_temp.stage_{table} ({list}) FROM STDIN (FORMAT binary)"))
        .await
        .map_err(broken)?;
    let mut sink = Box::pin(sink);
    let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
    let encoding = tokio::task::spawn_blocking(move || {
        let mut encoder = Encoder::new(shape);
        let sent = normaliser.send(table, ticket_key, |batch| {
            let bytes = encoder.encode(&batch)?;
            sender.blocking_send(bytes).or_fail(Kind::Replica, || format!("the copy of {table} stopped half-way"))
        });
        (normaliser, encoder.refused_json(), sent)
    });
    let copied = async {
        sink.send(Bytes::from_static(HEADER)).await?;
        while let Some(bytes) = receiver.recv().await {
            sink.send(bytes).await?;
        }
        Ok::<_, tokio_postgres::Error>(())
    }
    .await;
    drop(receiver);
    let (normaliser, left_out, sent) =
        encoding.await.or_fail(Kind::Bug, || format!("the rows of {table} cannot be encoded"))?;
    copied.map_err(broken)?;
    // An unfinished copy is dropped by the server together with the transaction.
    sent?;
    sink.send(Bytes::from_static(TRAILER)).await.map_err(broken)?;
    sink.as_mut().finish().await.map_err(broken)?;
    *refused += left_out;
    Ok((normaliser, columns))
}

/// The newest loaded snapshot of a kitchen and source database.
pub(crate) async fn newest(client: &impl GenericClient, schema: &str, scope: &Scope) -> Result<Option<Newest>> {
    let sql = format!(
        "SELECT snapshot_id, id, archive_uid FROM {schema}.sambapos_archives
         WHERE kitchen_id = $1 AND source_database = $2 ORDER BY snapshot_id DESC LIMIT 1"
    );
    let row = client
        .query_opt(&sql, &[&scope.kitchen, &scope.database])
        .await
        .map_err(|cause| failed("the loaded snapshots cannot be listed", cause))?;
    Ok(row.map(|row| Newest {
        number: u64::try_from(row.get::<_, i64>(0)).unwrap_or_default(),
        row: row.get(1),
        archive: row.get(2),
    }))
}

/// See [`Replica::check_continues`].
pub(crate) async fn check_continues(
    client: &Client,
    schema: &str,
    scope: &Scope,
    root: &Path,
    newest_there: u64,
) -> Result<()> {
    let Some(loaded) = newest(client, schema, scope).await? else { return Ok(()) };
    let file = root.join(format!("snapshots/{:06}.json.zst", loaded.number));
    let same = match tokio::fs::read(&file).await {
        Ok(bytes) => client
            .query_one(
                &format!(
                    "SELECT coalesce(manifest_sha256 = encode(sha256($2), 'hex'), true)
                     FROM {schema}.sambapos_archives WHERE id = $1"
                ),
                &[&loaded.row, &bytes],
            )
            .await
            .map_err(|cause| failed("the loaded snapshots cannot be compared with the archive's", cause))?
            .get(0),
        // One that is gone from between others is nobody's fault.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => loaded.number <= newest_there,
        Err(error) => {
            return Err(Error::new(Kind::Store, format!("{} cannot be read", file.display())).caused_by(error));
        }
    };
    if same {
        return Ok(());
    }
    Err(Error::new(
        Kind::Replica,
        format!(
            "the replica holds snapshot {}, and the archive lacks it or holds another one under that number: was it put back from an older copy?",
            loaded.number
        ),
    )
    .hint("bring the archive's newest snapshots back from a mirror, or build the replica from what the archive holds with `tillvault load --rebuild`"))
}

fn is_loaded(newest: Option<&Newest>, snapshot: &Snapshot) -> Result<bool> {
    let Some(newest) = newest else { return Ok(false) };
    if newest.archive != snapshot.archive {
        return Err(Error::new(Kind::Replica, "the replica was loaded from another archive than this one")
            .hint("check the archive folder, or build the replica anew with `tillvault load --rebuild`"));
    }
    Ok(snapshot.snapshot <= newest.number)
}

/// What is told of a snapshot in `sambapos_archives`.
struct ArchiveRow<'a> {
    snapshot: &'a Snapshot,
    facts: Facts,
    manifest: String,
    sha256: Option<String>,
}

impl ArchiveRow<'_> {
    async fn insert(&self, transaction: &Transaction<'_>, schema: &str, scope: &Scope) -> Result<i64> {
        let (snapshot, facts) = (self.snapshot, self.facts);
        let counts: serde_json::Map<String, serde_json::Value> =
            snapshot.tables.iter().map(|entry| (entry.table.name.to_string(), entry.rows.into())).collect();
        let bytes: u64 = snapshot.tables.iter().flat_map(|entry| &entry.chunks).map(|chunk| chunk.bytes).sum();
        let sql = format!(
            "INSERT INTO {schema}.sambapos_archives
               (kitchen_id, archive_uid, snapshot_id, archive_date, kind, taken_at, source_local_time, source_database,
                source_epoch, period_start, period_end, transaction_count, ticket_count, table_counts, archive_path,
                archive_size_mb, manifest_sha256, schema_fingerprint)
             VALUES ($1, $2, $3, $4::text::date, $5, $6::text::timestamptz, $7::text::timestamp, $8, $9, $10::text::date,
                     $11::text::date, $12, $13, $14::text::jsonb, $15, round($16::bigint / 1000000.0, 3), $17, $18)
             RETURNING id"
        );
        let row = transaction
            .query_one(
                &sql,
                &[
                    &scope.kitchen,
                    &snapshot.archive,
                    &i64::try_from(snapshot.snapshot).unwrap_or(i64::MAX),
                    &snapshot.till_time.date().to_string(),
                    &kind(snapshot),
                    &snapshot.taken_at.to_string(),
                    &snapshot.till_time.to_string(),
                    &scope.database,
                    &i32::try_from(snapshot.epoch).unwrap_or(i32::MAX),
                    &facts.first_day.map(|day| day.to_string()),
                    &facts.last_day.map(|day| day.to_string()),
                    &facts.transactions,
                    &facts.tickets,
                    &serde_json::Value::Object(counts).to_string(),
                    &self.manifest,
                    &i64::try_from(bytes).unwrap_or(i64::MAX),
                    &self.sha256,
                    &fingerprint(snapshot),
                ],
            )
            .await
            .map_err(|cause| failed("the snapshot cannot be listed in the replica", cause))?;
        Ok(row.get(0))
    }
}

/// A tag names the kind of run; without one, quick snapshots are the interval's and full ones somebody's.
fn kind(snapshot: &Snapshot) -> &'static str {
    let tagged = ["nightly", "interval", "pre-clear", "manual"]
        .into_iter()
        .find(|kind| snapshot.tags.iter().any(|tag| tag.eq_ignore_ascii_case(kind)));
    tagged.unwrap_or(if snapshot.kind == SnapshotKind::Quick { "interval" } else { "manual" })
}

/// BLAKE3 of names, types and keys of all tables.
fn fingerprint(snapshot: &Snapshot) -> String {
    let mut hasher = blake3::Hasher::new();
    for entry in &snapshot.tables {
        hasher.update(format!("{}\n", entry.table.name).as_bytes());
        for column in &entry.table.columns {
            hasher.update(format!(" {:?} {} {}\n", column.name, column.sql_type, column.nullable).as_bytes());
        }
        hasher.update(format!(" key {:?}\n", entry.table.key).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

async fn note_success(
    transaction: &Transaction<'_>,
    schema: &str,
    scope: &Scope,
    snapshot: &Snapshot,
    facts: Facts,
    config: &crate::config::ReplicaConfig,
    written: u64,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO {schema}.sambapos_replication_settings AS s
           (kitchen_id, last_sync_at, last_transaction_date, last_sync_status, records_synced_total, source_database,
            source_epoch, table_entity_type_id, room_entity_type_id, schema_fingerprint, source_collation)
         VALUES ($1, now(), $2::text::timestamp, 'success', $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (kitchen_id) DO UPDATE SET
           last_sync_at = EXCLUDED.last_sync_at,
           last_transaction_date = coalesce(EXCLUDED.last_transaction_date, s.last_transaction_date),
           last_sync_status = 'success', last_error_message = NULL,
           records_synced_total = s.records_synced_total + EXCLUDED.records_synced_total,
           source_database = EXCLUDED.source_database, source_epoch = EXCLUDED.source_epoch,
           table_entity_type_id = EXCLUDED.table_entity_type_id, room_entity_type_id = EXCLUDED.room_entity_type_id,
           schema_fingerprint = EXCLUDED.schema_fingerprint, source_collation = EXCLUDED.source_collation,
           updated_at = now()"
    );
    transaction
        .execute(
            &sql,
            &[
                &scope.kitchen,
                &facts.last_change.map(|time| time.to_string()),
                &i64::try_from(written).unwrap_or(i64::MAX),
                &scope.database,
                &i32::try_from(snapshot.epoch).unwrap_or(i32::MAX),
                &config.table_entity_type_id,
                &config.room_entity_type_id,
                &fingerprint(snapshot),
                &snapshot.source.collation,
            ],
        )
        .await
        .map_err(|cause| failed("the state of the replica cannot be noted", cause))?;
    Ok(())
}

async fn note_failure(client: &Client, schema: &str, kitchen: i32, message: &str) -> Result<(), tokio_postgres::Error> {
    let sql = format!(
        "INSERT INTO {schema}.sambapos_replication_settings (kitchen_id, last_sync_status, last_error_message)
         VALUES ($1, 'failed', $2)
         ON CONFLICT (kitchen_id) DO UPDATE SET last_sync_status = 'failed', last_error_message = $2, updated_at = now()"
    );
    client.execute(&sql, &[&kitchen, &message]).await.map(|_| ())
}
