//! A canonical state in a few bytes, so that millions of them can be kept.

use viridian_strategy::{
    CanaryProgress, DeploymentState, Rollout, RolloutKind, RolloutStep, RouteTraffic, Stopwatch,
    Timestamp,
};

use super::state::{ModelRoute, ModelState};

impl ModelState {
    /// The bytes; two canonical states are the same if and only if these are.
    pub(super) fn code(&self) -> Box<[u8]> {
        let mut code = StateCode {
            bytes: Vec::with_capacity(32 + 8 * self.members.len()),
            now: self.now,
        };
        let deployment = &self.deployment;
        let target = u8::try_from(deployment.target_replicas).expect("a small target");
        let policy = u8::try_from(self.policy).expect("few policies");
        let paused = u8::from(deployment.paused);
        let restarted = u8::from(deployment.restarted);
        code.bytes
            .extend([target << 4 | policy << 1 | paused, restarted]);
        code.bytes.push(self.set_backs);
        match deployment.coming_up {
            Some(watch) => code.watch(watch),
            None => code.bytes.push(u8::MAX),
        }
        let first = self.clocks.first;
        let flags = u8::from(first.runs) << 1 | u8::from(first.failed);
        code.bytes.push(first.ticks << 2 | flags);
        code.state(&deployment.state);
        for member in &self.members {
            code.member(member);
        }
        if let DeploymentState::Deploying(_) = deployment.state {
            code.bytes.extend(self.clocks.row());
        }
        code.bytes.into()
    }
}

struct StateCode {
    bytes: Vec<u8>,
    now: Timestamp,
}

impl StateCode {
    fn state(&mut self, state: &DeploymentState) {
        let known = u8::from(state.current().is_some());
        match state {
            DeploymentState::Pending { .. } => self.bytes.push(known),
            DeploymentState::Ready { .. } => self.bytes.push(2),
            DeploymentState::Deploying(rollout) => self.rollout(rollout),
            DeploymentState::Destroying { .. } => self.bytes.push(6 + known),
            DeploymentState::Destroyed { .. } => self.bytes.push(8 + known),
        }
    }

    fn rollout(&mut self, rollout: &Rollout) {
        match rollout.step {
            RolloutStep::Provisioning => self.bytes.push(3),
            RolloutStep::AwaitingPromotion { gate } => {
                self.bytes.push(4);
                self.watch(gate);
            }
            RolloutStep::Shifting { gate } => {
                self.bytes.push(10);
                self.perhaps(gate);
            }
            RolloutStep::RollingBack => self.bytes.push(5),
        }
        self.bytes.push(u8::from(rollout.from_pending));
        self.bytes.push(match rollout.kind {
            RolloutKind::Forward => 0,
            RolloutKind::Back { gated } => 1 + u8::from(gated),
        });
        self.watch(rollout.progress);
        self.bytes.push(rollout.best_ready as u8);
        self.bytes.push(u8::from(rollout.steady.is_some()));
        if let Some(steady) = rollout.steady {
            self.time(steady.settled_at);
            self.watch(steady.watch);
        }
        self.time(rollout.resumed_at);
        let CanaryProgress {
            step,
            towards,
            weight,
            scaled_for,
            shared_at,
            hold,
            advanced,
        } = rollout.canary;
        let counts = [step, towards, scaled_for, u32::from(advanced)];
        self.bytes.extend(counts.map(|count| count as u8));
        self.bytes
            .extend(weight.map_or([0xff; 2], u16::to_be_bytes));
        self.perhaps(hold);
        self.bytes.push(u8::from(shared_at.is_some()));
        if let Some(at) = shared_at {
            self.time(at);
        }
    }

    fn perhaps(&mut self, watch: Option<Stopwatch>) {
        self.bytes.push(u8::from(watch.is_some()));
        if let Some(watch) = watch {
            self.watch(watch);
        }
    }

    fn member(&mut self, ModelRoute { route, held }: &ModelRoute) {
        let traffic = u8::from(route.traffic == RouteTraffic::Active);
        let drained = u8::from(route.drained_at.is_some());
        let status = route.status as u8;
        let health = route.health as u8;
        let revision = route.revision.0.as_u128() as u8;
        self.bytes.push(route.activation as u8);
        self.bytes.extend([
            status << 5 | health << 3 | traffic << 2 | drained << 1,
            revision << 6 | held,
        ]);
        self.time(route.created_at);
        self.time(route.status_updated_at);
        let retained = route
            .retained_at
            .map(|at| self.now.since(at).as_secs() as u8);
        self.bytes.push(retained.map_or(255, |ticks| ticks));
        let observed = route
            .health_observed_at
            .map_or(63, |at| self.now.since(at).as_secs() as u8);
        let reached = u8::from(route.has_address) << 1 | u8::from(route.once_healthy);
        self.bytes.push(observed << 2 | reached);
        match route.drain_requested_at {
            Some(at) => self.time(at),
            None => self.bytes.push(255),
        }
    }

    fn watch(&mut self, watch: Stopwatch) {
        let running = u8::from(watch.since.is_some());
        let ticks = watch.stopped(self.now).spent.as_secs() as u8;
        self.bytes.push(ticks << 1 | running);
    }

    fn time(&mut self, at: Timestamp) {
        let age = self.now.since(at);
        self.bytes
            .extend([age.as_secs() as u8, age.subsec_micros() as u8]);
    }
}
