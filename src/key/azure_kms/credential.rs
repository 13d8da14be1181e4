//! Who Mayfly is for Azure: what the environment says, by the names that all of Microsoft's clients know.

use std::{env, sync::Arc};

use azure_core::{
    credentials::{Secret, TokenCredential},
    error::Result,
};
use azure_identity::{
    ClientSecretCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential,
};

/// A workload identity if there is a file with its token, a client secret if there is one, otherwise the machine's managed identity.
/// (Microsoft's client for Rust has no chain of its own but for developers' tools.)
pub(super) fn from_environment() -> Result<Arc<dyn TokenCredential>> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let client_id = variable("AZURE_CLIENT_ID");
    if variable("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        let credential: Arc<dyn TokenCredential> = WorkloadIdentityCredential::new(None)?;
        return Ok(credential);
    }
    if let Some(secret) = variable("AZURE_CLIENT_SECRET") {
        let tenant = variable("AZURE_TENANT_ID").unwrap_or_default();
        let client_id = client_id.unwrap_or_default();
        let credential: Arc<dyn TokenCredential> =
            ClientSecretCredential::new(&tenant, client_id, Secret::new(secret), None)?;
        return Ok(credential);
    }
    let options = ManagedIdentityCredentialOptions {
        user_assigned_id: client_id.map(UserAssignedId::ClientId),
        ..ManagedIdentityCredentialOptions::default()
    };
    let credential: Arc<dyn TokenCredential> = ManagedIdentityCredential::new(Some(options))?;
    Ok(credential)
}
