-- Programs of before do not read it in documents either: what a deployment speaks is forgotten.
ALTER TABLE deployments DROP COLUMN protocol;
