//! What a server is: the program, its build, and what it was started with.

use metrics::gauge;
use viridian_store::schema_version;

use crate::{config::Config, metrics::BUILD_INFO};

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that the program was built from; empty when the build did not know it.
pub const COMMIT: &str = env!("VIRIDIAN_BUILD_COMMIT");

/// What a server is. It does not change while the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// The newest migration that the program knows.
    pub(crate) schema: String,
    /// What it has beyond what every server has, in alphabetical order.
    pub(crate) features: Vec<String>,
}

impl ServerInfo {
    pub(crate) fn of(config: &Config) -> Self {
        let features = [
            ("credentials", config.tokens.is_some()),
            ("grpc-web", config.grpc_web.is_some()),
            ("health-ttl", config.health_ttl.is_some()),
            ("metrics", config.metrics_listen.is_some()),
            ("quotas", !config.quota.is_unlimited()),
            ("tls", config.tls.is_some()),
        ];
        let features = features.into_iter().filter(|(_, is_on)| *is_on);
        Self {
            schema: schema_version(),
            features: features.map(|(name, _)| name.to_owned()).collect(),
        }
    }

    /// Sets the metric that says which program runs. Its value is always 1.
    pub(crate) fn record(&self) {
        let schema = self.schema.clone();
        gauge!(BUILD_INFO, "version" => VERSION, "commit" => COMMIT, "schema" => schema).set(1.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn d11_features_are_what_the_server_was_started_with() {
        let mut config = Config::new("sqlite:v.db");
        assert_eq!(ServerInfo::of(&config).features, [""; 0]);
        config.health_ttl = Some(Duration::from_secs(1));
        config.tokens = Some("credentials.toml".into());
        let info = ServerInfo::of(&config);
        assert_eq!(info.features, ["credentials", "health-ttl"]);
        assert!(info.schema.starts_with("20"), "{}", info.schema);
    }
}
