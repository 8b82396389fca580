//! Several servers on one PostgreSQL on a bad day: whoever is killed, stands
//! still, has a wrong clock or loses its database, every rollout ends, once, and
//! whatever someone was told is so.
//!
//! - `VIRIDIAN_FLEET_DEPLOYMENTS`: how many deployments there are.
//! - `VIRIDIAN_FLEET_KILLS`: how many servers are killed, one each second.
//! - `VIRIDIAN_FLEET_STOPPED`: for how many seconds one of them is stopped.
//! - `VIRIDIAN_FLEET_RESTARTS`: how often PostgreSQL is stopped and started.
//! - `VIRIDIAN_FLEET_CUTS`: how often a server loses all connections to it.

mod agent;
mod clock;
mod cut;
mod deaf;
mod doors;
mod events;
mod kills;
mod kind;
mod operator;
mod record;
mod restarts;
mod scene;
mod servers;
mod stopped;
mod tables;
