//! Whom receivers' certificates must come from.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::client::SetupError;

/// The protocols that are offered, best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS 1.2 and 1.3, with the certificates that the machine trusts and those of a file, and how many these are.
///
/// The machine's and not a list compiled in: an operator adds and removes authorities in one place, and an old binary does not
/// trust what the world no longer does.
pub(crate) fn config(ca_file: Option<&Path>) -> Result<(ClientConfig, usize), SetupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        for certificate in read(file)? {
            roots
                .add(certificate)
                .map_err(|_| SetupError::CaFile(file.to_owned()))?;
        }
    }
    let trusted = roots.len();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok((config, trusted))
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| SetupError::CaFile(file.to_owned()))
}
