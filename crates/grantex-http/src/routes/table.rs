//! From descriptions and handlers to actix resources.

use std::fmt::Write as _;

use actix_web::guard::{self, Guard};
use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route};
use grantex_core::store::Store;

use crate::app::App;
use crate::boundary::{self, UNMATCHED};
use crate::call::Call;
use crate::endpoint::{Endpoint, Verb};
use crate::error::ApiError;

struct Path {
    template: &'static str,
    routes: Vec<Route>,
    allow: String,
}

/// Gathers routes by path.
pub(super) struct Table<S: Store> {
    app: Data<App<S>>,
    paths: Vec<Path>,
}

impl<S: Store> Table<S> {
    pub(super) fn new(app: Data<App<S>>) -> Self {
        Self { app, paths: Vec::new() }
    }

    /// Adds a route.
    pub(super) fn on<F>(&mut self, endpoint: Endpoint, handler: F)
    where
        F: AsyncFn(&mut Call<S>) -> Result<HttpResponse, ApiError> + Copy + 'static,
    {
        let route = route(self.app.clone(), endpoint, handler).guard(guard_of(endpoint.method));
        let known = self.paths.iter_mut().find(|path| path.template == endpoint.path);
        let allowed = endpoint.method.allowed();
        match known {
            Some(path) => {
                path.routes.push(route);
                // Writing into a string cannot fail.
                let _ = write!(path.allow, ", {allowed}");
            }
            None => self.paths.push(Path {
                template: endpoint.path,
                routes: vec![route],
                allow: allowed.to_owned(),
            }),
        }
    }

    /// Hands the routes to actix, and to one route what matches none.
    pub(super) fn mount(self, config: &mut ServiceConfig) {
        for path in self.paths {
            let allow = HeaderValue::try_from(path.allow).ok();
            let mut resource: Resource = web::resource(path.template);
            for route in path.routes {
                resource = resource.route(route);
            }
            config.service(resource.default_service(nowhere(self.app.clone(), path.template, allow)));
        }
        config.default_service(nowhere(self.app.clone(), UNMATCHED, None));
    }
}

fn route<S, F>(app: Data<App<S>>, endpoint: Endpoint, handler: F) -> Route
where
    S: Store,
    F: AsyncFn(&mut Call<S>) -> Result<HttpResponse, ApiError> + Copy + 'static,
{
    web::route().to(move |request: HttpRequest, payload: web::Payload| {
        boundary::serve(
            app.clone(),
            endpoint,
            request,
            payload,
            async move |call: &mut Call<S>| handler(call).await,
        )
    })
}

fn nowhere<S: Store>(app: Data<App<S>>, path: &'static str, allow: Option<HeaderValue>) -> Route {
    web::route().to(move |request: HttpRequest, payload: web::Payload| {
        let allow = allow.clone();
        boundary::serve(
            app.clone(),
            Endpoint::nowhere(path),
            request,
            payload,
            async move |call: &mut Call<S>| {
                call.allow = allow;
                boundary::nowhere(call).await
            },
        )
    })
}

fn guard_of(verb: Verb) -> impl Guard {
    guard::fn_guard(move |context| {
        let method = &context.head().method;
        match verb {
            Verb::Get => method == Method::GET || method == Method::HEAD,
            Verb::Post => method == Method::POST,
            Verb::Patch => method == Method::PATCH,
            Verb::Delete => method == Method::DELETE,
            Verb::Other => false,
        }
    })
}
