-- sambapos_transactions: up to three rows per closed ticket, Sale, Refund and Void (DOMAIN §10). The till has no such table.
WITH
rate AS (
    SELECT source_id, source_ticket_id, quantity, taxable_price, total_rate,
           json_decimal(rate, '$.TR') AS tax_rate,
           TRY_CAST(json_extract_string(rate, '$.RN') AS INTEGER) AS rounding
    FROM (
        SELECT *, unnest(rates) AS rate,
               list_sum(list_transform(rates, lambda r: json_decimal(r, '$.TR'))) AS total_rate
        FROM (SELECT *, elements(taxes) AS rates FROM out.lines WHERE calculate_price AND taxes IS NOT NULL)
    )
),
-- Calculations before tax (discounts, service) are spread over the lines in proportion: price * after / plain.
spread AS (
    SELECT t."Id" AS ticket_id, coalesce(t."TaxIncluded", false) AS tax_included,
           plain.amount AS plain,
           plain.amount + coalesce(before_tax.amount, 0) AS after
    FROM "Tickets" t
    JOIN (SELECT source_ticket_id, sum(line_value) AS amount FROM out.lines GROUP BY source_ticket_id) plain
      ON plain.source_ticket_id = t."Id"
    LEFT JOIN (SELECT "TicketId", sum("CalculationAmount") AS amount FROM "Calculations"
               WHERE NOT coalesce("IncludeTax", false) GROUP BY "TicketId") before_tax ON before_tax."TicketId" = t."Id"
),
-- Tax of one unit to eight decimals in whole numbers: price (5 decimals) * rate (2) * after / plain / (100 + rates or 100).
unit AS (
    SELECT r.source_id, r.source_ticket_id, r.quantity, r.rounding, s.tax_included,
           TRY(CAST(
               (CAST(CAST(r.taxable_price AS DECIMAL(38, 5)) * 100000 AS HUGEINT)
                * CAST(round(r.tax_rate * 100) AS HUGEINT) * 1000
                * if(s.plain = 0, 1, CAST(s.after * 100000 AS HUGEINT)))
               // (if(s.plain = 0, 1, CAST(s.plain * 100000 AS HUGEINT))
                  * (10000 + if(s.tax_included, CAST(round(r.total_rate * 100) AS HUGEINT), 0)))
               AS DECIMAL(38, 0)) * CAST(0.00000001 AS DECIMAL(10, 8))) AS amount
    FROM rate r JOIN spread s ON s.ticket_id = r.source_ticket_id
    WHERE r.tax_rate <> 0
),
line_tax AS (
    SELECT source_ticket_id,
           TRY(CAST(CASE WHEN NOT tax_included OR coalesce(rounding, 0) <= 0 THEN amount
                         WHEN rounding = 1 THEN CAST(CAST(amount AS DECIMAL(30, 1)) AS DECIMAL(30, 8))
                         WHEN rounding = 2 THEN CAST(CAST(amount AS DECIMAL(30, 2)) AS DECIMAL(30, 8))
                         WHEN rounding = 3 THEN CAST(CAST(amount AS DECIMAL(30, 3)) AS DECIMAL(30, 8))
                         WHEN rounding = 4 THEN CAST(CAST(amount AS DECIMAL(30, 4)) AS DECIMAL(30, 8))
                         ELSE amount END AS DECIMAL(27, 8)) * CAST(quantity AS DECIMAL(38, 3))) AS amount
    FROM unit
),
-- NULL when the taxes of a counted line could not be read or worked out.
tax AS (
    SELECT ticket_id, if(unknown, NULL, TRY(CAST(coalesce(amount, 0) AS DECIMAL(16, 2)))) AS amount
    FROM (
        SELECT l.source_ticket_id AS ticket_id, any_value(x.amount) AS amount,
               bool_or(l.taxes_unread AND l.calculate_price) OR coalesce(any_value(x.incomplete), false) AS unknown
        FROM out.lines l
        LEFT JOIN (SELECT source_ticket_id, sum(amount) AS amount, bool_or(amount IS NULL) AS incomplete
                   FROM line_tax GROUP BY source_ticket_id) x ON x.source_ticket_id = l.source_ticket_id
        GROUP BY l.source_ticket_id
    )
),
sorted AS (
    SELECT *, NOT is_void AND (increase_inventory OR coalesce(line_value, 0) < 0) AS is_refund,
           has_gift_state AND NOT is_void AS is_gift
    FROM out.lines
),
sums AS (
    SELECT source_ticket_id AS ticket_id,
           coalesce(sum(line_value) FILTER (WHERE is_refund), 0) AS refund,
           coalesce(sum(full_value) FILTER (WHERE is_void), 0) AS void,
           sum(total) FILTER (WHERE is_gift) AS gift,
           coalesce(bool_or(is_refund), false) AS has_refund,
           coalesce(bool_or(is_void), false) AS has_void,
           coalesce(bool_or(NOT is_void AND NOT is_refund AND calculate_price), false) AS has_sale
    FROM sorted GROUP BY source_ticket_id
),
closed AS (
    SELECT t."Id" AS ticket_id, k.ticket_key, k.ticket_number,
           coalesce(t."Date", t."LastUpdateTime", TIMESTAMP '1900-01-01') AS transaction_date,
           CAST(coalesce(t."TotalAmount", 0) AS DECIMAL(16, 2)) AS total,
           TRY(CAST(coalesce(s.refund, 0) AS DECIMAL(16, 2))) AS refund,
           TRY(CAST(coalesce(s.void, 0) AS DECIMAL(16, 2))) AS void,
           s.gift, coalesce(s.has_refund, false) AS has_refund, coalesce(s.has_void, false) AS has_void,
           coalesce(s.has_sale, false) OR total - coalesce(refund, 0) <> 0 AS has_sale,
           if(s.ticket_id IS NULL, 0, tax.amount) AS tax
    FROM "Tickets" t
    JOIN out.ticket_keys k ON k.source_id = t."Id"
    LEFT JOIN sums s ON s.ticket_id = t."Id"
    LEFT JOIN tax ON tax.ticket_id = t."Id"
    WHERE coalesce(t."IsClosed", false)
),
typed AS (
    SELECT *, 'Sale' AS transaction_type, total - coalesce(refund, 0) AS amount_total, tax AS amount_tax
    FROM closed WHERE has_sale
    UNION ALL
    SELECT *, 'Refund', coalesce(refund, 0), if(has_sale, NULL, tax) FROM closed WHERE has_refund
    UNION ALL
    SELECT *, 'Void', coalesce(void, 0), NULL FROM closed WHERE has_void
)
SELECT
    ticket_id AS source_id,
    ticket_id AS source_ticket_id,
    ticket_key,
    bounded(ticket_key || '/t/' || transaction_type) AS natural_key,
    ticket_number,
    transaction_type,
    transaction_date,
    CAST(amount_total AS DECIMAL(16, 2)) AS amount_total,
    CAST(amount_tax AS DECIMAL(16, 2)) AS amount_tax,
    CAST(amount_total - coalesce(amount_tax, 0) AS DECIMAL(16, 2)) AS amount_net,
    -- Gifts have no row of their own; their worth is noted on the row of the sale.
    CASE WHEN transaction_type = 'Sale' AND gift IS NOT NULL
         THEN CAST(json_object('gift_value', gift) AS VARCHAR) ELSE '{}' END AS raw_data
FROM typed
