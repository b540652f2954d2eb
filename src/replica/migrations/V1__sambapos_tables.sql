-- The eight replica tables (DOMAIN §10). They are created in the schema that leads the search path.
--
-- Common columns: kitchen_id and source_database scope every row; natural_key is unique within that scope and survives a
-- clear of the till (DOMAIN §4); source_id is the till's Id when the row was last written, never a key; row_state is the
-- life of the row (DOMAIN §3.2). Times without a zone are the till's wall clock (DOMAIN §8).

CREATE TABLE sambapos_replication_settings (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kitchen_id             int NOT NULL UNIQUE,
    is_enabled             boolean NOT NULL DEFAULT true,
    sync_interval_minutes  int NOT NULL DEFAULT 15,
    full_sync_on_clear     boolean NOT NULL DEFAULT true,
    last_sync_at           timestamptz,
    last_transaction_date  timestamp,
    last_sync_status       varchar(20),
    last_error_message     text,
    records_synced_total   bigint NOT NULL DEFAULT 0,
    source_database        varchar(128),
    source_timezone        text,
    source_epoch           int,
    table_entity_type_id   int NOT NULL DEFAULT 2,
    room_entity_type_id    int NOT NULL DEFAULT 3,
    schema_fingerprint     text,
    source_collation       text,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE sambapos_replication_settings IS 'One row per kitchen: settings and the state of the last load.';
COMMENT ON COLUMN sambapos_replication_settings.last_transaction_date IS 'Latest Tickets.LastUpdateTime seen, till wall clock.';
COMMENT ON COLUMN sambapos_replication_settings.records_synced_total IS 'Tickets inserted or replaced by all loads.';

CREATE TABLE sambapos_archives (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kitchen_id          int NOT NULL,
    archive_uid         text NOT NULL,
    snapshot_id         bigint NOT NULL,
    archive_date        date NOT NULL,
    kind                text NOT NULL CHECK (kind IN ('nightly', 'interval', 'pre-clear', 'manual')),
    taken_at            timestamptz NOT NULL,
    source_local_time   timestamp NOT NULL,
    source_database     varchar(128) NOT NULL,
    source_epoch        int NOT NULL,
    period_start        date,
    period_end          date,
    transaction_count   int NOT NULL DEFAULT 0,
    ticket_count        int NOT NULL DEFAULT 0,
    table_counts        jsonb NOT NULL,
    archive_path        varchar(500) NOT NULL,
    archive_size_mb     numeric(14,3) NOT NULL,
    new_bytes           bigint,
    compression_type    varchar(20) NOT NULL DEFAULT 'zstd',
    manifest_sha256     text,
    upload_state        text,
    verified_at         timestamptz,
    schema_fingerprint  text NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kitchen_id, source_database, snapshot_id)
);
CREATE INDEX ON sambapos_archives (kitchen_id, archive_date);
COMMENT ON TABLE sambapos_archives IS 'One row per snapshot that was loaded.';
COMMENT ON COLUMN sambapos_archives.archive_uid IS 'Id of the archive, as in tillvault-archive.json.';
COMMENT ON COLUMN sambapos_archives.archive_path IS 'Snapshot file, relative to the archive folder.';
COMMENT ON COLUMN sambapos_archives.archive_size_mb IS 'Bytes of all chunk files of the snapshot / 1,000,000.';
COMMENT ON COLUMN sambapos_archives.transaction_count IS 'Sale, Refund and Void rows derived from the snapshot.';
COMMENT ON COLUMN sambapos_archives.period_start IS 'Earliest Tickets.Date in the snapshot; NULL without tickets.';

CREATE TABLE sambapos_tickets (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kitchen_id         int NOT NULL,
    source_database    varchar(128) NOT NULL,
    source_id          int NOT NULL,
    source_epoch       int NOT NULL,
    natural_key        text NOT NULL,
    row_state          text NOT NULL CHECK (row_state IN ('live', 'cleared', 'deleted')),
    first_archive_id   bigint NOT NULL REFERENCES sambapos_archives (id),
    last_archive_id    bigint NOT NULL REFERENCES sambapos_archives (id),
    content_hash       bytea NOT NULL,
    raw_data           jsonb NOT NULL,
    synced_at          timestamptz NOT NULL DEFAULT now(),
    ticket_number      text NOT NULL,
    ticket_uid         text,
    ticket_date        timestamp NOT NULL,
    last_update_time   timestamp,
    last_order_date    timestamp,
    last_payment_date  timestamp,
    table_name         text,
    customer_name      text,
    account_name       text,
    room_name          text,
    has_room           boolean NOT NULL,
    total_amount       numeric(16,2) NOT NULL,
    remaining_amount   numeric(16,2) NOT NULL,
    total_pretax       numeric(16,2),
    tax_included       boolean,
    ticket_state       varchar(50) NOT NULL,
    status_state       text,
    is_closed          boolean NOT NULL,
    department_id      int,
    department_name    text,
    ticket_type_id     int,
    ticket_type_name   text,
    terminal_id        int,
    note               text,
    ticket_tags        jsonb,
    ticket_tags_raw    text,
    ticket_states      jsonb,
    ticket_logs        jsonb,
    covers             int,
    entities           jsonb NOT NULL,
    calculations       jsonb NOT NULL,
    UNIQUE (kitchen_id, source_database, natural_key)
);
CREATE INDEX ON sambapos_tickets (kitchen_id, ticket_date);
CREATE INDEX ON sambapos_tickets (kitchen_id, source_database) WHERE row_state = 'live';
COMMENT ON TABLE sambapos_tickets IS 'Bills. A ticket and its children are replaced together (the ticket is the aggregate).';
COMMENT ON COLUMN sambapos_tickets.natural_key IS 'u:<TicketUid>, else f:<TicketNumber>|<Date>; #2, #3 for equal keys in one snapshot, by Id.';
COMMENT ON COLUMN sambapos_tickets.row_state IS 'live: in the newest loaded snapshot. cleared: vanished with a clear, stays in every report. deleted: vanished alone, out of reports.';
COMMENT ON COLUMN sambapos_tickets.first_archive_id IS 'First loaded snapshot that held the ticket.';
COMMENT ON COLUMN sambapos_tickets.last_archive_id IS 'cleared or deleted: last loaded snapshot that held the ticket. live: the one that last changed it (the newest one holds it).';
COMMENT ON COLUMN sambapos_tickets.content_hash IS 'SHA-256 of the whole aggregate: ticket, lines, payments, derived transactions.';
COMMENT ON COLUMN sambapos_tickets.raw_data IS 'Source columns without a column of their own, without secrets; JSON text that could not be read.';
COMMENT ON COLUMN sambapos_tickets.ticket_state IS 'Open; Void when closed with every line void; else Closed.';
COMMENT ON COLUMN sambapos_tickets.status_state IS 'The till''s own state: S of the first TicketStates element with SN Status.';
COMMENT ON COLUMN sambapos_tickets.covers IS 'Whole number of the first tag named exactly Covers; NULL when absent or no number.';
COMMENT ON COLUMN sambapos_tickets.table_name IS 'EntityName of the table, lowest TicketEntities.Id; '''' when it has no name, NULL without a table.';

CREATE TABLE sambapos_ticket_items (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kitchen_id          int NOT NULL,
    source_database     varchar(128) NOT NULL,
    source_id           int NOT NULL,
    source_epoch        int NOT NULL,
    natural_key         text NOT NULL,
    row_state           text NOT NULL CHECK (row_state IN ('live', 'cleared', 'deleted')),
    first_archive_id    bigint NOT NULL,
    last_archive_id     bigint NOT NULL,
    content_hash        bytea NOT NULL,
    raw_data            jsonb NOT NULL,
    synced_at           timestamptz NOT NULL DEFAULT now(),
    ticket_id           bigint NOT NULL REFERENCES sambapos_tickets (id) ON DELETE CASCADE,
    source_ticket_id    int NOT NULL,
    ticket_number       text NOT NULL,
    order_uid           text,
    menu_item_name      text NOT NULL,
    menu_item_id        int,
    portion_name        text,
    quantity            numeric(16,3) NOT NULL,
    price               numeric(16,2) NOT NULL,
    total               numeric(18,5),
    line_value          numeric(18,5),
    tag_total           numeric(18,5),
    calculate_price     boolean NOT NULL,
    decrease_inventory  boolean NOT NULL,
    increase_inventory  boolean NOT NULL,
    is_void             boolean NOT NULL,
    is_gift             boolean NOT NULL,
    order_number        int,
    price_tag           text,
    creating_user       text,
    created_at_source   timestamp,
    order_tags          jsonb,
    order_states        jsonb,
    order_states_raw    text,
    taxes               jsonb,
    department_id       int,
    UNIQUE (kitchen_id, source_database, natural_key)
);
CREATE INDEX ON sambapos_ticket_items (ticket_id);
CREATE INDEX ON sambapos_ticket_items (kitchen_id, created_at_source);
COMMENT ON TABLE sambapos_ticket_items IS 'Bill lines (Orders).';
COMMENT ON COLUMN sambapos_ticket_items.total IS 'price * quantity: what the live reports count. NULL when it has more than 13 digits before the point.';
COMMENT ON COLUMN sambapos_ticket_items.line_value IS '(price + tag_total) * quantity, 0 when calculate_price is off (void, gift); NULL for timed products.';
COMMENT ON COLUMN sambapos_ticket_items.tag_total IS 'Sum of price * quantity of the order tags, per unit.';
COMMENT ON COLUMN sambapos_ticket_items.is_void IS 'order_states_raw contains "S":"Void" or "S":"Canceled", any letter case, as the live reports test it.';
COMMENT ON COLUMN sambapos_ticket_items.first_archive_id IS 'Snapshot the present version of the ticket was loaded from.';

CREATE TABLE sambapos_payments (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kitchen_id        int NOT NULL,
    source_database   varchar(128) NOT NULL,
    source_id         int NOT NULL,
    source_epoch      int NOT NULL,
    natural_key       text NOT NULL,
    row_state         text NOT NULL CHECK (row_state IN ('live', 'cleared', 'deleted')),
    first_archive_id  bigint NOT NULL,
    last_archive_id   bigint NOT NULL,
    content_hash      bytea NOT NULL,
    raw_data          jsonb NOT NULL,
    synced_at         timestamptz NOT NULL DEFAULT now(),
    ticket_id         bigint NOT NULL REFERENCES sambapos_tickets (id) ON DELETE CASCADE,
    source_ticket_id  int NOT NULL,
    ticket_number     text NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('payment', 'change')),
    payment_date      timestamp NOT NULL,
    payment_type      text NOT NULL,
    payment_type_id   int,
    amount            numeric(16,2) NOT NULL,
    tendered_amount   numeric(16,2),
    user_id           int,
    user_name         text,
    account_id        int,
    account_name      text,
    UNIQUE (kitchen_id, source_database, natural_key)
);
CREATE INDEX ON sambapos_payments (ticket_id);
CREATE INDEX ON sambapos_payments (kitchen_id, payment_date);
COMMENT ON TABLE sambapos_payments IS 'Payments, and change given through another account (kind change, amount negative).';

CREATE TABLE sambapos_transactions (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kitchen_id        int NOT NULL,
    source_database   varchar(128) NOT NULL,
    source_id         int NOT NULL,
    source_epoch      int NOT NULL,
    natural_key       text NOT NULL,
    row_state         text NOT NULL CHECK (row_state IN ('live', 'cleared', 'deleted')),
    first_archive_id  bigint NOT NULL,
    last_archive_id   bigint NOT NULL,
    content_hash      bytea NOT NULL,
    raw_data          jsonb NOT NULL,
    synced_at         timestamptz NOT NULL DEFAULT now(),
    ticket_id         bigint NOT NULL REFERENCES sambapos_tickets (id) ON DELETE CASCADE,
    source_ticket_id  int NOT NULL,
    ticket_number     text NOT NULL,
    transaction_type  varchar(20) NOT NULL CHECK (transaction_type IN ('Sale', 'Refund', 'Void')),
    transaction_date  timestamp NOT NULL,
    amount_total      numeric(16,2) NOT NULL,
    amount_tax        numeric(16,2),
    amount_net        numeric(16,2) NOT NULL,
    UNIQUE (kitchen_id, source_database, natural_key)
);
CREATE INDEX ON sambapos_transactions (ticket_id);
CREATE INDEX ON sambapos_transactions (kitchen_id, transaction_date);
COMMENT ON TABLE sambapos_transactions IS 'Derived per closed ticket: Sale + Refund = total of the ticket. Void rows are information only: never sum them with the others.';

CREATE TABLE sambapos_menu_items (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kitchen_id        int NOT NULL,
    source_database   varchar(128) NOT NULL,
    source_id         int NOT NULL,
    source_epoch      int NOT NULL,
    natural_key       text NOT NULL,
    row_state         text NOT NULL CHECK (row_state IN ('live', 'cleared', 'deleted')),
    first_archive_id  bigint NOT NULL REFERENCES sambapos_archives (id),
    last_archive_id   bigint NOT NULL REFERENCES sambapos_archives (id),
    content_hash      bytea NOT NULL,
    raw_data          jsonb NOT NULL,
    synced_at         timestamptz NOT NULL DEFAULT now(),
    item_name         text NOT NULL,
    item_code         text,
    category          text,
    price             numeric(16,2),
    is_active         boolean NOT NULL,
    group_code        text,
    tag               text,
    custom_tags       jsonb,
    custom_tags_raw   text,
    kitchen_course    text,
    gl_code           text,
    on_pos_menu       boolean NOT NULL,
    portions          jsonb NOT NULL,
    UNIQUE (kitchen_id, source_database, natural_key)
);
COMMENT ON TABLE sambapos_menu_items IS 'The menu as of the newest snapshot that listed the item.';
COMMENT ON COLUMN sambapos_menu_items.is_active IS 'The item is in the newest loaded catalog.';
COMMENT ON COLUMN sambapos_menu_items.category IS 'GroupCode. The "category" of the reports is kitchen_course.';
COMMENT ON COLUMN sambapos_menu_items.kitchen_course IS 'Raw scan of CustomTags for Kitchen Course, as the live reports do it: nothing is decoded.';
COMMENT ON COLUMN sambapos_menu_items.gl_code IS 'Raw scan of CustomTags for NewBook GLA.';
COMMENT ON COLUMN sambapos_menu_items.price IS 'Price in the default list of the portion with the lowest Id.';

CREATE TABLE sambapos_accounts (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kitchen_id        int NOT NULL,
    source_database   varchar(128) NOT NULL,
    source_id         int NOT NULL,
    source_epoch      int NOT NULL,
    natural_key       text NOT NULL,
    row_state         text NOT NULL CHECK (row_state IN ('live', 'cleared', 'deleted')),
    first_archive_id  bigint NOT NULL REFERENCES sambapos_archives (id),
    last_archive_id   bigint NOT NULL REFERENCES sambapos_archives (id),
    content_hash      bytea NOT NULL,
    raw_data          jsonb NOT NULL,
    synced_at         timestamptz NOT NULL DEFAULT now(),
    account_name      text NOT NULL,
    account_type      text,
    account_number    text,
    balance           numeric(16,2) NOT NULL,
    balance_as_of     timestamp NOT NULL,
    entity_id         int,
    entity_name       text,
    entity_type       text,
    custom_data       jsonb,
    UNIQUE (kitchen_id, source_database, natural_key)
);
COMMENT ON TABLE sambapos_accounts IS 'Accounts with their balance. A clear of the till empties the ledger, so balances start again (compare source_epoch).';
COMMENT ON COLUMN sambapos_accounts.balance IS 'Sum of debit - credit over the ledger of the snapshot that last changed the row.';
COMMENT ON COLUMN sambapos_accounts.balance_as_of IS 'Till wall clock of that snapshot: the balance held from then on, until the next change.';
COMMENT ON COLUMN sambapos_accounts.account_number IS 'Name of the linked room; the till has no account numbers.';
