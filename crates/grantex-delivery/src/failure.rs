//! What a failed call means.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter;

use grantex_core::webhook::send::SendError;

use crate::resolve::ResolveError;

/// Why there was no answer. The client's error itself holds the URL, and goes no further.
pub(crate) fn classify(error: &reqwest::Error) -> SendError {
    for cause in causes(error) {
        if let Some(resolve) = cause.downcast_ref::<ResolveError>() {
            return match resolve {
                ResolveError::Refused => SendError::AddressRefused,
                ResolveError::NotFound => SendError::Unresolved,
            };
        }
        // Also after the handshake: TLS 1.3 refuses a client without a certificate only when it has sent its request.
        if cause.is::<rustls::Error>() {
            return SendError::TlsFailed;
        }
    }
    // Header names and values are our own and well-formed, so that only the URL is left to blame.
    if error.is_builder() {
        return SendError::UrlRefused;
    }
    if error.is_timeout() {
        return SendError::TimedOut;
    }
    if error.is_connect() {
        return if ended_within_handshake(error) {
            SendError::TlsFailed
        } else {
            SendError::ConnectFailed
        };
    }
    SendError::Broken
}

/// Whether a connection that had come about was ended by the other side: before the first request that is within the handshake.
fn ended_within_handshake(error: &reqwest::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| {
            matches!(
                cause.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
            )
        })
}

/// An error and what caused it. An I/O error that wraps another error does not name it as its source, so that is looked at here.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| {
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        wrapped.or_else(|| error.source())
    })
}
