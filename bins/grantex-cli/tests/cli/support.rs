//! A service on a port of this machine, and runs of the binary.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::{fs, thread};

use actix_web::{App as ActixApp, HttpServer, web};
use grantex_biscuit::Biscuits;
use grantex_core::agent::{AgentStatus, RegisterAgent};
use grantex_core::audit::{AuditStatus, LogEntry};
use grantex_core::authorize::Authorize;
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::context::Context;
use grantex_core::developer::{Developer, Mode, Signup};
use grantex_core::grant::Delegate;
use grantex_core::id::AgentId;
use grantex_core::scope::Scopes;
use grantex_core::testing::{LogLines, ManualClock, MemoryStore, SeededRandom};
use grantex_core::token::biscuit::{BiscuitFormat as _, BiscuitKey, TokenFormat};
use grantex_core::token::crypto::{KeyPair, MasterKey};
use grantex_core::token::signer::{Algorithm, KeyRing};
use grantex_core::token::{ExchangeCode, IssuedToken};
use grantex_core::{Grantex, Settings};
use grantex_http::{App, HttpSettings, Streams};
use serde_json::{Map, Value};

/// A time far enough from now that nothing ends while tests run: 2100-01-01T00:00:00Z.
pub const NOW: i64 = 4_102_444_800_000;

/// The service, and what its one developer has.
pub struct Service {
    pub url: String,
    pub key: String,
    pub developer: String,
    /// A JWT and a Biscuit of one grant.
    pub issued: IssuedToken,
    /// What was delegated from it, and from that.
    pub child: IssuedToken,
    pub grandchild: IssuedToken,
}

fn keys() -> KeyRing {
    static KEY: OnceLock<Arc<KeyPair>> = OnceLock::new();
    let key = KEY.get_or_init(|| Arc::new(KeyPair::generate(Algorithm::Es256).unwrap().0));
    let root = BiscuitKey::generate().unwrap();
    let biscuits = Biscuits::default()
        .keys(std::slice::from_ref(&root), &root.kid)
        .unwrap();
    KeyRing::new(key.clone(), key.clone(), vec![key.clone()]).with_biscuits(Some(biscuits))
}

impl Service {
    pub fn start() -> Self {
        Self::start_at(NOW)
    }

    /// A service that believes that it is this time.
    pub fn start_at(millis: i64) -> Self {
        let (send, receive) = channel();
        // Ends with the process: nothing of it is left behind.
        thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
                let (store, streams) = (MemoryStore::new(), Streams::default());
                let sealer = MasterKey::parse(&"5a".repeat(32)).unwrap();
                let random = SeededRandom::new(7);
                let grantex = Grantex::builder(store, Settings::new(&url), keys(), sealer, random.clone())
                    .clock(ManualClock::at(Timestamp::from_millis(millis)))
                    .signal(streams.clone())
                    .build();
                let service = Self::fill(&grantex, url.clone()).await;
                let mut settings = HttpSettings::new(&url);
                settings.rate_limits.is_enabled = false;
                let app = App::new(grantex, settings, LogLines::default().logger(), random).streams(streams);
                let app = web::Data::new(app);
                let tended = app.clone();
                actix_web::rt::spawn(async move { tended.run_streams().await });
                let server = HttpServer::new(move || ActixApp::new().configure(grantex_http::routes(app.clone())))
                    .workers(1)
                    .listen(listener)
                    .unwrap()
                    .run();
                send.send(service).unwrap();
                server.await.unwrap();
            });
        });
        receive.recv().unwrap()
    }

    async fn fill(grantex: &Grantex<MemoryStore>, url: String) -> Self {
        let ctx = grantex.context(LogLines::default().logger(), "test".to_owned());
        let signup = Signup {
            name: "Acme".to_owned(),
            email: None,
            mode: Mode::Sandbox,
        };
        let account = grantex.signup(&ctx, signup).await.unwrap();
        let developer = account.developer;
        let (first, second, third) = (
            agent(grantex, &ctx, &developer).await,
            agent(grantex, &ctx, &developer).await,
            agent(grantex, &ctx, &developer).await,
        );
        let request = Authorize {
            agent_id: Some(first.clone()),
            principal_id: "user-1".to_owned(),
            scopes: scopes(&["calendar:read", "mail:read", "mail:send"]),
            redirect_uri: None,
            state: None,
            expires_in: Lifetime::hours(24),
            audience: None,
            code_challenge: None,
        };
        let code = grantex
            .authorize(&ctx, &developer, request)
            .await
            .unwrap()
            .code
            .unwrap();
        let exchange = ExchangeCode {
            code,
            agent_id: Some(first),
            verifier: None,
            redirect_uri: None,
            format: TokenFormat::Both,
        };
        let issued = grantex.exchange_code(&ctx, &developer, exchange).await.unwrap();
        let handed = |parent: &IssuedToken, to: AgentId, handed: &[&str]| Delegate {
            parent_token: parent.jwt.clone(),
            sub_agent_id: Some(to),
            scopes: scopes(handed),
            expires_in: Lifetime::hours(1),
            format: TokenFormat::Jwt,
        };
        let child = handed(&issued, second, &["mail:read", "mail:send"]);
        let child = grantex.delegate(&ctx, &developer, child).await.unwrap();
        let grandchild = handed(&child, third, &["mail:read"]);
        let grandchild = grantex.delegate(&ctx, &developer, grandchild).await.unwrap();
        for number in 0..3_u64 {
            let entry = LogEntry {
                agent_id: "agent".to_owned(),
                agent_did: "did:web:agent.example".to_owned(),
                grant_id: issued.grant.id.to_string(),
                principal_id: "user-1".to_owned(),
                action: format!("mail.read.{number}"),
                metadata: Map::from_iter([("é".to_owned(), Value::from("ü\n")), ("n".to_owned(), number.into())]),
                status: AuditStatus::Success,
            };
            grantex.log_audit(&ctx, &developer, entry).await.unwrap();
        }
        Self {
            url,
            key: account.api_key.expose().clone(),
            developer: developer.id.to_string(),
            issued,
            child,
            grandchild,
        }
    }

    /// A run with the account of this service.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments), "")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("GRANTEX_URL", &self.url).env("GRANTEX_API_KEY", &self.key);
        command
    }
}

async fn agent(grantex: &Grantex<MemoryStore>, ctx: &Context, developer: &Developer) -> AgentId {
    let agent = RegisterAgent {
        name: "Assistant".to_owned(),
        description: String::new(),
        scopes: scopes(&["calendar:read", "mail:read", "mail:send"]),
        status: AgentStatus::Active,
    };
    grantex.register_agent(ctx, developer, agent).await.unwrap().id
}

fn scopes(names: &[&str]) -> Scopes {
    Scopes::parse_some(names.iter().map(|&name| name.to_owned()).collect()).unwrap()
}

/// The binary without an environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grantex"));
    command.args(arguments).env_clear();
    command
}

/// A run without an account, which is given this to read.
pub fn run(arguments: &[&str], input: &str) -> Ended {
    Ended::of(command(arguments), input)
}

/// What a run said.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(mut command: Command, input: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that reads nothing has ended before it was given anything.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        Self {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// The answer of a run that went well.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The same, in JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }

    /// What was said about a run that went wrong in this way.
    #[track_caller]
    pub fn bad(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }
}

/// A directory that is removed with its content.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("grantex-cli-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A file in it.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
