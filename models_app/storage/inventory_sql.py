"""The statements of the inventory. `seen`: what lies there; `naming`: which row names what."""

SEEN = """
CREATE TEMPORARY TABLE seen (sha256 text PRIMARY KEY, size bigint, renewed double precision)
ON COMMIT DROP
"""
SEEN_FILL = """
INSERT INTO seen SELECT * FROM unnest(%s::text[], %s::bigint[], %s::double precision[])
ON CONFLICT DO NOTHING
"""
#: Only digests of files are of interest; a row that both holds and mentions one holds it.
BEFORE_HOLDERS = (
    """
CREATE TEMPORARY TABLE missing ON COMMIT DROP AS
SELECT n.sha256, n.kind, n.object_id FROM naming n
 WHERE n.holds AND n.kind <> 'storage.upload'
   AND NOT EXISTS (SELECT FROM seen s WHERE s.sha256 = n.sha256)
""",
    """
CREATE TEMPORARY TABLE named ON COMMIT DROP AS
SELECT n.sha256, n.kind, n.object_id, bool_or(n.holds) AS holds,
       coalesce(sum(n.times) FILTER (WHERE n.holds), 0)::bigint AS times
  FROM naming n
 WHERE EXISTS (SELECT FROM seen s WHERE s.sha256 = n.sha256)
    OR EXISTS (SELECT FROM storage_storedfile f
                WHERE f.sha256 = n.sha256 AND f.damaged_at IS NOT NULL)
 GROUP BY n.sha256, n.kind, n.object_id
""",
    "CREATE INDEX ON named (sha256)",
    "ANALYZE named",
)
NEW_HOLDERS = """
SELECT DISTINCT n.kind, n.object_id FROM named n
 WHERE NOT EXISTS (SELECT FROM storage_holder h
                    WHERE h.kind = n.kind AND h.object_id = n.object_id)
"""
MERGE = (
    # How often each file is named, and by whom: up to six, those that hold it first.
    """
CREATE TEMPORARY TABLE naming_of ON COMMIT DROP AS
SELECT sha256, max(n)::int AS times, max(held)::int AS held,
       jsonb_agg(id ORDER BY place) FILTER (WHERE place <= 6) AS ids
  FROM (SELECT n.sha256, h.id, count(*) OVER (PARTITION BY n.sha256) AS n,
               count(*) FILTER (WHERE n.holds) OVER (PARTITION BY n.sha256) AS held,
               row_number() OVER (PARTITION BY n.sha256 ORDER BY n.holds DESC, h.id DESC) AS place
          FROM named n JOIN storage_holder h ON h.kind = n.kind AND h.object_id = n.object_id) x
 GROUP BY sha256
""",
    """
INSERT INTO storage_storedfile AS f
       (sha256, size, renewed_at, "references", named_by, unnamed_since)
SELECT s.sha256, s.size, to_timestamp(s.renewed), coalesce(n.times, 0),
       coalesce(n.ids, '[]'::jsonb), CASE WHEN n.times IS NULL THEN clock_timestamp() END
  FROM seen s LEFT JOIN naming_of n USING (sha256)
ON CONFLICT (sha256) DO UPDATE
   SET size = excluded.size, renewed_at = excluded.renewed_at,
       "references" = excluded."references", damaged_at = NULL,
       named_by = CASE WHEN excluded."references" > 0 THEN excluded.named_by ELSE f.named_by END,
       unnamed_since = CASE WHEN excluded."references" = 0
                            THEN coalesce(f.unnamed_since, excluded.unnamed_since) END
 WHERE (f.size, f.renewed_at, f."references", f.damaged_at, f.unnamed_since IS NULL)
       IS DISTINCT FROM (excluded.size, excluded.renewed_at, excluded."references",
                         NULL::timestamptz, excluded.unnamed_since IS NULL)
    OR (excluded."references" > 0 AND f.named_by <> excluded.named_by)
""",
    # What is gone is forgotten; what is damaged is remembered as long as somebody names it.
    """
DELETE FROM storage_storedfile f
 WHERE NOT EXISTS (SELECT FROM seen s WHERE s.sha256 = f.sha256)
   AND (f.damaged_at IS NULL OR NOT EXISTS (SELECT FROM named n WHERE n.sha256 = f.sha256))
""",
    """
UPDATE storage_storedfile f
   SET "references" = n.times, named_by = n.ids
  FROM naming_of n
 WHERE n.sha256 = f.sha256 AND f.damaged_at IS NOT NULL
""",
    # What each holder holds, and what only it holds.
    """
UPDATE storage_holder h
   SET files = x.files, bytes = x.bytes, share_bytes = x.share_bytes, own_bytes = x.own_bytes,
       gone_at = NULL
  FROM (SELECT n.kind, n.object_id, count(*) FILTER (WHERE n.holds) AS files,
               coalesce(sum(f.size * n.times), 0)::bigint AS bytes,
               coalesce(sum(f.size / o.held) FILTER (WHERE n.holds), 0)::bigint AS share_bytes,
               coalesce(sum(f.size) FILTER (WHERE n.holds AND o.times = 1), 0)::bigint AS own_bytes
          FROM named n JOIN storage_storedfile f USING (sha256) JOIN naming_of o USING (sha256)
         GROUP BY n.kind, n.object_id) x
 WHERE h.kind = x.kind AND h.object_id = x.object_id
   AND (h.files, h.bytes, h.share_bytes, h.own_bytes, h.gone_at)
       IS DISTINCT FROM (x.files, x.bytes, x.share_bytes, x.own_bytes, NULL)
""",
    """
UPDATE storage_holder h
   SET files = 0, bytes = 0, share_bytes = 0, own_bytes = 0, gone_at = clock_timestamp()
 WHERE h.gone_at IS NULL
   AND NOT EXISTS (SELECT FROM named n WHERE n.kind = h.kind AND n.object_id = h.object_id)
""",
)
MISSING = """
SELECT m.sha256, array_agg(m.kind || ' ' || m.object_id ORDER BY m.kind, m.object_id)
  FROM missing m
 WHERE NOT EXISTS (SELECT FROM storage_storedfile f WHERE f.sha256 = m.sha256)
 GROUP BY m.sha256 ORDER BY m.sha256 LIMIT %s
"""
TOTALS = """
SELECT count(*), coalesce(sum(size), 0)::bigint,
       count(*) FILTER (WHERE unnamed_since IS NOT NULL),
       coalesce(sum(size) FILTER (WHERE unnamed_since IS NOT NULL), 0)::bigint
  FROM storage_storedfile WHERE damaged_at IS NULL
"""
BY_KIND = """
SELECT kind, sum(files)::bigint, sum(bytes)::bigint, sum(share_bytes)::bigint,
       sum(own_bytes)::bigint
  FROM storage_holder
 WHERE files > 0 GROUP BY kind ORDER BY 3 DESC
"""
BY_TEAM = """
SELECT coalesce(t.slug, ''), sum(h.files)::bigint, sum(h.bytes)::bigint,
       sum(h.share_bytes)::bigint, sum(h.own_bytes)::bigint
  FROM storage_holder h LEFT JOIN access_team t ON t.id = h.team_id
 WHERE h.files > 0 GROUP BY 1 ORDER BY 3 DESC
"""
