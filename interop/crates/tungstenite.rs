//! tokio-tungstenite: WebSocket, client and server.

use futures::future::join;
use futures::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::peers::{at_each_depth, pattern};

#[test]
fn messages_come_back_and_both_sides_close() {
    at_each_depth(|client, server, depth| async move {
        let answerer = async {
            let mut socket = accept_async(server).await.unwrap();
            while let Some(message) = socket.next().await {
                let message = message.unwrap();
                if message.is_binary() || message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
            // The crate leaves it at its own leave-taking, and inside TLS that is no end.
            socket.get_mut().shutdown().await.unwrap();
        };
        let asker = async {
            let (mut socket, answer) = client_async("ws://localhost/chat", client).await.unwrap();
            assert_eq!(answer.status(), 101);
            for message in [Message::text("hello"), Message::binary(pattern(1_000_000)), Message::text("bye")] {
                socket.send(message.clone()).await.unwrap();
                assert!(socket.next().await.unwrap().unwrap() == message, "depth {depth}");
            }
            socket.close(None).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap().is_close());
            assert!(socket.next().await.is_none(), "it has ended, and not with an error");
        };
        join(answerer, asker).await;
    });
}
