-- Small words the other files are written in.

-- JSON text of the till that can be read, else NULL. Raw CR, LF and TAB inside strings are tolerated (DOMAIN §6).
CREATE MACRO one_line(t) AS replace(replace(replace(t, chr(13), '\r'), chr(10), '\n'), chr(9), '\t');
CREATE MACRO readable_json(t) AS
    CASE WHEN json_valid(t) THEN t WHEN json_valid(one_line(t)) THEN one_line(t) END;
CREATE MACRO is_blank(t) AS t IS NULL OR trim(t, ' ' || chr(13) || chr(10) || chr(9)) = '';

-- The elements of a JSON list; none for anything else.
CREATE MACRO elements(json) AS json_extract(coalesce(json, '[]'), '$[*]');
-- Adds a member whose value is JSON text to a JSON object, untouched: parsing it again could change its numbers.
CREATE MACRO with_member(object, name, json) AS
    left(object, length(object) - 1) || if(object = '{}', '', ',') || CAST(to_json(name) AS VARCHAR) || ':' || json || '}';

-- Adds JSON text that could not be read to raw_data, so that nothing is lost: `parsed` is readable_json(original).
CREATE MACRO keep_unread(raw, name, original, parsed) AS
    CASE WHEN parsed IS NOT NULL OR is_blank(original) THEN raw
         ELSE with_member(raw, name, CAST(to_json(original) AS VARCHAR)) END;

-- The value of a product tag by a scan of the raw text, exactly as the live reports do it (DOMAIN §9.1):
-- the next "TV":" after the first "TN":"<tag>", up to the next quote; nothing is decoded, letter case is ignored.
CREATE MACRO product_tag(custom_tags, tag) AS
    nullif(regexp_extract(custom_tags, '(?is)"TN":"' || regexp_escape(tag) || '".*?"TV":"([^"]*)"', 1), '');

-- Whether a line state is among the raw order states, as the live reports test it (DOMAIN §9.2).
CREATE MACRO has_state(order_states, state) AS
    coalesce(contains(lower(order_states), '"s":"' || lower(state) || '"'), false);

-- Parts of natural keys (DOMAIN §4).
CREATE MACRO key_time(t) AS coalesce(strftime(t, '%Y-%m-%dT%H:%M:%S.%g'), '');
CREATE MACRO key_text(t) AS coalesce(CAST(t AS VARCHAR), '');
CREATE MACRO numbered(key, n) AS key || if(n > 1, '#' || CAST(n AS VARCHAR), '');
-- Keys must fit into an index page; no till writes longer ones on purpose.
CREATE MACRO bounded(key) AS if(length(key) > 400, left(key, 300) || '~' || md5(key), key);

-- Exact decimals: a number of a JSON value, and products that may be too large for the column (then NULL).
CREATE MACRO json_decimal(v, path) AS coalesce(TRY_CAST(json_extract_string(v, path) AS DECIMAL(38, 5)), 0);
CREATE MACRO money_product(a, b) AS
    TRY(CAST(CAST(a AS DECIMAL(38, 5)) * CAST(b AS DECIMAL(38, 3)) AS DECIMAL(18, 5)));
