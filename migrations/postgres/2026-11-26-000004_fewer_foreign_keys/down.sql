ALTER TABLE events ADD FOREIGN KEY (deployment_id) REFERENCES deployments (id);
ALTER TABLE history ADD FOREIGN KEY (deployment_id) REFERENCES deployments (id);
ALTER TABLE assignments ADD FOREIGN KEY (route_id) REFERENCES routes (id);
