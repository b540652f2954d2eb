-- Bill lines with their JSON read and their money worked out (DOMAIN §7). Lines without a ticket are left behind.
WITH parsed AS MATERIALIZED (
    SELECT o.*, k.ticket_key, k.ticket_number,
           readable_json(o."OrderTags") AS order_tags,
           readable_json(o."OrderStates") AS order_states,
           readable_json(o."Taxes") AS tax_rates,
           k.ticket_key || '/o/' || CASE
               WHEN is_blank(o."OrderUid") THEN
                   key_time(o."CreatedDateTime") || '|' || key_text(o."MenuItemId") || '|' || key_text(o."PortionName")
                   || '|' || key_text(o."OrderNumber")
               ELSE o."OrderUid" END AS base
    FROM "Orders" o JOIN out.ticket_keys k ON k.source_id = o."TicketId"
),
tagged AS (
    SELECT *,
           -- Price of the order tags per unit; a tag without a quantity counts for nothing.
           coalesce(TRY(CAST(list_sum(list_transform(elements(order_tags),
               lambda t: json_decimal(t, '$.PR') * CAST(json_decimal(t, '$.Q') AS DECIMAL(38, 3)))) AS DECIMAL(18, 5))), 0)
               AS tag_total,
           coalesce(TRY(CAST(list_sum(list_transform(elements(order_tags),
               lambda t: if(json_extract_string(t, '$.TF') = 'true', 0,
                            json_decimal(t, '$.PR') * CAST(json_decimal(t, '$.Q') AS DECIMAL(38, 3))))) AS DECIMAL(18, 5))), 0)
               AS taxable_tags
    FROM parsed
)
SELECT
    "Id" AS source_id,
    "TicketId" AS source_ticket_id,
    ticket_key,
    ticket_number,
    bounded(numbered(base, row_number() OVER (PARTITION BY base ORDER BY "Id"))) AS natural_key,
    nullif("OrderUid", '') AS order_uid,
    coalesce("MenuItemName", '') AS menu_item_name,
    "MenuItemId" AS menu_item_id,
    "PortionName" AS portion_name,
    coalesce("Quantity", 0) AS quantity,
    coalesce("Price", 0) AS price,
    money_product(coalesce("Price", 0), coalesce("Quantity", 0)) AS total,
    -- What the line would be worth, void or not; unknown for products sold by time (their price depends on a timer).
    CASE WHEN "ProductTimerValueId" IS NULL
         THEN money_product(CAST(coalesce("Price", 0) AS DECIMAL(38, 5)) + tag_total, coalesce("Quantity", 0)) END AS full_value,
    CASE WHEN NOT coalesce("CalculatePrice", true) THEN 0 ELSE full_value END AS line_value,
    tag_total,
    CAST(coalesce("Price", 0) AS DECIMAL(38, 5)) + taxable_tags AS taxable_price,
    coalesce("CalculatePrice", true) AS calculate_price,
    coalesce("DecreaseInventory", true) AS decrease_inventory,
    coalesce("IncreaseInventory", false) AS increase_inventory,
    has_state("OrderStates", 'Void') OR has_state("OrderStates", 'Canceled') AS is_void,
    has_state("OrderStates", 'Gift') AS has_gift_state,
    "OrderNumber" AS order_number,
    "PriceTag" AS price_tag,
    "CreatingUserName" AS creating_user,
    "CreatedDateTime" AS created_at_source,
    order_tags,
    order_states,
    "OrderStates" AS order_states_raw,
    tax_rates AS taxes,
    tax_rates IS NULL AND NOT is_blank("Taxes") AS taxes_unread,
    "DepartmentId" AS department_id,
    keep_unread(keep_unread(raw_data, 'OrderTags', "OrderTags", order_tags), 'Taxes', "Taxes", tax_rates) AS raw_data
FROM tagged
