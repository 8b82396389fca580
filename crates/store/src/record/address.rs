//! Where a route listens.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Where a route listens: `HOST:PORT`, in one spelling for each place.
///
/// HOST is a DNS name, an IPv4 address without leading zeros, or an IPv6 address in
/// brackets without a zone. PORT is 1 to 65535.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteAddress(Box<str>);

/// Why a text is no address. Displays as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// There is no `:PORT` at the end.
    NoPort,
    /// The port is not a decimal number from 1 to 65535.
    Port,
    /// The host is neither a name nor an address.
    Host,
    /// The host stands for every address of a machine.
    Unspecified,
}

impl RouteAddress {
    /// Parses an address.
    ///
    /// # Errors
    ///
    /// An [`AddressError`] for everything that is not `HOST:PORT`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => ipv6(rest.strip_suffix(']').ok_or(AddressError::Host)?)?,
            None => name_or_ipv4(host)?,
        };
        let port = parse_port(port)?;
        Ok(Self(format!("{host}:{port}").into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "it has no port",
            Self::Port => "its port is not a number from 1 to 65535",
            Self::Host => "its host is no DNS name, IPv4 address or [IPv6 address]",
            Self::Unspecified => "its host is where a process listens, not where it is reached",
        })
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    // The standard parser takes "+80" and "080", too: one port would have several spellings.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain
        .then(|| text.parse().ok())
        .flatten()
        .ok_or(AddressError::Port)
}

fn ipv6(text: &str) -> Result<String, AddressError> {
    let ip: Ipv6Addr = text.parse().map_err(|_| AddressError::Host)?;
    let mapped = ip.to_ipv4_mapped();
    if ip.is_unspecified() || mapped.is_some_and(|ip| ip.is_unspecified()) {
        return Err(AddressError::Unspecified);
    }
    Ok(format!("[{ip}]"))
}

fn name_or_ipv4(text: &str) -> Result<String, AddressError> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return match ip.is_unspecified() {
            true => Err(AddressError::Unspecified),
            false => Ok(ip.to_string()),
        };
    }
    // Absolute names end with a dot.
    let name = text.strip_suffix('.').unwrap_or(text);
    let mut labels = name.split('.');
    let ends_in_number = name.rsplit('.').next().is_some_and(is_number);
    // 256.0.0.1, 127.1 and 0x7f000001 are no names: resolvers take them for IPv4 addresses.
    match labels.all(is_label) && name.len() <= MAX_NAME && !ends_in_number {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(AddressError::Host),
    }
}

fn is_label(label: &str) -> bool {
    let taken = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(taken)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_number(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    let hex = lower.strip_prefix("0x");
    label.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The longest DNS name, and the longest part between its dots.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a1_an_address_is_a_host_and_a_port() {
        for text in [
            "127.0.0.1:1",
            "10.0.0.255:65535",
            "localhost:8080",
            "a:80",
            "web-1.svc.cluster.local:80",
            "web_1.example:80",
            "web.example.:80",
            "3com.example:80",
            "0xg.example:80",
            "[::1]:8080",
            "[2001:db8::1]:443",
        ] {
            assert_eq!(
                RouteAddress::parse(text).as_ref().map(RouteAddress::as_str),
                Ok(text)
            );
        }
    }

    #[test]
    fn a1_one_place_has_one_spelling() {
        for (text, same) in [
            ("Web.Example:80", "web.example:80"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[2001:DB8::0:1]:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(
                RouteAddress::parse(text).as_ref().map(RouteAddress::as_str),
                Ok(same)
            );
        }
    }

    #[test]
    fn a1_anything_else_is_no_address() {
        use AddressError::{Host, NoPort, Port, Unspecified};
        let long_label = format!("{}:80", "a".repeat(64));
        let long_name = format!("{}a:80", "a.".repeat(127));
        for (text, error) in [
            ("", NoPort),
            ("host", NoPort),
            ("::1:8080", Host),
            ("[::1]8080", Host),
            ("[::1:80", Host),
            ("::1]:80", Host),
            ("[fe80::1%eth0]:80", Host),
            ("[127.0.0.1]:80", Host),
            ("http://h:1", Host),
            ("user@h:1", Host),
            ("h/path:1", Host),
            ("a b:80", Host),
            (" h:80", Host),
            ("h\n:80", Host),
            ("h\0:80", Host),
            ("b\u{fc}cher:80", Host),
            (":80", Host),
            (".:80", Host),
            (".h:80", Host),
            ("a..b:80", Host),
            ("-a:80", Host),
            ("a-.b:80", Host),
            (&long_label, Host),
            (&long_name, Host),
            ("127.0.0.01:80", Host),
            ("256.0.0.1:80", Host),
            ("127.1:80", Host),
            ("2130706433:80", Host),
            ("0x7f000001:80", Host),
            ("h:", Port),
            ("h:0", Port),
            ("h:080", Port),
            ("h:+80", Port),
            ("h:-1", Port),
            ("h:65536", Port),
            ("host:99999", Port),
            ("h:80\n", Port),
            ("h:80 ", Port),
            ("h:http", Port),
            ("h:\u{661}", Port),
            ("0.0.0.0:80", Unspecified),
            ("[::]:80", Unspecified),
            ("[::ffff:0.0.0.0]:80", Unspecified),
        ] {
            assert_eq!(RouteAddress::parse(text), Err(error), "{text:?}");
        }
    }
}
