//! `check`: one question to a running server, and its answer.

pub(super) mod call;
mod cedar;
mod view;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::exit::Exit;
use super::{Global, connect, output, words};
use crate::api::pb::decision as pb;
use crate::model::PrincipalId;

const AFTER_HELP: &str = "\
Examples:
  deodar check GET https://orders.example.com/orders/7 --token-file token.jwt
  deodar check POST https://orders.example.com/orders/7/refund --as User::dev/alice --ip 203.0.113.9 --explain
  deodar check GET https://orders.example.com/orders/7 --token $(deodar token mint alice)
  deodar check --action 'Shop::Action::\"view\"' --resource 'Shop::Invoice::\"i-42\"' --domain shop --token-file token.jwt

Exit codes: 0 allow, 3 deny (enforced or not), 1 error, 2 wrong command line.
The client key needs the role `gateway`, and grants for what it states: `--as`, `--ip`, `--device-id`,
`--client-certificate`, `--explain`.";

/// Asks a server whether a call, or a Cedar request, is allowed now.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Check {
    /// The HTTP method of the call; POST for gRPC.
    #[arg(required_unless_present = "action", conflicts_with = "action", requires = "url")]
    method: Option<String>,
    /// The URL of the call, exactly as the client sent it.
    url: Option<String>,
    /// The bearer token that the client presented.
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["token_file", "asserted"])]
    token: Option<String>,
    /// A file that holds the bearer token.
    #[arg(long, value_name = "FILE", conflicts_with = "asserted")]
    token_file: Option<PathBuf>,
    /// The DPoP proof that the client presented with the token: the value of its DPoP header.
    #[arg(long, value_name = "PROOF", conflicts_with = "asserted", requires = "method")]
    dpop_proof: Option<String>,
    /// A file with the certificate that the client showed when it connected, in PEM: its own first, then those that lead to
    /// its authority. With or without a token.
    #[arg(long, value_name = "FILE", conflicts_with = "own_certificate")]
    client_certificate: Option<PathBuf>,
    /// Ask about yourself: the certificate of --tls-cert counts as that of the client, and needs no grant.
    #[arg(long)]
    own_certificate: bool,
    /// A principal to vouch for instead of a token: `User::<issuer>/<subject>` or `Workload::<issuer>/<subject>`.
    #[arg(long = "as", id = "asserted", value_name = "PRINCIPAL")]
    asserted: Option<PrincipalId>,
    /// A header of the call; may be repeated.
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = parse_header, requires = "method")]
    headers: Vec<(String, String)>,
    /// What the gateway tells policies about the call; may be repeated.
    #[arg(long = "metadata", value_name = "NAME=VALUE", value_parser = parse_metadata, requires = "method")]
    metadata: Vec<(String, String)>,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// The gateway's name for the client's device.
    #[arg(long, value_name = "ID")]
    device_id: Option<String>,
    /// Whether the device keeps to the organisation's rules.
    #[arg(long, value_name = "BOOL")]
    device_compliant: Option<bool>,
    /// Say how the decision came about.
    #[arg(long)]
    explain: bool,
    /// A revision from an earlier answer: do not answer from an older state.
    #[arg(long, value_name = "REVISION")]
    at_least: Option<String>,
    /// How long to wait for the decision; the server answers a denial before that.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = words::parse_span)]
    timeout: Duration,
    #[command(flatten)]
    cedar: cedar::CedarFlags,
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    words::parse_pair(text, ':')
}

fn parse_metadata(text: &str) -> Result<(String, String), String> {
    words::parse_pair(text, '=')
}

impl Check {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        if self.own_certificate && global.tls_cert.is_none() {
            bail!("--own-certificate needs one to show: give --tls-cert and --tls-key");
        }
        let (timeout, explain) = (self.timeout, self.explain);
        let request = self.request()?;
        let answer = connect::decisions(global).await?.check(request, timeout).await?;
        let decision =
            answer.decision.context("the server answered without a decision; treat it as a denial")?;
        let shown = view::DecisionView::from(decision);
        global.printer().result(&shown, view::human)?;
        if explain && !shown.is_explained() {
            output::note("There is no explanation: the client is not granted `explain`.");
        }
        Ok(if shown.is_allow() { Exit::Success } else { Exit::Denied })
    }

    fn request(self) -> anyhow::Result<pb::CheckRequest> {
        let device = self.device();
        let credential = self.credential()?;
        let question = match (&self.method, &self.url) {
            (Some(method), Some(url)) => {
                let call = call::parse(method, url)?;
                pb::question::Kind::Call(call::with_details(call, self.headers, self.metadata))
            }
            _ => pb::question::Kind::Cedar(self.cedar.question()?),
        };
        Ok(pb::CheckRequest {
            credentials: credential.into_iter().collect(),
            question: Some(pb::Question { kind: Some(question) }),
            source: self.ip.map(|ip| pb::Source { ip: ip.to_string() }),
            device,
            explain: self.explain,
            at_least: self.at_least.unwrap_or_default(),
            trace_id: String::new(),
        })
    }

    fn credential(&self) -> anyhow::Result<Option<pb::Credential>> {
        let client_certificate = self.certificate()?;
        let (kind, dpop_proof) = self.kind()?;
        let nothing = kind.is_none() && client_certificate.is_none();
        Ok((!nothing).then_some(pb::Credential { kind, dpop_proof, client_certificate }))
    }

    /// The credential without the certificate, and the proof that goes with it.
    fn kind(&self) -> anyhow::Result<(Option<pb::credential::Kind>, String)> {
        use pb::credential::Kind;
        if let Some(principal) = &self.asserted {
            return Ok((Some(Kind::AssertedPrincipal(principal.to_string())), String::new()));
        }
        let token = match &self.token_file {
            Some(file) => Some(read(file, "token")?),
            None => self.token.clone(),
        };
        let token = token.as_deref().map(str::trim);
        match (token, &self.dpop_proof) {
            (Some(token), Some(proof)) => {
                Ok((Some(Kind::Authorization(format!("DPoP {token}"))), proof.trim().to_owned()))
            }
            (Some(token), None) => Ok((Some(Kind::BearerToken(token.to_owned())), String::new())),
            (None, Some(_)) => bail!("--dpop-proof goes with a token: give --token or --token-file"),
            (None, None) => Ok((None, String::new())),
        }
    }

    fn certificate(&self) -> anyhow::Result<Option<pb::ClientCertificate>> {
        use pb::client_certificate::Form;
        let form = match &self.client_certificate {
            Some(file) => Form::Pem(read(file, "client certificate")?),
            None if self.own_certificate => Form::Own(pb::OwnCertificate {}),
            None => return Ok(None),
        };
        Ok(Some(pb::ClientCertificate { form: Some(form), ..pb::ClientCertificate::default() }))
    }

    fn device(&self) -> Option<pb::Device> {
        let said = self.device_id.is_some() || self.device_compliant.is_some();
        said.then(|| pb::Device {
            id: self.device_id.clone().unwrap_or_default(),
            compliant: self.device_compliant,
            posture_age_seconds: None,
        })
    }
}

fn read(file: &Path, what: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file);
    text.with_context(|| format!("cannot read the {what} from {}", file.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        check: Check,
    }

    fn parse(words: &[&str]) -> Result<Check, clap::Error> {
        Line::try_parse_from(std::iter::once(&"check").chain(words)).map(|line| line.check)
    }

    const URL: &str = "https://orders.example.com/orders/7";

    #[test]
    fn a_call_carries_what_the_flags_say() {
        let words = [
            "GET",
            URL,
            "--token",
            "eyJ",
            "--header",
            "X-A: b:c",
            "--ip",
            "203.0.113.9",
            "--device-id",
            "laptop",
            "--explain",
            "--timeout",
            "500ms",
        ];
        let check = parse(&words).unwrap();
        assert_eq!(check.timeout, Duration::from_millis(500));
        let request = check.request().unwrap();
        assert_eq!(request.credentials[0].kind, Some(pb::credential::Kind::BearerToken("eyJ".to_owned())));
        assert_eq!(request.source.unwrap().ip, "203.0.113.9");
        assert_eq!(request.device.unwrap().compliant, None);
        assert!(request.explain);
        let Some(pb::question::Kind::Call(call)) = request.question.unwrap().kind else {
            panic!("not a call")
        };
        assert_eq!((call.headers[0].name.as_str(), call.headers[0].value.as_str()), ("X-A", "b:c"));
    }

    #[test]
    fn without_a_credential_the_question_is_about_nobody() {
        let request = parse(&["GET", URL]).unwrap().request().unwrap();
        assert!(request.credentials.is_empty() && request.source.is_none() && request.device.is_none());
    }

    #[test]
    fn a_proof_goes_with_a_token() {
        let request = parse(&["GET", URL, "--token", "t", "--dpop-proof", "p"]).unwrap().request().unwrap();
        let authorization = pb::credential::Kind::Authorization("DPoP t".to_owned());
        assert_eq!(request.credentials[0].kind, Some(authorization));
        assert_eq!(request.credentials[0].dpop_proof, "p");
        assert!(parse(&["GET", URL, "--dpop-proof", "p"]).unwrap().request().is_err());
        assert!(parse(&["GET", URL, "--as", "User::dev/alice", "--dpop-proof", "p"]).is_err());
    }

    #[test]
    fn a_certificate_stands_alone_or_beside_a_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "pem").unwrap();
        let path = file.path().to_str().unwrap();
        let credential = |words: &[&str]| {
            let words = [&["GET", URL, "--client-certificate", path], words].concat();
            parse(&words).unwrap().request().unwrap().credentials.remove(0)
        };
        let form = Some(pb::client_certificate::Form::Pem("pem".to_owned()));
        let (alone, beside) = (credential(&[]), credential(&["--token", "t"]));
        assert!(alone.kind.is_none() && beside.kind.is_some());
        assert_eq!(alone.client_certificate.unwrap().form, form);
        assert_eq!(beside.client_certificate.unwrap().form, form);
        assert!(parse(&["GET", URL, "--client-certificate", "/none"]).unwrap().request().is_err());
    }

    #[test]
    fn its_own_certificate_is_that_of_its_connection() {
        let request = parse(&["GET", URL, "--own-certificate"]).unwrap().request().unwrap();
        let form = request.credentials[0].client_certificate.clone().unwrap().form;
        assert_eq!(form, Some(pb::client_certificate::Form::Own(pb::OwnCertificate {})));
        let both = ["GET", URL, "--own-certificate", "--client-certificate", "other.pem"];
        assert!(parse(&both).is_err());
    }

    #[test]
    fn a_question_is_a_call_or_cedar_and_has_one_credential() {
        for wrong in [
            vec![],
            vec!["GET"],
            vec!["GET", URL, "--action", "A::\"b\"", "--resource", "R::\"r\""],
            vec!["--action", "A::\"b\""],
            vec!["GET", URL, "--token", "t", "--as", "User::dev/alice"],
            vec!["GET", URL, "--as", "alice"],
            vec!["GET", URL, "--timeout", "5"],
            vec!["GET", URL, "--ip", "here"],
        ] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_cedar_question_names_its_domain() {
        let words = ["--action", "S::Action::\"view\"", "--resource", "S::I::\"1\"", "--domain", "shop"];
        let request = parse(&words).unwrap().request().unwrap();
        let Some(pb::question::Kind::Cedar(cedar)) = request.question.unwrap().kind else {
            panic!("not Cedar")
        };
        assert_eq!(cedar.domain, "shop");
        assert_eq!(cedar.action.unwrap(), pb::EntityRef { r#type: "S::Action".into(), id: "view".into() });
    }
}
