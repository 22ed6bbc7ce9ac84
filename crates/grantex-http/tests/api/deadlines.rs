//! No request waits longer than it may, and what it is told then is true.

use std::time::Duration;

use actix_web::dev::ServiceResponse;
use actix_web::test::{TestRequest, init_service};
use actix_web::web;
use grantex_core::developer::Mode;
use grantex_core::testing::{LogLines, Recorder, SeededRandom};
use grantex_core::{Grantex, Settings};
use grantex_http::{App, HttpSettings};
use serde_json::{Value, json};

use crate::support::gate::{GatedStore, Wait};
use crate::support::{Answer, BASE_URL, key_of, keys, sealer};

/// Long enough for everything that does not wait, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(1);

struct Gated {
    app: web::Data<App<GatedStore>>,
    store: GatedStore,
    events: Recorder,
    key: String,
}

async fn gated(deadline: Duration) -> Gated {
    let (store, events, random) = (GatedStore::default(), Recorder::default(), SeededRandom::new(7));
    let grantex = Grantex::builder(store.clone(), Settings::new(BASE_URL), keys(), sealer(), random.clone());
    let grantex = grantex.observer(events.clone()).build();
    let key = key_of(&grantex, Mode::Live).await;
    events.take();
    let settings = HttpSettings {
        request_deadline: deadline,
        ..HttpSettings::new(BASE_URL)
    };
    let app = web::Data::new(App::new(grantex, settings, LogLines::default().logger(), random));
    Gated {
        app,
        store,
        events,
        key,
    }
}

impl Gated {
    fn request(&self, request: TestRequest) -> impl Future<Output = ServiceResponse> + use<> {
        let (app, request) = (
            self.app.clone(),
            request.insert_header(("authorization", format!("Bearer {}", self.key))),
        );
        async move {
            let service = init_service(actix_web::App::new().configure(grantex_http::routes(app))).await;
            actix_web::test::call_service(&service, request.to_request()).await
        }
    }

    async fn ask(&self, request: TestRequest) -> Answer {
        Answer::read(self.request(request).await.map_into_boxed_body()).await
    }

    fn register() -> TestRequest {
        TestRequest::post().uri("/v1/agents").set_json(json!({"name": "late"}))
    }

    async fn agents(&self) -> Value {
        self.ask(TestRequest::get().uri("/v1/agents")).await.expect(200)["agents"].clone()
    }

    /// Lets what was left behind go on to its end.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

#[actix_web::test]
async fn a_read_that_takes_too_long_is_503_and_liveness_goes_on() {
    let gated = gated(DEADLINE).await;
    gated.store.close(Wait::Reading);
    gated
        .ask(TestRequest::get().uri("/v1/agents"))
        .await
        .problem(503, "SERVICE_UNAVAILABLE");
    gated
        .ask(TestRequest::get().uri("/.well-known/jwks.json"))
        .await
        .expect(200);
    gated.ask(TestRequest::get().uri("/health")).await.expect(200);
    let ready = gated.ask(TestRequest::get().uri("/ready")).await.expect(503);
    assert_eq!(ready["failing"], json!(["store"]));
}

#[actix_web::test]
async fn a_unit_that_has_not_begun_is_withdrawn_and_never_runs() {
    let gated = gated(DEADLINE).await;
    gated.store.close(Wait::BeforeUnits);
    gated.ask(Gated::register()).await.problem(503, "SERVICE_UNAVAILABLE");
    gated.store.open();
    gated.settle().await;
    assert_eq!((gated.agents().await, gated.events.messages()), (json!([]), vec![]));
}

#[actix_web::test]
async fn a_unit_that_has_begun_is_not_called_undone() {
    let gated = gated(DEADLINE).await;
    gated.store.close(Wait::InUnits);
    gated.ask(Gated::register()).await.problem(500, "INTERNAL_ERROR");
    gated.store.open();
    gated.settle().await;
    assert_eq!(gated.agents().await[0]["name"], "late");
    assert_eq!(
        gated.events.messages(),
        ["agent.changed"],
        "what was committed is told, though nobody waits"
    );
}

#[actix_web::test]
async fn a_vanished_client_does_not_stop_its_unit() {
    let gated = gated(Duration::from_secs(60)).await;
    gated.store.close(Wait::InUnits);
    tokio::select! {
        biased;
        _ = gated.request(Gated::register()) => panic!("it was answered although its unit waits"),
        () = gated.store.reached() => {}
    }
    gated.store.open();
    gated.settle().await;
    assert_eq!(gated.agents().await[0]["name"], "late");
    assert_eq!(gated.events.messages(), ["agent.changed"]);
}
