//! HTTP: headers of a file, and its bytes from a position on.

use std::path::Path;
use std::time::Duration;

use ureq::config::{AutoHeaderValue, RedirectAuthHeaders};
use ureq::http::{HeaderMap, Response};
use ureq::tls::{parse_pem, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::environment::Environment;
use crate::error::HubError;

/// To find and reach a server.
const CONNECT: Duration = Duration::from_secs(15);
/// Without a byte.
const SILENCE: Duration = Duration::from_secs(60);
/// Redirects within a server before its headers are looked at.
const MAX_REDIRECTS: usize = 5;

/// Keeps connections, proxies and certificates.
pub struct Client {
    agent: Agent,
}

impl Client {
    /// With the proxies of the process's variables, and the certificates of `environment`.
    ///
    /// # Errors
    /// Certificates that cannot be read.
    pub fn new(environment: &Environment) -> Result<Self, HubError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            // A compressed answer has another length and other positions than the file.
            .accept_encoding(AutoHeaderValue::Provided("identity".to_string().into()))
            .user_agent(concat!("repghost-det/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &environment.certificates {
            config = config.tls_config(TlsConfig::builder().root_certs(certificates(file)?).build());
        }
        Ok(Self { agent: config.build().new_agent() })
    }

    /// Headers of a file. Redirects to another server, which stores the bytes, are not followed: the first one's headers describe the file.
    ///
    /// # Errors
    /// No connection; a status of failure.
    pub fn head(&self, url: &str, token: Option<&str>) -> Result<HeaderMap, HubError> {
        let mut url = url.to_string();
        for _ in 0..MAX_REDIRECTS {
            let config = self.agent.head(&url).config().max_redirects(0).max_redirects_will_error(false);
            let mut request = if is_this_machine(&url) { config.proxy(None) } else { config }.build();
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let answer = request.call().map_err(|e| network(&url, &e, String::new()))?;
            let status = answer.status();
            if !status.is_success() && !status.is_redirection() {
                return Err(refused(&url, status.as_u16()));
            }
            // Within a server: a repository that was renamed.
            let within = header(answer.headers(), "location").and_then(|to| within_server(&url, to));
            match within.filter(|_| status.is_redirection() && header(answer.headers(), "x-linked-etag").is_none()) {
                Some(to) => url = to,
                None => return Ok(answer.headers().clone()),
            }
        }
        Err(HubError::Answer { url, problem: "it redirects in a circle".into() })
    }

    /// A file's bytes from position `from` on.
    ///
    /// # Errors
    /// No connection.
    pub fn get(&self, url: &str, token: Option<&str>, from: u64) -> Result<Response<Body>, HubError> {
        let mut request = match is_this_machine(url) {
            true => self.agent.get(url).config().proxy(None).build(),
            false => self.agent.get(url),
        };
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(|e| network(url, &e, String::new()))
    }
}

/// The text of a header.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a server is on this machine, where no proxy reaches it.
fn is_this_machine(url: &str) -> bool {
    let host = origin(url).split_once("://").map_or("", |(_, host)| host);
    let name = if host.starts_with('[') { host.split(']').next() } else { host.split(':').next() };
    matches!(name, Some("127.0.0.1" | "localhost" | "[::1"))
}

/// The address that a redirect of `url` leads to, where it is on the same server.
fn within_server(url: &str, to: &str) -> Option<String> {
    match to.starts_with('/') && !to.starts_with("//") {
        true => Some(format!("{}{to}", origin(url))),
        false => (origin(url) == origin(to)).then(|| to.to_string()),
    }
}

/// `https://host:port` of an address.
fn origin(url: &str) -> &str {
    let after = url.find("://").map_or(0, |at| at + 3);
    url[after..].find('/').map_or(url, |end| &url[..after + end])
}

/// An error of the connection. `kept` is what a next try starts from.
pub fn network(url: &str, error: &dyn std::fmt::Display, kept: String) -> HubError {
    HubError::Network { url: url.into(), reason: error.to_string(), kept }
}

/// An error for a status.
pub fn refused(url: &str, status: u16) -> HubError {
    let hint = match status {
        401 | 403 => "; the repository is not there, or is private or gated: for those set HF_TOKEN",
        404 => "; there is no such repository, revision or file",
        407 => "; the proxy wants a name and password: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT",
        429 | 500..=599 => "; try again later",
        _ => "",
    };
    HubError::Status { url: url.into(), status, hint }
}

fn certificates(file: &Path) -> Result<RootCerts, HubError> {
    let pem = std::fs::read(file).map_err(HubError::io(file))?;
    let found: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_needs_no_proxy() {
        assert!(["http://127.0.0.1:8/a", "http://localhost/a", "http://[::1]:8/a"].iter().all(|url| is_this_machine(url)));
        assert!(["https://a.b/localhost", "http://localhost.a.b/x", "127.0.0.1"].iter().all(|url| !is_this_machine(url)));
    }

    #[test]
    fn redirects_within_a_server() {
        let to = |to| within_server("https://a.b:8/c/d", to);
        assert_eq!(to("/e").as_deref(), Some("https://a.b:8/e"));
        assert_eq!(to("https://a.b:8/e").as_deref(), Some("https://a.b:8/e"));
        assert_eq!([to("//x/e"), to("https://a.b/e"), to("http://a.b:8/e"), to("e")], [None, None, None, None]);
    }
}
