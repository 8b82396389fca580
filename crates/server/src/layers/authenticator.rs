//! Decides who may call what, by the credentials as they are now.

use std::sync::Arc;

use tonic::Status;

use crate::{
    auth::{Credential, Credentials, Principal},
    error::{
        credentials_changed, credentials_invalid, credentials_missing, method_unknown,
        role_not_allowed,
    },
    log_throttle::admit_line,
    peer::Peer,
    reload::ReloadedValue,
    rpc_method::{MethodAccess, RpcMethod},
};

/// Decides who may call. Without configured credentials everyone may, as the same
/// anonymous caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authenticator(pub(crate) Option<ReloadedValue<Credentials>>);

/// A call that may go on.
pub(super) struct AdmittedCall {
    pub(super) principal: Arc<Principal>,
    /// None when none was needed.
    pub(super) credential: Option<Credential>,
}

impl Authenticator {
    /// Admits a call with what it shows.
    pub(super) fn check(
        &self,
        method: &'static RpcMethod,
        shown: Result<Option<Credential>, Status>,
    ) -> Result<AdmittedCall, DeniedCall> {
        if self.0.is_none() || method.access == MethodAccess::Public {
            return match method.access {
                MethodAccess::NotServed => Err(method_unknown().into()),
                _ => Ok(AdmittedCall {
                    principal: Arc::new(Principal::anonymous()),
                    credential: None,
                }),
            };
        }
        // Before the method: only callers with credentials learn which methods there are.
        let credential = shown?.ok_or_else(credentials_missing)?;
        let principal = self.principal(&credential)?;
        check_role(method, &principal)?;
        Ok(AdmittedCall {
            principal,
            credential: Some(credential),
        })
    }

    /// Whose credential it is now.
    fn principal(&self, credential: &Credential) -> Result<Arc<Principal>, Status> {
        let credentials = self.0.as_ref().map(ReloadedValue::now);
        let found = credentials.and_then(|all| all.find(credential).cloned());
        found.ok_or_else(|| {
            credentials_invalid(match credential {
                Credential::Token(_) => "the token is not one that may call",
                Credential::Certificate(_) => "the client certificate is not one that may call",
            })
        })
    }

    /// Resolves when a stream would not be let in any more as it was, with the status that
    /// ends it.
    pub(super) async fn revoked(
        self,
        method: &'static RpcMethod,
        principal: Arc<Principal>,
        credential: Credential,
    ) -> Status {
        let Some(mut credentials) = self.0.clone() else {
            return std::future::pending().await;
        };
        loop {
            // First: they may have changed since the call was let in.
            let now = self.principal(&credential).map_err(DeniedCall::from);
            let now = now.and_then(|now| check_role(method, &now).map(|()| now));
            match now {
                // Compared by value: a change to other entries of
                // the file must not end this stream.
                Ok(now) if now == principal => credentials.changed().await,
                Ok(_) => return credentials_changed(),
                Err(denied) => {
                    let actor = Some(principal.name.as_str().into());
                    let denied = DeniedCall { actor, ..denied };
                    denied.log(method, None);
                    return denied.status;
                }
            }
        }
    }
}

fn check_role(method: &RpcMethod, principal: &Principal) -> Result<(), DeniedCall> {
    match method.access {
        MethodAccess::Public | MethodAccess::Authenticated => Ok(()),
        MethodAccess::NotServed => Err(method_unknown().into()),
        MethodAccess::Roles(allowed) if allowed.iter().any(|it| principal.roles.contains(it)) => {
            Ok(())
        }
        MethodAccess::Roles(allowed) => Err(DeniedCall {
            status: role_not_allowed(&principal.name, method.name(), allowed),
            actor: Some(principal.name.as_str().into()),
        }),
    }
}

/// A call that is refused, and its caller if that is known.
pub(super) struct DeniedCall {
    pub(super) status: Status,
    pub(super) actor: Option<Arc<str>>,
}

impl From<Status> for DeniedCall {
    fn from(status: Status) -> Self {
        Self {
            status,
            actor: None,
        }
    }
}

impl DeniedCall {
    pub(super) fn log(&self, method: &RpcMethod, peer: Option<&Peer>) {
        let subject = (&self.actor, peer.map(Peer::network));
        let Some(line) = admit_line("denied", subject) else {
            return;
        };
        let (actor, why) = (self.actor.as_deref(), self.status.message());
        let sans = peer.map(|peer| &peer.sans).filter(|sans| !sans.is_empty());
        let certificate = sans.map(|sans| {
            let names: Vec<_> = sans.iter().map(ToString::to_string).collect();
            names.join(", ")
        });
        let peer = peer.map(|peer| peer.address.to_string());
        let (method, left_out) = (method.path, line.left_out);
        tracing::warn!(
            actor,
            method,
            peer,
            certificate,
            why,
            left_out,
            "a call was denied"
        );
    }
}
