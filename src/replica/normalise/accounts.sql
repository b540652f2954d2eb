-- sambapos_accounts: accounts with their balance over the ledger of this snapshot (DOMAIN §10).
WITH
balance AS (
    SELECT "AccountId" AS account_id, sum(coalesce("Debit", 0) - coalesce("Credit", 0)) AS amount
    FROM "AccountTransactionValues" GROUP BY "AccountId"
),
entity AS (
    SELECT e."AccountId" AS account_id, min(e."Id") AS entity_id
    FROM "Entities" e WHERE e."AccountId" > 0 GROUP BY e."AccountId"
)
SELECT
    a."Id" AS source_id,
    'a:' || CAST(a."Id" AS VARCHAR) AS natural_key,
    coalesce(a."Name", '') AS account_name,
    t."Name" AS account_type,
    CASE WHEN e."EntityTypeId" = getvariable('room_entity_type') THEN e."Name" END AS account_number,
    CAST(coalesce(b.amount, 0) AS DECIMAL(16, 2)) AS balance,
    e."Id" AS entity_id,
    e."Name" AS entity_name,
    y."Name" AS entity_type,
    readable_json(e."CustomData") AS custom_data,
    keep_unread(a.raw_data, 'CustomData', e."CustomData", readable_json(e."CustomData")) AS raw_data
FROM "Accounts" a
LEFT JOIN "AccountTypes" t ON t."Id" = a."AccountTypeId"
LEFT JOIN balance b ON b.account_id = a."Id"
LEFT JOIN entity x ON x.account_id = a."Id"
LEFT JOIN "Entities" e ON e."Id" = x.entity_id
LEFT JOIN "EntityTypes" y ON y."Id" = e."EntityTypeId"
