//! The name of a key on a PKCS#11 token (RFC 7512), as far as it names a private key and its module.

use std::{path::PathBuf, str::FromStr};

use percent_encoding::percent_decode_str;

/// A `pkcs11:` URI. What is not given matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pkcs11Uri {
    /// Which token.
    pub(crate) token: TokenUri,
    /// `object`: CKA_LABEL of the private key.
    pub(crate) object: Option<String>,
    /// `id`: its CKA_ID.
    pub(crate) id: Option<Vec<u8>>,
    /// Where the library is.
    pub(crate) module: Option<ModuleUri>,
    /// `pin-source`: a file with the PIN.
    pub(crate) pin_file: Option<PathBuf>,
}

/// What a token says of itself, without the padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenUri {
    pub(crate) label: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) slot_id: Option<u64>,
}

/// The library that speaks to the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModuleUri {
    /// `module-path`: an absolute path.
    Path(PathBuf),
    /// `module-name`: a file's name without `lib` and `.so`.
    Name(String),
}

const FORM: &str = "pkcs11:token=TOKEN;object=NAME?module-path=/PATH/TO/LIBRARY.so, each attribute once and \
     percent-encoded: token, serial, manufacturer, model, slot-id, object, id, type=private; after the question mark \
     module-path or module-name, and pin-source, with & between them";
const PATH_FORM: &str = "an absolute path in module-path, of which there is no more than one module-name";
const PIN_FORM: &str = "pin-source=file:/PATH, with an absolute path";
const TYPE_FORM: &str = "type=private: it is the private key that signs";

impl FromStr for Pkcs11Uri {
    /// What the URI must be written as.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("pkcs11:").ok_or(FORM)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut uri = Self::default();
        for attribute in path.split(';').filter(|_| !path.is_empty()) {
            uri.read_path(attribute)?;
        }
        for attribute in query.iter().flat_map(|query| query.split('&')) {
            uri.read_query(attribute)?;
        }
        // Otherwise the only key of any token would do.
        match uri.token == TokenUri::default() && uri.object.is_none() && uri.id.is_none() {
            true => Err(FORM),
            false => Ok(uri),
        }
    }
}

impl Pkcs11Uri {
    fn read_path(&mut self, attribute: &str) -> Result<(), &'static str> {
        let (name, value) = attribute.split_once('=').ok_or(FORM)?;
        let token = &mut self.token;
        match name {
            "token" => once(&mut token.label, text(value)?),
            "serial" => once(&mut token.serial, text(value)?),
            "manufacturer" => once(&mut token.manufacturer, text(value)?),
            "model" => once(&mut token.model, text(value)?),
            "slot-id" => once(&mut token.slot_id, value.parse().map_err(|_| FORM)?),
            "object" => once(&mut self.object, text(value)?),
            "id" => once(&mut self.id, bytes(value)?),
            "type" if value == "private" => Ok(()),
            "type" => Err(TYPE_FORM),
            _ => Err(FORM),
        }
    }

    fn read_query(&mut self, attribute: &str) -> Result<(), &'static str> {
        let (name, value) = attribute.split_once('=').ok_or(FORM)?;
        match name {
            "module-path" => {
                let path = PathBuf::from(text(value)?);
                match path.is_absolute() {
                    true => once(&mut self.module, ModuleUri::Path(path)).map_err(|_| PATH_FORM),
                    false => Err(PATH_FORM),
                }
            }
            "module-name" => {
                let name = text(value)?;
                match name.contains('/') {
                    true => Err(PATH_FORM),
                    false => once(&mut self.module, ModuleUri::Name(name)).map_err(|_| PATH_FORM),
                }
            }
            "pin-source" => {
                let source = text(value)?;
                let path = source.strip_prefix("file:").ok_or(PIN_FORM)?;
                let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
                match path.is_absolute() {
                    true => once(&mut self.pin_file, path),
                    false => Err(PIN_FORM),
                }
            }
            _ => Err(FORM),
        }
    }
}

fn once<T>(field: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(FORM),
    }
}

fn text(value: &str) -> Result<String, &'static str> {
    String::from_utf8(bytes(value)?).map_err(|_| FORM)
}

/// An empty value would be no condition at all, and a percent sign that encodes nothing a mistake.
fn bytes(value: &str) -> Result<Vec<u8>, &'static str> {
    let is_hex = |digit: Option<u8>| digit.is_some_and(|digit| digit.is_ascii_hexdigit());
    let well_formed = value.split('%').skip(1).all(|escape| {
        let mut digits = escape.bytes();
        is_hex(digits.next()) && is_hex(digits.next())
    });
    match well_formed && !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(percent_decode_str(value).collect()),
        false => Err(FORM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attribute_is_read_and_decoded() {
        let uri: Pkcs11Uri =
            "pkcs11:token=The%20CA;serial=0a%3B;manufacturer=SoftHSM%20project;model=v2;slot-id=7;object=ca;\
             id=%01%ff;type=private?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin"
                .parse()
                .unwrap();
        let expected = Pkcs11Uri {
            token: TokenUri {
                label: Some("The CA".to_owned()),
                serial: Some("0a;".to_owned()),
                manufacturer: Some("SoftHSM project".to_owned()),
                model: Some("v2".to_owned()),
                slot_id: Some(7),
            },
            object: Some("ca".to_owned()),
            id: Some(vec![1, 0xff]),
            module: Some(ModuleUri::Path("/usr/lib/softhsm/libsofthsm2.so".into())),
            pin_file: Some("/run/pin".into()),
        };
        assert_eq!(uri, expected);
    }

    #[test]
    fn a_module_may_have_a_name_and_a_pin_a_uri() {
        let uri: Pkcs11Uri = "pkcs11:object=ca?module-name=softhsm2&pin-source=file:%2F%2F%2Frun%2Fpin"
            .parse()
            .unwrap();
        assert_eq!(uri.module, Some(ModuleUri::Name("softhsm2".to_owned())));
        assert_eq!(uri.pin_file, Some("/run/pin".into()));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, said) in [
            ("pkcs11:", "pkcs11:token=TOKEN"),
            ("pkcs11:?module-path=/lib.so", "pkcs11:token=TOKEN"),
            ("pkcs11:ca", "pkcs11:token=TOKEN"),
            ("pkcs11:object=", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a b", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a%2", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a%zz", "pkcs11:token=TOKEN"),
            ("pkcs11:object=%ff", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a;object=b", "each attribute once"),
            ("pkcs11:object=a;;", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a;x-vendor=b", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a;library-version=3", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a;slot-id=-1", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a;type=cert", "type=private"),
            ("pkcs11:object=a?", "pkcs11:token=TOKEN"),
            ("pkcs11:object=a?module-path=lib.so", "absolute path"),
            ("pkcs11:object=a?module-name=../lib", "module-name"),
            ("pkcs11:object=a?module-name=b&module-path=/c", "no more than one"),
            ("pkcs11:object=a?pin-source=/run/pin", "pin-source=file:/PATH"),
            ("pkcs11:object=a?pin-source=file:pin", "pin-source=file:/PATH"),
            (
                "pkcs11:object=a?pin-source=%7Ccat%20/run/pin",
                "pin-source=file:/PATH",
            ),
        ] {
            let error = text.parse::<Pkcs11Uri>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
