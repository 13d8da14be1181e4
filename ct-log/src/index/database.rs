//! The file of the index: what it maps, and how far.

use std::path::PathBuf;

use redb::backends::InMemoryBackend;
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::leaf::LogId;
use crate::public_files;
use crate::recent::Identity;
use crate::tree::Hash;
use crate::wire::Reader;

/// Memory for pages of the file, in bytes; whatever the size of the log.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// The version of the tables below. Another one is rebuilt.
const FORMAT: u32 = 1;

const LEAVES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("leaves");
const IDENTITIES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("identities");
const SIGNATURES: TableDefinition<u64, &[u8]> = TableDefinition::new("signatures");
const COVERED: TableDefinition<(), &[u8]> = TableDefinition::new("covered");

/// Where the index is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    File(PathBuf),
}

/// What the file covers: that many entries of that log, whose root was this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Covered {
    pub(super) log_id: LogId,
    pub(super) size: u64,
    pub(super) root: Hash,
}

/// What a commit adds.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) leaves: Vec<(Hash, u64)>,
    pub(super) identities: Vec<(Identity, u64)>,
    pub(super) signatures: Vec<(u64, Vec<u8>)>,
}

/// An open file. It is this process's until dropped.
pub(crate) struct Database {
    tables: redb::Database,
}

impl Database {
    /// Opens or creates the file, and checks every page of it: what was damaged while nobody looked is not found later. That
    /// takes as long as reading it; it ends early once it is not wanted any more.
    pub(super) fn open(place: &Place, wanted: impl Fn() -> bool + 'static) -> Result<Database, redb::Error> {
        let mut builder = redb::Builder::new();
        builder
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .set_repair_callback(move |check| {
                if !wanted() {
                    check.abort();
                }
            });
        let tables = match place {
            Place::Memory => builder.create_with_backend(InMemoryBackend::new())?,
            Place::File(path) => {
                // An empty file is a new database.
                public_files::open(path)?;
                builder.create(path)?
            }
        };
        let transaction = tables.begin_write()?;
        transaction.open_table(LEAVES)?;
        transaction.open_table(IDENTITIES)?;
        transaction.open_table(SIGNATURES)?;
        transaction.open_table(COVERED)?;
        transaction.commit()?;
        Ok(Database { tables })
    }

    /// What the file covers; nothing if it is new. [`Err`] within if it is of no format that this version knows.
    pub(super) fn covered(&self) -> Result<Option<Result<Covered, UnknownFormat>>, redb::Error> {
        let table = self.tables.begin_read()?.open_table(COVERED)?;
        let value = table.get(())?;
        Ok(value.map(|value| Covered::decode(value.value()).ok_or(UnknownFormat)))
    }

    pub(super) fn leaf(&self, hash: Hash) -> Result<Option<u64>, redb::Error> {
        let table = self.tables.begin_read()?.open_table(LEAVES)?;
        Ok(table.get(hash.as_bytes())?.map(|index| index.value()))
    }

    pub(super) fn identity(&self, identity: Identity) -> Result<Option<u64>, redb::Error> {
        let table = self.tables.begin_read()?.open_table(IDENTITIES)?;
        Ok(table.get(identity.as_bytes())?.map(|index| index.value()))
    }

    pub(super) fn signature(&self, index: u64) -> Result<Option<Vec<u8>>, redb::Error> {
        let table = self.tables.begin_read()?.open_table(SIGNATURES)?;
        Ok(table.get(index)?.map(|signature| signature.value().to_vec()))
    }

    /// Adds rows, all or none. Durable on return. Of two entries with one identity the first stays.
    pub(super) fn commit(&self, rows: &mut Rows, covered: &Covered) -> Result<(), redb::Error> {
        // Neighbours in the file are written together.
        rows.leaves.sort_unstable_by_key(|(hash, _)| *hash.as_bytes());
        rows.identities
            .sort_unstable_by_key(|(identity, _)| *identity.as_bytes());
        let transaction = self.tables.begin_write()?;
        {
            let mut leaves = transaction.open_table(LEAVES)?;
            for (hash, index) in &rows.leaves {
                leaves.insert(hash.as_bytes(), index)?;
            }
            let mut identities = transaction.open_table(IDENTITIES)?;
            for (identity, index) in &rows.identities {
                let before = identities.get(identity.as_bytes())?.map(|index| index.value());
                if before.is_none_or(|before| *index < before) {
                    identities.insert(identity.as_bytes(), index)?;
                }
            }
            let mut signatures = transaction.open_table(SIGNATURES)?;
            for (index, signature) in &rows.signatures {
                signatures.insert(index, signature.as_slice())?;
            }
            let encoded = covered.encode();
            transaction.open_table(COVERED)?.insert((), encoded.as_slice())?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Points an identity and a leaf hash to another entry, as damage would.
    #[cfg(test)]
    pub(crate) fn misdirect(&self, identity: Identity, leaf: Hash, index: u64) {
        let transaction = self.tables.begin_write().unwrap();
        {
            let mut identities = transaction.open_table(IDENTITIES).unwrap();
            identities.insert(identity.as_bytes(), index).unwrap();
            let mut leaves = transaction.open_table(LEAVES).unwrap();
            leaves.insert(leaf.as_bytes(), index).unwrap();
        }
        transaction.commit().unwrap();
    }
}

/// The file was written by another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownFormat;

impl Covered {
    fn encode(&self) -> Vec<u8> {
        let mut out = FORMAT.to_be_bytes().to_vec();
        out.extend_from_slice(self.log_id.as_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Covered> {
        let mut reader = Reader::new(bytes);
        if reader.u32().ok()? != FORMAT {
            return None;
        }
        let covered = Covered {
            log_id: LogId::new(reader.array().ok()?),
            size: reader.u64().ok()?,
            root: Hash::new(reader.array().ok()?),
        };
        reader.finish().ok()?;
        Some(covered)
    }
}

/// Whether the file is not what was written, so that only a new one helps.
pub(super) fn is_damage(error: &redb::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        redb::Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => true,
        _ => false,
    }
}
