//! gRPC's framing of messages (gRPC over HTTP2, "Length-Prefixed-Message").

/// One message, uncompressed.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    declared(0, u32::try_from(message.len()).unwrap(), message)
}

/// A frame with any flag and length.
pub(crate) fn declared(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

/// The message of one whole frame.
pub(crate) fn message(frame: &[u8]) -> &[u8] {
    let (head, message) = frame.split_at(5);
    assert_eq!(head, declared(0, u32::try_from(message.len()).unwrap(), b""));
    message
}
