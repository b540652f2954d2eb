-- sambapos_tickets: one row per bill, with what its entities, calculations and lines say of it.
WITH
entity AS (
    SELECT e."Ticket_Id" AS ticket_id,
           min_by(coalesce(e."EntityName", ''), e."Id")
               FILTER (WHERE e."EntityTypeId" = getvariable('table_entity_type')) AS table_name,
           min_by(coalesce(e."EntityName", ''), e."Id")
               FILTER (WHERE e."EntityTypeId" = getvariable('room_entity_type')) AS room_name,
           min_by(e."EntityName", e."Id")
               FILTER (WHERE e."EntityTypeId" = getvariable('customer_entity_type')) AS customer_name,
           min_by(e."AccountId", e."Id") FILTER (WHERE e."AccountId" > 0) AS account_id,
           '[' || string_agg(with_member(CAST(json_object(
               'id', e."Id", 'entity_type_id', e."EntityTypeId", 'entity_id', e."EntityId", 'account_id', e."AccountId",
               'account_type_id', e."AccountTypeId", 'name', e."EntityName",
               'custom_data_unread', if(readable_json(e."EntityCustomData") IS NULL, nullif(e."EntityCustomData", ''), NULL)
           ) AS VARCHAR), 'custom_data', coalesce(readable_json(e."EntityCustomData"), 'null')), ',' ORDER BY e."Id") || ']'
               AS entities
    FROM "TicketEntities" e
    WHERE e."Ticket_Id" IS NOT NULL
    GROUP BY e."Ticket_Id"
),
calculation AS (
    SELECT c."TicketId" AS ticket_id,
           '[' || string_agg(CAST(json_object(
               'id', c."Id", 'name', c."Name", 'order', c."Order", 'calculation_type_id', c."CalculationTypeId",
               'account_transaction_type_id', c."AccountTransactionTypeId", 'calculation_type', c."CalculationType",
               'include_tax', c."IncludeTax", 'decrease_amount', c."DecreaseAmount", 'use_plain_sum', c."UsePlainSum",
               'amount', c."Amount", 'calculation_amount', c."CalculationAmount"
           ) AS VARCHAR), ',' ORDER BY c."Order", c."Id") || ']' AS calculations
    FROM "Calculations" c
    GROUP BY c."TicketId"
),
line AS (
    SELECT source_ticket_id AS ticket_id, bool_and(is_void) AS all_void FROM out.lines GROUP BY source_ticket_id
),
parsed AS MATERIALIZED (
    SELECT *, readable_json("TicketTags") AS ticket_tags, readable_json("TicketStates") AS ticket_states,
           readable_json("TicketLogs") AS ticket_logs
    FROM "Tickets"
),
tagged AS (
    SELECT *,
           -- The first tag named exactly Covers (DOMAIN §9.9).
           list_filter(elements(ticket_tags), lambda t: json_extract_string(t, '$.TN') = 'Covers')[1] AS covers_tag,
           list_filter(elements(ticket_states), lambda t: json_extract_string(t, '$.SN') = 'Status')[1] AS status_tag
    FROM parsed
)
SELECT
    t."Id" AS source_id,
    k.ticket_key AS natural_key,
    k.ticket_number,
    nullif(t."TicketUid", '') AS ticket_uid,
    coalesce(t."Date", t."LastUpdateTime", TIMESTAMP '1900-01-01') AS ticket_date,
    t."LastUpdateTime" AS last_update_time,
    t."LastOrderDate" AS last_order_date,
    t."LastPaymentDate" AS last_payment_date,
    e.table_name,
    e.customer_name,
    coalesce(nullif(e.room_name, ''), a."Name") AS account_name,
    e.room_name,
    coalesce(e.room_name, '') <> '' AS has_room,
    CAST(coalesce(t."TotalAmount", 0) AS DECIMAL(16, 2)) AS total_amount,
    CAST(coalesce(t."RemainingAmount", 0) AS DECIMAL(16, 2)) AS remaining_amount,
    CAST(t."TotalAmountPreTax" AS DECIMAL(16, 2)) AS total_pretax,
    t."TaxIncluded" AS tax_included,
    CASE WHEN NOT coalesce(t."IsClosed", false) THEN 'Open'
         WHEN coalesce(l.all_void, false) THEN 'Void'
         ELSE 'Closed' END AS ticket_state,
    json_extract_string(t.status_tag, '$.S') AS status_state,
    coalesce(t."IsClosed", false) AS is_closed,
    t."DepartmentId" AS department_id,
    d."Name" AS department_name,
    t."TicketTypeId" AS ticket_type_id,
    y."Name" AS ticket_type_name,
    t."TerminalId" AS terminal_id,
    t."Note" AS note,
    t.ticket_tags,
    t."TicketTags" AS ticket_tags_raw,
    t.ticket_states,
    t.ticket_logs,
    -- Text counts when it is a whole number, blanks around it allowed; a JSON number is cut off at the point.
    CASE json_type(t.covers_tag, '$.TV')
        WHEN 'VARCHAR' THEN TRY_CAST(regexp_extract(json_extract_string(t.covers_tag, '$.TV'), '^\s*([+-]?[0-9]+)\s*$', 1) AS INTEGER)
        WHEN 'NULL' THEN NULL
        ELSE TRY_CAST(trunc(TRY_CAST(json_extract_string(t.covers_tag, '$.TV') AS DOUBLE)) AS INTEGER)
    END AS covers,
    coalesce(e.entities, '[]') AS entities,
    coalesce(c.calculations, '[]') AS calculations,
    keep_unread(keep_unread(t.raw_data, 'TicketStates', t."TicketStates", t.ticket_states),
                'TicketLogs', t."TicketLogs", t.ticket_logs) AS raw_data
FROM tagged t
JOIN out.ticket_keys k ON k.source_id = t."Id"
LEFT JOIN entity e ON e.ticket_id = t."Id"
LEFT JOIN calculation c ON c.ticket_id = t."Id"
LEFT JOIN line l ON l.ticket_id = t."Id"
LEFT JOIN "Accounts" a ON a."Id" = e.account_id
LEFT JOIN "Departments" d ON d."Id" = t."DepartmentId"
LEFT JOIN "TicketTypes" y ON y."Id" = t."TicketTypeId"
