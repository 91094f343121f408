//! tokio's cooperative budget: a socket with all the room there is tells a task to come back that has done much in one turn.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::{coop, spawn, yield_now};
use tokio::time::timeout;

use crate::peers::at_each_depth;

/// Other TLS over tokio keeps such a record until somebody flushes or writes again, and a read does neither: both sides wait.
#[test]
fn what_is_written_without_any_budget_left_leaves_with_the_next_read() {
    at_each_depth(|mut client, mut server, depth| async move {
        let echo = spawn(async move {
            let mut asked = [0; 4];
            server.read_exact(&mut asked).await.unwrap();
            AsyncWriteExt::write_all(&mut server, &asked).await.unwrap();
            AsyncWriteExt::flush(&mut server).await.unwrap();
            server
        });
        yield_now().await;
        let ready = Semaphore::new(1);
        while coop::has_budget_remaining() {
            drop(ready.acquire().await.unwrap());
        }
        AsyncWriteExt::write_all(&mut client, b"ping").await.unwrap();
        assert!(!coop::has_budget_remaining(), "it was written in that turn");
        let mut answer = [0; 4];
        let answered = timeout(HANGING, client.read_exact(&mut answer)).await;
        answered.unwrap_or_else(|_| panic!("depth {depth}: nothing left")).unwrap();
        assert_eq!(&answer, b"ping");
        echo.await.unwrap();
    });
}

const HANGING: Duration = Duration::from_secs(60);
