-- The labels of deployments, a row for each, so that a list by labels reads those that match and
-- no others. They are written with the deployment, whose column stays what counts.
CREATE TABLE deployment_labels (
    deployment_id uuid NOT NULL,
    key           text NOT NULL,
    value         text NOT NULL,
    PRIMARY KEY (deployment_id, key)
);

INSERT INTO deployment_labels (deployment_id, key, value)
SELECT d.id, l.key, l.value
FROM deployments AS d, jsonb_each_text(d.labels::jsonb) AS l;

-- With the id, so that those of one label are read in the order of lists, up to a number of them.
CREATE INDEX deployments_of_label ON deployment_labels (key, value, deployment_id);

-- Neither column changes: updates of deployments stay in place.
CREATE INDEX deployments_of_project ON deployments (project, id);
