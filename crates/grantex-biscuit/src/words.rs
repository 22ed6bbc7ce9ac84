//! The names of facts.

/// The server. First block.
pub const ISSUER: &str = "issuer";
/// The issuance: what a JWT calls `jti`. First block.
pub const TOKEN: &str = "token";
/// The grant. First block.
pub const GRANT: &str = "grant";
/// The grant it was delegated from. First block.
pub const PARENT: &str = "parent";
/// The tenant. First block.
pub const DEVELOPER: &str = "developer";
/// Who allowed it. First block.
pub const PRINCIPAL: &str = "principal";
/// The agent's DID. In the first block the grant's agent; in a later one the agent that the token is handed to.
pub const AGENT: &str = "agent";
/// One scope. First block, one fact a scope.
pub const SCOPE: &str = "scope";
/// The audience. First block; not the word that a verifier says of itself, or the token would speak for it.
pub const BOUND_TO: &str = "bound_to";
/// When it was made. First block.
pub const ISSUED: &str = "issued";
/// When it ends. First block.
pub const EXPIRES: &str = "expires";
/// How often the grant was handed on. First block.
pub const DEPTH: &str = "depth";

/// Said by the verifier: the scope that is asked for.
pub const OPERATION: &str = "operation";
/// Said by the verifier: the time.
pub const TIME: &str = "time";
/// Said by the verifier: its own name.
pub const AUDIENCE: &str = "audience";
/// Said by the verifier: amount and currency of what is to be spent, 0 when nothing is.
pub const SPEND: &str = "spend";
