//! The mail server that notifications by e-mail are handed to.

use std::path::PathBuf;
use std::time::Duration;

use grantex_delivery::{MailSettings, MailTls};

use super::webhooks::deadline;
use super::{Env, Environment, Variable};

const HOST: Variable = Variable::new(
    "SMTP_HOST",
    "",
    "The mail server that notifications are handed to. Unset: no channel can be of the type `email`.",
);
const PORT: Variable = Variable::new(
    "SMTP_PORT",
    "587",
    "Its port; by default 465 with `SMTP_TLS=implicit`, 25 with `none`.",
);
const TLS: Variable = Variable::new(
    "SMTP_TLS",
    "starttls",
    "`starttls` (nothing is sent without it), `implicit` (TLS from the first byte), or `none`: for a mail server on this machine.",
);
const USERNAME: Variable = Variable::new("SMTP_USERNAME", "", "Whom to log in as; nobody when unset.");
const PASSWORD: Variable = Variable::secret("SMTP_PASSWORD", "The password.");
const FROM: Variable = Variable::new(
    "SMTP_FROM",
    "",
    "The address that mails come from, such as `Grantex <grantex@example.com>`. Required with `SMTP_HOST`.",
);
const DEADLINE: Variable = Variable::new(
    "SMTP_DEADLINE",
    "20s",
    "How long handing over one mail may take in all, 1s to 10m.",
);
const CA_FILE: Variable = Variable::new(
    "SMTP_CA_FILE",
    "",
    "PEM file with a certificate to trust beside those that the machine trusts.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[&HOST, &PORT, &TLS, &USERNAME, &PASSWORD, &FROM, &DEADLINE, &CA_FILE];

pub(super) fn read(env: &mut Env, environment: Environment) -> Option<MailSettings> {
    let tls = env.parsed(&TLS, MailTls::StartTls, |text| match text {
        "starttls" => Ok(MailTls::StartTls),
        "implicit" => Ok(MailTls::Implicit),
        "none" => Ok(MailTls::None),
        _ => Err("must be starttls, implicit or none".to_owned()),
    });
    let usual: u16 = match tls {
        MailTls::StartTls => 587,
        MailTls::Implicit => 465,
        MailTls::None => 25,
    };
    let (host, port) = (env.text(&HOST), env.number(&PORT, usual.into(), 1..=65_535));
    let (user, password, from) = (env.text(&USERNAME), env.secret(&PASSWORD), env.text(&FROM));
    let deadline = env.parsed(&DEADLINE, Duration::from_secs(20), deadline);
    let ca_file = env.text(&CA_FILE).map(PathBuf::from);
    let host = host?;
    if from.is_none() {
        env.problem(FROM.name, "must be set when SMTP_HOST is");
    }
    if user.is_some() != password.is_some() {
        env.problem(USERNAME.name, "and SMTP_PASSWORD must be set both or not at all");
    }
    if tls == MailTls::None && password.is_some() && environment == Environment::Production {
        env.problem(TLS.name, "must not be none in production when there is a password");
    }
    Some(MailSettings {
        host,
        port: u16::try_from(port).unwrap_or(usual),
        tls,
        credentials: user.zip(password),
        from: from?,
        deadline,
        ca_file,
    })
}
