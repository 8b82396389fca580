-- Rebuilds the index of labels.
DELETE FROM deployment_labels;
INSERT INTO deployment_labels (deployment_id, key, value)
SELECT d.id, l.key, l.value
FROM deployments AS d, json_each(CASE json_type(d.labels) WHEN 'object' THEN d.labels ELSE '{}' END) AS l;
