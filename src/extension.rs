//! The one table of certificate extensions under 1.3.6.1.4.1.57264.1 (Fulcio's OID directory).

use std::collections::BTreeMap;

use der::{
    Encode,
    asn1::{ObjectIdentifier, OctetString},
};
use x509_cert::ext::Extension;

/// How an extension's value is put into its OCTET STRING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// The bytes themselves, without DER: what `.1` to `.6` have always been.
    Raw,
    /// A DER UTF8String.
    Utf8String,
}

macro_rules! extensions {
    ($($variant:ident = $arc:literal, $encoding:ident, $name:literal;)*) => {
        /// One extension of Fulcio's directory; ordered by OID.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FulcioExtension { $(#[doc = concat!("`1.3.6.1.4.1.57264.1.", $arc, "` ", $name)] $variant),* }

        impl FulcioExtension {
            /// Every extension, in the order in which a certificate carries them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The object identifier.
            #[must_use]
            pub const fn oid(self) -> ObjectIdentifier {
                match self {
                    $(Self::$variant => const { ObjectIdentifier::new_unwrap(concat!("1.3.6.1.4.1.57264.1.", $arc)) }),*
                }
            }

            /// The key under `extension-templates` in the issuer file.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            const fn encoding(self) -> Encoding {
                match self { $(Self::$variant => Encoding::$encoding),* }
            }
        }
    };
}

extensions! {
    LegacyIssuer = "1", Raw, "issuer (legacy)";
    GithubWorkflowTrigger = "2", Raw, "github-workflow-trigger";
    GithubWorkflowSha = "3", Raw, "github-workflow-sha";
    GithubWorkflowName = "4", Raw, "github-workflow-name";
    GithubWorkflowRepository = "5", Raw, "github-workflow-repository";
    GithubWorkflowRef = "6", Raw, "github-workflow-ref";
    Issuer = "8", Utf8String, "issuer";
    BuildSignerUri = "9", Utf8String, "build-signer-uri";
    BuildSignerDigest = "10", Utf8String, "build-signer-digest";
    RunnerEnvironment = "11", Utf8String, "runner-environment";
    SourceRepositoryUri = "12", Utf8String, "source-repository-uri";
    SourceRepositoryDigest = "13", Utf8String, "source-repository-digest";
    SourceRepositoryRef = "14", Utf8String, "source-repository-ref";
    SourceRepositoryIdentifier = "15", Utf8String, "source-repository-identifier";
    SourceRepositoryOwnerUri = "16", Utf8String, "source-repository-owner-uri";
    SourceRepositoryOwnerIdentifier = "17", Utf8String, "source-repository-owner-identifier";
    BuildConfigUri = "18", Utf8String, "build-config-uri";
    BuildConfigDigest = "19", Utf8String, "build-config-digest";
    BuildTrigger = "20", Utf8String, "build-trigger";
    RunInvocationUri = "21", Utf8String, "run-invocation-uri";
    SourceRepositoryVisibility = "22", Utf8String, "source-repository-visibility-at-signing";
    DeploymentEnvironment = "23", Utf8String, "deployment-environment";
    TokenSubject = "24", Utf8String, "subject";
}

/// The values of one identity: at least an issuer and a subject, never an empty value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionValues(BTreeMap<FulcioExtension, String>);

impl ExtensionValues {
    /// The two that every certificate carries: the issuer (in both encodings) and the token's `sub`.
    #[must_use]
    pub fn new(issuer: &str, subject: &str) -> Self {
        let mut values = Self(BTreeMap::new());
        values.set(FulcioExtension::LegacyIssuer, issuer.to_owned());
        values.set(FulcioExtension::Issuer, issuer.to_owned());
        values.set(FulcioExtension::TokenSubject, subject.to_owned());
        values
    }

    /// Adds one value; an empty one is left out, as Fulcio does.
    pub fn set(&mut self, extension: FulcioExtension, value: String) {
        if !value.is_empty() {
            self.0.insert(extension, value);
        }
    }

    /// The values in OID order.
    pub fn iter(&self) -> impl Iterator<Item = (FulcioExtension, &str)> {
        self.0
            .iter()
            .map(|(extension, value)| (*extension, value.as_str()))
    }

    /// The certificate extensions in OID order; none is critical.
    ///
    /// # Errors
    /// A value longer than DER can express.
    pub fn to_extensions(&self) -> Result<Vec<Extension>, der::Error> {
        self.iter()
            .map(|(extension, value)| encode(extension, value))
            .collect()
    }
}

fn encode(extension: FulcioExtension, value: &str) -> Result<Extension, der::Error> {
    let bytes = match extension.encoding() {
        Encoding::Raw => value.as_bytes().to_vec(),
        Encoding::Utf8String => value.to_der()?,
    };
    Ok(Extension {
        extn_id: extension.oid(),
        critical: false,
        extn_value: OctetString::new(bytes)?,
    })
}
