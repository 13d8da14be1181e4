//! Metrics of gRPC calls, under the names of go-grpc-prometheus, which Fulcio uses.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};
use tonic::Code;

use super::Maker;

/// `UNAUTHENTICATED`, the highest code (google/rpc/code.proto).
const LAST_CODE: i32 = 16;

/// A gRPC method, of a bounded set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcMethod {
    /// Full name of the service.
    pub service: &'static str,
    /// Name within the service.
    pub name: &'static str,
    /// Which side sends a stream.
    pub kind: GrpcKind,
}

/// What go-grpc-prometheus calls `grpc_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcKind {
    /// One message each way.
    Unary,
    /// The server sends a stream.
    ServerStream,
    /// Both send a stream.
    BidiStream,
}

/// One gRPC call that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// What was called.
    pub method: GrpcMethod,
    /// How it ended.
    pub code: Code,
    /// From the head of the request to the head of the answer.
    pub took: Duration,
}

/// Calls, and how they ended.
pub(super) struct GrpcMetrics {
    started: IntCounterVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    handled: IntCounterVec,
    handling: HistogramVec,
}

impl GrpcMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        let labels = &["grpc_type", "grpc_service", "grpc_method"];
        Ok(Self {
            started: make.counters(
                "grpc_server_started_total",
                "gRPC calls started on the server",
                labels,
            )?,
            received: make.counters(
                "grpc_server_msg_received_total",
                "Messages of unary gRPC calls received by the server",
                labels,
            )?,
            sent: make.counters(
                "grpc_server_msg_sent_total",
                "Messages of unary gRPC calls sent by the server",
                labels,
            )?,
            handled: make.counters(
                "grpc_server_handled_total",
                "gRPC calls completed on the server, whatever the outcome",
                &["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
            )?,
            handling: make.histogram(
                "grpc_server_handling_seconds",
                "Time to answer a gRPC call in seconds",
                labels,
            )?,
        })
    }

    /// Gives every series of these methods the value 0, as `grpc_prometheus.Register` does.
    pub(super) fn register(&self, methods: &[GrpcMethod]) {
        for method in methods {
            let labels = method.labels();
            for counters in [&self.started, &self.received, &self.sent] {
                counters.with_label_values(&labels);
            }
            self.handling.with_label_values(&labels);
            for code in (0..=LAST_CODE).map(Code::from_i32) {
                self.handled.with_label_values(&method.labels_with(code));
            }
        }
    }

    /// A call began.
    pub(super) fn began(&self, method: GrpcMethod) {
        self.started.with_label_values(&method.labels()).inc();
        if method.kind == GrpcKind::Unary {
            self.received.with_label_values(&method.labels()).inc();
        }
    }

    /// A call was answered.
    pub(super) fn answered(&self, served: &Served) {
        let Served { method, code, took } = *served;
        self.handled.with_label_values(&method.labels_with(code)).inc();
        self.handling
            .with_label_values(&method.labels())
            .observe(took.as_secs_f64());
        if method.kind == GrpcKind::Unary && code == Code::Ok {
            self.sent.with_label_values(&method.labels()).inc();
        }
    }
}

impl GrpcMethod {
    const fn labels(&self) -> [&'static str; 3] {
        let kind = match self.kind {
            GrpcKind::Unary => "unary",
            GrpcKind::ServerStream => "server_stream",
            GrpcKind::BidiStream => "bidi_stream",
        };
        [kind, self.service, self.name]
    }

    const fn labels_with(&self, code: Code) -> [&'static str; 4] {
        let [kind, service, name] = self.labels();
        [kind, service, name, grpc_code(code)]
    }
}

/// The names of Go's `codes.Code`.
const fn grpc_code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
