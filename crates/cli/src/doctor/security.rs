//! Checks of the credentials file and of the TLS certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use viridian_server::{CertificateValidity, Config, inspect_credentials};

use super::finding::DoctorFinding;
use crate::table::counted;

/// Checks the files that the configuration names.
pub(crate) fn examine(config: &Config) -> Vec<DoctorFinding> {
    let mut findings = credentials(config);
    findings.extend(certificates(config));
    findings
}

fn credentials(config: &Config) -> Vec<DoctorFinding> {
    let listen = config.listen;
    let Some(file) = &config.tokens else {
        return match (listen.ip().is_loopback(), config.insecure) {
            (true, _) => vec![DoctorFinding::note(
                "credentials",
                "none: every user of this machine may do everything",
            )],
            (false, true) => vec![DoctorFinding::note(
                "credentials",
                format!("none: every caller that can reach {listen} may do everything"),
            )],
            // The check of the configuration reports it: such a server does not start.
            (false, false) => Vec::new(),
        };
    };
    let entries = match inspect_credentials(file) {
        Ok(entries) => entries,
        Err(why) => {
            let fix = "see docs/security.md for the format; the server's user must be able to \
                       read the file";
            return vec![DoctorFinding::wrong("credentials", why, fix)];
        }
    };
    let callers = counted(entries.count as u64, "caller");
    let what = format!("{callers} in {}", file.display());
    let mut findings = vec![DoctorFinding::fine("credentials", what)];
    let client_ca = config.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
    if entries.certificates && client_ca.is_none() {
        findings.push(DoctorFinding::wrong(
            "credentials",
            "some entries name a client certificate, but the server accepts none",
            "set --tls-client-ca, or remove the entries with san",
        ));
    }
    findings
}

fn certificates(config: &Config) -> Vec<DoctorFinding> {
    match &config.tls {
        Some(tls) => match tls.inspect() {
            Ok(validities) => validities.iter().map(certificate).collect(),
            Err(why) => vec![DoctorFinding::wrong(
                "certificates",
                why,
                "set --tls-cert and --tls-key to PEM files that belong together",
            )],
        },
        None if !config.listen.ip().is_loopback() && config.tokens.is_some() => {
            vec![DoctorFinding::note(
                "certificates",
                "none: tokens are not encrypted, unless a proxy in front adds TLS",
            )]
        }
        None => Vec::new(),
    }
}

fn certificate(it: &CertificateValidity) -> DoctorFinding {
    let file = it.file.display();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        // A clock before 1970 shows as a certificate that is not valid yet.
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
    let begins = it.begins.as_micros() / 1_000_000;
    let ends = it.ends.as_micros() / 1_000_000;
    let renew = "replace the file; a running server reads it within a second";
    if begins > now {
        let fix = "correct the clock, or use a certificate that is valid now";
        DoctorFinding::wrong("certificates", format!("{file} is not valid yet"), fix)
    } else if ends <= now {
        DoctorFinding::wrong("certificates", format!("{file} has expired"), renew)
    } else if ends - now < MIN_REMAINING_VALIDITY {
        // Whole days, rounded down: a certificate must not look valid for longer than it is.
        let days = (ends - now) / SECONDS_PER_DAY;
        DoctorFinding::wrong(
            "certificates",
            format!("{file} expires in {days} days"),
            renew,
        )
    } else {
        let days = (ends - now) / SECONDS_PER_DAY;
        DoctorFinding::fine("certificates", format!("{file} is valid for {days} days"))
    }
}

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Shorter is reported, while there is still time to renew.
const MIN_REMAINING_VALIDITY: i64 = 14 * SECONDS_PER_DAY;
