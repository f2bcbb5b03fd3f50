//! Networks, as people write them in settings and in conditions.

use ipnet::IpNet;

/// Reads a network; the bits of its address beyond the length stay as they were written.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let parsed: Result<IpNet, _> = text.parse();
    let network = parsed.map_err(|_| {
        format!(
            "`{text}` is no network: write address and length, for example `10.0.0.0/8`, and one address as `192.0.2.1/32`"
        )
    })?;
    // Addresses are compared as those of IPv4, which no network of IPv6 contains.
    match network {
        IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some() => Err(format!(
            "`{text}` is a network of IPv4 written as one of IPv6: write it as IPv4, for example `10.0.0.0/8`"
        )),
        network => Ok(network),
    }
}
