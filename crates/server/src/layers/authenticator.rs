//! Decides who may call what, by the credentials as they are now.

use std::sync::Arc;

use tonic::Status;

use crate::{
    auth::{Credential, Credentials, Principal},
    error::{
        credentials_changed, credentials_invalid, credentials_missing, method_unknown,
        role_not_allowed,
    },
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
    /// Admits a call with what it shows, or logs the denial.
    pub(super) fn admit(
        &self,
        method: &'static RpcMethod,
        shown: Result<Option<Credential>, Status>,
        peer: Option<&Peer>,
    ) -> Result<AdmittedCall, Status> {
        let admitted = self.check(method, shown);
        if let Err(DeniedCall { status, actor }) = &admitted {
            log_denial(status, method, actor.as_deref(), peer);
        }
        admitted.map_err(|denied| denied.status)
    }

    fn check(
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
                Err(DeniedCall { status, .. }) => {
                    log_denial(&status, method, Some(&principal.name), None);
                    return status;
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
            actor: Some(principal.name.clone()),
        }),
    }
}

/// A call that is refused, and its caller if that is known.
struct DeniedCall {
    status: Status,
    actor: Option<String>,
}

impl From<Status> for DeniedCall {
    fn from(status: Status) -> Self {
        Self {
            status,
            actor: None,
        }
    }
}

fn log_denial(status: &Status, method: &RpcMethod, actor: Option<&str>, peer: Option<&Peer>) {
    let (method, why) = (method.path, status.message());
    let sans = peer.map(|peer| &peer.sans).filter(|sans| !sans.is_empty());
    let certificate = sans.map(|sans| {
        let names: Vec<_> = sans.iter().map(ToString::to_string).collect();
        names.join(", ")
    });
    let peer = peer.map(|peer| peer.address.to_string());
    tracing::warn!(actor, method, peer, certificate, why, "a call was denied");
}
