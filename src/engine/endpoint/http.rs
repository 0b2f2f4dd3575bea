//! The connection to the server: the one place that names the HTTP client.
//!
//! It keeps three promises. There is no limit on how long an answer may take, because a prefill may take an hour: only a
//! connection that cannot be made, or whose other end is gone (TCP keepalive), is an error. This machine's own names are
//! never looked up, and what goes to this machine never passes a proxy. Nothing is followed elsewhere by a redirect.

use crate::engine::EngineError;
use crate::engine::endpoint::refusal::Refusal;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Response, Url};
use rustls::crypto::ring;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
/// A peer that has vanished is noticed after the idle time and four probes: a minute and a half.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_PROBE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// A server, and how to talk to it.
pub struct Http {
    client: Client,
    /// `…/v1`, without a slash at its end.
    api: String,
    /// What is before `/v1`: where llama-server has its own routes.
    root: String,
    /// `api` without a password, for messages.
    shown: String,
}

/// A JSON answer, or a refusal with its status.
pub type Told = Result<Value, Refusal>;

impl Http {
    /// Prepares a client; nothing is connected yet. `/v1` may be left out when the URL has no path.
    pub fn new(url: &str, api_key: Option<&str>) -> Result<Self, EngineError> {
        let wrong = |reason: String| EngineError::Unreachable { url: shown(url), reason };
        let parsed = Url::parse(url).map_err(|e| wrong(e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong(format!("`{}` is not a scheme that is spoken here", parsed.scheme())));
        }
        let client = prepare(&parsed, api_key).map_err(wrong)?;
        let written = url.trim_end_matches('/');
        let api = if parsed.path() == "/" { format!("{written}/v1") } else { written.to_owned() };
        let root = api.strip_suffix("/v1").unwrap_or(&api).to_owned();
        let shown = shown(&api);
        Ok(Self { client, api, root, shown })
    }

    /// A route of the OpenAI interface.
    pub fn api(&self, route: &str) -> String {
        format!("{}/{route}", self.api)
    }

    /// A route beside it, of one server's own.
    pub fn own(&self, route: &str) -> String {
        format!("{}/{route}", self.root)
    }

    /// Asks for a JSON document.
    pub async fn get(&self, url: &str) -> Result<Told, EngineError> {
        let response = self.client.get(url).send().await.map_err(|e| self.failure(&e))?;
        Incoming { response }.told(self).await
    }

    /// Sends a JSON document and takes one back.
    pub async fn ask(&self, url: &str, body: &Value) -> Result<Told, EngineError> {
        let response = self.client.post(url).json(body).send().await.map_err(|e| self.failure(&e))?;
        Incoming { response }.told(self).await
    }

    /// Sends a JSON document and returns as soon as the answer begins, or with the refusal. Dropping the answer closes the
    /// connection, which is how a server learns that nobody waits any more.
    pub async fn open(&self, url: &str, body: &Value) -> Result<Result<Incoming, Refusal>, EngineError> {
        let response = self.client.post(url).json(body).send().await.map_err(|e| self.failure(&e))?;
        if response.status().is_success() {
            return Ok(Ok(Incoming { response }));
        }
        Ok(Err(Incoming { response }.refusal(self).await?))
    }

    fn failure(&self, error: &reqwest::Error) -> EngineError {
        if error.is_connect() {
            let reason = if error.is_timeout() { format!("no answer within {} s", CONNECT.as_secs()) } else { root_cause(error) };
            return EngineError::Unreachable { url: self.shown.clone(), reason };
        }
        EngineError::Lost { reason: root_cause(error) }
    }
}

/// An answer that has begun.
pub struct Incoming {
    response: Response,
}

impl Incoming {
    /// Whether the whole answer is one JSON document, though a stream was asked for.
    pub fn is_json(&self) -> bool {
        let kind = self.response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        kind.to_ascii_lowercase().starts_with("application/json")
    }

    /// The next bytes, `None` at the end. Waits as long as the connection lives.
    pub async fn next(&mut self, http: &Http) -> Result<Option<impl AsRef<[u8]> + use<>>, EngineError> {
        self.response.chunk().await.map_err(|e| http.failure(&e))
    }

    async fn told(self, http: &Http) -> Result<Told, EngineError> {
        if !self.response.status().is_success() {
            return Ok(Err(self.refusal(http).await?));
        }
        let status = self.response.status().as_u16();
        let body = self.response.text().await.map_err(|e| http.failure(&e))?;
        Ok(serde_json::from_str(&body).map_err(|_| Refusal { status, body }))
    }

    async fn refusal(self, http: &Http) -> Result<Refusal, EngineError> {
        let status = self.response.status().as_u16();
        Ok(Refusal { status, body: self.response.text().await.map_err(|e| http.failure(&e))? })
    }
}

fn prepare(url: &Url, api_key: Option<&str>) -> Result<Client, String> {
    let mut headers = HeaderMap::new();
    if let Some(key) = api_key {
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| "the API key is no header text".to_owned())?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    let mut builder = ClientBuilder::new()
        .user_agent(concat!("agent/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(CONNECT)
        .tcp_keepalive(KEEPALIVE_IDLE)
        .tcp_keepalive_interval(KEEPALIVE_PROBE)
        .tcp_keepalive_retries(KEEPALIVE_PROBES)
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(url.host_str().unwrap_or_default()) {
        builder = builder.no_proxy().dns_resolver(Arc::new(ThisMachine));
    }
    builder = if url.scheme() == "https" { with_system_roots(builder) } else { without_roots(builder)? };
    builder.build().map_err(|e| root_cause(&e))
}

/// The system's certificates, read once per process. Installing the provider fails only when one is installed already.
fn with_system_roots(builder: ClientBuilder) -> ClientBuilder {
    let _ = ring::default_provider().install_default();
    builder
}

/// The client wants TLS to be set up even where none is spoken; an empty store spares reading the system's certificates.
fn without_roots(builder: ClientBuilder) -> Result<ClientBuilder, String> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(tls))
}

/// A URL as it may be written down: without the user and the password that it may hold.
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

/// Whether a server is on this machine: by its name in the URL, without asking anybody.
pub fn is_local(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| is_loopback(url.host_str().unwrap_or_default()))
}

/// Whether a URL's host is this machine, by its spelling: `localhost` and all below it belong to loopback (RFC 6761).
fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || address.is_ok_and(|a| a.is_loopback())
}

/// Answers every name with loopback and asks nobody. Set only where the host is loopback by its spelling.
struct ThisMachine;

impl Resolve for ThisMachine {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
        Box::pin(async { Ok(addresses) })
    }
}

/// The innermost reason: the client's own words only say that sending failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use crate::engine::EngineError;
    use crate::engine::endpoint::http::{Http, is_local, is_loopback, shown};

    #[test]
    fn loopback_is_told_by_its_spelling() {
        for host in ["localhost", "LOCALHOST", "localhost.", "model.localhost", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.org", "notlocalhost", "192.168.1.2", "0.0.0.0", "[2001:db8::1]", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn only_the_host_of_a_url_makes_it_local() {
        for url in ["http://localhost:1/v1", "https://[::1]:80/v1", "http://u:p@LOCALHOST/"] {
            assert!(is_local(url), "{url}");
        }
        for url in ["http://127.0.0.1.example.com", "http://localhost@example.com/", "http://example.com/localhost", ""] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(shown("http://u:p@ss@box:1/v1?a=@"), "http://box:1/v1?a=@");
        assert_eq!(shown("http://box/a@b"), "http://box/a@b");
        assert_eq!(shown("box:8080"), "box:8080");
        let refused = Http::new("ftp://u:secret@box/v1", None).err().expect("no such scheme");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }

    #[test]
    fn routes_are_found_from_what_was_written() {
        let check = |url: &str, chat: &str, props: &str| {
            let http = Http::new(url, None).expect("a client");
            assert_eq!((http.api("chat").as_str(), http.own("props").as_str()), (chat, props), "{url}");
        };
        check("http://localhost:8080/v1", "http://localhost:8080/v1/chat", "http://localhost:8080/props");
        check("http://localhost:8080/v1/", "http://localhost:8080/v1/chat", "http://localhost:8080/props");
        check("http://localhost:8080", "http://localhost:8080/v1/chat", "http://localhost:8080/props");
        check("http://box/llm/v1", "http://box/llm/v1/chat", "http://box/llm/props");
        check("https://box.example/openai", "https://box.example/openai/chat", "https://box.example/openai/props");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for url in ["", "localhost:8080", "ftp://box/v1", "http://"] {
            assert!(matches!(Http::new(url, None), Err(EngineError::Unreachable { .. })), "{url:?}");
        }
        assert!(Http::new("http://box/v1", Some("two\nlines")).is_err());
    }

    /// The client prints the limits that are set on an answer, under their types' names.
    #[test]
    fn an_answer_may_take_for_ever() {
        let http = Http::new("http://localhost:8080/v1", Some("secret")).expect("a client");
        let client = format!("{:?}", http.client).to_ascii_lowercase();
        assert!(!client.contains("timeout"), "{client}");
        assert!(!client.contains("secret"), "{client}");
    }
}
