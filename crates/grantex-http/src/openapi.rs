//! The description of the API, made from the table of routes and the types that handlers read and write.

use std::sync::OnceLock;

use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, License, OpenApiBuilder, PathItem, PathsBuilder, Ref,
    RefOr, Required, ResponseBuilder, Schema, ServerBuilder,
};

use crate::boundary::Problem;
use crate::endpoint::{Access, AddressLimit, Endpoint, Gives, Verb};
use crate::error::ApiError;

/// The schemas that were referred to so far, by name.
pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

/// Refers to a schema, and adds it and what it refers to.
pub(crate) type SchemaOf = fn(&mut Schemas) -> RefOr<Schema>;

/// The schema of a type.
pub(crate) fn schema<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    let name = T::name().into_owned();
    schemas.push((name.clone(), T::schema()));
    RefOr::Ref(Ref::from_schema_name(name))
}

/// The schema of an object that a standard defines.
pub(crate) fn any_object(_schemas: &mut Schemas) -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object));
    RefOr::T(Schema::Object(
        object
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .build(),
    ))
}

/// The description as JSON text, made once.
#[derive(Default)]
pub(crate) struct Document(OnceLock<String>);

impl Document {
    pub(crate) fn text(&self, endpoints: &[Endpoint], base_url: &str) -> Result<String, ApiError> {
        if let Some(text) = self.0.get() {
            return Ok(text.clone());
        }
        let text = describe(endpoints, base_url).to_json().map_err(ApiError::internal)?;
        Ok(self.0.get_or_init(|| text).clone())
    }
}

const API_KEY: &str = "apiKey";
const CLIENT: &str = "clientCredentials";
const SESSION: &str = "principalSession";
const ADMIN: &str = "adminKey";
const METRICS: &str = "metricsKey";

fn describe(endpoints: &[Endpoint], base_url: &str) -> utoipa::openapi::OpenApi {
    let mut schemas = Schemas::new();
    let problem = schema::<Problem<'static>>(&mut schemas);
    let mut paths = PathsBuilder::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &problem, &mut schemas);
        paths = paths.path(endpoint.path, PathItem::new(method(endpoint.method), operation));
    }
    let mut components = ComponentsBuilder::new().schemas_from_iter(schemas);
    for (name, scheme) in schemes() {
        components = components.security_scheme(name, scheme);
    }
    let info = InfoBuilder::new()
        .title("Grantex")
        .description(Some(
            "Who may do what on whose behalf, for how long: authorization for AI agents.",
        ))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(License::new("Apache-2.0")));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url(base_url).build()]))
        .paths(paths.build())
        .components(Some(components.build()))
        .build()
}

fn schemes() -> [(&'static str, SecurityScheme); 5] {
    let bearer = |about: &str| {
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(about.to_owned()))
                .build(),
        )
    };
    [
        (API_KEY, bearer("A developer's API key")),
        (CLIENT, SecurityScheme::Http(Http::new(HttpAuthScheme::Basic))),
        (SESSION, bearer("A principal's session token")),
        (ADMIN, bearer("The operator's admin key")),
        (METRICS, bearer("The operator's metrics key, where one is configured")),
    ]
}

const fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get | Verb::Other => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
    }
}

fn operation(endpoint: &Endpoint, problem: &RefOr<Schema>, schemas: &mut Schemas) -> OperationBuilder {
    let mut operation = OperationBuilder::new().summary(Some(endpoint.about));
    for name in endpoint
        .path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
    {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True);
        operation = operation.parameter(parameter.schema(Some(text())));
    }
    for parameter in endpoint.query {
        let parameter = ParameterBuilder::new()
            .name(parameter.name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(parameter.about));
        operation = operation.parameter(parameter.schema(Some(text())));
    }
    if let Some(takes) = endpoint.takes {
        let content = ContentBuilder::new().schema(Some(takes(schemas))).build();
        let mut body = RequestBodyBuilder::new()
            .content("application/json", content.clone())
            .required(Some(Required::True));
        if endpoint.takes_form {
            let form = ContentBuilder::new().schema(Some(any_object(schemas))).build();
            body = body.content("application/x-www-form-urlencoded", form);
        }
        operation = operation.request_body(Some(body.build()));
    }
    for name in securities(endpoint.access) {
        operation = operation.security(SecurityRequirement::new(*name, Vec::<String>::new()));
    }
    let mut answer = ResponseBuilder::new().description("Done");
    match endpoint.gives {
        Gives::Nothing => {}
        Gives::Json(gives) => {
            answer = answer.content(
                "application/json",
                ContentBuilder::new().schema(Some(gives(schemas))).build(),
            )
        }
        Gives::Other(content_type) => {
            answer = answer.content(content_type, ContentBuilder::new().schema(Some(text())).build())
        }
    }
    operation = operation.response(endpoint.status.to_string(), answer.build());
    for status in refusals(endpoint) {
        let content = ContentBuilder::new().schema(Some(problem.clone())).build();
        let refusal = ResponseBuilder::new()
            .description(reason(status))
            .content("application/json", content);
        operation = operation.response(status.to_string(), refusal.build());
    }
    operation
}

fn text() -> RefOr<Schema> {
    RefOr::T(Schema::Object(
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build(),
    ))
}

const fn securities(access: Access) -> &'static [&'static str] {
    match access {
        Access::Public => &[],
        Access::Key => &[API_KEY],
        Access::Client => &[API_KEY, CLIENT],
        Access::Session => &[SESSION],
        Access::Admin => &[ADMIN],
        Access::Metrics => &[METRICS],
    }
}

/// What the route itself refuses, and what its kind does.
fn refusals(endpoint: &Endpoint) -> Vec<u16> {
    let mut statuses = endpoint.refusals.to_vec();
    if endpoint.access != Access::Public {
        statuses.push(401);
    }
    if endpoint.takes.is_some() {
        statuses.extend([413, 415]);
    }
    if endpoint.limit != AddressLimit::Exempt {
        statuses.push(429);
    }
    statuses.extend([500, 503]);
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

const fn reason(status: u16) -> &'static str {
    match status {
        400 => "Something in the request is not as it should be; the message names it",
        401 => "The credentials are missing or wrong",
        402 => "The plan does not allow it",
        403 => "Not allowed",
        404 => "There is no such thing, or not for this caller",
        409 => "It exists already, or its state does not allow it",
        410 => "It is over",
        413 => "The body is too large",
        415 => "The body is of another type",
        426 => "The request asks for no WebSocket",
        429 => "Too many requests",
        503 => "Not possible at the moment, and nothing was done",
        _ => "A fault of the server",
    }
}
