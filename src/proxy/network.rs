//! Addresses by their first bits: `10.0.0.0/8` (RFC 4632, section 3.1; RFC 4291, section 2.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses whose first bits are these. A single address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    pub(super) const fn v4(first: [u8; 4], bits: u8) -> Self {
        let [a, b, c, d] = first;
        Self { first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
    }

    /// The first three groups are as much as any that we name needs.
    pub(super) const fn v6(first: [u16; 3], bits: u8) -> Self {
        let [a, b, c] = first;
        Self { first: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), bits }
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    fn most(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }

    /// Whether an address has nothing behind the bits of the network.
    fn is_whole(self) -> bool {
        match self.first {
            IpAddr::V4(first) => first.to_bits().checked_shl(self.bits.into()).unwrap_or(0) == 0,
            IpAddr::V6(first) => first.to_bits().checked_shl(self.bits.into()).unwrap_or(0) == 0,
        }
    }

    /// IPv4 addresses that are written as IPv6 ones are what they are (RFC 4291, section 2.5.5.2).
    fn unmapped(self) -> Self {
        match self.first {
            IpAddr::V6(first) if self.bits >= 96 => match first.to_ipv4_mapped() {
                Some(first) => Self { first: first.into(), bits: self.bits - 96 },
                None => self,
            },
            _ => self,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| "there is no IP address before the /".to_owned())?;
        let most = Self::most(first);
        let is_number = |bits: &&str| bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits.map(|bits| Some(bits).filter(is_number)?.parse::<u8>().ok()) {
            None => most,
            Some(Some(bits)) if bits <= most => bits,
            Some(_) => return Err(format!("behind the / stands how many bits count, from 0 to {most}")),
        };
        let network = Self { first, bits };
        if !network.is_whole() {
            return Err(format!(
                "{address} has more bits than the first {bits}: write the first address of the network"
            ));
        }
        Ok(network.unmapped())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        if self.bits == Self::most(self.first) { Ok(()) } else { write!(f, "/{}", self.bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bits_decide() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.0"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("fc00::/7", "fdff::1", "fe00::"),
            ("::1", "::1", "::2"),
            ("::/0", "ffff::", "0.0.0.0"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "::ffff:10.1.2.3"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_its_reason() {
        for (text, reason) in [
            ("10.0.0.1/8", "more bits"),
            ("::1/127", "more bits"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.0/+8", "from 0 to 32"),
            ("10.0.0/8", "no IP address"),
            ("/8", "no IP address"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
