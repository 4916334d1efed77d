//! TLS through rustls with the `ring` provider, as for HTTP. Verification cannot be switched off.

use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Reads the certificate files.
pub fn connector(ca_file: Option<&Path>, client: Option<(&Path, &Path)>) -> Result<MakeRustlsConnect, String> {
    let mut roots = RootCertStore::empty();
    // A system's store nearly always holds a certificate or two that nobody can parse; they trust nothing.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        for certificate in certificates("ca_file", path)? {
            roots.add(certificate).map_err(|error| format!("`ca_file` {}: {error}", path.display()))?;
        }
    }
    if roots.is_empty() {
        return Err(
            "this system has no certificate authorities to trust; install its package of them, or name the one \
                    you need in `ca_file`"
                .into(),
        );
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates("client_cert", cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("`client_key` {}: no private key in it ({error})", key.display()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("`client_cert` and `client_key` do not belong together: {error}"))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| format!("`{setting}` {}: {why}; it needs a PEM file", path.display());
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(format!("no certificates can be read from it ({error})")))?;
    if certificates.is_empty() { Err(wrong("it holds no certificate".into())) } else { Ok(certificates) }
}
