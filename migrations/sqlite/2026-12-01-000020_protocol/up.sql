-- What the replicas of a deployment speak, for proxies. Those before spoke HTTP/1.1, or their
-- proxies had to be taught by hand.
ALTER TABLE deployments ADD COLUMN protocol TEXT NOT NULL DEFAULT 'HTTP1'
    CHECK (protocol = 'HTTP1' OR protocol = 'HTTP2' OR protocol = 'TCP');
