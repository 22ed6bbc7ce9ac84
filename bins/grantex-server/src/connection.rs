//! What is set on every accepted connection.

use std::any::Any;
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;

/// How long a client may leave data unacknowledged, or its window closed, before the kernel ends the connection. Nothing above
/// TCP notices a client that is unplugged or reads no more: an answer that cannot be written waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prepares a connection. One that cannot be prepared works all the same.
pub fn prepare(io: &dyn Any, _: &mut Extensions) {
    if let Some(stream) = io.downcast_ref::<TcpStream>() {
        let _ = SockRef::from(stream).set_tcp_user_timeout(Some(PATIENCE));
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_client_that_acknowledges_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        prepare(&accepted, &mut Extensions::new());
        assert_eq!(SockRef::from(&accepted).tcp_user_timeout().unwrap(), Some(PATIENCE));
        drop(client);
    }
}
