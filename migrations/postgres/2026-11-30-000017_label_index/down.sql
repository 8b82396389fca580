DROP INDEX deployments_of_project;
DROP TABLE deployment_labels;
