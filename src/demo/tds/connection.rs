//! One client's connection: sign-in, then requests one by one; the client may break off or leave at any time.

use std::{io, sync::Arc, time::Duration};

use duckdb::InterruptHandle;
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use super::{
    login::{self, Login, Scope},
    packet::{self, ATTENTION, Cancel, DEFAULT_PACKET_SIZE, LOGIN7, Message, Outgoing, PRELOGIN, Piece, RESPONSE},
    rpc,
    server::Shared,
    session::{Request, Session},
    tamper::Way,
    tls,
    token::{self, Done},
};
use crate::demo::{
    engine::SqlError,
    fault::{Fault, When},
};

/// Time to sign in.
const LOGIN_TIME: Duration = Duration::from_secs(30);

/// A connection's stream, plain or encrypted.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Serves one client until it leaves. Errors of the network end the connection and concern nobody else.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(Some((stream, login)))) = tokio::time::timeout(LOGIN_TIME, sign_in(stream, &shared)).await else {
        return;
    };
    let _ = converse(stream, &login, shared).await;
}

/// PRELOGIN, TLS as agreed, LOGIN7. `None` when the client was refused.
async fn sign_in(mut stream: TcpStream, shared: &Shared) -> io::Result<Option<(Box<dyn Stream>, Login)>> {
    let Some(first) = packet::read_message(&mut stream).await? else { return Ok(None) };
    if first.kind != PRELOGIN {
        return Ok(None);
    }
    let wanted = login::client_encryption(&first.payload);
    let (answer, scope) = login::negotiate(shared.options.encryption, wanted);
    let answer = login::prelogin_answer(answer, shared.version);
    if !greet(&mut stream, shared, &When::Prelogin, &answer).await? {
        return Ok(None);
    }
    if scope.is_some_and(|scope| scope != Scope::Nothing) {
        match shared.faults.at_handshake() {
            Some(Fault::Stall(time)) => tokio::time::sleep(time).await,
            Some(_) => return Ok(None),
            None => {}
        }
    }
    let (mut stream, message): (Box<dyn Stream>, _) = match (scope, &shared.acceptor) {
        (None, _) => return Ok(None),
        (Some(Scope::All), Some(acceptor)) => {
            let mut encrypted = tls::accept(acceptor, stream).await?;
            let message = packet::read_message(&mut encrypted).await?;
            (Box::new(encrypted), message)
        }
        (Some(Scope::Login), Some(acceptor)) => {
            let mut encrypted = tls::accept(acceptor, stream).await?;
            let message = packet::read_message(&mut encrypted).await?;
            (Box::new(encrypted.into_inner().0.into_inner()), message)
        }
        (Some(_), _) => {
            let message = packet::read_message(&mut stream).await?;
            (Box::new(stream), message)
        }
    };
    let Some(login) = message.filter(|message| message.kind == LOGIN7).and_then(|m| Login::parse(&m.payload)) else {
        return Ok(None);
    };
    match check(&login, shared).await {
        Ok(tds_version) => {
            let options = shared.engine.options();
            let welcome = login::welcome(&login::Welcome {
                server: &options.server_name,
                database: &options.database,
                collation: shared.collation.bytes(),
                tds_version,
                version: shared.version,
                packet_size: login.packet_size,
            });
            let goes_on = greet(&mut stream, shared, &When::Login, &welcome).await?;
            stream.flush().await?;
            if !goes_on {
                stream.shutdown().await?;
                return Ok(None);
            }
            Ok(Some((stream, login)))
        }
        Err(error) => {
            let refusal = login::refusal(&error, &shared.engine.options().server_name);
            stream.write_all(&packet::frame(RESPONSE, &refusal, DEFAULT_PACKET_SIZE)).await?;
            stream.flush().await?;
            stream.shutdown().await?;
            Ok(None)
        }
    }
}

/// Sends an answer of the sign-in. Whether the connection goes on.
async fn greet(
    stream: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
    greeting: &When,
    tokens: &[u8],
) -> io::Result<bool> {
    let name = if *greeting == When::Login { "LOGIN" } else { "PRELOGIN" };
    let tamper = shared.faults.at_greeting(greeting);
    let mut way = Way::new(&shared.faults, name.to_owned(), tamper, DEFAULT_PACKET_SIZE);
    way.carry(stream, &packet::frame(RESPONSE, tokens, DEFAULT_PACKET_SIZE), true).await
}

/// The protocol version, or why the client may not come in.
async fn check(login: &Login, shared: &Shared) -> Result<u32, SqlError> {
    let version = login.protocol()?;
    match shared.faults.at_login() {
        Some(Fault::Error(number, message) | Fault::ErrorAfter(_, number, message)) => {
            return Err(SqlError::new(number, 14, message));
        }
        Some(Fault::Fatal(number, message)) => return Err(SqlError::new(number, 21, message)),
        Some(Fault::Stall(time) | Fault::StallAfter(_, time)) => tokio::time::sleep(time).await,
        Some(Fault::DropAfter(_) | Fault::DropInside(_)) => {
            return Err(SqlError::new(17830, 20, "A network error occurred while establishing a connection."));
        }
        // It acts on the answer.
        Some(Fault::Tamper(_)) | None => {}
    }
    let options = &shared.options;
    let known = !login.windows
        && login.user.eq_ignore_ascii_case(&options.user)
        && login.password == options.password.expose_secret();
    if !known {
        return Err(SqlError::new(18456, 14, format!("Login failed for user '{}'.", login.user)));
    }
    let options = shared.engine.options();
    let is = |name: &str| login.database.eq_ignore_ascii_case(name);
    let opens = if is(&options.database) { options.about.is_open() } else { login.database.is_empty() || is("master") };
    if !opens {
        let text = format!("Cannot open database \"{}\" requested by the login. The login failed.", login.database);
        return Err(SqlError::new(4060, 11, text));
    }
    Ok(version)
}

/// A task that ends with its owner: otherwise it would keep half of the connection open when the server stops.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Requests and responses. The session runs on a thread of its own until this ends.
async fn converse(stream: Box<dyn Stream>, login: &Login, shared: Arc<Shared>) -> io::Result<()> {
    let Ok(session) = Session::new(&shared) else { return Ok(()) };
    let interrupt = session.interrupt_handle();
    let (requests, mut inbox) = mpsc::channel::<Request>(1);
    let thread = std::thread::Builder::new().name("demo-till-session".into()).spawn(move || {
        let mut session = session;
        while let Some(request) = inbox.blocking_recv() {
            session.serve(request);
        }
    })?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    // A task of its own reads ahead, so that an attention or a lost client is seen while a response is being sent.
    let (messages, mut arriving) = mpsc::channel::<Message>(4);
    let _reading = AbortOnDrop(tokio::spawn(async move {
        while let Ok(Some(message)) = packet::read_message(&mut reader).await {
            if messages.send(message).await.is_err() {
                break;
            }
        }
    }));
    let outcome = async {
        while let Some(message) = arriving.recv().await {
            if message.kind == ATTENTION {
                writer.write_all(&attention_answer(login.packet_size)).await?;
                continue;
            }
            if message.ignored {
                continue;
            }
            let text = if shared.faults.watch_requests() { rpc::loose_text(&message.payload) } else { String::new() };
            let tamper = shared.faults.at_request(&text);
            let mut way = Way::new(&shared.faults, text, tamper, login.packet_size);
            let cancel = Cancel::default();
            let (pieces, mut response) = mpsc::channel(2);
            let out = Outgoing::new(pieces, login.packet_size);
            if requests.send(Request { message, out, cancel: cancel.clone() }).await.is_err() {
                break;
            }
            if !answer(&mut writer, &mut way, &mut response, &mut arriving, &cancel, &interrupt, login).await? {
                break;
            }
        }
        Ok(())
    }
    .await;
    drop(requests);
    // The thread ends by itself: its channels are closed. Nobody waits for it, since a query may need a moment to stop.
    drop(thread);
    let _ = writer.shutdown().await;
    outcome
}

/// Passes one response on. Whether the connection goes on.
async fn answer(
    writer: &mut (impl AsyncWrite + Unpin),
    way: &mut Way<'_>,
    response: &mut mpsc::Receiver<Piece>,
    arriving: &mut mpsc::Receiver<Message>,
    cancel: &Cancel,
    interrupt: &InterruptHandle,
    login: &Login,
) -> io::Result<bool> {
    let leave = || {
        cancel.client_gone();
        interrupt.interrupt();
    };
    loop {
        tokio::select! {
            piece = response.recv() => match piece {
                Some(Piece::Packets(bytes)) => match way.carry(writer, &bytes, false).await {
                    Ok(true) => {}
                    Ok(false) => {
                        leave();
                        return Ok(false);
                    }
                    Err(error) => {
                        leave();
                        return Err(error);
                    }
                },
                Some(Piece::Last { packets, attention_noted }) => {
                    if !way.carry(writer, &packets, true).await? {
                        return Ok(false);
                    }
                    if cancel.attention() && !attention_noted {
                        writer.write_all(&attention_answer(login.packet_size)).await?;
                    }
                    writer.flush().await?;
                    return Ok(true);
                }
                Some(Piece::Drop) | None => {
                    writer.flush().await?;
                    return Ok(false);
                }
            },
            message = arriving.recv() => match message {
                Some(message) if message.kind == ATTENTION => {
                    cancel.ask_to_stop();
                    interrupt.interrupt();
                }
                // Another request before the end of this response, or nobody there any more.
                _ => {
                    leave();
                    return Ok(false);
                }
            },
        }
    }
}

fn attention_answer(packet_size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    token::done(&mut body, Done::Batch, token::DONE_ATTENTION, 0, 0);
    packet::frame(RESPONSE, &body, packet_size)
}
