//! The T-SQL of the reports that are asked of the till itself (DOMAIN §9).

use std::fmt::Write as _;

/// Menu items with their kitchen course, by the raw scan of DOMAIN §9.1: the text between the first `"TV":"` after the
/// first `"TN":"Kitchen Course"` and the next quote. No match, or an empty one, gives NULL. 6 is the length of `"TV":"`.
const ITEMS_WITH_CATEGORY: &str = "\
SELECT c.item_id AS item_id, c.group_code AS group_code, \
CASE WHEN c.tv > 0 AND c.stop > c.tv + 6 THEN SUBSTRING(c.tags, c.tv + 6, c.stop - c.tv - 6) END AS category \
FROM (SELECT b.item_id AS item_id, b.group_code AS group_code, b.tags AS tags, b.tv AS tv, \
CASE WHEN b.tv > 0 THEN CHARINDEX(N'\"', b.tags, b.tv + 6) ELSE 0 END AS stop \
FROM (SELECT a.item_id AS item_id, a.group_code AS group_code, a.tags AS tags, \
CASE WHEN a.tn > 0 THEN CHARINDEX(N'\"TV\":\"', a.tags, a.tn) ELSE 0 END AS tv \
FROM (SELECT m.[Id] AS item_id, CAST(m.[GroupCode] AS nvarchar(max)) AS group_code, \
CAST(m.[CustomTags] AS nvarchar(max)) AS tags, \
CHARINDEX(N'\"TN\":\"Kitchen Course\"', CAST(m.[CustomTags] AS nvarchar(max))) AS tn \
FROM [dbo].[MenuItems] AS m) AS a) AS b) AS c";

/// Distinct kitchen courses of all menu items (DOMAIN §9.3), in no particular order.
#[must_use]
pub fn categories() -> String {
    format!("SELECT DISTINCT i.category AS category FROM ({ITEMS_WITH_CATEGORY}) AS i WHERE i.category <> N''")
}

/// Sold lines grouped by category and item name (DOMAIN §9.2, §9.6).
///
/// Parameters: `@P1` first day, `@P2` day after the last (both `datetime` at midnight), then `categories` texts, then
/// `groups` texts to exclude. Grouping follows the collation of the columns; of several spellings in one group the smallest
/// by code point is shown.
#[must_use]
pub fn sold_groups(categories: usize, groups: usize) -> String {
    let mut text = format!(
        "SELECT MIN(g.category COLLATE Latin1_General_BIN2) AS category, \
         MIN(g.item_name COLLATE Latin1_General_BIN2) AS item_name, \
         SUM(g.quantity) AS quantity, SUM(g.revenue) AS revenue \
         FROM (SELECT i.category AS category, \
         COALESCE(CAST(o.[MenuItemName] AS nvarchar(max)), N'') AS item_name, \
         ROUND(o.[Quantity], 2) AS quantity, o.[Price] * o.[Quantity] AS revenue \
         FROM [dbo].[Orders] AS o \
         INNER JOIN [dbo].[Tickets] AS t ON t.[Id] = o.[TicketId] \
         INNER JOIN ({ITEMS_WITH_CATEGORY}) AS i ON i.item_id = o.[MenuItemId] \
         WHERE t.[IsClosed] = 1 AND t.[Date] >= @P1 AND t.[Date] < @P2 \
         AND (o.[OrderStates] IS NULL \
         OR (CHARINDEX(N'\"S\":\"Void\"', CAST(o.[OrderStates] AS nvarchar(max))) = 0 \
         AND CHARINDEX(N'\"S\":\"Canceled\"', CAST(o.[OrderStates] AS nvarchar(max))) = 0)) \
         AND i.category IN ({})",
        parameters(3, categories)
    );
    if groups > 0 {
        let list = parameters(3 + categories, groups);
        let _ = write!(text, " AND (i.group_code IS NULL OR i.group_code NOT IN ({list}))");
    }
    text.push_str(") AS g GROUP BY g.category, g.item_name");
    text
}

fn parameters(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|number| format!("@P{number}")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_parameters_one_by_one() {
        let text = sold_groups(2, 1);
        assert!(text.contains("i.category IN (@P3, @P4)"), "{text}");
        assert!(text.contains("i.group_code NOT IN (@P5)"), "{text}");
        assert!(!sold_groups(2, 0).contains("group_code IS NULL"));
    }
}
