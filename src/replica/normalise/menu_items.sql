-- sambapos_menu_items: the menu with portions, prices and the two product tags the reports use (DOMAIN §9.1, §10).
WITH
price AS (
    SELECT "MenuItemPortionId" AS portion_id,
           min_by("Price", "Id") FILTER (WHERE is_blank("PriceTag")) AS default_price,
           '[' || string_agg(CAST(json_object('tag', "PriceTag", 'price', "Price") AS VARCHAR), ',' ORDER BY "Id") || ']' AS prices
    FROM "MenuItemPrices" GROUP BY "MenuItemPortionId"
),
portion AS (
    SELECT p."MenuItemId" AS item_id,
           min_by(coalesce(CAST(x.default_price AS VARCHAR), ''), p."Id") AS first_price,
           '[' || string_agg(with_member(
               CAST(json_object('id', p."Id", 'name', p."Name", 'multiplier', p."Multiplier") AS VARCHAR),
               'prices', coalesce(x.prices, '[]')), ',' ORDER BY p."Id") || ']' AS portions
    FROM "MenuItemPortions" p LEFT JOIN price x ON x.portion_id = p."Id"
    GROUP BY p."MenuItemId"
),
shown AS (
    SELECT DISTINCT i."MenuItemId" AS item_id
    FROM "ScreenMenuItems" i
    JOIN "ScreenMenuCategories" c ON c."Id" = i."ScreenMenuCategoryId"
    JOIN "ScreenMenus" m ON m."Id" = c."ScreenMenuId"
)
SELECT
    i."Id" AS source_id,
    'm:' || CAST(i."Id" AS VARCHAR) AS natural_key,
    coalesce(i."Name", '') AS item_name,
    i."Barcode" AS item_code,
    i."GroupCode" AS category,
    CAST(TRY_CAST(p.first_price AS DECIMAL(16, 2)) AS DECIMAL(16, 2)) AS price,
    i."GroupCode" AS group_code,
    i."Tag" AS tag,
    readable_json(i."CustomTags") AS custom_tags,
    i."CustomTags" AS custom_tags_raw,
    product_tag(i."CustomTags", 'Kitchen Course') AS kitchen_course,
    product_tag(i."CustomTags", 'NewBook GLA') AS gl_code,
    s.item_id IS NOT NULL AS on_pos_menu,
    coalesce(p.portions, '[]') AS portions,
    i.raw_data
FROM "MenuItems" i
LEFT JOIN portion p ON p.item_id = i."Id"
LEFT JOIN shown s ON s.item_id = i."Id"
