//! The TLS presentation language (RFC 8446 section 3), as far as RFC 6962 and static-ct-api use it: big-endian
//! numbers and length-prefixed byte strings.

/// Input that ends early, has bytes left over, or carries a number out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed TLS structure")]
pub(crate) struct Malformed;

/// A byte string too long for its length prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte string too long for its length prefix")]
pub(crate) struct TooLong;

/// A cursor over borrowed input. Every read either takes exactly what it names or fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { rest: input }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A byte string with a two-byte length.
    pub(crate) fn bytes16(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    /// A byte string with a three-byte length.
    pub(crate) fn bytes24(&mut self) -> Result<&'a [u8], Malformed> {
        let [a, b, c] = self.array::<3>()?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).map_err(|_| Malformed)?;
        self.take(length)
    }

    /// Refuses anything left over.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// Appends a byte string with a two-byte length.
pub(crate) fn put_bytes16(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), TooLong> {
    let length = u16::try_from(bytes.len()).map_err(|_| TooLong)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a byte string with a three-byte length.
pub(crate) fn put_bytes24(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), TooLong> {
    let length = u32::try_from(bytes.len()).map_err(|_| TooLong)?;
    let [0, length @ ..] = length.to_be_bytes() else {
        return Err(TooLong);
    };
    out.extend_from_slice(&length);
    out.extend_from_slice(bytes);
    Ok(())
}
