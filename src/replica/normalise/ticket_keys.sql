-- One row per ticket: its natural key (DOMAIN §4). TicketUid, else number and time of creation.
SELECT
    "Id" AS source_id,
    bounded(numbered(base, row_number() OVER (PARTITION BY base ORDER BY "Id"))) AS ticket_key,
    ticket_number
FROM (
    SELECT "Id", coalesce("TicketNumber", '') AS ticket_number,
           CASE WHEN is_blank("TicketUid") THEN 'f:' || key_text("TicketNumber") || '|' || key_time("Date")
                ELSE 'u:' || "TicketUid" END AS base
    FROM "Tickets"
)
