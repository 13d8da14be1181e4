//! A certificate as it arrived, with the SCT in it.

use const_oid::db::rfc6962::{CT_PRECERT_POISON, CT_PRECERT_SCTS};
use ct_log::{Entry, LogPublicKey, Sct, SequencedEntry};
use der::{
    Decode,
    asn1::{ObjectIdentifier, OctetString},
};
use x509_cert::{Certificate, TbsCertificate, ext::Extension};

#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) der: Vec<u8>,
    certificate: Certificate,
    pub(crate) sct: Sct,
}

impl Issued {
    pub(crate) fn from_pem(text: &str) -> Self {
        let der = pem::parse(text).unwrap().into_contents();
        let certificate = Certificate::from_der(&der).unwrap();
        let sct = embedded_sct(&certificate);
        Self {
            der,
            certificate,
            sct,
        }
    }

    /// Hexadecimal, as in the audit record.
    pub(crate) fn serial(&self) -> String {
        serial(self.certificate.tbs_certificate())
    }

    /// The entry is this certificate's precertificate, at the position and time that the SCT names, and signed.
    pub(crate) fn assert_is_logged_as(&self, entry: &SequencedEntry, key: &LogPublicKey) {
        assert_eq!(entry.index(), self.sct.leaf_index());
        assert_eq!(entry.timestamp(), self.sct.timestamp());
        self.sct.verify(entry.entry(), key).unwrap();
        let Entry::Precertificate {
            tbs, precertificate, ..
        } = entry.entry()
        else {
            panic!("not a precertificate");
        };
        let own = self.certificate.tbs_certificate();
        let logged = TbsCertificate::from_der(tbs).unwrap();
        assert_same_but_extensions(&logged, own);
        assert_eq!(
            extensions(&logged, CT_PRECERT_SCTS),
            extensions(own, CT_PRECERT_SCTS)
        );
        let precertificate = Certificate::from_der(precertificate).unwrap();
        let poisoned = precertificate.tbs_certificate();
        assert_same_but_extensions(poisoned, own);
        assert_eq!(
            extensions(poisoned, CT_PRECERT_POISON),
            extensions(own, CT_PRECERT_SCTS)
        );
    }
}

/// Of a precertificate entry, hexadecimal.
pub(crate) fn logged_serial(entry: &SequencedEntry) -> String {
    match entry.entry() {
        Entry::Precertificate { tbs, .. } => serial(&TbsCertificate::from_der(tbs).unwrap()),
        Entry::Certificate { .. } => panic!("not a precertificate"),
    }
}

fn serial(tbs: &TbsCertificate) -> String {
    hex::encode(tbs.serial_number().as_bytes())
}

fn assert_same_but_extensions(one: &TbsCertificate, other: &TbsCertificate) {
    assert_eq!(one.serial_number(), other.serial_number());
    assert_eq!(one.issuer(), other.issuer());
    assert_eq!(one.validity(), other.validity());
    assert_eq!(one.subject(), other.subject());
    assert_eq!(one.subject_public_key_info(), other.subject_public_key_info());
}

fn extensions(tbs: &TbsCertificate, but: ObjectIdentifier) -> Vec<&Extension> {
    let all = tbs.extensions().unwrap().iter();
    all.filter(|extension| extension.extn_id != but).collect()
}

/// The only one of the `SignedCertificateTimestampList` (RFC 6962 section 3.3): two lengths of two bytes, the SCT.
fn embedded_sct(certificate: &Certificate) -> Sct {
    let mut extensions = certificate.tbs_certificate().extensions().unwrap().iter();
    let list = extensions
        .find(|extension| extension.extn_id == CT_PRECERT_SCTS)
        .unwrap();
    let list = OctetString::from_der(list.extn_value.as_bytes()).unwrap();
    let list = list.as_bytes();
    let length = usize::from(u16::from_be_bytes([list[2], list[3]]));
    assert_eq!(list.len(), 4 + length, "more than one SCT");
    Sct::from_tls(&list[4..]).unwrap()
}
