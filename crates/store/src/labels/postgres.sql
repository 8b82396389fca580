-- Rebuilds the index of labels. Whoever has written labels in an open transaction is waited for,
-- and seen. Others wait, and write theirs afterwards.
LOCK TABLE deployment_labels IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM deployment_labels;
INSERT INTO deployment_labels (deployment_id, key, value)
SELECT d.id, l.key, l.value
FROM deployments AS d, jsonb_each_text(CASE jsonb_typeof(d.labels::jsonb) WHEN 'object' THEN d.labels::jsonb ELSE '{}' END) AS l;
