-- sambapos_payments: payments, and change given through another account as negative amounts.
WITH
-- The account a ledger transaction ends at: the debited row; the credited one when the transaction is reversed (DOMAIN §7).
target AS (
    SELECT v."AccountTransactionId" AS transaction_id, v."AccountTransactionDocumentId" AS document_id,
           arg_min(v."AccountId", v."Id") AS account_id
    FROM "AccountTransactionValues" v
    JOIN "AccountTransactions" t
      ON t."Id" = v."AccountTransactionId" AND t."AccountTransactionDocumentId" = v."AccountTransactionDocumentId"
    WHERE if(coalesce(t."IsReversed", false), v."Credit", v."Debit") > 0
    GROUP BY ALL
),
paid AS (
    SELECT p."Id" AS source_id, p."TicketId" AS source_ticket_id, 'payment' AS kind, p."Date" AS payment_date,
           coalesce(y."Name", p."Name", '') AS payment_type, p."PaymentTypeId" AS payment_type_id,
           p."Amount" AS amount, p."TenderedAmount" AS tendered_amount, p."UserId" AS user_id,
           p."AccountTransaction_Id" AS transaction_id,
           p."AccountTransaction_AccountTransactionDocumentId" AS document_id,
           '/p/' || key_time(p."Date") || '|' || key_text(p."PaymentTypeId") || '|' || key_text(p."Amount") AS key_end,
           p.raw_data
    FROM "Payments" p LEFT JOIN "PaymentTypes" y ON y."Id" = p."PaymentTypeId"
    UNION ALL
    SELECT c."Id", c."TicketId", 'change', c."Date",
           coalesce(y."Name", c."Name", ''), c."ChangePaymentTypeId",
           -c."Amount", NULL, c."UserId",
           c."AccountTransaction_Id", c."AccountTransaction_AccountTransactionDocumentId",
           '/c/' || key_time(c."Date") || '|' || key_text(c."ChangePaymentTypeId") || '|' || key_text(c."Amount"),
           c.raw_data
    FROM "ChangePayments" c LEFT JOIN "ChangePaymentTypes" y ON y."Id" = c."ChangePaymentTypeId"
)
SELECT
    p.source_id,
    p.source_ticket_id,
    k.ticket_key,
    bounded(numbered(k.ticket_key || p.key_end,
        row_number() OVER (PARTITION BY k.ticket_key, p.key_end ORDER BY p.source_id))) AS natural_key,
    k.ticket_number,
    p.kind,
    coalesce(p.payment_date, TIMESTAMP '1900-01-01') AS payment_date,
    p.payment_type,
    p.payment_type_id,
    CAST(coalesce(p.amount, 0) AS DECIMAL(16, 2)) AS amount,
    CAST(p.tendered_amount AS DECIMAL(16, 2)) AS tendered_amount,
    p.user_id,
    u."Name" AS user_name,
    target.account_id,
    a."Name" AS account_name,
    p.raw_data
FROM paid p
JOIN out.ticket_keys k ON k.source_id = p.source_ticket_id
LEFT JOIN target ON target.transaction_id = p.transaction_id AND target.document_id = p.document_id
LEFT JOIN "Accounts" a ON a."Id" = target.account_id
LEFT JOIN "Users" u ON u."Id" = p.user_id
