//! Several servers on one PostgreSQL on a bad day: whoever is killed, stands
//! still, has a wrong clock or loses its database, every rollout ends, once, and
//! whatever someone was told is so.
//!
//! How much of it is by the environment; a long run has
//!
//! - `VIRIDIAN_FLEET_DEPLOYMENTS=2000`,
//! - `VIRIDIAN_FLEET_KILLS=60` servers that are killed, one each second,
//! - `VIRIDIAN_FLEET_STOPPED=60` seconds for which one of them is stopped,
//! - `VIRIDIAN_FLEET_RESTARTS=10` of PostgreSQL,
//! - `VIRIDIAN_FLEET_CUTS=150` moments at which a server loses all connections.

mod clock;
mod cut;
mod deaf;
mod fault_case;
mod kills;
mod kind;
mod operator;
mod record;
mod restarts;
mod servers;
mod stopped;
mod tables;
