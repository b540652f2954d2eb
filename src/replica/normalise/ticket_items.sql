-- sambapos_ticket_items: the bill lines as they are stored.
SELECT
    source_id, source_ticket_id, ticket_key, natural_key, ticket_number, order_uid, menu_item_name, menu_item_id,
    portion_name,
    CAST(quantity AS DECIMAL(16, 3)) AS quantity,
    CAST(price AS DECIMAL(16, 2)) AS price,
    total, line_value, tag_total, calculate_price, decrease_inventory, increase_inventory, is_void,
    has_gift_state AND NOT is_void AS is_gift,
    order_number, price_tag, creating_user, created_at_source, order_tags, order_states, order_states_raw, taxes,
    department_id, raw_data
FROM out.lines
