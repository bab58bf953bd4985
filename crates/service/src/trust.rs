//! Certificates by which a server is known.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Where systems keep the certificates that they trust.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// No certificates to trust.
#[derive(Debug, thiserror::Error)]
#[error("`{path}`: {why}")]
pub struct Untrusted {
    path: String,
    why: String,
}

/// The certificates of a file; of none, those of this system.
pub fn roots(path: Option<&Path>) -> Result<RootCertStore, Untrusted> {
    let system = || BUNDLES.iter().map(Path::new).find(|path| path.exists());
    let path = path.or_else(system).ok_or_else(|| Untrusted {
        path: String::new(),
        why: "this system keeps no certificates where others do: name a file of them".into(),
    })?;
    let wrong = |why: String| Untrusted { path: path.display().to_string(), why };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        // A system's bundle may hold some that rustls does not take: the others do.
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).ok();
    }
    if roots.is_empty() { Err(wrong("it holds no certificate".into())) } else { Ok(roots) }
}

/// How a client encrypts that knows servers by these certificates.
pub fn tls(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring offers TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
