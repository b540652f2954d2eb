//! From staging tables to the eight tables: set-based SQL within the load's transaction.
//!
//! Each staging table `pg_temp.stage_<name>` holds rows as the normalising SQL made them; `stage_seen` holds the key and
//! aggregate hash of every ticket of the snapshot, `stage_match` how each compares with what is there, `stage_gone` what
//! vanished. Column names come from our own SQL files, so they need no quoting.

use tokio_postgres::{Transaction, types::ToSql};

use super::{Scope, connect::failed};
use crate::error::Result;

/// The children of a ticket.
pub(crate) const CHILDREN: &[&str] = &["ticket_items", "payments", "transactions"];

/// What all statements of one load share.
pub(crate) struct Merge<'a> {
    pub(crate) transaction: &'a Transaction<'a>,
    /// Quoted.
    pub(crate) schema: &'a str,
    pub(crate) scope: &'a Scope,
    pub(crate) epoch: i32,
    /// Row of this snapshot in `sambapos_archives`.
    pub(crate) archive: i64,
    /// Row of the snapshot loaded before.
    pub(crate) previous: Option<i64>,
}

/// How the snapshot's tickets compare with those that are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    /// Keys of tickets that are new or changed.
    pub(crate) wanted: Vec<String>,
    pub(crate) inserted: u64,
    pub(crate) replaced: u64,
    /// Unchanged tickets that were cleared or deleted and are back.
    pub(crate) revived: u64,
}

/// Tickets that vanished.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vanished {
    pub(crate) cleared: u64,
    pub(crate) deleted: u64,
}

impl Merge<'_> {
    /// Makes an empty staging table with the given columns of a replica table, and `ticket_key` for children.
    pub(crate) async fn stage(&self, table: &str, columns: &[String]) -> Result<()> {
        let columns: Vec<&str> =
            columns.iter().map(|name| if name == "ticket_key" { "''::text AS ticket_key" } else { name }).collect();
        let from = if table == "aggregates" { "tickets" } else { table };
        self.batch(&format!(
            "CREATE TEMP TABLE stage_{table} ON COMMIT DROP AS SELECT {} FROM {}.sambapos_{from} WITH NO DATA",
            columns.join(", "),
            self.schema
        ))
        .await
    }

    /// The first of these tables that a loaded snapshot has.
    pub(crate) async fn lost<'t>(
        &self,
        tables: impl Iterator<Item = &'t &'static str>,
    ) -> Result<Option<&'static str>> {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {}.sambapos_archives, jsonb_object_keys(table_counts) AS name
                            WHERE kitchen_id = $1 AND source_database = $2 AND lower(name) = lower($3::text))",
            self.schema
        );
        for table in tables {
            let row = self
                .transaction
                .query_one(&sql, &[&self.scope.kitchen, &self.scope.database, table])
                .await
                .map_err(|cause| failed("the tables of earlier snapshots cannot be listed", cause))?;
            if row.get(0) {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    /// Compares the aggregates of the snapshot (staged as `stage_aggregates`) with what is there.
    pub(crate) async fn compare(&self) -> Result<Comparison> {
        self.batch(
            "CREATE UNIQUE INDEX ON pg_temp.stage_aggregates (natural_key); ANALYZE pg_temp.stage_aggregates;
             CREATE TEMP TABLE stage_match (natural_key text, id bigint, same boolean, row_state text, source_epoch int)
             ON COMMIT DROP",
        )
        .await?;
        self.run(
            &format!(
                "INSERT INTO pg_temp.stage_match
                 SELECT s.natural_key, t.id, coalesce(t.content_hash = s.content_hash, false), t.row_state, t.source_epoch
                 FROM pg_temp.stage_aggregates s
                 LEFT JOIN {}.sambapos_tickets t
                   ON t.kitchen_id = $1 AND t.source_database = $2 AND t.natural_key = s.natural_key",
                self.schema
            ),
            &[&self.scope.kitchen, &self.scope.database],
        )
        .await?;
        self.batch("CREATE UNIQUE INDEX ON pg_temp.stage_match (natural_key); ANALYZE pg_temp.stage_match").await?;
        let wanted = self
            .transaction
            .query("SELECT natural_key, id IS NULL FROM pg_temp.stage_match WHERE NOT same", &[])
            .await
            .map_err(|cause| failed("the changed tickets cannot be listed", cause))?;
        let inserted = wanted.iter().filter(|row| row.get::<_, bool>(1)).count() as u64;
        let revived = self
            .transaction
            .query_one("SELECT count(*) FROM pg_temp.stage_match WHERE same AND row_state <> 'live'", &[])
            .await
            .map_err(|cause| failed("the tickets that came back cannot be counted", cause))?;
        Ok(Comparison {
            inserted,
            replaced: wanted.len() as u64 - inserted,
            revived: u64::try_from(revived.get::<_, i64>(0)).unwrap_or_default(),
            wanted: wanted.iter().map(|row| row.get(0)).collect(),
        })
    }

    /// Inserts new tickets and replaces changed ones with all their children, from the staging tables; gives unchanged ones
    /// their life back. `columns` are those of the staging table of the name.
    pub(crate) async fn tickets(&self, columns: &[(&str, Vec<String>)]) -> Result<()> {
        let schema = self.schema;
        let (kitchen, database) = (&self.scope.kitchen, &self.scope.database);
        for child in CHILDREN {
            self.run(
                &format!(
                    "DELETE FROM {schema}.sambapos_{child} c USING pg_temp.stage_match m WHERE c.ticket_id = m.id AND NOT m.same"
                ),
                &[],
            )
            .await?;
        }
        for (table, columns) in columns {
            // The hash of a ticket is that of its whole aggregate, not of its own row.
            let own: Vec<&str> = columns
                .iter()
                .map(String::as_str)
                .filter(|name| *name != "ticket_key" && (*table != "tickets" || *name != "content_hash"))
                .collect();
            let (list, values) =
                (own.join(", "), own.iter().map(|name| format!("s.{name}")).collect::<Vec<_>>().join(", "));
            if *table == "tickets" {
                let assigned: Vec<String> = own.iter().map(|name| format!("{name} = s.{name}")).collect();
                self.run(
                    &format!(
                        "UPDATE {schema}.sambapos_tickets t
                         SET {}, row_state = 'live', source_epoch = $1, last_archive_id = $2, content_hash = a.content_hash,
                             synced_at = now()
                         FROM pg_temp.stage_tickets s
                         JOIN pg_temp.stage_aggregates a ON a.natural_key = s.natural_key
                         JOIN pg_temp.stage_match m ON m.natural_key = s.natural_key AND m.id IS NOT NULL
                         WHERE t.id = m.id",
                        assigned.join(", ")
                    ),
                    &[&self.epoch, &self.archive],
                )
                .await?;
                self.run(
                    &format!(
                        "INSERT INTO {schema}.sambapos_tickets
                           (kitchen_id, source_database, source_epoch, row_state, first_archive_id, last_archive_id,
                            content_hash, {list})
                         SELECT $1, $2, $3, 'live', $4, $4, a.content_hash, {values}
                         FROM pg_temp.stage_tickets s
                         JOIN pg_temp.stage_aggregates a ON a.natural_key = s.natural_key
                         JOIN pg_temp.stage_match m ON m.natural_key = s.natural_key AND m.id IS NULL
                         ORDER BY s.ticket_date, s.source_id"
                    ),
                    &[kitchen, database, &self.epoch, &self.archive],
                )
                .await?;
            } else {
                self.run(
                    &format!(
                        "INSERT INTO {schema}.sambapos_{table}
                           (kitchen_id, source_database, source_epoch, row_state, first_archive_id, last_archive_id,
                            ticket_id, {list})
                         SELECT $1, $2, $3, 'live', $4, $4, t.id, {values}
                         FROM pg_temp.stage_{table} s
                         JOIN {schema}.sambapos_tickets t
                           ON t.kitchen_id = $1 AND t.source_database = $2 AND t.natural_key = s.ticket_key"
                    ),
                    &[kitchen, database, &self.epoch, &self.archive],
                )
                .await?;
            }
        }
        self.revive().await
    }

    /// Unchanged tickets that are seen again live again; those seen in another epoch move to it.
    async fn revive(&self) -> Result<()> {
        let again = "m.same AND (m.row_state <> 'live' OR m.source_epoch <> $1)";
        for child in CHILDREN {
            self.run(
                &format!(
                    "UPDATE {}.sambapos_{child} c SET row_state = 'live', source_epoch = $1, last_archive_id = $2
                     FROM pg_temp.stage_match m WHERE c.ticket_id = m.id AND {again}",
                    self.schema
                ),
                &[&self.epoch, &self.archive],
            )
            .await?;
        }
        self.run(
            &format!(
                "UPDATE {}.sambapos_tickets t SET row_state = 'live', source_epoch = $1, last_archive_id = $2
                 FROM pg_temp.stage_match m WHERE t.id = m.id AND {again}",
                self.schema
            ),
            &[&self.epoch, &self.archive],
        )
        .await?;
        Ok(())
    }

    /// Live tickets that the snapshot no longer holds (DOMAIN §3.2): cleared when the epoch changed since they were seen,
    /// when they are older than the oldest closed ticket that remains, or when none remains; else deleted. They stay.
    pub(crate) async fn vanished(&self, oldest_closed: Option<String>) -> Result<Vanished> {
        self.batch("CREATE TEMP TABLE stage_gone (id bigint PRIMARY KEY, row_state text) ON COMMIT DROP").await?;
        self.run(
            &format!(
                "INSERT INTO pg_temp.stage_gone
                 SELECT t.id, CASE WHEN t.source_epoch <> $3 OR $4::text IS NULL OR t.ticket_date < $4::text::timestamp
                                   THEN 'cleared' ELSE 'deleted' END
                 FROM {}.sambapos_tickets t
                 WHERE t.kitchen_id = $1 AND t.source_database = $2 AND t.row_state = 'live'
                   AND NOT EXISTS (SELECT FROM pg_temp.stage_aggregates s WHERE s.natural_key = t.natural_key)",
                self.schema
            ),
            &[&self.scope.kitchen, &self.scope.database, &self.epoch, &oldest_closed],
        )
        .await?;
        let last = self.previous.unwrap_or(self.archive);
        for (table, key) in CHILDREN.iter().map(|child| (*child, "ticket_id")).chain([("tickets", "id")]) {
            self.run(
                &format!(
                    "UPDATE {}.sambapos_{table} c SET row_state = g.row_state, last_archive_id = $1
                     FROM pg_temp.stage_gone g WHERE c.{key} = g.id",
                    self.schema
                ),
                &[&last],
            )
            .await?;
        }
        let counts = self
            .transaction
            .query_one(
                "SELECT count(*) FILTER (WHERE row_state = 'cleared'), count(*) FILTER (WHERE row_state = 'deleted')
                 FROM pg_temp.stage_gone",
                &[],
            )
            .await
            .map_err(|cause| failed("the vanished tickets cannot be counted", cause))?;
        let count = |column| u64::try_from(counts.get::<_, i64>(column)).unwrap_or_default();
        Ok(Vanished { cleared: count(0), deleted: count(1) })
    }

    /// Upserts a catalog table by natural key from its staging table; rows that the snapshot no longer lists become
    /// `deleted` and stay. `extra` are columns set with every change: name and SQL expression.
    pub(crate) async fn catalog(
        &self,
        table: &str,
        columns: &[String],
        active: bool,
        extra: &[(&str, String)],
    ) -> Result<()> {
        let schema = self.schema;
        let mut names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut values: Vec<String> = columns.iter().map(|name| format!("s.{name}")).collect();
        for (name, expression) in extra {
            names.push(name);
            values.push(expression.clone());
        }
        if active {
            names.push("is_active");
            values.push("true".to_owned());
        }
        let assigned: Vec<String> = names.iter().map(|name| format!("{name} = EXCLUDED.{name}")).collect();
        self.run(
            &format!(
                "INSERT INTO {schema}.sambapos_{table} AS t
                   (kitchen_id, source_database, source_epoch, row_state, first_archive_id, last_archive_id, {})
                 SELECT $1, $2, $3, 'live', $4, $4, {} FROM pg_temp.stage_{table} s ORDER BY s.source_id
                 ON CONFLICT (kitchen_id, source_database, natural_key) DO UPDATE
                 SET {}, source_epoch = EXCLUDED.source_epoch, row_state = 'live',
                     last_archive_id = EXCLUDED.last_archive_id, synced_at = now()
                 WHERE t.content_hash <> EXCLUDED.content_hash OR t.row_state <> 'live' OR t.source_epoch <> EXCLUDED.source_epoch",
                names.join(", "),
                values.join(", "),
                assigned.join(", ")
            ),
            &[&self.scope.kitchen, &self.scope.database, &self.epoch, &self.archive],
        )
        .await?;
        let last = self.previous.unwrap_or(self.archive);
        self.run(
            &format!(
                "UPDATE {schema}.sambapos_{table} t SET row_state = 'deleted', last_archive_id = $3{}
                 WHERE t.kitchen_id = $1 AND t.source_database = $2 AND t.row_state = 'live'
                   AND EXISTS (SELECT FROM pg_temp.stage_{table})
                   AND NOT EXISTS (SELECT FROM pg_temp.stage_{table} s WHERE s.natural_key = t.natural_key)",
                if active { ", is_active = false" } else { "" }
            ),
            &[&self.scope.kitchen, &self.scope.database, &last],
        )
        .await?;
        Ok(())
    }

    /// JSON texts that could not be read among the rows this load writes: column and number. Run before [`Merge::catalog`].
    pub(crate) async fn unread(&self) -> Result<Vec<(String, i64)>> {
        let blank = "~ '^[[:space:]]*$'";
        let sql = format!(
            "SELECT 'Tickets.TicketTags', count(*) FROM pg_temp.stage_tickets
               WHERE ticket_tags IS NULL AND NOT ticket_tags_raw {blank}
             UNION ALL SELECT 'Tickets.TicketStates', count(*) FROM pg_temp.stage_tickets WHERE raw_data ? 'TicketStates'
             UNION ALL SELECT 'Tickets.TicketLogs', count(*) FROM pg_temp.stage_tickets WHERE raw_data ? 'TicketLogs'
             UNION ALL SELECT 'Orders.OrderStates', count(*) FROM pg_temp.stage_ticket_items
               WHERE order_states IS NULL AND NOT order_states_raw {blank}
             UNION ALL SELECT 'Orders.OrderTags', count(*) FROM pg_temp.stage_ticket_items WHERE raw_data ? 'OrderTags'
             UNION ALL SELECT 'Orders.Taxes', count(*) FROM pg_temp.stage_ticket_items WHERE raw_data ? 'Taxes'
             UNION ALL SELECT 'TicketEntities.EntityCustomData', count(*)
               FROM pg_temp.stage_tickets, jsonb_array_elements(entities) e WHERE e ->> 'custom_data_unread' IS NOT NULL
             UNION ALL SELECT 'MenuItems.CustomTags', count(*) FROM pg_temp.stage_menu_items s
               LEFT JOIN {0}.sambapos_menu_items t
                 ON t.kitchen_id = $1 AND t.source_database = $2 AND t.natural_key = s.natural_key
               WHERE s.custom_tags IS NULL AND NOT s.custom_tags_raw {blank} AND t.content_hash IS DISTINCT FROM s.content_hash
             UNION ALL SELECT 'Entities.CustomData', count(*) FROM pg_temp.stage_accounts s
               LEFT JOIN {0}.sambapos_accounts t
                 ON t.kitchen_id = $1 AND t.source_database = $2 AND t.natural_key = s.natural_key
               WHERE s.raw_data ? 'CustomData' AND t.content_hash IS DISTINCT FROM s.content_hash",
            self.schema
        );
        let rows = self
            .transaction
            .query(&sql, &[&self.scope.kitchen, &self.scope.database])
            .await
            .map_err(|cause| failed("unreadable JSON cannot be counted", cause))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).filter(|(_, count)| *count > 0).collect())
    }

    /// Lines whose worth does not fit its column.
    pub(crate) async fn too_large(&self) -> Result<i64> {
        let row = self
            .transaction
            .query_one("SELECT count(*) FROM pg_temp.stage_ticket_items WHERE total IS NULL", &[])
            .await
            .map_err(|cause| failed("lines without a total cannot be counted", cause))?;
        Ok(row.get(0))
    }

    async fn batch(&self, sql: &str) -> Result<()> {
        self.transaction.batch_execute(sql).await.map_err(|cause| failed("the replica's rows cannot be staged", cause))
    }

    async fn run(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        self.transaction
            .execute(sql, values)
            .await
            .map_err(|cause| failed("the replica's rows cannot be merged", cause))
    }
}
