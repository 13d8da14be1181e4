//! PEM as every other tool writes it.

use pem::{EncodeConfig, LineEnding, Pem};

/// One block (RFC 7468) around DER, its lines ended by line feeds alone, as OpenSSL and Go do.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_end_as_those_of_openssl_do() {
        let text = super::encode("CERTIFICATE", &[0; 49]);
        let first = "A".repeat(64);
        assert_eq!(
            text,
            format!("-----BEGIN CERTIFICATE-----\n{first}\nAA==\n-----END CERTIFICATE-----\n")
        );
    }
}
