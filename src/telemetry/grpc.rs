//! Metrics of gRPC calls, under the names of go-grpc-prometheus, which Fulcio uses.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};
use tonic::Code;

use super::Maker;

/// One gRPC call that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Full name of the service, of a bounded set.
    pub service: &'static str,
    /// Name of the method, of a bounded set.
    pub method: &'static str,
    /// How it ended.
    pub code: Code,
    /// From the head of the request to the head of the answer.
    pub took: Duration,
}

/// Calls, and how they ended.
pub(super) struct GrpcMetrics {
    started: IntCounterVec,
    handled: IntCounterVec,
    handling: HistogramVec,
}

impl GrpcMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            started: make.counters(
                "grpc_server_started_total",
                "gRPC calls started on the server",
                &["grpc_type", "grpc_service", "grpc_method"],
            )?,
            handled: make.counters(
                "grpc_server_handled_total",
                "gRPC calls completed on the server, whatever the outcome",
                &["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
            )?,
            handling: make.histogram(
                "grpc_server_handling_seconds",
                "Time to answer a gRPC call in seconds",
                &["grpc_type", "grpc_service", "grpc_method"],
            )?,
        })
    }

    /// A call began.
    pub(super) fn began(&self, (service, method): (&'static str, &'static str)) {
        self.started
            .with_label_values(&[grpc_type(method), service, method])
            .inc();
    }

    /// A call was answered.
    pub(super) fn answered(&self, served: &Served) {
        let Served {
            service,
            method,
            code,
            took,
        } = *served;
        let kind = grpc_type(method);
        self.handled
            .with_label_values(&[kind, service, method, grpc_code(code)])
            .inc();
        self.handling
            .with_label_values(&[kind, service, method])
            .observe(took.as_secs_f64());
    }
}

/// Labels of go-grpc-prometheus.
fn grpc_type(method: &str) -> &'static str {
    match method {
        "Watch" => "server_stream",
        "ServerReflectionInfo" => "bidi_stream",
        _ => "unary",
    }
}

fn grpc_code(code: Code) -> &'static str {
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
