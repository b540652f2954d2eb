-- The content hash of each ticket's aggregate: the ticket and all its children, in the order of their keys.
SELECT t.natural_key,
       unhex(sha256(concat(hex(t.content_hash), '|', i.hashes, '|', p.hashes, '|', x.hashes))) AS content_hash
FROM out.tickets t
LEFT JOIN (SELECT ticket_key, string_agg(hex(content_hash), '' ORDER BY natural_key) AS hashes
           FROM out.ticket_items GROUP BY ticket_key) i ON i.ticket_key = t.natural_key
LEFT JOIN (SELECT ticket_key, string_agg(hex(content_hash), '' ORDER BY natural_key) AS hashes
           FROM out.payments GROUP BY ticket_key) p ON p.ticket_key = t.natural_key
LEFT JOIN (SELECT ticket_key, string_agg(hex(content_hash), '' ORDER BY natural_key) AS hashes
           FROM out.transactions GROUP BY ticket_key) x ON x.ticket_key = t.natural_key
