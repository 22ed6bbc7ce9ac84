//! Which addresses a client may be pointed at, and whom it trusts there.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

/// The protocols that are offered, best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why nothing could be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The address of the service is no URL, or has a user, a query or a fragment.
    #[error("the address of the service must be an absolute URL without user, query and fragment")]
    Address,
    /// Tokens and keys would travel readably.
    #[error("the address of the service must be https, or http to this machine")]
    Insecure,
    /// A setting cannot be; which one, and why.
    #[error("{0}")]
    Setting(&'static str),
    /// The file of certificates cannot be read, or holds none.
    #[error("{0:?} holds no certificate in PEM form that can be read")]
    CaFile(PathBuf),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// Reads the address of a service: https, or http to this machine. Its path, if any, stands before the paths of the API.
///
/// # Errors
/// [`SetupError::Address`] and [`SetupError::Insecure`]; neither repeats the text, which may hold what must not be told.
pub fn address(text: &str, is_insecure_allowed: bool) -> Result<Url, SetupError> {
    let mut url = Url::parse(text.trim()).map_err(|_| SetupError::Address)?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host();
    if !is_plain {
        return Err(SetupError::Address);
    }
    match url.scheme() {
        "https" => {}
        "http" if is_insecure_allowed || is_loopback(&url) => {}
        "http" => return Err(SetupError::Insecure),
        _ => return Err(SetupError::Address),
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// TLS 1.2 and 1.3, with the certificates that the machine trusts and those of a file.
///
/// # Errors
/// [`SetupError::CaFile`] and [`SetupError::Tls`].
pub fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let unreadable = || SetupError::CaFile(file.to_owned());
        for certificate in read(file).ok_or_else(unreadable)? {
            roots.add(certificate).map_err(|_| unreadable())?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn read(file: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        for text in [
            "https://auth.example",
            "https://auth.example/prefix/",
            "http://127.0.0.1:3001",
            "http://127.9.9.9",
            "http://[::1]:3001/",
            "http://localhost:3001",
        ] {
            assert!(address(text, false).is_ok(), "{text}");
        }
        for text in [
            "http://auth.example",
            "http://10.0.0.1",
            "http://localhost.example",
            "http://[::2]",
        ] {
            assert!(matches!(address(text, false), Err(SetupError::Insecure)), "{text}");
            assert!(address(text, true).is_ok(), "{text}");
        }
        for text in [
            "",
            "auth.example",
            "ftp://auth.example",
            "https://user@auth.example",
            "https://auth.example?x=1",
            "https://auth.example#x",
            "data:text/plain,x",
        ] {
            assert!(matches!(address(text, true), Err(SetupError::Address)), "{text}");
        }
    }

    #[test]
    fn a_path_stands_before_those_of_the_api() {
        assert_eq!(address("https://a.example/x/", false).unwrap().path(), "/x");
        assert_eq!(address("https://a.example", false).unwrap().path(), "/");
    }
}
