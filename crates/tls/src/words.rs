//! What a failed handshake means, for people.

use crate::validity::date;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// What is wrong between us and a peer, by the error that connecting or writing ended with, whatever is wrapped around it;
/// `place` is what stands before the names of the settings of [`crate::Trust`]. `None`: it has nothing to do with TLS.
pub fn explain(error: &(dyn std::error::Error + 'static), place: &str) -> Option<String> {
    let mut next = Some(error);
    // An error that wraps itself would be a chain without end.
    for _ in 0..32 {
        let error = next?;
        if let Some(found) = of_rustls(error) {
            return Some(words(found, place));
        }
        next = error.source();
    }
    None
}

/// rustls's error, where this is one. `io::Error` keeps what it wraps out of `source`.
pub fn of_rustls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.downcast_ref().or_else(|| wrapped.and_then(|wrapped| wrapped.downcast_ref()))
}

fn words(error: &Error, place: &str) -> String {
    match error {
        Error::InvalidCertificate(why) => certificate(why, place),
        Error::AlertReceived(alert) => alerted(*alert, place),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the peer does not speak TLS on this port".to_owned()
        }
        Error::InvalidMessage(why) => format!("what the peer says is not TLS ({why:?})"),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the peer speaks no TLS newer than 1.1; it takes 1.2 or 1.3".to_owned(),
        Error::PeerIncompatible(why) => format!("the peer and we have no way of TLS in common ({why:?})"),
        other => other.to_string(),
    }
}

fn certificate(why: &CertificateError, place: &str) -> String {
    let seconds = |time: &rustls::pki_types::UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate expired on {}", date(seconds(not_after)))
        }
        CertificateError::Expired => "the server's certificate has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the server's certificate is not valid before {}; is this machine's clock right?",
            date(seconds(not_before))
        ),
        CertificateError::NotValidYet => "the server's certificate is not valid yet".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            match presented.is_empty() {
                true => format!("the server's certificate names no host, so not `{expected}` either"),
                false => {
                    let names: String = presented.join(", ").chars().filter(|c| !c.is_control()).take(300).collect();
                    format!("the server's certificate is not for `{expected}` but for {names}")
                }
            }
        }
        CertificateError::NotValidForName => "the server's certificate is for another name".to_owned(),
        CertificateError::UnknownIssuer => format!(
            "the server's certificate comes from an authority that is not trusted here (UnknownIssuer); if it should \
             be, name that authority's certificate in `{place}ca_file`"
        ),
        CertificateError::BadSignature => format!(
            "the server's certificate is not signed by the authority that it names and that is trusted here; if that has \
             changed its key, `{place}ca_file` needs its new certificate"
        ),
        CertificateError::Revoked => "the server's certificate is revoked".to_owned(),
        CertificateError::Other(inner) if inner.to_string().contains("CaUsedAsEndEntity") => format!(
            "the server shows an authority's certificate as its own, as some self-signed ones are; make it one for a \
             server, and name what has signed it in `{place}ca_file`"
        ),
        other => format!("the server's certificate cannot be trusted: {other}"),
    }
}

fn alerted(alert: AlertDescription, place: &str) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => {
            format!("the server wants a certificate of ours: `{place}client_cert` and `{place}client_key`")
        }
        A::UnknownCA => format!("the server does not know the authority of our certificate, `{place}client_cert`"),
        A::CertificateExpired => format!("the server says that our certificate has expired, `{place}client_cert`"),
        A::BadCertificate
        | A::CertificateUnknown
        | A::CertificateRevoked
        | A::UnsupportedCertificate
        | A::AccessDenied
        | A::DecryptError => {
            format!("the server does not take our certificate, `{place}client_cert` ({alert:?})")
        }
        A::HandshakeFailure => format!(
            "the server ended the handshake: no cipher in common, or it wants a certificate, `{place}client_cert`"
        ),
        A::ProtocolVersion => "the server speaks no TLS that we do, 1.2 or 1.3".to_owned(),
        A::UnrecognisedName => "the server does not know the name it is called by".to_owned(),
        other => format!("the server ended the handshake ({other:?})"),
    }
}
