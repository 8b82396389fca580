//! Who may call, and what is encrypted: whether the files can be used, and for how
//! long.

use std::time::{SystemTime, UNIX_EPOCH};

use viridian_server::{Config, Validity, inspect_credentials};

use super::finding::DoctorFinding;
use crate::table::counted;

/// Looks at the files that a server is told of.
pub(crate) fn look(config: &Config) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    let beyond = !config.listen.ip().is_loopback();
    match &config.tokens {
        Some(file) => match inspect_credentials(file) {
            Ok(entries) => {
                let what = format!(
                    "{} in {}",
                    counted(entries.count as u64, "caller"),
                    file.display()
                );
                findings.push(DoctorFinding::fine("credentials", what));
                let client_ca = config.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
                if entries.certificates && client_ca.is_none() {
                    findings.push(DoctorFinding::wrong(
                        "credentials",
                        "some entries are of certificates, and none can be shown",
                        "give --tls-client-ca, or remove the entries with san",
                    ));
                }
            }
            Err(why) => findings.push(DoctorFinding::wrong(
                "credentials",
                why,
                "docs/security.md has the format; the server's user must be able to read it",
            )),
        },
        None if beyond && config.insecure => findings.push(DoctorFinding::note(
            "credentials",
            format!("anyone who reaches {} may do anything", config.listen),
        )),
        None if beyond => {}
        None => findings.push(DoctorFinding::note(
            "credentials",
            "none: whoever has an account on this machine may do anything",
        )),
    }
    match &config.tls {
        Some(tls) => match tls.inspect() {
            Ok(validities) => findings.extend(validities.iter().map(certificate)),
            Err(why) => findings.push(DoctorFinding::wrong(
                "certificates",
                why,
                "give --tls-cert and --tls-key PEM files of one pair",
            )),
        },
        None if beyond && config.tokens.is_some() => findings.push(DoctorFinding::note(
            "certificates",
            "none: tokens are not encrypted, unless something in front does it",
        )),
        None => {}
    }
    findings
}

fn certificate(it: &Validity) -> DoctorFinding {
    let file = it.file.display();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
    let begins = it.begins.as_micros() / 1_000_000;
    let ends = it.ends.as_micros() / 1_000_000;
    let renew = "put a new one in its place: a server reads it within a second";
    if begins > now {
        let mend = "set the clock, or use one that counts already";
        DoctorFinding::wrong("certificates", format!("{file} does not count yet"), mend)
    } else if ends <= now {
        DoctorFinding::wrong("certificates", format!("{file} has expired"), renew)
    } else if ends - now < SOON {
        let days = (ends - now) / DAY;
        DoctorFinding::wrong("certificates", format!("{file} ends in {days} days"), renew)
    } else {
        let days = (ends - now) / DAY;
        DoctorFinding::fine("certificates", format!("{file} counts for {days} days"))
    }
}

const DAY: i64 = 24 * 60 * 60;

/// Time enough to notice it, and to do something about it.
const SOON: i64 = 14 * DAY;
