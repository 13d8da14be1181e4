//! The Kubernetes cluster that this process runs in: its issuer's documents are behind the API server, which wants the
//! pod's own token and has a certificate of the cluster's CA.

use std::{fs, io, path::PathBuf};

use secrecy::SecretString;

/// Where Kubernetes mounts what a pod needs to ask the API server.
const DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The names of the API server inside a cluster: the only hosts that get the pod's token.
const HOSTS: [&str; 3] = [
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "kubernetes.default",
];

/// The pod's service account.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    directory: PathBuf,
    hosts: Vec<String>,
}

impl Default for ServiceAccount {
    /// Where Kubernetes puts it.
    fn default() -> Self {
        Self::at(DIRECTORY.into(), HOSTS.map(str::to_owned).to_vec())
    }
}

impl ServiceAccount {
    /// A directory with `ca.crt` and `token`, for the API server at any of these hosts.
    #[must_use]
    pub fn at(directory: PathBuf, hosts: Vec<String>) -> Self {
        Self { directory, hosts }
    }

    /// Whether this host is the API server.
    pub(super) fn is_for(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own == host)
    }

    /// The certificates, PEM, under which the API server's certificate stands.
    pub(super) fn ca_certificates(&self) -> io::Result<Vec<u8>> {
        fs::read(self.directory.join("ca.crt"))
    }

    /// The pod's token, which Kubernetes replaces every hour; `None` if the pod is given none.
    pub(super) fn token(&self) -> io::Result<Option<SecretString>> {
        match fs::read_to_string(self.directory.join("token")) {
            Ok(token) => Ok(Some(SecretString::from(token.trim().to_owned()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
