#![expect(clippy::unwrap_used, reason = "tests")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Long enough for everything that ought to have happened, on slow machines too.
const SOON: Duration = Duration::from_secs(10);

const LIMITS: ConnectionLimits = ConnectionLimits {
    connections_max: 3,
    strangers_max: 2,
    stranger_max: Duration::from_millis(200),
};

async fn acceptor(limits: ConnectionLimits) -> (Acceptor, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (
        Acceptor::new(listener, limits, Arc::new(Metrics::new())),
        address,
    )
}

/// A client and what the server has of it.
async fn connect(acceptor: &Acceptor, address: SocketAddr) -> (TcpStream, Connection) {
    let (client, (connection, _)) =
        tokio::join!(TcpStream::connect(address), Acceptor::accept(acceptor));
    (client.unwrap(), connection)
}

/// Whether the server closes a client's connection while it accepts others.
async fn is_turned_away(acceptor: &Acceptor, address: SocketAddr) -> bool {
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let closed = async {
        let read = tokio::time::timeout(SOON, client.read(&mut byte)).await;
        !matches!(read.unwrap(), Ok(1..))
    };
    tokio::select! {
        closed = closed => closed,
        _accepted = Acceptor::accept(acceptor) => false,
    }
}

#[tokio::test]
async fn whoever_finds_no_place_is_turned_away() {
    let limits = ConnectionLimits {
        stranger_max: SOON,
        ..LIMITS
    };
    let (acceptor, address) = acceptor(limits).await;
    let one = connect(&acceptor, address).await;
    let mut two = connect(&acceptor, address).await;
    assert!(is_turned_away(&acceptor, address).await);
    // One that has logged in leaves its place among the strangers, as soon as it is read.
    two.1.connect_info().set_known();
    two.0.write_all(b"x").await.unwrap();
    assert_eq!(two.1.read_u8().await.unwrap(), b'x');
    let three = connect(&acceptor, address).await;
    assert_eq!(acceptor.count()(), 3);
    drop(one);
    let four = connect(&acceptor, address).await;
    assert!(is_turned_away(&acceptor, address).await);
    drop((two, three, four));
    assert_eq!(acceptor.count()(), 0);
}

#[tokio::test]
async fn a_stranger_has_to_leave() {
    let (acceptor, address) = acceptor(LIMITS).await;
    let (_client, mut stranger) = connect(&acceptor, address).await;
    let read = tokio::time::timeout(SOON, stranger.read_u8())
        .await
        .unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);

    let (mut client, mut guest) = connect(&acceptor, address).await;
    guest.connect_info().set_known();
    let later = async {
        tokio::time::sleep(LIMITS.stranger_max * 2).await;
        client.write_all(b"x").await.unwrap();
    };
    let (read, ()) = tokio::join!(guest.read_u8(), later);
    assert_eq!(read.unwrap(), b'x');
}
