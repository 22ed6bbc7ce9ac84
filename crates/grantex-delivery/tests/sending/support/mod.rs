//! A sender with its surroundings, and receivers to send to.

pub mod receiver;
pub mod secure;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grantex_core::store::BoxFuture;
use grantex_core::testing::ManualClock;
use grantex_core::webhook::send::{Outgoing, Received, SendError, Sender};
use grantex_delivery::{DeliverySettings, HttpSender, Lookup};

/// A name for the receivers of a test.
pub const HOST: &str = "hooks.example.com";

/// Where receivers listen.
pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Longer than any test takes: what is asserted does not come from here.
pub const AMPLE: Duration = Duration::from_secs(60);

/// For tests in which nothing else than the deadline ends the call.
pub const SHORT: Duration = Duration::from_millis(300);

/// Settings that allow `http` and 127.0.0.1, and are strict otherwise.
pub fn settings() -> DeliverySettings {
    DeliverySettings {
        allow_insecure_urls: true,
        allow_networks: "127.0.0.1".parse().unwrap(),
        deadline: AMPLE,
        ..DeliverySettings::default()
    }
}

/// Settings with a deadline that is meant to pass.
pub fn impatient() -> DeliverySettings {
    DeliverySettings {
        deadline: SHORT,
        ..settings()
    }
}

/// A sender with these settings, for which [`HOST`] is here.
pub fn sender(settings: &DeliverySettings) -> HttpSender {
    with_names(settings, &Names::here())
}

/// A sender that resolves by these names.
pub fn with_names(settings: &DeliverySettings, names: &Names) -> HttpSender {
    HttpSender::with_lookup(settings, Arc::new(ManualClock::default()), Arc::new(names.clone())).unwrap()
}

/// A request without headers of its own.
pub fn outgoing(url: &str) -> Outgoing {
    Outgoing {
        url: url.to_owned(),
        headers: Vec::new(),
        body: Arc::from(r#"{"id":"evt_1"}"#),
    }
}

/// Sends to a URL.
pub async fn send(sender: &HttpSender, url: &str) -> Result<Received, SendError> {
    sender.send(&outgoing(url)).await
}

/// The answer with this status and no wish to wait.
pub const fn status(status: u16) -> Result<Received, SendError> {
    Ok(Received {
        status,
        retry_after: None,
    })
}

/// A resolver whose answers are given in advance. The last answer for a name is repeated.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: HashMap<String, VecDeque<Answer>>,
    asked: Vec<String>,
}

/// What a lookup leads to.
#[derive(Clone)]
pub enum Answer {
    /// Addresses.
    Are(Vec<IpAddr>),
    /// An error.
    Fails,
    /// Nothing, ever.
    Hangs,
}

impl Names {
    /// [`HOST`] is here.
    pub fn here() -> Self {
        Self::default().with(HOST, [Answer::Are(vec![HERE])])
    }

    /// A name and its answers, one a lookup.
    pub fn with(self, name: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = answers.into_iter().collect();
        self.0.lock().unwrap().answers.insert(name.to_owned(), answers);
        self
    }

    /// The names that were looked up, in order.
    pub fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    fn answer(&self, host: &str) -> Answer {
        let mut state = self.0.lock().unwrap();
        state.asked.push(host.to_owned());
        match state.answers.get_mut(host) {
            Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
            Some(answers) => answers[0].clone(),
            None => Answer::Fails,
        }
    }
}

impl Lookup for Names {
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let answer = self.answer(host);
        Box::pin(async move {
            match answer {
                Answer::Are(addresses) => Ok(addresses),
                Answer::Fails => Err(io::Error::other("no such host")),
                Answer::Hangs => std::future::pending().await,
            }
        })
    }
}
